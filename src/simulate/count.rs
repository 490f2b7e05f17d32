//! The simulator's token rule, and the fingerprint that makes its answers deterministic.
//!
//! Pure. A text of b bytes is ceil(b / 4) tokens. A chat prompt costs 3 tokens, each message 4
//! more, an image 85, an audio part 50, a file 200; tools and schemas count as their JSON text.
//! No real tokenizer is imitated: a rule that fits in one's head makes expected bills obvious.

/// Tokens of a chat prompt before its first message.
pub(crate) const PROMPT_OVERHEAD: u64 = 3;
/// Tokens around each message.
pub(crate) const MESSAGE_OVERHEAD: u64 = 4;
/// Tokens of one image.
pub(crate) const IMAGE: u64 = 85;
/// Tokens of one audio part.
pub(crate) const AUDIO: u64 = 50;
/// Tokens of one file.
pub(crate) const FILE: u64 = 200;
/// Bytes in one token.
pub(crate) const BYTES_PER_TOKEN: usize = 4;

/// An odd constant with well spread bits (from splitmix64).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Tokens of a text.
pub(crate) fn tokens(text: &str) -> u64 {
    u64::try_from(text.len().div_ceil(BYTES_PER_TOKEN)).unwrap_or(u64::MAX)
}

/// A running count of a prompt.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) tokens: u64,
    /// Depends on every text that was counted, in order, and on nothing else.
    pub(crate) seed: u64,
}

impl Tally {
    pub(crate) fn new(model: &str) -> Self {
        let mut tally = Self {
            tokens: 0,
            seed: SPREAD,
        };
        tally.mark(model);
        tally
    }

    /// Counts a text and takes it into the seed.
    pub(crate) fn text(&mut self, text: &str) {
        self.add(tokens(text));
        self.mark(text);
    }

    /// Counts what has a fixed price.
    pub(crate) fn add(&mut self, tokens: u64) {
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// Takes a text into the seed without counting it.
    pub(crate) fn mark(&mut self, text: &str) {
        let (words, rest) = text.as_bytes().as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        let tail = rest
            .iter()
            .fold(0, |tail, byte| tail << 8 | u64::from(*byte));
        // the length separates "ab" + "c" from "a" + "bc"
        self.mix(tail ^ (text.len() as u64) << 56);
    }

    fn mix(&mut self, word: u64) {
        self.seed = (self.seed ^ word).wrapping_mul(SPREAD).rotate_left(29);
    }
}

/// The `index`-th number of the sequence that `seed` starts (splitmix64).
pub(crate) fn nth(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(SPREAD));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bytes_are_a_token_and_a_rest_is_one_more() {
        for (text, want) in [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("日本", 2)] {
            assert_eq!(tokens(text), want, "{text}");
        }
    }

    #[test]
    fn the_seed_tells_texts_and_their_borders_apart() {
        let seed = |texts: &[&str]| {
            let mut tally = Tally::new("m");
            texts.iter().for_each(|text| tally.text(text));
            tally.seed
        };
        assert_eq!(seed(&["ab", "c"]), seed(&["ab", "c"]));
        assert_ne!(seed(&["ab", "c"]), seed(&["a", "bc"]));
        assert_ne!(seed(&["a long enough text"]), seed(&["a long enough teyt"]));
        assert_ne!(seed(&[""]), seed(&[]));
    }
}
