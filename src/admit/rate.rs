//! Requests a minute, by governor's GCRA with a burst of the whole limit.
//!
//! governor itself gives nothing back; with its state in our own cell, taking one request back is
//! exact: GCRA keeps a theoretical arrival time, and every admission moves it by one interval.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock, Reference},
    nanos::Nanos,
    state::{NotKeyed, StateStore},
};

/// A limit of requests a minute.
#[derive(Debug)]
pub struct RequestRate {
    limit: NonZeroU32,
    limiter: RateLimiter<NotKeyed, Cell, DefaultClock>,
    cell: Cell,
    clock: DefaultClock,
    start: <DefaultClock as Clock>::Instant,
}

/// How full a limit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    pub limit: u64,
    pub remaining: u64,
    /// Milliseconds until nothing of it is used any more.
    pub reset_ms: u64,
}

/// The theoretical arrival time, in nanoseconds since the limiter began.
#[derive(Debug, Clone, Default)]
struct Cell(Arc<AtomicU64>);

impl StateStore for Cell {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut before = self.0.load(Ordering::Acquire);
        loop {
            let known = (before > 0).then(|| Nanos::new(before));
            let (outcome, after) = decide(known)?;
            let swapped = self.0.compare_exchange_weak(
                before,
                after.into(),
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            match swapped {
                Ok(_) => return Ok(outcome),
                Err(now) => before = now,
            }
        }
    }
}

impl RequestRate {
    /// `limit` requests a minute, all of which may come at once.
    #[must_use]
    pub fn new(limit: NonZeroU32) -> Self {
        let (cell, clock) = (Cell::default(), DefaultClock::default());
        let start = clock.now();
        let limiter = RateLimiter::new(Quota::per_minute(limit), cell.clone(), clock.clone());
        Self {
            limit,
            limiter,
            cell,
            clock,
            start,
        }
    }

    /// Takes one request.
    ///
    /// # Errors
    /// If the limit is reached: how long until the next one may come.
    pub fn take(&self) -> Result<(), Duration> {
        self.limiter
            .check()
            .map_err(|not_yet| not_yet.wait_time_from(self.clock.now()))
    }

    /// Gives a request back that was taken, as if it had never been.
    pub fn give_back(&self) {
        let less = |arrival: u64| Some(arrival.saturating_sub(self.interval()));
        let _ = self
            .cell
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    /// How full it is.
    #[must_use]
    pub fn level(&self) -> Level {
        let now = self.clock.now().duration_since(self.start).as_u64();
        let ahead = self.cell.0.load(Ordering::Acquire).saturating_sub(now);
        let limit = u64::from(self.limit.get());
        let used = ahead.div_ceil(self.interval().max(1)).min(limit);
        Level {
            limit,
            remaining: limit - used,
            reset_ms: ahead.div_ceil(1_000_000),
        }
    }

    /// Nanoseconds between two requests.
    fn interval(&self) -> u64 {
        60_000_000_000 / u64::from(self.limit.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(limit: u32) -> RequestRate {
        RequestRate::new(NonZeroU32::new(limit).unwrap())
    }

    #[test]
    fn of_three_hundred_at_once_exactly_the_limit_pass() {
        let rate = rate(50);
        let passed = (0..300).filter(|_| rate.take().is_ok()).count();
        assert_eq!(passed, 50);
        assert_eq!(rate.level().remaining, 0);
        let wait = rate.take().unwrap_err();
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_millis(1_200),
            "{wait:?}"
        );
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let rate = rate(10);
        (0..10).for_each(|_| rate.take().unwrap());
        assert!(rate.take().is_err());
        rate.give_back();
        rate.give_back();
        assert_eq!(rate.level().remaining, 2);
        assert_eq!((0..5).filter(|_| rate.take().is_ok()).count(), 2);
    }

    #[test]
    fn threads_together_take_no_more_than_the_limit() {
        let rate = rate(100);
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..100).filter(|_| rate.take().is_ok()).count()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(passed, 100);
    }
}
