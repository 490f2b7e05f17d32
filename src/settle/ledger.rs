//! What the ledger is told: one row for each call to a backend.
//!
//! Plain data, and the trait by which whoever keeps the rows takes them. An account makes them when
//! a call has come to its end; it promises each row once, and never waits for it to be written.

use std::{fmt::Debug, sync::Arc};

use crate::{domain::Domain, money::Usd, usage::Usage};

/// Takes rows; whoever keeps them implements it.
pub trait Sink: Debug + Send + Sync {
    /// Takes a row. Never waits.
    fn record(&self, row: Row);

    /// Takes a decision, as JSON, with all that it was taken on. Never waits.
    fn decided(&self, request_id: &Arc<str>, at_ms: i64, decision: String);

    /// May a request be served now, although its rows could get lost?
    fn accepts(&self) -> bool;
}

/// One call to a backend, after its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub request_id: Arc<str>,
    /// The number of the call within its request, from 1.
    pub attempt: u32,
    /// When its usage had come, or it ended without: milliseconds since 1970, UTC.
    pub completed_ms: i64,
    /// The key's id; `None`: nobody was asked for one.
    pub key: Option<Arc<str>>,
    /// A JSON object of texts: the key's tags, and those of the request that are not among them.
    pub tags: Option<Arc<str>>,
    /// The names of those that are the key's, with commas: budgets count them. `None`: all are.
    pub key_tags: Option<Arc<str>>,
    /// The beginning of the SHA-256 of what the request calls its `user`.
    pub user: Option<[u8; 8]>,
    pub endpoint: &'static str,
    /// The route that was asked for; `None`: a model was.
    pub route: Option<Arc<str>>,
    /// The name of the configuration.
    pub model: Arc<str>,
    /// `provider/model`.
    pub backend: Arc<str>,
    /// Where the price comes from; `None`: nothing was priced.
    pub card: Option<Arc<str>>,
    pub usage: Usage,
    /// The service tier that was priced, in the catalogue's words.
    pub tier: &'static str,
    /// What counts. `None`: not known, which is not zero.
    pub cost: Option<Usd>,
    pub basis: Basis,
    /// What the card says, where a usage was reported.
    pub list_cost: Option<Usd>,
    /// What the provider says that it charges.
    pub reported_cost: Option<Usd>,
    /// What the route's baseline would have cost for the same usage, and nothing where nothing came
    /// of the call. `None`: there is no baseline, or one of the two prices is not known.
    pub baseline_cost: Option<Usd>,
    /// How long it kept hardware of one's own busy at the configured speeds, in nanoseconds of a
    /// GPU: its weight in the bill of the day. `None`: it ran elsewhere.
    pub gpu_ns: Option<u64>,
    /// The usage as it came, where it contradicts itself; at most [`MOST_RAW`] bytes.
    pub raw_usage: Option<Box<str>>,
    /// From the beginning of the call to its end.
    pub latency_ms: u64,
    /// From the beginning of the call to the first event or byte of its answer.
    pub first_token_ms: Option<u64>,
    /// What the backend answered.
    pub status: Option<u16>,
    /// As in the metric of attempts.
    pub outcome: &'static str,
    /// How good the answer was expected to be; `None`: it did not matter, or nobody knew.
    pub prediction: Option<Prediction>,
}

/// How good an answer was expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prediction {
    /// What kind of work the request was taken for.
    pub domain: Domain,
    /// The chance that it is acceptable, in 1/10,000, before outcomes had taught anything.
    pub predicted: u16,
}

/// Bytes of a contradictory usage that are kept.
pub const MOST_RAW: usize = 4096;

/// What a cost rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The usage that the backend reported, at the price that applies; or a call that used nothing.
    Exact,
    /// What the provider says that it charges.
    Reported,
    /// A usage that nobody reported.
    Estimated,
    /// No price applies.
    Unpriced,
}

impl Basis {
    /// Whose figure counts of a usage that was reported: what the provider says that it charges,
    /// else what the card says.
    #[must_use]
    pub fn of(charged: Option<Usd>, listed: Option<Usd>) -> (Option<Usd>, Self) {
        match (charged, listed) {
            (Some(charged), _) => (Some(charged), Self::Reported),
            (None, Some(listed)) => (Some(listed), Self::Exact),
            (None, None) => (None, Self::Unpriced),
        }
    }

    /// The word in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Reported => "reported",
            Self::Estimated => "estimated",
            Self::Unpriced => "unpriced",
        }
    }
}

/// The ledger can't be written, and requests are not to be served without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("requests are refused while the ledger can't be written")]
pub struct Unrecorded;
