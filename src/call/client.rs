//! The pooled HTTP client: connects within a time limit, sends a body as slices, and knows whether
//! a connection that broke had been lying idle.
//!
//! It speaks HTTP/1.1 only, also where a backend offers HTTP/2: over one shared connection, calls
//! beyond the backend's limit of streams would wait unseen, one broken connection would fail all
//! of them, and one lost packet would stop every stream.

use std::{
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header::PROXY_AUTHORIZATION, uri::Scheme};
use http_body::{Body, Frame, SizeHint};

mod dial;
mod idle;
mod line;
mod proxy;
mod received;
mod signal;

use self::{dial::Dial, idle::Idle, line::Line, proxy::ProxyError, received::Way};
use crate::{
    config::{Config, Provider, Proxy},
    cores::PerCore,
};

pub use self::received::Received;

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
    plain: Arc<PerCore<Arc<Idle>>>,
    tls: Arc<PerCore<Arc<Idle>>>,
    /// Shown its credentials with each request that is sent to it and not through it.
    proxy: Option<Proxy>,
}

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

    /// The idle connections of this core.
    fn here(&self, tls: bool) -> &Arc<Idle> {
        let (each, keep) = if tls {
            (&self.tls, POOL_IDLE_TLS)
        } else {
            (&self.plain, POOL_IDLE)
        };
        each.here(|| Idle::new(keep))
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
    /// to have died while idle is replaced, unseen.
    ///
    /// # Errors
    /// If no answer comes. Cancel safe: dropping the future closes the connection.
    pub async fn send(&self, request: &Prepared) -> Result<Response<Received>, SendError> {
        let answer = self.answered(request).await?;
        // the proxy's own answer, which is not for the client
        if answer.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED && self.proxy.is_some() {
            return Err(SendError::Connect(ProxyError::Credentials.to_string()));
        }
        Ok(answer)
    }

    async fn answered(&self, request: &Prepared) -> Result<Response<Received>, SendError> {
        let started = Instant::now();
        let no_host = || SendError::Connect("the URL names no host".to_owned());
        let host = request.uri.authority().ok_or_else(no_host)?;
        let tls = request.uri.scheme() == Some(&Scheme::HTTPS);
        let idle = self.here(tls);
        let proxy = self.proxy.as_ref().filter(|_| !tls);
        let mut replaced = false;
        loop {
            let (mut line, rested) = match idle.take(host) {
                Some((line, rested)) => (line, Some(rested)),
                // boxed, as it is large and seldom needed
                None => (Box::pin(self.open(&request.uri)).await?, None),
            };
            let error = match line.ask(request.to_http(proxy)).await {
                Ok(answer) => {
                    return Ok(answer.map(|body| {
                        let (host, idle) = (host.clone(), Arc::clone(idle));
                        Received::new(body, Way { line, host, idle })
                    }));
                }
                Err(error) => error,
            };
            let Some(rested) = rested else {
                return Err(SendError::Dropped(chain(&error.into_error())));
            };
            // one that had been idle for a while and breaks at once was closed before the other
            // side saw the request
            let stale = rested >= STALE_AFTER && started.elapsed() <= STALE_WITHIN;
            let unsent = error.message().is_some();
            if !unsent && (!stale || replaced) {
                return Err(SendError::Dropped(chain(&error.into_error())));
            }
            replaced |= !unsent;
        }
    }

    async fn open(&self, uri: &Uri) -> Result<Box<Line>, SendError> {
        let opened = self.dial.open(uri.clone()).await;
        let stream = opened.map_err(|error| {
            if timed_out(&*error) {
                SendError::ConnectTimeout
            } else {
                SendError::Connect(chain(&*error))
            }
        })?;
        let line = Line::new(stream).await;
        line.map(Box::new)
            .map_err(|error| SendError::Connect(chain(&error)))
    }
}

/// A request that can be sent more than once.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub uri: Uri,
    /// With that of the host.
    pub headers: http::HeaderMap,
    pub body: VecDeque<Bytes>,
}

impl Prepared {
    /// To the host itself, or to a proxy that sends it on.
    fn to_http(&self, proxy: Option<&Proxy>) -> Request<Payload> {
        let mut request = Request::new(Payload::new(self.body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = match (proxy, self.uri.path_and_query()) {
            (Some(_), _) => self.uri.clone(),
            (None, Some(path)) => path.clone().into(),
            (None, None) => Uri::default(),
        };
        let headers = request.headers_mut();
        headers.clone_from(&self.headers);
        if let Some(credentials) = proxy.and_then(|proxy| proxy.authorization.as_ref()) {
            headers.insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        request
    }
}

/// Is one of its causes that the time was up?
fn timed_out(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut)
    })
}

/// An error with its causes. hyper's texts name no URL and no header.
fn chain(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    texts.join(": ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (*error).source()
    })
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

#[cfg(test)]
mod tests;
