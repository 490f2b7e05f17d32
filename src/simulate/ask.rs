//! Reads a request body as strictly as a careful backend would, and keeps what an answer needs.
//!
//! Given bytes, it gives an `Ask` that owns all it says, or a `Refusal` that names the parameter.
//! Members it does not know are accepted (real backends have many more) unless `strict` is set.

mod fields;
mod message;
mod tools;

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use super::count::{Tally, tokens};
use super::refusal::Refusal;
pub(crate) use fields::Fields;
pub(crate) use fields::Text;

/// Members of a chat request that OpenAI documents and that need no check of their own.
const OTHER_CHAT: &[&str] = &[
    "audio",
    "function_call",
    "functions",
    "modalities",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "verbosity",
    "web_search_options",
];
/// The same for completions and embeddings.
const OTHER_TEXT: &[&str] = &["best_of", "echo", "suffix"];
/// Members that are checked.
const CHECKED: &[&str] = &[
    "dimensions",
    "encoding_format",
    "frequency_penalty",
    "input",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "prompt",
    "reasoning_effort",
    "response_format",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
];
const MAX_CHOICES: u64 = 128;
/// Tokens of reasoning by effort, where the script says nothing.
const EFFORTS: [(&str, u64); 6] = [
    ("none", 0),
    ("minimal", 0),
    ("low", 16),
    ("medium", 64),
    ("high", 256),
    ("xhigh", 512),
];

/// What an answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Chat,
    Completions,
    Embeddings,
    Moderations,
    Rerank,
    Images,
    Speech,
    Transcriptions,
    Translations,
}

/// What the visible answer has to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Shape {
    Text,
    JsonObject,
    Schema(Value),
    /// A call of this tool, with this schema for its arguments.
    Tool(String, Value),
}

/// A chat or completions request, reduced to what decides its answer.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) endpoint: Endpoint,
    pub(crate) stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) continuous_usage: bool,
    pub(crate) max_tokens: Option<u64>,
    pub(crate) choices: u64,
    /// How many alternatives to list for each token, where log probabilities are asked for.
    pub(crate) logprobs: Option<u64>,
    pub(crate) shape: Shape,
    /// Tokens of reasoning that `reasoning_effort` asks for.
    pub(crate) effort: Option<u64>,
    pub(crate) prompt_tokens: u64,
    /// What the answer is a function of.
    pub(crate) seed: u64,
}

/// The model that a body names.
pub(crate) fn model<'a>(fields: &Fields<'a>) -> Result<Cow<'a, str>, Refusal> {
    let model = fields.required::<Text<'a>>("model")?.0;
    if model.is_empty() {
        return Err(Refusal::invalid(
            "model",
            "invalid_value",
            "you must provide a model",
        ));
    }
    Ok(model)
}

/// Reads a chat request; `base` is the model's name without directives.
pub(crate) fn chat(fields: &Fields<'_>, base: &str, strict: bool) -> Result<Ask, Refusal> {
    let messages: Vec<&RawValue> = fields.required("messages")?;
    let mut tally = Tally::new(base);
    let after_tool = message::read(&messages, &mut tally)?;
    let shape = tools::shape(fields, after_tool, &mut tally)?;
    let logprobs = fields.optional::<bool>("logprobs")?.unwrap_or(false);
    let top = fields.number("top_logprobs", 0..=20)?;
    if top.is_some() && !logprobs {
        let message = "'top_logprobs' needs 'logprobs' to be true";
        return Err(Refusal::invalid("top_logprobs", "invalid_value", message));
    }
    if strict {
        fields.only(&[CHECKED, OTHER_CHAT])?;
    }
    let mut ask = common(fields, Endpoint::Chat, &tally)?;
    ask.shape = shape;
    ask.logprobs = logprobs.then_some(top.unwrap_or(0));
    Ok(ask)
}

/// Reads a completions request.
pub(crate) fn completions(fields: &Fields<'_>, base: &str, strict: bool) -> Result<Ask, Refusal> {
    let mut tally = Tally::new(base);
    let prompts = inputs(fields, "prompt", &mut tally)?;
    if strict {
        fields.only(&[CHECKED, OTHER_TEXT])?;
    }
    let logprobs = fields.number("logprobs", 0..=5)?;
    let mut ask = common(fields, Endpoint::Completions, &tally)?;
    ask.choices = ask.choices.saturating_mul(prompts).min(MAX_CHOICES);
    // OpenAI's default; chat has none
    ask.max_tokens = ask.max_tokens.or(Some(16));
    ask.logprobs = logprobs;
    Ok(ask)
}

/// Vectors that a request asks for.
#[derive(Debug)]
pub(crate) struct EmbeddingAsk {
    pub(crate) count: u64,
    pub(crate) dimensions: u64,
    pub(crate) base64: bool,
    pub(crate) prompt_tokens: u64,
    pub(crate) seed: u64,
}

/// Reads an embeddings request.
pub(crate) fn embeddings(
    fields: &Fields<'_>,
    base: &str,
    strict: bool,
) -> Result<EmbeddingAsk, Refusal> {
    let mut tally = Tally::new(base);
    let count = inputs(fields, "input", &mut tally)?;
    if strict {
        fields.only(&[CHECKED, OTHER_TEXT])?;
    }
    let format = fields.choice("encoding_format", &["float", "base64"])?;
    fields.optional::<Text<'_>>("user")?;
    Ok(EmbeddingAsk {
        count,
        dimensions: fields.number("dimensions", 1..=8192)?.unwrap_or(16),
        base64: format == Some("base64"),
        prompt_tokens: tally.tokens,
        seed: tally.seed,
    })
}

/// What chat and completions share.
fn common(fields: &Fields<'_>, endpoint: Endpoint, tally: &Tally) -> Result<Ask, Refusal> {
    for (name, range) in [
        ("temperature", 0.0..=2.0),
        ("top_p", 0.0..=1.0),
        ("frequency_penalty", -2.0..=2.0),
        ("presence_penalty", -2.0..=2.0),
    ] {
        fields.real(name, range)?;
    }
    for name in ["logit_bias", "metadata"] {
        fields.object(name)?;
    }
    for name in ["store", "parallel_tool_calls"] {
        fields.optional::<bool>(name)?;
    }
    for name in ["user", "service_tier"] {
        fields.optional::<Text<'_>>(name)?;
    }
    fields.optional::<i64>("seed")?;
    stop(fields)?;
    let stream = fields.optional::<bool>("stream")?.unwrap_or(false);
    let (include_usage, continuous_usage) = stream_options(fields, stream)?;
    let efforts = EFFORTS.map(|(name, _)| name);
    let effort = fields.choice("reasoning_effort", &efforts)?;
    Ok(Ask {
        endpoint,
        stream,
        include_usage,
        continuous_usage,
        max_tokens: max_tokens(fields)?,
        choices: fields.number("n", 1..=MAX_CHOICES)?.unwrap_or(1),
        logprobs: None,
        shape: Shape::Text,
        effort: EFFORTS
            .iter()
            .find(|(name, _)| Some(*name) == effort)
            .map(|(_, tokens)| *tokens),
        prompt_tokens: tally.tokens,
        seed: tally.seed,
    })
}

fn max_tokens(fields: &Fields<'_>) -> Result<Option<u64>, Refusal> {
    let old = fields.number("max_tokens", 1..=u64::from(u32::MAX))?;
    let new = fields.number("max_completion_tokens", 1..=u64::from(u32::MAX))?;
    if old.is_some() && new.is_some() {
        let message = "'max_tokens' and 'max_completion_tokens' cannot both be given";
        return Err(Refusal::invalid("max_tokens", "invalid_value", message));
    }
    Ok(new.or(old))
}

fn stream_options(fields: &Fields<'_>, stream: bool) -> Result<(bool, bool), Refusal> {
    let Some(options) = fields.optional::<&RawValue>("stream_options")? else {
        return Ok((false, false));
    };
    if !stream {
        let message = "'stream_options' is only allowed when 'stream' is enabled";
        return Err(Refusal::invalid("stream_options", "invalid_value", message));
    }
    let inner = Fields::read(options.get().as_bytes(), "stream_options")?;
    inner.optional::<bool>("include_obfuscation")?;
    inner.only(&[&[
        "include_usage",
        "include_obfuscation",
        "continuous_usage_stats",
    ]])?;
    let flag = |name| {
        inner
            .optional::<bool>(name)
            .map(|flag| flag.unwrap_or(false))
    };
    Ok((flag("include_usage")?, flag("continuous_usage_stats")?))
}

fn stop(fields: &Fields<'_>) -> Result<(), Refusal> {
    let stops = match fields.optional::<Value>("stop")? {
        None | Some(Value::String(_)) => return Ok(()),
        Some(Value::Array(stops)) => stops,
        Some(_) => return Err(fields.mistyped("stop", "a string or a list of strings")),
    };
    if stops.len() > 4 || !stops.iter().all(Value::is_string) {
        return Err(fields.mistyped("stop", "a list of at most 4 strings"));
    }
    Ok(())
}

/// Counts a string, a list of strings, a list of token numbers, or a list of such lists; how many
/// inputs there are.
pub(crate) fn inputs(fields: &Fields<'_>, name: &str, tally: &mut Tally) -> Result<u64, Refusal> {
    const MAX_INPUTS: usize = 2048;
    let wrong = || {
        fields.mistyped(
            name,
            "a string, a list of strings or lists of token numbers",
        )
    };
    let raw: &RawValue = fields.required(name)?;
    if raw.get().starts_with('"') {
        tally.text(&fields.required::<Text<'_>>(name)?.0);
        return Ok(1);
    }
    let items: Vec<Value> = fields.required(name)?;
    if items.is_empty() || items.len() > MAX_INPUTS {
        return Err(fields.mistyped(name, "a list of 1 to 2048 inputs"));
    }
    tally.mark(raw.get());
    if items.iter().all(Value::is_u64) {
        tally.add(items.len() as u64);
        return Ok(1);
    }
    for item in &items {
        match item {
            Value::String(text) => tally.add(tokens(text)),
            Value::Array(list) if list.iter().all(Value::is_u64) => tally.add(list.len() as u64),
            _ => return Err(wrong()),
        }
    }
    Ok(items.len() as u64)
}
