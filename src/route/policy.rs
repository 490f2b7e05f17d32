//! May a backend be asked? What the policies of the key and of the route say of it. Both must allow
//! it, and what is not known of a backend allows nothing that is asked for.

use super::{Question, cost, names::Target};
use crate::{
    authenticate::Principal,
    caps::Cap,
    config::{
        Backend, Config, Policy,
        policy::{MaxPrice, Rule},
    },
    money::{Rate, Usd},
    usage::Usage,
};

/// Tokens of output by which a price is measured.
const MEASURE: u64 = 1_000;

/// Whose policy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Key,
    Route,
}

impl Origin {
    /// In words, before `policy`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key's",
            Self::Route => "route's",
        }
    }
}

/// May a backend of what is asked for be asked for this caller, as far as prices are left out?
#[must_use]
pub fn allow(config: &Config, caller: &Principal, target: Target, backend: &Backend) -> bool {
    let Policies(policies) = Policies::of(config, caller, target);
    policies.iter().flatten().all(|(_, policy)| {
        let provider = config.providers.get(backend.provider);
        provider.is_some_and(|provider| policy.broken(provider, backend).is_none())
    })
}

/// The policies that a request is under.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policies<'a>([Option<(Origin, &'a Policy)>; 2]);

impl<'a> Policies<'a> {
    /// Of whoever asks, and of what is asked for.
    pub(super) fn of(config: &'a Config, caller: &'a Principal, target: Target) -> Self {
        let route = match target {
            Target::Route(route) => config.routes.get(route),
            Target::Model(_) | Target::Backend { .. } => None,
        };
        let key = caller.policy.as_deref();
        let route = route.and_then(|route| route.policy.as_ref());
        Self([
            key.map(|policy| (Origin::Key, policy)),
            route.map(|policy| (Origin::Route, policy)),
        ])
    }

    /// Whose policy keeps a backend from being asked, and what it asks for.
    pub(super) fn broken(
        &self,
        question: &Question<'_>,
        backend: &Backend,
        prompt_tokens: u64,
    ) -> Option<(Origin, Rule)> {
        self.0.iter().flatten().find_map(|(origin, policy)| {
            let provider = question.config.providers.get(backend.provider);
            let rule = match provider {
                None => Some(Rule::Provider),
                Some(provider) => policy.broken(provider, backend),
            };
            let dear = || is_dearer(policy.max_price, question, backend, prompt_tokens);
            let rule = rule.or_else(|| dear().then_some(Rule::Price));
            rule.map(|rule| (*origin, rule))
        })
    }
}

/// Do tokens of this request cost more than that now, or nobody knows what? Asked of what bills, so
/// that context tiers, hours and yuan count.
fn is_dearer(
    most: MaxPrice,
    question: &Question<'_>,
    backend: &Backend,
    prompt_tokens: u64,
) -> bool {
    if most == MaxPrice::default() {
        return false;
    }
    let needs = question.needs;
    let prompt = prompt_tokens.max(1);
    let tier = question.tier.unwrap_or(cost::STANDARD);
    let asked = cost::asked_at(question.at, tier, needs.caps.has(Cap::Reasoning));
    let of = |output| {
        let usage = Usage {
            input: prompt,
            output,
            ..Usage::default()
        };
        cost::of(question.config, backend, &usage, &asked)
    };
    let above = |cost: Usd, rate: Rate, units| i128::from(cost.pico()) > rate.times(units);
    let Some(input) = of(0) else {
        return true;
    };
    let dear_input = most.input.is_some_and(|rate| above(input, rate, prompt));
    let dear_output = most.output.is_some_and(|rate| match of(MEASURE) {
        Some(both) => above(both.saturating_sub(input), rate, MEASURE),
        // what writes no text needs no price for it
        None => needs.purpose.writes_text(),
    });
    dear_input || dear_output
}

#[cfg(test)]
mod tests;
