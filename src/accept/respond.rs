//! Answers and errors as HTTP.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde::Serialize;

use crate::{
    error::{GatewayError, Public},
    gateway::{Failed, Reply, ReplyBody},
};

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");

/// An answer.
pub(super) fn reply(reply: Reply) -> Response {
    let body = match reply.body {
        ReplyBody::Whole(bytes) => Body::from(bytes),
        ReplyBody::Stream(stream) => Body::new(*stream),
    };
    let mut response = Response::new(body);
    *response.headers_mut() = reply.headers;
    response
}

/// An error on the path of a request.
pub(super) fn failed(failed: &Failed) -> Response {
    let mut response = error(&failed.error);
    response.headers_mut().extend((*failed.headers).clone());
    response
}

/// An error, in OpenAI's shape.
pub(super) fn error(error: &GatewayError) -> Response {
    public(&error.public())
}

/// What a client may read of an error.
pub(super) fn public(public: &Public) -> Response {
    let mut response = json(public.status, public.to_json());
    advice(public, &mut response);
    response
}

/// Data as JSON.
pub(super) fn as_json(data: &impl Serialize) -> Response {
    json(StatusCode::OK, serde_json::to_vec(data).unwrap_or_default())
}

/// A JSON body.
pub(super) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Whether and when the client should try again.
fn advice(public: &Public, response: &mut Response) {
    let headers = response.headers_mut();
    if let Some(ms) = public.retry_after_ms {
        headers.insert(RETRY_AFTER, ms.div_ceil(1_000).max(1).into());
        headers.insert(RETRY_AFTER_MS, ms.into());
    }
    if let Some(should) = public.should_retry {
        let text = if should { "true" } else { "false" };
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(text));
    }
}

/// Shared by both listeners: state that every handler has.
pub(super) type Shared = Arc<crate::state::App>;
