//! Understand: from the bytes of a request to what it asks for.
//!
//! The body is taken apart once. What is found here is all that routing knows of a request: the
//! model asked for, what a backend must be able to do, about how many tokens it will take, and
//! how the request narrows the choice. Nothing is decided here.

mod domain;
pub mod limits;
mod narrow;

use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;

use crate::{
    caps::{Cap, Caps},
    config::Domain,
    tokens::Counter,
    wire::{
        json::{Object, ObjectError},
        openai::chat,
    },
};

pub use self::narrow::Narrow;

/// Which API a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/chat/completions`
    ChatCompletions,
}

impl Endpoint {
    /// The name in metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChatCompletions => "chat_completions",
        }
    }

    /// The path behind a provider's base URL.
    #[must_use]
    pub fn upstream_path(self) -> &'static str {
        match self {
            Self::ChatCompletions => "/chat/completions",
        }
    }
}

/// A request, understood.
#[derive(Debug)]
pub struct Ask {
    pub endpoint: Endpoint,
    /// The model as the client wrote it.
    pub model: String,
    pub stream: bool,
    /// Did the client ask for usage in its stream?
    pub wants_usage: bool,
    pub needs: Needs,
    pub domain: Domain,
    pub narrow: Narrow,
    /// The body; members that only tollgate reads are already taken out.
    pub body: Object,
}

/// What a backend must have to serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    pub caps: Caps,
    /// Estimated tokens of the prompt.
    pub prompt_tokens: u64,
    /// The limit of the output that the client set, in tokens for each choice.
    pub max_output: Option<u64>,
    /// How many choices are asked for; at least 1.
    pub choices: u64,
}

/// Why a request can't be understood.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("the body is not a valid JSON object: {0}")]
    Json(ObjectError),
    #[error("`{member}` must be {expected}")]
    Type {
        member: &'static str,
        expected: &'static str,
    },
    #[error("you must provide a `{0}` parameter")]
    Missing(&'static str),
    #[error("{0}")]
    Narrow(#[from] narrow::NarrowError),
}

/// Reads one request.
///
/// # Errors
/// If the body is not an object, a member that is acted on has the wrong type or is missing, or
/// what narrows the choice contradicts itself.
pub fn read(endpoint: Endpoint, body: Bytes, headers: &HeaderMap) -> Result<Ask, AskError> {
    let mut body = Object::parse(body).map_err(AskError::Json)?;
    let model = model(&body)?;
    let stream = flag(&body, "stream")?;
    let wants_usage = stream && wants_usage(&body)?;
    let narrow = Narrow::read(&body, headers)?;
    body.remove("tollgate");
    let (needs, domain) = demands(&body, stream)?;
    Ok(Ask {
        endpoint,
        model,
        stream,
        wants_usage,
        needs,
        domain,
        narrow,
        body,
    })
}

/// What the request demands, and what kind of work it is.
fn demands(body: &Object, stream: bool) -> Result<(Needs, Domain), AskError> {
    let raw = body.get("messages").ok_or(AskError::Missing("messages"))?;
    let messages = chat::messages(raw).map_err(|_| AskError::Type {
        member: "messages",
        expected: "an array of messages",
    })?;
    let mut count = messages.count;
    let mut caps = messages.needs;
    if stream {
        caps = caps.with(Cap::Streaming);
    }
    for (member, need) in [("tools", Cap::Tools), ("functions", Cap::Tools)] {
        if let Some(tools) = body.get(member).filter(|raw| is_filled_array(raw)) {
            caps = caps.with(need);
            count.add_json(tools);
        }
    }
    caps = format_needs(body, caps, &mut count)?;
    caps = option_needs(body, caps)?;
    let choices = number(body, "n")?.unwrap_or(1).max(1);
    if choices > 1 {
        caps = caps.with(Cap::N);
    }
    let domain = domain::of(&messages, &count, caps);
    let max_output = limits::max_output(body)?;
    Ok((
        Needs {
            caps,
            prompt_tokens: count.tokens(),
            max_output,
            choices,
        },
        domain,
    ))
}

/// Needs that `response_format` and `modalities` state.
fn format_needs(body: &Object, caps: Caps, count: &mut Counter) -> Result<Caps, AskError> {
    #[derive(Deserialize)]
    struct Format {
        #[serde(default, rename = "type")]
        kind: Option<String>,
    }
    let mut caps = caps;
    if let Some(raw) = present(body, "response_format") {
        let format: Format = serde_json::from_str(raw).map_err(|_| AskError::Type {
            member: "response_format",
            expected: "an object",
        })?;
        if format.kind.as_deref() == Some("json_schema") {
            caps = caps.with(Cap::JsonSchema);
            count.add_json(raw);
        }
    }
    if present(body, "modalities").is_some_and(|raw| raw.contains("\"audio\"")) {
        caps = caps.with(Cap::AudioOut);
    }
    Ok(caps)
}

/// Needs that single options state.
fn option_needs(body: &Object, caps: Caps) -> Result<Caps, AskError> {
    let mut caps = caps;
    if flag(body, "logprobs")? || number(body, "top_logprobs")?.is_some_and(|n| n > 0) {
        caps = caps.with(Cap::Logprobs);
    }
    if caps.has(Cap::Tools) && flag(body, "parallel_tool_calls")? {
        caps = caps.with(Cap::ParallelTools);
    }
    if wants_reasoning(body) {
        caps = caps.with(Cap::Reasoning);
    }
    if present(body, "web_search_options").is_some() {
        caps = caps.with(Cap::WebSearch);
    }
    Ok(caps)
}

/// Is thinking asked for? OpenAI's effort, Anthropic's and Zhipu's `thinking`, Qwen's switch.
fn wants_reasoning(body: &Object) -> bool {
    let effort = present(body, "reasoning_effort").is_some_and(|raw| raw != "\"none\"");
    let thinking = present(body, "thinking").is_some_and(|raw| {
        raw.contains("\"enabled\"") || raw.contains("\"adaptive\"") || raw == "true"
    });
    effort || thinking || present(body, "enable_thinking") == Some("true")
}

fn model(body: &Object) -> Result<String, AskError> {
    let raw = present(body, "model").ok_or(AskError::Missing("model"))?;
    let model: String = serde_json::from_str(raw).map_err(|_| AskError::Type {
        member: "model",
        expected: "a string",
    })?;
    if model.is_empty() {
        Err(AskError::Missing("model"))
    } else {
        Ok(model)
    }
}

fn wants_usage(body: &Object) -> Result<bool, AskError> {
    #[derive(Deserialize)]
    struct Options {
        #[serde(default)]
        include_usage: Option<bool>,
    }
    let Some(raw) = present(body, "stream_options") else {
        return Ok(false);
    };
    let wrong = |_| AskError::Type {
        member: "stream_options",
        expected: "an object whose `include_usage` is true or false",
    };
    let options: Options = serde_json::from_str(raw).map_err(wrong)?;
    Ok(options.include_usage.unwrap_or(false))
}

/// A member that is there and not null.
fn present<'a>(body: &'a Object, member: &str) -> Option<&'a str> {
    body.get(member).filter(|raw| *raw != "null")
}

fn flag(body: &Object, member: &'static str) -> Result<bool, AskError> {
    match present(body, member) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(AskError::Type {
            member,
            expected: "true or false",
        }),
    }
}

fn number(body: &Object, member: &'static str) -> Result<Option<u64>, AskError> {
    present(body, member)
        .map(|raw| raw.parse())
        .transpose()
        .map_err(|_| AskError::Type {
            member,
            expected: "a whole number that is not negative",
        })
}

fn is_filled_array(raw: &str) -> bool {
    raw.strip_prefix('[')
        .is_some_and(|rest| !rest.trim_start().starts_with(']'))
}

#[cfg(test)]
mod tests;
