//! Up to 64 characters at once: a bit for each of them in a mask for each class.
//!
//! Prompts are mostly ASCII, and reading it byte by byte would be the dearest part of a request. Tokens
//! are counted in the masks exactly as [`Run`] counts them character by character.

use super::{ADDS, Kind, Milli, RUN, Run};
use crate::lanes::{self, BLOCK};

/// Letters of a word that one token holds.
const WORD: usize = 8;

/// Characters of ASCII, escapes of one letter among them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// How many there are; bits above are unset in all masks.
    length: usize,
    letters: u64,
    digits: u64,
    spaces: u64,
    marks: u64,
    /// Capitals among the letters, and white space that is no space: only [`Self::with_case`].
    capitals: u64,
    breaks: u64,
}

/// How many characters there are of what a tokenizer tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// First letters of words.
    pub(super) words: u64,
    /// Letters after the fourth and the eighth of a word.
    pub(super) over_4: u64,
    pub(super) over_8: u64,
    pub(super) capitals: u64,
    /// Capitals after a small letter.
    pub(super) humps: u64,
    pub(super) digits: u64,
    /// First ones of three digits.
    pub(super) digit_groups: u64,
    /// Second ones in a row of white space, and first ones that are no space.
    pub(super) gaps: u64,
    pub(super) marks: u64,
    /// First marks in a row.
    pub(super) mark_runs: u64,
}

impl Block {
    /// Of the characters that a text begins with, and how many bytes they are; none where the first
    /// is outside ASCII or an escape of a number.
    pub(super) fn of(text: &[u8]) -> (Self, usize) {
        Self::read::<false>(text)
    }

    /// The same, with what [`Self::counts`] needs beyond it.
    pub(super) fn with_case(text: &[u8]) -> (Self, usize) {
        Self::read::<true>(text)
    }

    fn read<const CASE: bool>(text: &[u8]) -> (Self, usize) {
        let mut short = [0; BLOCK];
        let bytes = match text.first_chunk() {
            Some(block) => block,
            None => {
                if let Some(begin) = short.get_mut(..text.len()) {
                    begin.copy_from_slice(text);
                }
                &short
            }
        };
        let high = lanes::mask(bytes, |bytes| bytes);
        let read = (high.trailing_zeros() as usize).min(text.len());
        let escapes = lanes::mask(bytes, |bytes| bytes.are(b'\\')) & below(read);
        let mut block = Self {
            length: read,
            letters: lanes::mask(bytes, |bytes| bytes.with(0x20).are_within(b'a', b'z')),
            digits: lanes::mask(bytes, |bytes| bytes.are_within(b'0', b'9')),
            spaces: lanes::mask(bytes, |bytes| bytes.are_within(0, b' ')),
            marks: 0,
            capitals: 0,
            breaks: 0,
        };
        if CASE {
            block.capitals = lanes::mask(bytes, |bytes| bytes.are_within(b'A', b'Z'));
            block.breaks = lanes::mask(bytes, |bytes| bytes.are_within(0, b' ' - 1));
        }
        let read = if escapes == 0 {
            read
        } else {
            block.unescape(bytes, escapes)
        };
        let within = below(block.length);
        for mask in block.masks() {
            *mask &= within;
        }
        block.marks = within & !(block.letters | block.digits | block.spaces);
        (block, read)
    }

    /// Those that are taken from the bytes; the marks are what is left.
    fn masks(&mut self) -> [&mut u64; 5] {
        let Self {
            letters,
            digits,
            spaces,
            capitals,
            breaks,
            ..
        } = self;
        [letters, digits, spaces, capitals, breaks]
    }

    /// Makes one character of each escape, up to one of a number or to the end; how many bytes are
    /// read then.
    fn unescape(&mut self, bytes: &[u8; BLOCK], mut escapes: u64) -> usize {
        let mut read = self.length;
        // backslashes that are taken out
        let mut out = 0;
        while escapes != 0 {
            let at = escapes.trailing_zeros() as usize;
            let means = bytes.get(at + 1).filter(|_| at + 1 < read);
            let place = at - out;
            match means {
                None | Some(b'u') => {
                    read = at;
                    break;
                }
                Some(b'n' | b'r' | b't') => {
                    self.letters &= !(2 << place);
                    self.spaces |= 2 << place;
                    self.breaks |= 2 << place;
                }
                Some(_) => {}
            }
            for mask in self.masks() {
                *mask = without(*mask, place);
            }
            out += 1;
            // what was escaped escapes nothing
            escapes &= !(3 << at);
        }
        self.length = read - out;
        read
    }

    /// How many characters there are.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// What they add, after `run`.
    pub(super) fn tokens(&self, run: &Run) -> Milli {
        let [[word, .., more], [number, ..], [_, gap, ..], [mark, ..], _] = ADDS;
        let letters = run.length(Kind::Letter);
        ones(first(self.letters, letters)) * word
            + self.letters_over::<WORD>(letters) * more
            + self.digit_groups(run.length(Kind::Digit)) * number
            + ones(second(self.spaces, run.length(Kind::Space))) * gap
            + ones(self.marks) * mark
    }

    /// What there is of each, after `run`; `small`: its last character is a small letter. Of a block
    /// [`Self::with_case`].
    pub(super) fn counts(&self, run: &Run, small: bool) -> Counts {
        let (letters, spaces) = (run.length(Kind::Letter), run.length(Kind::Space));
        let small = (self.letters & !self.capitals) << 1 | u64::from(small);
        let breaks = first(self.spaces, spaces) & self.breaks;
        Counts {
            words: ones(first(self.letters, letters)),
            over_4: self.letters_over::<4>(letters),
            over_8: self.letters_over::<WORD>(letters),
            capitals: ones(self.capitals),
            humps: ones(self.capitals & small),
            digits: ones(self.digits),
            digit_groups: self.digit_groups(run.length(Kind::Digit)),
            gaps: ones(breaks) + ones(second(self.spaces, spaces)),
            marks: ones(self.marks),
            mark_runs: ones(first(self.marks, run.length(Kind::Mark))),
        }
    }

    /// Is the last character a small letter?
    pub(super) fn ends_small(&self) -> Option<bool> {
        let last = self.length.checked_sub(1)?;
        Some((self.letters & !self.capitals) >> last & 1 == 1)
    }

    /// The run that the last character is of.
    pub(super) fn last_run(&self, before: Run) -> Run {
        let Some(last) = self.length.checked_sub(1) else {
            return before;
        };
        let has = |mask: u64| mask >> last & 1 == 1;
        let (class, mask) = match () {
            () if has(self.letters) => (Kind::Letter, self.letters),
            () if has(self.spaces) => (Kind::Space, self.spaces),
            () if has(self.digits) => (Kind::Digit, self.digits),
            () => (Kind::Mark, self.marks),
        };
        let others = !mask << (BLOCK - self.length);
        let length = (others.leading_zeros() as usize).min(self.length);
        let all = length == self.length;
        let earlier = if all { before.length(class) } else { 0 };
        Run {
            class,
            at: earlier + length - 1,
        }
    }

    /// Letters that stand after so many of their word, of which `before` stand in the block before.
    fn letters_over<const MANY: usize>(&self, before: usize) -> u64 {
        const { assert!(MANY == 4 || MANY == 8) };
        let letters = self.letters;
        let two = letters & letters << 1;
        let four = two & two << 2;
        let many = if MANY == 4 { four } else { four & four << 4 };
        let mut over = ones(letters & many << 1);
        if before > 0 {
            // the word goes on that the block before ended with
            let rest = letters.trailing_ones() as usize;
            let over_many = |length: usize| length.saturating_sub(MANY) as u64;
            over += over_many(before + rest) - over_many(before) - over_many(rest);
        }
        over
    }

    /// How many groups of three the digits make, `before` of which stand in the block before.
    fn digit_groups(&self, before: usize) -> u64 {
        let mut left = self.digits;
        let mut groups = 0;
        while left != 0 {
            let begins = left.trailing_zeros();
            let length = (left >> begins).trailing_ones() as usize;
            let earlier = if begins == 0 { before } else { 0 };
            groups += (earlier + length).div_ceil(3) - earlier.div_ceil(3);
            left &= !(below(length) << begins);
        }
        groups as u64
    }
}

/// The first ones of rows of bits; `before`: so many are set in the mask before, at its end.
fn first(mask: u64, before: usize) -> u64 {
    mask & !(mask << 1 | u64::from(before > 0))
}

/// The second ones of rows of bits.
fn second(mask: u64, before: usize) -> u64 {
    let pairs = mask & (mask << 1 | u64::from(before > 0));
    pairs & !(pairs << 1 | u64::from(before > 1))
}

/// How many bits are set. Without an instruction for it, which not every processor has, it takes
/// long enough to look first.
fn ones(mask: u64) -> u64 {
    if mask == 0 {
        return 0;
    }
    u64::from(mask.count_ones())
}

/// A mask without one of its bits; those above move down.
fn without(mask: u64, bit: usize) -> u64 {
    let kept = below(bit);
    mask & kept | mask >> 1 & !kept
}

/// So many bits, the lowest.
fn below(length: usize) -> u64 {
    let shift = (BLOCK - length.min(BLOCK)) as u32;
    u64::MAX.checked_shr(shift).unwrap_or(0)
}

// what is counted here in bits is what the table says of each character
const _: () = {
    assert!(ADDS[0][1] == 0 && ADDS[0][WORD - 1] == 0);
    assert!(ADDS[0][WORD] == ADDS[0][RUN - 1]);
    assert!(ADDS[2][0] == 0 && ADDS[2][2] == 0);
};
