//! What the operator's paths refuse, in the shape of every other error.

use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::{
    accept::respond,
    config::Mistakes,
    error::{BodyError, GatewayError, Public},
    reload::ReloadError,
    store::{keys::KeysError, report::AskedError},
};

/// How long a guesser is told to wait, in milliseconds.
const GUESSES_AGAIN_MS: u64 = 60_000;

/// Why the operator gets no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the body can't be understood: {0}")]
    Form(String),
    #[error(transparent)]
    Body(BodyError),
    #[error("the key `{0}` stands in the configuration file: change it there, under `keys`")]
    KeyOfFile(String),
    #[error("the id `{0}` stands in the configuration file, under `keys`")]
    TakenByFile(String),
    #[error(transparent)]
    Key(KeysError),
    #[error("the stored keys can't be read or changed now")]
    KeysUnreadable,
    #[error("no secret can be made now")]
    NoRandomness,
    #[error("too many wrong admin keys from this address; the next one is looked at in a minute")]
    TooManyGuesses,
    #[error("the query can't be understood: {0}")]
    Query(&'static str),
    #[error("there is no backend `{0}`; `GET /admin/v1/backends` lists them")]
    UnknownBackend(String),
    #[error("the query can't be understood: {0}")]
    Asked(#[from] AskedError),
    #[error("no ledger is kept: `store.ledger` is `none`, or its folder can't be written in")]
    NoLedger,
    #[error("the ledger can't be read now")]
    Unreadable,
    #[error(transparent)]
    Reload(#[from] ReloadError),
}

/// What went wrong in the database goes to the log, not to the operator's client.
impl From<KeysError> for Refusal {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Taken(_) | KeysError::Unknown(_) | KeysError::Revoked(_) => Self::Key(error),
            KeysError::Open(_) | KeysError::Sqlite(_) | KeysError::BrokeOff => {
                tracing::error!(%error, "the stored keys can't be read or changed");
                Self::KeysUnreadable
            }
        }
    }
}

impl Refusal {
    /// As HTTP; mistakes of a configuration are listed beside the error.
    pub(super) fn respond(&self) -> Response {
        if let Self::Reload(ReloadError::Mistakes(mistakes)) = self {
            return self.with(mistakes);
        }
        respond::public(&self.public())
    }

    fn with(&self, mistakes: &Mistakes) -> Response {
        let public = self.public();
        let body = json!({
            "error": {
                "message": public.message,
                "type": public.kind,
                "param": null,
                "code": public.code,
            },
            "mistakes": mistakes,
        });
        respond::json(public.status, body.to_string())
    }

    fn public(&self) -> Public {
        if let Self::Body(error) = self {
            return GatewayError::from(*error).public();
        }
        let (status, kind, code) = self.told();
        Public {
            status,
            kind: kind.into(),
            code: Some(code.into()),
            param: None,
            message: self.to_string(),
            retry_after_ms: matches!(self, Self::TooManyGuesses).then_some(GUESSES_AGAIN_MS),
            should_retry: None,
        }
    }

    /// Status, type and code.
    fn told(&self) -> (StatusCode, &'static str, &'static str) {
        const ASKED: &str = "invalid_request_error";
        const OURS: &str = "server_error";
        match self {
            Self::Body(_) | Self::Form(_) => (StatusCode::BAD_REQUEST, ASKED, "invalid_body"),
            Self::KeyOfFile(_) => (StatusCode::CONFLICT, ASKED, "key_of_file"),
            Self::TakenByFile(_) | Self::Key(KeysError::Taken(_)) => {
                (StatusCode::CONFLICT, ASKED, "key_exists")
            }
            Self::Key(KeysError::Unknown(_)) => (StatusCode::NOT_FOUND, ASKED, "key_not_found"),
            Self::Key(KeysError::Revoked(_)) => (StatusCode::CONFLICT, ASKED, "key_revoked"),
            Self::Key(KeysError::Open(_) | KeysError::Sqlite(_) | KeysError::BrokeOff)
            | Self::KeysUnreadable => (StatusCode::SERVICE_UNAVAILABLE, OURS, "ledger_unavailable"),
            Self::NoRandomness => (StatusCode::INTERNAL_SERVER_ERROR, OURS, "internal_error"),
            Self::TooManyGuesses => (
                StatusCode::TOO_MANY_REQUESTS,
                "requests",
                "rate_limit_exceeded",
            ),
            Self::Query(_) => (StatusCode::BAD_REQUEST, ASKED, "unknown_parameter"),
            Self::Asked(_) => (StatusCode::BAD_REQUEST, ASKED, "invalid_query"),
            Self::NoLedger => (StatusCode::NOT_FOUND, ASKED, "no_ledger"),
            Self::Unreadable => (StatusCode::SERVICE_UNAVAILABLE, OURS, "ledger_unavailable"),
            Self::UnknownBackend(_) => (StatusCode::NOT_FOUND, ASKED, "backend_not_found"),
            Self::Reload(ReloadError::Nothing) => {
                (StatusCode::CONFLICT, ASKED, "nothing_to_reload")
            }
            Self::Reload(ReloadError::Mistakes(_)) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                ASKED,
                "invalid_configuration",
            ),
            Self::Reload(ReloadError::BrokeOff) => {
                (StatusCode::INTERNAL_SERVER_ERROR, OURS, "internal_error")
            }
        }
    }
}
