//! Which requests without a good key have a line in the log: a few each second. Anybody can send
//! them, so a line for each would let anybody fill the disk. Metrics count all of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Lines of a second.
const MOST: u64 = 10;

/// What was written, and what was not.
#[derive(Debug, Default)]
pub struct Strangers {
    /// The second that is counted, plus one.
    second: AtomicU64,
    lines: AtomicU64,
    left_out: AtomicU64,
}

impl Strangers {
    /// May one more line be written? Then how many were left out since the last one. Two at the
    /// turn of a second may make it a line more or less.
    pub(super) fn line(&self, now_ms: u64) -> Option<u64> {
        let second = now_ms / 1_000 + 1;
        if self.second.swap(second, Relaxed) != second {
            self.lines.store(0, Relaxed);
        }
        if self.lines.fetch_add(1, Relaxed) < MOST {
            Some(self.left_out.swap(0, Relaxed))
        } else {
            self.left_out.fetch_add(1, Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lines_a_second_are_written_and_the_next_one_counts_the_others() {
        let strangers = Strangers::default();
        let written = (0..25).filter(|_| strangers.line(500).is_some()).count();
        assert_eq!(written, 10);
        assert_eq!(strangers.line(999), None);
        assert_eq!(strangers.line(1_000), Some(16));
        assert_eq!(strangers.line(1_001), Some(0));
    }
}
