//! Sixteen bytes compared at once, in what every processor of the platform has for it.
//!
//! Prompts and answers are looked through byte by byte for quotes, escapes, letters and words; this is
//! the dearest part of a request unless many bytes are looked at together.

use wide::u8x16;

/// How many bytes are compared at once.
pub const LANES: usize = 16;
/// Bytes for which one number holds a bit each.
pub const BLOCK: usize = 64;

/// A bit for each of 64 bytes, the first byte's the lowest: is it so?
#[inline]
pub fn mask(block: &[u8; BLOCK], is: impl Fn(Lanes) -> Lanes) -> u64 {
    let (sixteens, _) = block.as_chunks::<LANES>();
    let bits = sixteens.iter().map(|bytes| is(Lanes::of(bytes)).bits());
    bits.rev()
        .fold(0, |all, bits| all << LANES | u64::from(bits))
}

/// How many bytes are so, of several things that they, with the byte after them, can be. Behind the last
/// one there is a zero.
pub fn counts<const N: usize>(
    bytes: &[u8],
    are: impl Fn(Lanes, Lanes) -> [Lanes; N],
) -> [usize; N] {
    let mut all = [0; N];
    let mut at = 0;
    while at < bytes.len() {
        // as many as a byte can count
        let mut sums = [u8x16::splat(0); N];
        for _ in 0..u8::MAX {
            if at >= bytes.len() {
                break;
            }
            let (here, next) = (Lanes::at(bytes, at), Lanes::at(bytes, at + 1));
            for (sum, are) in sums.iter_mut().zip(are(here, next)) {
                // all bits are less by one than none
                *sum -= are.0;
            }
            at += LANES;
        }
        for (all, sum) in all.iter_mut().zip(sums) {
            *all += sum.to_array().into_iter().map(usize::from).sum::<usize>();
        }
    }
    all
}

/// Sixteen bytes, or for each of them all bits: it is so, or none.
#[derive(Debug, Clone, Copy)]
pub struct Lanes(u8x16);

impl Lanes {
    #[inline]
    #[must_use]
    pub fn of(bytes: &[u8; LANES]) -> Self {
        Self(u8x16::new(*bytes))
    }

    /// The bytes from there on, and zeros behind the last one.
    #[inline]
    fn at(bytes: &[u8], at: usize) -> Self {
        let rest = bytes.get(at..).unwrap_or_default();
        if let Some(bytes) = rest.first_chunk() {
            return Self::of(bytes);
        }
        let mut last = [0; LANES];
        for (place, byte) in last.iter_mut().zip(rest) {
            *place = *byte;
        }
        Self::of(&last)
    }

    /// Which of them are this byte?
    #[inline]
    #[must_use]
    pub fn are(self, byte: u8) -> Self {
        Self(self.0.simd_eq(u8x16::splat(byte)))
    }

    /// Which of them are one of `first` to `last`?
    #[inline]
    #[must_use]
    pub fn are_within(self, first: u8, last: u8) -> Self {
        let above = self.0 - u8x16::splat(first);
        let held = above.min(u8x16::splat(last - first));
        Self(above.simd_eq(held))
    }

    /// Sets these bits in each.
    #[inline]
    #[must_use]
    pub fn with(self, bits: u8) -> Self {
        Self(self.0 | u8x16::splat(bits))
    }

    /// Which of them are so, or so?
    #[inline]
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Which of these are so, and not so?
    #[inline]
    #[must_use]
    pub fn and_not(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Which of them are so, and so?
    #[inline]
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The highest bit of each, the first byte's the lowest.
    #[inline]
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0.to_bitmask()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_bit_says_what_its_byte_is(bytes in any::<[u8; LANES]>(), one: u8, other: u8) {
            let (first, last) = (one.min(other), one.max(other));
            let lanes = Lanes::of(&bytes);
            let bits = |is: &dyn Fn(u8) -> bool| {
                let each = bytes.iter().enumerate();
                each.fold(0_u32, |all, (at, byte)| all | u32::from(is(*byte)) << at)
            };
            prop_assert_eq!(lanes.are(first).bits(), bits(&|byte| byte == first));
            let within = bits(&|byte| (first..=last).contains(&byte));
            prop_assert_eq!(lanes.are_within(first, last).bits(), within);
            prop_assert_eq!(lanes.with(one).bits(), bits(&|byte| (byte | one) >= 0x80));
            let low = lanes.are_within(0, one);
            let both = low.and(lanes.are_within(0, other));
            prop_assert_eq!(both.bits(), bits(&|byte| byte <= first));
            let between = low.and_not(lanes.are_within(0, other));
            prop_assert_eq!(between.bits(), bits(&|byte| byte <= one && byte > other));
            let either = bits(&|byte| byte == one || byte == other);
            prop_assert_eq!(lanes.are(one).or(lanes.are(other)).bits(), either);
        }

        #[test]
        fn bytes_and_pairs_are_counted(bytes in prop::collection::vec(b'a'..b'd', 0..9_000)) {
            let [a, ab] = counts(&bytes, |here, next| {
                [here.are(b'a'), here.are(b'a').and(next.are(b'b'))]
            });
            prop_assert_eq!(a, bytes.iter().filter(|byte| **byte == b'a').count());
            prop_assert_eq!(ab, bytes.windows(2).filter(|pair| pair == b"ab").count());
        }

        #[test]
        fn a_block_has_a_bit_for_each_byte_in_order(places in prop::collection::btree_set(0..BLOCK, 0..9)) {
            let mut block = [b'a'; BLOCK];
            for place in &places {
                block[*place] = b'"';
            }
            let bits = places.iter().fold(0_u64, |all, place| all | 1 << place);
            prop_assert_eq!(mask(&block, |bytes| bytes.are(b'"')), bits);
        }
    }
}
