//! The load: each connection asks, reads the whole answer, and asks again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinSet};

/// A request, and on how many connections it is sent at once.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
    pub(crate) connections: usize,
}

/// How long the answers took.
pub(crate) struct Timing {
    /// Sorted.
    latencies: Vec<Duration>,
    lasted: Duration,
}

/// When the load ends.
#[derive(Clone)]
enum Until {
    Moment(Instant),
    Left(Arc<AtomicUsize>),
}

impl Load {
    /// Sends requests for so long.
    pub(crate) async fn lasting(&self, duration: Duration) -> anyhow::Result<Timing> {
        self.run(&Until::Moment(Instant::now() + duration)).await
    }

    /// Sends so many requests.
    pub(crate) async fn requests(&self, number: usize) -> anyhow::Result<Timing> {
        self.run(&Until::Left(Arc::new(AtomicUsize::new(number))))
            .await
    }

    async fn run(&self, until: &Until) -> anyhow::Result<Timing> {
        let started = Instant::now();
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            let (load, until) = (self.clone(), until.clone());
            connections.spawn(async move { load.one_after_another(&until).await });
        }
        let mut latencies = Vec::new();
        while let Some(connection) = connections.join_next().await {
            latencies.append(&mut connection??);
        }
        let lasted = started.elapsed();
        latencies.sort_unstable();
        Ok(Timing { latencies, lasted })
    }

    async fn one_after_another(&self, until: &Until) -> anyhow::Result<Vec<Duration>> {
        let mut connection = Connection::open(&self.uri).await?;
        let mut latencies = Vec::new();
        while until.goes_on() {
            let started = Instant::now();
            let status = connection.ask(self.request()?).await?;
            ensure!(status == StatusCode::OK, "{} answered {status}", self.uri);
            latencies.push(started.elapsed());
        }
        Ok(latencies)
    }

    fn request(&self) -> anyhow::Result<Request<Full<Bytes>>> {
        let request = request(Method::POST, &self.uri)?
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(self.body.clone()))?;
        Ok(request)
    }
}

impl Until {
    fn goes_on(&self) -> bool {
        match self {
            Self::Moment(end) => Instant::now() < *end,
            Self::Left(left) => {
                let less = |left: usize| left.checked_sub(1);
                left.fetch_update(Relaxed, Relaxed, less).is_ok()
            }
        }
    }
}

impl Timing {
    pub(crate) fn count(&self) -> usize {
        self.latencies.len()
    }

    /// The latency that so many of a hundred requests did not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let at = (self.count() * percent / 100).min(self.count().saturating_sub(1));
        self.latencies.get(at).copied().unwrap_or_default()
    }

    /// Between two answers, on average.
    pub(crate) fn interval(&self) -> Duration {
        self.lasted.div_f64(self.count().max(1) as f64)
    }
}

/// Does a GET lead to 200?
pub(crate) async fn is_ok(uri: &Uri) -> bool {
    let get = async {
        let request = request(Method::GET, uri)?.body(Full::default())?;
        Connection::open(uri).await?.ask(request).await
    };
    get.await.is_ok_and(|status| status == StatusCode::OK)
}

/// One connection, and the task that drives it.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Connection {
    async fn open(uri: &Uri) -> anyhow::Result<Self> {
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

    /// The status, once the whole answer is there.
    async fn ask(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<StatusCode> {
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(status)
    }
}

fn request(method: Method, uri: &Uri) -> anyhow::Result<http::request::Builder> {
    Ok(Request::builder()
        .method(method)
        .uri(uri.path())
        .header(header::HOST, authority(uri)?))
}

fn authority(uri: &Uri) -> anyhow::Result<&str> {
    let authority = uri.authority().context("an address without a host")?;
    Ok(authority.as_str())
}
