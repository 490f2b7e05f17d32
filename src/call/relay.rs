//! The relay of a stream: events leave in the poll that brought them, as the backend wrote them.
//!
//! No task, no channel: the client's reading drives the backend's. Events that are there at the same
//! time leave in one piece. A stream is complete when every choice has its finish reason, or the end
//! marker came, and the transfer ended properly; anything else is cut, whatever it looks like.

pub mod edit;
mod piece;
mod timer;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::Body;
use tokio::time::Instant;

use self::{
    edit::Verdict,
    piece::Piece,
    timer::{Due, Timer},
};
use super::{
    Served, Watch,
    client::Received,
    failure::{Class, Failure, Phase},
    upstream::Busy,
};
use crate::{
    caps::Caps,
    wire::{
        openai::{chunk::Series, error, typed},
        sse::{self, Block, Splitter},
    },
};

/// Bytes that one event may have. Images in a stream come as base64 of a few megabytes.
const MAX_EVENT: usize = 16 * 1024 * 1024;
/// Bytes of whole events that leave at once: the backend is not read on before.
const MAX_PIECE: usize = 16 * 1024;
/// How long the end of a transfer is waited for after the end marker has gone to the client.
const END_WAIT: Duration = Duration::from_millis(500);

/// How long a stream may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// When the first event must have come.
    pub first_event: Instant,
    /// How long the backend may be silent after it.
    pub idle: Duration,
    /// How long the client may hear nothing before it gets a comment; zero: for ever.
    pub keep_alive: Duration,
    /// When the request ends.
    pub whole: Instant,
}

/// What the events of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// Chunks of choices.
    Chunks { wants_usage: bool },
    /// Objects that name their type; the last one says that it is the last.
    Typed,
}

/// A stream on its way to the client.
#[derive(Debug)]
pub struct Relay {
    body: Received,
    splitter: Splitter,
    chunks: Series,
    /// Whole events that have not left.
    ready: Piece,
    /// How it broke off, once they have.
    broken: Option<Failure>,
    /// Choices seen and finished, as bits.
    seen: u128,
    finished: u128,
    state: State,
    events: Events,
    needs: Caps,
    timer: Timer,
    _busy: Busy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No event with data has come.
    Fresh,
    /// Events have come.
    Flowing,
    /// The end marker has come; the end of the transfer has not.
    Done,
    /// Nothing more comes.
    Ended,
}

impl Relay {
    /// A relay of a body whose head has come.
    pub(super) fn new(
        body: Received,
        busy: Busy,
        events: Events,
        needs: Caps,
        patience: Patience,
    ) -> Self {
        Self {
            body,
            splitter: Splitter::new(MAX_EVENT),
            chunks: Series::default(),
            ready: Piece::default(),
            broken: None,
            seen: 0,
            finished: 0,
            state: State::Fresh,
            events,
            needs,
            timer: Timer::new(patience),
            _busy: busy,
        }
    }

    /// Waits for the first event with data; nothing of it is lost.
    ///
    /// # Errors
    /// If there is none in time, or it or one that came together with it is an error, or no event
    /// at all.
    pub(super) async fn first(&mut self, watch: &mut dyn Watch) -> Result<(), Failure> {
        std::future::poll_fn(|cx| {
            loop {
                if self.state != State::Fresh {
                    watch.first_event();
                    return Poll::Ready(Ok(()));
                }
                match self.poll_upstream(cx, watch) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(failure)) => return Poll::Ready(Err(failure)),
                    Poll::Pending => {
                        let Due::Over(phase) = ready!(self.timer.poll(cx)) else {
                            continue;
                        };
                        return Poll::Ready(Err(Failure::timed_out(phase)));
                    }
                }
            }
        })
        .await
    }

    /// The next bytes for the client, in whole events: all that are there, up to a size.
    ///
    /// # Errors
    /// If the stream is cut; nothing comes after it.
    pub fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        watch: &mut dyn Watch,
    ) -> Poll<Option<Result<Bytes, Failure>>> {
        let mut waits = false;
        while !waits && self.state != State::Ended && self.ready.len() < MAX_PIECE {
            match self.poll_upstream(cx, watch) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failure)) => {
                    // after the end marker, nothing is missing
                    self.broken = Some(failure).filter(|_| self.state != State::Done);
                    self.state = State::Ended;
                }
                Poll::Pending => waits = true,
            }
        }
        if let Some(bytes) = self.ready.take() {
            self.timer.sent();
            return Poll::Ready(Some(Ok(bytes)));
        }
        if self.state == State::Ended {
            return Poll::Ready(self.broken.take().map(Err));
        }
        self.poll_timer(cx)
    }

    /// Has everything been handed on, the end marker too?
    #[must_use]
    pub fn is_done(&self) -> bool {
        let over = matches!(self.state, State::Done | State::Ended);
        over && self.ready.is_empty() && self.broken.is_none()
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        loop {
            match ready!(self.timer.poll(cx)) {
                Due::Over(phase) => {
                    let done = self.state == State::Done;
                    self.state = State::Ended;
                    return Poll::Ready((!done).then(|| Err(Failure::timed_out(phase))));
                }
                Due::KeepAlive if self.state != State::Done => {
                    return Poll::Ready(Some(Ok(sse::comment("keep-alive"))));
                }
                Due::KeepAlive => {}
            }
        }
    }

    /// Takes one frame from the backend; `Ready(Ok)` means that something changed.
    fn poll_upstream(
        &mut self,
        cx: &mut Context<'_>,
        watch: &mut dyn Watch,
    ) -> Poll<Result<(), Failure>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else {
                    return Poll::Ready(Ok(()));
                };
                Poll::Ready(self.take(&data, watch))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Err(cut("the transfer broke off"))),
            Poll::Ready(None) => Poll::Ready(self.finish(watch)),
        }
    }

    fn take(&mut self, frame: &Bytes, watch: &mut dyn Watch) -> Result<(), Failure> {
        if self.state == State::Done {
            return Ok(());
        }
        let block = self
            .splitter
            .push(frame)
            .map_err(|_| nonsense("an event is too long"))?;
        self.events(&block, watch)
    }

    /// Looks at whole events and queues what leaves of them.
    fn events(&mut self, block: &Block, watch: &mut dyn Watch) -> Result<(), Failure> {
        let mut run = 0..0;
        for event in &block.events {
            let verdict = match event.data(&block.bytes) {
                // comments and other fields pass, and are no sign of life
                None => Verdict::Pass,
                Some(data) => self.event(data, watch)?,
            };
            match verdict {
                Verdict::Pass if run.end == event.raw.start => run.end = event.raw.end,
                Verdict::Pass => {
                    self.queue(&block.bytes, run);
                    run = event.raw.clone();
                }
                Verdict::Withhold => {}
                Verdict::Replace(bytes) => {
                    self.queue(&block.bytes, std::mem::take(&mut run));
                    self.ready.push(bytes);
                }
            }
            if self.state == State::Done {
                break;
            }
        }
        self.queue(&block.bytes, run);
        Ok(())
    }

    fn queue(&mut self, block: &Bytes, run: std::ops::Range<usize>) {
        if !run.is_empty() {
            self.ready.push(block.slice(run));
        }
    }

    /// Looks at the data of one event.
    fn event(&mut self, data: &[u8], watch: &mut dyn Watch) -> Result<Verdict, Failure> {
        self.timer.heard();
        if data.trim_ascii() == sse::DONE {
            if self.state == State::Fresh {
                return Err(nonsense("the stream ended before it began"));
            }
            self.state = State::Done;
            self.timer.ends_at(Instant::now() + END_WAIT);
            // clients look for exactly this
            return Ok(match data {
                sse::DONE => Verdict::Pass,
                _ => Verdict::Replace(Bytes::from_static(sse::DONE_EVENT)),
            });
        }
        if self.events == Events::Typed {
            return self.typed(data, watch);
        }
        let chunk = self.chunks.read(data);
        let chunk = chunk.ok_or(nonsense("an event is not a JSON object"))?;
        if chunk.error.is_some() {
            let body = error::read(data).unwrap_or_default();
            return Err(Failure::from_error(body, self.needs));
        }
        if self.state == State::Fresh {
            self.state = State::Flowing;
        }
        self.seen |= chunk.choices.seen;
        self.finished |= chunk.choices.finished;
        watch.choices(&chunk.choices, data);
        let cost = match chunk.usage {
            Some(usage) if usage != "null" => {
                let served = Served {
                    tier: chunk.service_tier,
                    model: chunk.model,
                };
                Some(watch.usage(usage, served))
            }
            _ => None,
        };
        let wants_usage = self.events == Events::Chunks { wants_usage: true };
        Ok(edit::edit(data, &chunk, wants_usage, cost.as_deref()))
    }

    /// Looks at an event that names its type. It always passes, with its usage, as that is part
    /// of it and not an option.
    fn typed(&mut self, data: &[u8], watch: &mut dyn Watch) -> Result<Verdict, Failure> {
        let event = typed::read(data).ok_or(nonsense("an event is not a JSON object"))?;
        if event.error {
            let body = error::read(data).unwrap_or_default();
            return Err(Failure::from_error(body, self.needs));
        }
        if self.state == State::Fresh {
            self.state = State::Flowing;
        }
        self.seen = 1;
        self.finished |= u128::from(event.ends);
        watch.output(event.output_bytes);
        if let Some(usage) = event.usage {
            watch.usage(usage, Served::default());
        }
        Ok(Verdict::Pass)
    }

    /// The transfer has ended properly.
    fn finish(&mut self, watch: &mut dyn Watch) -> Result<(), Failure> {
        // some servers leave out the blank line after the last event
        if self.state != State::Done && !self.splitter.unfinished().trim_ascii().is_empty() {
            self.take(&Bytes::from_static(b"\n\n"), watch)?;
        }
        match self.state {
            State::Done | State::Ended => {}
            State::Fresh => return Err(nonsense("the stream ended before it began")),
            State::Flowing if self.seen != 0 && self.seen == self.finished => {
                // streams of typed events have no end marker
                if self.events != Events::Typed {
                    self.ready.push(Bytes::from_static(sse::DONE_EVENT));
                }
            }
            State::Flowing => return Err(cut("the stream ended without a finish reason")),
        }
        self.state = State::Ended;
        Ok(())
    }
}

fn cut(detail: &'static str) -> Failure {
    Failure::without_answer(Class::Dropped, detail)
}

fn nonsense(detail: &'static str) -> Failure {
    Failure::without_answer(Class::Nonsense, detail)
}
