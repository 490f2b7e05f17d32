//! Tokens a minute: a bucket that is filled evenly, taken from by estimate and corrected by fact.
//!
//! Pure: time is an argument, in milliseconds on a clock that only goes forward. An estimate that
//! was too low leaves the bucket below zero, and the next ones wait until it is filled again.

use std::sync::{Mutex, PoisonError};

use super::rate::Level;

/// Milliseconds of a minute.
const MINUTE: u64 = 60_000;

/// A limit of tokens a minute.
#[derive(Debug)]
pub struct Bucket {
    /// Tokens a minute; the bucket holds as many.
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// What is left, in 1/60,000 of a token, so that every millisecond adds a whole number.
    left: i128,
    /// When it was last filled.
    at: u64,
}

impl Bucket {
    /// A full bucket of `limit` tokens a minute.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        let state = State {
            left: i128::from(limit) * i128::from(MINUTE),
            at: 0,
        };
        Self {
            limit,
            state: Mutex::new(state),
        }
    }

    /// Takes so many tokens; more than the whole bucket counts as the whole, or else such a
    /// request could never come. Returns how many were taken.
    ///
    /// # Errors
    /// If there are not so many: milliseconds until there are.
    pub fn take(&self, tokens: u64, now: u64) -> Result<u64, u64> {
        let tokens = tokens.min(self.limit);
        self.with(now, |state| {
            let missing = units(tokens) - state.left;
            if missing > 0 {
                let per_ms = i128::from(self.limit.max(1));
                let wait = (missing + per_ms - 1) / per_ms;
                return Err(u64::try_from(wait).unwrap_or(u64::MAX));
            }
            state.left -= units(tokens);
            Ok(tokens)
        })
    }

    /// Corrects what was taken to what was used. It may go below zero, but by no more than one
    /// bucket: a single report must not close a key for hours.
    pub fn settle(&self, taken: u64, used: u64, now: u64) {
        self.with(now, |state| {
            let corrected = state.left + units(taken) - units(used);
            state.left = corrected.clamp(-units(self.limit), units(self.limit));
        });
    }

    /// How full it is.
    #[must_use]
    pub fn level(&self, now: u64) -> Level {
        self.with(now, |state| {
            let used = units(self.limit) - state.left;
            let per_ms = i128::from(self.limit.max(1));
            Level {
                limit: self.limit,
                remaining: u64::try_from(state.left / i128::from(MINUTE)).unwrap_or(0),
                reset_ms: u64::try_from((used + per_ms - 1) / per_ms).unwrap_or(0),
            }
        })
    }

    /// Fills the bucket up to now, then looks at it.
    fn with<T>(&self, now: u64, look: impl FnOnce(&mut State) -> T) -> T {
        // nothing in here panics; were it so, the level would still be a level
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = i128::from(now.saturating_sub(state.at));
        state.left = (state.left + passed * i128::from(self.limit)).min(units(self.limit));
        state.at = state.at.max(now);
        look(&mut state)
    }
}

fn units(tokens: u64) -> i128 {
    i128::from(tokens) * i128::from(MINUTE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_come_back_evenly_over_the_minute() {
        let bucket = Bucket::new(600);
        assert_eq!(bucket.take(600, 0), Ok(600));
        assert_eq!(bucket.take(10, 0), Err(1_000));
        assert_eq!(bucket.take(10, 999), Err(1));
        assert_eq!(bucket.take(10, 1_000), Ok(10));
        assert_eq!(bucket.level(60_000).remaining, 590);
    }

    #[test]
    fn an_estimate_is_corrected_in_both_directions() {
        let bucket = Bucket::new(1_000);
        bucket.take(800, 0).unwrap();
        bucket.settle(800, 100, 0);
        assert_eq!(bucket.level(0).remaining, 900);
        bucket.take(100, 0).unwrap();
        bucket.settle(100, 1_500, 0);
        assert_eq!(bucket.level(0).remaining, 0);
        assert_eq!(bucket.take(1, 0), Err(36_060));
    }

    #[test]
    fn a_request_larger_than_the_bucket_waits_for_a_full_one() {
        let bucket = Bucket::new(100);
        assert_eq!(bucket.take(1_000_000, 0), Ok(100));
        assert_eq!(bucket.take(1_000_000, 0), Err(60_000));
    }

    proptest! {
        #[test]
        fn it_never_holds_more_than_the_limit_nor_less_than_one_bucket_below_zero(
            limit in 1_u64..10_000,
            steps in prop::collection::vec((0_u64..5_000, 0_u64..20_000, any::<u64>()), 1..50),
        ) {
            let bucket = Bucket::new(limit);
            let mut now = 0;
            for (pause, tokens, used) in steps {
                now += pause;
                if let Ok(taken) = bucket.take(tokens, now) {
                    bucket.settle(taken, used, now);
                }
                let left = bucket.state.lock().unwrap().left;
                prop_assert!(left <= units(limit) && left >= -units(limit));
            }
        }

        #[test]
        fn within_a_minute_no_more_is_taken_than_a_full_bucket_and_a_minutes_filling(
            limit in 1_u64..5_000,
            steps in prop::collection::vec((0_u64..500, 1_u64..500), 1..100),
        ) {
            let bucket = Bucket::new(limit);
            let (mut now, mut sum) = (0, 0);
            for (pause, tokens) in steps {
                now += pause;
                if now > MINUTE { break }
                sum += bucket.take(tokens, now).unwrap_or(0);
            }
            prop_assert!(sum <= 2 * limit);
        }
    }
}
