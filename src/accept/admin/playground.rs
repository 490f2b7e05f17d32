//! `POST /admin/v1/playground`: a chat request of the operator, served as a client's would be.
//!
//! It takes the whole path of a request: limits, route, ledger, metrics. What it costs stands under
//! a name of its own, which no key can have, or under the key that it was asked for in place of.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, Query, Request, State},
    response::Response,
};
use http::HeaderValue;
use jiff::Timestamp;
use serde::Deserialize;

use super::refusal::Refusal;
use crate::{
    accept::{
        desk::{self, REQUEST_ID, Visit},
        respond::{self, Shared},
    },
    authenticate::Principal,
    error::GatewayError,
    understand::Endpoint,
};

/// Under which the operator's own requests are booked. Ids of keys hold no space.
const OPERATOR: &str = "the console";

/// In whose place it is asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    key: Option<String>,
}

/// Serves the chat request in the body.
pub(super) async fn chat(State(app): State<Shared>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let query = Query::<Asked>::from_request_parts(&mut head, &app).await;
    let Ok(Query(Asked { key })) = query else {
        return Refusal::Query("`key` alone can be asked for").respond();
    };
    let caller = match key {
        None => Arc::new(Principal::new(OPERATOR.into(), None)),
        Some(id) => match app.accepted(&app.world(), &id, Timestamp::now()).await {
            Ok(caller) => caller,
            Err(error) => return respond::error(&GatewayError::from(error)),
        },
    };
    let id = app.next_id();
    let header = HeaderValue::from_str(&id);
    let visit = Visit {
        caller: Some(caller),
        id,
        closer: Arc::default(),
    };
    let request = Request::from_parts(head, body);
    let mut response = desk::serve(&app, Endpoint::ChatCompletions, visit, request).await;
    if let Ok(id) = header {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}
