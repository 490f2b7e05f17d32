//! A connection of HTTP/2: many requests at once, each in a task of its own.
//!
//! What one client can make us hold is bounded: streams, bytes of heads, bytes not read by us and
//! bytes not read by it. It leaves with GOAWAY, so that open streams end by themselves.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::body::Body;
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::{Instant, timeout},
};

use super::{
    FAREWELL, Guest, MAX_HEAD, MAX_HEADERS, WRITE_PATIENCE,
    streams::{Piecewise, Streams},
};
use crate::accept::{desk::Arrival, patient::Patient};

/// Requests at once.
const MAX_STREAMS: u32 = 200;
/// Bytes of a body that a client may send before they are read, of one stream and of all.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// Bytes of an answer that are taken from its stream before the client has taken them.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client may give up before we have looked at them (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// Mistakes of a client that are answered with a reset (CVE-2025-8671).
const MAX_OWN_RESETS: usize = 200;
/// How often a client must prove that it is still there, and how soon.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(20);
/// How long a client that was told to go may take for it once its last stream has ended: what it
/// sent before it was told is still answered.
const PARTING: Duration = Duration::from_secs(5);

/// Serves it to its end. The head of the first request must have come by `first_head`.
pub(super) async fn serve<S>(stream: S, first_head: Instant, guest: Guest)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let signals = guest.signals.clone();
    let (peer, keep_alive) = (guest.peer, guest.keep_alive);
    let streams = Streams::new(guest.tasks.clone(), signals.end.clone());
    let goaway = Arc::new(Notify::new());
    let arrival = Arrival {
        peer: guest.peer,
        // a stream ends by itself
        closer: Arc::default(),
        goaway: Some(Arc::clone(&goaway)),
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let (desk, arrival) = (Arc::clone(&guest.desk), arrival.clone());
        async move {
            let answer = if request.headers().len() > MAX_HEADERS {
                let mut answer = Response::new(Body::empty());
                *answer.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                answer
            } else {
                desk.answer(request.map(Body::new), arrival).await
            };
            Ok::<_, Infallible>(answer.map(Piecewise::new))
        }
    });
    let io = TokioIo::new(Patient::new(stream, WRITE_PATIENCE));
    let mut served = pin!(builder(&streams).serve_connection(io, service));
    // whatever ends the connection ends its streams
    let _ended = streams.gone().drop_guard();
    let mut leaving = false;
    loop {
        let deserted = async {
            if leaving {
                streams.quiet(PARTING).await;
            } else if streams.any_yet() {
                streams.quiet(keep_alive).await;
            } else {
                tokio::select! {
                    () = tokio::time::sleep_until(first_head) => {}
                    () = streams.begun() => streams.quiet(keep_alive).await,
                }
            }
        };
        tokio::select! {
            // a client that breaks off is nothing to report
            _ = &mut served => return,
            () = signals.end.cancelled() => {
                // bodies are polled now, and say so with their last event
                let _ = timeout(FAREWELL, &mut served).await;
                return;
            }
            () = streams.flooded() => {
                tracing::warn!(client = %peer.0, "a client resets most of its streams: cut off");
                return;
            }
            () = deserted => {
                if leaving {
                    return;
                }
                leaving = true;
                served.as_mut().graceful_shutdown();
            }
            () = async { tokio::select! {
                () = signals.leave.cancelled() => {}
                () = goaway.notified() => {}
            } }, if !leaving => {
                leaving = true;
                served.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(streams: &Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams.clone());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_OWN_RESETS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE);
    builder
}
