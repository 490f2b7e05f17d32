//! Up to 64 plain characters at once: a bit for each of them in a mask for each class.
//!
//! Prompts are mostly such characters, and reading them one by one would be the dearest part of a
//! request. Masks are made eight bytes at a time with ordinary arithmetic; tokens are then counted
//! in them, exactly as [`Run`] counts them character by character.

use super::{ADDS, Kind, Milli, RUN, Run};

/// Characters of a block.
pub(super) const BLOCK: usize = 64;

/// Each byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte.
const HIGH: u64 = 0x80 * EACH;
/// Gathers the lowest bit of each byte in the highest byte.
const GATHER: u64 = 0x0102_0408_1020_4080;
/// Letters of a word that one token holds.
const WORD: usize = 8;

/// Plain characters: ASCII without the backslash.
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
    /// Of characters that are all plain; of more than [`BLOCK`], the first ones.
    pub(super) fn of(plain: &[u8]) -> Self {
        let (found, length) = match plain.first_chunk() {
            Some(block) => (masks(block), BLOCK),
            None => {
                let mut block = [0; BLOCK];
                if let Some(begin) = block.get_mut(..plain.len()) {
                    begin.copy_from_slice(plain);
                }
                (masks(&block), plain.len())
            }
        };
        let within = below(length);
        let [letters, digits, spaces] = found.map(|mask| mask & within);
        Self {
            length,
            letters,
            digits,
            spaces,
            marks: within & !(letters | digits | spaces),
        }
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

/// A bit for each byte: letters, digits, spaces.
fn masks(block: &[u8; BLOCK]) -> [u64; 3] {
    let (eights, _) = block.as_chunks::<8>();
    let eights = || eights.iter().map(|eight| u64::from_le_bytes(*eight)).rev();
    let (mut letters, mut spaces, mut digits) = (0, 0, 0);
    let mut any_digit = 0;
    for eight in eights() {
        letters = letters << 8 | gathered(letter(eight));
        spaces = spaces << 8 | gathered(space(eight));
        any_digit |= digit(eight);
    }
    if any_digit & HIGH != 0 {
        for eight in eights() {
            digits = digits << 8 | gathered(digit(eight));
        }
    }
    [letters, digits, spaces]
}

/// The highest bits of eight bytes as one byte.
fn gathered(found: u64) -> u64 {
    ((found & HIGH) >> 7).wrapping_mul(GATHER) >> 56
}

/// Sets the highest bit of each of eight plain bytes that is `least` or more.
fn from(eight: u64, least: u8) -> u64 {
    eight + (0x80 - u64::from(least)) * EACH
}

fn letter(eight: u64) -> u64 {
    let small = eight | (0x20 * EACH);
    from(small, b'a') & !from(small, b'z' + 1)
}

fn digit(eight: u64) -> u64 {
    from(eight, b'0') & !from(eight, b'9' + 1)
}

fn space(eight: u64) -> u64 {
    !from(eight, b' ' + 1)
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
