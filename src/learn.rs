//! What is learned about a backend from its traffic: how many tokens it counts for a text, how
//! long its answers are, how soon it begins. Moving averages in atomics; no clock, no lock.
//!
//! Two requests that learn at once may lose one of the two observations. That is fine for an
//! average, and a lock on the way of every request would not be.

pub mod conversations;
pub mod lengths;
pub mod outcomes;
pub mod pace;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One, as a ratio in fixed point.
const ONE: u64 = 1 << 16;
/// What part of a prompt is expected to be in a cache that should hold it, before anything is seen:
/// providers cache in blocks, and now and then send a turn elsewhere.
const PRIOR_CACHED: u64 = ONE / 10 * 9;
/// Prompts below this say too little about a tokenizer: the template around them weighs more.
const MIN_PROMPT: u64 = 32;
/// Observations that a moving average remembers, as a shift.
const MEMORY: u32 = 4;

/// The averages of one backend.
#[derive(Debug, Default)]
pub struct Learned {
    /// Reported prompt tokens per estimated token, in 1/65,536; 0: nothing seen.
    ratio: AtomicU64,
    /// Microseconds to the first token; 0: nothing seen.
    first_token: AtomicU64,
    /// What part of a prompt that should be in its cache was, in 1/65,536; 0: nothing seen.
    cached: AtomicU64,
}

impl Learned {
    /// The estimate of a prompt, corrected by what the backend reports.
    #[must_use]
    pub fn prompt_tokens(&self, estimate: u64) -> u64 {
        match self.ratio.load(Relaxed) {
            0 => estimate,
            ratio => estimate.saturating_mul(ratio).div_ceil(ONE),
        }
    }

    /// Microseconds to the first token; `None`: nothing seen.
    #[must_use]
    pub fn first_token_us(&self) -> Option<u64> {
        Some(self.first_token.load(Relaxed)).filter(|us| *us > 0)
    }

    /// Of tokens that should be in its cache, those that will be.
    #[must_use]
    pub fn cached_tokens(&self, warm: u64) -> u64 {
        match self.cached.load(Relaxed) {
            0 => usual_share_of(warm),
            share => warm.saturating_mul(share) / ONE,
        }
    }

    /// Reported prompt tokens for each 1,000 estimated ones; `None`: nothing seen.
    #[must_use]
    pub fn prompt_tokens_per_1000(&self) -> Option<u64> {
        let ratio = Some(self.ratio.load(Relaxed)).filter(|ratio| *ratio > 0)?;
        Some(ratio.saturating_mul(1_000) / ONE)
    }

    /// An answer came: what had been estimated for its prompt, and what was reported.
    pub fn observe_prompt(&self, estimated_prompt: u64, prompt: u64) {
        if estimated_prompt >= MIN_PROMPT && prompt > 0 {
            let ratio = (prompt.saturating_mul(ONE) / estimated_prompt).clamp(ONE / 4, ONE * 4);
            average(&self.ratio, ratio, ONE);
        }
    }

    /// The next turn of a conversation came: what should have been in the cache, and what was.
    pub fn observe_cached(&self, warm: u64, cached: u64) {
        let share = cached.min(warm).saturating_mul(ONE).checked_div(warm);
        if let Some(share) = share {
            average(&self.cached, share.max(1), PRIOR_CACHED);
        }
    }

    /// The first token came after so many microseconds.
    pub fn observe_first_token(&self, us: u64) {
        average(&self.first_token, us.max(1), us.max(1));
    }
}

/// What is in a cache of so many tokens that should be.
fn usual_share_of(warm: u64) -> u64 {
    warm.saturating_mul(PRIOR_CACHED) / ONE
}

/// Moves an average toward a value; `prior` is where it starts.
fn average(cell: &AtomicU64, value: u64, prior: u64) {
    let old = match cell.load(Relaxed) {
        0 => prior,
        old => old,
    };
    let kept = old - (old >> MEMORY);
    cell.store(kept.saturating_add(value >> MEMORY).max(1), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_moves_to_what_the_backend_reports() {
        let learned = Learned::default();
        assert_eq!(learned.prompt_tokens(100), 100);
        for _ in 0..200 {
            learned.observe_prompt(100, 150);
        }
        let got = learned.prompt_tokens(100);
        assert!((148..=151).contains(&got), "{got}");
    }

    #[test]
    fn a_cache_that_holds_nothing_is_soon_not_counted_on() {
        let learned = Learned::default();
        assert!((895..=900).contains(&learned.cached_tokens(1_000)));
        learned.observe_cached(0, 100);
        for _ in 0..200 {
            learned.observe_cached(2_000, 0);
        }
        assert!(learned.cached_tokens(1_000) < 10);
        for _ in 0..200 {
            learned.observe_cached(2_000, 5_000);
        }
        assert!((990..=1_000).contains(&learned.cached_tokens(1_000)));
    }

    #[test]
    fn short_prompts_and_wild_reports_teach_little() {
        let learned = Learned::default();
        learned.observe_prompt(5, 500);
        assert_eq!(learned.prompt_tokens(100), 100);
        for _ in 0..1_000 {
            learned.observe_prompt(100, u64::MAX);
        }
        assert!(learned.prompt_tokens(100) <= 400);
    }

    #[test]
    fn the_first_observation_of_a_wait_is_taken_as_it_is() {
        let learned = Learned::default();
        assert_eq!(learned.first_token_us(), None);
        learned.observe_first_token(8_000);
        assert_eq!(learned.first_token_us(), Some(8_000));
    }
}
