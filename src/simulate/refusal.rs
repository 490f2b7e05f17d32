//! How the simulator says no: OpenAI's error object, naming the parameter.
//!
//! Given by the strict checks, rendered here, nowhere else. These are the simulator's own
//! refusals; scripted provider errors stand in `provider_errors`.

use http::StatusCode;
use serde::Serialize;

/// A request that a careful backend would not accept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// The member or header at fault, such as `messages[2].role`.
    pub(crate) param: Option<String>,
    pub(crate) code: Option<&'static str>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
}

impl Refusal {
    /// A 400 that names its parameter.
    pub(crate) fn invalid(
        param: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
            param: Some(param.into()),
            code: Some(code),
        }
    }

    /// A refusal without a parameter.
    pub(crate) fn plain(
        status: StatusCode,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            message: message.into(),
            param: None,
            code,
        }
    }

    /// OpenAI's error object.
    pub(crate) fn body(&self) -> Vec<u8> {
        error_object(
            &self.message,
            "invalid_request_error",
            self.param.as_deref(),
            self.code,
        )
    }
}

/// OpenAI's error object.
pub(crate) fn error_object(
    message: &str,
    kind: &str,
    param: Option<&str>,
    code: Option<&str>,
) -> Vec<u8> {
    let envelope = Envelope {
        error: Inner {
            message,
            r#type: kind,
            param,
            code,
        },
    };
    // strings and options alone: this cannot fail
    serde_json::to_vec(&envelope).unwrap_or_default()
}

/// What OpenAI's servers say with a bare status.
pub(crate) fn status_object(status: StatusCode) -> Vec<u8> {
    let (message, kind, code) = match status.as_u16() {
        401 => (
            "Incorrect API key provided.",
            "invalid_request_error",
            Some("invalid_api_key"),
        ),
        404 => (
            "The model does not exist.",
            "invalid_request_error",
            Some("model_not_found"),
        ),
        429 => (
            "Rate limit reached.",
            "requests",
            Some("rate_limit_exceeded"),
        ),
        503 => (
            "The server is overloaded or not ready yet.",
            "server_error",
            None,
        ),
        400..=499 => ("The request was rejected.", "invalid_request_error", None),
        _ => (
            "The server had an error while processing your request.",
            "server_error",
            None,
        ),
    };
    error_object(message, kind, None, code)
}
