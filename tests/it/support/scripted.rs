//! An upstream in raw bytes, for what the simulator can't do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::{ANY_PORT, Gateway, Setup};

/// What is done with one request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Answer with these bytes and keep the connection.
    Say(Bytes),
    /// Answer with these pieces, with this pause between them, and close the connection.
    Slowly(Vec<Bytes>, Duration),
    /// Close the connection without an answer.
    Close,
}

/// An upstream that does what it is told, request by request; the last act is repeated.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Scripted {
    pub(crate) async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind(ANY_PORT).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut tasks = JoinSet::new();
        let (acts, seen) = (Arc::new(acts), Arc::clone(&requests));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(connection(stream, Arc::clone(&acts), Arc::clone(&seen)));
            }
        });
        Self {
            address,
            requests,
            _tasks: tasks,
        }
    }

    /// One that says the same to everybody.
    pub(crate) async fn saying(answer: impl Into<Bytes>) -> Self {
        Self::start(vec![Act::Say(answer.into())]).await
    }

    /// A gateway with one model, `m`, that this upstream alone serves.
    pub(crate) async fn gateway(&self) -> Gateway {
        let setup = Setup::alone().provider("raw", &self.provider());
        setup.model("m", &["raw/x"]).start().await
    }

    /// The fields of a provider that stands here.
    pub(crate) fn provider(&self) -> String {
        format!("base_url: 'http://{}/v1'", self.address)
    }

    /// What was received, heads and bodies.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A whole answer with these headers, one a line, and the right length.
pub(crate) fn answer(headers: &str, body: &str) -> String {
    let mut head = String::from("HTTP/1.1 200 OK\r\n");
    for line in headers.lines() {
        head.push_str(line.trim());
        head.push_str("\r\n");
    }
    format!("{head}content-length: {}\r\n\r\n{body}", body.len())
}

/// A JSON answer.
pub(crate) fn json(body: &str) -> String {
    answer("content-type: application/json", body)
}

/// A stream of events.
pub(crate) fn events(body: &str) -> String {
    answer("content-type: text/event-stream", body)
}

async fn connection(mut stream: TcpStream, acts: Arc<Vec<Act>>, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read(&mut stream).await {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request);
            seen.len() - 1
        };
        match acts.get(number).or(acts.last()) {
            Some(Act::Say(bytes)) => stream.write_all(bytes).await.unwrap_or_default(),
            Some(Act::Slowly(pieces, pause)) => {
                for piece in pieces {
                    stream.write_all(piece).await.unwrap_or_default();
                    tokio::time::sleep(*pause).await;
                }
                return;
            }
            Some(Act::Close) | None => return,
        }
    }
}

/// One request with its body of announced length.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            _ => return None,
        }
    }
}
