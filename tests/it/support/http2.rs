//! A client that speaks HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};

use super::{Reply, SOON};

/// A connection; clones share it.
#[derive(Debug)]
pub(crate) struct Many {
    sender: http2::SendRequest<Full<Bytes>>,
    task: JoinSet<()>,
}

impl Many {
    /// With prior knowledge.
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    pub(crate) async fn over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        let mut task = JoinSet::new();
        task.spawn(async move { drop(connection.await) });
        Self { sender, task }
    }

    /// Sends a request and waits for the head.
    pub(crate) async fn open(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<http::Response<Incoming>, String> {
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(|error| error.to_string())?;
        let answer = tokio::time::timeout(SOON * 3, sender.send_request(request)).await;
        answer
            .map_err(|_| "no head".to_owned())?
            .map_err(|error| error.to_string())
    }

    /// A chat request, answered.
    pub(crate) async fn ask(&self, body: &Value) -> Reply {
        whole(self.open(chat(body)).await.unwrap()).await
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Waits until the other side has closed it.
    pub(crate) async fn closed(&mut self) {
        let ended = tokio::time::timeout(SOON, self.task.join_next()).await;
        ended.expect("the connection is still open");
    }
}

/// A chat request; the host is that of its authority.
pub(crate) fn chat(body: &Value) -> Request<Full<Bytes>> {
    Request::post("http://localhost/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap()
}

pub(crate) fn bare(method: Method, url: &str) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(url);
    request.body(Full::default()).unwrap()
}

pub(crate) async fn whole(answer: http::Response<Incoming>) -> Reply {
    let (head, body) = answer.into_parts();
    Reply {
        status: head.status.as_u16(),
        headers: head.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}
