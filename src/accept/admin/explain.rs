//! `POST /admin/v1/explain`: what would be done with a request.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Query, Request, State},
    response::Response,
};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;

use super::refusal::Refusal;
use crate::{
    accept::{
        body,
        respond::{self, Shared},
    },
    authenticate::{AuthError, Principal},
    explaining,
    understand::Endpoint,
};

/// Whose request it is, and what it is sent to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain {
    key: Option<String>,
    endpoint: Option<String>,
}

/// Explains what would be done with the request in the body, without calling anyone.
pub(super) async fn explain(State(app): State<Shared>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let query = Query::<Explain>::from_request_parts(&mut head, &app).await;
    let Ok(Query(Explain { key, endpoint })) = query else {
        return Refusal::Query("`key` and `endpoint` can be asked for").respond();
    };
    let endpoint = endpoint.as_deref().unwrap_or("chat_completions");
    let Some(endpoint) = Endpoint::from_name(endpoint) else {
        return Refusal::Query("`endpoint` is none that serves, such as `embeddings`").respond();
    };
    let world = app.world();
    let principal = match key {
        None => Arc::new(Principal::anybody()),
        Some(id) => match app.holder(&world, &id).await {
            Ok(Some(principal)) => principal,
            Ok(None) => return respond::error(&AuthError::Wrong.into()),
            Err(_) => return respond::error(&AuthError::Unreadable.into()),
        },
    };
    let limit = world.config.server.max_body;
    let (body, _held) = match body::read(body, limit, &app.room).await {
        Ok(read) => read,
        Err(error) => return respond::error(&error.into()),
    };
    match explaining::explain(
        &world,
        &principal,
        endpoint,
        body,
        &head.headers,
        Timestamp::now(),
    ) {
        Ok(json) => respond::json(StatusCode::OK, json),
        Err(error) => respond::error(&error.into()),
    }
}
