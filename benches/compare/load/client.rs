//! One connection of the load: asks, and counts what comes.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::{net::TcpStream, task::JoinSet};

/// What begins an event.
const EVENT: &[u8] = b"data: ";

/// A request.
pub(crate) struct Question {
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// An answer.
pub(crate) struct Seen {
    /// Events of a stream; one that is cut in two by a read counts, or not, once.
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

/// A kept connection, and the task that drives it.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Connection {
    pub(crate) async fn open(uri: &Uri) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(authority(uri)?).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // its end shows in the next request
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            _driver: driver,
        })
    }

    /// Reads a whole answer.
    pub(crate) async fn ask(&mut self, question: &Question) -> anyhow::Result<Seen> {
        let mut body = self.head(question).await?;
        let (mut events, mut bytes) = (0, 0);
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame?.data_ref() {
                bytes += data.len() as u64;
                events += memmem::find_iter(data, EVENT).count() as u64;
            }
        }
        Ok(Seen { events, bytes })
    }

    /// Reads up to the first event; the rest of the answer comes with the body.
    pub(crate) async fn first_event(&mut self, question: &Question) -> anyhow::Result<Incoming> {
        let mut body = self.head(question).await?;
        while let Some(frame) = body.frame().await {
            let frame = frame?;
            let data = frame.data_ref();
            if data.is_some_and(|data| memmem::find(data, EVENT).is_some()) {
                return Ok(body);
            }
        }
        anyhow::bail!("the stream ended")
    }

    async fn head(&mut self, question: &Question) -> anyhow::Result<Incoming> {
        let uri = &question.uri;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(uri.path())
            .header(header::HOST, authority(uri)?)
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in &question.headers {
            request = request.header(name, value);
        }
        self.sender.ready().await?;
        let request = request.body(Full::new(question.body.clone()))?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        ensure!(status == StatusCode::OK, "{uri} answered {status}");
        Ok(answer.into_body())
    }
}

fn authority(uri: &Uri) -> anyhow::Result<&str> {
    let authority = uri.authority().context("an address without a host")?;
    Ok(authority.as_str())
}
