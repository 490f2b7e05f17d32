//! The body of a backend's answer, with the connection that brings it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::uri::Authority;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{idle::Idle, line::Line};

/// A body. Its connection is kept for the next request once all has come, and ended where it is
/// dropped before.
#[derive(Debug)]
pub struct Received {
    body: Incoming,
    /// `None`: all has come.
    way: Option<Way>,
}

/// A connection, and where it is kept.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) line: Box<Line>,
    pub(super) host: Authority,
    pub(super) idle: Arc<Idle>,
}

impl Received {
    pub(super) fn new(body: Incoming, way: Way) -> Self {
        let mut received = Self {
            body,
            way: Some(way),
        };
        if received.body.is_end_stream() {
            received.all_has_come();
        }
        received
    }

    fn all_has_come(&mut self) {
        if let Some(Way { line, host, idle }) = self.way.take() {
            idle.put(host, line);
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Self { body, way } = &mut *self;
        let frame = match way {
            Some(way) => way.line.poll(cx, |cx| Pin::new(&mut *body).poll_frame(cx)),
            None => Pin::new(body).poll_frame(cx),
        };
        let frame = ready!(frame);
        if frame.is_none() || self.body.is_end_stream() {
            self.all_has_come();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
