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
}

impl Block {
    /// Of the characters that a text begins with, and how many bytes they are; none where the first
    /// is outside ASCII or an escape of a number.
    pub(super) fn of(text: &[u8]) -> (Self, usize) {
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
        };
        let read = if escapes == 0 {
            read
        } else {
            block.unescape(bytes, escapes)
        };
        let within = below(block.length);
        for mask in [&mut block.letters, &mut block.digits, &mut block.spaces] {
            *mask &= within;
        }
        block.marks = within & !(block.letters | block.digits | block.spaces);
        (block, read)
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
                }
                Some(_) => {}
            }
            for mask in [&mut self.letters, &mut self.digits, &mut self.spaces] {
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
        let [_, _, _, [mark, ..], _] = ADDS;
        self.words(run.length(Kind::Letter))
            + self.numbers(run.length(Kind::Digit))
            + self.gaps(run.length(Kind::Space))
            + ones(self.marks) * mark
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

    /// A token for each word, and a quarter for each letter after the eighth.
    fn words(&self, before: usize) -> Milli {
        let [[first, ..], ..] = ADDS;
        let [[.., more], ..] = ADDS;
        let letters = self.letters;
        let begin = letters & !(letters << 1 | u64::from(before > 0));
        let two = letters & letters << 1;
        let four = two & two << 2;
        let eight = four & four << 4;
        let mut long = ones(letters & eight << 1);
        if before > 0 {
            // the word goes on that the block before ended with
            let rest = letters.trailing_ones() as usize;
            let after_eighth = |length: usize| length.saturating_sub(WORD) as u64;
            long += after_eighth(before + rest) - after_eighth(before) - after_eighth(rest);
        }
        ones(begin) * first + long * more
    }

    /// A token for each three digits.
    fn numbers(&self, before: usize) -> Milli {
        let [_, [first, ..], ..] = ADDS;
        let mut left = self.digits;
        let mut tokens = 0;
        while left != 0 {
            let begins = left.trailing_zeros();
            let length = (left >> begins).trailing_ones() as usize;
            let earlier = if begins == 0 { before } else { 0 };
            tokens += (earlier + length).div_ceil(3) - earlier.div_ceil(3);
            left &= !(below(length) << begins);
        }
        tokens as u64 * first
    }

    /// A token for each gap of more than one space.
    fn gaps(&self, before: usize) -> Milli {
        let [_, _, [_, second, ..], ..] = ADDS;
        let pairs = self.spaces & (self.spaces << 1 | u64::from(before > 0));
        let seconds = pairs & !(pairs << 1 | u64::from(before > 1));
        ones(seconds) * second
    }
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
