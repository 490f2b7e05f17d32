//! The desk behind each door, which every request of a client passes: it gives out ids, refuses
//! other protocols, lets web pages in, and sends the request on.
//!
//! Requests for models go straight to the gateway; all others find their path in the router. That
//! is the difference of several boxes and copies, for the requests that there are many of.

use std::{any::Any, convert::Infallible, panic::AssertUnwindSafe, sync::Arc};

use axum::{Router, extract::Request, response::Response};
use futures_util::FutureExt as _;
use http::{
    HeaderName, HeaderValue, Method, Version,
    header::{CONNECTION, UPGRADE},
};
use http_body::Body as _;
use tokio::{sync::Notify, time::Instant};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

use super::{
    admin::guard::Peer,
    body,
    respond::{self, Shared},
    router,
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
const STAINLESS_RETRIES: HeaderName = HeaderName::from_static("x-stainless-retry-count");

/// Where the requests of a listener go.
#[derive(Clone, Debug)]
pub enum Desk {
    Clients { app: Arc<App>, paths: Router },
    Operator { paths: Router },
}

/// What a connection tells of itself with each request.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) peer: Peer,
    /// Told when the connection must end after the answer.
    pub(super) closer: Arc<Notify>,
    /// Told when it is to take no more requests, where it is one of HTTP/2.
    pub(super) goaway: Option<Arc<Notify>>,
}

/// One request at the desk.
#[derive(Debug)]
pub(super) struct Visit {
    /// Who makes it, where that is known before its headers are read.
    pub(super) caller: Option<Arc<Principal>>,
    pub(super) id: Arc<str>,
    pub(super) closer: Arc<Notify>,
}

impl Desk {
    /// Answers a request.
    pub(super) async fn answer(&self, mut request: Request, arrival: Arrival) -> Response {
        match self {
            Self::Clients { app, paths } => client(app, paths, request, arrival).await,
            Self::Operator { paths } => {
                request.extensions_mut().insert(arrival.peer);
                find(paths, request).await
            }
        }
    }
}

/// Gives a request its id, and tells clients of a program that is about to stop to go.
async fn client(app: &Shared, paths: &Router, request: Request, arrival: Arrival) -> Response {
    let id = app.next_id();
    let header = HeaderValue::from_str(&id);
    let echoed = request.headers().get(CLIENT_REQUEST_ID).cloned();
    let visit = Visit {
        caller: None,
        id,
        closer: arrival.closer,
    };
    let mut response = match other_protocol(&request) {
        Some(error) => respond::error(&error),
        None => with_origins(app, paths, request, visit).await,
    };
    let headers = response.headers_mut();
    if let Ok(id) = header {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(echoed) = echoed {
        headers.insert(CLIENT_REQUEST_ID, echoed);
    }
    if app.is_draining() {
        match arrival.goaway {
            // HTTP/2 has no such header (RFC 9113, section 8.2.2)
            Some(goaway) => goaway.notify_one(),
            None => drop(headers.insert(CONNECTION, HeaderValue::from_static("close"))),
        }
    }
    response
}

/// Lets web pages of the configured origins call; those of the moment, as they may change.
async fn with_origins(app: &Shared, paths: &Router, request: Request, visit: Visit) -> Response {
    let cors = match app.glance().config.server.cors_origins.as_slice() {
        [] => None,
        origins => Some(cors(origins)),
    };
    let Some(cors) = cors else {
        return safely(app, paths, request, visit).await;
    };
    let mut visit = Some(visit);
    let inner = service_fn(|request| {
        let visit = visit.take();
        async move {
            Ok::<_, Infallible>(match visit {
                Some(visit) => safely(app, paths, request, visit).await,
                // it is called once
                None => respond::error(&GatewayError::Internal),
            })
        }
    });
    let answer = cors.layer(inner).oneshot(request).await;
    answer.unwrap_or_else(|never| match never {})
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

/// A panic in one request must not end the others, and must not tell the client anything.
async fn safely(app: &Shared, paths: &Router, request: Request, visit: Visit) -> Response {
    let answer = async {
        match router::endpoint(request.method(), request.uri().path()) {
            Some(endpoint) => serve(app, endpoint, visit, request).await,
            None => find(paths, request).await,
        }
    };
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(answer) => answer,
        Err(panic) => panicked(&*panic),
    }
}

async fn find(paths: &Router, request: Request) -> Response {
    let answer = paths.clone().oneshot(request).await;
    answer.unwrap_or_else(|never| match never {})
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no text"), "a request panicked");
    respond::error(&GatewayError::Internal)
}

/// Serves a request for a model.
pub(super) async fn serve(
    app: &App,
    endpoint: Endpoint,
    visit: Visit,
    request: Request,
) -> Response {
    let started = Instant::now();
    let (head, body) = request.into_parts();
    let retried = head.headers.get(STAINLESS_RETRIES);
    if retried.is_some_and(|count| count != "0") {
        app.metrics.client_retries.inc();
    }
    let limit = app.glance().config.server.max_body;
    let may_keep = head.version >= Version::HTTP_2 || body.is_end_stream();
    let incoming = Incoming {
        request_id: visit.id,
        endpoint,
        caller: visit.caller,
        method: head.method,
        authority: head.uri.authority().cloned(),
        headers: head.headers,
        body: body::read(body, limit, &app.room),
        started,
        closer: visit.closer,
    };
    // boxed here, as it is large, and every layer above would hold and copy it
    match Box::pin(gateway::serve_one(app, incoming)).await {
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
