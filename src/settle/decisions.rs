//! The latest decisions, for the operator: who was considered for a request, who was chosen and
//! why, and how it ended. Never what was asked or answered.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::{SignedDuration, Timestamp};

use super::{Account, Outcome};
use crate::{
    config::Config,
    money::Usd,
    route::{Plan, Refused, RouteError, record::Record},
};

/// Decisions that are kept.
const KEPT: usize = 256;
/// Configurations that they keep alive, however often it is reloaded.
const CONFIGS: usize = 8;

/// Where as many as are kept come within this time, not all are.
const HURRY: SignedDuration = SignedDuration::from_secs(1);
/// Of those that went well, one of so many is kept then.
const THINNED: u32 = 16;

/// The latest decisions. Each request enters once, at its end.
#[derive(Debug, Default)]
pub struct Decisions(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// The latest first.
    latest: VecDeque<Arc<Decision>>,
    /// How many were passed over since one was kept.
    passed_over: u32,
}

/// One decision.
#[derive(Debug, Clone)]
pub struct Decision {
    /// When the request ended.
    pub at: Timestamp,
    pub request_id: String,
    /// The key's id.
    pub key: Option<Arc<str>>,
    pub route: Option<Arc<str>>,
    /// What was asked for, if it is a name of the configuration.
    pub model: Option<Arc<str>>,
    /// The backend that answered, or was asked last.
    pub backend: Option<Arc<str>>,
    /// What `thought` points into.
    pub config: Arc<Config>,
    pub thought: Thought,
    pub attempts: u32,
    pub cost: Option<Usd>,
    pub outcome: &'static str,
    pub status: u16,
}

/// Who was considered. Indices rather than names: counting hundreds of names' users would cost
/// every request more than the whole rest of this.
#[derive(Debug, Clone)]
pub enum Thought {
    Planned(Arc<Plan>),
    Nobody { why: String, refused: Vec<Refused> },
}

/// What is known of a decision before the request has ended.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) kept_in: Option<Arc<Decisions>>,
    pub(super) model: Option<Arc<str>>,
    pub(super) thought: Option<Thought>,
}

impl Account {
    /// The decision is kept there in the end.
    #[must_use]
    pub fn kept_in(mut self: Box<Self>, decisions: &Arc<Decisions>) -> Box<Self> {
        self.draft.kept_in = Some(Arc::clone(decisions));
        self
    }

    /// Nobody can be asked.
    pub fn unplanned(&mut self, error: &RouteError) {
        self.refused(error.refused());
        let why = error.in_our_words();
        let refused = error.refused().to_vec();
        self.draft.thought = Some(Thought::Nobody { why, refused });
    }

    /// The decision, with all that it was taken on, is one of those that the ledger keeps.
    pub fn decided(&self, record: &Record) {
        if let (Some(ledger), Ok(json)) = (&self.opening.ledger, serde_json::to_string(record)) {
            let at_ms = record.at.as_millisecond();
            ledger.decided(&self.opening.request_id, at_ms, json);
        }
    }

    /// Keeps the decision, if one was taken.
    pub(super) fn keep_decision(&mut self, status: u16, outcome: Outcome) {
        let (Some(decisions), Some(thought)) =
            (self.draft.kept_in.take(), self.draft.thought.take())
        else {
            return;
        };
        decisions.keep(Decision {
            at: Timestamp::now(),
            request_id: self.opening.request_id.to_string(),
            key: self.key.clone(),
            route: self.route.clone(),
            model: self.draft.model.clone(),
            backend: self.backend().map(|(_, backend)| backend.name.clone()),
            config: Arc::clone(&self.means.config),
            thought,
            attempts: self.attempts,
            cost: self.figures.as_ref().and_then(|figures| figures.cost),
            outcome: outcome.as_str(),
            status,
        });
    }
}

impl Decisions {
    /// Keeps a decision, and forgets the oldest. Where they come so fast that what is kept would be
    /// gone in a second, only a part of those that went well is kept, so that the others are seen.
    pub fn keep(&self, decision: Decision) {
        let mut kept = self.lock();
        if kept.passes_over(&decision) {
            return;
        }
        let (decision, kept) = (Arc::new(decision), &mut kept.latest);
        let front = kept.front().map(|front| &front.config);
        if front.is_some_and(|config| !Arc::ptr_eq(config, &decision.config)) {
            let most = of_the_latest(kept, CONFIGS - 1);
            kept.truncate(most);
        }
        kept.truncate(KEPT - 1);
        kept.push_front(decision);
    }

    /// The latest ones, the latest first.
    #[must_use]
    pub fn latest(&self, number: usize) -> Vec<Arc<Decision>> {
        self.lock().latest.iter().take(number).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn passes_over(&mut self, decision: &Decision) -> bool {
        let oldest = self.latest.back().filter(|_| self.latest.len() == KEPT);
        let in_a_hurry = oldest.is_some_and(|oldest| decision.at.duration_since(oldest.at) < HURRY);
        let goes_well = decision.outcome == Outcome::Ok.as_str();
        if in_a_hurry && goes_well && self.passed_over + 1 < THINNED {
            self.passed_over += 1;
            return true;
        }
        self.passed_over = 0;
        false
    }
}

/// How many of the latest decisions were taken in so many configurations.
fn of_the_latest(kept: &VecDeque<Arc<Decision>>, configs: usize) -> usize {
    let mut seen: Vec<&Arc<Config>> = Vec::with_capacity(configs);
    let mut count = 0;
    for decision in kept {
        if !seen.iter().any(|seen| Arc::ptr_eq(seen, &decision.config)) {
            if seen.len() == configs {
                break;
            }
            seen.push(&decision.config);
        }
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    fn config() -> Arc<Config> {
        let none = |_: &str| None;
        let text = "models: [{ name: m, backends: [{ provider: p, model: m, price: free }] }]\n\
                    providers: { p: { base_url: 'http://127.0.0.1:1/v1' } }";
        let checked = load::from_str("t.yaml", text, &none, crate::catalog::builtin());
        Arc::new(checked.unwrap().config)
    }

    fn decision(number: u16, config: &Arc<Config>) -> Decision {
        Decision {
            at: Timestamp::UNIX_EPOCH,
            request_id: String::new(),
            key: None,
            route: None,
            model: None,
            backend: None,
            config: Arc::clone(config),
            thought: Thought::Nobody {
                why: String::new(),
                refused: Vec::new(),
            },
            attempts: 0,
            cost: None,
            outcome: "ok",
            status: number,
        }
    }

    #[test]
    fn the_latest_are_kept_and_no_more() {
        let (decisions, config) = (Decisions::default(), config());
        for number in 0..300 {
            let at = Timestamp::from_second(number.into()).unwrap();
            let decision = decision(number, &config);
            decisions.keep(Decision { at, ..decision });
        }
        let latest: Vec<u16> = decisions.latest(3).iter().map(|d| d.status).collect();
        assert_eq!(latest, [299, 298, 297]);
        assert_eq!(decisions.latest(usize::MAX).len(), KEPT);
    }

    #[test]
    fn in_a_hurry_a_part_of_those_that_went_well_is_kept_and_all_others() {
        let (decisions, config) = (Decisions::default(), config());
        for number in 0..256 + 160 {
            decisions.keep(decision(number, &config));
        }
        let failed = Decision {
            outcome: "upstream_error",
            ..decision(1_000, &config)
        };
        decisions.keep(failed);
        let latest: Vec<u16> = decisions.latest(11).iter().map(|d| d.status).collect();
        let thinned: Vec<u16> = (0..10).map(|n| 256 + 15 + 16 * n).rev().collect();
        assert_eq!(latest[0], 1_000);
        assert_eq!(latest[1..], thinned);
    }

    #[test]
    fn a_configuration_is_not_kept_alive_by_old_decisions_for_ever() {
        let decisions = Decisions::default();
        let configs: Vec<Arc<Config>> = (0..20).map(|_| config()).collect();
        for (number, config) in (0..).zip(&configs) {
            decisions.keep(decision(number, config));
            decisions.keep(decision(number, config));
        }
        let alive = configs
            .iter()
            .filter(|config| Arc::strong_count(config) > 1);
        assert_eq!(alive.count(), CONFIGS);
        assert_eq!(decisions.latest(usize::MAX).len(), 2 * CONFIGS);
    }
}
