//! Holds money for the worst case of a call, of every budget that it is paid from, and keeps the
//! whole request within what it may cost.
//!
//! Where the client set no limit to the output and the worst case is more than what is left, the
//! output is limited to what a part of the money buys: a budget that could not be used up to its
//! end because of answers that hardly ever come would be a smaller one. Of several budgets the one
//! with the least left counts.

use jiff::Timestamp;

use super::account::Account;
use crate::{
    admit::purse::{Exceeded, Hold, NoMoney, Whose},
    call::{Allowance, Barred, TooDear},
    money::Usd,
    route::{
        Candidate,
        afford::{LEAST_OUTPUT, Open},
        cost,
    },
};

/// The share of what is left that a call without a limit may hold, so that others find money too.
const SHARE: i128 = 8;
/// How many times as long as expected an answer may get even where it takes more than its share.
const AMPLE: u64 = 2;

impl Account {
    /// Holds what a call may cost at most.
    pub(super) fn hold_money(&mut self, candidate: &Candidate) -> Result<Allowance, Barred> {
        if self.max_cost.is_none() && self.paying.is_empty() {
            return Ok(Allowance::default());
        }
        let now = Timestamp::now();
        let (each, worst) = self.within_max_cost(candidate, now)?;
        self.at_stake = worst;
        let refused = match self.take(worst, now) {
            Ok(hold) => return Ok(self.held(hold, each)),
            Err(refused) => refused,
        };
        let NoMoney::Overdrawn(overdrawn) = &refused else {
            return Err(Barred::Unaffordable(refused));
        };
        let free = overdrawn.standing.free().pico();
        let afforded = self
            .call_of(candidate, each, now)
            .filter(|open| !open.limited)
            .and_then(|open| Some((afforded(&open, candidate, free)?, open)));
        let Some((each, open)) = afforded else {
            return Err(Barred::Unaffordable(refused));
        };
        let worst = open.worst(each.saturating_mul(open.choices));
        self.at_stake = worst.unwrap_or(Usd::MAX);
        // somebody else may have taken it meanwhile
        let hold = self
            .take(self.at_stake, now)
            .map_err(Barred::Unaffordable)?;
        Ok(self.held(hold, Some(each)))
    }

    /// The limit of the output with which the call costs no more than what is left of the most that
    /// the request may cost, and what it costs at most then. What earlier calls cost is gone.
    fn within_max_cost(
        &self,
        candidate: &Candidate,
        now: Timestamp,
    ) -> Result<(Option<u64>, Usd), Barred> {
        let planned = candidate.max_output;
        let Some(open) = self.call_of(candidate, planned, now) else {
            // nobody that could be called
            return Ok((planned, Usd::MAX));
        };
        let worst = |each: Option<u64>| {
            let output = each.map(|each| each.saturating_mul(open.choices));
            open.worst(output.unwrap_or(open.call.output))
                .unwrap_or(Usd::MAX)
        };
        let Some(most) = self.max_cost else {
            return Ok((planned, worst(planned)));
        };
        let left = most.saturating_sub(self.paid).max(Usd::ZERO);
        let within = open.within(left);
        let each = within.map_err(|worst| Barred::TooDear(TooDear { worst, left, most }))?;
        let each = each.or(planned);
        Ok((each, worst(each)))
    }

    fn take(&self, amount: Usd, now: Timestamp) -> Result<Option<Hold>, NoMoney> {
        Hold::of(self.paying.iter(), amount, now)
    }

    fn held(&mut self, hold: Option<Hold>, max_output: Option<u64>) -> Allowance {
        self.holds.hold_money(hold);
        Allowance { max_output }
    }

    /// The call as its output may be limited; `each`: it is already.
    fn call_of(&self, candidate: &Candidate, each: Option<u64>, at: Timestamp) -> Option<Open<'_>> {
        let config = &self.means.config;
        let choices = self.choices.max(1);
        Some(Open {
            config,
            backend: config.backends.get(candidate.backend)?,
            call: cost::Call {
                prompt: cost::at_most(candidate.prompt_tokens),
                output: each.map_or(candidate.worst_output, |each| each.saturating_mul(choices)),
                tier: self.tier,
                at,
                lasts: config.server.request_timeout,
                purpose: self.purpose,
                units: self.units,
            },
            choices,
            limited: self.max_output.is_some(),
        })
    }

    /// The calls that were let in together are over and cost so much; `None`: nobody knows what.
    pub(super) fn settle_money(&mut self, spent: Option<Usd>, at: Timestamp) {
        let stake = std::mem::take(&mut self.at_stake);
        self.paid = self.paid.saturating_add(spent.unwrap_or(stake));
        for exceeded in self.holds.settle_money(spent, at) {
            self.tell(&exceeded);
        }
    }

    /// Says once that a soft limit is exceeded.
    fn tell(&self, Exceeded { whose, standing }: &Exceeded) {
        let soft = standing.budget.soft.unwrap_or_default();
        match whose {
            Whose::Key(_) => {
                let key = self.key_label();
                self.metrics.soft_exceeded.with_label_values(&[key]).inc();
            }
            Whose::Shared { id, tag } => {
                let value = self.metrics.value_label(tag.as_ref());
                let labels = [&**id, &value];
                self.metrics
                    .shared_soft_exceeded
                    .with_label_values(&labels)
                    .inc();
            }
        }
        tracing::warn!(
            budget = %whose,
            soft_usd = %soft,
            usd = %standing.budget.usd,
            spent_usd = %standing.spent,
            resets_at = standing.resets_at.map(|moment| moment.to_string()),
            "more is spent of a budget than its soft limit"
        );
    }
}

/// The longest output of each choice for which `free` pico-dollars are left: what a share of them
/// buys, or, where that is more and all of them cover it, an ample answer.
fn afforded(open: &Open<'_>, candidate: &Candidate, free: i128) -> Option<u64> {
    let ample = (candidate.output_tokens / open.choices).saturating_mul(AMPLE);
    let usual = || {
        let most = open.buys(free)?;
        Some(most.min(ample.max(LEAST_OUTPUT)))
    };
    open.buys(free / SHARE).max(usual())
}
