//! Does one backend suit one request? Policy first, then abilities, then room.

use super::{Candidate, Facts, Question, Refusal, cost};
use crate::{
    caps::{Cap, Caps},
    config::Backend,
    route::names::Target,
};

/// A context that every chat model in use has. A backend whose context nobody stated is given
/// requests up to it: Ollama cuts at this length unless told otherwise.
const SURE_CONTEXT: u64 = 4_096;

/// What is taken for granted of a backend whose abilities nobody stated.
fn undeclared() -> Caps {
    Caps::default().with(Cap::Streaming)
}

/// The candidate that a backend makes, or why it makes none.
pub(super) fn fit(
    question: &Question<'_>,
    target: Target,
    (model, index): (usize, usize),
    facts: Facts,
) -> Result<Candidate, Refusal> {
    let config = question.config;
    let (Some(named), Some(backend)) = (config.models.get(model), config.backends.get(index))
    else {
        return Err(Refusal::NotNamed);
    };
    if let Some(models) = &question.narrow.models {
        let is = |asked: &String| {
            **asked == *named.name
                || **asked == *backend.name
                || named.aliases.iter().any(|a| **a == **asked)
        };
        models
            .iter()
            .any(is)
            .then_some(())
            .ok_or(Refusal::NotNamed)?;
    }
    if let Some(regions) = &question.narrow.regions {
        let region = config
            .providers
            .get(backend.provider)
            .and_then(|p| p.region.as_deref());
        regions
            .iter()
            .any(|r| Some(r.as_str()) == region)
            .then_some(())
            .ok_or(Refusal::Region)?;
    }
    able(question, target, backend)?;
    let output = facts
        .output_tokens
        .min(question.needs.max_output.unwrap_or(u64::MAX));
    let output = output.min(backend.max_output.unwrap_or(u64::MAX));
    room(question, backend, facts.prompt_tokens, output)?;
    let output_tokens = output.saturating_mul(question.needs.choices);
    Ok(Candidate {
        model,
        backend: index,
        prompt_tokens: facts.prompt_tokens,
        output_tokens,
        expected: cost::expected(question, backend, facts.prompt_tokens, output_tokens),
        quality: backend.quality.at(question.domain),
        first_token_us: facts.first_token_us,
    })
}

/// Has the backend every ability that the request needs? A name that the client chose itself is
/// given the benefit of the doubt where nobody stated the backend's abilities; a route is not.
fn able(question: &Question<'_>, target: Target, backend: &Backend) -> Result<(), Refusal> {
    let has = match (backend.caps, target) {
        (Some(caps), _) => caps,
        (None, Target::Route(_)) => undeclared(),
        (None, _) => return Ok(()),
    };
    match question.needs.caps.without(has).iter().next() {
        Some(lacking) => Err(Refusal::Lacks(lacking)),
        None => Ok(()),
    }
}

/// Is there room for the prompt, and for the output that is asked for or expected?
fn room(
    question: &Question<'_>,
    backend: &Backend,
    prompt: u64,
    expected: u64,
) -> Result<(), Refusal> {
    let asked = question.needs.max_output;
    if let (Some(needed), Some(has)) = (asked, backend.max_output)
        && needed > has
    {
        return Err(Refusal::Output { needed, has });
    }
    // without a limit of the client, the answer ends where the context does
    let needed = prompt.saturating_add(asked.unwrap_or(expected.min(1)));
    if needed > backend.context.unwrap_or(SURE_CONTEXT) {
        return Err(Refusal::Context {
            needed,
            has: backend.context,
        });
    }
    Ok(())
}
