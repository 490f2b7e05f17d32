//! Memory for request bodies.
//!
//! Bodies that are being received and held are counted together, and a
//! request that does not fit is turned away instead of growing the process without bound.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Bytes of request bodies that are held at once.
const MOST: u64 = 1 << 30;

/// The memory for request bodies.
#[derive(Debug, Clone, Default)]
pub struct Room {
    used: Arc<AtomicU64>,
}

/// A part of the room, given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Room {
    /// Takes nothing yet.
    #[must_use]
    pub fn enter(&self) -> Held {
        Held {
            used: Arc::clone(&self.used),
            bytes: 0,
        }
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }
}

impl Held {
    /// Takes so many bytes more; `false` if there is no room for them, and nothing is taken.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let before = self.used.fetch_add(bytes, Relaxed);
        if before.saturating_add(bytes) > MOST {
            self.used.fetch_sub(bytes, Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_and_no_more_than_all_is_given() {
        let room = Room::default();
        let mut first = room.enter();
        assert!(first.grow(MOST - 10));
        let mut second = room.enter();
        assert!(!second.grow(11));
        assert_eq!(room.used(), MOST - 10);
        assert!(second.grow(10));
        drop(first);
        assert_eq!(room.used(), 10);
        drop(second);
        assert_eq!(room.used(), 0);
    }
}
