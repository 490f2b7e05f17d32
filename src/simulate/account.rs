//! What the simulator has served, by provider and model: the other side's truth in a test.
//!
//! Counters are atomics behind a sharded map, so that counting costs a request nothing that a
//! benchmark would see. Failures and disconnects take a lock of their own; they are rare.

mod counts;
mod visit;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;

use super::directive::{self, Script, ScriptError};
use super::memory::Memory;
pub use counts::{Disconnect, ModelCounts, Phase, Snapshot};
pub(crate) use visit::Visit;

/// Names that are kept; what comes after is counted together under `(other)`.
const MAX_MODELS: usize = 4096;
/// Disconnects that are kept for each model, the latest ones.
const MAX_DISCONNECTS: usize = 256;

/// A model that was asked for: how it behaves, and its counters.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) script: Script,
    /// The name without directives.
    pub(crate) base: String,
    provider: String,
    name: String,
    /// What it has in its cache.
    pub(crate) memory: Memory,
    counters: Counters,
    failed: Mutex<BTreeMap<&'static str, u64>>,
    disconnects: Mutex<VecDeque<Disconnect>>,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    in_flight: AtomicU64,
    ok: AtomicU64,
    prompt: AtomicU64,
    cached: AtomicU64,
    written: AtomicU64,
    completion: AtomicU64,
    reasoning: AtomicU64,
    connections: AtomicU64,
    before: AtomicU64,
    mid: AtomicU64,
    after: AtomicU64,
    /// Requests that came as far as the fault; what `fail` and `every` count.
    tried: AtomicU64,
}

impl Model {
    /// Counts a request that could meet the fault; its number, from 1.
    pub(crate) fn try_once(&self) -> u64 {
        self.counters.tried.fetch_add(1, Relaxed) + 1
    }

    /// Counts a failure.
    pub(crate) fn fail(&self, kind: &'static str) {
        *lock(&self.failed).entry(kind).or_default() += 1;
    }

    /// A client closed its connection after an answer.
    pub(crate) fn left_after(&self) {
        self.left(Phase::After, Duration::ZERO, 0);
    }

    fn left(&self, phase: Phase, after_request: Duration, events: u64) {
        let counter = match phase {
            Phase::BeforeHead => &self.counters.before,
            Phase::MidBody => &self.counters.mid,
            Phase::After => &self.counters.after,
        };
        counter.fetch_add(1, Relaxed);
        let mut disconnects = lock(&self.disconnects);
        if disconnects.len() == MAX_DISCONNECTS {
            disconnects.pop_front();
        }
        disconnects.push_back(Disconnect {
            phase,
            seen: Instant::now(),
            after_request,
            events,
        });
    }

    fn counts(&self) -> ModelCounts {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let counters = &self.counters;
        let failed = lock(&self.failed);
        ModelCounts {
            provider: self.provider.clone(),
            model: self.name.clone(),
            requests: read(&counters.requests),
            in_flight: read(&counters.in_flight),
            ok: read(&counters.ok),
            failed: failed
                .iter()
                .map(|(kind, count)| ((*kind).to_owned(), *count))
                .collect(),
            prompt_tokens: read(&counters.prompt),
            cached_tokens: read(&counters.cached),
            written_tokens: read(&counters.written),
            completion_tokens: read(&counters.completion),
            reasoning_tokens: read(&counters.reasoning),
            connections: read(&counters.connections),
            disconnects_before: read(&counters.before),
            disconnects_mid: read(&counters.mid),
            disconnects_after: read(&counters.after),
            disconnects: lock(&self.disconnects).iter().copied().collect(),
        }
    }

    /// Everything to zero but what is in flight.
    fn reset(&self) {
        let counters = &self.counters;
        for counter in [
            &counters.requests,
            &counters.ok,
            &counters.prompt,
            &counters.cached,
            &counters.written,
            &counters.completion,
            &counters.reasoning,
            &counters.connections,
            &counters.before,
            &counters.mid,
            &counters.after,
            &counters.tried,
        ] {
            counter.store(0, Relaxed);
        }
        lock(&self.failed).clear();
        lock(&self.disconnects).clear();
    }
}

/// All models that were asked for, and the server's own counters.
#[derive(Debug, Default)]
pub(crate) struct Account {
    models: DashMap<String, Arc<Model>>,
    pub(crate) opened: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) uploads_cut: AtomicU64,
}

impl Account {
    /// The model called `name` at `provider`, read on first use; `extra` gives its directives
    /// beside those of its name.
    pub(crate) fn model(
        &self,
        provider: &str,
        name: &str,
        extra: impl FnOnce() -> String,
    ) -> Result<Arc<Model>, ScriptError> {
        let key = if provider.is_empty() {
            name.to_owned()
        } else {
            format!("{provider}\n{name}")
        };
        if let Some(model) = self.models.get(&key) {
            return Ok(Arc::clone(&model));
        }
        let model = |name: &str, script| {
            Arc::new(Model {
                script,
                base: directive::base(name).to_owned(),
                provider: provider.to_owned(),
                name: name.to_owned(),
                memory: Memory::default(),
                counters: Counters::default(),
                failed: Mutex::default(),
                disconnects: Mutex::default(),
            })
        };
        let script = Script::parse(name, &extra())?;
        if self.models.len() < MAX_MODELS {
            return Ok(Arc::clone(
                &self
                    .models
                    .entry(key)
                    .or_insert_with(|| model(name, script)),
            ));
        }
        // one shared entry would mix up `fail` counts, so these names count only for themselves
        Ok(model(name, script))
    }

    /// Everything at this moment.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut models: Vec<ModelCounts> = self
            .models
            .iter()
            .map(|entry| entry.value().counts())
            .collect();
        models.sort_by(|a, b| (&a.provider, &a.model).cmp(&(&b.provider, &b.model)));
        Snapshot {
            simulated: true,
            connections_opened: self.opened.load(Relaxed),
            connections_open: self.open.load(Relaxed),
            requests: self.requests.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            uploads_cut: self.uploads_cut.load(Relaxed),
            models,
        }
    }

    /// All counters to zero; what is open or in flight stays counted.
    pub(crate) fn reset(&self) {
        self.models.retain(|_, model| {
            model.reset();
            model.counters.in_flight.load(Relaxed) > 0
        });
        for counter in [
            &self.opened,
            &self.requests,
            &self.rejected,
            &self.uploads_cut,
        ] {
            counter.store(0, Relaxed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
