//! A plain HTTP/1.1 client: one connection for each call, which ends when the call is dropped, so
//! that a test can leave whenever it wants to.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::SOON;

/// A call to be made.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    address: SocketAddr,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Pieces,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer whose head has come; dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    pub(crate) line: Line,
}

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Line {
    /// Kept, as hyper ends a connection that nobody can use any more.
    sender: http1::SendRequest<Pieces>,
    task: JoinSet<()>,
}

/// The body of a request: in pieces, of announced length or not.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    chunked: bool,
}

/// An OpenAI error object: type, code, param, message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ErrorObject {
    pub(crate) kind: String,
    pub(crate) code: Option<String>,
    pub(crate) param: Option<String>,
    pub(crate) message: String,
}

impl Call {
    pub(crate) fn new(address: SocketAddr, method: Method, path: &str) -> Self {
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(&address.to_string()).unwrap();
        headers.insert(header::HOST, host);
        Self {
            address,
            method,
            path: path.to_owned(),
            headers,
            body: Pieces::default(),
        }
    }

    /// Sets a header in place of any other of that name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.headers.insert(name, value);
        self
    }

    /// Adds a header beside others of that name.
    pub(crate) fn and_header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        self.headers.append(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    /// A JSON body, exactly these bytes.
    pub(crate) fn json(self, body: &(impl ToString + ?Sized)) -> Self {
        self.bytes(body.to_string().into_bytes())
            .header("content-type", "application/json")
    }

    pub(crate) fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Pieces {
            pieces: VecDeque::from([body.into()]),
            chunked: false,
        };
        self
    }

    /// The body in chunks of `size` bytes and of unannounced length.
    pub(crate) fn chunked(mut self, size: usize) -> Self {
        let whole: Vec<u8> = self.body.pieces.iter().flatten().copied().collect();
        let pieces = whole.chunks(size).map(Bytes::copy_from_slice).collect();
        self.body = Pieces {
            pieces,
            chunked: true,
        };
        self
    }

    /// Sends it and waits for the head.
    pub(crate) async fn open(self) -> Open {
        self.try_open().await.unwrap()
    }

    /// The same, where the connection may end without an answer.
    pub(crate) async fn try_open(self) -> Result<Open, String> {
        let Self {
            address,
            method,
            path,
            headers,
            body,
        } = self;
        let mut line = Line::to(address).await.map_err(|e| e.to_string())?;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|e| format!("{path}: {e}"))?;
        *request.headers_mut() = headers;
        let response = line.send(request).await?;
        let (head, body) = response.into_parts();
        Ok(Open {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            line,
        })
    }

    /// Sends it and waits for the whole answer.
    pub(crate) async fn send(self) -> Reply {
        self.open().await.whole().await
    }
}

impl Line {
    pub(crate) async fn to(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        let mut task = JoinSet::new();
        task.spawn(async move { drop(connection.await) });
        Ok(Self { sender, task })
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Pieces>,
    ) -> Result<Response<Incoming>, String> {
        let sent = tokio::time::timeout(Duration::from_secs(60), self.sender.send_request(request));
        let answer = sent.await.map_err(|_| "no head in 60 s".to_owned())?;
        answer.map_err(|e| e.to_string())
    }

    /// Waits until the other side has closed the connection.
    pub(crate) async fn closed(&mut self) {
        let ended = tokio::time::timeout(SOON, self.task.join_next()).await;
        ended.expect("the connection is still open");
    }

    /// Is it still open?
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

impl Open {
    pub(crate) fn header(&self, name: &str) -> &str {
        text(&self.headers, name)
    }

    /// The next piece of the body; `None` at its proper end.
    pub(crate) async fn frame(&mut self) -> Option<Result<Bytes, String>> {
        let patience = Duration::from_secs(60);
        let frame = tokio::time::timeout(patience, self.body.frame()).await;
        let frame = frame.expect("nothing came in 60 s")?;
        Some(
            frame
                .map(|frame| frame.into_data().unwrap_or_default())
                .map_err(|error| error.to_string()),
        )
    }

    /// The whole body, which must end properly.
    pub(crate) async fn whole(mut self) -> Reply {
        let mut body = Vec::new();
        while let Some(piece) = self.frame().await {
            body.extend_from_slice(&piece.unwrap());
        }
        Reply {
            status: self.status,
            headers: self.headers,
            body: body.into(),
        }
    }
}

impl Reply {
    /// The value of a header; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        text(&self.headers, name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The error object, which must have OpenAI's shape and no other member.
    pub(crate) fn error(&self) -> ErrorObject {
        assert_eq!(self.header("content-type"), "application/json");
        ErrorObject::of(&self.json())
    }

    /// Status, type, code and param in one.
    pub(crate) fn refusal(&self) -> String {
        let error = self.error();
        let or_null = |text: Option<String>| text.unwrap_or_else(|| "null".to_owned());
        format!(
            "{} {} {} {}",
            self.status,
            error.kind,
            or_null(error.code),
            or_null(error.param)
        )
    }
}

impl ErrorObject {
    pub(crate) fn of(json: &Value) -> Self {
        let members = |value: &Value| -> Vec<String> {
            let object = value.as_object().expect("an object");
            let mut names: Vec<String> = object.keys().cloned().collect();
            names.sort();
            names
        };
        assert_eq!(members(json), ["error"], "{json}");
        let error = &json["error"];
        assert_eq!(
            members(error),
            ["code", "message", "param", "type"],
            "{json}"
        );
        let optional = |name: &str| match &error[name] {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => panic!("{name} is {other}"),
        };
        let message = optional("message").expect("a message");
        assert!(!message.is_empty());
        Self {
            kind: optional("type").expect("a type"),
            code: optional("code"),
            param: optional("param"),
            message,
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        if self.chunked {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.pieces.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// Sends bytes as they are, and reads until the other side closes, at most for a while.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // the other side may close before it has read everything
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let started = Instant::now();
    let mut buffer = [0; 4096];
    while started.elapsed() < SOON {
        match tokio::time::timeout(SOON, stream.read(&mut buffer)).await {
            Ok(Ok(read)) if read > 0 => answer.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    assert!(
        headers.get_all(name).iter().count() < 2,
        "{name} stands twice"
    );
    headers
        .get(name)
        .map_or("", |value| value.to_str().expect("plain text"))
}
