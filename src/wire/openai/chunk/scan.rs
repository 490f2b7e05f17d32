//! A chunk in one pass over its bytes, without taking anything apart that is not asked for. Pure.
//!
//! Streams have a chunk for each token, so this is done more often than anything else. It reads the
//! usual shape; whatever is unusual, or no JSON, it leaves to serde, whose word counts.

use std::ops::Range;

use super::{Choices, Chunk, Part, Shape, text_bytes};

/// Values within values that are followed.
const DEPTH: u8 = 16;

/// A text that was generated, without its quotes; nowhere: there is none.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) place: Range<usize>,
    pub(super) part: Part,
}

/// Reads a chunk, and finds the last text that was generated. `None`: unusual.
pub(super) fn read(json: &str) -> Option<(Chunk<'_>, Text)> {
    let mut scan = Scan {
        json,
        at: 0,
        text: Text::default(),
    };
    let mut chunk = Chunk::default();
    let mut seen = Seen::default();
    scan.space();
    scan.object(|scan, key| {
        match key {
            b"choices" => {
                seen.first(0)?;
                chunk.choices = scan.choices()?;
            }
            b"usage" => {
                seen.first(1)?;
                chunk.usage = Some(scan.value(DEPTH)?);
            }
            b"error" => {
                seen.first(2)?;
                chunk.error = not_null(scan.value(DEPTH)?);
            }
            b"service_tier" => {
                seen.first(3)?;
                chunk.service_tier = not_null(scan.value(DEPTH)?);
            }
            b"model" => {
                seen.first(4)?;
                chunk.model = not_null(scan.value(DEPTH)?);
            }
            _ => scan.skip(DEPTH)?,
        }
        Some(())
    })?;
    scan.space();
    scan.peek().is_none().then_some((chunk, scan.text))
}

/// Could this stand between quotes?
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let ordinary = bytes
        .iter()
        .all(|byte| !is_special(*byte) && byte.is_ascii());
    ordinary || escaped(bytes).is_some()
}

/// The same, where not every byte stands for itself.
fn escaped(bytes: &[u8]) -> Option<()> {
    let mut scan = Scan {
        json: std::str::from_utf8(bytes).ok()?,
        at: 0,
        text: Text::default(),
    };
    while let Some(ordinary) = special(scan.rest()) {
        scan.at += ordinary;
        scan.escape()?;
    }
    Some(())
}

/// Members that were there: a second one of the same name is unusual.
#[derive(Default)]
struct Seen(u8);

impl Seen {
    fn first(&mut self, member: u8) -> Option<()> {
        let bit = 1 << member;
        let first = self.0 & bit == 0;
        self.0 |= bit;
        first.then_some(())
    }
}

fn not_null(value: &str) -> Option<&str> {
    (value != "null").then_some(value)
}

struct Scan<'a> {
    json: &'a str,
    at: usize,
    text: Text,
}

impl<'a> Scan<'a> {
    fn choices(&mut self) -> Option<Choices> {
        if self.peek()? == b'n' {
            self.word(b"null")?;
            return Some(Choices::default());
        }
        let mut choices = Choices {
            shape: Shape::Empty,
            ..Choices::default()
        };
        self.array(|scan| {
            choices.shape = Shape::Some;
            scan.choice(&mut choices)
        })?;
        Some(choices)
    }

    fn choice(&mut self, sum: &mut Choices) -> Option<()> {
        let (mut index, mut reason): (_, &[u8]) = (0, b"");
        let mut seen = Seen::default();
        self.object(|scan, key| {
            match key {
                b"index" => {
                    seen.first(0)?;
                    index = scan.index()?;
                }
                b"finish_reason" => {
                    seen.first(1)?;
                    reason = match scan.peek()? {
                        b'"' => scan.plain()?,
                        _ => scan.word(b"null").map(|()| &b""[..])?,
                    };
                }
                b"delta" | b"message" => {
                    seen.first(2)?;
                    scan.generated(sum)?;
                }
                b"text" => {
                    seen.first(3)?;
                    scan.output(Part::Answer, sum)?;
                }
                _ => scan.skip(DEPTH)?,
            }
            Some(())
        })?;
        let bit = 1_u128 << index.min(127);
        sum.seen |= bit;
        sum.end(bit, reason);
        Some(())
    }

    /// What was generated.
    fn generated(&mut self, sum: &mut Choices) -> Option<()> {
        if self.peek()? == b'n' {
            return self.word(b"null");
        }
        let mut seen = Seen::default();
        self.object(|scan, key| {
            let (member, part) = match key {
                b"content" => (0, Part::Answer),
                b"reasoning_content" => (1, Part::Thought),
                b"reasoning" => (2, Part::Thought),
                b"refusal" => (3, Part::Refusal),
                b"tool_calls" => (4, Part::Answer),
                _ => return scan.skip(DEPTH),
            };
            seen.first(member)?;
            scan.output(part, sum)
        })
    }

    /// A generated value.
    fn output(&mut self, part: Part, sum: &mut Choices) -> Option<()> {
        let start = self.at;
        let is_text = self.peek()? == b'"';
        let value = self.value(DEPTH)?;
        if is_text {
            let place = start + 1..self.at - 1;
            self.text = Text { place, part };
        }
        sum.add(part, not_null(value).map_or(0, text_bytes));
        Some(())
    }

    /// A small whole number, or null.
    fn index(&mut self) -> Option<u32> {
        match self.value(0)? {
            "null" => Some(0),
            number => number.parse().ok().filter(|_| !number.starts_with('+')),
        }
    }

    /// The text of any value.
    fn value(&mut self, depth: u8) -> Option<&'a str> {
        let start = self.at;
        self.skip(depth)?;
        self.json.get(start..self.at)
    }

    fn skip(&mut self, depth: u8) -> Option<()> {
        match self.peek()? {
            b'"' => self.string(),
            b'{' => {
                let depth = depth.checked_sub(1)?;
                self.object(|scan, _| scan.skip(depth))
            }
            b'[' => {
                let depth = depth.checked_sub(1)?;
                self.array(|scan| scan.skip(depth))
            }
            b'n' => self.word(b"null"),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            _ => self.number(),
        }
    }

    /// An object; `member` is called where a value begins.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.eat(b'{')?;
        self.space();
        if self.peek()? == b'}' {
            return self.eat(b'}');
        }
        loop {
            let key = self.plain()?;
            self.space();
            self.eat(b':')?;
            self.space();
            member(self, key)?;
            self.space();
            if self.peek()? == b'}' {
                return self.eat(b'}');
            }
            self.eat(b',')?;
            self.space();
        }
    }

    /// An array; `member` is called where a value begins.
    fn array(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.eat(b'[')?;
        self.space();
        if self.peek()? == b']' {
            return self.eat(b']');
        }
        loop {
            member(self)?;
            self.space();
            if self.peek()? == b']' {
                return self.eat(b']');
            }
            self.eat(b',')?;
            self.space();
        }
    }

    /// A string without escapes: what stands between the quotes.
    fn plain(&mut self) -> Option<&'a [u8]> {
        self.eat(b'"')?;
        let rest = self.rest();
        let length = rest.iter().position(|byte| is_special(*byte))?; // names are short
        self.at += length;
        self.eat(b'"')?;
        rest.get(..length)
    }

    fn string(&mut self) -> Option<()> {
        self.eat(b'"')?;
        loop {
            self.at += special(self.rest())?;
            if self.peek()? == b'"' {
                return self.eat(b'"');
            }
            self.escape()?;
        }
    }

    fn escape(&mut self) -> Option<()> {
        self.eat(b'\\')?;
        match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                let digits = self.rest().get(1..5)?;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
                self.at += 5;
            }
            _ => return None,
        }
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// At least one.
    fn digits(&mut self) -> Option<()> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.count();
        self.at += number;
        (number > 0).then_some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest().starts_with(word).then_some(())?;
        self.at += word.len();
        Some(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then_some(())?;
        self.at += 1;
        Some(())
    }

    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.json.as_bytes().get(self.at..).unwrap_or_default()
    }
}

/// Where the first byte is that does not stand for itself. Eight bytes at a time: most of an answer
/// is text.
fn special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // the high bit of the first byte that is below `limit`, and of none before it; a byte of
    // 0x80 and above is never taken for one that is below (Lamport 1975)
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let (words, _) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = below(word, b' ') | is(word, b'"') | is(word, b'\\');
        if found != 0 {
            return Some(at * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let begun = words.len() * 8;
    let rest = bytes.get(begun..)?;
    let found = rest.iter().position(|byte| is_special(*byte))?;
    Some(begun + found)
}

/// What does not stand for itself in a string.
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < b' '
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_special_byte_is_found_wherever_it_stands(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'a'), Just(0x80), Just(0x7f), Just(b' '), Just(b'!')], 0..80),
        ) {
            prop_assert_eq!(special(&bytes), bytes.iter().position(|byte| is_special(*byte)));
        }
    }
}
