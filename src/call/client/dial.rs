//! Opens connections within a time limit, with TLS where the URL says so.

use std::{fmt::Debug, io, time::Duration};

use http::Uri;
use hyper::rt::{Read, Write};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use tower::ServiceExt as _;

use super::proxy::Reach;
use crate::{certificates, config::Provider};

/// Opens connections, within a time limit.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    connector: Connector,
    timeout: Duration,
}

type Connector = HttpsConnector<Reach>;
/// An open connection. In a box, as one with TLS is larger by a kilobyte than one without.
pub(super) type Stream = Box<dyn ReadWrite>;

/// What is read from and written to.
pub(super) trait ReadWrite: Read + Write + Debug + Send + Unpin {}

impl<T: Read + Write + Debug + Send + Unpin> ReadWrite for T {}

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
            MaybeHttpsStream::Http(way) => Box::new(way),
            MaybeHttpsStream::Https(tls) => Box::new(tls),
        })
    }
}
