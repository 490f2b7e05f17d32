//! Whether a backend should be asked now, from how its calls ended.
//!
//! Three things keep a backend from being asked. *Cooling*: it is busy, for as long as it said, or
//! for a guess that grows while it stays busy. *Down*: it refuses our key, has no money left or
//! does not know the model. *Open*: it failed too often (see `breaker`). The last two end with a
//! trial: one call, whose end decides for the others. Time is an argument: milliseconds on any
//! clock that only goes forward. Nothing here is logged; `end` tells what changed.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{
        AtomicBool,
        Ordering::{Acquire, Release},
    },
};

use serde::{Deserialize, Serialize};

use super::breaker::{self, Breaker, Trial};
use crate::config::Breaker as Settings;

/// The first guess of a cool-down, in milliseconds; doubled for each further busy answer.
const FIRST_GUESS_MS: u64 = 1_000;
/// The longest guess, in milliseconds.
const LONGEST_GUESS_MS: u64 = 30_000;
/// The longest cool-down that a backend may ask for, in milliseconds: an hour.
const LONGEST_ASKED_MS: u64 = 3_600_000;
/// How long a backend that is down is left alone before one call may try it, in milliseconds.
const DOWN_MS: u64 = 30_000;

/// Why a backend is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DownReason {
    /// 401 or 403: it refuses our key.
    KeyRefused,
    /// 402, or a 400 or 429 that says there is no balance.
    OutOfMoney,
    /// 404: it does not know the model.
    ModelUnknown,
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

    /// The words about one key of several.
    #[must_use]
    pub fn of_key(self) -> &'static str {
        match self {
            Self::KeyRefused => "is refused",
            Self::OutOfMoney => "is out of money",
            Self::ModelUnknown => "does not reach the model",
        }
    }
}

/// How a backend stands at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Ready.
    Up,
    /// Was down or open; the next call tries it, and no other until that one has ended.
    Trial,
    /// Busy for so many more milliseconds.
    Cooling {
        /// Milliseconds left.
        left_ms: u64,
        /// Did the backend say so itself?
        asked: bool,
    },
    /// Does not serve us.
    Down(DownReason),
    /// Failed too often: left alone.
    Open {
        /// Failures that led to it.
        failures: u32,
        /// Milliseconds left; 0: one call is trying it now.
        left_ms: u64,
    },
    /// The operator wants no new calls to it.
    Drained,
}

/// How a call ended, as far as it tells something of its backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered.
    Succeeded,
    /// It failed, and the request was not at fault.
    Failed,
    /// It was too busy; it may have said for how many milliseconds.
    Busy(Option<u64>),
    /// It does not serve us.
    Refused(DownReason),
    /// Nothing that says how it is.
    Neither,
}

/// What the end of a call changed, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Left alone from now on.
    Opened { failures: u32, for_ms: u64 },
    /// Does not serve us any more.
    Down(DownReason),
    /// Asked again.
    Back,
}

/// The health of one backend, shared by all requests.
#[derive(Debug, Default)]
pub struct Health {
    /// Is there anything to look at? While there is not, nobody takes the lock, and nothing is
    /// written.
    troubled: AtomicBool,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    breaker: Breaker,
    pause: Option<Pause>,
    /// Busy answers in a row.
    busy: u32,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    why: Why,
    since_ms: u64,
    until_ms: u64,
    /// Is a call trying whether it is over?
    trying: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Busy { asked: bool },
    Down(DownReason),
}

/// A call that may be made. Dropped without an end (the client left), it tells nothing, and leaves
/// its place to the next.
#[derive(Debug)]
#[must_use]
pub struct Pass<'a> {
    health: &'a Health,
    call: Call,
    ended: bool,
}

/// What is to be remembered of a call until its end.
#[derive(Debug, Clone, Copy, Default)]
struct Call {
    began_ms: u64,
    /// Does it try a backend that is down?
    tries_down: bool,
    /// Does it try a backend that failed too often?
    trial: Option<Trial>,
}

impl Health {
    /// How the backend stands at `now_ms`.
    #[must_use]
    pub fn standing(&self, now_ms: u64) -> Standing {
        if self.is_calm() {
            return Standing::Up;
        }
        self.lock().standing(now_ms)
    }

    /// What the breaker lets through at `now_ms`.
    #[must_use]
    pub fn breaker(&self, now_ms: u64) -> breaker::State {
        if self.is_calm() {
            return breaker::State::Closed;
        }
        self.lock().breaker.state(now_ms)
    }

    /// Begins a call; `None`: it is left alone, or another call is trying it. Who `insists` is
    /// always let through.
    pub fn enter(&self, now_ms: u64, insists: bool) -> Option<Pass<'_>> {
        let mut call = Call {
            began_ms: now_ms,
            ..Call::default()
        };
        if !self.is_calm() {
            let mut trouble = self.lock();
            match trouble.standing(now_ms) {
                Standing::Up => {}
                Standing::Trial => trouble.begin_trial(&mut call),
                _ if insists => {}
                _ => return None,
            }
        }
        Some(Pass {
            health: self,
            call,
            ended: false,
        })
    }

    /// An answer that had begun broke off: what that says of the backend. `began_ms` is when the
    /// call began.
    pub fn broke(&self, began_ms: u64, now_ms: u64, settings: &Settings) -> Option<Change> {
        let call = Call {
            began_ms,
            ..Call::default()
        };
        self.note(call, Verdict::Failed, now_ms, settings)
    }

    /// Forgets everything: another address or key is another backend.
    pub fn forget(&self) {
        *self.lock() = Trouble::default();
        self.troubled.store(false, Release);
    }

    fn is_calm(&self) -> bool {
        !self.troubled.load(Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, call: Call, verdict: Verdict, now: u64, settings: &Settings) -> Option<Change> {
        let silent = matches!(verdict, Verdict::Succeeded | Verdict::Neither);
        if silent && self.is_calm() {
            return None;
        }
        let mut trouble = self.lock();
        let before = trouble.standing(call.began_ms.max(now));
        trouble.note(call, verdict, now, settings);
        self.troubled.store(!trouble.is_quiet(), Release);
        change(before, trouble.standing(now))
    }
}

/// What is worth a line in the log.
fn change(before: Standing, after: Standing) -> Option<Change> {
    match (before, after) {
        (Standing::Open { left_ms: 1.., .. }, Standing::Open { .. }) => None,
        (_, Standing::Open { failures, left_ms }) if left_ms > 0 => Some(Change::Opened {
            failures,
            for_ms: left_ms,
        }),
        (Standing::Down(old), Standing::Down(new)) if old == new => None,
        (_, Standing::Down(reason)) => Some(Change::Down(reason)),
        (Standing::Open { .. } | Standing::Down(_) | Standing::Trial, Standing::Up) => {
            Some(Change::Back)
        }
        _ => None,
    }
}

impl Trouble {
    fn standing(&self, now_ms: u64) -> Standing {
        let mut trial = false;
        if let Some(pause) = self.pause {
            let left_ms = pause.until_ms.saturating_sub(now_ms);
            match pause.why {
                Why::Busy { asked } if left_ms > 0 => return Standing::Cooling { left_ms, asked },
                Why::Busy { .. } => {}
                Why::Down(reason) if left_ms > 0 || pause.trying => return Standing::Down(reason),
                Why::Down(_) => trial = true,
            }
        }
        let open = |left_ms| Standing::Open {
            failures: self.breaker.failures(),
            left_ms,
        };
        match self.breaker.state(now_ms) {
            breaker::State::Open { left_ms } => open(left_ms),
            breaker::State::HalfOpen { trying: true } => open(0),
            breaker::State::HalfOpen { trying: false } => Standing::Trial,
            breaker::State::Closed if trial => Standing::Trial,
            breaker::State::Closed => Standing::Up,
        }
    }

    fn begin_trial(&mut self, call: &mut Call) {
        call.trial = self.breaker.try_once(call.began_ms);
        if let Some(pause) = self
            .pause
            .as_mut()
            .filter(|p| matches!(p.why, Why::Down(_)))
        {
            pause.trying = true;
            call.tries_down = true;
        }
    }

    /// The trial of a call is over, whatever it told.
    fn end_trial(&mut self, call: Call) {
        if let Some(trial) = call.trial {
            self.breaker.give_back(trial);
        }
        let own = |pause: &&mut Pause| call.tries_down && pause.since_ms <= call.began_ms;
        if let Some(pause) = self.pause.as_mut().filter(own) {
            pause.trying = false;
        }
    }

    fn note(&mut self, call: Call, verdict: Verdict, now_ms: u64, settings: &Settings) {
        match verdict {
            Verdict::Succeeded => {
                // what began before says nothing of the time after
                if self.pause.is_some_and(|p| call.began_ms >= p.since_ms) {
                    self.pause = None;
                    self.busy = 0;
                }
                self.breaker.succeeded(call.began_ms, now_ms, settings);
            }
            Verdict::Failed => {
                self.breaker
                    .failed(call.trial, call.began_ms, now_ms, settings);
            }
            Verdict::Busy(asked) => self.busy(call.began_ms, now_ms, asked),
            Verdict::Refused(reason) => {
                self.pause(Why::Down(reason), now_ms, DOWN_MS);
            }
            Verdict::Neither => {}
        }
        self.end_trial(call);
    }

    fn busy(&mut self, began_ms: u64, now_ms: u64, asked_ms: Option<u64>) {
        if let Some(pause) = self
            .pause
            .as_mut()
            .filter(|pause| began_ms < pause.since_ms)
        {
            // it went out before the pause was known: no sign that it was too short
            let until_ms = now_ms.saturating_add(asked_ms.unwrap_or(0).min(LONGEST_ASKED_MS));
            if let (Why::Busy { asked }, true) = (&mut pause.why, until_ms > pause.until_ms) {
                *asked = true;
                pause.until_ms = until_ms;
            }
            return;
        }
        let guess = (FIRST_GUESS_MS << self.busy.min(16)).min(LONGEST_GUESS_MS);
        self.busy = self.busy.saturating_add(1);
        let wait = asked_ms.map_or(guess, |asked| asked.min(LONGEST_ASKED_MS));
        let asked = asked_ms.is_some();
        self.pause(Why::Busy { asked }, now_ms, wait);
    }

    fn pause(&mut self, why: Why, now_ms: u64, wait_ms: u64) {
        self.pause = Some(Pause {
            why,
            since_ms: now_ms,
            until_ms: now_ms.saturating_add(wait_ms),
            trying: false,
        });
    }

    fn is_quiet(&self) -> bool {
        self.pause.is_none() && self.breaker.is_quiet()
    }
}

impl Pass<'_> {
    /// When the call began, in milliseconds.
    #[must_use]
    pub fn began_ms(&self) -> u64 {
        self.call.began_ms
    }

    /// The call has ended.
    pub fn end(mut self, verdict: Verdict, now_ms: u64, settings: &Settings) -> Option<Change> {
        self.ended = true;
        self.health.note(self.call, verdict, now_ms, settings)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.ended && (self.call.tries_down || self.call.trial.is_some()) {
            self.health.lock().end_trial(self.call);
        }
    }
}

#[cfg(test)]
mod tests;
