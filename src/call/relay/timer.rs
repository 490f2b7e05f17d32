//! One timer for the several limits of a stream.
//!
//! Events only note the time; the timer itself is set again when it fires early. So a fast stream
//! touches the timer wheel once in a while, not once an event.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep};

use super::{Patience, Phase};

/// Watches the limits of one stream.
#[derive(Debug)]
pub(super) struct Timer {
    patience: Patience,
    /// No event has come yet.
    fresh: bool,
    /// When the backend was last heard.
    heard: Instant,
    /// When the client last got something.
    sent: Instant,
    /// Never set later than the next limit.
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    pub(super) fn new(patience: Patience) -> Self {
        let now = Instant::now();
        let first = patience.first_event.min(patience.whole);
        let sleep = Box::pin(tokio::time::sleep_until(first));
        Self {
            patience,
            fresh: true,
            heard: now,
            sent: now,
            sleep,
        }
    }

    /// The backend sent an event with data.
    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
        if self.fresh {
            self.fresh = false;
            self.sent = self.heard;
            self.set();
        }
    }

    /// The client gets bytes.
    pub(super) fn sent(&mut self) {
        self.sent = Instant::now();
    }

    /// Nothing is waited for after that moment.
    pub(super) fn ends_at(&mut self, moment: Instant) {
        self.patience.whole = self.patience.whole.min(moment);
        self.set();
    }

    /// Has a deadline passed?
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if now >= self.patience.whole {
                return Poll::Ready(Phase::Whole);
            }
            let (limit, phase) = self.silence();
            if now >= limit {
                return Poll::Ready(phase);
            }
            if self.keep_alive_at().is_some_and(|at| now >= at) {
                // `poll_keep_alive`, which comes next, sets the timer again
                break;
            }
            self.set();
        }
        Poll::Pending
    }

    /// Has the client heard nothing for too long? To be asked after every `poll_deadline`.
    pub(super) fn poll_keep_alive(&mut self) -> Poll<()> {
        let now = Instant::now();
        if self.keep_alive_at().is_none_or(|at| now < at) {
            return Poll::Pending;
        }
        self.sent = now;
        self.set();
        Poll::Ready(())
    }

    fn silence(&self) -> (Instant, Phase) {
        if self.fresh {
            (self.patience.first_event, Phase::FirstByte)
        } else {
            (self.heard + self.patience.idle, Phase::Idle)
        }
    }

    /// Before the first event, whoever waits for it keeps the client company.
    fn keep_alive_at(&self) -> Option<Instant> {
        let on = !self.fresh && !self.patience.keep_alive.is_zero();
        on.then(|| self.sent + self.patience.keep_alive)
    }

    fn set(&mut self) {
        let limits = [
            Some(self.patience.whole),
            Some(self.silence().0),
            self.keep_alive_at(),
        ];
        let next = limits
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.patience.whole);
        self.sleep.as_mut().reset(next);
    }
}
