//! A decision in words and as data: for the header, for `explain`, for error messages.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Candidate, Plan, Question, Reason, Refusal, Refused, RouteError, health::Standing};
use crate::{
    config::{Backend, Config},
    money::Usd,
};

/// Bytes of a decision in one line, about.
const LINE: usize = 64;
/// Backends that an error message names.
const MOST_NAMED: usize = 8;

/// Everything that can be said of one decision.
#[derive(Debug, Serialize)]
pub struct Explanation<'a> {
    /// The model as it was asked for.
    pub model: &'a str,
    /// The route, where the name means one.
    pub route: Option<&'a str>,
    pub needs: NeedsView,
    /// The backend that is asked first.
    pub chosen: Option<&'a str>,
    /// The decision in one line.
    pub decision: String,
    /// What it is called in metrics.
    pub reason: Option<&'static str>,
    /// Why nobody can be asked.
    pub error: Option<String>,
    /// In the order in which they are asked.
    pub candidates: Vec<CandidateView<'a>>,
    pub refused: Vec<RefusedView<'a>>,
    /// What the route's baseline is expected to cost.
    pub baseline: Option<BaselineView<'a>>,
}

/// What a request needs.
#[derive(Debug, Serialize)]
pub struct NeedsView {
    /// What the model must be for.
    pub purpose: &'static str,
    pub capabilities: Vec<&'static str>,
    pub prompt_tokens: u64,
    pub max_output_tokens: Option<u64>,
    pub choices: u64,
    pub domain: &'static str,
    /// How unlike its text is to all that qualities are predicted from, from 0 to 1.
    pub novelty: Option<String>,
    pub min_quality: Option<String>,
    /// The most that it may cost.
    pub max_cost_usd: Option<Usd>,
}

/// A backend that may be asked.
#[derive(Debug, Serialize)]
pub struct CandidateView<'a> {
    pub backend: &'a str,
    pub model: &'a str,
    pub expected_prompt_tokens: u64,
    pub expected_output_tokens: u64,
    /// The limit of the output that is sent, as the request may cost no more; `null`: none.
    pub max_output_tokens: Option<u64>,
    /// Of the prompt, tokens that are expected to come from its cache, as it served the turn before.
    pub expected_cached_tokens: u64,
    /// `null`: unpriced.
    pub expected_cost_usd: Option<Usd>,
    /// The same if nothing were in its cache; `null`: nothing is expected to be.
    pub fresh_cost_usd: Option<Usd>,
    /// On hardware of one's own: what of it the request adds at the present load, by which it is
    /// compared with others.
    pub marginal_cost_usd: Option<Usd>,
    /// The chance of an acceptable answer; `null`: not known.
    pub quality: Option<String>,
    /// What surrounds it four of five times; a floor is held against the lower one.
    pub quality_low: Option<String>,
    pub quality_high: Option<String>,
    /// The chance as it was predicted, before outcomes of the caller's requests corrected it.
    pub quality_predicted: Option<String>,
}

/// A backend that is not asked.
#[derive(Debug, Serialize)]
pub struct RefusedView<'a> {
    pub backend: &'a str,
    pub model: &'a str,
    /// What it is called in metrics.
    pub reason: &'static str,
    pub detail: String,
}

/// What savings are measured against.
#[derive(Debug, Serialize)]
pub struct BaselineView<'a> {
    pub model: &'a str,
    pub expected_cost_usd: Option<Usd>,
}

/// Explains a decision.
#[must_use]
pub fn explain<'a>(question: &Question<'a>, outcome: &Result<Plan, RouteError>) -> Explanation<'a> {
    let config = question.config;
    let (candidates, refused) = match outcome {
        Ok(plan) => (&plan.candidates[..], &plan.refused[..]),
        Err(error) => (&[][..], error.refused()),
    };
    let target = question.names.find(question.model);
    let route = target.and_then(|target| question.route(target));
    let floor = target.map_or(question.narrow.min_quality, |target| question.floor(target));
    Explanation {
        model: question.model,
        route: route.map(|route| &*route.name),
        needs: NeedsView {
            purpose: question.needs.purpose.as_str(),
            capabilities: question
                .needs
                .caps
                .iter()
                .map(crate::caps::Cap::as_str)
                .collect(),
            prompt_tokens: question.needs.prompt_tokens,
            max_output_tokens: question.needs.max_output,
            choices: question.needs.choices,
            domain: question.domain.as_str(),
            novelty: question.reading.map(|reading| part(reading.novelty())),
            min_quality: floor.map(chance),
            max_cost_usd: question.narrow.max_cost,
        },
        chosen: candidates
            .first()
            .map(|c| name(config, c.model, c.backend).1),
        decision: outcome
            .as_ref()
            .map_or_else(ToString::to_string, |plan| decision(config, plan)),
        reason: outcome.as_ref().ok().map(|plan| plan.reason.label()),
        error: outcome
            .as_ref()
            .err()
            .map(|e| format!("{e}{}", refusals(config, e.refused()))),
        candidates: candidate_views(config, candidates),
        refused: refused_views(config, refused),
        baseline: route.and_then(|route| {
            let baseline = config.models.get(route.baseline?)?;
            Some(BaselineView {
                model: &baseline.name,
                expected_cost_usd: question.baseline_cost(route.baseline?),
            })
        }),
    }
}

/// The decision in one line, for a header. Made for every request, so put together without a formatter.
#[must_use]
pub fn decision(config: &Config, plan: &Plan) -> String {
    let first = plan.candidates.first();
    let unpriced = first.is_some_and(|c| c.expected.is_none());
    // what stands before the number of those who could serve, and behind it
    let (before, behind) = match (plan.reason, first) {
        (Reason::Only, _) => ("only one capable", None),
        (Reason::Pinned, _) => ("asked for by name", None),
        (Reason::Cheapest, _) if unpriced => ("unpriced, first of ", Some(" capable")),
        (Reason::Cheapest, _) => ("cheapest of ", Some(" capable")),
        (Reason::Order, _) => ("first of ", Some(" capable, as listed")),
        (Reason::Fastest, _) => ("fastest of ", Some(" capable")),
        (Reason::Best, _) => ("best of ", Some(" capable")),
        (Reason::UncertainStrongest, _) => ("quality not known, strongest of ", Some(" capable")),
        (Reason::UncertainCheapest, _) => ("quality not known, cheapest of ", Some(" capable")),
        (Reason::LastResort, Some(_)) => ("nobody healthy, ", None),
        (Reason::LastResort, None) => ("nobody healthy", None),
    };
    let mut text = String::with_capacity(LINE);
    text.push_str(before);
    if let Some(behind) = behind {
        push(&mut text, plan.candidates.len());
        text.push_str(behind);
    }
    if let (Reason::LastResort, Some(c)) = (plan.reason, first) {
        text.push_str(name(config, c.model, c.backend).1);
        text.push_str(" tried all the same");
    }
    if first.is_some_and(|c| c.cached_tokens > 0) {
        text.push_str(", cache warm");
    }
    if !plan.refused.is_empty() {
        text.push_str("; ");
        push(&mut text, plan.refused.len());
        text.push_str(" refused");
    }
    text
}

fn push(text: &mut String, number: usize) {
    text.push_str(itoa::Buffer::new().format(number));
}

/// Who was refused and why, to be put behind a message; empty if nobody was.
#[must_use]
pub fn refusals(config: &Config, refused: &[Refused]) -> String {
    let mut text = String::new();
    for (index, refusal) in refused.iter().take(MOST_NAMED).enumerate() {
        let join = if index == 0 { ": " } else { "; " };
        let (_, backend) = name(config, refusal.model, refusal.backend);
        let _ = write!(text, "{join}{backend} {}", why(refusal.why));
    }
    if let Some(more) = refused
        .len()
        .checked_sub(MOST_NAMED)
        .filter(|more| *more > 0)
    {
        let _ = write!(text, "; and {more} more");
    }
    text
}

/// Why a backend is not asked, as the rest of a sentence that begins with its name.
#[must_use]
pub fn why(refusal: Refusal) -> String {
    match refusal {
        Refusal::NotNamed => "is not among the models that the request allows".to_owned(),
        Refusal::Region => "is not in a region that the request allows".to_owned(),
        Refusal::Policy(origin, rule) => {
            let (whose, asks) = (origin.as_str(), rule.asks());
            format!("the {whose} policy asks for {asks}")
        }
        Refusal::Unpriced => "has no price, which a budget or `max_cost` needs".to_owned(),
        Refusal::MaxCost {
            worst: Some(worst),
            most,
        } => format!("may cost {worst} USD where {most} USD are allowed"),
        Refusal::MaxCost { worst: None, most } => {
            format!("costs nobody knows how much at most where {most} USD are allowed")
        }
        Refusal::Lacks(cap) => format!("lacks {}", cap.as_str()),
        Refusal::Context {
            needed,
            has: Some(has),
        } => {
            format!("has a context of {has} tokens, and about {needed} are needed")
        }
        Refusal::Context { needed, has: None } => {
            format!("has a context that is not known, and about {needed} tokens are needed")
        }
        Refusal::Tools { needed, most } => {
            format!("takes at most {most} tools, and there are {needed}")
        }
        Refusal::Schema { keyword, strict } => {
            let how = if strict {
                " where they are to be followed strictly"
            } else {
                ""
            };
            format!("takes no schemas with `{keyword}`{how}")
        }
        Refusal::Output { needed, has } => {
            format!("writes at most {has} tokens, and {needed} are asked for")
        }
        Refusal::Quality {
            floor,
            has: Some(has),
        } => {
            let floor = chance(floor);
            let p = chance(has.p);
            if has.low == has.p {
                format!("has a quality of {p} where {floor} is the floor")
            } else {
                let low = chance(has.low);
                format!("has a quality of {p}, surely {low}, where {floor} is the floor")
            }
        }
        Refusal::Quality { floor, has: None } => {
            format!(
                "has a quality that is not known where {} is the floor",
                chance(floor)
            )
        }
        Refusal::Full { left_ms } => {
            format!("is at its limit for another {} s", left_ms.div_ceil(1_000))
        }
        Refusal::Unhealthy(standing) => why_not(standing).unwrap_or_else(|| "is up".to_owned()),
    }
}

/// Why a backend that stands so is not asked, as the rest of a sentence that begins with its name;
/// `None`: it is.
#[must_use]
pub fn why_not(standing: Standing) -> Option<String> {
    Some(match standing {
        Standing::Up => return None,
        Standing::Trial => "is tried by the next request".to_owned(),
        Standing::Cooling { left_ms, .. } => {
            format!("is busy for another {} s", left_ms.div_ceil(1_000))
        }
        Standing::Down(reason) => reason.as_str().to_owned(),
        Standing::Open { failures, left_ms } => {
            let until = match left_ms.div_ceil(1_000) {
                0 => "while one request tries it".to_owned(),
                seconds => format!("for another {seconds} s"),
            };
            format!("is left alone after {failures} failures, {until}")
        }
        Standing::Drained => "is drained by the operator".to_owned(),
    })
}

/// Those who may be asked, in order.
#[must_use]
pub fn candidate_views<'a>(config: &'a Config, candidates: &[Candidate]) -> Vec<CandidateView<'a>> {
    candidates.iter().map(|c| candidate(config, c)).collect()
}

/// Those who are not asked, and why.
#[must_use]
pub fn refused_views<'a>(config: &'a Config, refused: &[Refused]) -> Vec<RefusedView<'a>> {
    refused.iter().map(|r| refusal_view(config, r)).collect()
}

fn candidate<'a>(config: &'a Config, candidate: &Candidate) -> CandidateView<'a> {
    let (model, backend) = name(config, candidate.model, candidate.backend);
    CandidateView {
        backend,
        model,
        expected_prompt_tokens: candidate.prompt_tokens,
        expected_output_tokens: candidate.output_tokens,
        max_output_tokens: candidate.max_output,
        expected_cached_tokens: candidate.cached_tokens,
        expected_cost_usd: candidate.expected,
        fresh_cost_usd: candidate.fresh,
        marginal_cost_usd: candidate.marginal,
        quality: candidate.quality.map(|odds| chance(odds.p)),
        quality_low: candidate.quality.map(|odds| chance(odds.low)),
        quality_high: candidate.quality.map(|odds| chance(odds.high)),
        quality_predicted: candidate.predicted.map(chance),
    }
}

fn refusal_view<'a>(config: &'a Config, refused: &Refused) -> RefusedView<'a> {
    let (model, backend) = name(config, refused.model, refused.backend);
    RefusedView {
        backend,
        model,
        reason: refused.why.label(),
        detail: why(refused.why),
    }
}

fn name(config: &Config, model: usize, backend: usize) -> (&str, &str) {
    let model = config.models.get(model).map_or("", |model| &*model.name);
    let backend = config
        .backends
        .get(backend)
        .map_or("", |backend: &Backend| &*backend.name);
    (model, backend)
}

/// A part of one with two digits.
fn part(of_one: f64) -> String {
    format!("{of_one:.2}")
}

/// A chance in 1/10,000 as a decimal.
#[must_use]
pub fn chance(quality: u16) -> String {
    let text = format!("{}.{:04}", quality / 10_000, quality % 10_000);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') {
        format!("{short}0")
    } else {
        short.to_owned()
    }
}
