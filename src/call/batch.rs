//! Embeddings of more inputs than a backend takes at once: split, and joined again in order.
//!
//! Pure. The inputs stay the client's own bytes, and so do the vectors; of later parts only the
//! `index` is another one. Tokens are summed.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    understand::{Ask, Endpoint},
    wire::{body::Body, json::Object},
};

/// Inputs that are split at most; of more the backend may judge.
const MOST: u64 = 65_536;

/// One part of a request.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) body: Body,
    pub(super) inputs: usize,
}

/// The parts of a request, if it has more inputs than `most`.
pub(super) fn split(ask: &Ask, body: &Body, most: Option<u64>) -> Option<Vec<Part>> {
    let most = usize::try_from(most?).ok()?.max(1);
    let splits = ask.endpoint == Endpoint::Embeddings
        && ask.needs.inputs > most as u64
        && ask.needs.inputs <= MOST;
    let Body::Json(object) = body else {
        return None;
    };
    let raw = object.get("input").filter(|_| splits)?;
    let inputs: Vec<&RawValue> = serde_json::from_str(raw).ok()?;
    let part = |inputs: &[&RawValue]| {
        let mut part = object.clone();
        part.set(
            "input",
            array(inputs.iter().map(|input| input.get().as_bytes())),
        );
        Part {
            body: Body::Json(part),
            inputs: inputs.len(),
        }
    };
    Some(inputs.chunks(most).map(part).collect())
}

/// One answer of the answers to all parts; `None` if they can't be joined, as a part has another
/// number of vectors than it had inputs.
pub(super) fn join(answers: &[Bytes], parts: &[Part]) -> Option<Bytes> {
    let mut whole = Object::parse(answers.first()?.clone()).ok()?;
    let mut vectors: Vec<Bytes> = Vec::new();
    let mut usage = Map::new();
    for (answer, part) in answers.iter().zip(parts) {
        let object = Object::parse(answer.clone()).ok()?;
        let data: Vec<&RawValue> = serde_json::from_str(object.get("data")?).ok()?;
        (data.len() == part.inputs).then_some(())?;
        let before = vectors.len();
        for vector in data {
            vectors.push(moved(vector.get(), before)?);
        }
        add(&mut usage, object.get("usage"));
    }
    whole.set("data", array(vectors.iter().map(|vector| &**vector)));
    if !usage.is_empty() {
        whole.set("usage", Value::Object(usage).to_string());
    }
    Some(whole.to_bytes())
}

/// A vector whose index counts from another place.
fn moved(raw: &str, by: usize) -> Option<Bytes> {
    let raw = Bytes::copy_from_slice(raw.as_bytes());
    if by == 0 {
        return Some(raw);
    }
    let mut vector = Object::parse(raw).ok()?;
    let index: usize = vector.get("index")?.parse().ok()?;
    vector.set("index", index.checked_add(by)?.to_string());
    Some(vector.to_bytes())
}

/// Adds up the counts of a usage.
fn add(sum: &mut Map<String, Value>, usage: Option<&str>) {
    let usage: Option<Map<String, Value>> = usage.and_then(|raw| serde_json::from_str(raw).ok());
    for (name, value) in usage.into_iter().flatten() {
        let more = value.as_u64();
        match (sum.get(&name).map(Value::as_u64), more) {
            (Some(Some(before)), Some(more)) => {
                sum.insert(name, before.saturating_add(more).into());
            }
            (None, _) => {
                sum.insert(name, value);
            }
            (Some(_), _) => {}
        }
    }
}

fn array<'a>(items: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let mut array = BytesMut::new();
    array.put_u8(b'[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            array.put_u8(b',');
        }
        array.extend_from_slice(item);
    }
    array.put_u8(b']');
    array.freeze()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::understand;

    fn parts(input: &str, most: u64) -> Option<Vec<String>> {
        let body = format!(r#"{{"model":"m","input":{input},"x":1.0}}"#);
        let ask = understand::read(Endpoint::Embeddings, body.into(), &HeaderMap::new()).unwrap();
        let parts = split(&ask, &ask.body, Some(most))?;
        let text = |part: Part| String::from_utf8(part.body.to_bytes().to_vec()).unwrap();
        Some(parts.into_iter().map(text).collect())
    }

    #[test]
    fn inputs_are_split_to_the_limit_and_stay_as_they_were_written() {
        let split = parts(r#"["a\u00e9", "b" ,[1,2]]"#, 2).unwrap();
        let want = [
            r#"{"model":"m","input":["a\u00e9","b"],"x":1.0}"#,
            r#"{"model":"m","input":[[1,2]],"x":1.0}"#,
        ];
        assert_eq!(split, want);
    }

    #[test]
    fn one_input_is_never_split() {
        assert_eq!(parts("[1,2,3,4]", 2), None, "token numbers are one input");
        assert_eq!(parts(r#""text""#, 1), None);
        assert_eq!(parts(r#"["a","b"]"#, 2), None);
    }

    #[test]
    fn answers_are_joined_in_order_with_the_sum_of_their_tokens() {
        let answer = |vectors: &[&str], tokens: u64| {
            let data: Vec<String> = vectors
                .iter()
                .enumerate()
                .map(|(index, v)| format!(r#"{{"index":{index},"embedding":{v}}}"#))
                .collect();
            Bytes::from(format!(
                r#"{{"object":"list","data":[{}],"usage":{{"prompt_tokens":{tokens}}}}}"#,
                data.join(",")
            ))
        };
        let part = |inputs| Part {
            body: Body::Json(Object::parse(Bytes::from("{}")).unwrap()),
            inputs,
        };
        let parts = [part(2), part(1)];
        let joined = join(
            &[answer(&["[0.10]", "\"AA=\""], 3), answer(&["[3]"], 4)],
            &parts,
        );
        let want = r#"{"object":"list","data":[{"index":0,"embedding":[0.10]},{"index":1,"embedding":"AA="},{"index":2,"embedding":[3]}],"usage":{"prompt_tokens":7}}"#;
        assert_eq!(joined.unwrap(), want);
        let short = join(&[answer(&["[1]"], 3), answer(&["[3]"], 4)], &parts);
        assert_eq!(short, None, "a vector is missing");
    }
}
