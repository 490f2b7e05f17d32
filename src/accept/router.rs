//! The paths of clients, each with and without `/v1`.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    response::Response,
    routing::{MethodRouter, get, post},
};
use http::Method;

use super::{
    admin, feedback, key, models,
    respond::{self, Shared},
};
use crate::{error::GatewayError, state::App, understand::Endpoint};

/// Every path for clients but those of `endpoint()`, of which it knows what else is wrong.
pub fn router(app: Arc<App>) -> Router {
    let mut paths = Router::new();
    for endpoint in Endpoint::ALL {
        paths = versioned(paths, endpoint.traits().path, &post(wrong_method));
    }
    let paths = versioned(paths, "/models", &get(models::list));
    let paths = versioned(paths, "/key", &get(key::show));
    let paths = versioned(paths, "/feedback", &post(feedback::give));
    let paths = versioned(paths, "/models/{*id}", &get(models::one));
    admin::probes(paths)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
}

/// The endpoint that a request is for, if a model serves it.
pub(super) fn endpoint(method: &Method, path: &str) -> Option<Endpoint> {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    let mut all = Endpoint::ALL.into_iter().filter(|_| method == Method::POST);
    all.find(|endpoint| endpoint.traits().path == path)
}

fn versioned(paths: Router<Shared>, path: &str, method: &MethodRouter<Shared>) -> Router<Shared> {
    paths
        .route(path, method.clone())
        .route(&format!("/v1{path}"), method.clone())
}

async fn unknown_path(request: Request) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    respond::error(&GatewayError::UnknownPath(path))
}

pub(super) async fn wrong_method(request: Request) -> Response {
    respond::error(&GatewayError::WrongMethod(request.method().clone()))
}
