//! A connection of HTTP/1.1: one request after another, and the end that lets the last answer be
//! read.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use http::Request;
use http_body::{Frame, SizeHint};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::Notify,
    time::{Instant, timeout},
};

use super::{FAREWELL, Guest, MAX_HEAD, MAX_HEADERS, Signals, WRITE_PATIENCE};
use crate::accept::{
    desk::Arrival,
    patient::{Answered, Open, Patient},
};

/// How long what a client still sends is read after the last answer.
const LINGER: Duration = Duration::from_secs(10);
/// How long a client may be silent while its rest is read.
const LINGER_SILENCE: Duration = Duration::from_secs(1);

/// Serves it to its end. The head of the first request must have come by `first_head`.
pub(super) async fn serve<S>(stream: S, first_head: Instant, guest: Guest)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let signals = guest.signals.clone();
    let closer = Arc::new(Notify::new());
    let arrival = Arrival {
        peer: guest.peer,
        closer: Arc::clone(&closer),
        goaway: None,
    };
    let answered = Arc::new(Answered::default());
    let patient = Patient::new(stream, WRITE_PATIENCE).heads(&answered, first_head);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // runs while the next request of a kept connection is waited for, too
        .header_read_timeout(guest.keep_alive)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD);
    let service = service_fn(move |request: Request<Incoming>| {
        let open = answered.begin();
        let (desk, arrival) = (Arc::clone(&guest.desk), arrival.clone());
        // boxed, as the connection must be movable to give its stream back
        Box::pin(async move {
            let answer = desk.answer(request.map(Body::new), arrival).await;
            Ok::<_, Infallible>(answer.map(|body| Answer { body, _open: open }))
        })
    });
    let mut served = builder.serve_connection(TokioIo::new(patient), service);
    let mut told = told(&signals, closer);
    let mut leaving = false;
    loop {
        tokio::select! {
            biased;
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
            Some(told) = told.next() => match told {
                Told::End => {
                    // a body that is polled now says so with its last event
                    let _ = timeout(FAREWELL, poll_fn(|cx| served.poll_without_shutdown(cx))).await;
                    return;
                }
                Told::Leave => {
                    leaving = true;
                    Pin::new(&mut served).graceful_shutdown();
                }
            }
        }
    }
}

/// What a connection is told while it is served.
enum Told {
    /// End after the answer that is under way.
    Leave,
    /// End now.
    End,
}

/// What it is told, as it is told. Kept apart from the connection, which is polled for every piece
/// of a stream: these are polled only when they have something to say.
fn told(signals: &Signals, closer: Arc<Notify>) -> FuturesUnordered<BoxFuture<'static, Told>> {
    let (leave, end) = (signals.leave.clone(), signals.end.clone());
    let leaves = async move {
        tokio::select! {
            () = leave.cancelled() => {}
            () = closer.notified() => {}
        }
        Told::Leave
    };
    let ends = async move {
        end.cancelled().await;
        Told::End
    };
    [leaves.boxed(), ends.boxed()].into_iter().collect()
}

/// Says that nothing more comes, and reads for a while what the client still sends: closing on
/// unread bytes resets the connection, and a client that is still sending its body would see that
/// in place of the answer that refuses it.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: Patient<S>) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut waste = vec![0; 16 * 1024];
    let read_all =
        async { while let Ok(Ok(1..)) = timeout(LINGER_SILENCE, stream.read(&mut waste)).await {} };
    // who sends on for longer than this does not mean to read
    let _ = timeout(LINGER, read_all).await;
}

/// The body of an answer, until whose end the next head is not waited for.
#[derive(Debug)]
struct Answer {
    body: Body,
    _open: Open,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
