//! What the account tells: plain counters at one moment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

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
    /// Prompt tokens of the same that were written to a cache.
    pub written_tokens: u64,
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
    /// Clients that went before their request's body was whole, its model unknown.
    pub uploads_cut: u64,
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
            (&mut self.written_tokens, other.written_tokens),
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

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
