//! Route: which backends may and can serve a request, and in what order to ask them.
//!
//! Pure: the configuration, what was understood of the request, and what is known of each backend
//! at this moment go in; an ordered plan, or the reason why there is none, comes out. Every
//! backend that was looked at is in it, with its expected cost or the reason of its refusal.

pub mod afford;
pub mod breaker;
pub mod cost;
pub mod explain;
pub mod health;
pub mod live;
pub mod names;
mod order;
pub mod policy;
pub mod quality;
pub mod record;
mod suit;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::{
    health::Standing,
    live::Live,
    names::{Names, Target},
    policy::{Origin, Policies},
    quality::Judge,
    suit::Doubt,
};
use crate::{
    authenticate::Principal,
    caps::Cap,
    catalog::hosted::Share,
    config::{Config, Objective, policy::Rule},
    domain::Domain,
    learn::{
        conversations::Pin,
        lengths::{Kind, Lengths},
        outcomes::View,
    },
    money::Usd,
    quality::{Odds, Reading},
    understand::{Narrow, Needs, Recount, Schemas},
};

/// When to come back where all who could serve are drained, in milliseconds: nobody knows when
/// the operator resumes them.
const DRAINED_MS: u64 = 30_000;

/// What is to be decided.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub config: &'a Config,
    pub names: &'a Names,
    pub principal: &'a Principal,
    /// The model as the client wrote it.
    pub model: &'a str,
    pub needs: &'a Needs,
    /// Tools and schemas, as far as a backend may not take them.
    pub schemas: &'a Schemas,
    /// How long the prompt is for a family of tokenizers.
    pub recount: &'a Recount,
    /// What kind of work the request is, as [`Judge::domain`] tells it.
    pub domain: Domain,
    /// Who knows how good the backends are.
    pub judge: &'a Judge,
    /// What the judge makes of the text; `None`: it was not read, or there is none.
    pub reading: Option<&'a Reading>,
    /// What outcomes of the caller's requests have taught; `None`: nothing.
    pub learned: Option<View<'a>>,
    pub narrow: &'a Narrow,
    /// Where the conversation is that it goes on with; `None`: not known, or it does not matter.
    pub pin: Option<&'a Pin>,
    /// Is it paid from a budget?
    pub budgeted: bool,
    /// The service tier that is asked for, where we know it.
    pub tier: Option<&'a str>,
    /// Which price cards apply.
    pub at: Timestamp,
}

/// What is known of a backend at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    pub standing: Standing,
    /// Estimated tokens of this prompt, as this backend counts.
    pub prompt_tokens: u64,
    /// Output tokens to expect of one choice of such a request; `None`: its model never answered.
    pub output_tokens: Option<u64>,
    /// Of 1,000,000 tokens that should be in its cache, those that are.
    pub cached_micro: u64,
    /// Microseconds to the first token; `None`: never called.
    pub first_token_us: Option<u64>,
    /// Milliseconds until a limit of its model or provider has room; `None`: it has.
    pub full_ms: Option<u64>,
    /// What part of its cost a call adds on hardware of one's own at the present load; `None`: not
    /// known, or it is none.
    pub share: Option<Share>,
}

impl Facts {
    /// Of a backend that was never seen.
    #[must_use]
    pub fn unknown(prompt_tokens: u64) -> Self {
        Live::default().facts(
            &Lengths::default(),
            0,
            (
                prompt_tokens,
                Kind {
                    domain: Domain::Chat,
                    thinking: false,
                },
            ),
        )
    }
}

/// Whom to ask, in order.
#[derive(Debug, Clone)]
pub struct Plan {
    pub target: Target,
    /// At least one.
    pub candidates: Vec<Candidate>,
    pub refused: Vec<Refused>,
    pub reason: Reason,
    /// What the length of answers is expected by.
    pub kind: Kind,
    /// Did it matter how good answers are?
    pub weighs_quality: bool,
}

/// A backend that may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Index into `config.models`.
    pub model: usize,
    /// Index into `config.backends`.
    pub backend: usize,
    /// Estimated tokens of the prompt, as this backend counts.
    pub prompt_tokens: u64,
    /// Tokens of the prompt that it has read before, in the turn before this one.
    pub warm_tokens: u64,
    /// Of those, the tokens that are expected to be read from its cache, for the price of that.
    pub cached_tokens: u64,
    /// Expected tokens of the output, all choices together.
    pub output_tokens: u64,
    /// The most tokens that the output can have, all choices together.
    pub worst_output: u64,
    /// The longest output, of each choice, that the most which the request may cost buys; `None`:
    /// there is no such limit, or it need not be told.
    pub max_output: Option<u64>,
    /// `None`: unpriced.
    pub expected: Option<Usd>,
    /// The same if nothing were in its cache; `None`: nothing is expected to be, or unpriced.
    pub fresh: Option<Usd>,
    /// What of it the request adds at the present load, on hardware of one's own, which is paid for
    /// anyway; as much as `expected` where that is not known. `None`: it is none.
    pub marginal: Option<Usd>,
    /// The chance of an acceptable answer; `None`: not known.
    pub quality: Option<Odds>,
    /// The same before what outcomes have taught since, in 1/10,000.
    pub predicted: Option<u16>,
    /// Microseconds to the first token; `None`: never called.
    pub first_token_us: Option<u64>,
    /// How it stood when it was looked at.
    pub standing: Standing,
    /// Milliseconds until a limit of its model or provider has room; `None`: it has.
    pub full_ms: Option<u64>,
}

/// A backend that may not or can't be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Index into `config.models`.
    pub model: usize,
    /// Index into `config.backends`.
    pub backend: usize,
    pub why: Refusal,
}

/// Why a backend is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not among the models that the request allows.
    NotNamed,
    /// It is not in a region that the request allows.
    Region,
    /// The policy of the key or of the route does not allow it.
    Policy(Origin, Rule),
    /// Nobody knows what it costs, and the request is paid from a budget or may cost so much only.
    Unpriced,
    /// It may cost more than the request allows; `worst` is `None` where there is no upper bound.
    MaxCost { worst: Option<Usd>, most: Usd },
    /// It can't do something.
    Lacks(Cap),
    /// Prompt and output do not fit; `has` is `None` where the context is not known and the
    /// request is too long to chance it.
    Context { needed: u64, has: Option<u64> },
    /// It does not take so many tools.
    Tools { needed: u64, most: u64 },
    /// It does not take a keyword of a schema; `strict`: where it is to be followed strictly.
    Schema { keyword: &'static str, strict: bool },
    /// It can't write as much as the request allows.
    Output { needed: u64, has: u64 },
    /// Its chance of an acceptable answer is not surely at the floor, which is in 1/10,000.
    Quality { floor: u16, has: Option<Odds> },
    /// It can't be asked now.
    Unhealthy(Standing),
    /// A limit of its model or provider is reached, for so many milliseconds.
    Full { left_ms: u64 },
}

impl Refusal {
    /// The label in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NotNamed => "not_named",
            Self::Region => "region",
            Self::Policy(_, rule) => rule.label(),
            Self::Unpriced => "unpriced",
            Self::MaxCost { .. } => "max_cost",
            Self::Lacks(cap) => cap.as_str(),
            Self::Context { .. } => "context",
            Self::Tools { .. } => "tool_count",
            Self::Schema { .. } => "schema",
            Self::Output { .. } => "output",
            Self::Quality { .. } => "quality",
            Self::Unhealthy(Standing::Down(_)) => "down",
            Self::Unhealthy(Standing::Open { .. }) => "breaker_open",
            Self::Unhealthy(Standing::Drained) => "drained",
            Self::Unhealthy(Standing::Cooling { .. } | Standing::Up | Standing::Trial) => "cooling",
            Self::Full { .. } => "limit",
        }
    }

    fn is_policy(self) -> bool {
        matches!(
            self,
            Self::NotNamed | Self::Region | Self::Policy(..) | Self::Unpriced
        )
    }
}

/// By what the first candidate was put first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The least expected cost.
    Cheapest,
    /// Nobody else was left.
    Only,
    /// Named by `provider/model`.
    Pinned,
    /// As listed.
    Order,
    /// The soonest first token.
    Fastest,
    /// The highest known quality.
    Best,
    /// No quality is known that could meet the floor: the strongest.
    UncertainStrongest,
    /// No quality is known that could meet the floor: the cheapest.
    UncertainCheapest,
    /// Nobody is known to be healthy: tried all the same.
    LastResort,
}

impl Reason {
    /// The label in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Cheapest => "cheapest",
            Self::Only => "only",
            Self::Pinned => "pinned",
            Self::Order => "order",
            Self::Fastest => "fastest",
            Self::Best => "best",
            Self::UncertainStrongest => "uncertain_strongest",
            Self::UncertainCheapest => "uncertain_cheapest",
            Self::LastResort => "last_resort",
        }
    }
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    #[error("the model `{}` does not exist", shortened(.0))]
    UnknownModel(String),
    #[error("this key may not use the model `{}`", shortened(.0))]
    NotAllowed(String),
    #[error("this key may not choose the objective")]
    ObjectiveNotAllowed,
    #[error("policy leaves no backend of this model")]
    PolicyExcludesAll { refused: Vec<Refused> },
    #[error("no backend of this model serves the request for what it may cost")]
    TooDear { refused: Vec<Refused> },
    #[error("the request is too long for every backend of this model")]
    TooLong { refused: Vec<Refused> },
    #[error("no backend of this model can serve the request")]
    NoneCapable { refused: Vec<Refused> },
    #[error("every backend of this model is at its limit")]
    AllFull {
        refused: Vec<Refused>,
        /// Milliseconds until the first one has room again.
        retry_after_ms: u64,
    },
    #[error("no backend of this model can be asked now")]
    NoneHealthy {
        refused: Vec<Refused>,
        /// Milliseconds until the first one may be asked again.
        retry_after_ms: u64,
    },
}

impl RouteError {
    /// What it says, without what the client wrote.
    #[must_use]
    pub fn in_our_words(&self) -> String {
        match self {
            Self::UnknownModel(_) => "the model does not exist".to_owned(),
            Self::NotAllowed(_) => "this key may not use the model".to_owned(),
            error => error.to_string(),
        }
    }

    /// The backends that were looked at.
    #[must_use]
    pub fn refused(&self) -> &[Refused] {
        match self {
            Self::UnknownModel(_) | Self::NotAllowed(_) | Self::ObjectiveNotAllowed => &[],
            Self::PolicyExcludesAll { refused }
            | Self::TooDear { refused }
            | Self::TooLong { refused }
            | Self::NoneCapable { refused }
            | Self::AllFull { refused, .. }
            | Self::NoneHealthy { refused, .. } => refused,
        }
    }
}

/// Decides; `facts` tells what is known of a backend of a model.
///
/// # Errors
/// If the name is unknown or not allowed, or no backend is left; the error holds every refusal.
pub fn plan(
    question: &Question<'_>,
    facts: &dyn Fn(usize, usize) -> Facts,
) -> Result<Plan, RouteError> {
    let target = question.target()?;
    if question.narrow.objective.is_some() && !question.principal.may_choose_objective() {
        return Err(RouteError::ObjectiveNotAllowed);
    }
    let (mut able, mut refused) = fitting(question, target, Doubt::Refuses, facts);
    if able.is_empty() && !matches!(target, Target::Route(_)) {
        (able, refused) = fitting(question, target, Doubt::Allows, facts);
    }
    if able.is_empty() {
        return Err(nobody(refused));
    }
    let floored = quality::above_floor(question, target, able, &mut refused)?;
    let free = with_room(floored.candidates, &mut refused)?;
    let (mut candidates, rested) = health_split(free, &mut refused)?;
    let reason = order::sort(question, target, floored.uncertain, &mut candidates);
    if !question.falls_back(target) {
        candidates.truncate(1);
    }
    let reason = if rested { Reason::LastResort } else { reason };
    Ok(Plan {
        target,
        candidates,
        refused,
        reason,
        kind: question.kind(),
        weighs_quality: quality::weighs_quality(question.config, target, question.narrow),
    })
}

/// Who suits the request, and who does not.
fn fitting(
    question: &Question<'_>,
    target: Target,
    doubt: Doubt,
    facts: &dyn Fn(usize, usize) -> Facts,
) -> (Vec<Candidate>, Vec<Refused>) {
    let offered = question.offered(target);
    let policies = Policies::of(question.config, question.principal, target);
    let (mut able, mut refused) = (Vec::with_capacity(offered.len()), Vec::new());
    for (model, backend) in offered {
        match suit::fit(
            question,
            (doubt, &policies),
            (model, backend),
            facts(model, backend),
        ) {
            Ok(candidate) => able.push(candidate),
            Err(why) => refused.push(Refused {
                model,
                backend,
                why,
            }),
        }
    }
    (able, refused)
}

impl Question<'_> {
    /// What the length of an answer depends on, beside the model.
    #[must_use]
    pub fn kind(&self) -> Kind {
        Kind {
            domain: self.domain,
            thinking: self.needs.caps.has(Cap::Reasoning),
        }
    }

    /// What the name means, if this caller may use it.
    fn target(&self) -> Result<Target, RouteError> {
        let unknown = || RouteError::UnknownModel(self.model.to_owned());
        let target = self.names.find(self.model).ok_or_else(unknown)?;
        let may = |name: &str| self.principal.may_use(name);
        let canonical = match target {
            Target::Route(route) => self.config.routes.get(route).map(|r| &*r.name),
            Target::Model(model) | Target::Backend { model, .. } => {
                self.config.models.get(model).map(|m| &*m.name)
            }
        };
        if may(self.model) || canonical.is_some_and(may) {
            Ok(target)
        } else {
            Err(RouteError::NotAllowed(self.model.to_owned()))
        }
    }

    /// Model and backend of everything that the target offers, in the order written.
    fn offered(&self, target: Target) -> Vec<(usize, usize)> {
        let of = |model: usize| {
            let backends = self
                .config
                .models
                .get(model)
                .map_or(&[][..], |m| &m.backends);
            backends.iter().map(move |backend| (model, *backend))
        };
        match target {
            Target::Backend { model, backend } => vec![(model, backend)],
            Target::Model(model) => of(model).collect(),
            Target::Route(route) => {
                let route = self.config.routes.get(route);
                route
                    .map_or(&[][..], |r| &r.candidates)
                    .iter()
                    .flat_map(|m| of(*m))
                    .collect()
            }
        }
    }

    /// Does the next candidate serve when one fails?
    fn falls_back(&self, target: Target) -> bool {
        match target {
            Target::Route(route) => self.config.routes.get(route).is_none_or(|r| r.fallback),
            Target::Model(_) | Target::Backend { .. } => true,
        }
    }

    fn objective(&self, target: Target) -> Objective {
        if let Some(objective) = self.narrow.objective {
            return objective;
        }
        match target {
            Target::Route(route) => self
                .config
                .routes
                .get(route)
                .map_or(Objective::Cost, |r| r.objective),
            Target::Model(_) | Target::Backend { .. } => Objective::Cost,
        }
    }
}

/// A name that a client made up, at most 128 characters of it.
fn shortened(name: &str) -> &str {
    name.char_indices()
        .nth(128)
        .and_then(|(end, _)| name.get(..end))
        .unwrap_or(name)
}

/// Which error it is that nobody is left.
fn nobody(refused: Vec<Refused>) -> RouteError {
    let able = || refused.iter().filter(|r| !r.why.is_policy());
    if able().next().is_none() {
        RouteError::PolicyExcludesAll { refused }
    } else if able().any(|r| matches!(r.why, Refusal::MaxCost { .. })) {
        // whoever may pay more is served, whatever the others lack
        RouteError::TooDear { refused }
    } else if able().any(|r| matches!(r.why, Refusal::Context { .. })) {
        RouteError::TooLong { refused }
    } else {
        RouteError::NoneCapable { refused }
    }
}

/// Leaves out whose model or provider is at its limit: another one serves, or nobody.
fn with_room(
    able: Vec<Candidate>,
    refused: &mut Vec<Refused>,
) -> Result<Vec<Candidate>, RouteError> {
    let mut soonest = u64::MAX;
    let mut free = able;
    free.retain(|candidate| {
        let Candidate { model, backend, .. } = *candidate;
        let Some(left_ms) = candidate.full_ms else {
            return true;
        };
        soonest = soonest.min(left_ms);
        let why = Refusal::Full { left_ms };
        refused.push(Refused {
            model,
            backend,
            why,
        });
        false
    });
    if free.is_empty() {
        let refused = std::mem::take(refused);
        return Err(RouteError::AllFull {
            refused,
            retry_after_ms: soonest,
        });
    }
    Ok(free)
}

/// Leaves out who can't be asked now. Where nobody is known to be up, all are tried but those who
/// said themselves when to come back, and those whom the operator has drained: a guess of ours
/// never leaves a request without a backend.
fn health_split(
    able: Vec<Candidate>,
    refused: &mut Vec<Refused>,
) -> Result<(Vec<Candidate>, bool), RouteError> {
    let healthy = able
        .iter()
        .any(|candidate| candidate.standing == Standing::Up);
    let may_try = |standing: Standing| match standing {
        Standing::Up | Standing::Trial => true,
        Standing::Cooling { asked: true, .. } | Standing::Drained => false,
        Standing::Cooling { .. } | Standing::Down(_) | Standing::Open { .. } => !healthy,
    };
    let mut left = able;
    let mut soonest = None;
    left.retain(|candidate| {
        let Candidate {
            model,
            backend,
            standing,
            ..
        } = *candidate;
        if may_try(standing) {
            return true;
        }
        if let Standing::Cooling { left_ms, .. } = standing {
            soonest = Some(soonest.map_or(left_ms, |other: u64| other.min(left_ms)));
        }
        refused.push(Refused {
            model,
            backend,
            why: Refusal::Unhealthy(standing),
        });
        false
    });
    if left.is_empty() {
        let refused = std::mem::take(refused);
        return Err(RouteError::NoneHealthy {
            refused,
            retry_after_ms: soonest.unwrap_or(DRAINED_MS),
        });
    }
    Ok((left, !healthy))
}

#[cfg(test)]
mod tests;
