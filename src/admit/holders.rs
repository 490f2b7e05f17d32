//! What keys have taken, by key: their limits and their money.
//!
//! It outlives configurations: a key that is still there after a reload goes on where it stood, and
//! a request that was begun before settles with the same purse. Given ids and what is stated of
//! them; it knows no secret and never removes what is in use.

use std::sync::Arc;

use dashmap::{DashMap, Entry};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    limits::{Limits, Whose},
    purse::Purse,
};
use crate::config::{self, Budget};

/// What one key is held to.
#[derive(Debug)]
pub struct Holder {
    pub key: Arc<str>,
    /// `None`: unlimited.
    pub limits: Option<Arc<Limits>>,
    pub purse: Arc<Purse>,
}

impl Holder {
    /// Are these its limits?
    fn is_held_to(&self, limits: config::Limits) -> bool {
        let stated = self.limits.as_ref().map(|limits| limits.stated);
        stated.unwrap_or_default() == limits
    }
}

/// What is stated of a key.
#[derive(Debug, Clone, Copy)]
pub struct Stated<'a> {
    pub key: &'a Arc<str>,
    pub limits: config::Limits,
    pub budget: Option<Budget>,
    /// Where the windows of the budget begin.
    pub zone: &'a TimeZone,
}

/// Every key that is held to something, or was seen.
#[derive(Debug, Default)]
pub struct Holders {
    by_key: DashMap<Arc<str>, Arc<Holder>>,
}

impl Holders {
    /// The holder of a key, as it is stated now. Limits that have not changed go on with what was
    /// taken of them; money that was spent stays spent.
    pub fn state(&self, stated: &Stated<'_>, now: Timestamp) -> Arc<Holder> {
        // the usual case takes no lock that keeps others from reading
        let known = self.find(stated.key);
        let holder = known.filter(|known| known.is_held_to(stated.limits));
        let holder = holder.unwrap_or_else(|| self.hold(stated));
        holder.purse.set(stated.budget, stated.zone, now);
        holder
    }

    /// Makes a holder with these limits; the purse is the one that there is.
    fn hold(&self, stated: &Stated<'_>) -> Arc<Holder> {
        let key = || Arc::clone(stated.key);
        let with = |purse| {
            Arc::new(Holder {
                key: key(),
                limits: Limits::of(Whose::Key(key()), stated.limits),
                purse,
            })
        };
        match self.by_key.entry(key()) {
            Entry::Occupied(known) if known.get().is_held_to(stated.limits) => {
                Arc::clone(known.get())
            }
            Entry::Occupied(mut known) => {
                let holder = with(Arc::clone(&known.get().purse));
                known.insert(Arc::clone(&holder));
                holder
            }
            Entry::Vacant(new) => {
                let holder = with(Arc::new(Purse::of(key())));
                new.insert(Arc::clone(&holder));
                holder
            }
        }
    }

    /// The holder of a key, if it is known.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Arc<Holder>> {
        self.by_key.get(key).map(|holder| Arc::clone(&holder))
    }

    /// Forgets keys that are gone, but for those that have something in use.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.by_key
            .retain(|key, holder| keep(key) || is_in_use(holder));
    }

    /// How many keys are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Is none known?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

/// Does a request hold it, its limits or its purse?
fn is_in_use(holder: &Arc<Holder>) -> bool {
    let limits = holder.limits.as_ref().map_or(1, Arc::strong_count);
    Arc::strong_count(holder) > 1 || limits > 1 || Arc::strong_count(&holder.purse) > 1
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::config::Period;

    fn state(holders: &Holders, rpm: u32, usd: Option<&str>) -> Arc<Holder> {
        let stated = Stated {
            key: &"team-a".into(),
            limits: config::Limits {
                rpm: NonZeroU32::new(rpm),
                ..config::Limits::default()
            },
            budget: usd.map(|usd| Budget {
                usd: usd.parse().unwrap(),
                per: Period::Total,
            }),
            zone: &TimeZone::UTC,
        };
        holders.state(&stated, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_has_not_changed_goes_on_and_the_purse_always_does() {
        let holders = Holders::default();
        let first = state(&holders, 10, None);
        let same = state(&holders, 10, Some("5"));
        assert!(Arc::ptr_eq(&first, &same));
        assert!(first.purse.standing(Timestamp::UNIX_EPOCH).is_some());
        let other = state(&holders, 20, Some("5"));
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(Arc::ptr_eq(&first.purse, &other.purse));
        assert!(state(&holders, 0, None).limits.is_none());
    }

    #[test]
    fn only_what_nobody_uses_is_forgotten() {
        let holders = Holders::default();
        let used = state(&holders, 10, None);
        holders.retain(|_| false);
        assert_eq!(holders.len(), 1);
        drop(used);
        let purse = Arc::clone(&holders.find("team-a").unwrap().purse);
        holders.retain(|_| false);
        assert_eq!(holders.len(), 1);
        drop(purse);
        holders.retain(|_| false);
        assert!(holders.is_empty());
    }
}
