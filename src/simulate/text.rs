//! The words that simulated answers are made of.
//!
//! Pure: a text is a function of a seed and a length. Every word is three letters and a space, so
//! that N words are exactly N tokens by the rule of `count`.

use super::count::{BYTES_PER_TOKEN, nth};

const WORDS: [&str; 64] = [
    "the", "sun", "and", "sea", "are", "old", "but", "new", "sky", "has", "its", "own", "way",
    "one", "day", "may", "end", "yet", "our", "map", "was", "not", "all", "you", "can", "see",
    "low", "fog", "had", "hid", "two", "red", "oak", "for", "any", "who", "ask", "why", "air",
    "ice", "let", "her", "run", "far", "out", "now", "she", "did", "say", "yes", "his", "dry",
    "big", "top", "hat", "got", "wet", "too", "few", "men", "use", "ink", "pen", "box",
];

/// `tokens` words.
pub(crate) fn words(seed: u64, tokens: u64) -> String {
    let capacity = usize::try_from(tokens)
        .unwrap_or(0)
        .saturating_mul(BYTES_PER_TOKEN);
    let mut text = String::with_capacity(capacity);
    let mut bits = 0;
    for index in 0..tokens {
        // ten words from each number: six bits a word
        if index.is_multiple_of(10) {
            bits = nth(seed, index / 10);
        }
        if index > 0 {
            text.push(' ');
        }
        text.push_str(WORDS[(bits & 63) as usize]);
        bits >>= 6;
    }
    text
}

/// The first `tokens` tokens of a text, cut at a character.
pub(crate) fn truncate(text: &mut String, tokens: u64) {
    let bytes = usize::try_from(tokens)
        .unwrap_or(usize::MAX)
        .saturating_mul(BYTES_PER_TOKEN);
    text.truncate(text.floor_char_boundary(bytes));
}

/// The end of the piece of `text` that starts at `from` and is `tokens` long; always further than
/// `from` unless the text is over.
pub(crate) fn piece_end(text: &str, from: usize, tokens: u64) -> usize {
    let bytes = usize::try_from(tokens)
        .unwrap_or(usize::MAX)
        .saturating_mul(BYTES_PER_TOKEN);
    text.ceil_char_boundary(from.saturating_add(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::count::tokens;

    #[test]
    fn a_text_has_the_asked_length_in_tokens() {
        assert!(WORDS.iter().all(|word| word.len() == 3));
        for length in [0, 1, 2, 9, 10, 11, 1000] {
            assert_eq!(tokens(&words(7, length)), length);
        }
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let mut text = "日本語".to_owned();
        truncate(&mut text, 1);
        assert_eq!(text, "日");
        assert_eq!(piece_end("日本語", 0, 1), 6);
        assert_eq!(piece_end("日本語", 6, 1), 9);
    }
}
