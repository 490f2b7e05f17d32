//! `/v1/models`: exactly what the caller may ask for, from memory.

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State, rejection::PathRejection},
    response::Response,
};
use http::{StatusCode, request::Parts};
use jiff::Timestamp;

use super::respond::{self, Shared};
use crate::{
    authenticate::{AuthError, Principal},
    error::GatewayError,
    offer,
    route::RouteError,
    state::{App, World},
};

pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    let world = app.world();
    let (head, _) = request.into_parts();
    match caller(&app, &world, &head).await {
        Err(error) => respond::error(&error.into()),
        Ok(principal) => {
            let list = offer::list(&world.config, &world.names, &principal, Timestamp::now());
            respond::json(
                StatusCode::OK,
                serde_json::to_vec(&list).unwrap_or_default(),
            )
        }
    }
}

pub(super) async fn one(
    State(app): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let world = app.world();
    let (head, _) = request.into_parts();
    let principal = match caller(&app, &world, &head).await {
        Ok(principal) => principal,
        Err(error) => return respond::error(&error.into()),
    };
    let Ok(Path(id)) = id else {
        // escapes that are no UTF-8: no model is called so
        return unknown(head.uri.path().to_owned());
    };
    match offer::one(
        &world.config,
        &world.names,
        &principal,
        &id,
        Timestamp::now(),
    ) {
        Some(entry) => respond::json(
            StatusCode::OK,
            serde_json::to_vec(&entry).unwrap_or_default(),
        ),
        None => unknown(id),
    }
}

fn unknown(id: String) -> Response {
    respond::error(&GatewayError::Route {
        error: RouteError::UnknownModel(id),
        detail: String::new(),
    })
}

/// Who asks, at this moment.
pub(super) async fn caller(
    app: &App,
    world: &World,
    head: &Parts,
) -> Result<Arc<Principal>, AuthError> {
    app.identify(world, &head.method, head.uri.authority(), &head.headers)
        .await
}
