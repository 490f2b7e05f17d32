//! Listens, and runs one HTTP/1.1 connection after another on wires that faults can command.
//!
//! Every task is spawned on the tracker of its simulator; a stop drops all connections at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Options;
use super::account::Account;
use super::line::{Line, Wire};
use super::received::Ring;
use super::serve::{self, Caller};

/// Pause after a failed accept: out of file descriptors, mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// What all connections of one simulator share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) options: Options,
    /// Values of `host` that are ours; empty when any is.
    pub(crate) hosts: Vec<String>,
    pub(crate) account: Account,
    pub(crate) ring: Ring,
    pub(crate) stopping: CancellationToken,
}

impl Server {
    pub(crate) fn new(options: Options, addr: SocketAddr, stopping: CancellationToken) -> Self {
        let ring = Ring::new(options.keep_requests, options.keep_body);
        let hosts = if addr.ip().is_unspecified() {
            Vec::new()
        } else {
            let own = [addr.to_string(), format!("localhost:{}", addr.port())];
            own.into_iter()
                .chain(options.hosts.iter().cloned())
                .collect()
        };
        Self {
            options,
            hosts,
            account: Account::default(),
            ring,
            stopping,
        }
    }

    /// The directives that the options give a model beside those of its name.
    pub(crate) fn script(&self, provider: &str, base: &str) -> String {
        let scripts = &self.options.scripts;
        let exact = scripts.get(&format!("{provider}/{base}"));
        exact
            .or_else(|| scripts.get(base))
            .cloned()
            .unwrap_or_default()
    }
}

/// Accepts until the simulator is stopped.
pub(crate) async fn accept(listener: TcpListener, server: Arc<Server>, tracker: TaskTracker) {
    let stopping = server.stopping.clone();
    loop {
        let accepted = tokio::select! {
            () = stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let server = Arc::clone(&server);
                let stopping = stopping.clone();
                tracker.spawn(async move {
                    tokio::select! {
                        () = stopping.cancelled() => {}
                        () = connection(stream, server) => {}
                    }
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Serves one connection to its end.
async fn connection(stream: TcpStream, server: Arc<Server>) {
    // without it, small events would wait for the acknowledgement of earlier ones
    stream.set_nodelay(true).ok();
    let number = server.account.opened.fetch_add(1, Relaxed);
    let _open = Open::count(Arc::clone(&server));
    let line = Arc::new(Line::default());
    if let Some(limit) = server.options.idle_close {
        line.close_when_idle(limit);
    }
    let caller = Arc::new(Caller {
        line: Arc::clone(&line),
        connection: number,
    });
    let io = TokioIo::new(Wire::new(stream, Arc::clone(&line)));
    let service =
        service_fn(move |request| serve::answer(Arc::clone(&server), Arc::clone(&caller), request));
    let mut http = std::pin::pin!(http1::Builder::new().serve_connection(io, service));
    loop {
        tokio::select! {
            // errors are broken connections: the account has them already
            _ = http.as_mut() => break,
            () = line.idled() => http.as_mut().graceful_shutdown(),
        }
    }
    if let Some(model) = line.left_after() {
        model.left_after();
    }
}

/// An open connection in the account.
struct Open(Arc<Server>);

impl Open {
    fn count(server: Arc<Server>) -> Self {
        server.account.open.fetch_add(1, Relaxed);
        Self(server)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.account.open.fetch_sub(1, Relaxed);
    }
}
