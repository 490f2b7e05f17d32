//! Opens connections within a time limit, with TLS where the URL says so.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use tower::ServiceExt as _;

use super::proxy::{Reach, Way};
use crate::{certificates, config::Provider};

/// Opens connections, within a time limit.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    connector: Connector,
    timeout: Duration,
}

type Connector = HttpsConnector<Reach>;
/// An open connection.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Way),
    /// Boxed, as it is large: it would take a kilobyte of every connection without TLS as well.
    Tls(Box<MaybeHttpsStream<Way>>),
}

/// What is read from and written to.
trait ReadWrite: Read + Write + Unpin {}

impl<T: Read + Write + Unpin> ReadWrite for T {}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Dial {
    /// The way to a provider.
    pub(super) fn new(timeout: Duration, provider: &Provider) -> Self {
        let authorities = provider.ca_file.as_ref().map(|file| &file.authorities);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(certificates::client_config(authorities))
            .https_or_http()
            .enable_http1()
            .wrap_connector(Reach::new(provider.proxy.clone()));
        Self { connector, timeout }
    }

    /// Opens a connection to the host of a URL, that nothing was sent on.
    ///
    /// # Errors
    /// If there is none in time; a cause is `io::ErrorKind::TimedOut` then.
    pub(super) async fn open(&self, uri: Uri) -> Result<Stream, BoxError> {
        let connecting = self.connector.clone().oneshot(uri);
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "connecting took too long");
        let limit = self.timeout;
        let opened = tokio::time::timeout(limit, connecting).await;
        Ok(match opened.map_err(late)?? {
            MaybeHttpsStream::Http(way) => Stream::Plain(way),
            tls @ MaybeHttpsStream::Https(_) => Stream::Tls(Box::new(tls)),
        })
    }
}

impl Stream {
    fn inner(&mut self) -> Pin<&mut dyn ReadWrite> {
        match self {
            Self::Plain(way) => Pin::new(way),
            Self::Tls(tls) => Pin::new(&mut **tls),
        }
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner().poll_read(cx, buf)
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(way) => way.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write_vectored(cx, bufs)
    }
}
