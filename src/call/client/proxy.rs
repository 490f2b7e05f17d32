//! The way to a host: directly, or through a proxy.
//!
//! To an `https` host a proxy is asked for a tunnel (`CONNECT`, RFC 9110, section 9.3.6), so that
//! it sees nothing but the name; requests to an `http` host are sent to the proxy itself. What the
//! proxy did wrong is told apart from what the backend did.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderValue, Uri, uri::Scheme};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::Service;

use crate::config::Proxy;

/// The longest head of a proxy's answer.
const MAX_HEAD: usize = 8 * 1024;

/// Why the proxy was of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("the proxy can't be reached")]
    Unreachable(#[source] BoxError),
    #[error("the proxy ended the connection without an answer to CONNECT")]
    Silent(#[source] io::Error),
    #[error("the proxy does not speak HTTP")]
    Nonsense,
    #[error("the proxy wants other credentials (status 407)")]
    Credentials,
    #[error("the proxy refused a tunnel with status {0}")]
    Refused(u16),
    #[error("the URL names no host")]
    NoHost,
}

/// Opens TCP connections to hosts.
#[derive(Clone, Debug)]
pub(super) struct Reach {
    tcp: HttpConnector,
    proxy: Option<Proxy>,
}

/// A connection on which the host, or a proxy that passes on, can be spoken to.
#[derive(Debug)]
pub(super) struct Way {
    stream: TokioIo<TcpStream>,
    /// Requests name the whole URL, as they are the proxy's to send.
    absolute: bool,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Reach {
    pub(super) fn new(proxy: Option<Proxy>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        Self { tcp, proxy }
    }
}

impl Service<Uri> for Reach {
    type Response = Way;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Way, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Some(proxy) = self.proxy.clone() else {
            let connecting = self.tcp.call(uri);
            return Box::pin(async move {
                Ok(Way {
                    stream: connecting.await?,
                    absolute: false,
                })
            });
        };
        let connecting = self.tcp.call(proxy.address);
        Box::pin(async move {
            let stream = connecting.await;
            let mut stream = stream.map_err(|error| ProxyError::Unreachable(error.into()))?;
            let tunnelled = uri.scheme() == Some(&Scheme::HTTPS);
            if tunnelled {
                tunnel(stream.inner_mut(), &uri, proxy.authorization.as_ref()).await?;
            }
            Ok(Way {
                stream,
                absolute: !tunnelled,
            })
        })
    }
}

/// Has the proxy connect this stream with a host.
async fn tunnel(
    stream: &mut TcpStream,
    uri: &Uri,
    authorization: Option<&HeaderValue>,
) -> Result<(), ProxyError> {
    let host = uri.host().ok_or(ProxyError::NoHost)?;
    let port = uri.port_u16().unwrap_or(443);
    let mut request =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n").into_bytes();
    if let Some(authorization) = authorization {
        request.extend_from_slice(b"proxy-authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let sent = stream.write_all(&request).await;
    sent.map_err(ProxyError::Silent)?;
    match status(&head(stream).await?) {
        Some(200..=299) => Ok(()),
        Some(407) => Err(ProxyError::Credentials),
        Some(other) => Err(ProxyError::Refused(other)),
        None => Err(ProxyError::Nonsense),
    }
}

/// The head of the proxy's answer. The host speaks only after it was spoken to, so nothing of it
/// comes with that.
async fn head(stream: &mut TcpStream) -> Result<Vec<u8>, ProxyError> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > MAX_HEAD || (head.len() >= 5 && !head.starts_with(b"HTTP/")) {
            return Err(ProxyError::Nonsense);
        }
        let read = stream.read_buf(&mut head).await;
        if read.map_err(ProxyError::Silent)? == 0 {
            return Err(ProxyError::Silent(io::ErrorKind::UnexpectedEof.into()));
        }
        // of a refusal, a body may follow
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            break;
        }
    }
    Ok(head)
}

/// The status of `HTTP/1.1 200 …`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.")?;
    let code = line.get(2..5)?;
    std::str::from_utf8(code).ok()?.parse().ok()
}

impl Connection for Way {
    fn connected(&self) -> Connected {
        self.stream.connected().proxy(self.absolute)
    }
}

impl Read for Way {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for Way {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_a_head_and_from_nothing_else() {
        let known = |head: &str| status(head.as_bytes());
        assert_eq!(known("HTTP/1.1 200 Connection established\r\n"), Some(200));
        assert_eq!(known("HTTP/1.0 407\r\n"), Some(407));
        assert_eq!(known("HTTP/2 200\r\n"), None);
        assert_eq!(known("HTTP/1.1 xx"), None);
    }
}
