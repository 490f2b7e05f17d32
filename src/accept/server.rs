//! Listeners and connections: accepting, their limits, and the graceful end.
//!
//! hyper's connection loop rather than `axum::serve`, which knows no time limit for headers, no
//! end of a single connection, and no bound on how many there are.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use super::{admin::Peer, patient::Patient, router::Closer};

/// Connections that are open at once at one listener; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 10_000;
/// Headers of a request.
const MAX_HEADERS: usize = 100;
/// Bytes that a connection buffers: all headers of a request must fit.
const MAX_BUFFER: usize = 128 * 1024;
/// How long a client may leave bytes of its answer unread.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait after the system refused a connection for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener with what it serves.
#[derive(Debug)]
pub struct Door {
    pub listener: TcpListener,
    pub router: Router,
    /// How long an idle connection is kept, and a head may take to come.
    pub keep_alive: Duration,
    /// How long open requests may take once the door is closed.
    pub drain_timeout: Duration,
}

/// What a connection is told from outside.
#[derive(Clone, Debug)]
struct Signals {
    /// End after the request that is under way.
    leave: CancellationToken,
    /// End now.
    end: CancellationToken,
}

impl Door {
    /// Serves until `close` is cancelled; then accepts nobody any more, lets open requests finish
    /// within `drain_timeout`, and ends the others. Returns when no connection is left.
    pub async fn serve(self, close: CancellationToken) {
        let Self {
            listener,
            router,
            keep_alive,
            drain_timeout,
        } = self;
        let signals = Signals {
            leave: close.clone(),
            end: CancellationToken::new(),
        };
        let connections = TaskTracker::new();
        let free = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                () = close.cancelled() => break,
                accepted = accept(&listener, &free) => accepted,
            };
            let Some((stream, peer, permit)) = accepted else {
                continue;
            };
            let router = router.clone();
            let signals = signals.clone();
            connections.spawn(async move {
                connection(stream, peer, router, keep_alive, signals).await;
                drop(permit);
            });
        }
        drop(listener);
        connections.close();
        if tokio::time::timeout(drain_timeout, connections.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                open = connections.len(),
                "requests that did not finish in time are ended"
            );
            signals.end.cancel();
            connections.wait().await;
        }
    }
}

/// The next connection; `None` after a failure that passes.
async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            let passing = [
                io::ErrorKind::ConnectionAborted,
                io::ErrorKind::ConnectionReset,
            ];
            if !passing.contains(&error.kind()) {
                tracing::error!(%error, "a connection can't be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None
        }
    }
}

/// Serves one connection to its end.
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    keep_alive: Duration,
    signals: Signals,
) {
    let _ = stream.set_nodelay(true);
    let closer = Arc::new(Notify::new());
    let for_requests = Closer(Arc::clone(&closer));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(for_requests.clone());
        let mut router = router.clone();
        async move {
            router
                .call(request.map(Body::new))
                .await
                .map_err(|error: Infallible| error)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // runs while the next request of a kept connection is waited for, too
        .header_read_timeout(keep_alive)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER);
    let mut served =
        pin!(builder.serve_connection(TokioIo::new(Patient::new(stream, WRITE_PATIENCE)), service));
    let mut leaving = false;
    loop {
        tokio::select! {
            // a client that breaks off is nothing to report; the account of its request is closed
            _ = served.as_mut() => return,
            () = signals.end.cancelled() => return,
            () = async { tokio::select! {
                () = signals.leave.cancelled() => {}
                () = closer.notified() => {}
            } }, if !leaving => {
                leaving = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}
