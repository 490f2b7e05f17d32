//! The configuration as the program uses it: every name resolved, every number checked.
//!
//! `raw` says what may be written, `load` reads it (files, variables), `shape` finds every
//! mistake of form at once, `check` turns it into the types below or lists every mistake of
//! meaning. Nothing here reads a clock; only `load` does I/O.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use jiff::{Timestamp, tz::TimeZone};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{
    caps::Caps,
    catalog::{self, Adapter, Boundary, Card, Protocol, SelfHosted, Shared, Takes},
    certificates::{Authorities, Identity},
    domain::Domain,
    quality::Scores,
    tokens::Family,
};

mod budget;
mod check;
pub mod load;
pub mod mistake;
mod pending;
pub mod policy;
pub mod raw;
mod schema;
mod shape;
pub mod tags;
pub mod text;
mod vars;
pub mod view;
pub mod yaml;

pub use budget::{Budget, Period, Scope, SharedBudget};
pub use check::{Catalog, Checked};
pub use mistake::{Mistake, Mistakes, Note};
pub use policy::{About, Hosting, Policy, Weights};
pub use raw::Raw;
pub use schema::schema;
pub use shape::to_json;
pub use tags::Tags;

/// The source of a price card that the configuration writes.
pub const STATED: &str = "configuration";

/// Everything that `serve` runs on. Indices (`usize`) point into the vectors of this struct.
#[derive(Debug)]
pub struct Config {
    /// The address for clients and its limits.
    pub server: Server,
    /// The operator's address.
    pub admin: Admin,
    /// Where spend is recorded.
    pub store: Store,
    /// Exchange rates and hours that price cards refer to.
    pub prices: Arc<Shared>,
    /// How good models are by `scores:` and `calibration:`.
    pub scored: Scored,
    /// Who may call.
    pub auth: Auth,
    /// Accounts and addresses.
    pub providers: Vec<Provider>,
    /// One model at one provider each; names are unique.
    pub backends: Vec<Backend>,
    /// What clients may ask for by a plain name.
    pub models: Vec<Model>,
    /// Virtual models that choose among `models`.
    pub routes: Vec<Route>,
    /// Keys of clients.
    pub keys: Vec<Key>,
    /// What keys may spend together; ids are unique.
    pub budgets: Vec<SharedBudget>,
    /// How often and how long a failed attempt is repeated.
    pub retries: Retries,
    /// When a backend that fails is left alone.
    pub breaker: Breaker,
    /// Of the whole gateway.
    pub limits: Limits,
    /// Where the days, weeks and months of budgets begin.
    pub time_zone: TimeZone,
    /// How many series metrics may have.
    pub metrics: Series,
    /// What is collected of decisions and answers.
    pub evidence: Evidence,
}

/// `evidence:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence {
    /// May clients say how good answers were?
    pub feedback: bool,
    /// Are answers looked at?
    pub verify: bool,
    /// Are predictions for one key corrected by the outcomes of others?
    pub across_keys: bool,
    /// One of so many decisions is kept in the ledger; 0: none.
    pub decisions: u32,
}

impl Default for Evidence {
    fn default() -> Self {
        Self {
            feedback: true,
            verify: true,
            across_keys: false,
            decisions: 100,
        }
    }
}

/// `metrics:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Series {
    /// So many keys, the first of the file, are labels by their ids.
    pub max_keys: usize,
    /// Series of one family.
    pub max_series: usize,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            max_keys: 200,
            max_series: 20_000,
        }
    }
}

/// `limits:` of the gateway, a provider, a model, a route or a key; absent is unlimited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute, all of which may come at once.
    pub rpm: Option<NonZeroU32>,
    /// Tokens a minute: prompt and worst-case output on entry, corrected to the real use.
    pub tpm: Option<NonZeroU64>,
    /// Requests at once.
    pub max_concurrent: Option<NonZeroU32>,
}

/// `server:`; field meanings are those of the configuration reference.
#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    /// Bytes of a request body.
    pub max_body: u64,
    /// Connections that are open at once at a listener, from the start of the program.
    pub max_connections: u32,
    /// Bytes of a JSON answer that is held until its end.
    pub max_buffered_answer: u64,
    pub connect_timeout: Duration,
    /// `None`: the default (120 s) for streams, `request_timeout` for whole answers.
    pub first_byte_timeout: Option<Duration>,
    pub idle_timeout: Duration,
    pub request_timeout: Duration,
    pub keep_alive: Duration,
    /// Zero: no comments.
    pub sse_keep_alive: Duration,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    pub cors_origins: Vec<HeaderValue>,
    /// `None`: clients are served in plain text.
    pub tls: Option<Tls>,
}

/// `server.tls`: the files, and what they held when the configuration was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
    pub identity: Identity,
}

/// `admin:`.
#[derive(Debug, Clone)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Without one, one is made at start and printed.
    pub key: Option<SecretString>,
}

/// `store:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub ledger: Ledger,
    /// Was the ledger written down? One that nobody asked for may be done without.
    pub stated: bool,
    pub on_failure: OnFailure,
}

/// Where the ledger is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ledger {
    /// Nowhere.
    None,
    /// In a SQLite database; a relative path begins at the folder that the program runs in.
    Sqlite(PathBuf),
}

/// What is done while the ledger can't be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Requests are served; rows wait in a bounded file.
    Serve,
    /// Requests are refused.
    Refuse,
}

/// `auth:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// A key of `keys:` is needed.
    Keys,
    /// Nobody is asked for a key; one that is sent is ignored.
    Open,
}

/// One entry of `providers:`.
#[derive(Debug)]
pub struct Provider {
    pub name: Arc<str>,
    pub protocol: Protocol,
    /// Without a trailing slash; at least one. Several are replicas of one deployment.
    pub base_urls: Vec<http::Uri>,
    /// They take turns; none: nothing is sent. No two are equal.
    pub api_keys: Vec<SecretString>,
    /// Sent with every request; `authorization` may stand here in place of `api_key`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// For policies and narrowing: `on-prem`, `eu`, …; `None`: not known.
    pub region: Option<Arc<str>>,
    /// Whose hardware it is; `None`: not known.
    pub hosting: Option<Hosting>,
    /// Days for which it keeps what it was sent; `None`: not known.
    pub retention_days: Option<u32>,
    /// How this endpoint counts usage.
    pub adapter: Adapter,
    /// How context tiers of its cards are compared.
    pub boundary: Boundary,
    /// What the catalogue knows of it, for answers that name another model than was asked.
    pub listed: Listed,
    /// Which of `max_tokens` and `max_completion_tokens` it takes.
    pub output_limit_field: OutputLimitField,
    pub limits: Limits,
    /// What its hardware costs, where it is one's own: all its models and addresses share it.
    pub self_hosted: Option<SelfHosted>,
    /// `None`: it is called directly.
    pub proxy: Option<Proxy>,
    /// `None`: only the public authorities are trusted.
    pub ca_file: Option<CaFile>,
}

/// The price cards of every model that a provider has in the catalogue, by its id.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Listed(HashMap<Arc<str>, Arc<[Card]>>);

impl Listed {
    /// Of a provider of the catalogue.
    #[must_use]
    pub fn of(provider: &catalog::Provider) -> Self {
        let models = provider.models.iter();
        Self(
            models
                .map(|model| (Arc::clone(&model.id), Arc::clone(&model.cards)))
                .collect(),
        )
    }

    /// The cards of the model with exactly that id.
    #[must_use]
    pub fn cards(&self, model: &str) -> Option<&Arc<[Card]>> {
        self.0.get(model)
    }
}

/// All cards of a provider are pages of figures.
impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} models", self.0.len())
    }
}

/// `proxy:` of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// `http`, without path and credentials.
    pub address: http::Uri,
    /// What it is shown as `proxy-authorization`; marked sensitive.
    pub authorization: Option<HeaderValue>,
}

/// `ca_file:` of a provider: the file, and what it held when the configuration was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaFile {
    pub path: PathBuf,
    pub authorities: Authorities,
}

/// Which spelling of the output limit an endpoint accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputLimitField {
    /// Whatever the client sent.
    AsSent,
    /// `max_tokens` only.
    MaxTokens,
    /// `max_completion_tokens` only.
    MaxCompletionTokens,
}

/// Tables of scores, and what they say.
#[derive(Debug, Default)]
pub struct Scored {
    /// `scores:`, in the order written.
    pub files: Vec<PathBuf>,
    pub calibration: Option<PathBuf>,
    pub scores: Scores,
}

/// One model at one provider.
#[derive(Debug)]
pub struct Backend {
    /// `provider/model`; `model` as the provider spells it, so it may hold slashes itself.
    pub name: Arc<str>,
    /// Index into `providers`.
    pub provider: usize,
    /// What is sent upstream as `model`.
    pub upstream_model: Arc<str>,
    pub price: Price,
    /// Tokens of prompt and output together; `None`: not known.
    pub context: Option<u64>,
    /// How its tokens are counted; `None`: not known.
    pub tokenizer: Option<Family>,
    /// Tokens of output; `None`: not known.
    pub max_output: Option<u64>,
    /// `None`: not declared anywhere.
    pub caps: Option<Caps>,
    /// Are `caps` all that it can do, as the configuration states them? What the catalogue does not
    /// list is only not known.
    pub caps_are_all: bool,
    /// What it is for (see [`Cap::is_purpose`](crate::caps::Cap::is_purpose)); `None`: not known.
    pub serves: Option<Caps>,
    /// Inputs that one call for embeddings may have; `None`: any number.
    pub max_batch: Option<u64>,
    /// How many tools it takes, and which schemas.
    pub takes: Takes,
    pub quality: Quality,
    /// What policies ask for.
    pub about: About,
}

/// What a backend's tokens cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Price {
    /// Nobody said: an alarm, never zero.
    Unpriced,
    /// `price: free`: a declared zero.
    Free,
    /// Cards of the catalogue, or one card from the configuration.
    Cards(Arc<[Card]>),
    /// From what the hardware costs an hour.
    SelfHosted(SelfHosted),
}

/// The prior chance of an acceptable answer, in 1/10,000, by domain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quality {
    /// For domains without their own figure.
    pub default: Option<u16>,
    /// In the order of [`Domain::ALL`].
    pub by_domain: [Option<u16>; 8],
}

impl Quality {
    /// The chance in every domain, in 1/10,000, in the order of [`Domain::ALL`].
    #[must_use]
    pub fn everywhere(&self) -> [Option<u16>; Domain::ALL.len()] {
        Domain::ALL.map(|(domain, _)| self.at(domain))
    }

    /// The chance in that domain, in 1/10,000; `None`: not known.
    #[must_use]
    pub fn at(&self, domain: Domain) -> Option<u16> {
        self.by_domain
            .get(domain as usize)
            .copied()
            .flatten()
            .or(self.default)
    }
}

/// A name that clients may ask for.
#[derive(Debug)]
pub struct Model {
    pub name: Arc<str>,
    /// `name` ends in `*` and matches every name that begins with the rest.
    pub wildcard: bool,
    pub aliases: Vec<Arc<str>>,
    /// Indices into `backends`, in the order written.
    pub backends: Vec<usize>,
    pub limits: Limits,
}

/// A virtual model.
#[derive(Debug)]
pub struct Route {
    pub name: Arc<str>,
    /// Indices into `models`, in the order written; `"*"` is every model.
    pub candidates: Vec<usize>,
    pub objective: Objective,
    /// The floor, in 1/10,000.
    pub min_quality: Option<u16>,
    pub on_uncertain: OnUncertain,
    /// Does what a backend has in its cache of a conversation count in its price?
    pub affinity: bool,
    /// Does the next candidate serve when one fails?
    pub fallback: bool,
    /// Index into `models`: what savings are measured against.
    pub baseline: Option<usize>,
    pub limits: Limits,
    /// Which of its candidates may be asked; `None`: all.
    pub policy: Option<Policy>,
}

/// What a route minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    Cost,
    Latency,
    Quality,
    /// As listed.
    Order,
}

/// Whom to ask where no quality is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUncertain {
    Strongest,
    Cheapest,
}

/// A client's key: only its digest is kept.
#[derive(Debug)]
pub struct Key {
    pub id: Arc<str>,
    /// SHA-256 of the secret.
    pub sha256: [u8; 32],
    /// Model names or patterns with one trailing `*`; `None`: every model.
    pub models: Option<Vec<Arc<str>>>,
    pub limits: Limits,
    /// `None`: unlimited.
    pub budget: Option<Budget>,
    /// From then on it is not accepted; `None`: always.
    pub expires: Option<Timestamp>,
    pub tags: Option<Arc<Tags>>,
    /// Which backends may serve it; `None`: all.
    pub policy: Option<Arc<Policy>>,
    pub may: May,
}

/// What requests of a key may say otherwise than their route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct May {
    /// What is minimised.
    pub objective: bool,
}

/// `retries:`.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// Upstream attempts of one request, the first one included.
    pub attempts: u32,
    /// Share of the load that retries may add, in 1/1,000.
    pub budget_permille: u32,
    /// The longest `retry-after` that is waited out.
    pub max_wait: Duration,
    /// May a request be repeated that was sent and may have been processed?
    pub after_send: bool,
}

/// `breaker:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// So many failures within `window` open it.
    pub failures: u32,
    pub window: Duration,
    /// How long it stays open the first time.
    pub open: Duration,
}

// === defaults: those of the configuration reference ===

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4100)),
            max_body: 32 << 20,
            max_connections: 10_000,
            max_buffered_answer: 1 << 20,
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: None,
            idle_timeout: Duration::from_secs(300),
            request_timeout: Duration::from_secs(600),
            keep_alive: Duration::from_secs(75),
            sse_keep_alive: Duration::from_secs(15),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(30),
            cors_origins: Vec::new(),
            tls: None,
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4101)),
            key: None,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            ledger: Ledger::Sqlite("tollgate.db".into()),
            stated: false,
            on_failure: OnFailure::Serve,
        }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 3,
            budget_permille: 200,
            max_wait: Duration::from_secs(3),
            after_send: true,
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(30),
            open: Duration::from_secs(15),
        }
    }
}

/// Does a name match a pattern: equal, or beginning with what stands before a trailing `*`?
#[must_use]
pub fn pattern_matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}
