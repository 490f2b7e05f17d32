//! Answers of a chat completion: what a chunk of a stream, or a whole answer, says about itself.
//!
//! Reading is lenient, as backends differ: a chunk whose `choices` are missing, null or oddly
//! shaped is still a chunk. Only text that is not a JSON object is refused.

mod scan;
mod series;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use self::series::Series;

/// What the gateway sees of one chunk or one whole answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// A top-level `error` that is not null.
    pub error: Option<&'a str>,
    /// `usage` as it stands, `null` included.
    pub usage: Option<&'a str>,
    /// The tier that served, where it is told.
    pub service_tier: Option<&'a str>,
    /// The model that is said to have served, as JSON text.
    pub model: Option<&'a str>,
    /// State of the choices.
    pub choices: Choices,
}

/// What a chunk says about its choices.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Choices {
    /// How `choices` stands there.
    pub shape: Shape,
    /// Choice indices that are present, as bits; those above 127 share the last one.
    pub seen: u128,
    /// Choice indices with a `finish_reason`, as bits.
    pub finished: u128,
    /// Bytes of generated text, reasoning and tool calls, as JSON text.
    pub output_bytes: u64,
    /// Of those, the bytes of reasoning.
    pub thought_bytes: u64,
    /// Does a choice end because it may not be longer?
    pub cut_short: bool,
    /// Is an answer refused, by the model or by a filter?
    pub refused: bool,
}

/// What a generated text is part of.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Answer,
    Thought,
    Refusal,
}

impl Choices {
    /// So many bytes were generated.
    fn add(&mut self, part: Part, bytes: u64) {
        self.output_bytes += bytes;
        match part {
            Part::Answer => {}
            Part::Thought => self.thought_bytes += bytes,
            Part::Refusal => self.refused |= bytes > 0,
        }
    }

    /// A choice ends; SGLang writes an empty reason while it goes on.
    fn end(&mut self, bit: u128, reason: &[u8]) {
        match reason {
            b"" => return,
            b"length" => self.cut_short = true,
            b"content_filter" => self.refused = true,
            _ => {}
        }
        self.finished |= bit;
    }
}

/// How `choices` stands in a chunk.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Not there, or null.
    #[default]
    Missing,
    /// An empty array.
    Empty,
    /// An array with members, or something unheard of that is better passed on.
    Some,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    usage: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(borrow, default)]
    choices: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Option<u32>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
    #[serde(borrow, default, alias = "message")]
    delta: Option<Generated<'a>>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Generated<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
}

/// Keeps a `null`, which an `Option` alone would lose.
fn present<'de, D: Deserializer<'de>>(d: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(d).map(Some)
}

/// Reads a chunk of a stream or a whole answer; `None` if the text is not a JSON object.
#[must_use]
pub fn read(json: &[u8]) -> Option<Chunk<'_>> {
    let usual = std::str::from_utf8(json).ok().and_then(scan::read);
    usual.map(|(chunk, _)| chunk).or_else(|| parse(json))
}

/// The same, whatever it looks like.
fn parse(json: &[u8]) -> Option<Chunk<'_>> {
    // serde would read an array as the members in order
    json.trim_ascii_start().starts_with(b"{").then_some(())?;
    let wire: Wire<'_> = serde_json::from_slice(json).ok()?;
    Some(Chunk {
        error: wire.error.map(RawValue::get),
        usage: wire.usage.map(RawValue::get),
        service_tier: wire.service_tier.map(RawValue::get),
        model: wire.model.map(RawValue::get),
        choices: wire
            .choices
            .map_or_else(Choices::default, |raw| choices(raw.get())),
    })
}

fn choices(raw: &str) -> Choices {
    let Ok(list) = serde_json::from_str::<Vec<Choice<'_>>>(raw) else {
        return Choices {
            shape: Shape::Some,
            ..Choices::default()
        };
    };
    let shape = if list.is_empty() {
        Shape::Empty
    } else {
        Shape::Some
    };
    list.iter().fold(
        Choices {
            shape,
            ..Choices::default()
        },
        |mut sum, choice| {
            let bit = 1_u128 << choice.index.unwrap_or(0).min(127);
            sum.seen |= bit;
            let reason = choice.finish_reason.as_deref().unwrap_or_default();
            sum.end(bit, reason.as_bytes());
            let text = choice.text.map(RawValue::get);
            sum.add(Part::Answer, text.map_or(0, text_bytes));
            if let Some(delta) = &choice.delta {
                delta.add_to(&mut sum);
            }
            sum
        },
    )
}

impl Generated<'_> {
    fn add_to(&self, sum: &mut Choices) {
        for (part, raw) in [
            (Part::Answer, self.content),
            (Part::Thought, self.reasoning_content),
            (Part::Thought, self.reasoning),
            (Part::Refusal, self.refusal),
            (Part::Answer, self.tool_calls),
        ] {
            sum.add(part, raw.map_or(0, |raw| text_bytes(raw.get())));
        }
    }
}

/// Length of a value without the two characters around it: quotes or brackets.
fn text_bytes(raw: &str) -> u64 {
    raw.len().saturating_sub(2) as u64
}

#[cfg(test)]
mod tests;
