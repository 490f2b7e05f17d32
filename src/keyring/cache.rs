//! What is in memory of stored keys: those that called, and digests that nobody has.
//!
//! Both are bounded. A change of keys that comes between a look-up and its being put here would be
//! lost, so each change begins another moment, and what was read in an earlier one is not taken.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

use jiff::Timestamp;

use crate::{
    authenticate::Principal,
    store::keys::{Former, Stored},
};

/// Digests of nobody that are remembered: 3 MB.
const MOST_WRONG: usize = 50_000;
/// A part of the keys that makes room when there is none: one in so many.
const PART: usize = 10;

/// Keys in memory.
#[derive(Debug)]
pub(super) struct Cache {
    maps: RwLock<Maps>,
    most: usize,
}

#[derive(Debug, Default)]
struct Maps {
    /// A key that was rotated stands here by both digests.
    by_digest: HashMap<[u8; 32], Arc<Key>>,
    by_id: HashMap<Arc<str>, Arc<Key>>,
    nobodies: HashSet<[u8; 32]>,
    moment: u64,
}

/// What is known of a digest.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Key(Arc<Key>),
    Nobody,
}

/// A stored key, as far as requests need it.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) principal: Arc<Principal>,
    pub(super) former: Option<Former>,
    pub(super) revoked: bool,
    id: Arc<str>,
    digest: [u8; 32],
    /// When it last called, in milliseconds since 1970.
    used_ms: AtomicI64,
}

/// Between which changes something was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(u64);

/// What became of something that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Put {
    Kept,
    /// Kept, and others were forgotten.
    Instead(HashSet<Arc<str>>),
    /// Something has changed since it was read.
    Stale,
}

impl Found {
    pub(super) fn of(stored: &Stored) -> Self {
        Self::Key(Arc::new(Key::of(stored, 0)))
    }
}

impl Key {
    fn of(stored: &Stored, used_ms: i64) -> Self {
        Self {
            principal: Arc::new(stored.principal()),
            former: stored.former,
            revoked: stored.revoked.is_some(),
            id: Arc::clone(&stored.id),
            digest: stored.digest,
            used_ms: AtomicI64::new(used_ms),
        }
    }

    fn digests(&self) -> impl Iterator<Item = [u8; 32]> {
        let former = self.former.map(|former| former.digest);
        std::iter::once(self.digest).chain(former)
    }
}

impl Cache {
    /// An empty one that holds so many keys.
    pub(super) fn of(most: usize) -> Self {
        Self {
            maps: RwLock::default(),
            most,
        }
    }

    /// What is known of a digest; `None`: nothing.
    pub(super) fn find(&self, digest: &[u8; 32], now: Timestamp) -> Option<Found> {
        let maps = self.read();
        if let Some(key) = maps.by_digest.get(digest) {
            key.used_ms.store(now.as_millisecond(), Relaxed);
            return Some(Found::Key(Arc::clone(key)));
        }
        maps.nobodies.contains(digest).then_some(Found::Nobody)
    }

    /// The moment; asked before something is read.
    pub(super) fn moment(&self) -> Moment {
        Moment(self.read().moment)
    }

    /// Keeps a key that was read in that moment.
    pub(super) fn put(&self, stored: &Stored, now: Timestamp, moment: Moment) -> Put {
        let mut maps = self.write();
        if maps.moment != moment.0 {
            return Put::Stale;
        }
        let is_full = maps.by_id.len() >= self.most && !maps.by_id.contains_key(&stored.id);
        let forgotten = is_full.then(|| maps.make_room());
        maps.put(Key::of(stored, now.as_millisecond()));
        forgotten.map_or(Put::Kept, Put::Instead)
    }

    /// Keeps that nobody had a digest in that moment.
    pub(super) fn put_nobody(&self, digest: &[u8; 32], moment: Moment) -> Put {
        let mut maps = self.write();
        if maps.moment != moment.0 {
            return Put::Stale;
        }
        if maps.nobodies.len() >= MOST_WRONG {
            maps.nobodies.clear();
        }
        maps.nobodies.insert(*digest);
        Put::Kept
    }

    /// Puts changes into effect. What is not in memory is only made to be read again.
    pub(super) fn change(&self, changed: &[Stored]) {
        let mut maps = self.write();
        maps.moment += 1;
        for stored in changed {
            maps.nobodies.remove(&stored.digest);
            let Some(known) = maps.remove(&stored.id) else {
                continue;
            };
            maps.put(Key::of(stored, known.used_ms.load(Relaxed)));
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        let mut maps = self.write();
        *maps = Maps {
            moment: maps.moment + 1,
            ..Maps::default()
        };
    }

    fn read(&self) -> RwLockReadGuard<'_, Maps> {
        self.maps.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Maps> {
        self.maps.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Maps {
    fn put(&mut self, key: Key) {
        let key = Arc::new(key);
        for digest in key.digests() {
            self.by_digest.insert(digest, Arc::clone(&key));
        }
        self.by_id.insert(Arc::clone(&key.id), key);
    }

    fn remove(&mut self, id: &str) -> Option<Arc<Key>> {
        let key = self.by_id.remove(id)?;
        for digest in key.digests() {
            self.by_digest.remove(&digest);
        }
        Some(key)
    }

    /// Forgets a part of the keys: those that have not called for longest.
    fn make_room(&mut self) -> HashSet<Arc<str>> {
        let used = |key: &Arc<Key>| key.used_ms.load(Relaxed);
        let mut all: Vec<(i64, Arc<str>)> = self
            .by_id
            .values()
            .map(|key| (used(key), Arc::clone(&key.id)))
            .collect();
        let part = all.len().div_ceil(PART);
        if part < all.len() {
            all.select_nth_unstable(part);
        }
        let forgotten: HashSet<_> = all.into_iter().take(part).map(|(_, id)| id).collect();
        for id in &forgotten {
            self.remove(id);
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keys::Terms;

    fn stored(n: u16) -> Stored {
        let mut digest = [0; 32];
        digest[..2].copy_from_slice(&n.to_be_bytes());
        Stored {
            id: format!("k{n}").into(),
            digest,
            former: None,
            terms: Terms::default(),
            created: Timestamp::UNIX_EPOCH,
            revoked: None,
            revision: i64::from(n),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn is_known(cache: &Cache, n: u16, second: i64) -> bool {
        let found = cache.find(&stored(n).digest, at(second));
        matches!(found, Some(Found::Key(_)))
    }

    #[test]
    fn what_was_read_before_a_change_is_not_taken_after_it() {
        let cache = Cache::of(10);
        let before = cache.moment();
        cache.change(&[]);
        assert_eq!(cache.put(&stored(1), at(0), before), Put::Stale);
        assert_eq!(cache.put_nobody(&[1; 32], before), Put::Stale);
        let now = cache.moment();
        assert_eq!(cache.put(&stored(1), at(0), now), Put::Kept);
        cache.clear();
        assert_eq!(cache.put(&stored(1), at(0), now), Put::Stale);
        assert!(!is_known(&cache, 1, 0));
    }

    #[test]
    fn a_full_cache_forgets_those_that_have_not_called_for_longest() {
        let cache = Cache::of(20);
        for n in 0..20 {
            cache.put(&stored(n), at(n.into()), cache.moment());
        }
        // the oldest of all calls again
        assert!(is_known(&cache, 0, 99));
        let put = cache.put(&stored(20), at(20), cache.moment());
        assert_eq!(put, Put::Instead(HashSet::from(["k1".into(), "k2".into()])));
        let known = (0..21).filter(|n| is_known(&cache, *n, 100));
        let expected = [0].into_iter().chain(3..21);
        assert_eq!(known.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    #[test]
    fn digests_of_nobody_are_bounded() {
        let cache = Cache::of(1);
        for n in 0..=MOST_WRONG {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&(n as u64).to_be_bytes());
            cache.put_nobody(&digest, cache.moment());
        }
        assert_eq!(cache.read().nobodies.len(), 1);
    }

    #[test]
    fn a_rotated_key_is_forgotten_with_both_of_its_digests() {
        let cache = Cache::of(1);
        let mut rotated = stored(1);
        rotated.former = Some(Former {
            digest: [9; 32],
            until: at(60),
        });
        cache.put(&rotated, at(0), cache.moment());
        assert!(cache.find(&[9; 32], at(0)).is_some());
        cache.put(&stored(2), at(1), cache.moment());
        assert_eq!(cache.read().by_digest.len(), 1);
    }
}
