//! What a request is expected to cost on a backend, from its card.

use jiff::Timestamp;

use super::Question;
use crate::{
    caps::Cap,
    catalog::{self, Boundary, price::Asked},
    config::{Backend, Config, Price, STATED},
    learn::PRIOR_OUTPUT,
    money::Usd,
    usage::Usage,
};

/// The tier that is asked for and billed unless an answer says otherwise.
pub const STANDARD: &str = "standard";

/// The expected cost; `None`: unpriced.
pub(super) fn expected(
    question: &Question<'_>,
    backend: &Backend,
    prompt_tokens: u64,
    output_tokens: u64,
) -> Option<Usd> {
    let usage = Usage {
        input: prompt_tokens,
        output: output_tokens,
        ..Usage::default()
    };
    let asked = Asked {
        at: question.at,
        tier: STANDARD,
        reasoning: question.needs.caps.has(Cap::Reasoning),
    };
    of(question.config, backend, &usage, &asked)
}

/// The price of a usage, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priced<'a> {
    /// `None`: unpriced.
    pub cost: Option<Usd>,
    /// The source of the card that it was taken from.
    pub card: Option<&'a str>,
    /// Does the operator say so, and not the catalogue?
    pub stated: bool,
}

/// The list price of a usage on a backend; `None`: unpriced.
#[must_use]
pub fn of(config: &Config, backend: &Backend, usage: &Usage, asked: &Asked<'_>) -> Option<Usd> {
    priced(config, backend, usage, asked).cost
}

/// The list price of a usage on a backend, and where it is from.
#[must_use]
pub fn priced<'a>(
    config: &Config,
    backend: &'a Backend,
    usage: &Usage,
    asked: &Asked<'_>,
) -> Priced<'a> {
    let stated = |cost: Option<Usd>, card| Priced {
        cost,
        card: Some(card),
        stated: true,
    };
    match &backend.price {
        Price::Unpriced => Priced {
            cost: None,
            card: None,
            stated: false,
        },
        Price::Free => stated(Some(Usd::ZERO), "free"),
        Price::SelfHosted(hosted) => {
            let (prompt, output) = (usage.prompt_total(), usage.output_total());
            let cost = catalog::price::cost_self_hosted(hosted, prompt, output);
            stated(cost, "self_hosted")
        }
        Price::Cards(cards) => {
            let provider = config.providers.get(backend.provider);
            let boundary = provider.map_or(Boundary::Over, |p| p.boundary);
            let shared = catalog::builtin().shared();
            let priced = catalog::price::cost(cards, asked, usage, boundary, shared);
            Priced {
                cost: priced.cost,
                card: priced.card.map(|card| &*card.source),
                stated: priced.card.is_some_and(|card| *card.source == *STATED),
            }
        }
    }
}

/// How a usage is priced that was completed at `at`, as far as the request alone tells.
#[must_use]
pub fn asked_at(at: Timestamp, tier: &str, reasoning: bool) -> Asked<'_> {
    Asked {
        at,
        tier,
        reasoning,
    }
}

impl Question<'_> {
    /// What a model is expected to cost for this request, at its cheapest backend; no backend's own
    /// experience counts, so that savings are measured against a figure that anyone can repeat.
    #[must_use]
    pub fn baseline_cost(&self, model: usize) -> Option<Usd> {
        let output = PRIOR_OUTPUT.min(self.needs.max_output.unwrap_or(u64::MAX));
        let output = output.saturating_mul(self.needs.choices);
        let backends = &self.config.models.get(model)?.backends;
        let of = |index: &usize| {
            let backend = self.config.backends.get(*index)?;
            expected(self, backend, self.needs.prompt_tokens, output)
        };
        backends.iter().filter_map(of).min()
    }
}
