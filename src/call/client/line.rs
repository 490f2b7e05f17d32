//! A connection to a backend, driven by whoever waits for its answer.
//!
//! It has no task of its own: in that, each piece of an answer would wake one task to read it and
//! another to hand it on. So nothing is read while nobody waits, and a connection that is dropped
//! ends the call.

use std::{
    future::Future as _,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{Builder, Connection, SendRequest},
    },
};

use super::{Payload, dial::Stream, signal::Signal};

/// Polls of a connection that is called all the while, before others have their turn.
const TURNS: u8 = 8;

/// A connection without a request, or with one.
#[derive(Debug)]
pub(super) struct Line {
    sender: SendRequest<Payload>,
    /// `None`: it has ended.
    connection: Option<Connection<Stream, Payload>>,
    signal: Arc<Signal>,
    /// Calls `signal`.
    waker: Waker,
    /// Has it nothing to do until it is called?
    resting: bool,
}

impl Line {
    /// A connection on a stream that was opened for it.
    pub(super) async fn new(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) = Builder::new().handshake(stream).await?;
        let signal = Arc::<Signal>::default();
        Ok(Self {
            sender,
            connection: Some(connection),
            waker: Waker::from(Arc::clone(&signal)),
            signal,
            resting: false,
        })
    }

    /// Sends a request, and waits for the head of the answer.
    pub(super) async fn ask(
        &mut self,
        request: Request<Payload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Payload>>> {
        let mut answer = pin!(self.sender.try_send_request(request));
        self.resting = false;
        std::future::poll_fn(|cx| self.poll(cx, |cx| answer.as_mut().poll(cx))).await
    }

    /// Is it open, and has nothing to do? Nobody waits for it any more.
    pub(super) fn is_idle(&mut self) -> bool {
        self.signal.waits(None);
        self.signal.begin();
        self.turn();
        self.signal.end();
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Drives the connection until something is there.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut something: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.signal.waits(Some(cx.waker()));
        if self.resting && !self.signal.is_called() {
            return Poll::Pending;
        }
        for _ in 0..TURNS {
            self.signal.begin();
            self.turn();
            // only the connection brings it, so only that has to know whom to wake
            if let Poll::Ready(it) = something(&mut Context::from_waker(Waker::noop())) {
                self.resting = false;
                self.signal.end();
                return Poll::Ready(it);
            }
            if self.signal.rest() {
                self.resting = true;
                return Poll::Pending;
            }
        }
        self.signal.end();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn turn(&mut self) {
        let cx = &mut Context::from_waker(&self.waker);
        let connection = self.connection.as_mut();
        let ended = connection.is_some_and(|connection| Pin::new(connection).poll(cx).is_ready());
        if ended {
            // whoever waits for something of it learns of its end
            self.connection = None;
        }
    }
}
