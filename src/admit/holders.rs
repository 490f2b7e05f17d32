//! What keys have taken, by key: their limits and their money, their own and shared.
//!
//! It outlives configurations: a key that is still there after a reload goes on where it stood, and
//! a request that was begun before settles with the same purse. Given ids and what is stated of
//! them; it knows no secret and never removes what is in use.

use std::sync::Arc;

use dashmap::{DashMap, Entry};
use jiff::{Timestamp, tz::TimeZone};

use super::{
    budgets::{Budgets, Purses},
    limits::{Limits, Whose},
    purse::Purse,
};
use crate::config::{self, Budget, Tags};

/// What one key is held to.
#[derive(Debug)]
pub struct Holder {
    pub key: Arc<str>,
    /// `None`: unlimited.
    pub limits: Option<Arc<Limits>>,
    pub purse: Arc<Purse>,
    /// What all its requests are paid from: its own purse, if it has a budget, and shared ones.
    pub purses: Purses,
    tags: Option<Arc<Tags>>,
    generation: u64,
}

/// What is stated of a key.
#[derive(Debug, Clone, Copy)]
pub struct Stated<'a> {
    pub key: &'a Arc<str>,
    pub limits: config::Limits,
    pub budget: Option<Budget>,
    /// Those that are set on the key.
    pub tags: Option<&'a Arc<Tags>>,
    /// What it shares with others.
    pub budgets: &'a Budgets,
    /// Where the windows of its own budget begin.
    pub zone: &'a TimeZone,
}

impl Holder {
    /// Is it held to what is stated? Amounts of budgets are set in the purse that it has.
    fn is_held_to(&self, stated: &Stated<'_>) -> bool {
        let limits = self.limits.as_ref().map(|limits| limits.stated);
        let tagged = match (&self.tags, stated.tags) {
            (Some(held), Some(stated)) => Arc::ptr_eq(held, stated) || held == stated,
            (held, stated) => held.is_none() && stated.is_none(),
        };
        let own = self.purses.iter().any(|p| Arc::ptr_eq(p, &self.purse));
        limits.unwrap_or_default() == stated.limits
            && self.generation == stated.budgets.generation()
            && own == stated.budget.is_some()
            && tagged
    }

    fn new(
        stated: &Stated<'_>,
        purse: Arc<Purse>,
        limits: Option<Arc<Limits>>,
        now: Timestamp,
    ) -> Arc<Self> {
        let tags = stated.tags.map(|tags| &**tags);
        let own = stated.budget.map(|_| Arc::clone(&purse));
        let shared = stated.budgets.of_key(tags, now);
        Arc::new(Self {
            key: Arc::clone(stated.key),
            limits,
            purse,
            purses: own.into_iter().chain(shared).collect(),
            tags: stated.tags.cloned(),
            generation: stated.budgets.generation(),
        })
    }
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
        let holder = known.filter(|known| known.is_held_to(stated));
        let holder = holder.unwrap_or_else(|| self.hold(stated, now));
        holder.purse.set(stated.budget, stated.zone, now);
        holder
    }

    /// Makes a holder of what is stated; the purse is the one that there is, and so are limits that
    /// have not changed.
    fn hold(&self, stated: &Stated<'_>, now: Timestamp) -> Arc<Holder> {
        let key = || Arc::clone(stated.key);
        let limits = || Limits::of(Whose::Key(key()), stated.limits);
        match self.by_key.entry(key()) {
            Entry::Occupied(known) if known.get().is_held_to(stated) => Arc::clone(known.get()),
            Entry::Occupied(mut known) => {
                let before = known.get();
                let same = before.limits.as_ref();
                let same = same
                    .filter(|limits| limits.stated == stated.limits)
                    .cloned();
                let purse = Arc::clone(&before.purse);
                let holder = Holder::new(stated, purse, same.or_else(limits), now);
                known.insert(Arc::clone(&holder));
                holder
            }
            Entry::Vacant(new) => {
                let purse = Arc::new(Purse::of(key()));
                let holder = Holder::new(stated, purse, limits(), now);
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
    // of its own purse the list of all that it pays from has one too
    let own = holder.purses.iter().any(|p| Arc::ptr_eq(p, &holder.purse));
    let purses = Arc::strong_count(&holder.purse) - usize::from(own);
    Arc::strong_count(holder) > 1
        || limits > 1
        || purses > 1
        || Arc::strong_count(&holder.purses) > 1
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::{admit::budgets, config::Period};

    fn state(holders: &Holders, rpm: u32, usd: Option<&str>) -> Arc<Holder> {
        let stated = Stated {
            tags: None,
            budgets: &budgets::tests::none(),
            key: &"team-a".into(),
            limits: config::Limits {
                rpm: NonZeroU32::new(rpm),
                ..config::Limits::default()
            },
            budget: usd.map(|usd| Budget {
                usd: usd.parse().unwrap(),
                soft: None,
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
        let limits = |holder: &Holder| holder.limits.clone().unwrap();
        assert!(Arc::ptr_eq(&limits(&first), &limits(&same)));
        assert!(Arc::ptr_eq(&same, &state(&holders, 10, Some("6"))));
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
