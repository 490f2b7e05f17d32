//! Does one backend suit one request? Policy first, then abilities, then room.

use super::{Candidate, Facts, Question, Refusal, afford::Open, cost, policy::Policies};
use crate::{
    caps::{Cap, Caps},
    config::{Backend, Model},
    money::Usd,
};

/// A context that every chat model in use has. A backend whose context nobody stated is given
/// requests up to it: Ollama cuts at this length unless told otherwise.
const SURE_CONTEXT: u64 = 4_096;

/// What to make of a fact that nobody stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Not known is not able: for whoever leaves the choice to us.
    Refuses,
    /// Let the backend judge: for a name that the client chose itself.
    Allows,
}

/// What is taken for granted of a backend whose abilities nobody stated.
fn undeclared() -> Caps {
    Caps::default().with(Cap::Streaming)
}

/// An estimate is at most so many times off from what a tokenizer counts: Hebrew is three times as long
/// for some as for others.
const FARTHEST: u64 = 3;

/// The candidate that a backend makes, or why it makes none.
pub(super) fn fit(
    question: &Question<'_>,
    (doubt, policies): (Doubt, &Policies<'_>),
    (model, index): (usize, usize),
    facts: Facts,
) -> Result<Candidate, Refusal> {
    let config = question.config;
    let (Some(named), Some(backend)) = (config.models.get(model), config.backends.get(index))
    else {
        return Err(Refusal::NotNamed);
    };
    narrowed(question, named, backend)?;
    if let Some((origin, rule)) = policies.broken(question, backend, facts.prompt_tokens) {
        return Err(Refusal::Policy(origin, rule));
    }
    able(question, doubt, backend)?;
    let output = question
        .length(index, &facts)
        .min(question.needs.max_output.unwrap_or(u64::MAX));
    let output = output.min(backend.max_output.unwrap_or(u64::MAX));
    let at_once = match question.needs {
        needs if needs.at_once == needs.prompt_tokens => {
            measured(question, backend, facts.prompt_tokens)
        }
        needs => needs.at_once,
    };
    room(question, doubt, backend, (at_once, output))?;
    let warm_tokens = question.warm_tokens(backend, facts.prompt_tokens);
    let cached_tokens = warm_tokens.saturating_mul(facts.cached_micro) / 1_000_000;
    let at =
        |cached, output| cost::expected(question, backend, (facts.prompt_tokens, cached), output);
    let costs = |output| at(cached_tokens, output);
    let cost = costs(output);
    let must_be_priced = question.budgeted || question.narrow.max_cost.is_some();
    if must_be_priced && cost.is_none() {
        return Err(Refusal::Unpriced);
    }
    let longest = worst_output(question, backend, facts.prompt_tokens);
    let max_output = within_cost(question, backend, (facts.prompt_tokens, longest))?;
    let choices = question.needs.choices;
    let worst_output = max_output.map_or(longest, |each| each.saturating_mul(choices));
    let output_tokens = output.min(max_output.unwrap_or(u64::MAX));
    let output_tokens = output_tokens.saturating_mul(choices);
    let expected = if output_tokens == output {
        cost
    } else {
        costs(output_tokens)
    };
    let judged = question.judged(named, index);
    Ok(Candidate {
        model,
        backend: index,
        prompt_tokens: facts.prompt_tokens,
        warm_tokens,
        cached_tokens,
        output_tokens,
        worst_output,
        max_output,
        expected,
        fresh: (cached_tokens > 0).then(|| at(0, output_tokens)).flatten(),
        marginal: cost::marginal(&backend.price, expected, facts.share),
        quality: judged.map(|judged| judged.odds),
        predicted: judged.map(|judged| judged.before),
        first_token_us: facts.first_token_us,
        standing: facts.standing,
        full_ms: facts.full_ms,
    })
}

/// Is the backend one of those that the request narrows the choice to?
fn narrowed(question: &Question<'_>, named: &Model, backend: &Backend) -> Result<(), Refusal> {
    if let Some(models) = &question.narrow.models {
        let wild = named.name.strip_suffix('*').filter(|_| named.wildcard);
        let is = |asked: &String| {
            **asked == *named.name
                || **asked == *backend.name
                || named.aliases.iter().any(|alias| **alias == **asked)
                || wild.is_some_and(|prefix| asked.starts_with(prefix))
        };
        models
            .iter()
            .any(is)
            .then_some(())
            .ok_or(Refusal::NotNamed)?;
    }
    if let Some(regions) = &question.narrow.regions {
        let region = question
            .config
            .providers
            .get(backend.provider)
            .and_then(|p| p.region.as_deref());
        regions
            .iter()
            .any(|r| Some(r.as_str()) == region)
            .then_some(())
            .ok_or(Refusal::Region)?;
    }
    Ok(())
}

/// The longest output of each choice that the most which the request may cost buys, where that is
/// shorter than the longest that there could be.
fn within_cost(
    question: &Question<'_>,
    backend: &Backend,
    (prompt_tokens, longest): (u64, u64),
) -> Result<Option<u64>, Refusal> {
    let Some(most) = question.narrow.max_cost else {
        return Ok(None);
    };
    let open = Open {
        config: question.config,
        backend,
        call: cost::Call {
            prompt: cost::at_most(prompt_tokens),
            output: longest,
            tier: question.tier,
            at: question.at,
            lasts: question.config.server.request_timeout,
            purpose: question.needs.purpose,
            units: question.needs.units,
        },
        choices: question.needs.choices,
        limited: question.needs.max_output.is_some(),
    };
    let worst = open.worst(longest).unwrap_or(Usd::MAX);
    if worst > Usd::ZERO && is_unbounded(question, backend) {
        return Err(Refusal::MaxCost { worst: None, most });
    }
    open.within(most).map_err(|worst| Refusal::MaxCost {
        worst: Some(worst),
        most,
    })
}

/// Can nobody say what it costs at most? A model searches as often as it likes, and a recording may
/// be longer than its size tells.
fn is_unbounded(question: &Question<'_>, backend: &Backend) -> bool {
    let searches = question.needs.caps.has(Cap::WebSearch) && cost::bills_searches(&backend.price);
    searches || question.needs.guessed_length
}

/// Is the backend for what is asked, and has it every ability that the request needs?
fn able(question: &Question<'_>, doubt: Doubt, backend: &Backend) -> Result<(), Refusal> {
    let needs = question.needs;
    let serves = backend
        .serves
        .is_some_and(|serves| serves.has(needs.purpose));
    let doubted = match (backend.serves, doubt) {
        // many chat models go on with a text as well, and the catalogue does not say which
        (Some(_), Doubt::Allows) => needs.purpose == Cap::Completions && !backend.caps_are_all,
        (None, Doubt::Allows) => true,
        (Some(_), Doubt::Refuses) => false,
        (None, Doubt::Refuses) => needs.purpose == Cap::Chat,
    };
    if !serves && !doubted {
        return Err(Refusal::Lacks(needs.purpose));
    }
    schemas(question, backend)?;
    let has = backend.caps.unwrap_or_else(undeclared);
    match question.needs.caps.without(has).iter().next() {
        Some(lacking) if doubt == Doubt::Refuses || backend.caps_are_all => {
            Err(Refusal::Lacks(lacking))
        }
        _ => Ok(()),
    }
}

/// Does it take as many tools, and all that their schemas and that of the answer use?
fn schemas(question: &Question<'_>, backend: &Backend) -> Result<(), Refusal> {
    let (asked, takes) = (question.schemas, &backend.takes);
    if let Some(most) = takes.max_tools {
        let needed = asked.tools();
        if needed > most {
            return Err(Refusal::Tools { needed, most });
        }
    }
    for (lacks, strict) in [
        (takes.schema_lacks, false),
        (takes.strict_schema_lacks, true),
    ] {
        let uses = || {
            if strict {
                asked.strict()
            } else {
                asked.keywords()
            }
        };
        if !lacks.is_empty()
            && let Some(keyword) = uses().first_of_both(lacks)
        {
            return Err(Refusal::Schema { keyword, strict });
        }
    }
    Ok(())
}

/// The longest output: what the client allows, else what the backend or its context does.
fn worst_output(question: &Question<'_>, backend: &Backend, prompt: u64) -> u64 {
    let in_context = || {
        backend
            .context
            .map(|context| context.saturating_sub(prompt))
    };
    let most = match (question.needs.max_output, backend.max_output) {
        (Some(asked), _) => asked,
        (None, Some(most)) => most.min(in_context().unwrap_or(most)),
        (None, None) => in_context().unwrap_or(SURE_CONTEXT),
    };
    most.saturating_mul(question.needs.choices)
}

/// The length of a prompt: where the context may or may not be enough, as the backend's tokenizer
/// counts it.
fn measured(question: &Question<'_>, backend: &Backend, estimate: u64) -> u64 {
    let near =
        |context: u64| (context / FARTHEST..=context.saturating_mul(FARTHEST)).contains(&estimate);
    let family = backend
        .tokenizer
        .filter(|_| backend.context.is_some_and(near));
    let measured = family.and_then(|family| question.recount.tokens(family));
    measured.unwrap_or(estimate)
}

/// Is there room for the prompt, and for the output that is asked for or expected?
fn room(
    question: &Question<'_>,
    doubt: Doubt,
    backend: &Backend,
    (prompt, expected): (u64, u64),
) -> Result<(), Refusal> {
    // what is no text takes nothing of the context
    let needs = question.needs;
    let asked = needs.max_output.filter(|_| needs.purpose.writes_text());
    if let (Some(needed), Some(has)) = (asked, backend.max_output)
        && needed > has
    {
        return Err(Refusal::Output { needed, has });
    }
    let has = match (backend.context, doubt) {
        (Some(has), _) => has,
        (None, Doubt::Refuses) => SURE_CONTEXT,
        (None, Doubt::Allows) => return Ok(()),
    };
    // without a limit of the client, the answer ends where the context does
    let expected = expected.min(1).min(needs.max_output.unwrap_or(1));
    let needed = prompt.saturating_add(asked.unwrap_or(expected));
    if needed > has {
        return Err(Refusal::Context {
            needed,
            has: backend.context,
        });
    }
    Ok(())
}
