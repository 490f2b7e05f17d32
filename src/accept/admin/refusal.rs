//! What the operator's paths refuse, in the shape of every other error.

use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use crate::{
    accept::respond, config::Mistakes, error::Public, reload::ReloadError,
    store::report::AskedError,
};

/// Why the operator gets no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the path `{0}` is not supported yet")]
    NotYet(String),
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
        let (status, kind, code) = match self {
            Self::NotYet(_) => (
                StatusCode::NOT_FOUND,
                "invalid_request_error",
                "unknown_url",
            ),
            Self::Query(_) => (
                StatusCode::BAD_REQUEST,
                "invalid_request_error",
                "unknown_parameter",
            ),
            Self::Asked(_) => (
                StatusCode::BAD_REQUEST,
                "invalid_request_error",
                "invalid_query",
            ),
            Self::NoLedger => (StatusCode::NOT_FOUND, "invalid_request_error", "no_ledger"),
            Self::Unreadable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "server_error",
                "ledger_unavailable",
            ),
            Self::UnknownBackend(_) => (
                StatusCode::NOT_FOUND,
                "invalid_request_error",
                "backend_not_found",
            ),
            Self::Reload(ReloadError::Nothing) => (
                StatusCode::CONFLICT,
                "invalid_request_error",
                "nothing_to_reload",
            ),
            Self::Reload(ReloadError::Mistakes(_)) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_request_error",
                "invalid_configuration",
            ),
            Self::Reload(ReloadError::BrokeOff) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
                "internal_error",
            ),
        };
        Public {
            status,
            kind: kind.into(),
            code: Some(code.into()),
            param: None,
            message: self.to_string(),
            retry_after_ms: None,
            should_retry: None,
        }
    }
}
