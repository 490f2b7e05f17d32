//! The paths of clients, each with and without `/v1`.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
    routing::{MethodRouter, get, post},
};
use http::{
    HeaderName, HeaderValue, Method, Version,
    header::{CONNECTION, UPGRADE},
};
use http_body::Body as _;
use tokio::{sync::Notify, time::Instant};
use tower::{Layer as _, ServiceExt as _};
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders},
};

use super::{
    admin, body, key, models,
    respond::{self, Shared},
};
use crate::{
    authenticate::Principal,
    error::GatewayError,
    gateway::{self, Incoming},
    state::App,
    understand::Endpoint,
};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-client-request-id");
const STAINLESS_RETRIES: &str = "x-stainless-retry-count";

/// Tells the connection of a request that it must end after the answer.
#[derive(Clone, Debug)]
pub(super) struct Closer(pub(super) Arc<Notify>);

/// Tells the connection of a request, where it is one of HTTP/2, to take no more.
#[derive(Clone, Debug)]
pub(super) struct Goaway(pub(super) Arc<Notify>);

/// The id of a request, given at the door.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

/// Every path for clients.
pub fn router(app: Arc<App>) -> Router {
    let mut paths = Router::new();
    for endpoint in Endpoint::ALL {
        let call = move |State(app): State<Shared>, request: Request| async move {
            serve(&app, endpoint, None, request).await
        };
        paths = versioned(paths, endpoint.traits().path, &post(call));
    }
    let paths = versioned(paths, "/models", &get(models::list));
    let paths = versioned(paths, "/key", &get(key::show));
    let paths = versioned(paths, "/models/{*id}", &get(models::one));
    let paths = admin::probes(paths)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked));
    paths
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            other_origins,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            at_the_door,
        ))
        .with_state(app)
}

fn versioned(paths: Router<Shared>, path: &str, method: &MethodRouter<Shared>) -> Router<Shared> {
    paths
        .route(path, method.clone())
        .route(&format!("/v1{path}"), method.clone())
}

/// Lets web pages of the configured origins call; those of the moment, as they may change.
async fn other_origins(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let config = Arc::clone(&app.world().config);
    match config.server.cors_origins.as_slice() {
        [] => next.run(request).await,
        origins => {
            let answer = cors(origins).layer(next).oneshot(request).await;
            answer.unwrap_or_else(|never| match never {})
        }
    }
}

fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let origins = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.to_vec())
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::any())
}

/// Serves a request; `caller` is who makes it, where that is known before its headers are read.
pub(super) async fn serve(
    app: &App,
    endpoint: Endpoint,
    caller: Option<Arc<Principal>>,
    request: Request,
) -> Response {
    let started = Instant::now();
    let (head, body) = request.into_parts();
    let request_id = head
        .extensions
        .get::<RequestId>()
        .map_or_else(String::new, |id| id.0.clone());
    let closer = head
        .extensions
        .get::<Closer>()
        .map_or_else(Arc::default, |c| Arc::clone(&c.0));
    if head
        .headers
        .get(STAINLESS_RETRIES)
        .is_some_and(|count| count != "0")
    {
        app.metrics.client_retries.inc();
    }
    let limit = app.world().config.server.max_body;
    let may_keep = head.version >= Version::HTTP_2 || body.is_end_stream();
    let incoming = Incoming {
        request_id,
        endpoint,
        caller,
        method: head.method,
        authority: head.uri.authority().cloned(),
        headers: head.headers,
        body: body::read(body, limit, &app.room),
        started,
        closer,
    };
    match gateway::serve_one(app, incoming).await {
        Ok(reply) => respond::reply(reply),
        Err(failed) => {
            let mut response = respond::failed(&failed);
            if failed.error.leaves_the_body() && !may_keep {
                // what is left of the body would be taken for the next request
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            response
        }
    }
}

/// Gives every request its id, and tells clients of a program that is about to stop to go.
async fn at_the_door(State(app): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = app.next_id();
    let echoed = request.headers().get(CLIENT_REQUEST_ID).cloned();
    let header = HeaderValue::from_str(&id);
    request.extensions_mut().insert(RequestId(id));
    let goaway = request.extensions_mut().remove::<Goaway>();
    let mut response = match other_protocol(&request) {
        Some(error) => respond::error(&error),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    if let Ok(id) = header {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(echoed) = echoed {
        headers.insert(CLIENT_REQUEST_ID, echoed);
    }
    if app.is_draining() {
        match goaway {
            // HTTP/2 has no such header (RFC 9113, section 8.2.2)
            Some(goaway) => goaway.0.notify_one(),
            None => drop(headers.insert(CONNECTION, HeaderValue::from_static("close"))),
        }
    }
    response
}

/// What a request is told that wants to speak something else from now on.
///
/// A request without an answer in HTTP is refused. One that only offers HTTP/2 (`h2c`, as Java's
/// client does by itself) is answered in HTTP/1.1, which declines the offer (RFC 9110, section
/// 7.8; RFC 9113, section 3.1).
fn other_protocol(request: &Request) -> Option<GatewayError> {
    if request.method() == Method::CONNECT {
        return Some(GatewayError::WrongMethod(Method::CONNECT));
    }
    let mut offers = request.headers().get_all(UPGRADE).iter();
    let websocket = offers.any(|offer| {
        let mut names = offer.as_bytes().split(|byte| *byte == b',');
        names.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    });
    websocket.then_some(GatewayError::Upgrade)
}

async fn unknown_path(request: Request) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    respond::error(&GatewayError::UnknownPath(path))
}

pub(super) async fn wrong_method(request: Request) -> Response {
    respond::error(&GatewayError::WrongMethod(request.method().clone()))
}

/// A panic in one request must not end the others, and must not tell the client anything.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that tower-http asks for"
)]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> http::Response<Body> {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no text"), "a request panicked");
    respond::error(&GatewayError::Internal)
}
