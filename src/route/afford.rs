//! What a call costs at most by the length of its output, and the longest output that some money
//! buys. Pure: prices and counts go in, amounts and lengths come out.

use super::cost::{self, Call};
use crate::{
    config::{Backend, Config},
    money::Usd,
};

/// The fewest output tokens that a call is made for.
pub const LEAST_OUTPUT: u64 = 16;

/// A call whose output may be limited.
#[derive(Debug, Clone, Copy)]
pub struct Open<'a> {
    pub config: &'a Config,
    pub backend: &'a Backend,
    /// With the longest output that it could have, all choices together.
    pub call: Call<'a>,
    /// How many choices are asked for; at least 1.
    pub choices: u64,
    /// Did the client limit the output itself? Then nobody else does.
    pub limited: bool,
}

impl Open<'_> {
    /// The most that it costs with so much output, all choices together; `None`: unpriced.
    #[must_use]
    pub fn worst(&self, output: u64) -> Option<Usd> {
        let call = Call {
            output,
            ..self.call
        };
        cost::worst(self.config, self.backend, &call)
    }

    /// The longest output of each choice that so many pico-dollars buy, up to the longest that it
    /// could have; `None`: not even the least.
    #[must_use]
    pub fn buys(&self, pico: i128) -> Option<u64> {
        let choices = self.choices.max(1);
        let affords = |each: u64| {
            let worst = self.worst(each.saturating_mul(choices));
            worst.is_some_and(|worst| i128::from(worst.pico()) <= pico)
        };
        longest(LEAST_OUTPUT, self.call.output / choices, affords)
    }

    /// The limit of the output, of each choice, with which it costs `most` at most; `None`: it
    /// needs none.
    ///
    /// # Errors
    /// If it costs more than that with every output that is worth a call: how much, with the
    /// longest output that the client wants, else with the shortest.
    pub fn within(&self, most: Usd) -> Result<Option<u64>, Usd> {
        let worst = self.worst(self.call.output).unwrap_or(Usd::MAX);
        if worst <= most {
            return Ok(None);
        }
        if self.limited {
            return Err(worst);
        }
        let least = LEAST_OUTPUT.saturating_mul(self.choices.max(1));
        let shortest = || self.worst(least.min(self.call.output)).unwrap_or(Usd::MAX);
        self.buys(most.pico().into()).map(Some).ok_or_else(shortest)
    }
}

/// The largest number from `least` to `limit` that is affordable, where less always is if more is;
/// `None`: not even `least`.
fn longest(least: u64, limit: u64, affords: impl Fn(u64) -> bool) -> Option<u64> {
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
    use super::longest;

    #[test]
    fn the_largest_affordable_number_is_found() {
        for limit in [16, 17, 100, 4_096, u64::MAX] {
            for affordable in [15, 16, 17, 99, 4_096] {
                let found = longest(16, limit, |n| n <= affordable);
                let expected = (affordable >= 16).then_some(affordable.min(limit));
                assert_eq!(found, expected, "{affordable} of {limit}");
            }
        }
        assert_eq!(longest(16, 15, |_| true), None);
    }
}
