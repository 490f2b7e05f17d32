//! One TCP connection that its answers can command: small writes, an RST, a wait for the flush.
//!
//! `Line` is the remote control that the HTTP side holds; `Wire` is the socket that obeys. Knows
//! nothing of HTTP.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::Sleep;

use super::account::Model;

/// Pause after a small write: long enough for a peer to read it before the next one.
const SMALL_WRITE_PAUSE: Duration = Duration::from_millis(1);
/// Small writes of one answer that are followed by the pause; later ones give up one turn only, so
/// that a long answer is not slow.
const PACED_WRITES: u64 = 100;

/// Commands for one connection and what is known of it. All fields are only hints between the one
/// task that runs the connection and the bodies it polls, hence the relaxed ordering.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// Most bytes in one write; 0 is no limit.
    split: AtomicUsize,
    /// Small writes of this answer.
    small_writes: AtomicU64,
    reset: AtomicBool,
    flushed: AtomicBool,
    /// A body waits for the flush.
    flush_wanted: AtomicBool,
    /// The peer has closed or broken the connection.
    ended: AtomicBool,
    busy: AtomicBool,
    /// Requests that came on this connection.
    requests: AtomicU64,
    /// Idle time after which the server closes, in microseconds; 0 is never.
    idle_us: AtomicU64,
    idle: Notify,
    /// The model that answered last, which hears of a disconnect after its answer.
    last: Mutex<Option<Arc<Model>>>,
}

impl Line {
    /// A request begins; how many came before it.
    pub(crate) fn begin(&self) -> u64 {
        self.busy.store(true, Relaxed);
        self.split.store(0, Relaxed);
        self.small_writes.store(0, Relaxed);
        self.requests.fetch_add(1, Relaxed)
    }

    /// Its answer has been handed over.
    pub(crate) fn finish(&self) {
        self.busy.store(false, Relaxed);
        if self.idle_us.load(Relaxed) > 0 {
            self.idle.notify_one();
        }
    }

    /// Limits the size of every write until the next request.
    pub(crate) fn split(&self, bytes: usize) {
        self.split.store(bytes, Relaxed);
    }

    /// Makes the end of this connection an RST.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Relaxed);
    }

    /// Closes the connection whenever it has been idle this long.
    pub(crate) fn close_when_idle(&self, limit: Duration) {
        let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        self.idle_us.store(limit.max(1), Relaxed);
    }

    /// Completes when the idle limit is over.
    pub(crate) async fn idled(&self) {
        self.idle.notified().await;
        loop {
            let limit = Duration::from_micros(self.idle_us.load(Relaxed));
            tokio::select! {
                () = tokio::time::sleep(limit) => if !self.busy.load(Relaxed) { return },
                () = self.idle.notified() => {}
            }
        }
    }

    /// Forgets the last flush, so that `flushed` speaks of what is written from now on.
    pub(crate) fn expect_flush(&self) {
        self.flushed.store(false, Relaxed);
        self.flush_wanted.store(true, Relaxed);
    }

    /// True when everything has gone to the kernel since `expect_flush`.
    pub(crate) fn flushed(&self) -> bool {
        self.flushed.load(Relaxed)
    }

    /// Who answered last; `None` once a disconnect has been counted already.
    pub(crate) fn remember(&self, model: Option<&Arc<Model>>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = model.cloned();
    }

    /// The model to tell that the client has gone after its answer, if that is what happened.
    pub(crate) fn left_after(&self) -> Option<Arc<Model>> {
        if !self.ended.load(Relaxed) || self.busy.load(Relaxed) {
            return None;
        }
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// A socket that obeys a `Line`.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    line: Arc<Line>,
    pause: Pause,
}

/// What stands between two small writes.
#[derive(Debug, Default)]
enum Pause {
    #[default]
    Over,
    /// Other tasks run once.
    Turn,
    Sleep(Pin<Box<Sleep>>),
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        Self {
            stream,
            line,
            pause: Pause::Over,
        }
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match std::mem::take(&mut self.pause) {
            Pause::Over => Poll::Ready(()),
            Pause::Turn => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Pause::Sleep(mut sleep) => {
                let polled = sleep.as_mut().poll(cx);
                if polled.is_pending() {
                    self.pause = Pause::Sleep(sleep);
                }
                polled
            }
        }
    }

    fn pause_after_small_write(&mut self) {
        let before = self.line.small_writes.fetch_add(1, Relaxed);
        self.pause = if before < PACED_WRITES {
            Pause::Sleep(Box::pin(tokio::time::sleep(SMALL_WRITE_PAUSE)))
        } else {
            Pause::Turn
        };
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.line.reset.load(Relaxed) {
            // a failure means that the peer was faster: the connection has gone either way
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let room = buf.remaining() > 0;
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if read.is_err() || (room && buf.filled().len() == before) {
            self.line.ended.store(true, Relaxed);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let limit = self.line.split.load(Relaxed);
        if limit == 0 {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        ready!(self.poll_pause(cx));
        let first = bytes.get(..limit).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, first));
        self.pause_after_small_write();
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.line.split.load(Relaxed) == 0 {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        }
        let first = slices.iter().find(|slice| !slice.is_empty());
        self.poll_write(cx, first.map_or(&[], |slice| slice))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // an HTTP connection flushes the socket only when its own buffers are empty
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        self.line.flushed.store(true, Relaxed);
        if self.line.flush_wanted.swap(false, Relaxed) {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
