//! Understand: from the bytes of a request to what it asks for.
//!
//! The body is taken apart once. What is found here is all that routing knows of a request: the
//! model asked for, what a backend must be able to do, about how many tokens it will take, and
//! how the request narrows the choice. Nothing is decided here.

mod conversation;
mod domain;
pub mod endpoint;
pub mod limits;
mod measure;
mod narrow;
mod recount;
mod schemas;

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;
use http::{HeaderMap, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use crate::{
    caps::{Cap, Caps},
    domain::Domain,
    usage::Usage,
    wire::{
        body::Body,
        form::{Form, FormError},
        json::{Object, ObjectError},
        openai::chat,
        usage,
    },
};

use self::{endpoint::AsksStream, measure::Measured};
pub use self::{
    endpoint::{Endpoint, Written},
    narrow::Narrow,
    recount::Recount,
    schemas::{Schemas, Seen},
};

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
    /// Tools and schemas, for backends that do not take all of them.
    pub schemas: Schemas,
    /// How long the prompt is for each family of tokenizers.
    pub recount: Recount,
    pub domain: Domain,
    /// What the user says last, as JSON text: a string or content parts.
    pub said: Option<ByteString>,
    /// Which of its caller's conversations it goes on with; `None`: that can't be told.
    pub conversation: Option<u64>,
    pub narrow: Narrow,
    /// The service tier that is asked for, where we know it.
    pub tier: Option<&'static str>,
    /// The body; members that only tollgate reads are already taken out.
    pub body: Body,
}

/// What a backend must have to serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// What a model must be for.
    pub purpose: Cap,
    pub caps: Caps,
    /// Estimated tokens of the prompt, or of all inputs together.
    pub prompt_tokens: u64,
    /// Of those, the tokens that have to fit into a context at once.
    pub at_once: u64,
    /// The limit of the output that the client set, in tokens for each choice.
    pub max_output: Option<u64>,
    /// How many inputs there are, where an endpoint takes several at once; else 1.
    pub inputs: u64,
    /// How many choices are asked for; at least 1.
    pub choices: u64,
    /// What is known of the quantities, other than tokens, that it may be billed by.
    #[serde(default, skip_serializing_if = "Usage::is_nothing")]
    pub units: Usage,
    /// Is the length of its recording a guess, which may be too short?
    pub guessed_length: bool,
}

/// Why a request can't be understood.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("the body is not a valid JSON object: {0}")]
    Json(ObjectError),
    #[error("the body is not a form that can be read: {0}")]
    Form(#[from] FormError),
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
/// If the body is not what the endpoint takes, a member that is acted on has the wrong type or is
/// missing, or what narrows the choice contradicts itself.
pub fn read(endpoint: Endpoint, body: Bytes, headers: &HeaderMap) -> Result<Ask, AskError> {
    let mut body = match endpoint.traits().request {
        Written::Json => Body::Json(Object::parse(body).map_err(AskError::Json)?),
        Written::Form => {
            let content_type = headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok());
            Body::Form(Form::parse(content_type.unwrap_or_default(), body)?)
        }
    };
    let model = model(&body)?;
    let stream = match endpoint.traits().stream {
        AsksStream::Never => false,
        AsksStream::Flag => flag(&body, "stream")?,
        AsksStream::Format => body.text("stream_format").flatten().as_deref() == Some("sse"),
    };
    let wants_usage = stream && wants_usage(&body)?;
    let narrow = Narrow::read(body.get("tollgate"), headers)?;
    body.remove("tollgate");
    let tier = body.get("service_tier");
    let tier = tier.and_then(|tier| usage::tier(tier.trim_matches('"')));
    let Measured {
        mut needs,
        domain,
        said,
        opening,
    } = measure::measure(endpoint, &body)?;
    let said = said.and_then(|said| body.share(said));
    let conversation = conversation::of(&body, headers, opening);
    if stream {
        needs.caps = needs.caps.with(Cap::Streaming);
    }
    Ok(Ask {
        endpoint,
        model,
        stream,
        wants_usage,
        needs,
        schemas: Schemas::of(&body),
        recount: Recount::of(endpoint, &body),
        domain,
        said,
        conversation,
        narrow,
        tier,
        body,
    })
}

impl Ask {
    /// What the user says last, by which the quality of an answer is predicted.
    #[must_use]
    pub fn words(&self) -> Option<Cow<'_, str>> {
        let words = chat::text_of(self.said.as_deref()?);
        (!words.is_empty()).then_some(words)
    }
}

fn model(body: &Body) -> Result<String, AskError> {
    text(body, "model")?
        .filter(|model| !model.is_empty())
        .map(Cow::into_owned)
        .ok_or(AskError::Missing("model"))
}

fn wants_usage(body: &Body) -> Result<bool, AskError> {
    #[derive(Deserialize)]
    struct Options {
        #[serde(default)]
        include_usage: Option<bool>,
    }
    let Some(raw) = body.get("stream_options") else {
        return Ok(false);
    };
    let wrong = |_| AskError::Type {
        member: "stream_options",
        expected: "an object whose `include_usage` is true or false",
    };
    let options: Options = serde_json::from_str(raw).map_err(wrong)?;
    Ok(options.include_usage.unwrap_or(false))
}

/// A member that must be a text where it is there.
fn text<'a>(body: &'a Body, member: &'static str) -> Result<Option<Cow<'a, str>>, AskError> {
    let expected = "a string";
    body.text(member)
        .map(|text| text.ok_or(AskError::Type { member, expected }))
        .transpose()
}

fn flag(body: &Body, member: &'static str) -> Result<bool, AskError> {
    match body.get(member) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(AskError::Type {
            member,
            expected: "true or false",
        }),
    }
}

fn number(body: &Body, member: &'static str) -> Result<Option<u64>, AskError> {
    body.get(member)
        .map(|raw| raw.parse())
        .transpose()
        .map_err(|_| AskError::Type {
            member,
            expected: "a whole number that is not negative",
        })
}

#[cfg(test)]
mod tests;
