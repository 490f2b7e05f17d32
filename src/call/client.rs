//! The pooled HTTP client: connects within a time limit, sends a body as slices, and knows whether
//! a connection that broke had been lying idle.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, rt};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self,
        connect::{Connected, Connection, HttpConnector},
    },
    rt::{TokioExecutor, TokioTimer},
};
use tower::Service;

/// How long an idle connection is kept. vLLM and SGLang close theirs after five seconds.
const POOL_IDLE: Duration = Duration::from_secs(4);
/// The same for TLS, where a new connection costs more and hosts wait longer.
const POOL_IDLE_TLS: Duration = Duration::from_secs(60);
/// A connection that lay idle for this long may have been closed by the other side meanwhile.
const STALE_AFTER: Duration = Duration::from_millis(500);
/// A connection that was closed meanwhile fails at once.
const STALE_WITHIN: Duration = Duration::from_secs(1);

/// The client; cheap to clone, clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    plain: legacy::Client<Dial, Payload>,
    tls: legacy::Client<Dial, Payload>,
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
    /// A client that gives up connecting after `connect_timeout`.
    #[must_use]
    pub fn new(connect_timeout: Duration) -> Self {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let https = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let dial = Dial {
            inner: https,
            timeout: connect_timeout,
        };
        let client = |idle: Duration| {
            legacy::Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(idle)
                .build(dial.clone())
        };
        Self {
            plain: client(POOL_IDLE),
            tls: client(POOL_IDLE_TLS),
        }
    }

    /// Sends a request and waits for the head of the answer. A pooled connection that turns out
    /// to have died while idle is replaced once, unseen.
    ///
    /// # Errors
    /// If no answer comes. Cancel safe: dropping the future closes the connection.
    pub async fn send(&self, request: &Prepared) -> Result<Response<Incoming>, SendError> {
        let started = Instant::now();
        match self.once(request).await {
            Err(error) if is_stale(&error, started) => self.once(request).await,
            outcome => outcome,
        }
        .map_err(SendError::from)
    }

    async fn once(&self, request: &Prepared) -> Result<Response<Incoming>, legacy::Error> {
        let tls = request.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let client = if tls { &self.tls } else { &self.plain };
        let answer = client.request(request.to_http()).await?;
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

/// When a connection last answered.
#[derive(Clone, Debug)]
struct LastUse {
    opened: Instant,
    /// Milliseconds after `opened`, plus one; 0: never.
    answered: Arc<AtomicU64>,
}

impl LastUse {
    fn touch(&self) {
        let ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.answered.store(ms + 1, Relaxed);
    }

    /// How long it had been idle at that moment; zero if it never answered.
    fn idle_before(&self, moment: Instant) -> Duration {
        match self.answered.load(Relaxed) {
            0 => Duration::ZERO,
            ms => moment.saturating_duration_since(self.opened + Duration::from_millis(ms - 1)),
        }
    }
}

/// Opens connections, within a time limit.
#[derive(Clone, Debug)]
struct Dial {
    inner: HttpsConnector<HttpConnector>,
    timeout: Duration,
}

type Stream = <HttpsConnector<HttpConnector> as Service<Uri>>::Response;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Dial {
    type Response = Line;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Line, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.inner.call(uri);
        let limit = self.timeout;
        Box::pin(async move {
            let late = || io::Error::new(io::ErrorKind::TimedOut, "connecting took too long");
            let stream = tokio::time::timeout(limit, connecting)
                .await
                .map_err(|_| late())??;
            let used = LastUse {
                opened: Instant::now(),
                answered: Arc::default(),
            };
            Ok(Line { stream, used })
        })
    }
}

/// A connection that remembers when it last answered.
#[derive(Debug)]
struct Line {
    stream: Stream,
    used: LastUse,
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.used.clone())
    }
}

impl rt::Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl rt::Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }
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
