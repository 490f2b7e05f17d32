//! How many may be inside at once.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// A gate that lets in so many at once.
#[derive(Debug)]
pub struct Gate {
    limit: u32,
    inside: Arc<AtomicU32>,
}

/// One who is inside, until it is dropped.
#[derive(Debug)]
pub struct Pass(Arc<AtomicU32>);

impl Gate {
    /// A gate for `limit` at once.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            inside: Arc::default(),
        }
    }

    /// Goes in, if there is room.
    #[must_use]
    pub fn enter(&self) -> Option<Pass> {
        let more = |inside: u32| (inside < self.limit).then_some(inside + 1);
        self.inside.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Pass(Arc::clone(&self.inside)))
    }

    /// How many may be inside.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// How many are inside.
    #[must_use]
    pub fn inside(&self) -> u32 {
        self.inside.load(Relaxed)
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_are_inside_and_who_leaves_makes_room() {
        let gate = Gate::new(2);
        let first = gate.enter().unwrap();
        let second = gate.enter().unwrap();
        assert!(gate.enter().is_none());
        drop(first);
        let third = gate.enter().unwrap();
        assert_eq!(gate.inside(), 2);
        drop((second, third));
        assert_eq!(gate.inside(), 0);
    }

    #[test]
    fn many_threads_never_get_in_together_beyond_the_limit() {
        let gate = Gate::new(3);
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        if let Some(pass) = gate.enter() {
                            most.fetch_max(gate.inside(), Relaxed);
                            drop(pass);
                        }
                    }
                });
            }
        });
        assert!(most.load(Relaxed) <= 3);
        assert_eq!(gate.inside(), 0);
    }
}
