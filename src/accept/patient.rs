//! A connection whose client must go on: reading its answers, and sending a head that it began.
//!
//! While a client does not read, the body of its answer is not asked for more, so no time limit of
//! the request is looked at; the backend would wait with it for ever. This one is looked at while
//! bytes wait to be written. And hyper has one time limit for both a head and the idle time before
//! it, which must be long; here the time of a head begins with its first byte.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::server::HEAD_PATIENCE;

/// A stream that fails when a write, or the rest of a head, has been waited for too long.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    patience: Duration,
    /// Since the first write that had to wait.
    waiting: Option<Pin<Box<Sleep>>>,
    heads: Option<Heads>,
}

/// How many requests of a connection there were.
#[derive(Debug, Default)]
pub(super) struct Answered {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A request whose head has come; dropped when its answer has ended.
#[derive(Debug)]
pub(super) struct Open(Arc<Answered>);

/// The time limit of a head that has begun.
#[derive(Debug)]
struct Heads {
    answered: Arc<Answered>,
    /// Before which request, and until when.
    begun: Option<(u64, Pin<Box<Sleep>>)>,
}

impl Answered {
    /// A head has come.
    pub(super) fn begin(self: &Arc<Self>) -> Open {
        self.begun.fetch_add(1, Relaxed);
        Open(Arc::clone(self))
    }

    /// The number of the request that is waited for; `None`: one is being answered.
    fn next(&self) -> Option<u64> {
        let begun = self.begun.load(Relaxed);
        (begun == self.ended.load(Relaxed)).then_some(begun)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Relaxed);
    }
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            waiting: None,
            heads: None,
        }
    }

    /// With a time limit for heads; the first one must have come by that moment.
    pub(super) fn heads(self, answered: &Arc<Answered>, first: Instant) -> Self {
        let first = Box::pin(tokio::time::sleep_until(first));
        let heads = Heads {
            answered: Arc::clone(answered),
            begun: Some((0, first)),
        };
        Self {
            heads: Some(heads),
            ..self
        }
    }

    /// What a write came to, or the end of the patience.
    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let patience = self.patience;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(late("the client does not read")))
    }
}

impl Heads {
    /// Bytes came.
    fn came(&mut self) {
        let next = self.answered.next();
        if next.is_some() && self.begun.as_ref().map(|(number, _)| *number) != next {
            let sleep = Box::pin(tokio::time::sleep(HEAD_PATIENCE));
            self.begun = next.map(|number| (number, sleep));
        }
    }

    /// Ready when a head has taken too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.begun {
            Some((number, sleep)) if self.answered.next() == Some(*number) => {
                sleep.as_mut().poll(cx)
            }
            _ => Poll::Pending,
        }
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(heads) = &mut self.heads else {
            return outcome;
        };
        if buf.filled().len() > before {
            heads.came();
        } else if outcome.is_pending() && heads.poll_late(cx).is_ready() {
            return Poll::Ready(Err(late("the head of a request did not come in time")));
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::Instant,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_reading_is_given_up_after_the_patience() {
        let (near, _far) = tokio::io::duplex(64);
        let mut stream = Patient::new(near, PATIENCE);
        let started = Instant::now();
        let error = stream.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(
            (error.kind(), started.elapsed()),
            (io::ErrorKind::TimedOut, PATIENCE)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_is_given_up_and_an_idle_connection_is_not() {
        let (near, mut far) = tokio::io::duplex(64);
        let answered = Arc::<Answered>::default();
        let started = Instant::now();
        let first = started + Duration::from_secs(5);
        let mut stream = Patient::new(near, PATIENCE).heads(&answered, first);
        let mut byte = [0];
        far.write_all(b"G").await.unwrap();
        stream.read_exact(&mut byte).await.unwrap();
        drop(answered.begin());
        // answered: the next head may be long in coming, but not long in being sent
        let dripping = async {
            tokio::time::sleep(PATIENCE * 3).await;
            while far.write_all(b"E").await.is_ok() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        };
        let reading = async {
            loop {
                if let Err(error) = stream.read_exact(&mut byte).await {
                    drop(stream);
                    return error.kind();
                }
            }
        };
        let (kind, ()) = tokio::join!(reading, dripping);
        assert_eq!(kind, io::ErrorKind::TimedOut);
        let took = started.elapsed() - PATIENCE * 3;
        assert!(
            (HEAD_PATIENCE..HEAD_PATIENCE * 2).contains(&took),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_is_waited_for_from_the_beginning() {
        let (near, _far) = tokio::io::duplex(64);
        let first = Instant::now() + Duration::from_secs(5);
        let mut stream = Patient::new(near, PATIENCE).heads(&Arc::default(), first);
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(
            (error.kind(), Instant::now()),
            (io::ErrorKind::TimedOut, first)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_that_goes_on_reading_is_kept() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut stream = Patient::new(near, PATIENCE);
        let reader = async {
            let mut buf = [0; 32];
            for _ in 0..10 {
                tokio::time::sleep(PATIENCE / 2).await;
                far.read_exact(&mut buf).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(stream.write_all(&[0; 320]), reader);
        written.unwrap();
    }
}
