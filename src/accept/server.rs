//! Listeners and connections: accepting, their limits, and the graceful end.
//!
//! hyper's connections rather than `axum::serve`, which knows no time limit for headers, no end of
//! a single connection, and no bound on how many there are. `greet` finds out what a client
//! speaks, `http1` and `http2` serve it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::rustls::ServerConfig;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::greet::Speech;
use super::{admin::guard::Peer, desk::Desk};
use crate::{
    config::{Config, Tls},
    cores::Cores,
    state::App,
};

mod greet;
mod http1;
mod http2;
mod streams;

/// Headers of a request.
const MAX_HEADERS: usize = 100;
/// Bytes of all headers of a request together.
const MAX_HEAD: usize = 128 * 1024;
/// How long the head of a request may take, from its first byte; of the first one, from the
/// beginning of the connection.
pub(super) const HEAD_PATIENCE: Duration = Duration::from_secs(20);
/// How long a client may leave bytes of its answer unread.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait after the system refused a connection for lack of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long an answer that is given up may take to say so.
const FAREWELL: Duration = Duration::from_millis(500);

/// A listener with what it serves.
#[derive(Debug)]
pub struct Door {
    pub listener: TcpListener,
    pub desk: Desk,
    /// The certificate of the moment, where TLS is spoken.
    pub tls: fn(&Config) -> Option<&Tls>,
    /// Says how long an idle connection is kept, and how long open requests may take once the door
    /// is closed.
    pub app: Arc<App>,
    /// Where its connections are served.
    pub cores: Cores,
}

/// What a connection is told from outside.
#[derive(Clone, Debug)]
struct Signals {
    /// End after the request that is under way.
    leave: CancellationToken,
    /// End now.
    end: CancellationToken,
}

/// What is served on one connection, and to whom.
#[derive(Debug)]
struct Guest {
    peer: Peer,
    desk: Arc<Desk>,
    /// How long it may stay without a request.
    keep_alive: Duration,
    signals: Signals,
    /// For what it does beside its own task.
    tasks: TaskTracker,
}

impl Door {
    /// Serves until `close` is cancelled; then accepts nobody any more, lets open requests finish
    /// within `server.drain_timeout`, and ends the others. Returns when no connection is left.
    pub async fn serve(self, close: CancellationToken) {
        let Self {
            listener,
            desk,
            tls,
            app,
            cores,
        } = self;
        let desk = Arc::new(desk);
        let signals = Signals {
            leave: close.clone(),
            end: CancellationToken::new(),
        };
        let connections = TaskTracker::new();
        let most = app.world().config.server.max_connections;
        let free = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX)));
        loop {
            let accepted = tokio::select! {
                () = close.cancelled() => break,
                accepted = accept(&listener, &free) => accepted,
            };
            let Some((stream, peer, permit)) = accepted else {
                continue;
            };
            // those of this moment: a new certificate is shown to whoever comes from now on
            let config = Arc::clone(&app.world().config);
            let secure = tls(&config).map(|tls| tls.identity.config());
            let guest = Guest {
                peer: Peer(peer),
                desk: Arc::clone(&desk),
                keep_alive: config.server.keep_alive,
                signals: signals.clone(),
                tasks: connections.clone(),
            };
            let Some((core, place)) = cores.place() else {
                connections.spawn(async move {
                    connection(stream, secure, guest).await;
                    drop(permit);
                });
                continue;
            };
            let moved = stream.into_std();
            let serving = async move {
                match moved.and_then(TcpStream::from_std) {
                    Ok(stream) => connection(stream, secure, guest).await,
                    Err(error) => tracing::error!(%error, "a connection can't be served"),
                }
                drop((permit, place));
            };
            connections.spawn_on(serving, &core);
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
async fn connection(stream: TcpStream, secure: Option<Arc<ServerConfig>>, guest: Guest) {
    let _ = stream.set_nodelay(true);
    let first_head = Instant::now() + HEAD_PATIENCE;
    let greeted = async {
        match secure {
            Some(config) => greet::secure(stream, config).await,
            None => greet::plain(stream).await,
        }
    };
    let greeted = tokio::select! {
        greeted = timeout_at(first_head, greeted) => greeted.ok().flatten(),
        // whoever has not begun to ask is not waited for
        () = guest.signals.leave.cancelled() => None,
    };
    match greeted {
        Some((stream, Speech::Http1)) => http1::serve(stream, first_head, guest).await,
        // boxed: it is the larger one, and the task of every connection would be as large
        Some((stream, Speech::Http2)) => Box::pin(http2::serve(stream, first_head, guest)).await,
        None => {}
    }
}
