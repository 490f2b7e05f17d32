//! JSON in one pass over its bytes, without taking anything apart that is not asked for. Pure.
//!
//! It reads what is usual. Whatever is not, or is no JSON, is `None`: it is left to serde, whose word
//! counts. So nothing is accepted here that serde would refuse.

use crate::lanes::{LANES, Lanes};

/// Values within values that are followed.
pub(super) const DEPTH: u8 = 16;

/// A place in a JSON text.
#[derive(Debug, Clone)]
pub(super) struct Scan<'a> {
    json: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn of(json: &'a str) -> Self {
        Self { json, at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Option<()> {
        self.space();
        self.peek().is_none().then_some(())
    }

    /// The text of any value.
    pub(super) fn value(&mut self, depth: u8) -> Option<&'a str> {
        let start = self.at;
        self.skip(depth)?;
        self.json.get(start..self.at)
    }

    pub(super) fn skip(&mut self, depth: u8) -> Option<()> {
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
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a str) -> Option<()>,
    ) -> Option<()> {
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
    pub(super) fn array(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
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
    pub(super) fn plain(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let start = self.at;
        self.at += special(self.rest())?;
        let text = self.json.get(start..self.at)?;
        self.eat(b'"')?;
        Some(text)
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

    pub(super) fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest().starts_with(word).then_some(())?;
        self.at += word.len();
        Some(())
    }

    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then_some(())?;
        self.at += 1;
        Some(())
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.json.as_bytes().get(self.at..).unwrap_or_default()
    }
}

/// Members that were there: a second one of the same name is unusual.
#[derive(Default)]
pub(super) struct Seen(u8);

impl Seen {
    pub(super) fn first(&mut self, member: u8) -> Option<()> {
        let bit = 1 << member;
        let first = self.0 & bit == 0;
        self.0 |= bit;
        first.then_some(())
    }
}

pub(super) fn not_null(value: &str) -> Option<&str> {
    (value != "null").then_some(value)
}

/// Is every byte one that may stand between quotes, escapes included?
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let ordinary = bytes
        .iter()
        .all(|byte| !is_special(*byte) && byte.is_ascii());
    ordinary || escaped(bytes).is_some()
}

/// The same, where not every byte stands for itself.
fn escaped(bytes: &[u8]) -> Option<()> {
    let mut scan = Scan::of(std::str::from_utf8(bytes).ok()?);
    while let Some(ordinary) = special(scan.rest()) {
        scan.at += ordinary;
        scan.escape()?;
    }
    Some(())
}

/// Where the first byte is that does not stand for itself between quotes.
pub(crate) fn special(bytes: &[u8]) -> Option<usize> {
    let (sixteens, rest) = bytes.as_chunks::<LANES>();
    for (at, sixteen) in sixteens.iter().enumerate() {
        let found = are_special(Lanes::of(sixteen)).bits();
        if found != 0 {
            return Some(at * LANES + found.trailing_zeros() as usize);
        }
    }
    let found = rest.iter().position(|byte| is_special(*byte))?;
    Some(sixteens.len() * LANES + found)
}

fn are_special(bytes: Lanes) -> Lanes {
    let marks = bytes.are(b'"').or(bytes.are(b'\\'));
    marks.or(bytes.are_within(0, b' ' - 1))
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
            bytes in prop::collection::vec(prop_oneof![20 => Just(b'a'), 1 => any::<u8>(), 1 => Just(0x80), 1 => Just(0x7f), 1 => Just(b' '), 1 => Just(b'!')], 0..200),
        ) {
            prop_assert_eq!(special(&bytes), bytes.iter().position(|byte| is_special(*byte)));
        }

        #[test]
        fn what_is_read_is_what_serde_takes(json in "[\\[\\]{}\":,0-9eE+.nulltrefas \\\\u-]{0,24}") {
            let mut scan = Scan::of(&json);
            scan.space();
            let read = scan.skip(DEPTH).and_then(|()| scan.end());
            if read.is_some() {
                prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok());
            }
        }
    }
}
