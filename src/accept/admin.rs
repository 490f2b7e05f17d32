//! The operator's paths: probes and metrics for machines, the rest behind the admin key.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
};

use axum::{
    Router,
    extract::{FromRequestParts, Query, Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use governor::{DefaultKeyedRateLimiter, Quota};
use http::{
    HeaderValue, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER},
};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    body,
    respond::{self, Shared},
    spend,
};
use crate::{
    authenticate::{AuthError, Principal},
    error::GatewayError,
    explaining,
    route::health::Standing,
    settle::metrics::Metrics,
    state::App,
    understand::Endpoint,
};

/// Wrong admin keys that one address may send in a minute.
const WRONG_KEYS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// Addresses after which those that have been quiet are forgotten.
const MANY_ADDRESSES: usize = 10_000;

/// The address of the client, given by the listener.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Guards what only the operator may see.
#[derive(Debug)]
struct Guard {
    digest: [u8; 32],
    wrong: DefaultKeyedRateLimiter<IpAddr>,
}

/// Every path for the operator.
pub fn router(app: Arc<App>, key: &SecretString) -> Router {
    let guard = Arc::new(Guard {
        digest: Sha256::digest(key.expose_secret()).into(),
        wrong: DefaultKeyedRateLimiter::keyed(Quota::per_minute(WRONG_KEYS)),
    });
    let behind_key = Router::new()
        .route("/admin/v1/explain", post(explain))
        .route("/admin/v1/spend", get(spend::answer))
        .route_layer(middleware::from_fn_with_state(guard, only_operator));
    probes(Router::new())
        .route("/metrics", get(metrics))
        .merge(behind_key)
        .fallback(|request: Request| async move {
            respond::error(&GatewayError::UnknownPath(
                request.uri().path().chars().take(200).collect(),
            ))
        })
        .with_state(app)
}

/// Probes, on both listeners, in the usual spellings.
pub(super) fn probes(paths: Router<Shared>) -> Router<Shared> {
    paths
        .route("/healthz", get(alive))
        .route("/health/liveness", get(alive))
        .route("/readyz", get(ready))
        .route("/health/readiness", get(ready))
}

async fn alive() -> &'static str {
    "ok\n"
}

/// Ready until the program is asked to stop; never depends on backends.
async fn ready(State(app): State<Shared>) -> (StatusCode, &'static str) {
    if app.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

async fn metrics(State(app): State<Shared>) -> Response {
    let text = show(&app, &app.metrics);
    let mut response = respond::json(StatusCode::OK, text);
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Gauges that follow from the state of backends are set when they are asked for.
fn show(app: &App, metrics: &Metrics) -> String {
    let world = app.world();
    for (index, backend) in world.config.backends.iter().enumerate() {
        let up = world.standing(index) == Standing::Up;
        metrics
            .backend_up
            .with_label_values(&[&*backend.name])
            .set(i64::from(up));
    }
    metrics.text()
}

/// Whose key explains.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explain {
    key: Option<String>,
}

/// Explains what would be done with the request in the body, without calling anyone.
async fn explain(State(app): State<Shared>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let query = Query::<Explain>::from_request_parts(&mut head, &app).await;
    let Ok(Query(Explain { key })) = query else {
        return respond::error(&GatewayError::UnknownPath(
            "/admin/v1/explain: unknown query".into(),
        ));
    };
    let world = app.world();
    let principal = match key {
        None => Arc::new(Principal::anybody()),
        Some(id) => match world.keys.by_id(&id) {
            Some(principal) => principal,
            None => return respond::error(&AuthError::Wrong.into()),
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
        Endpoint::ChatCompletions,
        body,
        &head.headers,
        Timestamp::now(),
    ) {
        Ok(json) => respond::json(StatusCode::OK, json),
        Err(error) => respond::error(&error.into()),
    }
}

/// Lets through who has the admin key; who guesses is soon not even answered.
async fn only_operator(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let sent = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let sent = sent
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let digest: Option<[u8; 32]> = sent.map(|(_, key)| Sha256::digest(key.trim()).into());
    if digest.is_some_and(|digest| digest.ct_eq(&guard.digest).into()) {
        return next.run(request).await;
    }
    let address = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    if guard.wrong.len() > MANY_ADDRESSES {
        guard.wrong.retain_recent();
    }
    if address.is_some_and(|address| guard.wrong.check_key(&address).is_err()) {
        let mut response = Response::new("too many wrong keys\n".into());
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response.headers_mut().insert(RETRY_AFTER, 60.into());
        return response;
    }
    let error = if digest.is_some() {
        AuthError::Wrong
    } else {
        AuthError::Missing
    };
    respond::error(&error.into())
}
