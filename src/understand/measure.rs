//! What a request demands, endpoint by endpoint: the abilities that it needs, about how many tokens
//! it takes, and the other quantities that it may be billed by.
//!
//! Characters, images and searches are counted; tokens, and the length of a recording that does not
//! say it, are estimated.

mod chat;

use super::{AskError, Endpoint, Needs, conversation::Opening, number, text};
use crate::{
    caps::{Cap, Caps},
    domain::Domain,
    usage::Usage,
    wire::{
        audio,
        body::Body,
        openai::input::{self, Inputs},
    },
};

/// Documents that one search of a rerank may have; more are billed as another one.
const DOCUMENTS_PER_SEARCH: u64 = 100;
/// Output tokens of the dearest image: a large one in the best quality.
const TOKENS_PER_IMAGE: u64 = 6_240;
/// Output tokens of speech for each character that is spoken: three times what is usual.
const SPEECH_TOKENS_PER_CHAR: u64 = 4;
/// Input tokens of a second of speech.
const TOKENS_PER_SECOND: u64 = 17;
/// Output tokens of a second of fast speech.
const TEXT_TOKENS_PER_SECOND: u64 = 8;

/// What inputs may be.
const INPUTS: &str = "a string, or an array of strings or of token numbers";

/// What was found.
pub(super) struct Measured<'a> {
    /// What the request demands.
    pub(super) needs: Needs,
    /// What kind of work it is.
    pub(super) domain: Domain,
    /// What the user says last, as JSON text.
    pub(super) said: Option<&'a str>,
    /// How its messages begin.
    pub(super) opening: Opening,
}

/// What the request demands, and what kind of work it is.
pub(super) fn measure(endpoint: Endpoint, body: &Body) -> Result<Measured<'_>, AskError> {
    let needs = match endpoint {
        Endpoint::ChatCompletions => return chat::measure(body),
        Endpoint::Completions => completions(body)?,
        Endpoint::Embeddings | Endpoint::Moderations => of_inputs(required(body, "input")?),
        Endpoint::Rerank => rerank(body)?,
        Endpoint::ImageGenerations => images(body)?,
        Endpoint::Speech => speech(body)?,
        Endpoint::Transcriptions | Endpoint::Translations => transcription(body)?,
    };
    let purpose = endpoint.traits().purpose;
    let prompt = body.get("prompt").filter(|raw| raw.starts_with('"'));
    Ok(Measured {
        needs: Needs { purpose, ..needs },
        domain: Domain::Chat,
        said: prompt.filter(|_| endpoint == Endpoint::Completions),
        opening: Opening::default(),
    })
}

fn completions(body: &Body) -> Result<Needs, AskError> {
    // absent, the model begins a text of its own
    let prompt = optional(body, "prompt")?.unwrap_or_default();
    let suffix = body.get("suffix").map_or(0, input::text);
    let n = number(body, "n")?.unwrap_or(1).max(1);
    let written = number(body, "best_of")?.unwrap_or(1).max(n);
    let mut caps = Caps::default();
    if n > 1 {
        caps = caps.with(Cap::N);
    }
    if body.get("logprobs").is_some_and(|raw| raw != "false") {
        caps = caps.with(Cap::Logprobs);
    }
    Ok(Needs {
        caps,
        prompt_tokens: prompt.tokens.saturating_add(suffix),
        at_once: prompt.longest.saturating_add(suffix),
        max_output: number(body, "max_tokens")?,
        choices: written.saturating_mul(prompt.number.max(1)),
        ..none()
    })
}

/// Of inputs that are read and lead to no text.
fn of_inputs(inputs: Inputs) -> Needs {
    let caps = inputs.images.then_some(Cap::Vision);
    Needs {
        caps: caps.into_iter().collect(),
        inputs: inputs.number,
        prompt_tokens: inputs.tokens,
        at_once: inputs.longest,
        ..none()
    }
}

fn rerank(body: &Body) -> Result<Needs, AskError> {
    let query = text(body, "query")?.ok_or(AskError::Missing("query"))?;
    let query = input::text(&query);
    let documents = required(body, "documents")?;
    // the query is read with each document; backends cut what is too long
    let together = query.saturating_mul(documents.number);
    Ok(Needs {
        prompt_tokens: documents.tokens.saturating_add(together),
        units: Usage {
            searches: documents.number.div_ceil(DOCUMENTS_PER_SEARCH).max(1),
            requests: 1,
            ..Usage::default()
        },
        ..none()
    })
}

fn images(body: &Body) -> Result<Needs, AskError> {
    let prompt = text(body, "prompt")?.ok_or(AskError::Missing("prompt"))?;
    let number = number(body, "n")?.unwrap_or(1).max(1);
    let tokens = input::text(&prompt);
    Ok(Needs {
        prompt_tokens: tokens,
        at_once: tokens,
        max_output: Some(TOKENS_PER_IMAGE),
        choices: number,
        units: Usage {
            images: number,
            requests: 1,
            ..Usage::default()
        },
        ..none()
    })
}

fn speech(body: &Body) -> Result<Needs, AskError> {
    let spoken = text(body, "input")?.ok_or(AskError::Missing("input"))?;
    let instructions = text(body, "instructions")?.unwrap_or_default();
    let chars = spoken.chars().count() as u64;
    let tokens = input::text(&spoken).saturating_add(input::text(&instructions));
    Ok(Needs {
        prompt_tokens: tokens,
        at_once: tokens,
        max_output: Some(chars.saturating_mul(SPEECH_TOKENS_PER_CHAR)),
        units: Usage {
            chars,
            requests: 1,
            ..Usage::default()
        },
        ..none()
    })
}

fn transcription(body: &Body) -> Result<Needs, AskError> {
    let Body::Form(form) = body else {
        return Ok(none());
    };
    let file = form.file("file").ok_or(AskError::Missing("file"))?;
    let said = audio::wav(file);
    let seconds = said.unwrap_or(audio::guess(file)).div_ceil(1_000);
    let prompt = form.get("prompt").map_or(0, input::text);
    Ok(Needs {
        prompt_tokens: seconds
            .saturating_mul(TOKENS_PER_SECOND)
            .saturating_add(prompt),
        max_output: Some(seconds.saturating_mul(TEXT_TOKENS_PER_SECOND)),
        units: Usage {
            // as backends bill: whole seconds
            milliseconds: seconds.saturating_mul(1_000),
            requests: 1,
            ..Usage::default()
        },
        guessed_length: said.is_none(),
        ..none()
    })
}

/// The needs of a request that asks for nothing.
fn none() -> Needs {
    Needs {
        purpose: Cap::Chat,
        caps: Caps::default(),
        prompt_tokens: 0,
        at_once: 0,
        inputs: 1,
        max_output: Some(0),
        choices: 1,
        units: Usage {
            requests: 1,
            ..Usage::default()
        },
        guessed_length: false,
    }
}

fn required(body: &Body, member: &'static str) -> Result<Inputs, AskError> {
    optional(body, member)?.ok_or(AskError::Missing(member))
}

fn optional(body: &Body, member: &'static str) -> Result<Option<Inputs>, AskError> {
    let expected = INPUTS;
    let wrong = |_| AskError::Type { member, expected };
    body.get(member)
        .map(input::inputs)
        .transpose()
        .map_err(wrong)
}
