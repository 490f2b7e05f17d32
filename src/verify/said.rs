//! What was said, as far as it can be held to a form: put together from the chunks of a stream, or
//! taken from a whole answer.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::Value;

/// Bytes of texts and calls that are kept of one answer.
const MOST: usize = 64 * 1024;
/// Choices and calls that are kept.
const MOST_PARTS: usize = 128;

/// What was said.
#[derive(Debug, Default)]
pub struct Said {
    choices: BTreeMap<u32, Choice>,
    bytes: usize,
    /// There was too much, or something unheard of.
    lost: bool,
}

/// One choice.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) content: String,
    /// By index.
    pub(super) calls: BTreeMap<usize, Call>,
}

/// One call of a tool.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: String,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<WireChoice<'a>>>,
}

#[derive(Deserialize)]
struct WireChoice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default, alias = "message")]
    delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tool_calls: Option<Vec<WireCall<'a>>>,
}

#[derive(Deserialize)]
struct WireCall<'a> {
    #[serde(default)]
    index: Option<usize>,
    #[serde(borrow, default)]
    function: Option<WireFunction<'a>>,
}

#[derive(Deserialize)]
struct WireFunction<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    /// A text of JSON; a few backends write the object itself.
    #[serde(default)]
    arguments: Option<Value>,
}

impl Said {
    /// Takes in a chunk, or a whole answer.
    pub fn hear(&mut self, json: &[u8]) {
        if self.lost {
            return;
        }
        match serde_json::from_slice::<Wire<'_>>(json) {
            Ok(wire) => self.add(wire),
            Err(_) => self.lose(),
        }
        let parts = self.choices.values().map(|choice| 1 + choice.calls.len());
        if self.bytes > MOST || parts.sum::<usize>() > MOST_PARTS {
            self.lose();
        }
    }

    /// The choices; `None`: not all is known.
    pub(super) fn choices(&self) -> Option<impl Iterator<Item = &Choice>> {
        (!self.lost).then(|| self.choices.values())
    }

    fn lose(&mut self) {
        self.lost = true;
        self.choices.clear();
    }

    fn add(&mut self, wire: Wire<'_>) {
        for said in wire.choices.unwrap_or_default() {
            let choice = self.choices.entry(said.index.unwrap_or(0)).or_default();
            let Some(delta) = said.delta else { continue };
            let content = delta.content.unwrap_or_default();
            self.bytes += content.len();
            choice.content.push_str(&content);
            for (at, said) in (0..).zip(delta.tool_calls.unwrap_or_default()) {
                let call = choice.calls.entry(said.index.unwrap_or(at)).or_default();
                let Some(function) = said.function else {
                    continue;
                };
                let arguments = match function.arguments {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(text)) => text,
                    Some(other) => other.to_string(),
                };
                let name = function.name.unwrap_or_default();
                self.bytes += name.len() + arguments.len();
                call.name.push_str(&name);
                call.arguments.push_str(&arguments);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(chunks: &[&str]) -> Said {
        let mut said = Said::default();
        chunks.iter().for_each(|chunk| said.hear(chunk.as_bytes()));
        said
    }

    #[test]
    fn a_stream_says_what_its_chunks_say_together() {
        let said = heard(&[
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}},{"index":1,"function":{"name":"g","arguments":{"b":2}}}]}}]}"#,
            r#"{"choices":[{"index":1,"delta":{"content":"he"}}]}"#,
            r#"{"choices":[{"index":1,"delta":{"content":"\u006clo"}}]}"#,
            r#"{"choices":[],"usage":{}}"#,
        ]);
        let choices: Vec<&Choice> = said.choices().unwrap().collect();
        let [first, second] = choices[..] else {
            panic!("{choices:?}")
        };
        let calls: Vec<_> = first.calls.values().collect();
        assert_eq!((&*calls[0].name, &*calls[0].arguments), ("f", r#"{"a":1}"#));
        assert_eq!((&*calls[1].name, &*calls[1].arguments), ("g", r#"{"b":2}"#));
        assert_eq!(second.content, "hello");
    }

    #[test]
    fn too_much_and_what_is_unheard_of_is_not_kept() {
        assert!(heard(&[r#"{"choices":"?"}"#]).choices().is_none());
        assert!(heard(&["?"]).choices().is_none());
        let long = format!(
            r#"{{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#,
            "x".repeat(MOST + 1)
        );
        let said = heard(&[&long]);
        assert!(said.choices().is_none() && said.choices.is_empty());
        let call = r#"{"choices":[{"delta":{"tool_calls":[{"index":N}]}}]}"#;
        let many: Vec<String> = (0..200)
            .map(|n| call.replace('N', &n.to_string()))
            .collect();
        let many: Vec<&str> = many.iter().map(|chunk| &**chunk).collect();
        assert!(heard(&many).choices().is_none());
    }
}
