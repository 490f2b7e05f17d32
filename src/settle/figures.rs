//! What a call used and costs, and what that rests on.
//!
//! Pure but for the moment that a price needs. The rule of the whole program on whose figure
//! counts stands here: an operator's own price before all, else what the provider says that it
//! charges, else the catalogue's card.

use std::sync::Arc;

use jiff::Timestamp;

use super::ledger::{Basis, MOST_RAW};
use crate::{
    config::{Backend, Config},
    money::Usd,
    route::cost,
    usage::Usage,
    wire::usage::Reading,
};

/// What is known of the usage of one call.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    pub(super) at: Timestamp,
    pub(super) usage: Usage,
    pub(super) tier: &'static str,
    pub(super) card: Option<Arc<str>>,
    /// What counts.
    pub(super) cost: Option<Usd>,
    pub(super) basis: Basis,
    pub(super) listed: Option<Usd>,
    pub(super) reported: Option<Usd>,
    /// Did nobody report the usage?
    pub(super) estimated: bool,
    /// The usage contradicts itself, or the charge contradicts the card.
    pub(super) inconsistent: bool,
    pub(super) raw: Option<Box<str>>,
}

/// Who is priced, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) config: &'a Config,
    pub(super) backend: &'a Backend,
    pub(super) at: Timestamp,
    /// Was the model asked to think?
    pub(super) reasoning: bool,
}

impl Figures {
    /// Of a usage that a backend reported as `raw`.
    pub(super) fn reported(
        asked: &Asked<'_>,
        reading: &Reading,
        tier: &'static str,
        raw: &str,
    ) -> Self {
        let priced = asked.price(&reading.usage, tier);
        let said = reading.reported_cost.filter(|_| !priced.stated);
        let differs = said
            .zip(priced.cost)
            .is_some_and(|(a, b)| differs_by_a_percent(a, b));
        let inconsistent = differs || !reading.flags.is_empty();
        let basis = match (said, priced.cost) {
            (Some(_), _) => Basis::Reported,
            (None, Some(_)) => Basis::Exact,
            (None, None) => Basis::Unpriced,
        };
        Self {
            at: asked.at,
            usage: reading.usage,
            tier,
            card: priced.card.map(Arc::from),
            cost: said.or(priced.cost),
            basis,
            listed: priced.cost,
            reported: reading.reported_cost,
            estimated: false,
            inconsistent,
            raw: inconsistent.then(|| beginning(raw).into()),
        }
    }

    /// Of a usage that was reported as `raw` and can't be true: what stands in its place is an
    /// estimate.
    pub(super) fn doubtful(asked: &Asked<'_>, usage: Usage, raw: &str) -> Self {
        Self {
            inconsistent: true,
            raw: Some(beginning(raw).into()),
            ..Self::estimated(asked, usage)
        }
    }

    /// Of a usage that nobody reported.
    pub(super) fn estimated(asked: &Asked<'_>, usage: Usage) -> Self {
        let priced = asked.price(&usage, cost::STANDARD);
        let basis = match priced.cost {
            Some(_) => Basis::Estimated,
            None => Basis::Unpriced,
        };
        Self {
            card: priced.card.map(Arc::from),
            cost: priced.cost,
            basis,
            estimated: true,
            ..Self::nothing(asked.at, usage)
        }
    }

    /// Of a call that used nothing.
    pub(super) fn unused(at: Timestamp) -> Self {
        Self::nothing(at, Usage::default())
    }

    fn nothing(at: Timestamp, usage: Usage) -> Self {
        Self {
            at,
            usage,
            tier: cost::STANDARD,
            card: None,
            cost: Some(Usd::ZERO),
            basis: Basis::Exact,
            listed: None,
            reported: None,
            estimated: false,
            inconsistent: false,
            raw: None,
        }
    }
}

impl<'a> Asked<'a> {
    fn price(&self, usage: &Usage, tier: &str) -> cost::Priced<'a> {
        let asked = cost::asked_at(self.at, tier, self.reasoning);
        cost::priced(self.config, self.backend, usage, &asked)
    }
}

/// Is a charge more than 1 % above or below what the card says?
fn differs_by_a_percent(charged: Usd, listed: Usd) -> bool {
    let (charged, listed) = (i128::from(charged.pico()), i128::from(listed.pico()));
    (charged - listed).abs() * 100 > listed
}

/// At most so many bytes of a text as are kept, cut between characters.
fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MOST_RAW))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_within_a_percent_of_the_card_is_no_alarm() {
        let usd = Usd::from_pico;
        for (charged, listed, alarm) in [
            (100, 100, false),
            (101, 100, false),
            (102, 100, true),
            (98, 100, true),
            (1, 0, true),
            (0, 0, false),
        ] {
            assert_eq!(differs_by_a_percent(usd(charged), usd(listed)), alarm);
        }
    }

    #[test]
    fn a_long_usage_is_cut_between_characters() {
        let long = "é".repeat(MOST_RAW);
        assert_eq!(beginning(&long).len(), MOST_RAW);
        assert_eq!(beginning(&long[..10]), &long[..10]);
        assert_eq!(beginning(&format!("a{long}")).len(), MOST_RAW - 1);
    }
}
