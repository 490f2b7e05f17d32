//! How many tokens a text is, without a tokenizer: from classes of characters.
//!
//! The figures are those of the large vocabularies in use (o200k, Qwen, DeepSeek, Llama 3): a
//! short word is one token with the space before it, digits go in threes, a Chinese character is
//! about two thirds of a token. What a backend reports corrects them per backend (see `learn`).
//! An estimate ranks backends and guards context edges; it is never billed unless flagged.

mod block;
mod families;

pub use self::families::Family;
use self::{block::Block, families::Reader};
use crate::lanes::BLOCK;

/// Thousandths of a token.
type Milli = u64;

/// What the n-th character of a run adds, by [`Kind`]: a word is one token up to eight letters and
/// one more for each four after them, digits go in threes, one space belongs to the word after it.
/// The last three figures repeat for longer runs.
const ADDS: [[Milli; RUN]; 5] = [
    [1_000, 0, 0, 0, 0, 0, 0, 0, 250, 250, 250, 250],
    [1_000, 0, 0, 1_000, 0, 0, 1_000, 0, 0, 1_000, 0, 0],
    [0, 1_000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    // punctuation; pairs such as `()` or `":` are often one token
    [700; RUN],
    [0; RUN],
];
/// Characters of a run that are told apart.
const RUN: usize = 12;

/// The class of each byte. A table, as this is read for every byte of a prompt.
const CLASSES: [Kind; 256] = {
    let mut classes = [Kind::Other; 256];
    let mut byte = 0;
    while byte < 0x80 {
        classes[byte] = match byte as u8 {
            b'A'..=b'Z' | b'a'..=b'z' => Kind::Letter,
            b'0'..=b'9' => Kind::Digit,
            // of those below the space, JSON has only white space
            ..=b' ' => Kind::Space,
            b'\\' => Kind::Other,
            _ => Kind::Mark,
        };
        byte += 1;
    }
    classes
};

/// Tokens of a message besides its text: role and separators.
pub const PER_MESSAGE: u64 = 4;
/// Tokens that open an answer.
pub const PER_PROMPT: u64 = 3;
/// An image of unknown size. OpenAI's tiling gives 765 for 1024×1024; others count up to 1,600.
pub const PER_IMAGE: u64 = 1_000;
/// An image that was asked for in low detail.
pub const PER_IMAGE_LOW: u64 = 85;

/// Counts the tokens of texts that are given as JSON strings, escapes included.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counter {
    total: Milli,
    /// Characters whose script is not Latin, for the choice of a domain.
    pub foreign: u64,
    /// All characters.
    pub chars: u64,
    /// Whose tokens are counted; `None`: those of the vocabularies in use, on average.
    family: Option<Family>,
}

/// What a character is to a tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Digit,
    Space,
    Mark,
    /// Outside ASCII; as a byte also the backslash, whose meaning stands behind it.
    Other,
}

impl Kind {
    fn of(byte: u8) -> Self {
        CLASSES
            .get(usize::from(byte))
            .copied()
            .unwrap_or(Self::Other)
    }
}

/// The run of like characters that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    class: Kind,
    /// Characters of it before the last one.
    at: usize,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            class: Kind::Other,
            at: 0,
        }
    }
}

impl Run {
    /// How many characters of a class have just been read.
    fn length(self, class: Kind) -> usize {
        if class == self.class { self.at + 1 } else { 0 }
    }

    /// Takes the next character, and says what it adds.
    fn next(&mut self, class: Kind) -> Milli {
        self.at = if class == self.class { self.at + 1 } else { 0 };
        self.class = class;
        let at = if self.at < RUN {
            self.at
        } else {
            RUN - 3 + self.at % 3
        };
        let adds = ADDS.get(class as usize).and_then(|adds| adds.get(at));
        adds.copied().unwrap_or(0)
    }
}

impl Counter {
    /// Counts as this family does.
    #[must_use]
    pub fn of(family: Option<Family>) -> Self {
        Self {
            family,
            ..Self::default()
        }
    }

    /// Adds the text of a JSON string or any JSON value, as it stands in the request.
    pub fn add_json(&mut self, raw: &str) {
        if let Some(family) = self.family {
            return self.add_as(family, raw);
        }
        let mut run = Run::default();
        let mut rest = raw;
        while !rest.is_empty() {
            let (block, read) = Block::of(rest.as_bytes());
            self.total += block.tokens(&run);
            self.chars += block.length() as u64;
            run = block.last_run(run);
            rest = rest.split_at_checked(read).map_or("", |(_, rest)| rest);
            if read < BLOCK {
                rest = self.add_others(rest, &mut run);
            }
        }
    }

    /// Adds the characters up to the next of plain ASCII: those outside it, and escapes.
    fn add_others<'a>(&mut self, text: &'a str, run: &mut Run) -> &'a str {
        let mut rest = text;
        while let Some((code, after)) = other(rest) {
            let class = self.other(code);
            self.total += run.next(class);
            self.chars += 1;
            rest = after;
        }
        rest
    }

    fn add_as(&mut self, family: Family, raw: &str) {
        let mut reader = Reader::of(family);
        let mut rest = raw;
        while !rest.is_empty() {
            let (block, read) = Block::with_case(rest.as_bytes());
            self.total = self.total.saturating_add_signed(reader.block(&block));
            self.chars += block.length() as u64;
            rest = rest.split_at_checked(read).map_or("", |(_, rest)| rest);
            if read < BLOCK {
                while let Some((code, after)) = other(rest) {
                    self.total = self.total.saturating_add_signed(reader.next(code));
                    self.chars += 1;
                    rest = after;
                }
            }
        }
    }

    /// Adds a whole number of tokens.
    pub fn add_tokens(&mut self, tokens: u64) {
        self.total = self.total.saturating_add(tokens.saturating_mul(1_000));
    }

    /// The estimate, rounded up.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.total.div_ceil(1_000)
    }

    /// The class of a character that was escaped or is outside ASCII; the latter is counted.
    fn other(&mut self, code: u32) -> Kind {
        match u8::try_from(code) {
            Ok(b'\\') => Kind::Mark,
            Ok(byte @ 0..0x80) => Kind::of(byte),
            _ => {
                self.total += single(code);
                self.foreign += u64::from(code >= 0x250);
                Kind::Other
            }
        }
    }
}

/// Thousandths of a token of a character outside ASCII.
fn single(code: u32) -> Milli {
    match code {
        // Latin with marks: breaks the word around it
        ..=0x24F => 600,
        // Greek, Cyrillic, Armenian
        0x250..=0x58F => 400,
        // Hebrew, Arabic, and the scripts of India and South-East Asia
        0x590..=0x10FF => 600,
        // kana and punctuation of Chinese and Japanese
        0x3000..=0x30FF => 700,
        // Chinese characters, Hangul
        0x3400..=0x9FFF => 700,
        0xAC00..=0xD7A3 => 800,
        0xFF00..=0xFFEF => 900,
        // emoji and everything rare
        0x1_0000.. => 2_000,
        _ => 1_000,
    }
}

/// The character that a text begins with, if it is outside ASCII or escaped, and what follows.
fn other(text: &str) -> Option<(u32, &str)> {
    let (code, length) = match text.as_bytes().split_first()? {
        (b'\\', after) => escape(after),
        (0x80.., _) => scalar(text),
        _ => return None,
    };
    Some((code, text.get(length..).unwrap_or_default()))
}

/// The character of an escape, and its length with the backslash.
fn escape(after: &[u8]) -> (u32, usize) {
    match after.first() {
        Some(b'n' | b'r' | b't') => (0x0A, 2),
        Some(b'u') => {
            let code = after
                .get(1..5)
                .and_then(|hex| std::str::from_utf8(hex).ok())
                .and_then(|hex| u32::from_str_radix(hex, 16).ok());
            match code {
                // the second half of a pair: most of it was counted with the first
                Some(0xDC00..=0xDFFF) => (0x80, 6),
                Some(0xD800..=0xDBFF) => (0x1_F600, 6),
                Some(code) => (code, 6),
                None => (0x5C, 2),
            }
        }
        Some(other @ ..0x80) => (u32::from(*other), 2),
        Some(_) | None => (0x5C, 1),
    }
}

/// The first character of a text, and its length in bytes.
fn scalar(text: &str) -> (u32, usize) {
    let first = text.chars().next();
    first.map_or((0xFFFD, 1), |c| (u32::from(c), c.len_utf8()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(text: &str) -> u64 {
        let mut counter = Counter::default();
        counter.add_json(text);
        counter.tokens()
    }

    /// Counts of the o200k vocabulary, for which the estimate may be a quarter off.
    #[test]
    fn the_estimate_is_near_real_tokenizers_on_prose_code_and_chinese() {
        for (text, real) in [
            ("The quick brown fox jumps over the lazy dog.", 10),
            (
                "Please summarise the following meeting notes in three short bullet points.",
                13,
            ),
            (
                "人工智能正在改变我们的生活方式，许多公司都在使用大语言模型。",
                20,
            ),
            (
                "Die Abteilung hat den Bericht gestern pünktlich abgegeben.",
                13,
            ),
        ] {
            let got = count(text);
            assert!(
                got * 4 >= real * 3 && got * 4 <= real * 5,
                "{text}: {got} for {real}"
            );
        }
    }

    #[test]
    fn long_runs_count_by_their_length() {
        for (run, length, tokens) in [
            ("a", 1, 1),
            ("a", 8, 1),
            ("a", 12, 2),
            ("a", 48, 11),
            ("7", 3, 1),
            ("7", 4, 2),
            ("7", 90, 30),
            (" ", 1, 0),
            (" ", 2, 1),
            (" ", 70, 1),
        ] {
            assert_eq!(count(&run.repeat(length)), tokens, "{run} × {length}");
        }
    }

    #[test]
    fn an_escape_counts_as_what_it_means() {
        assert_eq!(count(r"a\nb"), count("a\nb"));
        assert_eq!(count(r"\u4eba\u5de5"), count("人工"));
        assert!(count(r"\ud83d\ude00") <= 3);
        // no JSON, and still read to its end
        assert_eq!(count("\\é"), 2);
    }

    /// The same, character by character.
    fn count_slowly(text: &str) -> Counter {
        let mut counter = Counter::default();
        let mut run = Run::default();
        let mut at = 0;
        while let Some(&byte) = text.as_bytes().get(at) {
            let (class, length) = match byte {
                b'\\' => {
                    let (code, length) = escape(&text.as_bytes()[at + 1..]);
                    (counter.other(code), length)
                }
                0x80.. => {
                    let (code, length) = scalar(&text[at..]);
                    (counter.other(code), length)
                }
                _ => (Kind::of(byte), 1),
            };
            counter.total += run.next(class);
            counter.chars += 1;
            at += length;
        }
        counter
    }

    /// The same as a family counts.
    fn count_slowly_as(family: Family, text: &str) -> Counter {
        let mut counter = Counter::of(Some(family));
        let mut reader = Reader::of(family);
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (code, after) = other(rest).unwrap_or_else(|| (u32::from(first), &rest[1..]));
            counter.total = counter.total.saturating_add_signed(reader.next(code));
            counter.chars += 1;
            rest = after;
        }
        counter
    }

    const PIECES: &str = "([a-zA-Z]{0,40}|[0-9]{0,20}| {0,9}|[\\x00-\\x7f]{0,9}|[.,:\"{}]{0,9}|\\\\\\\\n|\\\\n|\\\\u0041|é|人工|[A-Z]{0,9}|z{60,70}|7{60,70}| {60,70}|\t{0,9}){0,24}";

    proptest! {
        #[test]
        fn blocks_count_as_their_characters_do(text in PIECES) {
            let mut counter = Counter::default();
            counter.add_json(&text);
            prop_assert_eq!(counter, count_slowly(&text));
        }

        #[test]
        fn blocks_count_as_their_characters_do_for_each_family(text in PIECES) {
            for family in Family::ALL {
                let mut counter = Counter::of(Some(family));
                counter.add_json(&text);
                prop_assert_eq!(counter, count_slowly_as(family, &text), "{:?}", family);
            }
        }

        #[test]
        fn a_longer_text_never_has_fewer_tokens(a in "\\PC{0,60}", b in "\\PC{0,60}") {
            let both = format!("{a}{b}");
            prop_assert!(count(&both) + 1 >= count(&a));
        }

        #[test]
        fn a_token_is_at_least_a_third_of_a_character(text in "\\PC{1,200}") {
            prop_assert!(count(&text) <= 3 * text.chars().count() as u64);
        }

        #[test]
        fn any_text_is_counted_without_panic(text in any::<String>()) {
            count(&text);
        }
    }
}
