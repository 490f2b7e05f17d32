//! What outcomes taught of the quality of models: for each key, by model and domain.
//!
//! A key learns from its own outcomes alone, unless the configuration lets all learn from all; even
//! then no key counts for more than its share. Bounded: where there are too many keys, the one that
//! has learned nothing for the longest time is forgotten.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::{domain::Domain, quality::Lessons};

/// Stands for the key of callers without one.
pub const NOBODY: &str = "";
/// Keys that are remembered.
pub const MOST_KEYS: usize = 10_000;
/// Models that are remembered of a key.
pub const MOST_MODELS: usize = 1_024;

type ByDomain = [Lessons; Domain::ALL.len()];
/// With when something was learned last, in milliseconds since 1970.
type Dated = [(Lessons, i64); Domain::ALL.len()];

/// What outcomes taught. Shared by all requests.
#[derive(Debug, Default)]
pub struct Outcomes {
    keys: DashMap<Arc<str>, OfKey, RandomState>,
    /// What all keys say together, by model.
    together: DashMap<Arc<str>, Box<ByDomain>, RandomState>,
    /// What is not kept in the store yet.
    changed: Mutex<HashSet<Place>>,
    /// Is there anything?
    any: AtomicBool,
}

#[derive(Debug, Default)]
struct OfKey {
    models: HashMap<Arc<str>, Box<Dated>, RandomState>,
    /// When it learned something last, in milliseconds since 1970.
    at_ms: i64,
}

/// Where outcomes belong.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The key's id, or [`NOBODY`].
    pub key: Arc<str>,
    /// The name of the configuration.
    pub model: Arc<str>,
    pub domain: Domain,
}

/// What was learned at a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    pub place: Place,
    pub lessons: Lessons,
    /// When something was learned last, in milliseconds since 1970.
    pub at_ms: i64,
}

/// What one caller's requests may be corrected by.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    outcomes: &'a Outcomes,
    key: &'a str,
    /// Do others' outcomes count as well?
    across_keys: bool,
    /// In milliseconds since 1970; own outcomes fade.
    now_ms: i64,
}

impl View<'_> {
    /// What is known of a model in a domain; `None`: nothing.
    #[must_use]
    pub fn of(&self, model: &str, domain: Domain) -> Option<Lessons> {
        let own = self.outcomes.own(self.key, model, domain);
        let all = self.across_keys.then(|| {
            let all = self.outcomes.together.get(model)?;
            all.get(domain as usize).copied()
        });
        let lessons = match (own, all.flatten()) {
            (None, all) => all?,
            (Some((own, at_ms)), None) => own.faded(self.now_ms.saturating_sub(at_ms)),
            // its own count in full, the others' as they do for everybody
            (Some((own, at_ms)), Some(all)) => {
                let others = all.minus(own.share());
                others.plus(own.faded(self.now_ms.saturating_sub(at_ms)))
            }
        };
        Some(lessons).filter(|lessons| lessons.n() > 0)
    }
}

impl Outcomes {
    /// What a key's requests may be corrected by at `now_ms` (since 1970); `None`: there is nothing.
    #[must_use]
    pub fn view<'a>(&'a self, key: &'a str, across_keys: bool, now_ms: i64) -> Option<View<'a>> {
        self.any.load(Relaxed).then_some(View {
            outcomes: self,
            key,
            across_keys,
            now_ms,
        })
    }

    fn own(&self, key: &str, model: &str, domain: Domain) -> Option<(Lessons, i64)> {
        let key = self.keys.get(key)?;
        key.models.get(model)?.get(domain as usize).copied()
    }

    /// Something is learned at `at_ms`. `false`: the key has too many models already.
    pub fn learn(&self, place: &Place, at_ms: i64, lesson: impl FnOnce(&mut Lessons)) -> bool {
        if !self.change(place, at_ms, lesson) {
            return false;
        }
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if !changed.contains(place) {
            changed.insert(place.clone());
        }
        true
    }

    /// What has changed at these places is not kept yet.
    pub fn mark(&self, places: impl IntoIterator<Item = Place>) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        changed.extend(places);
    }

    fn change(&self, place: &Place, at_ms: i64, lesson: impl FnOnce(&mut Lessons)) -> bool {
        if !self.keys.contains_key(&place.key) && self.keys.len() >= MOST_KEYS {
            self.forget_the_oldest();
        }
        let (before, after) = {
            let mut key = self.keys.entry(Arc::clone(&place.key)).or_default();
            if key.models.len() >= MOST_MODELS && !key.models.contains_key(&place.model) {
                return false;
            }
            key.at_ms = key.at_ms.max(at_ms);
            let model = key.models.entry(Arc::clone(&place.model)).or_default();
            let Some((lessons, last_ms)) = model.get_mut(place.domain as usize) else {
                return false;
            };
            let before = *lessons;
            *lessons = lessons.faded(at_ms.saturating_sub(*last_ms));
            *last_ms = (*last_ms).max(at_ms);
            lesson(lessons);
            (before, *lessons)
        };
        self.add(&place.model, place.domain, before, after);
        self.any.store(true, Relaxed);
        true
    }

    /// What a key says of a model has changed: what all say together does.
    fn add(&self, model: &Arc<str>, domain: Domain, before: Lessons, after: Lessons) {
        let mut all = self.together.entry(Arc::clone(model)).or_default();
        if let Some(lessons) = all.get_mut(domain as usize) {
            *lessons = lessons.minus(before.share()).plus(after.share());
        }
    }

    /// Takes in what the store has kept.
    pub fn restore(&self, kept: impl IntoIterator<Item = Learned>) {
        for learned in kept {
            self.change(&learned.place, learned.at_ms, |lessons| {
                *lessons = learned.lessons;
            });
        }
    }

    /// All that was learned, of one key or of all; by key, model and domain.
    #[must_use]
    pub fn all(&self, key: Option<&str>) -> Vec<Learned> {
        let mut all = Vec::new();
        for entry in &self.keys {
            if key.is_some_and(|key| *key != **entry.key()) {
                continue;
            }
            for (model, lessons) in &entry.models {
                for ((domain, _), (lessons, at_ms)) in Domain::ALL.iter().zip(lessons.iter()) {
                    let place = Place {
                        key: Arc::clone(entry.key()),
                        model: Arc::clone(model),
                        domain: *domain,
                    };
                    all.push(Learned {
                        place,
                        lessons: *lessons,
                        at_ms: *at_ms,
                    });
                }
            }
        }
        all.retain(|learned| learned.lessons.n() > 0);
        let order = |a: &Learned, b: &Learned| {
            let of = |l: &Learned| (Arc::clone(&l.place.key), Arc::clone(&l.place.model));
            (of(a), a.place.domain as u8).cmp(&(of(b), b.place.domain as u8))
        };
        all.sort_by(order);
        all
    }

    /// What was learned since this was asked last, to be kept in the store.
    #[must_use]
    pub fn take_changed(&self) -> Vec<Learned> {
        let changed = {
            let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *changed)
        };
        let now = |place: Place| {
            let (lessons, at_ms) = self.own(&place.key, &place.model, place.domain)?;
            Some(Learned {
                place,
                lessons,
                at_ms,
            })
        };
        changed.into_iter().filter_map(now).collect()
    }

    /// Forgets what was learned of a model, or all, from one key's outcomes or everybody's; says how
    /// many places it was.
    pub fn forget(&self, key: Option<&str>, model: Option<&str>) -> usize {
        let mut forgotten = Vec::new();
        for mut entry in self.keys.iter_mut() {
            if key.is_some_and(|key| *key != **entry.key()) {
                continue;
            }
            let is_asked = |name: &str| model.is_none_or(|model| *model == *name);
            let gone = entry.models.extract_if(|name, _| is_asked(name));
            forgotten.extend(gone);
        }
        self.keys.retain(|_, key| !key.models.is_empty());
        self.subtract(forgotten)
    }

    fn forget_the_oldest(&self) {
        let oldest = self.keys.iter().min_by_key(|entry| entry.at_ms);
        let oldest = oldest.map(|entry| Arc::clone(entry.key()));
        if let Some((_, key)) = oldest.and_then(|oldest| self.keys.remove(&oldest)) {
            self.subtract(key.models);
        }
    }

    /// What all say together, without this.
    fn subtract(&self, gone: impl IntoIterator<Item = (Arc<str>, Box<Dated>)>) -> usize {
        let mut places = 0;
        for (model, lessons) in gone {
            for ((domain, _), (lessons, _)) in Domain::ALL.iter().zip(lessons.iter()) {
                places += usize::from(lessons.n() > 0);
                self.add(&model, *domain, *lessons, Lessons::default());
            }
        }
        self.together
            .retain(|_, all| all.iter().any(|lessons| lessons.n() > 0));
        self.any.store(!self.keys.is_empty(), Relaxed);
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(key: &str, model: &str) -> Place {
        Place {
            key: key.into(),
            model: model.into(),
            domain: Domain::Code,
        }
    }

    fn say(outcomes: &Outcomes, key: &str, score: f64, times: u32) {
        for _ in 0..times {
            assert!(outcomes.learn(&place(key, "m"), 1, |lessons| lessons.tell(1.0, score)));
        }
    }

    fn offset(outcomes: &Outcomes, key: &str, across_keys: bool) -> f64 {
        let view = outcomes.view(key, across_keys, 1);
        let lessons = view.and_then(|view| view.of("m", Domain::Code));
        lessons.map_or(0.0, |lessons| lessons.told.offset())
    }

    #[test]
    fn a_key_learns_from_its_own_outcomes_unless_all_learn_from_all() {
        let outcomes = Outcomes::default();
        assert!(outcomes.view("a", true, 1).is_none());
        say(&outcomes, "a", 0.0, 40);
        assert!(offset(&outcomes, "a", false) < -1.0);
        assert_eq!(offset(&outcomes, "b", false), 0.0);
        assert!(offset(&outcomes, "b", true) < -0.5);
        // its own say is not taken down to a share
        let (own, both) = (offset(&outcomes, "a", false), offset(&outcomes, "a", true));
        assert!((own - both).abs() < 1e-9, "{own} {both}");
        let elsewhere = outcomes.view("a", false, 1).unwrap();
        assert_eq!(elsewhere.of("m", Domain::Chat), None);
        assert_eq!(elsewhere.of("n", Domain::Code), None);
    }

    #[test]
    fn what_is_forgotten_counts_nowhere() {
        let outcomes = Outcomes::default();
        say(&outcomes, "a", 0.0, 40);
        say(&outcomes, "b", 1.0, 3);
        let alone = Outcomes::default();
        say(&alone, "b", 1.0, 3);
        assert_eq!(outcomes.forget(Some("a"), Some("other")), 0);
        assert_eq!(outcomes.forget(Some("a"), Some("m")), 1);
        assert_eq!(outcomes.all(Some("a")), []);
        let (left, want) = (offset(&outcomes, "c", true), offset(&alone, "c", true));
        assert!((left - want).abs() < 1e-9, "{left} {want}");
        assert_eq!(outcomes.forget(None, None), 1);
        assert!(outcomes.view("b", true, 1).is_none());
    }

    #[test]
    fn what_has_changed_is_told_once_and_can_be_restored() {
        let outcomes = Outcomes::default();
        say(&outcomes, "a", 0.0, 2);
        say(&outcomes, "", 1.0, 1);
        let changed = outcomes.take_changed();
        assert_eq!(changed.len(), 2);
        assert_eq!(outcomes.take_changed(), []);
        let again = Outcomes::default();
        again.restore(changed);
        assert_eq!(again.all(None), outcomes.all(None));
        assert_eq!(again.take_changed(), []);
        assert_eq!(offset(&again, "b", true), offset(&outcomes, "b", true));
    }

    #[test]
    fn there_are_only_so_many_keys_and_models() {
        let outcomes = Outcomes::default();
        for (number, at_ms) in (0..=MOST_KEYS).zip(1..) {
            let key = format!("k{number}");
            outcomes.learn(&place(&key, "m"), at_ms, |lessons| lessons.tell(0.0, 1.0));
        }
        assert_eq!(outcomes.keys.len(), MOST_KEYS);
        assert_eq!(outcomes.all(Some("k0")), []);
        assert_eq!(outcomes.all(Some("k1")).len(), 1);
        let together = outcomes.view("", true, 1).unwrap().of("m", Domain::Code);
        assert_eq!(together.unwrap().told.n, MOST_KEYS as u64);
        for number in 0..MOST_MODELS {
            let place = place("k1", &format!("m{number}"));
            let room = number + 1 < MOST_MODELS;
            assert_eq!(outcomes.learn(&place, 1, |l| l.tell(0.0, 1.0)), room);
        }
    }

    #[test]
    fn own_outcomes_fade_and_new_ones_count_in_full() {
        let outcomes = Outcomes::default();
        say(&outcomes, "a", 0.0, 40);
        let week = 7 * 24 * 3_600_000;
        let at = |weeks: i64| {
            let view = outcomes.view("a", false, 1 + weeks * week).unwrap();
            view.of("m", Domain::Code).unwrap().told
        };
        assert!((at(0).information - 2.0 * at(1).information).abs() < 1e-12);
        assert!(at(10).offset() > at(0).offset() / 20.0);
        assert!(outcomes.learn(&place("a", "m"), 1 + 10 * week, |lessons| {
            lessons.tell(1.0, 1.0);
        }));
        assert!(at(10).offset() > 0.0);
        assert_eq!(outcomes.all(None)[0].at_ms, 1 + 10 * week);
    }
}
