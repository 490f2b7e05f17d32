//! Holds a key's money for the worst case of a call.
//!
//! Where the client set no limit to the output and the worst case is more than what is left, the
//! output is limited to what a part of the money buys: a budget that could not be used up to its
//! end because of answers that hardly ever come would be a smaller one.

use jiff::Timestamp;

use super::account::Account;
use crate::{
    admit::purse::{Hold, NoMoney},
    call::Allowance,
    money::Usd,
    route::{Candidate, cost},
};

/// The fewest output tokens that a call is made for.
const LEAST_OUTPUT: u64 = 16;
/// The share of what is left that a call without a limit may hold, so that others find money too.
const SHARE: i128 = 8;
/// How many times as long as expected an answer may get even where it takes more than its share.
const AMPLE: u64 = 2;

impl Account {
    /// Holds what a call may cost at most.
    pub(super) fn hold_money(&mut self, candidate: &Candidate) -> Result<Allowance, NoMoney> {
        let Some(holder) = self.holder.clone() else {
            return Ok(Allowance::default());
        };
        let now = Timestamp::now();
        if holder.purse.standing(now).is_none() {
            return Ok(Allowance::default());
        }
        let worst = |output: u64| self.worst_cost(candidate, output, now);
        let refused = match holder.purse.hold(worst(candidate.worst_output), now) {
            Ok(hold) => return Ok(self.held(hold, None)),
            Err(refused) => refused,
        };
        let NoMoney::Overdrawn(overdrawn) = &refused else {
            return Err(refused);
        };
        if self.max_output.is_some() {
            return Err(refused);
        }
        let free = overdrawn.standing.free().pico();
        let choices = self.choices.max(1);
        let buys = |money: i128| {
            let affords = |each: u64| i128::from(worst(each * choices).pico()) <= money;
            most(LEAST_OUTPUT, candidate.worst_output / choices, affords)
        };
        let ample = (candidate.output_tokens / choices).saturating_mul(AMPLE);
        let usual = || buys(free).map(|most| most.min(ample.max(LEAST_OUTPUT)));
        let Some(each) = buys(free / SHARE).max(usual()) else {
            return Err(refused);
        };
        // somebody else may have taken it meanwhile
        let hold = holder.purse.hold(worst(each * choices), now)?;
        Ok(self.held(hold, Some(each)))
    }

    fn held(&mut self, hold: Option<Hold>, max_output: Option<u64>) -> Allowance {
        self.holds.hold_money(hold);
        Allowance { max_output }
    }

    /// The most that a call can cost with so much output; more than anybody has where that can't
    /// be said.
    fn worst_cost(&self, candidate: &Candidate, output: u64, at: Timestamp) -> Usd {
        let config = &self.means.config;
        let worst = config.backends.get(candidate.backend).and_then(|backend| {
            let call = cost::Call {
                prompt: cost::at_most(candidate.prompt_tokens),
                output,
                tier: self.tier,
                at,
                lasts: config.server.request_timeout,
                purpose: self.purpose,
                units: self.units,
            };
            cost::worst(config, backend, &call)
        });
        worst.unwrap_or(Usd::MAX)
    }
}

/// The largest number from `least` to `limit` that is affordable, where less always is if more is;
/// `None`: not even `least`.
fn most(least: u64, limit: u64, affords: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (least, limit);
    if low > high || !affords(low) {
        return None;
    }
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if affords(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Some(low)
}

#[cfg(test)]
mod tests {
    use super::most;

    #[test]
    fn the_largest_affordable_number_is_found() {
        for limit in [16, 17, 100, 4_096, u64::MAX] {
            for affordable in [15, 16, 17, 99, 4_096] {
                let found = most(16, limit, |n| n <= affordable);
                let expected = (affordable >= 16).then_some(affordable.min(limit));
                assert_eq!(found, expected, "{affordable} of {limit}");
            }
        }
        assert_eq!(most(16, 15, |_| true), None);
    }
}
