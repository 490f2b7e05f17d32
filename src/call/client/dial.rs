//! Opens connections within a time limit, with TLS where the URL says so.

use std::{io, time::Duration};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use tower::{Service, ServiceExt as _};

use super::proxy::Reach;
use crate::{certificates, config::Provider};

/// Opens connections, within a time limit.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    connector: Connector,
    timeout: Duration,
}

type Connector = HttpsConnector<Reach>;
/// An open connection that nothing was sent on.
pub(super) type Stream = <Connector as Service<Uri>>::Response;
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

    /// Opens a connection to the host of a URL.
    ///
    /// # Errors
    /// If there is none in time; a cause is `io::ErrorKind::TimedOut` then.
    pub(super) async fn open(&self, uri: Uri) -> Result<Stream, BoxError> {
        let connecting = self.connector.clone().oneshot(uri);
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "connecting took too long");
        let limit = self.timeout;
        tokio::time::timeout(limit, connecting)
            .await
            .map_err(late)?
    }
}
