//! The output limit: two spellings of one thing.

use crate::{
    config::OutputLimitField,
    wire::{body::Body, json::Object},
};

use super::{AskError, number};

/// OpenAI's newer spelling.
const NEW: &str = "max_completion_tokens";
/// The older spelling, which most backends take.
const OLD: &str = "max_tokens";

/// The limit that the client set; where both spellings stand, the newer one counts.
///
/// # Errors
/// If either is not a whole number.
pub(super) fn max_output(body: &Body) -> Result<Option<u64>, AskError> {
    let (new, old) = (number(body, NEW)?, number(body, OLD)?);
    Ok(new.or(old))
}

/// Sets a limit where the client set none.
pub fn set(body: &mut Object, field: OutputLimitField, tokens: u64) {
    let (name, other) = match field {
        OutputLimitField::AsSent | OutputLimitField::MaxTokens => (OLD, NEW),
        OutputLimitField::MaxCompletionTokens => (NEW, OLD),
    };
    // a `null` of the client's
    body.remove(other);
    body.set(name, tokens.to_string());
}

/// Writes the limit in the spelling that a backend takes.
pub fn respell(body: &mut Object, field: OutputLimitField) {
    let (wanted, other) = match field {
        OutputLimitField::AsSent => return,
        OutputLimitField::MaxTokens => (OLD, NEW),
        OutputLimitField::MaxCompletionTokens => (NEW, OLD),
    };
    let Some(value) = body.get(other).map(|value| value.as_bytes().to_vec()) else {
        return;
    };
    if value != b"null" && body.get(wanted).is_none_or(|value| value == "null") {
        body.set(wanted, value);
    }
    body.remove(other);
}
