//! The first bytes of a connection: the handshake of TLS, and which HTTP the client speaks.
//!
//! HTTP/2 is chosen by ALPN over TLS, and by its preface in plain text (RFC 9113, sections 3.2 and
//! 3.3). Who takes too long for it is gone.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What a client that speaks HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The first byte of every TLS connection: a record that holds a handshake.
const TLS_HANDSHAKE: u8 = 22;
/// For a client that took an address with TLS for one without.
const WANTS_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n\
    content-length: 150\r\nconnection: close\r\n\r\n\
    {\"error\":{\"message\":\"plain HTTP was sent to an address that speaks TLS: use https\",\
    \"type\":\"invalid_request_error\",\"param\":null,\"code\":\"tls_required\"}}";

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speech {
    Http1,
    Http2,
}

/// The stream of a connection. Bytes that were read to find out what is spoken come again.
#[derive(Debug)]
pub(super) struct Socket<S> {
    inner: Inner<S>,
    /// What was read already, in reverse, and how much of it there is.
    again: [u8; PREFACE.len()],
    left: usize,
}

#[derive(Debug)]
enum Inner<S> {
    Plain(S),
    /// Boxed, as it is large.
    Tls(Box<TlsStream<S>>),
}

/// Makes a handshake; `None`: it came to nothing.
pub(super) async fn secure(
    mut stream: TcpStream,
    config: Arc<ServerConfig>,
) -> Option<(Socket<TcpStream>, Speech)> {
    let accepting = async {
        let mut first = [0];
        stream.peek(&mut first).await?;
        if first != [TLS_HANDSHAKE] {
            stream.write_all(WANTS_TLS).await?;
            stream.shutdown().await?;
            return Err(io::Error::other("plain text"));
        }
        TlsAcceptor::from(config).accept(stream).await
    };
    let stream = match timeout(HANDSHAKE, accepting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "no handshake with a client");
            return None;
        }
        Err(_) => return None,
    };
    let speech = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Speech::Http2,
        _ => Speech::Http1,
    };
    Some((Socket::new(Inner::Tls(Box::new(stream))), speech))
}

/// Reads until it is clear what is spoken; `None`: the client left before.
pub(super) async fn plain<S: AsyncRead + Unpin>(mut stream: S) -> Option<(Socket<S>, Speech)> {
    let mut begun = [0; PREFACE.len()];
    let mut length = 0;
    let speech = loop {
        let read = stream.read(begun.get_mut(length..)?).await.ok()?;
        if read == 0 {
            return None;
        }
        length += read;
        let seen = begun.get(..length)?;
        if !PREFACE.starts_with(seen) {
            break Speech::Http1;
        }
        if length == PREFACE.len() {
            break Speech::Http2;
        }
    };
    let mut socket = Socket::new(Inner::Plain(stream));
    socket.again = begun;
    socket.again.get_mut(..length)?.reverse();
    socket.left = length;
    Some((socket, speech))
}

impl<S> Socket<S> {
    fn new(inner: Inner<S>) -> Self {
        Self {
            inner,
            again: [0; PREFACE.len()],
            left: 0,
        }
    }
}

/// One call on whichever stream it is.
macro_rules! either {
    ($socket:ident, $stream:ident => $call:expr) => {
        match &mut $socket.inner {
            Inner::Plain($stream) => $call,
            Inner::Tls(boxed) => {
                let $stream = boxed.as_mut();
                $call
            }
        }
    };
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        while self.left > 0 && buf.remaining() > 0 {
            self.left -= 1;
            if let Some(byte) = self.again.get(self.left) {
                buf.put_slice(&[*byte]);
            }
        }
        let some = buf.filled().len() > before;
        if some && buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // what follows comes with it: a reader that gets the first bytes alone makes itself a
        // second, larger buffer for the rest, and keeps it
        let outcome = either!(self, stream => Pin::new(stream).poll_read(cx, buf));
        if some { Poll::Ready(Ok(())) } else { outcome }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Plain(stream) => stream.is_write_vectored(),
            Inner::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// What is found out from these pieces, and what is read afterwards.
    async fn greeted(pieces: &[&[u8]]) -> Option<(Speech, Vec<u8>)> {
        let (near, mut far) = duplex(1024);
        let writing = async {
            for piece in pieces {
                far.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(far);
        };
        let (found, ()) = tokio::join!(plain::<DuplexStream>(near), writing);
        let (mut socket, speech) = found?;
        let mut all = Vec::new();
        socket.read_to_end(&mut all).await.unwrap();
        Some((speech, all))
    }

    #[tokio::test]
    async fn what_is_spoken_is_found_out_and_no_byte_is_lost() {
        let get = b"GET / HTTP/1.1\r\n\r\n";
        let (speech, bytes) = greeted(&[get]).await.unwrap();
        assert_eq!((speech, &bytes[..]), (Speech::Http1, &get[..]));
        let (speech, bytes) = greeted(&[b"PRI", b" * HTTP/1.1\r\n"]).await.unwrap();
        assert_eq!(speech, Speech::Http1);
        assert_eq!(bytes, b"PRI * HTTP/1.1\r\n");
        let (speech, bytes) = greeted(&[&PREFACE[..5], &PREFACE[5..], b"rest"])
            .await
            .unwrap();
        assert_eq!(
            (speech, bytes),
            (Speech::Http2, [PREFACE, b"rest"].concat())
        );
        assert_eq!(greeted(&[b"PRI"]).await, None);
    }

    #[test]
    fn the_refusal_of_plain_text_has_its_length_and_the_shape_of_errors() {
        let text = std::str::from_utf8(WANTS_TLS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(json["error"]["code"], "tls_required");
    }
}
