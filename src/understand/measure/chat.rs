//! What a chat demands: abilities that its messages, tools and options need, and its tokens.

use serde::Deserialize;

use super::Measured;
use crate::{
    caps::{Cap, Caps},
    tokens::Counter,
    understand::{AskError, Needs, conversation::Opening, domain, flag, limits, number},
    usage::Usage,
    wire::{body::Body, openai::chat},
};

/// What the request demands, and what kind of work it is.
pub(super) fn measure(body: &Body) -> Result<Measured<'_>, AskError> {
    let raw = body.get("messages").ok_or(AskError::Missing("messages"))?;
    let messages = chat::messages(raw).map_err(|_| AskError::Type {
        member: "messages",
        expected: "an array of messages",
    })?;
    let mut count = messages.count;
    let mut caps = messages.needs;
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
    Ok(Measured {
        said: messages.last_user,
        opening: Opening::of(&messages),
        domain,
        needs: Needs {
            purpose: Cap::Chat,
            caps,
            prompt_tokens: count.tokens(),
            at_once: count.tokens(),
            inputs: 1,
            max_output,
            choices,
            units: Usage::default(),
            guessed_length: false,
        },
    })
}

/// Needs that `response_format` and `modalities` state.
fn format_needs(body: &Body, caps: Caps, count: &mut Counter) -> Result<Caps, AskError> {
    #[derive(Deserialize)]
    struct Format {
        #[serde(default, rename = "type")]
        kind: Option<String>,
    }
    let mut caps = caps;
    if let Some(raw) = body.get("response_format") {
        let format: Format = serde_json::from_str(raw).map_err(|_| AskError::Type {
            member: "response_format",
            expected: "an object",
        })?;
        if format.kind.as_deref() == Some("json_schema") {
            caps = caps.with(Cap::JsonSchema);
            count.add_json(raw);
        }
    }
    if body
        .get("modalities")
        .is_some_and(|raw| raw.contains("\"audio\""))
    {
        caps = caps.with(Cap::AudioOut);
    }
    Ok(caps)
}

/// Needs that single options state.
fn option_needs(body: &Body, caps: Caps) -> Result<Caps, AskError> {
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
    if body.get("web_search_options").is_some() {
        caps = caps.with(Cap::WebSearch);
    }
    Ok(caps)
}

/// Is thinking asked for? OpenAI's effort, Anthropic's and Zhipu's `thinking`, Qwen's switch.
fn wants_reasoning(body: &Body) -> bool {
    let effort = body
        .get("reasoning_effort")
        .is_some_and(|raw| raw != "\"none\"");
    let thinking = body.get("thinking").is_some_and(|raw| {
        raw.contains("\"enabled\"") || raw.contains("\"adaptive\"") || raw == "true"
    });
    effort || thinking || body.get("enable_thinking") == Some("true")
}

fn is_filled_array(raw: &str) -> bool {
    raw.strip_prefix('[')
        .is_some_and(|rest| !rest.trim_start().starts_with(']'))
}
