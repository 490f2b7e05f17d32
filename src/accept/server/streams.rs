//! The streams of an HTTP/2 connection, each a task: how many there are, whether a client reads
//! what it asked for, and whether it only opens them to give them up.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use hyper::rt::Executor;
use tokio::{
    sync::Notify,
    time::{Instant, Sleep, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::WRITE_PATIENCE;

/// Bytes of an answer that are handed on at once: a client that reads slowly is seen to read.
const PIECE: usize = 16 * 1024;
/// Fewer streams than this say nothing about a client.
const FLOOD_STREAMS: u64 = 500;
/// Who gives up a stream later than this has waited for an answer.
const FLOOD_LIFE: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// The stream whose task is polled.
    static STREAM: Arc<Stream>;
}

/// All streams of a connection; clones are the same. It runs their tasks.
#[derive(Debug, Clone)]
pub(super) struct Streams {
    tasks: TaskTracker,
    /// Cancelled when the program ends open answers.
    end: CancellationToken,
    /// Cancelled when the connection is gone.
    gone: CancellationToken,
    count: Arc<Count>,
}

#[derive(Debug, Default)]
struct Count {
    opened: AtomicU64,
    closed: AtomicU64,
    /// Given up by the client at once.
    given_up: AtomicU64,
    changed: Notify,
    flooded: Notify,
}

/// What is known of one stream.
#[derive(Debug, Default)]
struct Stream {
    /// Pieces that were handed on.
    pieces: AtomicU64,
    /// Is the last piece still waiting for the client to take what came before it?
    stuck: AtomicBool,
    /// Came the answer to its end?
    ended: AtomicBool,
}

impl Streams {
    pub(super) fn new(tasks: TaskTracker, end: CancellationToken) -> Self {
        Self {
            tasks,
            end,
            gone: CancellationToken::new(),
            count: Arc::default(),
        }
    }

    /// What ends every stream.
    pub(super) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    /// Was there a request yet?
    pub(super) fn any_yet(&self) -> bool {
        self.count.opened.load(Relaxed) > 0
    }

    /// Waits for the first request.
    pub(super) async fn begun(&self) {
        loop {
            // made before looking, it misses nothing
            let changed = self.count.changed.notified();
            if self.any_yet() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until there has been no stream for so long.
    pub(super) async fn quiet(&self, limit: Duration) {
        loop {
            let changed = self.count.changed.notified();
            if self.count.opened.load(Relaxed) == self.count.closed.load(Relaxed) {
                tokio::select! {
                    () = sleep(limit) => return,
                    () = changed => {}
                }
            } else {
                changed.await;
            }
        }
    }

    /// Waits until the client has given up most of a large number of streams, each at once. So does
    /// nobody who wants answers, and each costs us more than it costs them (the rule is Envoy's).
    pub(super) async fn flooded(&self) {
        self.count.flooded.notified().await;
    }
}

impl Count {
    fn close(&self, stream: &Stream, opened: Instant) {
        if !stream.ended.load(Relaxed) && opened.elapsed() < FLOOD_LIFE {
            let given_up = self.given_up.fetch_add(1, Relaxed) + 1;
            let all = self.opened.load(Relaxed);
            if all >= FLOOD_STREAMS && given_up * 2 > all {
                self.flooded.notify_one();
            }
        }
        self.closed.fetch_add(1, Relaxed);
        self.changed.notify_waiters();
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let opened = Instant::now();
        let (end, gone) = (self.end.clone(), self.gone.clone());
        let (count, stream) = (Arc::clone(&self.count), Arc::<Stream>::default());
        count.opened.fetch_add(1, Relaxed);
        count.changed.notify_waiters();
        self.tasks.spawn(async move {
            run(STREAM.scope(Arc::clone(&stream), task), &stream, end, gone).await;
            count.close(&stream, opened);
        });
    }
}

/// Runs a stream until it ends, its client does not read any more, or its connection is gone.
async fn run(
    task: impl Future<Output = ()>,
    stream: &Stream,
    end: CancellationToken,
    gone: CancellationToken,
) {
    let mut task = pin!(task);
    let mut patience = None;
    let mut told = false;
    loop {
        tokio::select! {
            biased;
            () = gone.cancelled() => return,
            // once more around: a body that is polled now says so with its last event
            () = end.cancelled(), if !told => told = true,
            () = poll_fn(|cx| {
                let ended = task.as_mut().poll(cx);
                if ended.is_ready() {
                    return ended;
                }
                stream.poll_patience(&mut patience, cx)
            }) => return,
        }
    }
}

impl Stream {
    /// Ready when a piece has waited for too long.
    fn poll_patience(
        &self,
        patience: &mut Option<(u64, Pin<Box<Sleep>>)>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if !self.stuck.load(Relaxed) {
            *patience = None;
            return Poll::Pending;
        }
        let piece = self.pieces.load(Relaxed);
        if patience
            .as_ref()
            .is_none_or(|(waiting, _)| *waiting != piece)
        {
            *patience = Some((piece, Box::pin(sleep(WRITE_PATIENCE))));
        }
        match patience {
            Some((_, sleep)) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

/// The body of an answer in small pieces, with what becomes of them known to its stream.
#[derive(Debug)]
pub(super) struct Piecewise {
    body: Body,
    /// What is left of a frame.
    rest: Bytes,
    stream: Arc<Stream>,
}

impl Piecewise {
    /// Called in the task of the stream.
    pub(super) fn new(body: Body) -> Self {
        let stream = STREAM.try_with(Arc::clone).unwrap_or_default();
        if http_body::Body::is_end_stream(&body) {
            stream.ended.store(true, Relaxed);
        }
        Self {
            body,
            rest: Bytes::new(),
            stream,
        }
    }

    fn piece(&mut self, mut data: Bytes) -> Frame<Bytes> {
        let piece = data.split_to(data.len().min(PIECE));
        self.rest = data;
        self.stream.pieces.fetch_add(1, Relaxed);
        self.stream.stuck.store(true, Relaxed);
        if http_body::Body::is_end_stream(self) {
            self.stream.ended.store(true, Relaxed);
        }
        Frame::data(piece)
    }
}

impl http_body::Body for Piecewise {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.stream.stuck.store(false, Relaxed);
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            return Poll::Ready(Some(Ok(self.piece(rest))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(match frame.into_data() {
                Ok(data) => self.piece(data),
                Err(trailers) => trailers,
            })),
            // what ends with an error was ended by us
            end => {
                self.stream.ended.store(true, Relaxed);
                end
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest + body.lower());
        if let Some(upper) = body.upper() {
            hint.set_upper(rest + upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use axum::body::Body as AxumBody;
    use http_body_util::BodyExt as _;

    use super::*;

    fn streams() -> Streams {
        Streams::new(TaskTracker::new(), CancellationToken::new())
    }

    /// Opens streams that the client gives up so much later.
    async fn given_up(streams: &Streams, number: u64, later: Duration) {
        for _ in 0..number {
            streams.execute(sleep(later));
        }
        streams.quiet(Duration::ZERO).await;
    }

    /// Opens streams whose answers are read to the end.
    async fn read(streams: &Streams, number: u64) {
        for _ in 0..number {
            streams.execute(async {
                let body = Piecewise::new(AxumBody::from("whole"));
                body.collect().await.unwrap();
            });
        }
        streams.quiet(Duration::ZERO).await;
    }

    async fn is_flooded(streams: &Streams) -> bool {
        let limit = Duration::from_millis(1);
        tokio::time::timeout(limit, streams.flooded()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn most_of_many_streams_given_up_at_once_is_a_flood() {
        let flooding = streams();
        given_up(&flooding, FLOOD_STREAMS - 1, Duration::ZERO).await;
        assert!(!is_flooded(&flooding).await, "too few to say so");
        given_up(&flooding, 1, Duration::ZERO).await;
        assert!(is_flooded(&flooding).await);

        let reading = streams();
        read(&reading, FLOOD_STREAMS).await;
        given_up(&reading, FLOOD_STREAMS, Duration::ZERO).await;
        assert!(!is_flooded(&reading).await, "half of them were wanted");

        let waiting = streams();
        given_up(&waiting, 2 * FLOOD_STREAMS, FLOOD_LIFE).await;
        assert!(!is_flooded(&waiting).await, "each was waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_pieces_nobody_takes_is_given_up_and_a_slow_one_is_not() {
        let streams = streams();
        let (slow, started) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let done = Arc::clone(&slow);
        // hyper as it waits for a window: it has a piece, and asks for no more
        streams.execute(async move {
            let mut body = Piecewise::new(AxumBody::from(vec![0; PIECE * 4]));
            while let Some(Ok(_)) = body.frame().await {
                sleep(WRITE_PATIENCE / 2).await;
            }
            done.store(true, Relaxed);
        });
        streams.execute(async {
            let mut body = Piecewise::new(AxumBody::from(vec![0; PIECE * 4]));
            drop(body.frame().await);
            pending::<()>().await;
        });
        streams.quiet(Duration::ZERO).await;
        assert!(slow.load(Relaxed));
        assert_eq!(streams.count.closed.load(Relaxed), 2);
        let took = started.elapsed();
        assert!(took < WRITE_PATIENCE * 3, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_connection_ends_every_stream() {
        let streams = streams();
        streams.execute(pending());
        streams.execute(pending());
        streams.gone().cancel();
        streams.quiet(Duration::ZERO).await;
        assert_eq!(streams.count.closed.load(Relaxed), 2);
    }

    #[tokio::test]
    async fn pieces_are_small_and_say_what_is_left() {
        let mut body = Piecewise::new(AxumBody::from(vec![1; PIECE + 10]));
        let mut sizes = Vec::new();
        while let Some(frame) = body.frame().await {
            sizes.push(frame.unwrap().into_data().unwrap().len());
            let left = http_body::Body::size_hint(&body).exact();
            let taken: usize = sizes.iter().sum();
            assert_eq!(left, Some((PIECE + 10 - taken) as u64));
        }
        assert_eq!(sizes, [PIECE, 10]);
        assert!(http_body::Body::is_end_stream(&body));
        assert!(body.stream.ended.load(Relaxed));
    }
}
