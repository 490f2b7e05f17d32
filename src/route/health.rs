//! Whether a backend should be asked now, from how it last failed.
//!
//! Two states beside "up". *Cooling*: the backend is busy and is left alone for a while; for how
//! long is what it asked for, or a guess that grows while it stays busy. *Down*: it refuses our
//! key, has no money left or does not know the model; that passes when a call succeeds. Time is
//! an argument: milliseconds on any clock that only goes forward.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

/// The first guess of a cool-down, in milliseconds; doubled for each further busy answer.
const FIRST_GUESS_MS: u64 = 1_000;
/// The longest guess, in milliseconds.
const LONGEST_GUESS_MS: u64 = 30_000;
/// The longest cool-down that a backend may ask for, in milliseconds: an hour.
const LONGEST_ASKED_MS: u64 = 3_600_000;
/// How long a backend that is down is left alone before one call may try it, in milliseconds.
const DOWN_MS: u64 = 30_000;

/// Why a backend is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DownReason {
    /// 401 or 403: it refuses our key.
    KeyRefused = 1,
    /// 402, or a 400 or 429 that says there is no balance.
    OutOfMoney = 2,
    /// 404: it does not know the model.
    ModelUnknown = 3,
}

impl DownReason {
    /// The words in messages and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KeyRefused => "refuses our key",
            Self::OutOfMoney => "is out of money",
            Self::ModelUnknown => "does not know the model",
        }
    }
}

/// How a backend stands at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Ready.
    Up,
    /// Busy for so many more milliseconds.
    Cooling {
        /// Milliseconds left.
        left_ms: u64,
        /// Did the backend say so itself?
        asked: bool,
    },
    /// Does not serve us.
    Down(DownReason),
}

/// The health of one backend; shared by all requests, without a lock.
#[derive(Debug, Default)]
pub struct Health {
    /// Left alone until then.
    until_ms: AtomicU64,
    /// Busy answers in a row.
    busy: AtomicU32,
    /// 0 up, 1..=3 a `DownReason`, 4 cooling by guess, 5 cooling as asked.
    state: AtomicU8,
}

const GUESSED: u8 = 4;
const ASKED: u8 = 5;

impl Health {
    /// How the backend stands at `now_ms`.
    #[must_use]
    pub fn standing(&self, now_ms: u64) -> Standing {
        let state = self.state.load(Relaxed);
        let left_ms = self.until_ms.load(Relaxed).saturating_sub(now_ms);
        match state {
            0 => Standing::Up,
            _ if left_ms == 0 => Standing::Up,
            1 => Standing::Down(DownReason::KeyRefused),
            2 => Standing::Down(DownReason::OutOfMoney),
            3 => Standing::Down(DownReason::ModelUnknown),
            _ => Standing::Cooling {
                left_ms,
                asked: state == ASKED,
            },
        }
    }

    /// A call succeeded: the backend is up.
    pub fn succeeded(&self) {
        // read first: on the usual path nothing is written, and no cache line changes hands
        if self.state.load(Relaxed) != 0 {
            self.state.store(0, Relaxed);
            self.busy.store(0, Relaxed);
        }
    }

    /// The backend was too busy; it may have said for how long.
    pub fn busy(&self, now_ms: u64, retry_after_ms: Option<u64>) {
        let times = self.busy.fetch_add(1, Relaxed).min(16);
        let (wait, state) = match retry_after_ms {
            Some(asked) => (asked.min(LONGEST_ASKED_MS), ASKED),
            None => ((FIRST_GUESS_MS << times).min(LONGEST_GUESS_MS), GUESSED),
        };
        self.set(now_ms.saturating_add(wait), state);
    }

    /// The backend does not serve us.
    pub fn down(&self, now_ms: u64, reason: DownReason) {
        self.set(now_ms.saturating_add(DOWN_MS), reason as u8);
    }

    fn set(&self, until_ms: u64, state: u8) {
        self.until_ms.store(until_ms, Relaxed);
        self.state.store(state, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cool_down_lasts_as_long_as_the_backend_asked() {
        let health = Health::default();
        health.busy(1_000, Some(2_000));
        assert_eq!(
            health.standing(1_500),
            Standing::Cooling {
                left_ms: 1_500,
                asked: true
            }
        );
        assert_eq!(health.standing(3_000), Standing::Up);
    }

    #[test]
    fn a_guessed_cool_down_doubles_up_to_its_limit_and_forgets_on_success() {
        let health = Health::default();
        let left = |health: &Health| match health.standing(0) {
            Standing::Cooling {
                left_ms,
                asked: false,
            } => left_ms,
            other => panic!("{other:?}"),
        };
        let seen: Vec<u64> = (0..8)
            .map(|_| {
                health.busy(0, None);
                left(&health)
            })
            .collect();
        assert_eq!(
            seen,
            [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]
        );
        health.succeeded();
        assert_eq!(health.standing(0), Standing::Up);
        health.busy(0, None);
        assert_eq!(left(&health), 1_000);
    }

    #[test]
    fn a_backend_that_refuses_us_is_down_until_a_call_may_try_again() {
        let health = Health::default();
        health.down(0, DownReason::OutOfMoney);
        assert_eq!(
            health.standing(DOWN_MS - 1),
            Standing::Down(DownReason::OutOfMoney)
        );
        assert_eq!(health.standing(DOWN_MS), Standing::Up);
    }

    #[test]
    fn no_wait_that_a_backend_can_ask_for_is_endless() {
        let health = Health::default();
        health.busy(0, Some(u64::MAX));
        assert_eq!(health.standing(LONGEST_ASKED_MS), Standing::Up);
    }
}
