//! The money of one key, or of a budget that several share: what may be spent in a window, what is
//! spent, and what is held for calls under way.
//!
//! Money is held before a call for its worst case, and the hold becomes what the call really cost
//! when that is known: so calls that run at the same time never spend the same money twice. Given
//! amounts and the moment; where the figures of an earlier process come from is not known here.
//! `hold` takes money of several purses at once.

mod hold;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use jiff::{Timestamp, tz::TimeZone};

use super::window::Window;
use crate::{
    config::Budget,
    money::{Total, Usd},
};

pub use self::hold::{Hold, NoMoney, Overdrawn};

/// Whose money it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// A key's own, by its id.
    Key(Arc<str>),
    /// A shared budget, by its id, and the tag where each value has a budget of its own.
    Shared {
        id: Arc<str>,
        tag: Option<(Arc<str>, Arc<str>)>,
    },
}

/// Whose spending counts, as the ledger adds it up. Everybody is the first in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spender {
    Everybody,
    Key(Arc<str>),
    /// Who asked for that route.
    Route(Arc<str>),
    /// Keys with that tag.
    Tag {
        name: Arc<str>,
        value: Arc<str>,
    },
}

/// One purse. It lives as long as its owner is known, whatever becomes of the budget.
#[derive(Debug)]
pub struct Purse {
    pub whose: Whose,
    pub spender: Spender,
    /// May every caller see what is spent of it?
    shown: AtomicBool,
    inside: Mutex<Inside>,
}

/// What is in a purse.
#[derive(Debug, Default)]
struct Inside {
    /// In whole pico-dollars; also of holds from before the budget was taken away or changed.
    held: i128,
    /// How often its state began anew.
    beginnings: u64,
    state: Option<State>,
}

/// The figures of a budget.
#[derive(Debug)]
struct State {
    budget: Budget,
    zone: TimeZone,
    window: Window,
    /// In whole pico-dollars, in this window; until it is known what was spent before, only what
    /// was settled since.
    spent: i128,
    /// Was it told in this window that the soft limit is exceeded?
    told: bool,
    /// Is it known what was spent before this process, or before there was a budget?
    known: bool,
}

/// A question for what was spent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// What was spent from then on is asked for.
    pub since: Timestamp,
    /// What was settled before it was asked, in whole pico-dollars: it is in the answer too.
    settled: i128,
    beginning: u64,
}

/// How a budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub budget: Budget,
    pub spent: Total,
    pub held: Total,
    /// When it begins anew; `None`: never.
    pub resets_at: Option<Timestamp>,
    /// Is it known what was spent before? If not, `spent` is too low.
    pub known: bool,
    /// May every caller see the figures?
    pub shown: bool,
}

/// A budget whose soft limit is exceeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    pub whose: Whose,
    pub standing: Standing,
}

impl Purse {
    /// Of a key, without a budget.
    #[must_use]
    pub fn of(key: Arc<str>) -> Self {
        let spender = Spender::Key(Arc::clone(&key));
        Self::new(Whose::Key(key), spender, true)
    }

    /// Of a shared budget; it has no amount yet, and nobody sees what is spent of it.
    #[must_use]
    pub fn shared(whose: Whose, spender: Spender) -> Self {
        Self::new(whose, spender, false)
    }

    fn new(whose: Whose, spender: Spender, shown: bool) -> Self {
        Self {
            whose,
            spender,
            shown: AtomicBool::new(shown),
            inside: Mutex::default(),
        }
    }

    /// From now on callers may see what is spent of it, or not.
    pub fn show(&self, shown: bool) {
        self.shown.store(shown, Relaxed);
    }

    /// From now on this budget holds. What was spent stays, unless the window is another one: then
    /// it has to be asked for anew.
    pub fn set(&self, budget: Option<Budget>, zone: &TimeZone, now: Timestamp) {
        let Inside {
            state, beginnings, ..
        } = &mut *self.lock();
        let Some(budget) = budget else {
            *state = None;
            return;
        };
        match state {
            Some(state) if state.budget.per == budget.per && state.zone == *zone => {
                state.budget = budget;
                // another limit is told of again
                state.told &= state.is_over();
            }
            before => {
                *beginnings += 1;
                *before = Some(State {
                    budget,
                    zone: zone.clone(),
                    window: Window::at(budget.per, zone, now),
                    spent: 0,
                    told: false,
                    known: false,
                });
            }
        }
    }

    /// What must be asked of the ledger, if anything must. What is settled from here on is counted
    /// here, and must not be in the answer. Many may ask at once: each has a right answer.
    #[must_use]
    pub fn ask(&self, now: Timestamp) -> Option<Question> {
        let Inside {
            state, beginnings, ..
        } = &mut *self.lock();
        let state = state.as_mut()?;
        state.roll(now);
        (!state.known).then_some(Question {
            since: state.window.start,
            settled: state.spent,
            beginning: *beginnings,
        })
    }

    /// So much was spent since then; an answer about another window is left out. That the soft limit
    /// is exceeded already is no news.
    pub fn learn(&self, question: Question, spent: Total) {
        let Inside {
            state, beginnings, ..
        } = &mut *self.lock();
        if let Some(state) = state
            && !state.known
            && *beginnings == question.beginning
            && state.window.start == question.since
        {
            let since_asked = state.spent.saturating_sub(question.settled);
            state.spent = spent.pico().saturating_add(since_asked);
            state.known = true;
            state.told = state.is_over();
        }
    }

    /// How the budget stands; `None`: there is none.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Option<Standing> {
        let Inside { held, state, .. } = &mut *self.lock();
        let state = state.as_mut()?;
        state.roll(now);
        Some(state.standing(*held, self.is_shown()))
    }

    /// Is it not known yet what was spent?
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        let inside = self.lock();
        inside.state.as_ref().is_some_and(|state| !state.known)
    }

    fn is_shown(&self) -> bool {
        self.shown.load(Relaxed)
    }

    /// A hold becomes what was spent. Says so if that is the first to exceed the soft limit.
    fn settle(&self, held: Usd, spent: Usd, now: Timestamp) -> Option<Exceeded> {
        let Inside {
            held: all, state, ..
        } = &mut *self.lock();
        *all = all.saturating_sub(held.pico().into());
        let state = state.as_mut()?;
        state.roll(now);
        state.spent = state.spent.saturating_add(spent.pico().into());
        let is_news = state.is_over() && !std::mem::replace(&mut state.told, true);
        (is_news && state.known).then(|| Exceeded {
            whose: self.whose.clone(),
            standing: state.standing(*all, self.is_shown()),
        })
    }

    /// A hold is free again.
    fn release(&self, held: Usd) {
        let mut inside = self.lock();
        inside.held = inside.held.saturating_sub(held.pico().into());
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        // figures are changed in one step each: none is half done
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Begins a new window where the old one is over. In the new one nothing was spent.
    fn roll(&mut self, now: Timestamp) {
        if self.window.is_over(now) {
            self.window = Window::at(self.budget.per, &self.zone, now);
            self.spent = 0;
            self.told = false;
            self.known = true;
        }
    }

    /// What may still be held, in whole pico-dollars; below nothing where it is overdrawn.
    fn free(&self, held: i128) -> i128 {
        i128::from(self.budget.usd.pico()) - self.spent - held
    }

    fn is_over(&self) -> bool {
        let soft = self.budget.soft;
        soft.is_some_and(|soft| self.spent > soft.pico().into())
    }

    fn standing(&self, held: i128, shown: bool) -> Standing {
        Standing {
            budget: self.budget,
            spent: Total::from_pico(self.spent),
            held: Total::from_pico(held),
            resets_at: self.window.end,
            known: self.known,
            shown,
        }
    }
}

impl Standing {
    /// What may still be held, in whole pico-dollars; not below nothing.
    #[must_use]
    pub fn free(&self) -> Total {
        let free = i128::from(self.budget.usd.pico()) - self.spent.pico() - self.held.pico();
        Total::from_pico(free.max(0))
    }

    /// Is more spent than the soft limit?
    #[must_use]
    pub fn is_over(&self) -> bool {
        let soft = self.budget.soft;
        soft.is_some_and(|soft| self.spent.pico() > soft.pico().into())
    }

    /// What is spent, in whole hundredths of the limit; `None`: the limit is nothing.
    #[must_use]
    pub fn percent(&self) -> Option<i128> {
        let limit = i128::from(self.budget.usd.pico());
        self.spent.pico().saturating_mul(100).checked_div(limit)
    }
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(id) => write!(f, "the key `{id}`"),
            Self::Shared { id, tag: None } => write!(f, "the budget `{id}`"),
            Self::Shared {
                id,
                tag: Some((name, value)),
            } => write!(f, "the budget `{id}` of `{name}={value}`"),
        }
    }
}

#[cfg(test)]
mod tests;
