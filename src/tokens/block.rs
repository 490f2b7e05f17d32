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
const WORD: u32 = 8;

/// Plain characters: ASCII without the backslash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    /// How many there are; bits above are unset in all masks.
    pub(super) length: usize,
    letters: u64,
    digits: u64,
    spaces: u64,
}

impl Block {
    /// The plain characters at the beginning of a text.
    pub(super) fn of(text: &[u8]) -> Self {
        let (found, most) = match text.first_chunk() {
            Some(block) => (masks(block), BLOCK),
            None => {
                let mut block = [0; BLOCK];
                for (to, from) in block.iter_mut().zip(text) {
                    *to = *from;
                }
                (masks(&block), text.len())
            }
        };
        let [letters, digits, spaces, special] = found;
        let length = most.min(special.trailing_zeros() as usize);
        let within = below(length);
        Self {
            length,
            letters: letters & within,
            digits: digits & within,
            spaces: spaces & within,
        }
    }

    /// What they add, after `run`.
    pub(super) fn tokens(&self, run: &Run) -> Milli {
        let marks = below(self.length) & !(self.letters | self.digits | self.spaces);
        let [_, _, _, [mark, ..], _] = ADDS;
        self.words(run.length(Kind::Letter))
            + self.numbers(run.length(Kind::Digit))
            + self.gaps(run.length(Kind::Space))
            + u64::from(marks.count_ones()) * mark
    }

    /// The run that the last character is of; there is one.
    pub(super) fn last_run(&self, before: Run) -> Run {
        let marks = below(self.length) & !(self.letters | self.digits | self.spaces);
        let all = [
            (Kind::Letter, self.letters),
            (Kind::Digit, self.digits),
            (Kind::Space, self.spaces),
            (Kind::Mark, marks),
        ];
        let ending = all.map(|(class, mask)| {
            let others = !mask << (BLOCK - self.length);
            let length = (others.leading_zeros() as usize).min(self.length);
            (class, length)
        });
        let last = ending.into_iter().find(|(_, length)| *length > 0);
        let (class, length) = last.unwrap_or((Kind::Other, 1));
        let earlier = if length == self.length {
            before.length(class)
        } else {
            0
        };
        Run {
            class,
            at: earlier + length - 1,
        }
    }

    /// A token for each word, and a quarter for each letter after the eighth.
    fn words(&self, before: usize) -> Milli {
        let [[first, ..], ..] = ADDS;
        let [[.., more], ..] = ADDS;
        // the eight letters before the block stand below it
        let read = (1_u128 << before.min(WORD as usize)) - 1;
        let shown = read << (WORD as usize - before.min(WORD as usize));
        let letters = u128::from(self.letters) << WORD | shown;
        let begin = letters & !(letters << 1);
        let two = letters & letters << 1;
        let four = two & two << 2;
        let eight = four & four << 4;
        let long = letters & eight << 1;
        let count = |mask: u128| u64::from(((mask >> WORD) as u64).count_ones());
        count(begin) * first + count(long) * more
    }

    /// A token for each three digits.
    fn numbers(&self, before: usize) -> Milli {
        let [_, [first, ..], ..] = ADDS;
        let mut left = self.digits;
        let mut tokens = 0;
        while left != 0 {
            let begins = left.trailing_zeros();
            let length = (!(left >> begins))
                .trailing_zeros()
                .min(BLOCK as u32 - begins);
            let earlier = if begins == 0 { before } else { 0 };
            tokens += (earlier + length as usize).div_ceil(3) - earlier.div_ceil(3);
            left &= !(below(length as usize) << begins);
        }
        tokens as u64 * first
    }

    /// A token for each gap of more than one space.
    fn gaps(&self, before: usize) -> Milli {
        let [_, _, [_, second, ..], ..] = ADDS;
        let spaces =
            u128::from(self.spaces) << 2 | u128::from(before > 0) << 1 | u128::from(before > 1);
        let pairs = spaces & spaces << 1;
        let seconds = pairs & !(pairs << 1);
        u64::from(((seconds >> 2) as u64).count_ones()) * second
    }
}

/// A bit for each byte: letters, digits, spaces, and what is not plain. The first three mean nothing
/// for the latter.
fn masks(block: &[u8; BLOCK]) -> [u64; 4] {
    let (eights, _) = block.as_chunks::<8>();
    let mut masks = [0; 4];
    for eight in eights.iter().rev() {
        let found = classes(u64::from_le_bytes(*eight));
        for (mask, bits) in masks.iter_mut().zip(found) {
            *mask = *mask << 8 | bits;
        }
    }
    masks
}

/// The same of eight bytes.
fn classes(eight: u64) -> [u64; 4] {
    let low = eight & !HIGH;
    let from = |least: u8| low + (0x80 - u64::from(least)) * EACH;
    let small = low | 0x20 * EACH;
    let letter =
        (small + (0x80 - u64::from(b'a')) * EACH) & !(small + (0x7F - u64::from(b'z')) * EACH);
    let digit = from(b'0') & !from(b'9' + 1);
    let space = !from(b' ' + 1);
    let backslash = from(b'\\') & !from(b'\\' + 1);
    let special = backslash | eight;
    [letter, digit, space, special].map(|found| {
        let bits = (found & HIGH) >> 7;
        bits.wrapping_mul(GATHER) >> 56
    })
}

/// So many bits, the lowest.
fn below(length: usize) -> u64 {
    let shift = (BLOCK - length.min(BLOCK)) as u32;
    u64::MAX.checked_shr(shift).unwrap_or(0)
}

// what is counted here in bits is what the table says of each character
const _: () = {
    assert!(ADDS[0][1] == 0 && ADDS[0][WORD as usize - 1] == 0);
    assert!(ADDS[0][WORD as usize] == ADDS[0][RUN - 1]);
    assert!(ADDS[2][0] == 0 && ADDS[2][2] == 0);
};
