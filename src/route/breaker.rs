//! The circuit breaker of one backend: whether it failed so often lately that it is left alone.
//!
//! A value without a lock or a clock: moments are milliseconds on any clock that only goes
//! forward. It opens after some failures within a window, stays open for a while that doubles for
//! repeated openings, then lets exactly one call through, whose end closes or opens it again. It
//! never decides that a request gets no answer: `plan` asks whoever is left alone all the same
//! where nobody else could serve.

use std::{collections::VecDeque, time::Duration};

use crate::config::Breaker as Settings;

/// The longest time that repeated openings grow to, in milliseconds: five minutes.
const LONGEST_OPEN_MS: u64 = 300_000;
/// Failures are too many only where they are at least one in so many calls: five failures are an
/// outage for a backend with ten calls, and noise for one with ten thousand.
const ONE_IN: u64 = 10;

/// What a breaker lets through at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Every call.
    Closed,
    /// One call; none while that one is under way.
    HalfOpen {
        /// Is it under way?
        trying: bool,
    },
    /// Nothing, for so many more milliseconds.
    Open {
        /// Milliseconds left.
        left_ms: u64,
    },
}

/// A breaker; closed at first.
#[derive(Debug, Default)]
pub struct Breaker {
    /// The latest failures, the oldest first.
    failed: VecDeque<Failed>,
    /// Calls that ended since the oldest of them.
    calls: u64,
    opened: Option<Opened>,
    /// All openings so far.
    openings: u32,
    /// Openings in a row.
    repeats: u32,
    /// When it last closed.
    closed_ms: Option<u64>,
}

/// The one call that a half-open breaker lets through: by which opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial(u32);

/// One failure.
#[derive(Debug, Clone, Copy)]
struct Failed {
    at_ms: u64,
    /// Calls that had ended by then.
    calls: u64,
}

#[derive(Debug, Clone, Copy)]
struct Opened {
    at_ms: u64,
    until_ms: u64,
    /// Failures that led to it.
    failures: u32,
    number: Trial,
    /// Is its one call under way?
    trying: bool,
}

impl Breaker {
    /// What it lets through at `now_ms`.
    #[must_use]
    pub fn state(&self, now_ms: u64) -> State {
        match self.opened {
            None => State::Closed,
            Some(opened) if opened.until_ms > now_ms => State::Open {
                left_ms: opened.until_ms - now_ms,
            },
            Some(opened) => State::HalfOpen {
                trying: opened.trying,
            },
        }
    }

    /// Failures that opened it; 0 while it is closed.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.opened.map_or(0, |opened| opened.failures)
    }

    /// Is there nothing that the end of a call could change?
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.opened.is_none() && self.failed.is_empty()
    }

    /// Takes the one call that a half-open breaker lets through; `None`: it is not half-open, or
    /// that call is taken.
    pub fn try_once(&mut self, now_ms: u64) -> Option<Trial> {
        let opened = self.opened.as_mut()?;
        (opened.until_ms <= now_ms && !opened.trying).then(|| {
            opened.trying = true;
            opened.number
        })
    }

    /// Gives back the one call, which ended without telling anything.
    pub fn give_back(&mut self, trial: Trial) {
        if let Some(opened) = self.opened.as_mut().filter(|o| o.number == trial) {
            opened.trying = false;
        }
    }

    /// A call that began at `began_ms` succeeded. One that began before the failures says nothing
    /// about the time after them.
    pub fn succeeded(&mut self, began_ms: u64, now_ms: u64, settings: &Settings) {
        match self.opened {
            Some(opened) if began_ms >= opened.at_ms => {
                self.opened = None;
                self.closed_ms = Some(now_ms);
            }
            Some(_) => {}
            None => {
                self.forget(now_ms, settings);
                self.calls += u64::from(!self.failed.is_empty());
            }
        }
    }

    /// A call that began at `began_ms` failed; it may have been the one that was let through.
    pub fn failed(
        &mut self,
        trial: Option<Trial>,
        began_ms: u64,
        now_ms: u64,
        settings: &Settings,
    ) {
        if let Some(opened) = self.opened {
            if trial == Some(opened.number) {
                self.open(opened.failures.saturating_add(1), now_ms, settings);
            }
            return;
        }
        if self.closed_ms.is_some_and(|closed| began_ms < closed) {
            // it began while the backend was failing, and was asked again since
            return;
        }
        self.forget(now_ms, settings);
        self.calls += 1;
        self.failed.push_back(Failed {
            at_ms: now_ms,
            calls: self.calls,
        });
        let most = usize::try_from(settings.failures).unwrap_or(usize::MAX);
        if self.failed.len() > most {
            self.failed.pop_front();
        }
        if self.failed.len() == most && self.share_is_high() {
            let recent = |closed| now_ms.saturating_sub(closed) < ms(settings.window);
            if !self.closed_ms.is_some_and(recent) {
                self.repeats = 0;
            }
            self.open(settings.failures, now_ms, settings);
        }
    }

    fn share_is_high(&self) -> bool {
        let oldest = self.failed.front().map_or(0, |failed| failed.calls);
        let calls = (self.calls + 1).saturating_sub(oldest);
        self.failed.len() as u64 * ONE_IN >= calls
    }

    fn open(&mut self, failures: u32, now_ms: u64, settings: &Settings) {
        let first = ms(settings.open);
        let grown = first.saturating_mul(1 << self.repeats.min(32));
        self.openings = self.openings.wrapping_add(1);
        self.opened = Some(Opened {
            at_ms: now_ms,
            until_ms: now_ms.saturating_add(grown.min(LONGEST_OPEN_MS.max(first))),
            failures,
            number: Trial(self.openings),
            trying: false,
        });
        self.repeats = self.repeats.saturating_add(1);
        self.failed.clear();
        self.calls = 0;
    }

    /// Forgets failures that are older than the window.
    fn forget(&mut self, now_ms: u64, settings: &Settings) {
        let since = now_ms.saturating_sub(ms(settings.window));
        while self.failed.front().is_some_and(|old| old.at_ms < since) {
            self.failed.pop_front();
        }
        if self.failed.is_empty() {
            self.calls = 0;
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
