//! The shared budgets of a configuration, and who is held to which.
//!
//! Purses outlive configurations: one whose budget is still there after a reload goes on where it
//! stood. Who pays from which is found once for each key and each route, so that a request takes
//! two lists that are there. Given what is configured; it never spends anything itself.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{Timestamp, tz::TimeZone};

use super::purse::{Purse, Spender, Whose};
use crate::config::{Config, Scope, SharedBudget, Tags};

/// Purses that are paid from together.
pub type Purses = Arc<[Arc<Purse>]>;

/// Purses up to which none is forgotten while a configuration is in effect.
const FEW: usize = 1_024;

/// Every purse of a shared budget. Those that nobody pays from are forgotten when there are twice as
/// many as were in use: values of tags may come and go with keys of the store.
#[derive(Debug, Default)]
pub struct Pool(Mutex<Known>);

/// The purses that are known.
#[derive(Debug, Default)]
struct Known {
    /// By the ids of their budgets, and by what they count.
    purses: BTreeMap<(Arc<str>, Spender), Arc<Purse>>,
    /// When there are so many, unused ones are looked for.
    full: usize,
}

/// The shared budgets of one configuration.
#[derive(Debug)]
pub struct Budgets {
    /// Tells configurations apart.
    generation: u64,
    /// What every request is paid from.
    everybody: Purses,
    /// What a request for a route is paid from too, by the route's index.
    routes: Vec<Purses>,
    /// Those that count keys by their tags.
    by_tag: Vec<SharedBudget>,
    /// Of those that count one value: so that they are there before such a key calls.
    tagged: Purses,
    pool: Arc<Pool>,
    zone: TimeZone,
}

/// What one request is paid from.
#[derive(Debug, Clone, Default)]
pub struct Paying {
    caller: Option<Purses>,
    route: Option<Purses>,
}

impl Budgets {
    /// Those of a configuration; `before`: the one that it replaces.
    #[must_use]
    pub fn of(config: &Config, before: Option<&Self>, now: Timestamp) -> Self {
        let pool = before.map_or_else(Arc::default, |before| Arc::clone(&before.pool));
        let zone = &config.time_zone;
        pool.follow(&config.budgets, zone, now);
        let purses = |counts: &dyn Fn(&Scope) -> bool| -> Purses {
            let shared = config.budgets.iter().filter(|shared| counts(&shared.scope));
            let spender = |shared| spender(shared, None).map(|spender| (shared, spender));
            let found = shared.filter_map(spender);
            found
                .map(|(shared, spender)| pool.purse(shared, spender, zone, now))
                .collect()
        };
        let of_route =
            |name: &str| purses(&|scope| matches!(scope, Scope::Route(r) if **r == *name));
        let by_tag =
            |shared: &&SharedBudget| matches!(shared.scope, Scope::Tag { .. } | Scope::EachTag(_));
        Self {
            generation: before.map_or(0, |before| before.generation.wrapping_add(1)),
            everybody: purses(&|scope| *scope == Scope::Everything),
            routes: config.routes.iter().map(|r| of_route(&r.name)).collect(),
            by_tag: config.budgets.iter().filter(by_tag).cloned().collect(),
            tagged: purses(&|scope| matches!(scope, Scope::Tag { .. })),
            zone: zone.clone(),
            pool,
        }
    }

    /// Those that do not depend on a key's tags having a value of their own.
    pub fn fixed(&self) -> impl Iterator<Item = &Arc<Purse>> {
        let routes = self.routes.iter().flat_map(|purses| purses.iter());
        self.everybody.iter().chain(routes).chain(&*self.tagged)
    }

    /// Tells one configuration from another.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// What a key with these tags pays from, beside its own budget.
    #[must_use]
    pub fn of_key(&self, tags: Option<&Tags>, now: Timestamp) -> Vec<Arc<Purse>> {
        let mut purses = self.everybody.to_vec();
        let tagged = self.by_tag.iter().filter_map(|shared| {
            let spender = spender(shared, tags)?;
            let counts = shared.scope.counts(tags, None);
            counts.then(|| self.pool.purse(shared, spender, &self.zone, now))
        });
        purses.extend(tagged);
        purses
    }

    /// What a request for a route is paid from, beside what its caller is; by the route's index.
    #[must_use]
    pub fn of_route(&self, route: usize) -> Option<&Purses> {
        self.routes.get(route).filter(|purses| !purses.is_empty())
    }

    /// What a request is paid from: `caller` is that of a key, `route` an index.
    #[must_use]
    pub fn paying(&self, caller: Option<&Purses>, route: Option<usize>) -> Paying {
        let caller = caller.unwrap_or(&self.everybody);
        Paying {
            caller: (!caller.is_empty()).then(|| Arc::clone(caller)),
            route: route.and_then(|route| self.of_route(route)).cloned(),
        }
    }

    /// The purses of a budget that are known, in the order of what they count.
    #[must_use]
    pub fn purses(&self, id: &str) -> Vec<Arc<Purse>> {
        let known = self.pool.lock();
        let from = (Arc::from(id), Spender::Everybody);
        let of = known
            .purses
            .range(from..)
            .take_while(|((owner, _), _)| **owner == *id);
        of.map(|(_, purse)| Arc::clone(purse)).collect()
    }

    /// Forgets purses that nobody pays from.
    pub fn forget_unused(&self) {
        self.pool.lock().forget_unused();
    }
}

impl Paying {
    /// Every purse.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Purse>> {
        let caller = self.caller.iter().flat_map(|purses| purses.iter());
        caller.chain(self.route.iter().flat_map(|purses| purses.iter()))
    }

    /// Is it paid from no budget?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl Pool {
    /// The purse of a budget; a new one has the budget's amounts.
    fn purse(
        &self,
        shared: &SharedBudget,
        spender: Spender,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Arc<Purse> {
        let mut known = self.lock();
        if known.purses.len() >= known.full.max(FEW) {
            known.forget_unused();
        }
        let key = (Arc::clone(&shared.id), spender.clone());
        let purse = known.purses.entry(key).or_insert_with(|| {
            let purse = Purse::shared(whose(shared, &spender), spender);
            purse.set(Some(shared.budget), zone, now);
            purse.show(shared.show_spent);
            Arc::new(purse)
        });
        Arc::clone(purse)
    }

    /// What is stated now holds for the purses that are there; those of no budget lose theirs.
    fn follow(&self, budgets: &[SharedBudget], zone: &TimeZone, now: Timestamp) {
        let mut known = self.lock();
        for ((id, counted), purse) in &known.purses {
            let stated = budgets
                .iter()
                .find(|shared| shared.id == *id && is_of(&shared.scope, counted));
            purse.set(stated.map(|shared| shared.budget), zone, now);
            purse.show(stated.is_some_and(|shared| shared.show_spent));
        }
        known.forget_unused();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // an entry is there or not: none is half made
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_unused(&mut self) {
        self.purses.retain(|_, purse| Arc::strong_count(purse) > 1);
        self.full = self.purses.len() * 2;
    }
}

/// What a budget counts for a key with these tags; `None`: nothing of it.
fn spender(shared: &SharedBudget, tags: Option<&Tags>) -> Option<Spender> {
    Some(match &shared.scope {
        Scope::Everything => Spender::Everybody,
        Scope::Route(route) => Spender::Route(Arc::clone(route)),
        Scope::Tag { name, value } => Spender::Tag {
            name: Arc::clone(name),
            value: Arc::clone(value),
        },
        Scope::EachTag(name) => Spender::Tag {
            name: Arc::clone(name),
            value: tags?.get(name)?.into(),
        },
    })
}

/// Can a budget of that scope count this?
fn is_of(scope: &Scope, counted: &Spender) -> bool {
    match (scope, counted) {
        (Scope::Everything, Spender::Everybody) => true,
        (Scope::Route(route), Spender::Route(counted)) => route == counted,
        (Scope::Tag { name, value }, Spender::Tag { name: n, value: v }) => (name, value) == (n, v),
        (Scope::EachTag(name), Spender::Tag { name: n, .. }) => name == n,
        _ => false,
    }
}

fn whose(shared: &SharedBudget, spender: &Spender) -> Whose {
    let tag = match (&shared.scope, spender) {
        (Scope::EachTag(_), Spender::Tag { name, value }) => {
            Some((Arc::clone(name), Arc::clone(value)))
        }
        _ => None,
    };
    Whose::Shared {
        id: Arc::clone(&shared.id),
        tag,
    }
}

#[cfg(test)]
pub(in crate::admit) mod tests;
