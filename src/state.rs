//! What the program holds while it runs: one world for each loaded configuration, and what
//! outlives them.

mod callers;
pub mod hosted;
pub mod loads;

use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::time::Instant;

use self::loads::{Attempt, Loads, Origin};
use crate::{
    admit::{
        budgets::Budgets,
        holders::{Holders, Stated},
        room::Room,
        table::Table,
    },
    authenticate::{Keys, Principal},
    call::{Means, client::Client, upstream::Upstream},
    config::{Config, Provider, load::Seen, view},
    keyring::Keyring,
    learn::{
        lengths::Kind,
        outcomes::{NOBODY, View},
    },
    learning::Learning,
    route::{
        self, Facts, Plan, Question, RouteError,
        health::Standing,
        live::Live,
        names::{Names, Target},
        quality::Judge,
        record::Record,
    },
    settle::{Strangers, decisions::Decisions, ledger::Sink, metrics::Metrics},
    store::Store,
    understand::Ask,
};

/// What one configuration means, ready to serve. Replaced as a whole.
#[derive(Debug)]
pub struct World {
    pub config: Arc<Config>,
    pub keys: Keys,
    pub names: Names,
    /// How good the backends are.
    pub judge: Judge,
    pub means: Arc<Means>,
    pub limits: Arc<Table>,
    /// What is paid for together.
    pub budgets: Budgets,
    /// What keys have taken; the same for every world.
    pub holders: Arc<Holders>,
}

/// What lives as long as the process.
#[derive(Debug)]
pub struct App {
    world: ArcSwap<World>,
    pub origin: Origin,
    /// What the configuration was read from. Who reads it again holds this, so that two never do
    /// at once.
    pub seen: Mutex<Seen>,
    loads: ArcSwap<Loads>,
    pub metrics: Arc<Metrics>,
    /// What keeps the rows of the ledger; `None`: nothing does.
    pub store: Option<Arc<Store>>,
    /// The keys of the store; `None`: there is none.
    pub keyring: Option<Arc<Keyring>>,
    /// What outcomes teach; `None`: nobody listens.
    pub learning: Option<Arc<Learning>>,
    pub decisions: Arc<Decisions>,
    /// Memory for request bodies.
    pub room: Room,
    /// Decisions that were taken.
    taken: AtomicU64,
    /// Set when the program is asked to stop.
    draining: AtomicBool,
    /// Set when open answers must end.
    ending: Arc<AtomicBool>,
    /// Keeps callers that nobody knows from filling the log.
    pub strangers: Arc<Strangers>,
    ids: RequestIds,
}

impl World {
    /// Prepares a configuration. What was learned of a backend or model is kept under its name.
    #[must_use]
    pub fn of(config: Config, before: Option<&Self>) -> Self {
        let config = Arc::new(config);
        let live = kept(
            config.backends.iter().map(|backend| &*backend.name),
            before.map(|world| {
                (
                    world.config.backends.iter().map(|b| &*b.name),
                    &world.means.live[..],
                )
            }),
        );
        let lengths = kept(
            config.models.iter().map(|model| &*model.name),
            before.map(|world| {
                (
                    world.config.models.iter().map(|m| &*m.name),
                    &world.means.lengths[..],
                )
            }),
        );
        if let Some(before) = before {
            forget_moved(&config, &live, &before.config);
        }
        // kept clients keep their connections: a reload costs no handshakes
        let old = before.map(|world| (&*world.config, &world.means.clients[..]));
        let clients = Client::of_each(&config, old);
        let means = Means {
            clients,
            upstreams: upstreams(&config, before),
            live,
            lengths,
            paces: hosted::paces(&config, before),
            conversations: before
                .map_or_else(Arc::default, |world| Arc::clone(&world.means.conversations)),
            outcomes: before.map_or_else(Arc::default, |world| Arc::clone(&world.means.outcomes)),
            budget: Means::budget(&config),
            epoch: before.map_or_else(Instant::now, |world| world.means.epoch),
            config: Arc::clone(&config),
        };
        let limits = Arc::new(Table::of(&config, before.map(|world| &*world.limits)));
        let holders = before.map_or_else(Arc::default, |world| Arc::clone(&world.holders));
        let budgets = hold(&holders, &config, before);
        Self {
            limits,
            budgets,
            holders,
            keys: Keys::of(&config),
            names: Names::of(&config),
            judge: Judge::of(&config),
            means: Arc::new(means),
            config,
        }
    }

    /// What outcomes have taught that counts for this caller; `None`: nothing.
    #[must_use]
    pub fn learned<'a>(&'a self, principal: &'a Principal, at: Timestamp) -> Option<View<'a>> {
        let key = principal.id.as_deref().unwrap_or(NOBODY);
        let across_keys = self.config.evidence.across_keys;
        let outcomes = &self.means.outcomes;
        outcomes.view(key, across_keys, at.as_millisecond())
    }

    /// Does what was served before count in whom a conversation is sent to?
    #[must_use]
    pub fn keeps_together(&self, target: Option<Target>) -> bool {
        match target {
            Some(Target::Route(route)) => self.config.routes.get(route).is_none_or(|r| r.affinity),
            Some(Target::Model(_) | Target::Backend { .. }) | None => true,
        }
    }

    /// Decides, by what is known now.
    ///
    /// # Errors
    /// If the name is unknown or not allowed, or no backend is left.
    pub fn plan(&self, question: &Question<'_>, now_ms: u64) -> Result<Plan, RouteError> {
        let asked = (question.needs.prompt_tokens, question.kind());
        let facts = |model, backend| self.facts((model, backend), now_ms, asked);
        route::plan(question, &facts)
    }

    /// The same, with all that it is decided on.
    pub fn plan_on_record(
        &self,
        question: &Question<'_>,
        now_ms: u64,
    ) -> (Result<Plan, RouteError>, Record) {
        let asked = (question.needs.prompt_tokens, question.kind());
        let known = RefCell::new(Vec::new());
        let facts = |model, backend| {
            let facts = self.facts((model, backend), now_ms, asked);
            known.borrow_mut().push((model, backend, facts));
            facts
        };
        let outcome = route::plan(question, &facts);
        let record = Record::of(question, &known.into_inner(), &outcome);
        (outcome, record)
    }

    /// What is known now of a backend of a model, for a prompt of so many estimated tokens and of
    /// this kind.
    fn facts(
        &self,
        (model, backend): (usize, usize),
        now_ms: u64,
        (estimate, kind): (u64, Kind),
    ) -> Facts {
        let asked = (estimate, kind);
        let mut facts = match (self.means.live.get(backend), self.means.lengths.get(model)) {
            (Some(live), Some(lengths)) => live.facts(lengths, now_ms, asked),
            // no index of the configuration
            _ => Facts::unknown(estimate),
        };
        facts.full_ms = self.full_ms(model, backend, now_ms, estimate);
        let hosted = self.means.hosted(backend);
        facts.share = hosted.and_then(|(hardware, pace)| pace.share(hardware));
        facts
    }

    /// How long the limits of a call are reached for, if they are.
    fn full_ms(&self, model: usize, backend: usize, now_ms: u64, estimate: u64) -> Option<u64> {
        let provider = self.config.backends.get(backend)?.provider;
        let probed = self.limits.of_call(model, provider);
        let denied = probed.filter_map(|limits| limits.probe(estimate, now_ms).err());
        denied
            .map(|denied| u64::try_from(denied.wait.as_millis()).unwrap_or(u64::MAX))
            .max()
    }

    /// How a backend stands now.
    #[must_use]
    pub fn standing(&self, backend: usize) -> Standing {
        let live = self.means.live.get(backend);
        live.map_or(Standing::Up, |live| live.standing(self.means.now_ms()))
    }
}

/// A conversation of a caller, as a number; `None`: it can't be told.
#[must_use]
pub fn conversation(principal: &Principal, ask: &Ask) -> Option<u64> {
    let conversation = ask.conversation?;
    let mut hasher = DefaultHasher::new();
    (&principal.id, conversation).hash(&mut hasher);
    Some(hasher.finish())
}

/// States what the keys of a configuration are held to, and what they share.
fn hold(holders: &Holders, config: &Config, before: Option<&World>) -> Budgets {
    let now = Timestamp::now();
    let budgets = Budgets::of(config, before.map(|world| &world.budgets), now);
    for key in &config.keys {
        let stated = Stated {
            key: &key.id,
            limits: key.limits,
            budget: key.budget,
            tags: key.tags.as_ref(),
            budgets: &budgets,
            zone: &config.time_zone,
        };
        holders.state(&stated, now);
    }
    budgets
}

/// Every provider, ready to be called; keys that are sent where they were sent before are known.
fn upstreams(config: &Config, before: Option<&World>) -> Vec<Upstream> {
    let prepared = |provider: &Provider| {
        let upstream = Upstream::of(provider);
        let old = before.and_then(|world| {
            let mut olds = world.config.providers.iter().zip(&world.means.upstreams);
            let same = |old: &Provider| old.name == provider.name;
            olds.find(|(old, _)| same(old) && view::same_place(old, provider))
        });
        match old {
            Some((_, old)) => upstream.knowing(old),
            None => upstream,
        }
    };
    config.providers.iter().map(prepared).collect()
}

/// Forgets how backends stood whose provider is called elsewhere or with another key now: a new
/// key must not wait until the old one's time is over.
fn forget_moved(config: &Config, live: &[Arc<Live>], before: &Config) {
    for (backend, live) in config.backends.iter().zip(live) {
        let provider = config.providers.get(backend.provider);
        let old = provider.and_then(|p| before.providers.iter().find(|old| old.name == p.name));
        if let (Some(provider), Some(old)) = (provider, old)
            && !view::same_access(old, provider)
        {
            live.health.forget();
        }
    }
}

/// A state for each name: the one that it had before, or a new one.
fn kept<'a, T: Default>(
    names: impl Iterator<Item = &'a str>,
    before: Option<(impl Iterator<Item = &'a str>, &[Arc<T>])>,
) -> Vec<Arc<T>> {
    let known: HashMap<&str, &Arc<T>> =
        before.map_or_else(HashMap::new, |(names, states)| names.zip(states).collect());
    names
        .map(|name| {
            known
                .get(name)
                .map_or_else(Arc::default, |state| Arc::clone(state))
        })
        .collect()
}

impl App {
    /// A program that serves one world, which came from there.
    #[must_use]
    pub fn new(world: World, metrics: Arc<Metrics>, origin: Origin, seen: Seen) -> Self {
        Self {
            world: ArcSwap::from_pointee(world),
            origin,
            seen: Mutex::new(seen),
            loads: ArcSwap::from_pointee(Loads {
                loaded_at: Timestamp::now(),
                last: None,
            }),
            metrics,
            store: None,
            keyring: None,
            learning: None,
            decisions: Arc::default(),
            room: Room::default(),
            taken: AtomicU64::new(0),
            draining: AtomicBool::new(false),
            ending: Arc::default(),
            strangers: Arc::default(),
            ids: RequestIds::new(),
        }
    }

    /// The same with a ledger, and the keys beside it. They stay the same until the program ends.
    #[must_use]
    pub fn with_store(self, store: Option<Store>) -> Self {
        let holders = &self.world().holders;
        let keyring = store
            .as_ref()
            .map(|store| Keyring::of(store.path(), Arc::clone(holders)));
        let store = store.map(Arc::new);
        let outcomes = Arc::clone(&self.world().means.outcomes);
        Self {
            learning: Some(Arc::new(Learning::start(outcomes, store.clone()))),
            keyring: keyring.map(Arc::new),
            store,
            ..self
        }
    }

    /// Where the rows of requests go.
    #[must_use]
    pub fn sink(&self) -> Option<Arc<dyn Sink>> {
        let store = self.store.as_ref().map(Arc::clone)?;
        Some(store)
    }

    /// The world as it is now; a request keeps the one it began with.
    #[must_use]
    pub fn world(&self) -> Arc<World> {
        self.world.load_full()
    }

    /// The same for a short look, in which it must not be waited.
    #[must_use]
    pub fn glance(&self) -> arc_swap::Guard<Arc<World>> {
        self.world.load()
    }

    /// From now on requests get another world; those under way keep theirs.
    pub fn replace(&self, world: World) {
        self.world.store(Arc::new(world));
    }

    /// What is known of loading the configuration.
    #[must_use]
    pub fn loads(&self) -> Arc<Loads> {
        self.loads.load_full()
    }

    /// The configuration was read again.
    pub fn note(&self, attempt: Attempt) {
        let loaded_at = match attempt.outcome {
            Ok(_) => attempt.at,
            Err(_) => self.loads().loaded_at,
        };
        self.loads.store(Arc::new(Loads {
            loaded_at,
            last: Some(attempt),
        }));
    }

    /// Is the next decision one of those that are kept, of which every `nth` is? The first is.
    #[must_use]
    pub fn keeps_decision(&self, nth: u32) -> bool {
        let keeps = self.store.is_some() && nth > 0;
        keeps && self.taken.fetch_add(1, Relaxed).is_multiple_of(nth.into())
    }

    /// An id that no other request has.
    #[must_use]
    pub fn next_id(&self) -> Arc<str> {
        self.ids.next()
    }

    /// From now on the program is about to stop.
    pub fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    /// From now on bodies that are polled end.
    pub fn end(&self) {
        self.ending.store(true, Relaxed);
    }

    /// Whether open answers must end, for their bodies.
    #[must_use]
    pub fn ending(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ending)
    }

    /// Is the program about to stop?
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }
}

/// Makes ids: a random number of the process and a counter, so that none costs a system call.
#[derive(Debug)]
struct RequestIds {
    process: u64,
    last: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        // an id of two requests would lose the second one's rows in the ledger, so without
        // randomness the clock must tell processes apart
        let clock = || Timestamp::now().as_nanosecond();
        Self {
            process: getrandom::u64().unwrap_or_else(|_| clock().unsigned_abs() as u64),
            last: AtomicU64::new(0),
        }
    }

    /// `req_`, sixteen hexadecimal digits of the process and at least eight of the request.
    fn next(&self) -> Arc<str> {
        let number = self.last.fetch_add(1, Relaxed);
        let Ok(small) = u32::try_from(number) else {
            return format!("req_{:016x}{number:08x}", self.process).into();
        };
        let mut id = *b"req_000000000000000000000000";
        let mut left = u128::from(self.process) << u32::BITS | u128::from(small);
        for place in id.iter_mut().skip(4).rev() {
            let digit = (left % 16) as usize;
            *place = b"0123456789abcdef".get(digit).copied().unwrap_or_default();
            left /= 16;
        }
        std::str::from_utf8(&id).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_requests_are_numbered_in_hexadecimal_digits_and_ascend() {
        let ids = RequestIds {
            process: 0x00ab_cdef_0123_4567,
            last: AtomicU64::new(0xffff_fffe),
        };
        let all = [ids.next(), ids.next(), ids.next()];
        let all: Vec<&str> = all.iter().map(|id| &**id).collect();
        let begin = "req_00abcdef01234567";
        let wanted = ["fffffffe", "ffffffff", "100000000"];
        assert_eq!(all, wanted.map(|end| format!("{begin}{end}")));
    }
}
