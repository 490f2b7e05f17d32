//! What a request has taken of limits and money, until it is settled.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    admit::{
        limits::{self, Denied, Grant, Limits},
        purse::{Exceeded, Hold},
        rate::Level,
        table::Table,
    },
    money::Usd,
};

/// The grants of one request.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// Of the gateway, the key and the route.
    request: Vec<Grant>,
    /// Of the model and the provider that is being called.
    call: Vec<Grant>,
    /// For the worst case of the call.
    money: Option<Hold>,
    /// Soft limits that were exceeded when it was held.
    exceeded: Vec<Exceeded>,
    /// Every limit that the request is held to, the one that refused it included.
    watched: Vec<Arc<Limits>>,
}

/// The tightest limits that a request is held to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Levels {
    pub requests: Option<Level>,
    pub tokens: Option<Level>,
}

impl Holds {
    /// Takes a request of each, and so many tokens; or nothing.
    pub(super) fn enter<'a>(
        &mut self,
        all: impl Iterator<Item = &'a Arc<Limits>> + Clone,
        tokens: u64,
        now_ms: u64,
    ) -> Result<(), Denied> {
        self.watched.extend(all.clone().map(Arc::clone));
        limits::enter_all(&mut self.request, all, tokens, now_ms)
    }

    /// Takes tokens of everything that was entered; on a refusal everything is given back.
    pub(super) fn take_tokens(&mut self, tokens: u64, now_ms: u64) -> Result<(), Denied> {
        for index in 0..self.request.len() {
            let Some(grant) = self.request.get_mut(index) else {
                break;
            };
            if let Err(denied) = grant.take_tokens(tokens, now_ms) {
                self.give_back(now_ms);
                return Err(denied);
            }
        }
        Ok(())
    }

    /// Another limit refused: nothing was used.
    pub(super) fn give_back(&mut self, now_ms: u64) {
        self.request
            .drain(..)
            .for_each(|grant| grant.give_back(now_ms));
    }

    /// Enters the limits of the next call.
    pub(super) fn enter_call(
        &mut self,
        table: &Table,
        (model, provider): (usize, usize),
        tokens: u64,
        now_ms: u64,
    ) -> Result<(), Denied> {
        let all = table.of_call(model, provider);
        self.call.clear();
        limits::enter_all(&mut self.call, all, tokens, now_ms)
    }

    /// Holds money for the next call.
    pub(super) fn hold_money(&mut self, hold: Option<Hold>) {
        if let Some(hold) = &hold {
            self.exceeded = hold.exceeded().to_vec();
        }
        self.money = hold;
    }

    /// The call is over and cost so much; `None`: nobody knows what, so all that was held counts.
    /// Which soft limits that was the first to exceed.
    pub(super) fn settle_money(&mut self, spent: Option<Usd>, at: Timestamp) -> Vec<Exceeded> {
        let settled = self.money.take().map(|hold| {
            let spent = spent.unwrap_or(hold.amount());
            hold.settle(spent, at)
        });
        settled.unwrap_or_default()
    }

    /// Budgets of which more was spent than their soft limits when money was held last.
    pub(super) fn exceeded(&self) -> &[Exceeded] {
        &self.exceeded
    }

    /// The call is over and used so many tokens.
    pub(super) fn settle_call(&mut self, used: u64, now_ms: u64) {
        self.call
            .drain(..)
            .for_each(|grant| grant.settle(used, now_ms));
    }

    /// The request is over and used so many tokens.
    pub(super) fn settle(&mut self, used: u64, now_ms: u64) {
        // of a call that was entered and never made
        self.settle_call(0, now_ms);
        self.money = None;
        self.request
            .drain(..)
            .for_each(|grant| grant.settle(used, now_ms));
    }

    /// The tightest of the limits that the request is held to.
    pub(super) fn levels(&self, now_ms: u64) -> Levels {
        let least = |a: Option<Level>, b: Option<Level>| {
            let both = a.into_iter().chain(b);
            both.min_by_key(|level| level.remaining)
        };
        let all = self.watched.iter().map(|limits| limits.levels(now_ms));
        all.fold(Levels::default(), |tightest, (requests, tokens)| Levels {
            requests: least(tightest.requests, requests),
            tokens: least(tightest.tokens, tokens),
        })
    }
}
