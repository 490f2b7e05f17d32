//! What a request is expected to cost on a backend, from its card.

use jiff::Timestamp;

use super::Question;
use crate::{
    caps::Cap,
    catalog::{self, Boundary, price::Asked},
    config::{Backend, Config, Price},
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

/// The list price of a usage on a backend; `None`: unpriced.
#[must_use]
pub fn of(config: &Config, backend: &Backend, usage: &Usage, asked: &Asked<'_>) -> Option<Usd> {
    match &backend.price {
        Price::Unpriced => None,
        Price::Free => Some(Usd::ZERO),
        Price::SelfHosted(hosted) => {
            catalog::price::cost_self_hosted(hosted, usage.prompt_total(), usage.output_total())
        }
        Price::Cards(cards) => {
            let provider = config.providers.get(backend.provider);
            let boundary = provider.map_or(Boundary::Over, |p| p.boundary);
            catalog::price::cost(cards, asked, usage, boundary, catalog::builtin().shared()).cost
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
