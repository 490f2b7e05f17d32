//! What leaves of one chunk of a stream. Pure.
//!
//! Usage is always asked for upstream and shown only to clients that asked. A chunk that only
//! carries it is withheld from the others, as official clients trip over empty `choices`.

use bytes::Bytes;

use crate::wire::{
    json::Object,
    openai::chunk::{Chunk, Shape},
    sse,
};

/// What leaves in place of an event.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The event as it came.
    Pass,
    /// Nothing.
    Withhold,
    /// This event.
    Replace(Bytes),
}

/// Decides on one chunk. `cost` is the price of its usage as JSON, where it has one.
#[must_use]
pub fn edit(data: &[u8], chunk: &Chunk<'_>, wants_usage: bool, cost: Option<&str>) -> Verdict {
    let changed = if wants_usage {
        shown(data, chunk, cost)
    } else {
        hidden(data, chunk)
    };
    match changed {
        Ok(None) => Verdict::Pass,
        Ok(Some(event)) => Verdict::Replace(event),
        Err(Hidden) => Verdict::Withhold,
    }
}

/// The chunk is for nobody.
struct Hidden;

/// For a client that did not ask for usage: the event that leaves instead, if it has to change.
fn hidden(data: &[u8], chunk: &Chunk<'_>) -> Result<Option<Bytes>, Hidden> {
    if chunk.choices.shape != Shape::Some {
        return Err(Hidden);
    }
    let Some(usage) = chunk.usage else {
        return Ok(None);
    };
    if let Some(without) = cut_out(data, usage) {
        return Ok(Some(without));
    }
    let Ok(mut object) = Object::parse(Bytes::copy_from_slice(data)) else {
        return Ok(None);
    };
    object.remove("usage");
    Ok(Some(sse::event(&object.to_bytes())))
}

/// An event of the object without its member `usage`, whose value lies within it. Most servers
/// write one in every chunk, so the object is not taken apart for it; `None`: it stands in an
/// unusual way.
fn cut_out(data: &[u8], usage: &str) -> Option<Bytes> {
    let value = (usage.as_ptr() as usize).checked_sub(data.as_ptr() as usize)?;
    let (before, rest) = data.split_at_checked(value)?;
    let after = rest.get(usage.len()..)?;
    let before = before.trim_ascii_end().strip_suffix(b":")?;
    let before = before.trim_ascii_end().strip_suffix(b"\"usage\"")?;
    let before = before.trim_ascii_end().strip_suffix(b",")?;
    let before = before.trim_ascii_end();
    Some(sse::event_of(&[before, after]))
}

/// For a client that asked: usage with its exact cost, and `choices` that is always an array.
fn shown(data: &[u8], chunk: &Chunk<'_>, cost: Option<&str>) -> Result<Option<Bytes>, Hidden> {
    let no_choices = chunk.choices.shape == Shape::Missing;
    let priced = chunk.usage.and_then(|usage| with_cost(usage, cost?));
    if !no_choices && priced.is_none() {
        return Ok(None);
    }
    let Ok(mut object) = Object::parse(Bytes::copy_from_slice(data)) else {
        return Ok(None);
    };
    if no_choices {
        object.set("choices", &b"[]"[..]);
    }
    if let Some(usage) = priced {
        object.set("usage", usage);
    }
    Ok(Some(sse::event(&object.to_bytes())))
}

fn with_cost(usage: &str, cost: &str) -> Option<Bytes> {
    let mut usage = Object::parse(Bytes::copy_from_slice(usage.as_bytes())).ok()?;
    usage.set("cost_usd", Bytes::copy_from_slice(cost.as_bytes()));
    Some(usage.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::openai::chunk;

    fn leave(json: &str, wants_usage: bool, cost: Option<&str>) -> Verdict {
        edit(
            json.as_bytes(),
            &chunk::read(json.as_bytes()).unwrap(),
            wants_usage,
            cost,
        )
    }

    fn event(json: &str) -> Verdict {
        Verdict::Replace(Bytes::from(format!("data: {json}\n\n")))
    }

    const CONTENT: &str = r#"{"id":"a","choices":[{"index":0,"delta":{"content":"x"}}],"x":1.10}"#;
    const USAGE: &str = r#"{"id":"a","choices":[],"usage":{"prompt_tokens":1,"x":1e0}}"#;

    #[test]
    fn content_passes_as_it_came() {
        assert_eq!(leave(CONTENT, false, None), Verdict::Pass);
        assert_eq!(leave(CONTENT, true, None), Verdict::Pass);
    }

    #[test]
    fn usage_is_shown_only_to_who_asked() {
        assert_eq!(leave(USAGE, false, Some("\"0.1\"")), Verdict::Withhold);
        let priced =
            r#"{"id":"a","choices":[],"usage":{"prompt_tokens":1,"x":1e0,"cost_usd":"0.1"}}"#;
        assert_eq!(leave(USAGE, true, Some("\"0.1\"")), event(priced));
        assert_eq!(leave(USAGE, true, None), Verdict::Pass);
    }

    #[test]
    fn usage_beside_content_is_cut_out_and_the_content_stays() {
        let last = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"a":1},"y":2.50}"#;
        let without = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"y":2.50}"#;
        assert_eq!(leave(last, false, None), event(without));
        let null = r#"{"choices":[{"index":0,"delta":{}}],"usage":null}"#;
        assert_eq!(
            leave(null, false, None),
            event(r#"{"choices":[{"index":0,"delta":{}}]}"#)
        );
        assert_eq!(leave(null, true, None), Verdict::Pass);
    }

    #[test]
    fn usage_is_cut_out_wherever_and_however_it_stands() {
        let without = event(r#"{"choices":[{"usage":1}],"y":",\"usage\":"}"#);
        for json in [
            r#"{"usage":null,"choices":[{"usage":1}],"y":",\"usage\":"}"#,
            r#"{"choices":[{"usage":1}],"usage":{"a":[null]},"y":",\"usage\":"}"#,
            r#"{"choices":[{"usage":1}] , "usage" : null,"y":",\"usage\":"}"#,
            r#"{"choices":[{"usage":1}],"us\u0061ge":null,"y":",\"usage\":"}"#,
        ] {
            assert_eq!(leave(json, false, None), without, "{json}");
        }
    }

    #[test]
    fn missing_and_null_choices_become_an_empty_array_for_who_asked() {
        let groq = r#"{"usage":{"total_tokens":1}}"#;
        assert_eq!(leave(groq, false, None), Verdict::Withhold);
        assert_eq!(
            leave(groq, true, None),
            event(r#"{"usage":{"total_tokens":1},"choices":[]}"#)
        );
        let null = r#"{"choices":null,"usage":null}"#;
        assert_eq!(
            leave(null, true, None),
            event(r#"{"choices":[],"usage":null}"#)
        );
    }

    #[test]
    fn a_first_chunk_of_filter_results_is_kept_from_who_did_not_ask_for_usage() {
        let azure = r#"{"choices":[],"created":0,"id":"","prompt_filter_results":[]}"#;
        assert_eq!(leave(azure, false, None), Verdict::Withhold);
        assert_eq!(leave(azure, true, None), Verdict::Pass);
    }
}
