//! What a call used and costs, and what that rests on.
//!
//! Pure but for the moment that a price needs. The rule of the whole program on whose figure
//! counts stands here: an operator's own price before all, else what the provider says that it
//! charges, else the catalogue's card.

use std::sync::Arc;

use jiff::Timestamp;

use super::ledger::{Basis, MOST_RAW};
use crate::{
    catalog::{Card, price::Flags},
    config::{Backend, Config, Price, STATED},
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
    /// What is odd about the price.
    pub(super) doubts: Flags,
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
    /// The service tier that was asked for, if any.
    pub(super) tier: Option<&'static str>,
    /// The cards of the model that the answer names, where that is another one than was asked.
    pub(super) swapped: Option<&'a [Card]>,
}

/// A price, and the tier that it is of.
struct Told<'a> {
    priced: cost::Priced<'a>,
    tier: &'static str,
}

impl Figures {
    /// Of a usage that a backend reported as `raw`, served in the tier that it names, if it does.
    pub(super) fn reported(
        asked: &Asked<'_>,
        reading: &Reading,
        served: Option<&'static str>,
        raw: &str,
    ) -> Self {
        let Told { priced, tier } = asked.price(&reading.usage, served);
        let said = reading.reported_cost.filter(|_| !priced.stated);
        let differs = said
            .zip(priced.cost)
            .is_some_and(|(a, b)| differs_by_a_percent(a, b));
        let inconsistent = differs || !reading.flags.is_empty();
        let (cost, basis) = Basis::of(said, priced.cost);
        Self {
            at: asked.at,
            usage: reading.usage,
            tier,
            card: priced.card.map(Arc::from),
            cost,
            basis,
            listed: priced.cost,
            reported: reading.reported_cost,
            estimated: false,
            inconsistent,
            // what is charged counts, whatever the card leaves open
            doubts: match said {
                Some(_) => Flags::default(),
                None => priced.doubts,
            },
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
        let Told { priced, tier } = asked.price(&usage, None);
        let basis = match priced.cost {
            Some(_) => Basis::Estimated,
            None => Basis::Unpriced,
        };
        Self {
            tier,
            card: priced.card.map(Arc::from),
            cost: priced.cost,
            basis,
            estimated: true,
            doubts: priced.doubts,
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
            doubts: Flags::default(),
            raw: None,
        }
    }
}

impl<'a> Asked<'a> {
    /// The same, where an answer names the model that served: providers move aliases, and some
    /// serve another model than they were asked for. By its exact id, and never against a price
    /// that the operator has written.
    pub(super) fn served_by(self, model: Option<&str>) -> Self {
        let named = model.map(|model| model.trim_matches('"'));
        let Some(other) = named.filter(|named| **named != *self.backend.upstream_model) else {
            return self;
        };
        let by_catalogue = match &self.backend.price {
            Price::Unpriced => true,
            Price::Cards(cards) => cards.iter().all(|card| *card.source != *STATED),
            Price::Free | Price::SelfHosted(_) => false,
        };
        let provider = self.config.providers.get(self.backend.provider);
        let provider = provider.filter(|_| by_catalogue);
        Self {
            swapped: provider
                .and_then(|provider| provider.listed.cards(other))
                .map(|cards| &**cards),
            ..self
        }
    }

    /// The price in the tier that served. Where nobody says which that was, it is the standard one
    /// or the one that was asked for, whichever is dearer: some providers take a tier and never
    /// mention it, others ignore it. A model that thought is priced as one that did, asked or not.
    fn price(&self, usage: &Usage, served: Option<&'static str>) -> Told<'a> {
        let reasoning = self.reasoning || usage.reasoning > 0;
        let of = |tier| {
            let asked = cost::asked_at(self.at, tier, reasoning);
            let priced = match self.swapped {
                Some(cards) => cost::on(self.config, (self.backend.provider, cards), usage, &asked),
                None => cost::priced(self.config, self.backend, usage, &asked),
            };
            Told { priced, tier }
        };
        let told = of(served.unwrap_or(cost::STANDARD));
        match self.tier.filter(|_| served.is_none()) {
            None => told,
            Some(tier) => {
                let asked = of(tier);
                let dearer = asked.priced.cost > told.priced.cost;
                if dearer { asked } else { told }
            }
        }
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
