//! Own hardware: how long a call keeps it busy, and what share of its price it adds.
//!
//! Pure, in whole numbers. What a call costs by itself is [`price::cost_self_hosted`]; here is the
//! weight by which the bill of a day is shared, and the part of the cost that counts when backends
//! are compared. It knows neither load nor ledger: both are given.
//!
//! [`price::cost_self_hosted`]: super::price::cost_self_hosted

use serde::{Deserialize, Serialize};

use super::SelfHosted;
use crate::money::{Usd, div_half_even};

/// The whole of a cost, as a [`Share`].
pub const WHOLE: Share = Share(10_000);

const NANOSECONDS: i128 = 1_000_000_000;

/// A part of a cost, in 1/10,000; never more than the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Share(u16);

impl Share {
    /// From 1/10,000.
    #[must_use]
    pub fn of(parts: u64) -> Self {
        u16::try_from(parts).map_or(WHOLE, |parts| Self(parts).min(WHOLE))
    }

    /// In 1/10,000.
    #[must_use]
    pub fn parts(self) -> u16 {
        self.0
    }

    /// That part of an amount, rounded half to even.
    #[must_use]
    pub fn take(self, amount: Usd) -> Usd {
        let product = i128::from(amount.pico()) * i128::from(self.0);
        div_half_even(product, i128::from(WHOLE.0))
            .and_then(Usd::from_pico_wide)
            .unwrap_or(amount)
    }
}

impl SelfHosted {
    /// The time that a call keeps the GPUs busy at the configured speeds, all of them together:
    /// `gpus × (prompt ÷ prefill_tps + output ÷ decode_tps)`, in nanoseconds, divided once and
    /// rounded half to even. `None`: a speed of zero, or more than a ledger can hold.
    #[must_use]
    pub fn busy_gpu_ns(&self, prompt: u64, output: u64) -> Option<u64> {
        let (busy, unit) = self.busy(prompt, output)?;
        let dividend = busy.checked_mul(NANOSECONDS * i128::from(self.gpus))?;
        let busy = div_half_even(dividend, unit)?;
        i64::try_from(busy).ok().map(i64::unsigned_abs)
    }

    /// The seconds that a call keeps the deployment busy, as a fraction: what it is divided by
    /// comes second.
    pub(super) fn busy(&self, prompt: u64, output: u64) -> Option<(i128, i128)> {
        let [prompt, output, prefill, decode] =
            [prompt, output, self.prefill_tps, self.decode_tps].map(i128::from);
        let busy = prompt
            .checked_mul(decode)?
            .checked_add(output.checked_mul(prefill)?)?;
        Some((busy, prefill.checked_mul(decode)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::price::cost_self_hosted;

    const POOL: SelfHosted = SelfHosted {
        gpu_hour: Usd::from_pico(2_400_000_000_000),
        gpus: 8,
        prefill_tps: 12_000,
        decode_tps: 2_500,
    };

    #[test]
    fn a_second_of_prefill_and_one_of_decoding_keep_eight_gpus_busy_for_two() {
        assert_eq!(POOL.busy_gpu_ns(12_000, 2_500), Some(16_000_000_000));
        assert_eq!(POOL.busy_gpu_ns(0, 0), Some(0));
    }

    #[test]
    fn what_can_not_be_held_is_not_known() {
        assert_eq!(POOL.busy_gpu_ns(u64::MAX, u64::MAX), None);
        let stopped = SelfHosted {
            decode_tps: 0,
            ..POOL
        };
        assert_eq!(stopped.busy_gpu_ns(1, 1), None);
    }

    #[test]
    fn a_share_is_never_more_than_the_whole() {
        let usd = Usd::from_pico;
        assert_eq!(Share::of(u64::MAX), WHOLE);
        assert_eq!(WHOLE.take(Usd::MAX), Usd::MAX);
        assert_eq!(Share::of(2_500).take(usd(10)), usd(2));
        assert_eq!(Share::of(0).take(Usd::MAX), Usd::ZERO);
    }

    proptest! {
        #[test]
        fn the_busy_time_at_the_price_of_an_hour_is_the_cost(
            prompt in 0_u64..10_000_000, output in 0_u64..1_000_000,
        ) {
            let ns = i128::from(POOL.busy_gpu_ns(prompt, output).unwrap());
            let hour = 3_600 * NANOSECONDS;
            let pico = ns * i128::from(POOL.gpu_hour.pico()) / hour;
            let cost = i128::from(cost_self_hosted(&POOL, prompt, output).unwrap().pico());
            // each is rounded once: a nanosecond of a GPU is less than 0.7 pico-dollars here
            prop_assert!((pico - cost).abs() <= 2, "{pico} {cost}");
        }
    }
}
