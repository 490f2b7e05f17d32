//! Opens connections within a time limit, with TLS where the URL says so, and remembers when each
//! of them last answered.

use std::{
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

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower::Service;

use super::{forward::reads_and_writes_its_stream, proxy::Reach};
use crate::{certificates, config::Provider};

/// When a connection last answered.
#[derive(Clone, Debug)]
pub(super) struct LastUse {
    opened: Instant,
    /// Milliseconds after `opened`, plus one; 0: never.
    answered: Arc<AtomicU64>,
}

impl LastUse {
    pub(super) fn touch(&self) {
        let ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.answered.store(ms + 1, Relaxed);
    }

    /// How long it had been idle at that moment; zero if it never answered.
    pub(super) fn idle_before(&self, moment: Instant) -> Duration {
        match self.answered.load(Relaxed) {
            0 => Duration::ZERO,
            ms => moment.saturating_duration_since(self.opened + Duration::from_millis(ms - 1)),
        }
    }
}

/// Opens connections, within a time limit.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    inner: Connector,
    timeout: Duration,
}

type Connector = HttpsConnector<Reach>;
type Stream = <Connector as Service<Uri>>::Response;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Dial {
    /// The way to a provider.
    pub(super) fn new(timeout: Duration, provider: &Provider) -> Self {
        let authorities = provider.ca_file.as_ref().map(|file| &file.authorities);
        let inner = HttpsConnectorBuilder::new()
            .with_tls_config(certificates::client_config(authorities))
            .https_or_http()
            .enable_http1()
            .wrap_connector(Reach::new(provider.proxy.clone()));
        Self { inner, timeout }
    }
}

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
pub(super) struct Line {
    stream: Stream,
    used: LastUse,
}

impl Connection for Line {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(self.used.clone())
    }
}

reads_and_writes_its_stream!(Line);
