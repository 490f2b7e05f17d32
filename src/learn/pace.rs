//! How fast a deployment of one's own is at which load, learned from the calls that it answers.
//!
//! Loads are told apart by powers of two of the calls under way at once. For each there are moving
//! sums of tokens and of time, in atomics: no clock, no lock, no floats, and a fixed size. From
//! them follow the speeds that it delivers, and what one more call adds. Two calls that end at the
//! same moment may lose one of the two observations, as elsewhere in what is learned.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use crate::catalog::{SelfHosted, hosted::Share};

/// Loads that are told apart: 1, 2 to 3, 4 to 7, … and 512 or more calls at once.
const LOADS: usize = 10;
/// Calls of a load that must have been seen before anything is concluded from them.
const ENOUGH: u32 = 8;
/// Calls that a moving sum remembers, as a shift.
const MEMORY: u32 = 4;
/// Tokens are summed up in 1/1,024, so that the sums of short answers keep their precision.
const FINE: u64 = 1 << 10;
/// The largest figures that are believed of one call, in tokens and in microseconds: a day.
const MOST_TOKENS: u64 = 1 << 30;
const MOST_US: u64 = 86_400_000_000;
/// A deployment that seems to be more than so many times faster than configured is not believed:
/// the answer did not come from its GPUs.
const FASTEST: u128 = 64;
/// One, as a stretch in fixed point.
const ONE: u128 = 1 << 20;

/// What is known of one deployment; shared by all requests.
#[derive(Debug, Default)]
pub struct Pace {
    under_way: AtomicU32,
    loads: [Load; LOADS],
}

/// Moving sums over the calls of one load.
#[derive(Debug, Default)]
struct Load {
    seen: AtomicU32,
    /// Tokens in 1/1,024.
    prompt: AtomicU64,
    output: AtomicU64,
    /// Microseconds until the first token, and from there to the end.
    first: AtomicU64,
    rest: AtomicU64,
}

/// A call that is under way; it is over when this is dropped.
#[derive(Debug)]
pub struct Seat {
    pace: Arc<Pace>,
    /// Calls under way when it began, with itself.
    at_once: u32,
}

/// A call that was answered to its end.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// Tokens of the prompt that did not come from a cache.
    pub prompt: u64,
    pub output: u64,
    /// Microseconds from its beginning to the first token; `None`: the answer came as a whole.
    pub first_us: Option<u64>,
    /// Microseconds from its beginning to its end.
    pub whole_us: u64,
}

/// Tokens a second of a whole deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speeds {
    pub prefill_tps: u64,
    pub decode_tps: u64,
}

impl Pace {
    /// A call begins.
    #[must_use]
    pub fn join(self: &Arc<Self>) -> Seat {
        Seat {
            at_once: self.under_way.fetch_add(1, Relaxed).saturating_add(1),
            pace: Arc::clone(self),
        }
    }

    /// Calls that are under way.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        self.under_way.load(Relaxed)
    }

    /// What part of its cost one more call adds now; `None`: too little was seen of this load.
    ///
    /// On an idle deployment it delays nobody: nothing. Otherwise it is by how much calls take
    /// longer now than they took at half the load: where they take as long, there still is room and
    /// it adds nothing; where they take twice as long, the deployment delivers no more than at half
    /// the load, and what one more call takes is missing to the others. A load that is new counts
    /// like half of it, or else it would never be tried where others are cheap.
    #[must_use]
    pub fn share(&self, hardware: &SelfHosted) -> Option<Share> {
        let place = place(self.under_way().saturating_add(1));
        let half = || self.share_at(place.checked_sub(1)?, hardware);
        self.share_at(place, hardware).or_else(half)
    }

    /// The same at one of the loads that are told apart, if it and half of it are known.
    fn share_at(&self, place: usize, hardware: &SelfHosted) -> Option<Share> {
        let now = self.loads.get(place)?.stretch(hardware)?;
        let Some(half) = place.checked_sub(1).and_then(|half| self.loads.get(half)) else {
            return Some(Share::of(0));
        };
        let half = half.stretch(hardware)?;
        let ratio = now.saturating_mul(10_000) / half.max(1);
        let longer = ratio.saturating_sub(10_000);
        Some(Share::of(u64::try_from(longer).unwrap_or(u64::MAX)))
    }

    /// What it delivers at the present load, or alone where it is idle; `None`: too little was
    /// seen of that load.
    #[must_use]
    pub fn speeds(&self) -> Option<Speeds> {
        let at_once = self.under_way().max(1);
        let load = self.loads.get(place(at_once)).filter(|load| load.known())?;
        let a_second = |tokens: &AtomicU64, us: &AtomicU64| {
            let tokens = u128::from(tokens.load(Relaxed)) * u128::from(at_once) * 1_000_000;
            let per_second = tokens / u128::from(us.load(Relaxed).max(1)) / u128::from(FINE);
            u64::try_from(per_second).unwrap_or(u64::MAX)
        };
        Some(Speeds {
            prefill_tps: a_second(&load.prompt, &load.first),
            decode_tps: a_second(&load.output, &load.rest),
        })
    }
}

impl Seat {
    /// Learns from the call, unless its figures can't be true.
    pub fn learn(&self, done: &Done, hardware: &SelfHosted) {
        let now = self.pace.under_way().max(1);
        let at_once = self.at_once.saturating_add(now).div_ceil(2);
        if let Some(load) = self.pace.loads.get(place(at_once)) {
            load.add(done, at_once, hardware);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pace.under_way.fetch_sub(1, Relaxed);
    }
}

impl Load {
    fn known(&self) -> bool {
        self.seen.load(Relaxed) >= ENOUGH
    }

    fn add(&self, done: &Done, at_once: u32, hardware: &SelfHosted) {
        let believed = |tokens| (0..MOST_TOKENS).contains(&tokens);
        if !believed(done.prompt) || !believed(done.output) || done.whole_us > MOST_US {
            return;
        }
        let [prefill, decode] = [
            (done.prompt, hardware.prefill_tps),
            (done.output, hardware.decode_tps),
        ]
        .map(|(tokens, tps)| u128::from(tokens) * 1_000_000 / u128::from(tps.max(1)));
        let (busy, whole) = (prefill + decode, u128::from(done.whole_us));
        if busy == 0 || busy * u128::from(at_once) > whole * FASTEST {
            return;
        }
        // nobody can see into an answer that comes as a whole: its time is split as configured
        let split = || u64::try_from(whole * prefill / busy).unwrap_or(done.whole_us);
        let first = done.first_us.unwrap_or_else(split).min(done.whole_us);
        for (sum, value) in [
            (&self.prompt, done.prompt * FINE),
            (&self.output, done.output * FINE),
            (&self.first, first),
            (&self.rest, done.whole_us - first),
        ] {
            let old = sum.load(Relaxed);
            sum.store((old - (old >> MEMORY)).saturating_add(value), Relaxed);
        }
        let seen = self.seen.load(Relaxed);
        self.seen.store(seen.saturating_add(1), Relaxed);
    }

    /// How many times longer calls take than they keep the hardware busy at the configured speeds,
    /// in fixed point; `None`: too little was seen.
    fn stretch(&self, hardware: &SelfHosted) -> Option<u128> {
        if !self.known() {
            return None;
        }
        let sum = |cell: &AtomicU64| u128::from(cell.load(Relaxed));
        let busy = |tokens, tps: u64| sum(tokens) * 1_000_000 / u128::from(tps.max(1));
        let busy =
            busy(&self.prompt, hardware.prefill_tps) + busy(&self.output, hardware.decode_tps);
        let taken = (sum(&self.first) + sum(&self.rest)) * u128::from(FINE);
        (busy > 0).then(|| taken * ONE / busy)
    }
}

/// Where a load stands among those that are told apart.
fn place(at_once: u32) -> usize {
    (at_once.max(1).ilog2() as usize).min(LOADS - 1)
}

#[cfg(test)]
mod tests;
