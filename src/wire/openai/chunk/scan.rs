//! A chunk in one pass over its bytes, without taking anything apart that is not asked for. Pure.
//!
//! Streams have a chunk for each token, so this is done more often than anything else. It reads the
//! usual shape; whatever is unusual, or no JSON, it leaves to serde, whose word counts.

use std::ops::Range;

use super::{Choices, Chunk, Part, Shape, text_bytes};
use crate::wire::scan::{DEPTH, Scan, Seen, not_null};

/// A text that was generated, without its quotes; nowhere: there is none.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) place: Range<usize>,
    pub(super) part: Part,
}

/// Reads a chunk, and finds the last text that was generated. `None`: unusual.
pub(super) fn read(json: &str) -> Option<(Chunk<'_>, Text)> {
    let mut scan = Scan::of(json);
    let mut chunk = Chunk::default();
    let mut text = Text::default();
    let mut seen = Seen::default();
    scan.space();
    scan.object(|scan, key| {
        match key {
            "choices" => {
                seen.first(0)?;
                chunk.choices = choices(scan, &mut text)?;
            }
            "usage" => {
                seen.first(1)?;
                chunk.usage = Some(scan.value(DEPTH)?);
            }
            "error" => {
                seen.first(2)?;
                chunk.error = not_null(scan.value(DEPTH)?);
            }
            "service_tier" => {
                seen.first(3)?;
                chunk.service_tier = not_null(scan.value(DEPTH)?);
            }
            "model" => {
                seen.first(4)?;
                chunk.model = not_null(scan.value(DEPTH)?);
            }
            _ => scan.skip(DEPTH)?,
        }
        Some(())
    })?;
    scan.end()?;
    Some((chunk, text))
}

fn choices(scan: &mut Scan<'_>, text: &mut Text) -> Option<Choices> {
    if scan.peek()? == b'n' {
        scan.word(b"null")?;
        return Some(Choices::default());
    }
    let mut choices = Choices {
        shape: Shape::Empty,
        ..Choices::default()
    };
    scan.array(|scan| {
        choices.shape = Shape::Some;
        choice(scan, &mut choices, text)
    })?;
    Some(choices)
}

fn choice(scan: &mut Scan<'_>, sum: &mut Choices, text: &mut Text) -> Option<()> {
    let (mut number, mut reason) = (0, "");
    let mut seen = Seen::default();
    scan.object(|scan, key| {
        match key {
            "index" => {
                seen.first(0)?;
                number = index(scan)?;
            }
            "finish_reason" => {
                seen.first(1)?;
                reason = match scan.peek()? {
                    b'"' => scan.plain()?,
                    _ => scan.word(b"null").map(|()| "")?,
                };
            }
            "delta" | "message" => {
                seen.first(2)?;
                generated(scan, sum, text)?;
            }
            "text" => {
                seen.first(3)?;
                output(scan, Part::Answer, sum, text)?;
            }
            _ => scan.skip(DEPTH)?,
        }
        Some(())
    })?;
    let bit = 1_u128 << number.min(127);
    sum.seen |= bit;
    sum.end(bit, reason.as_bytes());
    Some(())
}

/// What was generated.
fn generated(scan: &mut Scan<'_>, sum: &mut Choices, text: &mut Text) -> Option<()> {
    if scan.peek()? == b'n' {
        return scan.word(b"null");
    }
    let mut seen = Seen::default();
    scan.object(|scan, key| {
        let (member, part) = match key {
            "content" => (0, Part::Answer),
            "reasoning_content" => (1, Part::Thought),
            "reasoning" => (2, Part::Thought),
            "refusal" => (3, Part::Refusal),
            "tool_calls" => (4, Part::Answer),
            _ => return scan.skip(DEPTH),
        };
        seen.first(member)?;
        output(scan, part, sum, text)
    })
}

/// A generated value.
fn output(scan: &mut Scan<'_>, part: Part, sum: &mut Choices, text: &mut Text) -> Option<()> {
    let start = scan.at();
    let is_text = scan.peek()? == b'"';
    let value = scan.value(DEPTH)?;
    if is_text {
        let place = start + 1..scan.at() - 1;
        *text = Text { place, part };
    }
    sum.add(part, not_null(value).map_or(0, text_bytes));
    Some(())
}

/// A small whole number, or null.
fn index(scan: &mut Scan<'_>) -> Option<u32> {
    match scan.value(0)? {
        "null" => Some(0),
        number => number.parse().ok().filter(|_| !number.starts_with('+')),
    }
}
