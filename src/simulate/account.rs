//! What the simulator has served, by provider and model: the other side's truth in a test.
//!
//! Counters are atomics behind a sharded map, so that counting costs a request nothing that a
//! benchmark would see. Failures and disconnects take a lock of their own; they are rare.

mod visit;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use serde::Serialize;

use super::directive::{self, Script, ScriptError};
pub(crate) use visit::Visit;

/// Names that are kept; what comes after is counted together under `(other)`.
const MAX_MODELS: usize = 4096;
/// Disconnects that are kept for each model, the latest ones.
const MAX_DISCONNECTS: usize = 256;

/// When a client went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before the response head.
    BeforeHead,
    /// After the head, before the end of the body.
    MidBody,
    /// After the answer, on an idle connection.
    After,
}

/// A client that closed or broke its connection.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Disconnect {
    /// How far the answer had come.
    pub phase: Phase,
    /// When the simulator saw it.
    #[serde(skip)]
    pub seen: Instant,
    /// Time from the request to then.
    #[serde(rename = "after_request_ms", serialize_with = "milliseconds")]
    pub after_request: Duration,
    /// Data events that had been sent.
    pub events: u64,
}

/// Counters of one model at one provider.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModelCounts {
    /// The `<provider>` of `/p/<provider>/`, empty without a prefix.
    pub provider: String,
    /// The model as it was asked for, directives included.
    pub model: String,
    /// Requests that named it.
    pub requests: u64,
    /// Those that are not answered yet.
    pub in_flight: u64,
    /// Answers that were delivered whole.
    pub ok: u64,
    /// Answers that failed, by the name of the fault; `rejected` are refusals of bad requests.
    pub failed: BTreeMap<String, u64>,
    /// Prompt tokens of all answers that began, cached ones included.
    pub prompt_tokens: u64,
    /// Cached prompt tokens of all answers that began.
    pub cached_tokens: u64,
    /// Output tokens that were sent, reasoning included, those of aborted streams too.
    pub completion_tokens: u64,
    /// Reasoning tokens that were sent.
    pub reasoning_tokens: u64,
    /// Connections whose first request was for this model.
    pub connections: u64,
    /// Clients that went before the head.
    pub disconnects_before: u64,
    /// Clients that went during the body.
    pub disconnects_mid: u64,
    /// Clients that closed their connection after an answer.
    pub disconnects_after: u64,
    /// The latest disconnects.
    pub disconnects: Vec<Disconnect>,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Snapshot {
    /// Always true: this is no bill.
    pub simulated: bool,
    /// Connections that were accepted.
    pub connections_opened: u64,
    /// Connections that are open.
    pub connections_open: u64,
    /// Requests on the API paths.
    pub requests: u64,
    /// Requests that the strict checks refused, those without a readable model too.
    pub rejected: u64,
    /// By model, sorted by provider and name.
    pub models: Vec<ModelCounts>,
}

impl Snapshot {
    /// The counters of one model, summed over providers; zeros where it was never asked for.
    #[must_use]
    pub fn model(&self, model: &str) -> ModelCounts {
        let mut sum = ModelCounts {
            model: model.to_owned(),
            ..ModelCounts::default()
        };
        self.models
            .iter()
            .filter(|counts| counts.model == model)
            .for_each(|counts| sum.add(counts));
        sum
    }

    /// The counters of one model at one provider.
    #[must_use]
    pub fn at(&self, provider: &str, model: &str) -> ModelCounts {
        let found = self
            .models
            .iter()
            .find(|c| c.provider == provider && c.model == model);
        found.cloned().unwrap_or_default()
    }
}

impl ModelCounts {
    fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.requests, other.requests),
            (&mut self.in_flight, other.in_flight),
            (&mut self.ok, other.ok),
            (&mut self.prompt_tokens, other.prompt_tokens),
            (&mut self.cached_tokens, other.cached_tokens),
            (&mut self.completion_tokens, other.completion_tokens),
            (&mut self.reasoning_tokens, other.reasoning_tokens),
            (&mut self.connections, other.connections),
            (&mut self.disconnects_before, other.disconnects_before),
            (&mut self.disconnects_mid, other.disconnects_mid),
            (&mut self.disconnects_after, other.disconnects_after),
        ] {
            *sum += more;
        }
        for (kind, count) in &other.failed {
            *self.failed.entry(kind.clone()).or_default() += count;
        }
        self.disconnects.extend(&other.disconnects);
    }
}

/// A model that was asked for: how it behaves, and its counters.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) script: Script,
    /// The name without directives.
    pub(crate) base: String,
    provider: String,
    name: String,
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
            models,
        }
    }

    /// All counters to zero; what is open or in flight stays counted.
    pub(crate) fn reset(&self) {
        self.models.retain(|_, model| {
            model.reset();
            model.counters.in_flight.load(Relaxed) > 0
        });
        for counter in [&self.opened, &self.requests, &self.rejected] {
            counter.store(0, Relaxed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn milliseconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
