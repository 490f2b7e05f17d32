//! What a simulated model has in its cache: the prompts that it has read.
//!
//! As providers do, it finds the longest beginning that a prompt has in common with one that was
//! read before, in whole blocks. Unlike them it forgets by number alone, so that tests need no clock.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Tokens of a block.
const BLOCK: u64 = 64;
/// Prompts that are kept, the latest ones.
const KEPT: usize = 64;
/// Bytes of a prompt that are kept.
const LONGEST: usize = 256 * 1024;

/// The prompts that were read.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<VecDeque<Box<[u8]>>>);

impl Memory {
    /// Tokens of a prompt that were read before, and keeps it; `text` has so many tokens.
    pub(crate) fn read(&self, text: &[u8], tokens: u64) -> u64 {
        // what follows the last message begins otherwise in the next turn
        let text = text.strip_suffix(b"]").unwrap_or(text);
        let kept = text.get(..LONGEST).unwrap_or(text);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let common = |old: &[u8]| old.iter().zip(kept).take_while(|(a, b)| a == b).count();
        let common = all.iter().map(|old| common(old)).max().unwrap_or(0);
        if all.len() == KEPT {
            all.pop_front();
        }
        all.push_back(kept.into());
        let length = text.len().max(1) as u64;
        (common as u64).saturating_mul(tokens) / length / BLOCK * BLOCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_that_was_read_before_is_cached_in_whole_blocks() {
        let memory = Memory::default();
        let turn = |n: usize| [b"[".as_slice(), "word ".repeat(n).as_bytes(), b"]"].concat();
        assert_eq!(memory.read(&turn(1_000), 1_000), 0);
        let cached = memory.read(&turn(2_000), 2_000);
        assert_eq!((cached, cached % BLOCK), (960, 0));
        assert_eq!(memory.read(&turn(2_000), 2_000), 1_984);
        // one byte of six
        assert_eq!(memory.read(b"[other]", 2_000), 320);
        for n in 0..KEPT {
            memory.read(format!("<{n}").as_bytes(), 10);
        }
        assert_eq!(memory.read(&turn(1_000), 1_000), 0);
    }
}
