//! The money of one key: what it may spend in a window, has spent, and what is held for calls
//! under way.
//!
//! Money is held before a call for its worst case, and the hold becomes what the call really cost
//! when that is known: so calls that run at the same time never spend the same money twice. Given
//! amounts and the moment; where the figures of an earlier process come from is not known here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{Timestamp, tz::TimeZone};

use super::window::Window;
use crate::{
    config::{Budget, Period},
    money::{Total, Usd},
};

/// The money of one key. It lives as long as the key is known, whatever becomes of its budget.
#[derive(Debug)]
pub struct Purse {
    key: Arc<str>,
    inside: Mutex<Inside>,
}

/// What is in a purse.
#[derive(Debug, Default)]
struct Inside {
    /// In whole pico-dollars; also of holds from before the budget was taken away or changed.
    held: i128,
    state: Option<State>,
}

/// The figures of a budget.
#[derive(Debug)]
struct State {
    budget: Budget,
    zone: TimeZone,
    window: Window,
    /// In whole pico-dollars, in this window.
    spent: i128,
    /// Is it known what was spent before this process, or before there was a budget?
    known: Known,
}

/// What is known of the money that was spent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    No,
    /// It is being asked for.
    Asked,
    Yes,
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
}

/// Money that is held for one call. Dropped without being settled it is free again.
#[derive(Debug)]
pub struct Hold {
    purse: Arc<Purse>,
    amount: Usd,
}

/// Why no money is held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoMoney {
    #[error("{0}")]
    Overdrawn(Box<Overdrawn>),
    #[error(
        "what the key `{key}` has spent is not known yet, as the ledger can't be read; try again"
    )]
    Unknown { key: Arc<str> },
}

/// The budget does not cover it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdrawn {
    pub key: Arc<str>,
    pub standing: Standing,
    /// What had to be held.
    pub needed: Usd,
}

impl Purse {
    /// Of a key, without a budget.
    #[must_use]
    pub fn of(key: Arc<str>) -> Self {
        Self {
            key,
            inside: Mutex::default(),
        }
    }

    /// From now on this budget holds. What was spent stays, unless the window is another one: then
    /// it has to be asked for anew.
    pub fn set(&self, budget: Option<Budget>, zone: &TimeZone, now: Timestamp) {
        let state = &mut self.lock().state;
        let Some(budget) = budget else {
            *state = None;
            return;
        };
        match state {
            Some(state) if state.budget.per == budget.per && state.zone == *zone => {
                state.budget = budget;
            }
            before => {
                *before = Some(State {
                    budget,
                    zone: zone.clone(),
                    window: Window::at(budget.per, zone, now),
                    spent: 0,
                    known: Known::No,
                });
            }
        }
    }

    /// Since when it must be asked for what was spent, if it must. What is settled from here on is
    /// counted here, and must not be in the answer.
    #[must_use]
    pub fn ask(&self, now: Timestamp) -> Option<Timestamp> {
        let mut inside = self.lock();
        let state = inside.state.as_mut()?;
        state.roll(now);
        if state.known == Known::Yes {
            return None;
        }
        state.known = Known::Asked;
        state.spent = 0;
        Some(state.window.start)
    }

    /// So much was spent since then; an answer to another question than the last is left out.
    pub fn learn(&self, since: Timestamp, spent: Total) {
        let mut inside = self.lock();
        if let Some(state) = inside.state.as_mut()
            && state.known == Known::Asked
            && state.window.start == since
        {
            state.spent = state.spent.saturating_add(spent.pico());
            state.known = Known::Yes;
        }
    }

    /// Holds so much; `None`: there is no budget.
    ///
    /// # Errors
    /// If the budget does not cover it, or it is not known whether it does. Nothing is always
    /// covered: who is served for nothing can't spend too much.
    pub fn hold(self: &Arc<Self>, amount: Usd, now: Timestamp) -> Result<Option<Hold>, NoMoney> {
        let Inside { held, state } = &mut *self.lock();
        let Some(state) = state else {
            return Ok(None);
        };
        state.roll(now);
        let needed = i128::from(amount.pico());
        if needed > 0 && state.known != Known::Yes {
            let key = Arc::clone(&self.key);
            return Err(NoMoney::Unknown { key });
        }
        if needed > 0 && needed > state.free(*held) {
            return Err(NoMoney::Overdrawn(Box::new(Overdrawn {
                key: Arc::clone(&self.key),
                standing: state.standing(*held),
                needed: amount,
            })));
        }
        *held = held.saturating_add(needed);
        Ok(Some(Hold {
            purse: Arc::clone(self),
            amount,
        }))
    }

    /// How the budget stands; `None`: there is none.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Option<Standing> {
        let Inside { held, state } = &mut *self.lock();
        let state = state.as_mut()?;
        state.roll(now);
        Some(state.standing(*held))
    }

    /// Is it not known yet what was spent?
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        let inside = self.lock();
        inside
            .state
            .as_ref()
            .is_some_and(|state| state.known != Known::Yes)
    }

    fn settle(&self, held: Usd, spent: Usd, now: Timestamp) {
        let mut inside = self.lock();
        inside.held = inside.held.saturating_sub(held.pico().into());
        let Some(state) = inside.state.as_mut() else {
            return;
        };
        state.roll(now);
        state.spent = state.spent.saturating_add(spent.pico().into());
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
            self.known = Known::Yes;
        }
    }

    fn free(&self, held: i128) -> i128 {
        i128::from(self.budget.usd.pico()) - self.spent - held
    }

    fn standing(&self, held: i128) -> Standing {
        Standing {
            budget: self.budget,
            spent: Total::from_pico(self.spent),
            held: Total::from_pico(held),
            resets_at: self.window.end,
            known: self.known == Known::Yes,
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
}

impl Hold {
    /// The call is over and cost so much.
    pub fn settle(mut self, spent: Usd, now: Timestamp) {
        let held = std::mem::take(&mut self.amount);
        self.purse.settle(held, spent, now);
    }

    /// How much is held.
    #[must_use]
    pub fn amount(&self) -> Usd {
        self.amount
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.amount > Usd::ZERO {
            let mut inside = self.purse.lock();
            inside.held = inside.held.saturating_sub(self.amount.pico().into());
        }
    }
}

impl std::fmt::Display for Overdrawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Standing {
            budget,
            spent,
            held,
            resets_at,
            known: _,
        } = &self.standing;
        let per = match budget.per {
            Period::Day => " a day",
            Period::Week => " a week",
            Period::Month => " a month",
            Period::Total => "",
        };
        write!(
            f,
            "the budget of the key `{}` of {} USD{per} does not cover this request, which may cost \
             {} USD: {spent} USD are spent and {held} USD are held for requests under way",
            self.key, budget.usd, self.needed
        )?;
        match resets_at {
            Some(resets_at) => write!(f, "; it begins anew at {resets_at}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
