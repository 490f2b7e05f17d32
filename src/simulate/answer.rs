//! Composes what a simulated model says: texts, calls, finish reasons and token counts.
//!
//! Pure: the same request and script give the same answer, streamed or not.

use super::ask::{Ask, Endpoint, Shape};
use super::count::{nth, tokens};
use super::directive::{Bad, Script};
use super::refusal::Refusal;
use super::{schema, text};

/// Seconds since the epoch at which every answer was "created": a fixed value keeps answers
/// byte-identical between runs.
pub(crate) const CREATED: u64 = 1_750_000_000;

/// A whole answer before it is written in any shape.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) endpoint: Endpoint,
    pub(crate) id: String,
    /// Begins with `sim-`.
    pub(crate) model: String,
    pub(crate) choices: Vec<Choice>,
    pub(crate) usage: Counts,
    /// What is charged, a JSON number.
    pub(crate) cost: Option<String>,
    /// The service tier that served.
    pub(crate) tier: Option<String>,
    /// Alternatives to list for each token.
    pub(crate) logprobs: Option<u64>,
}

/// One of the alternatives that `n` asks for.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Empty where the model does not reason.
    pub(crate) reasoning: String,
    /// `None` where a tool is called.
    pub(crate) content: Option<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) finish: &'static str,
}

/// A call of a tool.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
}

/// Tokens of the whole answer. `completion` includes `reasoning`, `prompt` includes `cached` and
/// `written`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) prompt: u64,
    pub(crate) cached: u64,
    pub(crate) written: u64,
    pub(crate) completion: u64,
    pub(crate) reasoning: u64,
}

/// Composes the answer to `ask` by the model that is called `base` without its directives.
///
/// `cached`: how many tokens of the prompt were in the cache.
pub(crate) fn compose(
    ask: &Ask,
    script: &Script,
    cached: u64,
    base: &str,
) -> Result<Answer, Refusal> {
    let prompt = script.prompt.unwrap_or(ask.prompt_tokens);
    let cached = cached.min(prompt);
    let mut usage = Counts {
        prompt,
        cached,
        written: script.written.min(prompt - cached),
        completion: 0,
        reasoning: 0,
    };
    let mut choices = Vec::new();
    for index in 0..ask.choices {
        let seed = nth(ask.seed, index);
        let cap = ask.max_tokens.unwrap_or(u64::MAX);
        let reasoning = reasoning_tokens(ask, script, base).min(cap);
        let (choice, visible) = choose(ask, script, seed, cap - reasoning)?;
        usage.reasoning = usage.reasoning.saturating_add(reasoning);
        usage.completion = usage
            .completion
            .saturating_add(reasoning)
            .saturating_add(visible);
        choices.push(Choice {
            reasoning: text::words(!seed, reasoning),
            ..spoilt(choice, script.bad)
        });
    }
    let prefix = match ask.endpoint {
        Endpoint::Completions => "cmpl",
        _ => "chatcmpl",
    };
    Ok(Answer {
        endpoint: ask.endpoint,
        id: format!("{prefix}-sim-{:016x}", ask.seed),
        model: format!("sim-{base}"),
        choices,
        usage,
        cost: script.cost.clone(),
        tier: script.tier.clone(),
        logprobs: ask.logprobs,
    })
}

/// One choice of at most `cap` visible tokens, and how many it has.
fn choose(ask: &Ask, script: &Script, seed: u64, cap: u64) -> Result<(Choice, u64), Refusal> {
    let wanted = script.wanted_output().unwrap_or_else(|| 16 + seed % 48);
    let impossible = |param: &str| {
        let message = "the simulator finds no document that satisfies this schema";
        Refusal::invalid(param, "unsupported_schema", message)
    };
    let mut content = match &ask.shape {
        Shape::Text => text::words(seed, wanted.min(cap)),
        Shape::JsonObject => format!(r#"{{"answer":"{}"}}"#, text::words(seed, wanted)),
        Shape::Schema(schema) => {
            let document = schema::instance(schema, seed);
            document
                .ok_or_else(|| impossible("response_format"))?
                .to_string()
        }
        Shape::Tool(name, parameters) => {
            let mut calls = Vec::new();
            for index in 0..script.calls.unwrap_or(1) {
                let seed = nth(seed, index);
                let arguments = schema::instance(parameters, seed);
                calls.push(Call {
                    id: format!("call_sim_{seed:016x}"),
                    name: name.clone(),
                    arguments: arguments.ok_or_else(|| impossible("tools"))?.to_string(),
                });
            }
            return Ok(call(calls, cap));
        }
    };
    let whole = match ask.shape {
        Shape::Text => wanted,
        _ => tokens(&content),
    };
    text::truncate(&mut content, cap);
    let finish = if whole > cap { "length" } else { "stop" };
    let visible = tokens(&content);
    let choice = Choice {
        reasoning: String::new(),
        content: Some(content),
        calls: Vec::new(),
        finish,
    };
    Ok((choice, visible))
}

/// A choice that is no good in the way that is wanted. Its tokens are those of the good one.
fn spoilt(mut choice: Choice, bad: Option<Bad>) -> Choice {
    match bad {
        None => {}
        Some(Bad::Form) => {
            let arguments = choice.calls.iter_mut().map(|call| &mut call.arguments);
            for text in arguments.chain(&mut choice.content) {
                text.pop();
            }
        }
        Some(Bad::Tool) => {
            for call in &mut choice.calls {
                call.name.push_str("_of_nobody");
            }
        }
        Some(Bad::Length) => choice.finish = "length",
        Some(Bad::Filter) => choice.finish = "content_filter",
        Some(Bad::Nothing) => {
            choice.content = choice.content.map(|_| String::new());
        }
    }
    choice
}

/// Calls of at most `cap` tokens: the limit cuts the arguments of the last one that fits.
fn call(mut calls: Vec<Call>, cap: u64) -> (Choice, u64) {
    let mut visible: u64 = 0;
    let mut finish = "tool_calls";
    let mut kept = 0;
    for call in &mut calls {
        let left = cap.saturating_sub(visible);
        let name = tokens(&call.name);
        if name > left {
            finish = "length";
            break;
        }
        if name + tokens(&call.arguments) > left {
            finish = "length";
            text::truncate(&mut call.arguments, left - name);
        }
        visible += name + tokens(&call.arguments);
        kept += 1;
    }
    calls.truncate(kept);
    (
        Choice {
            reasoning: String::new(),
            content: None,
            calls,
            finish,
        },
        visible,
    )
}

/// The directive decides, then the request's effort, then the model's name.
fn reasoning_tokens(ask: &Ask, script: &Script, base: &str) -> u64 {
    let by_name = || {
        let marks = ["reason", "think", "-r1"];
        if marks.iter().any(|mark| base.contains(mark)) {
            64
        } else {
            0
        }
    };
    match ask.endpoint {
        Endpoint::Chat => script.reasoning.or(ask.effort).unwrap_or_else(by_name),
        _ => 0,
    }
}
