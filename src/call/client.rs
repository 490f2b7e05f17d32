//! The pooled HTTP client: connects within a time limit, sends a body as slices, and knows whether
//! a connection that broke had been lying idle.
//!
//! It speaks HTTP/1.1 only, also where a backend offers HTTP/2: over one shared connection, calls
//! beyond the backend's limit of streams would wait unseen, one broken connection would fail all
//! of them, and one lost packet would stop every stream.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header::PROXY_AUTHORIZATION, uri::Scheme};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};

mod dial;
mod forward;
mod proxy;

use self::{
    dial::{Dial, LastUse},
    proxy::ProxyError,
};
use crate::{
    config::{Config, Provider, Proxy},
    cores::PerCore,
};

/// How long an idle connection is kept. vLLM and SGLang close theirs after five seconds.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// The same for TLS, where a new connection costs more and hosts wait longer.
const POOL_IDLE_TLS: Duration = Duration::from_secs(60);
/// A connection that lay idle for this long may have been closed by the other side meanwhile.
const STALE_AFTER: Duration = Duration::from_millis(500);
/// A connection that was closed meanwhile fails at once.
const STALE_WITHIN: Duration = Duration::from_secs(1);

/// The client; cheap to clone, clones share their connections. Each core has connections of its own.
#[derive(Clone, Debug)]
pub struct Client {
    dial: Dial,
    plain: Arc<PerCore<Pooled>>,
    tls: Arc<PerCore<Pooled>>,
    /// Shown its credentials with each request that is sent to it and not through it.
    proxy: Option<Proxy>,
}

/// Connections of one core, and how more are made.
type Pooled = legacy::Client<Dial, Payload>;

/// Why a request got no answer.
#[derive(Debug)]
pub enum SendError {
    /// No connection in the time that was given for it.
    ConnectTimeout,
    /// No connection: nothing was sent.
    Connect(String),
    /// The connection ended after the request was sent, or while it was.
    Dropped(String),
}

impl Client {
    /// A client that reaches a provider as that says, and gives up connecting after
    /// `connect_timeout`.
    #[must_use]
    pub fn new(connect_timeout: Duration, provider: &Provider) -> Self {
        Self {
            dial: Dial::new(connect_timeout, provider),
            plain: Arc::default(),
            tls: Arc::default(),
            proxy: provider.proxy.clone(),
        }
    }

    /// The connections of this core.
    fn here(&self, tls: bool) -> &Pooled {
        let (each, idle) = if tls {
            (&self.tls, POOL_IDLE_TLS)
        } else {
            (&self.plain, POOL_IDLE)
        };
        each.here(|| {
            legacy::Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(idle)
                .build(self.dial.clone())
        })
    }

    /// A client for each provider; those that are reached in the same way share one, and one that
    /// was there before keeps its connections.
    #[must_use]
    pub fn of_each(config: &Config, before: Option<(&Config, &[Self])>) -> Vec<Self> {
        let timeout = config.server.connect_timeout;
        let before = before.filter(|(old, _)| old.server.connect_timeout == timeout);
        let mut clients: Vec<Self> = Vec::with_capacity(config.providers.len());
        for provider in &config.providers {
            let same_way = |other: &Provider| {
                other.proxy == provider.proxy && other.ca_file == provider.ca_file
            };
            let known = |config: &Config, clients: &[Self]| {
                let mut pairs = config.providers.iter().zip(clients);
                let found = pairs.find(|(other, _)| same_way(other));
                found.map(|(_, client)| client.clone())
            };
            let client = known(config, &clients)
                .or_else(|| before.and_then(|(old, clients)| known(old, clients)))
                .unwrap_or_else(|| Self::new(timeout, provider));
            clients.push(client);
        }
        clients
    }

    /// Sends a request and waits for the head of the answer. A pooled connection that turns out
    /// to have died while idle is replaced once, unseen.
    ///
    /// # Errors
    /// If no answer comes. Cancel safe: dropping the future closes the connection.
    pub async fn send(&self, request: &Prepared) -> Result<Response<Incoming>, SendError> {
        let started = Instant::now();
        let answer = match self.once(request).await {
            Err(error) if is_stale(&error, started) => self.once(request).await,
            outcome => outcome,
        }?;
        // the proxy's own answer, which is not for the client
        if answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED && self.proxy.is_some() {
            return Err(SendError::Connect(ProxyError::Credentials.to_string()));
        }
        Ok(answer)
    }

    async fn once(&self, request: &Prepared) -> Result<Response<Incoming>, legacy::Error> {
        let tls = request.uri.scheme() == Some(&Scheme::HTTPS);
        let client = self.here(tls);
        let mut request = request.to_http();
        let proxy = self.proxy.as_ref().filter(|_| !tls);
        if let Some(credentials) = proxy.and_then(|proxy| proxy.authorization.as_ref()) {
            let headers = request.headers_mut();
            headers.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        let answer = client.request(request).await?;
        if let Some(used) = answer.extensions().get::<LastUse>() {
            used.touch();
        }
        Ok(answer)
    }
}

/// A request that can be sent more than once.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub uri: Uri,
    pub headers: http::HeaderMap,
    pub body: VecDeque<Bytes>,
}

impl Prepared {
    fn to_http(&self) -> Request<Payload> {
        let mut request = Request::new(Payload::new(self.body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

impl From<legacy::Error> for SendError {
    fn from(error: legacy::Error) -> Self {
        let timed_out = |error: &legacy::Error| {
            let mut source = std::error::Error::source(error);
            while let Some(cause) = source {
                let io = cause.downcast_ref::<io::Error>();
                if io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
                    return true;
                }
                source = cause.source();
            }
            false
        };
        if error.is_connect() {
            if timed_out(&error) {
                Self::ConnectTimeout
            } else {
                Self::Connect(chain(&error))
            }
        } else {
            Self::Dropped(chain(&error))
        }
    }
}

/// An error with its causes. hyper's texts name no URL and no header.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Did a pooled connection break at once that had been idle for a while? Then the other side had
/// closed it before it saw the request.
fn is_stale(error: &legacy::Error, started: Instant) -> bool {
    if error.is_connect() || started.elapsed() > STALE_WITHIN {
        return false;
    }
    let mut extensions = http::Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extensions);
    }
    extensions
        .get::<LastUse>()
        .is_some_and(|used| used.idle_before(started) >= STALE_AFTER)
}

/// A body in slices of known length.
#[derive(Debug)]
pub struct Payload {
    slices: VecDeque<Bytes>,
    left: u64,
}

impl Payload {
    fn new(slices: VecDeque<Bytes>) -> Self {
        let left = slices.iter().map(|slice| slice.len() as u64).sum();
        Self { slices, left }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let slice = self.slices.pop_front();
        self.left = self
            .left
            .saturating_sub(slice.as_ref().map_or(0, |s| s.len() as u64));
        Poll::Ready(slice.map(|slice| Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.slices.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
