//! Takes money of several purses at once: of all of them, or of none.
//!
//! All are locked in one order, that of their places in memory, so two who want the same purses
//! never wait for each other; and nothing is taken before every purse is found to cover it, so
//! nobody is refused for money that another one gives back at once.

use std::sync::{Arc, MutexGuard};

use jiff::Timestamp;

use super::{Exceeded, Inside, Purse, Standing, Whose};
use crate::money::Usd;

/// Money that is held for one call, of every budget that it is paid from. Dropped without being
/// settled it is free again.
#[derive(Debug)]
pub struct Hold {
    purses: Vec<Arc<Purse>>,
    amount: Usd,
    exceeded: Vec<Exceeded>,
}

/// Why no money is held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoMoney {
    #[error("{0}")]
    Overdrawn(Box<Overdrawn>),
    #[error("what {whose} has spent is not known yet, as the ledger can't be read; try again")]
    Unknown { whose: Whose },
}

/// A budget does not cover it: of several, the one with the least left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdrawn {
    pub whose: Whose,
    pub standing: Standing,
    /// What had to be held.
    pub needed: Usd,
}

impl Hold {
    /// Holds so much of each purse; `None`: none has a budget.
    ///
    /// # Errors
    /// If a budget does not cover it, or it is not known whether it does; nothing is held then.
    /// Nothing is always covered: who is served for nothing can't spend too much.
    pub fn of<'a>(
        purses: impl IntoIterator<Item = &'a Arc<Purse>>,
        amount: Usd,
        now: Timestamp,
    ) -> Result<Option<Self>, NoMoney> {
        let mut purses: Vec<Arc<Purse>> = purses.into_iter().map(Arc::clone).collect();
        purses.sort_unstable_by_key(Arc::as_ptr);
        purses.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let mut open: Vec<_> = purses.iter().map(|purse| (purse, purse.lock())).collect();
        if open.iter().all(|(_, inside)| inside.state.is_none()) {
            return Ok(None);
        }
        roll(&mut open, now);
        if amount > Usd::ZERO {
            covered(&open, amount)?;
        }
        let exceeded = exceeded(&open);
        for (_, inside) in &mut open {
            inside.held = inside.held.saturating_add(amount.pico().into());
        }
        drop(open);
        Ok(Some(Self {
            purses,
            amount,
            exceeded,
        }))
    }

    /// The call is over and cost so much; which soft limits that was the first to exceed.
    pub fn settle(mut self, spent: Usd, now: Timestamp) -> Vec<Exceeded> {
        let held = std::mem::take(&mut self.amount);
        let purses = self.purses.iter();
        purses
            .filter_map(|purse| purse.settle(held, spent, now))
            .collect()
    }

    /// How much is held of each.
    #[must_use]
    pub fn amount(&self) -> Usd {
        self.amount
    }

    /// Of which budgets more was spent than their soft limits when the money was held.
    #[must_use]
    pub fn exceeded(&self) -> &[Exceeded] {
        &self.exceeded
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.amount > Usd::ZERO {
            self.purses
                .iter()
                .for_each(|purse| purse.release(self.amount));
        }
    }
}

/// A purse that nobody else can take from now.
type Open<'a> = (&'a Arc<Purse>, MutexGuard<'a, Inside>);

fn roll(open: &mut [Open<'_>], now: Timestamp) {
    for (_, inside) in open {
        if let Some(state) = &mut inside.state {
            state.roll(now);
        }
    }
}

/// Is there so much in every purse?
fn covered(open: &[Open<'_>], amount: Usd) -> Result<(), NoMoney> {
    let states = || {
        let all = open.iter();
        all.filter_map(|(purse, inside)| Some((*purse, inside.state.as_ref()?, inside.held)))
    };
    if let Some((purse, ..)) = states().find(|(_, state, _)| !state.known) {
        let whose = purse.whose.clone();
        return Err(NoMoney::Unknown { whose });
    }
    let Some((purse, state, held)) = states().min_by_key(|(_, state, held)| state.free(*held))
    else {
        return Ok(());
    };
    if i128::from(amount.pico()) > state.free(held) {
        return Err(NoMoney::Overdrawn(Box::new(Overdrawn {
            whose: purse.whose.clone(),
            standing: state.standing(held, purse.is_shown()),
            needed: amount,
        })));
    }
    Ok(())
}

/// Where more is spent than the soft limit.
fn exceeded(open: &[Open<'_>]) -> Vec<Exceeded> {
    let over = open.iter().filter_map(|(purse, inside)| {
        let state = inside.state.as_ref().filter(|state| state.is_over())?;
        Some(Exceeded {
            whose: purse.whose.clone(),
            standing: state.standing(inside.held, purse.is_shown()),
        })
    });
    over.collect()
}

impl std::fmt::Display for Overdrawn {
    /// What is spent and held of a shared budget is told only where the operator shows it: it is
    /// what others have spent.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Standing {
            budget,
            spent,
            held,
            resets_at,
            shown,
            known: _,
        } = &self.standing;
        let per = budget.per.in_words();
        let of = match &self.whose {
            Whose::Key(_) => "the budget of ",
            Whose::Shared { .. } => "",
        };
        write!(
            f,
            "{of}{} of {} USD{per} does not cover this request, which may cost {} USD",
            self.whose, budget.usd, self.needed
        )?;
        if *shown {
            write!(
                f,
                ": {spent} USD are spent and {held} USD are held for requests under way"
            )?;
        }
        match resets_at {
            Some(resets_at) => write!(f, "; it begins anew at {resets_at}"),
            None => Ok(()),
        }
    }
}
