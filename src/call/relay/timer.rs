//! One timer for the several limits of a stream.
//!
//! Events only have the time noted, once for all that came together; the timer itself is set again
//! when it fires early. So a fast stream touches the timer wheel once in a while, not once an event.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::time::{Instant, Sleep};

use super::{Patience, Phase};

/// What a timer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// A deadline has passed.
    Over(Phase),
    /// The client has heard nothing for too long.
    KeepAlive,
}

/// Watches the limits of one stream.
#[derive(Debug)]
pub(super) struct Timer {
    patience: Patience,
    /// No event has come yet.
    fresh: bool,
    /// The backend was heard, and the clock was not asked yet: once for all events of a moment.
    just_heard: bool,
    /// When the backend was last heard.
    heard: Instant,
    /// When the client last got something.
    sent: Instant,
    /// Never set later than the next limit.
    sleep: Pin<Box<Sleep>>,
    /// Whom it wakes as it is set now.
    wakes: Option<Waker>,
}

impl Timer {
    pub(super) fn new(patience: Patience) -> Self {
        let now = Instant::now();
        let first = patience.first_event.min(patience.whole);
        let sleep = Box::pin(tokio::time::sleep_until(first));
        Self {
            patience,
            fresh: true,
            just_heard: false,
            heard: now,
            sent: now,
            sleep,
            wakes: None,
        }
    }

    /// The backend sent an event with data.
    pub(super) fn heard(&mut self) {
        self.just_heard = true;
    }

    /// The client gets bytes.
    pub(super) fn sent(&mut self) {
        let now = Instant::now();
        self.note(now);
        self.sent = now;
    }

    /// Notes when the backend was heard.
    fn note(&mut self, now: Instant) {
        if !std::mem::take(&mut self.just_heard) {
            return;
        }
        self.heard = now;
        if std::mem::take(&mut self.fresh) {
            self.sent = now;
            self.set();
        }
    }

    /// Nothing is waited for after that moment.
    pub(super) fn ends_at(&mut self, moment: Instant) {
        self.patience.whole = self.patience.whole.min(moment);
        self.set();
    }

    /// Waits for what is due next.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        if self.just_heard {
            self.note(Instant::now());
        }
        let known = self.wakes.as_ref();
        if known.is_some_and(|waker| waker.will_wake(cx.waker())) && !self.sleep.is_elapsed() {
            return Poll::Pending;
        }
        loop {
            if self.sleep.as_mut().poll(cx).is_pending() {
                self.wakes = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let now = Instant::now();
            let (limit, phase) = self.silence();
            let due = if now >= self.patience.whole {
                Some(Due::Over(Phase::Whole))
            } else if now >= limit {
                Some(Due::Over(phase))
            } else if self.keep_alive_at().is_some_and(|at| now >= at) {
                self.sent = now;
                Some(Due::KeepAlive)
            } else {
                None
            };
            if let Some(Due::Over(phase)) = due {
                return Poll::Ready(Due::Over(phase));
            }
            self.set();
            if let Some(due) = due {
                return Poll::Ready(due);
            }
        }
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
        self.wakes = None;
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn timer(begun: Instant) -> Timer {
        Timer::new(Patience {
            first_event: begun + seconds(20),
            idle: seconds(30),
            keep_alive: seconds(12),
            whole: begun + seconds(100),
        })
    }

    async fn due(timer: &mut Timer) -> Due {
        poll_fn(|cx| timer.poll(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_event_is_waited_for_as_long_as_it_may_take() {
        let begun = Instant::now();
        assert_eq!(due(&mut timer(begun)).await, Due::Over(Phase::FirstByte));
        assert_eq!(begun.elapsed(), seconds(20));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_after_the_last_of_many_events_is_measured_from_that_one() {
        let begun = Instant::now();
        let mut timer = timer(begun);
        for _ in 0..100 {
            timer.heard();
            timer.sent();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let last = begun + Duration::from_millis(4950);
        for number in [1, 2] {
            assert_eq!(due(&mut timer).await, Due::KeepAlive);
            assert_eq!(Instant::now() - last, seconds(12 * number));
        }
        assert_eq!(due(&mut timer).await, Due::Over(Phase::Idle));
        assert_eq!(Instant::now() - last, seconds(30));
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_of_which_nothing_leaves_is_a_sign_of_life() {
        let begun = Instant::now();
        let mut timer = timer(begun);
        timer.heard();
        timer.sent();
        assert_eq!(due(&mut timer).await, Due::KeepAlive);
        timer.heard();
        assert_eq!(due(&mut timer).await, Due::KeepAlive);
        assert_eq!(due(&mut timer).await, Due::KeepAlive);
        assert_eq!(due(&mut timer).await, Due::Over(Phase::Idle));
        assert_eq!(begun.elapsed(), seconds(42));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_lasts_longer_than_the_whole() {
        let begun = Instant::now();
        let mut timer = timer(begun);
        timer.heard();
        timer.sent();
        timer.ends_at(begun + seconds(5));
        assert_eq!(due(&mut timer).await, Due::Over(Phase::Whole));
        assert_eq!(begun.elapsed(), seconds(5));
    }
}
