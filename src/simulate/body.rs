//! Response bodies: whole ones, and ones that follow a list of steps with pauses and breaks.
//!
//! A dropped body means that the client has gone; its `Visit` then says so.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::account::Visit;
use super::answer::Counts;
use super::events::Events;

/// From the last flush to an RST. The kernel may hold small segments back until earlier ones are
/// acknowledged (40 ms where the peer delays that), and an RST throws away what it holds.
const RESET_GRACE: Duration = Duration::from_millis(50);

/// What a body does next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Silence.
    Wait(Duration),
    /// Bytes that are no output: comments, line ends, `[DONE]`.
    Send(Bytes),
    /// A piece of the answer, with the output tokens in it and how many of them are reasoning.
    Output(Bytes, u64, u64),
    /// From here the answer counts as failed, under this name.
    Fail(&'static str),
    /// Goes on when everything so far has gone to the kernel.
    Flush,
    /// Breaks the connection with an RST.
    Reset,
    /// Silence until the client goes.
    Hang,
}

/// Breaks the connection once all that was sent has been delivered.
pub(crate) fn cut() -> [Step; 3] {
    [Step::Flush, Step::Wait(RESET_GRACE), Step::Reset]
}

/// The body of every answer of the simulator.
#[derive(Debug)]
pub(crate) enum SimBody {
    /// All at once.
    Whole(Option<Bytes>),
    /// Step by step.
    Paced(Box<Paced>),
}

/// A body in steps.
#[derive(Debug)]
pub(crate) struct Paced {
    visit: Visit,
    steps: VecDeque<Step>,
    /// Where further steps come from.
    events: Option<Events>,
    /// What the first output costs.
    prompt: Option<Counts>,
    sleep: Option<Pin<Box<Sleep>>>,
    flushing: bool,
    failed: bool,
}

impl SimBody {
    /// A body of these bytes.
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    /// A body that follows `steps` and then those of `events`.
    pub(crate) fn paced(
        mut visit: Visit,
        prompt: Counts,
        steps: VecDeque<Step>,
        events: Option<Events>,
    ) -> Self {
        visit.head_sent();
        let prompt = Some(prompt);
        let (sleep, flushing, failed) = (None, false, false);
        Self::Paced(Box::new(Paced {
            visit,
            steps,
            events,
            prompt,
            sleep,
            flushing,
            failed,
        }))
    }
}

impl Paced {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, io::Error>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            let Some(step) = self.next_step() else {
                self.finish();
                return Poll::Ready(None);
            };
            match step {
                Step::Wait(pause) => self.sleep = Some(Box::pin(tokio::time::sleep(pause))),
                Step::Send(bytes) => return Poll::Ready(Some(Ok(bytes))),
                Step::Output(bytes, completion, reasoning) => {
                    if let Some(usage) = self.prompt.take() {
                        self.visit.bill_prompt(usage);
                    }
                    self.visit.bill_output(completion, reasoning);
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Step::Fail(kind) => {
                    self.failed = true;
                    self.visit.fail(kind);
                }
                Step::Flush => {
                    if !self.flushing {
                        self.visit.line.expect_flush();
                        self.flushing = true;
                    }
                    if !self.visit.line.flushed() {
                        // the socket wakes this task when it has been flushed
                        self.steps.push_front(Step::Flush);
                        return Poll::Pending;
                    }
                    self.flushing = false;
                }
                Step::Reset => {
                    self.visit.end();
                    self.visit.line.reset();
                    return Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())));
                }
                Step::Hang => {
                    self.steps.push_front(Step::Hang);
                    return Poll::Pending;
                }
            }
        }
    }

    fn next_step(&mut self) -> Option<Step> {
        if self.steps.is_empty()
            && let Some(events) = &mut self.events
        {
            events.refill(&mut self.steps);
        }
        self.steps.pop_front()
    }

    fn finish(&mut self) {
        if self.failed {
            self.visit.end();
        } else {
            self.visit.succeed();
        }
    }
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Paced(paced) => paced
                .poll_next(cx)
                .map(|next| next.map(|r| r.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(Some(bytes)) => SizeHint::with_exact(bytes.len() as u64),
            Self::Whole(None) => SizeHint::with_exact(0),
            Self::Paced(_) => SizeHint::default(),
        }
    }
}
