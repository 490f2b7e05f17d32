//! Every way in which a request can fail to be answered, and what the client may read of it.
//!
//! Stages know nothing of HTTP; this is the table from their errors to status, type and code
//! (`docs/errors.md`). What happened inside goes to the log, not to the client.

use std::borrow::Cow;

use http::StatusCode;

use crate::{
    admit::limits::{Denied, What},
    authenticate::AuthError,
    call::CallError,
    route::RouteError,
    settle::{Outcome, ledger::Unrecorded},
    store::FeedbackError,
    understand::AskError,
    wire::{
        json::ObjectError,
        openai::error::{Envelope, ErrorBody, Inner, mask},
    },
};

/// OpenAI's type of errors that are the caller's.
const INVALID: &str = "invalid_request_error";
/// OpenAI's type and code of a budget that is used up.
const QUOTA: &str = "insufficient_quota";
/// OpenAI's type of errors that are the server's.
const SERVER: &str = "server_error";

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the body did not come in time")]
    TooSlow,
    #[error("the body broke off")]
    BrokeOff,
    #[error("too much is being received at once")]
    NoRoom,
}

/// A request that is not answered.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Ask(#[from] AskError),
    /// With what is to be said of each backend that was refused.
    #[error("{error}{detail}")]
    Route { error: RouteError, detail: String },
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
    #[error(transparent)]
    Limited(#[from] Denied),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Feedback(#[from] FeedbackError),
    #[error("the path `{0}` does not exist")]
    UnknownPath(String),
    #[error("this path does not answer {0} requests")]
    WrongMethod(http::Method),
    #[error("websocket is not spoken here: send the request as HTTP, streams come as events")]
    Upgrade,
    #[error("the request could not be handled")]
    Internal,
}

/// What the client may read.
#[derive(Debug, PartialEq, Eq)]
pub struct Public {
    pub status: StatusCode,
    pub kind: Cow<'static, str>,
    pub code: Option<Cow<'static, str>>,
    pub param: Option<Cow<'static, str>>,
    pub message: String,
    /// When it makes sense to come back, in milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Whether official SDKs should try again; `None`: their own rules.
    pub should_retry: Option<bool>,
}

impl Public {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: String) -> Self {
        Self {
            status,
            kind: kind.into(),
            code: Some(code.into()),
            param: None,
            message,
            retry_after_ms: None,
            should_retry: None,
        }
    }

    fn of(self, param: &'static str) -> Self {
        Self {
            param: Some(param.into()),
            ..self
        }
    }

    fn never_again(self) -> Self {
        Self {
            should_retry: Some(false),
            ..self
        }
    }

    fn after(self, ms: u64) -> Self {
        Self {
            retry_after_ms: Some(ms),
            should_retry: Some(true),
            ..self
        }
    }

    /// The body, in OpenAI's shape.
    #[must_use]
    pub fn to_json(&self) -> String {
        let error = Inner {
            message: &self.message,
            kind: &self.kind,
            param: self.param.as_deref(),
            code: self.code.as_deref(),
        };
        serde_json::to_string(&Envelope { error }).unwrap_or_default()
    }
}

impl GatewayError {
    /// What the client may read.
    #[must_use]
    pub fn public(&self) -> Public {
        let message = self.to_string();
        match self {
            Self::Auth(error) => auth(*error, message),
            Self::Body(error) => body(*error, message),
            Self::Ask(error) => ask(error, message),
            Self::Route { error, .. } => route(error, message),
            Self::Unrecorded(_) => Public::new(
                StatusCode::SERVICE_UNAVAILABLE,
                SERVER,
                "overloaded",
                message,
            )
            .after(1_000),
            Self::Limited(denied) => limited(denied, message),
            Self::Call(error) => call(error, message),
            Self::Feedback(error) => feedback(*error, message),
            Self::UnknownPath(path) => unknown_path(path, &message),
            Self::WrongMethod(_) => Public::new(
                StatusCode::METHOD_NOT_ALLOWED,
                INVALID,
                "method_not_allowed",
                message,
            ),
            Self::Upgrade => {
                Public::new(StatusCode::BAD_REQUEST, INVALID, "upgrade_refused", message)
            }
            Self::Internal => Public::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                SERVER,
                "internal_error",
                message,
            ),
        }
    }

    /// May it come before the body was read?
    #[must_use]
    pub fn leaves_the_body(&self) -> bool {
        matches!(
            self,
            Self::Auth(_) | Self::Limited(_) | Self::Unrecorded(_) | Self::Body(_)
        )
    }

    /// Did a limit or a budget refuse, so that nothing of the limits was used?
    #[must_use]
    pub fn is_of_limits(&self) -> bool {
        let full = matches!(
            self,
            Self::Route {
                error: RouteError::AllFull { .. },
                ..
            }
        );
        full || matches!(
            self,
            Self::Limited(_)
                | Self::Call(
                    CallError::Limited(_)
                        | CallError::OverBudget(_)
                        | CallError::SpendingUnknown { .. }
                        | CallError::TooDear(_)
                )
        )
    }

    /// How the request ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Auth(AuthError::Unreadable) => Outcome::Refused,
            Self::Auth(_)
            | Self::Ask(_)
            | Self::UnknownPath(_)
            | Self::WrongMethod(_)
            | Self::Upgrade => Outcome::ClientError,
            Self::Limited(_) | Self::Call(CallError::Limited(_)) => Outcome::RateLimited,
            Self::Body(BodyError::NoRoom)
            | Self::Unrecorded(_)
            | Self::Feedback(FeedbackError::Off | FeedbackError::Unwritten) => Outcome::Refused,
            Self::Feedback(_) => Outcome::ClientError,
            Self::Body(_) => Outcome::ClientError,
            Self::Route { error, .. } => match error {
                RouteError::UnknownModel(_)
                | RouteError::NotAllowed(_)
                | RouteError::ObjectiveNotAllowed => Outcome::ClientError,
                RouteError::NoneHealthy { .. } => Outcome::UpstreamError,
                RouteError::AllFull { .. } => Outcome::RateLimited,
                RouteError::PolicyExcludesAll { .. }
                | RouteError::TooDear { .. }
                | RouteError::TooLong { .. }
                | RouteError::NoneCapable { .. } => Outcome::Refused,
            },
            Self::Call(CallError::OverBudget(_)) => Outcome::OverBudget,
            Self::Call(CallError::SpendingUnknown { .. } | CallError::TooDear(_)) => {
                Outcome::Refused
            }
            Self::Call(CallError::TimedOut { .. }) => Outcome::Timeout,
            Self::Call(CallError::Failed { .. }) | Self::Internal => Outcome::UpstreamError,
            Self::Call(CallError::Broken { .. }) => Outcome::Cut,
            Self::Call(CallError::Stopping) => Outcome::Cancelled,
            Self::Call(CallError::Rejected { .. }) => Outcome::ClientError,
            Self::Call(CallError::ContextTooLong { .. } | CallError::Incapable { .. }) => {
                Outcome::Refused
            }
        }
    }
}

fn auth(error: AuthError, message: String) -> Public {
    match error {
        AuthError::Missing
        | AuthError::Wrong
        | AuthError::Expired
        | AuthError::Revoked
        | AuthError::Replaced
        | AuthError::TwoKeys => Public::new(
            StatusCode::UNAUTHORIZED,
            INVALID,
            "invalid_api_key",
            message,
        ),
        AuthError::Unreadable => Public::new(
            StatusCode::SERVICE_UNAVAILABLE,
            SERVER,
            "overloaded",
            message,
        )
        .after(1_000),
        AuthError::ForeignHost | AuthError::ForeignOrigin | AuthError::ContentType => Public::new(
            StatusCode::FORBIDDEN,
            INVALID,
            "origin_not_allowed",
            message,
        ),
    }
}

fn body(error: BodyError, message: String) -> Public {
    match error {
        BodyError::TooLarge { .. } => Public::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            INVALID,
            "request_too_large",
            message,
        ),
        BodyError::TooSlow => Public::new(
            StatusCode::REQUEST_TIMEOUT,
            INVALID,
            "request_timeout",
            message,
        ),
        BodyError::BrokeOff => {
            Public::new(StatusCode::BAD_REQUEST, INVALID, "incomplete_body", message)
        }
        BodyError::NoRoom => Public::new(
            StatusCode::SERVICE_UNAVAILABLE,
            SERVER,
            "overloaded",
            message,
        )
        .after(1_000),
    }
}

fn ask(error: &AskError, message: String) -> Public {
    let bad = |code| Public::new(StatusCode::BAD_REQUEST, INVALID, code, message);
    match error {
        AskError::Json(ObjectError::Syntax(_) | ObjectError::Duplicate(_)) => bad("invalid_json"),
        AskError::Form(_) => bad("invalid_form"),
        AskError::Type { member, .. } => bad("invalid_type").of(member),
        AskError::Missing(member) => bad("missing_required_parameter").of(member),
        AskError::Narrow(error) => bad(error.code()).of("tollgate"),
    }
}

fn route(error: &RouteError, message: String) -> Public {
    match error {
        RouteError::UnknownModel(_) => {
            Public::new(StatusCode::NOT_FOUND, INVALID, "model_not_found", message).of("model")
        }
        RouteError::NotAllowed(_) => {
            Public::new(StatusCode::FORBIDDEN, INVALID, "model_not_allowed", message).of("model")
        }
        RouteError::ObjectiveNotAllowed => Public::new(
            StatusCode::FORBIDDEN,
            INVALID,
            "objective_not_allowed",
            message,
        )
        .of("tollgate")
        .never_again(),
        RouteError::PolicyExcludesAll { .. } => Public::new(
            StatusCode::FORBIDDEN,
            INVALID,
            "policy_excludes_all",
            message,
        )
        .never_again(),
        RouteError::TooDear { .. } => too_dear(message),
        RouteError::TooLong { .. } => Public::new(
            StatusCode::BAD_REQUEST,
            INVALID,
            "context_length_exceeded",
            message,
        )
        .of("messages"),
        RouteError::NoneCapable { .. } => Public::new(
            StatusCode::BAD_REQUEST,
            INVALID,
            "no_capable_backend",
            message,
        ),
        RouteError::AllFull { retry_after_ms, .. } => Public::new(
            StatusCode::TOO_MANY_REQUESTS,
            "requests",
            "rate_limit_exceeded",
            message,
        )
        .after(*retry_after_ms),
        RouteError::NoneHealthy { retry_after_ms, .. } => Public::new(
            StatusCode::SERVICE_UNAVAILABLE,
            SERVER,
            "no_healthy_backend",
            message,
        )
        .after(*retry_after_ms),
    }
}

/// The most that the request may cost is the client's own word.
fn too_dear(message: String) -> Public {
    let code = "max_cost_exceeded";
    Public::new(StatusCode::BAD_REQUEST, INVALID, code, message).of("max_cost")
}

/// Whose limit it was stands in the message.
fn limited(denied: &Denied, message: String) -> Public {
    let (kind, code) = match denied.what {
        What::Requests => ("requests", "rate_limit_exceeded"),
        What::Tokens => ("tokens", "rate_limit_exceeded"),
        What::Concurrency => ("requests", "too_many_concurrent_requests"),
    };
    let wait = u64::try_from(denied.wait.as_millis()).unwrap_or(u64::MAX);
    Public::new(StatusCode::TOO_MANY_REQUESTS, kind, code, message).after(wait.max(1))
}

fn call(error: &CallError, message: String) -> Public {
    let said = |body: &Option<Box<ErrorBody>>| match body {
        Some(body) if !body.message.is_empty() => format!("{message}: {}", mask(&body.message)),
        _ => message.clone(),
    };
    match error {
        CallError::Limited(denied) => limited(denied, message),
        CallError::OverBudget(_) => {
            Public::new(StatusCode::TOO_MANY_REQUESTS, QUOTA, QUOTA, message).never_again()
        }
        CallError::TooDear(_) => too_dear(message),
        CallError::SpendingUnknown { .. } | CallError::Stopping => Public::new(
            StatusCode::SERVICE_UNAVAILABLE,
            SERVER,
            "overloaded",
            message,
        )
        .after(1_000),
        CallError::Rejected { status, body } => rejected(*status, body),
        CallError::ContextTooLong { body } => Public::new(
            StatusCode::BAD_REQUEST,
            INVALID,
            "context_length_exceeded",
            said(body),
        )
        .of("messages"),
        CallError::Incapable { body, .. } => Public::new(
            StatusCode::BAD_REQUEST,
            INVALID,
            "no_capable_backend",
            said(body),
        ),
        CallError::TimedOut { .. } => Public::new(
            StatusCode::GATEWAY_TIMEOUT,
            SERVER,
            "upstream_timeout",
            message,
        )
        .never_again(),
        CallError::Failed { sent, .. } => {
            let public = Public::new(StatusCode::BAD_GATEWAY, SERVER, "upstream_error", message);
            // where no backend got it, asking again costs nobody anything
            if *sent { public.never_again() } else { public }
        }
        CallError::Broken { body, .. } => Public::new(
            StatusCode::BAD_GATEWAY,
            SERVER,
            "upstream_error",
            said(body),
        )
        .never_again(),
    }
}

/// The backend's own refusal, in our shape.
fn rejected(status: StatusCode, body: &ErrorBody) -> Public {
    let masked = |text: &Option<String>| text.as_deref().map(|text| Cow::from(mask(text)));
    let message = match mask(&body.message) {
        empty if empty.is_empty() => {
            "the backend refused the request without saying why".to_owned()
        }
        message => message,
    };
    Public {
        status,
        kind: masked(&body.kind).unwrap_or(INVALID.into()),
        code: masked(&body.code),
        param: masked(&body.param),
        message,
        retry_after_ms: None,
        should_retry: None,
    }
}

fn feedback(error: FeedbackError, message: String) -> Public {
    let new = |status, code| Public::new(status, INVALID, code, message.clone());
    match error {
        FeedbackError::Off => new(StatusCode::FORBIDDEN, "feedback_off"),
        FeedbackError::Unknown => new(StatusCode::NOT_FOUND, "request_not_found").of("request_id"),
        // not 409, which official SDKs send again
        FeedbackError::Given => {
            new(StatusCode::BAD_REQUEST, "feedback_already_given").of("request_id")
        }
        FeedbackError::Unwritten => Public::new(
            StatusCode::SERVICE_UNAVAILABLE,
            SERVER,
            "overloaded",
            message,
        )
        .after(1_000),
    }
}

/// A doubled version is the commonest mistake in a base URL.
fn unknown_path(path: &str, message: &str) -> Public {
    let hint = if path.starts_with("/v1/v1/") {
        "; the base URL of your client ends in `/v1` twice: set it to `http://HOST:PORT/v1`"
    } else {
        ""
    };
    Public::new(
        StatusCode::NOT_FOUND,
        INVALID,
        "unknown_url",
        format!("{message}{hint}"),
    )
}

#[cfg(test)]
mod tests;
