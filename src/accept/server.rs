//! Listeners and connections: accepting, their limits, and the graceful end.
//!
//! hyper's connection loop rather than `axum::serve`, which knows no time limit for headers, no
//! end of a single connection, and no bound on how many there are.

use std::{convert::Infallible, future::poll_fn, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use super::{admin::guard::Peer, patient::Patient, router::Closer};
use crate::state::App;

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

/// How long an answer that is given up may take to say so.
const FAREWELL: Duration = Duration::from_millis(500);
/// How long what a client still sends is read after the last answer.
const LINGER: Duration = Duration::from_secs(10);
/// How long a client may be silent meanwhile.
const LINGER_SILENCE: Duration = Duration::from_secs(1);

/// A listener with what it serves.
#[derive(Debug)]
pub struct Door {
    pub listener: TcpListener,
    pub router: Router,
    /// Says how long an idle connection is kept and a head may take to come, and how long open
    /// requests may take once the door is closed.
    pub app: Arc<App>,
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
    /// within `server.drain_timeout`, and ends the others. Returns when no connection is left.
    pub async fn serve(self, close: CancellationToken) {
        let Self {
            listener,
            router,
            app,
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
            let keep_alive = app.world().config.server.keep_alive;
            connections.spawn(async move {
                connection(stream, peer, router, keep_alive, signals).await;
                drop(permit);
            });
        }
        drop(listener);
        connections.close();
        let drain_timeout = app.world().config.server.drain_timeout;
        if timeout(drain_timeout, connections.wait()).await.is_err() {
            tracing::warn!(
                open = connections.len(),
                "requests that did not finish in time are ended"
            );
            app.end();
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
        // boxed, as the connection must be movable to give its stream back
        Box::pin(async move {
            router
                .call(request.map(Body::new))
                .await
                .map_err(|error: Infallible| error)
        })
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // runs while the next request of a kept connection is waited for, too
        .header_read_timeout(keep_alive)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER);
    let stream = TokioIo::new(Patient::new(stream, WRITE_PATIENCE));
    let mut served = builder.serve_connection(stream, service);
    let mut leaving = false;
    loop {
        tokio::select! {
            ended = poll_fn(|cx| served.poll_without_shutdown(cx)) => {
                // a client that breaks off is nothing to report; the account of its request is closed
                if ended.is_ok() && !leaving {
                    let stream = served.into_parts().io.into_inner();
                    tokio::select! {
                        () = linger(stream) => {}
                        () = signals.leave.cancelled() => {}
                    }
                }
                return;
            }
            () = signals.end.cancelled() => {
                // a body that is polled now says so with its last event
                let _ = timeout(FAREWELL, poll_fn(|cx| served.poll_without_shutdown(cx))).await;
                return;
            }
            () = async { tokio::select! {
                () = signals.leave.cancelled() => {}
                () = closer.notified() => {}
            } }, if !leaving => {
                leaving = true;
                std::pin::Pin::new(&mut served).graceful_shutdown();
            }
        }
    }
}

/// Says that nothing more comes, and reads for a while what the client still sends: closing on
/// unread bytes resets the connection, and a client that is still sending its body would see that
/// in place of the answer that refuses it.
async fn linger(mut stream: Patient<TcpStream>) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut waste = vec![0; 16 * 1024];
    let read_all =
        async { while let Ok(Ok(1..)) = timeout(LINGER_SILENCE, stream.read(&mut waste)).await {} };
    // who sends on for longer than this does not mean to read
    let _ = timeout(LINGER, read_all).await;
}
