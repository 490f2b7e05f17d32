//! Shares an amount by weights, to the last pico-dollar.
//!
//! Pure. Each gets what the running sum of weights has reached less what the ones before it got,
//! rounded down. So the parts add up to the amount exactly, each is less than one pico-dollar away
//! from its exact share, and nothing has to be kept but two sums. The order decides which of them
//! gets the pico-dollar that does not divide: whoever shares takes one that never changes.

/// An amount that is being shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sharing {
    /// In pico-dollars.
    amount: u128,
    /// Of all weights.
    total: u128,
    reached: u128,
    given: u128,
}

impl Sharing {
    /// An amount for weights that add up to `total`.
    pub(super) fn new(amount: u128, total: u128) -> Self {
        Self {
            amount,
            total,
            ..Self::default()
        }
    }

    /// The share of the next weight.
    pub(super) fn next(&mut self, weight: u64) -> u128 {
        self.reached = self.reached.saturating_add(weight.into()).min(self.total);
        let due = times_part(self.amount, self.reached, self.total);
        let share = due.saturating_sub(self.given);
        self.given = due;
        share
    }
}

/// `amount × part ÷ whole`, rounded down; `part` is at most `whole`. Nothing of nothing.
fn times_part(amount: u128, part: u128, whole: u128) -> u128 {
    if let Some(product) = amount.checked_mul(part) {
        return product.checked_div(whole).unwrap_or(0);
    }
    // more than fits: bit by bit from the top, with the remainder below `whole` all the time
    let (mut quotient, mut rest) = (0_u128, 0_u128);
    for bit in (0..u128::BITS).rev() {
        quotient <<= 1;
        rest <<= 1;
        if (amount >> bit) & 1 == 1 {
            rest += part;
        }
        while rest >= whole {
            rest -= whole;
            quotient += 1;
        }
    }
    quotient
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(amount: u128, weights: &[u64]) -> Vec<u128> {
        let total = weights.iter().map(|weight| u128::from(*weight)).sum();
        let mut sharing = Sharing::new(amount, total);
        weights.iter().map(|weight| sharing.next(*weight)).collect()
    }

    #[test]
    fn what_does_not_divide_goes_to_the_later_one() {
        assert_eq!(shares(10, &[1, 1, 1]), [3, 3, 4]);
        assert_eq!(shares(100, &[0, 3, 0, 1]), [0, 75, 0, 25]);
        assert_eq!(shares(7, &[0, 0]), [0, 0]);
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_amount(
            amount in 0_u128..1 << 100, weights in prop::collection::vec(any::<u64>(), 1..50),
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            prop_assert_eq!(shares(amount, &weights).iter().sum::<u128>(), amount);
        }

        #[test]
        fn no_share_is_a_pico_dollar_away_from_the_exact_one_in_whatever_order(
            amount in 0_u128..1 << 60,
            weights in prop::collection::vec(0_u64..1 << 40, 1..50),
            turn in 0_usize..50,
        ) {
            let mut weights = weights;
            let turn = turn % weights.len();
            weights.rotate_left(turn);
            let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
            prop_assume!(total > 0);
            for (weight, share) in weights.iter().zip(shares(amount, &weights)) {
                let exact = amount * u128::from(*weight);
                prop_assert!((share * total).abs_diff(exact) < total, "{weight} {share}");
            }
        }

        #[test]
        fn who_weighs_more_never_gets_less_but_for_the_last_pico_dollar(
            amount in 0_u128..1 << 60, weights in prop::collection::vec(0_u64..1 << 40, 2..50),
        ) {
            let mut pairs: Vec<_> = weights.iter().zip(shares(amount, &weights)).collect();
            pairs.sort();
            for pair in pairs.windows(2) {
                prop_assert!(pair[1].1 + 1 >= pair[0].1, "{pair:?}");
            }
        }

        #[test]
        fn a_product_that_does_not_fit_is_divided_as_one_that_does(
            amount in 0_u128..1 << 62, part in 0_u128..1 << 62, more in 0_u128..1 << 62,
        ) {
            let whole = part + more + 1;
            // scaled alike, the quotient is the same
            let (large_part, large_whole) = (part << 62, whole << 62);
            prop_assert_eq!(
                times_part(amount << 60, large_part, large_whole),
                (amount << 60) / whole * part + ((amount << 60) % whole) * part / whole
            );
        }
    }
}
