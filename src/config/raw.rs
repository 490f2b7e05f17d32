//! What may be written in a configuration file: the types behind the JSON Schema.
//!
//! Doc comments become the schema's descriptions, so they are written for operators. Absent is
//! `None`; what absence means is decided in `check`. Parts that are not built yet do not stand
//! here but in `pending`.

use std::{
    collections::BTreeMap,
    num::{NonZeroU32, NonZeroU64},
};

use schemars::JsonSchema;
use serde::Deserialize;

mod backend;
mod budget;
mod evidence;
mod policy;
mod value;

pub use backend::{Backend, Free, Price, Rates, Tokenizer};
pub use budget::{Budget, Period, SharedBudget, SoftAboveHard};
pub use evidence::Evidence;
pub use policy::{Hosting, MaxPrice, Policy, Weights};
pub use value::{
    Address, ByteSize, ClientKey, DigestText, FilePath, Fraction, HeaderText, HttpUrl, KeywordList,
    LedgerText, Moment, Money, Name, Origin, Pattern, PriceText, ProxyUrl, SecretText, TagMatch,
    TagValue, TimeSpan, UpstreamModel, Zone,
};

/// tollgate's configuration. Values may hold `${VAR}`, `${VAR:-default}` and `${file:/path}`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tollgate configuration")]
pub struct Raw {
    /// The address for clients and its limits.
    pub server: Option<Server>,
    /// The operator's address: metrics, health, admin API and console.
    pub admin: Option<Admin>,
    /// Where spend is recorded.
    pub store: Option<Store>,
    /// Files of your own over the price catalogue that is built in, later ones over earlier ones.
    pub catalog: Option<Vec<FilePath>>,
    /// Tables of benchmark scores that say how good models are, later ones over earlier ones: ours,
    /// or the summary that OpenCompass writes.
    pub scores: Option<Vec<FilePath>>,
    /// What `tollgate calibrate` wrote.
    pub calibration: Option<FilePath>,
    /// How clients prove who they are.
    pub auth: Option<Auth>,
    /// Accounts and addresses by name. A name from the catalogue needs only its `api_key`.
    #[serde(default)]
    #[schemars(schema_with = "value::providers")]
    pub providers: Option<BTreeMap<String, Provider>>,
    /// What clients may ask for. Absent: every current chat model of every provider above.
    pub models: Option<Vec<Model>>,
    /// Virtual models that choose among the models.
    pub routes: Option<Vec<Route>>,
    /// Keys of clients, at most 10,000.
    pub keys: Option<Vec<Key>>,
    /// What keys may spend together: all of them, those with a tag, or on a route; at most 1,000.
    /// They hold beside the budget of the key.
    pub budgets: Option<Vec<SharedBudget>>,
    /// How often and how long a failed attempt is repeated.
    pub retries: Option<Retries>,
    /// When a backend that fails is left alone.
    pub breaker: Option<Breaker>,
    /// Limits of the whole gateway; providers, models, routes and keys take the same block.
    pub limits: Option<Limits>,
    /// Where the days, weeks and months of budgets begin: `Europe/Berlin`, `Asia/Shanghai`, …
    #[schemars(extend("default" = "UTC"))]
    pub time_zone: Option<Zone>,
    /// How many series `/metrics` may have.
    pub metrics: Option<Series>,
    /// What is collected of decisions and answers.
    pub evidence: Option<Evidence>,
}

/// The address for clients and its limits.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// IP address and port of the OpenAI-style API.
    #[schemars(extend("default" = "127.0.0.1:4100"))]
    pub listen: Option<Address>,
    /// The largest request body.
    #[schemars(extend("default" = "32MiB"))]
    pub max_body: Option<ByteSize>,
    /// Connections that are open at once at this address, and at the operator's; more wait in the
    /// system's queue.
    #[schemars(extend("default" = 10_000))]
    pub max_connections: Option<NonZeroU32>,
    /// JSON answers up to this size are held till their end, so that the cost header is exact.
    #[schemars(extend("default" = "1MiB"))]
    pub max_buffered_answer: Option<ByteSize>,
    /// How long connecting to a backend may take.
    #[schemars(extend("default" = "5s"))]
    pub connect_timeout: Option<TimeSpan>,
    /// How long a backend may take to the first byte of the body, on a stream to its first event.
    /// Unset: 120s for streams, `request_timeout` for whole answers.
    pub first_byte_timeout: Option<TimeSpan>,
    /// The longest silence between two bytes of a backend's answer.
    #[schemars(extend("default" = "300s"))]
    pub idle_timeout: Option<TimeSpan>,
    /// The whole request, all attempts together.
    #[schemars(extend("default" = "600s"))]
    pub request_timeout: Option<TimeSpan>,
    /// How long an idle client connection is kept.
    #[schemars(extend("default" = "75s"))]
    pub keep_alive: Option<TimeSpan>,
    /// A comment line goes to the client when a backend is silent this long; 0: never.
    #[schemars(extend("default" = "15s"))]
    pub sse_keep_alive: Option<TimeSpan>,
    /// How long new connections are still accepted after SIGTERM.
    #[schemars(extend("default" = "0s"))]
    pub drain_delay: Option<TimeSpan>,
    /// How long open requests may take to end after that.
    #[schemars(extend("default" = "30s"))]
    pub drain_timeout: Option<TimeSpan>,
    /// Origins of web pages that may call; `*` is any.
    #[schemars(extend("default" = []))]
    pub cors_origins: Option<Vec<Origin>>,
    /// Clients are served over TLS with this certificate. Absent: in plain text.
    pub tls: Option<Tls>,
}

/// A certificate and its key. The files are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// A PEM file: the certificate, then its intermediates.
    pub cert: FilePath,
    /// A PEM file: the private key of the certificate.
    pub key: FilePath,
}

/// The operator's address.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// IP address and port of metrics, health, admin API and console.
    #[schemars(extend("default" = "127.0.0.1:4101"))]
    pub listen: Option<Address>,
    /// The operator's key. Without one, one is made at start and printed.
    pub key: Option<SecretText>,
}

/// Where spend is recorded.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite:PATH`, or `none`. One row for every call to a backend.
    #[schemars(extend("default" = "sqlite:tollgate.db"))]
    pub ledger: Option<LedgerText>,
    /// While the ledger can't be written: `serve` keeps rows in a bounded file beside it, `refuse`
    /// refuses requests.
    #[schemars(extend("default" = "serve"))]
    pub on_failure: Option<OnFailure>,
}

/// What is done while the ledger can't be written.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum OnFailure {
    Serve,
    Refuse,
}

/// How clients prove who they are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// `[keys]`: an entry of `keys` is needed; `none`: nobody is asked. Absent: `[keys]`, but
    /// `none` on a loopback address when no keys are written.
    pub mode: Option<AuthMode>,
    /// With `mode: none`: serve strangers on an address that is not loopback.
    #[schemars(extend("default" = false))]
    pub allow_open: Option<bool>,
}

/// One way to prove it, or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AuthMode {
    One(AuthKind),
    Several(Vec<AuthKind>),
}

/// A way to prove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum AuthKind {
    Keys,
    None,
}

/// An account or an address that offers models.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The wire dialect. Absent: the catalogue's, or `openai` where a base URL is written.
    pub protocol: Option<Protocol>,
    /// Where the API stands, up to and with its version: `http://10.0.0.5:8000/v1`.
    pub base_url: Option<HttpUrl>,
    /// Several replicas of one deployment, balanced by load. Instead of `base_url`.
    pub base_urls: Option<Vec<HttpUrl>>,
    /// Sent as `authorization: Bearer`.
    pub api_key: Option<SecretText>,
    /// Several keys, at most 100, that take turns; one that is refused or over its rate limit is
    /// left alone, and the others go on. Instead of `api_key`.
    pub api_keys: Option<Vec<SecretText>>,
    /// Where it stands, for policies: `on-prem`, `eu`, … Absent: what the catalogue knows.
    pub region: Option<Name>,
    /// Whose hardware it is, for policies. Absent: `own` with `self_hosted`, `vendor` at the
    /// catalogue's address of a vendor, else not known.
    pub hosting: Option<Hosting>,
    /// Days for which it keeps what it was sent, for policies. Absent: not known.
    pub retention_days: Option<u32>,
    /// What the hardware costs, for the price of its models.
    pub self_hosted: Option<SelfHosted>,
    /// Sent with every request.
    #[serde(default)]
    #[schemars(schema_with = "value::headers")]
    pub headers: Option<BTreeMap<String, HeaderText>>,
    /// Which spelling of the output limit the endpoint takes. Absent: what is known of a
    /// catalogue provider; else as the client sent it.
    pub output_limit: Option<OutputLimit>,
    /// Requests and tokens a minute, and requests at once.
    pub limits: Option<Limits>,
    /// The HTTP proxy that it is reached through: `http://user:password@proxy.example.com:3128`.
    /// Absent: none, whatever the environment says.
    pub proxy: Option<ProxyUrl>,
    /// A PEM file with authorities that its certificate may be signed by, beside the public ones.
    pub ca_file: Option<FilePath>,
}

/// The wire dialect of an endpoint.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Protocol {
    Openai,
}

/// Which spelling of the output limit an endpoint takes.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum OutputLimit {
    MaxTokens,
    MaxCompletionTokens,
    AsSent,
}

/// What hardware costs and how fast it is. The speeds are those of the whole deployment.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SelfHosted {
    /// Dollars an hour of one GPU.
    pub gpu_hour: Money,
    /// How many GPUs.
    #[schemars(range(min = 1))]
    pub gpus: u32,
    /// Prompt tokens a second.
    #[schemars(range(min = 1))]
    pub prefill_tps: u64,
    /// Output tokens a second.
    #[schemars(range(min = 1))]
    pub decode_tps: u64,
}

/// A name that clients may ask for, and who serves it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The name; a `*` at its end matches any rest.
    pub name: Pattern,
    /// Other names for the same.
    #[schemars(extend("default" = []))]
    pub aliases: Option<Vec<Name>>,
    /// Who serves it, in order of preference.
    pub backends: Vec<Backend>,
    /// Tokens of prompt and output together. Absent: the catalogue's.
    #[schemars(range(min = 1))]
    pub context: Option<u64>,
    /// How its tokens are counted where a prompt is about as long as the context. Absent: by its name.
    pub tokenizer: Option<Tokenizer>,
    /// Tokens of output. Absent: the catalogue's.
    #[schemars(range(min = 1))]
    pub max_output: Option<u64>,
    /// What it can do. Absent: the catalogue's.
    pub caps: Option<Vec<Capability>>,
    /// The chance of an acceptable answer, by kind of work.
    pub quality: Option<Quality>,
    /// Who made it, for policies. Absent: the catalogue's.
    pub developer: Option<Name>,
    /// The country of its developer, for policies: `CN`, `US`, … Absent: the catalogue's.
    pub developer_country: Option<Name>,
    /// Can its weights be had? For policies. Absent: the catalogue's.
    pub weights: Option<Weights>,
    /// The licence of its weights, for policies: `apache-2.0`, … Absent: the catalogue's.
    pub licence: Option<Name>,
    /// Requests and tokens a minute, and requests at once.
    pub limits: Option<Limits>,
}

/// What a model is for (`chat` where none of `chat`, `completions`, `embeddings`, `moderation`,
/// `rerank`, `images`, `speech`, `transcription` is listed), and what it can do beyond plain text.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    Streaming,
    Tools,
    ParallelTools,
    JsonSchema,
    Reasoning,
    Vision,
    AudioIn,
    AudioOut,
    Video,
    Pdf,
    Logprobs,
    N,
    WebSearch,
    Chat,
    Completions,
    Embeddings,
    Moderation,
    Rerank,
    Images,
    Speech,
    Transcription,
    PromptCache,
}

/// The prior chance of an acceptable answer, 0 to 1, by kind of work.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// For kinds without their own figure.
    pub default: Option<Fraction>,
    pub chat: Option<Fraction>,
    pub code: Option<Fraction>,
    pub math: Option<Fraction>,
    pub reasoning: Option<Fraction>,
    pub knowledge: Option<Fraction>,
    pub tools: Option<Fraction>,
    pub extraction: Option<Fraction>,
    pub multilingual: Option<Fraction>,
}

/// A virtual model that chooses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What clients ask for.
    pub name: Name,
    /// Models to choose among, or `"*"` for all.
    pub candidates: Candidates,
    /// What to minimise, or `order`: as listed.
    #[schemars(extend("default" = "cost"))]
    pub objective: Option<Objective>,
    /// The floor: the chance of an acceptable answer. Absent: capability only.
    pub min_quality: Option<Fraction>,
    /// Whom to ask where no quality is known.
    #[schemars(extend("default" = "strongest"))]
    pub on_uncertain: Option<OnUncertain>,
    /// Does the next candidate serve when one fails?
    #[schemars(extend("default" = true))]
    pub fallback: Option<bool>,
    /// The model that savings are measured against.
    pub baseline: Option<Pattern>,
    /// `conversation`: what a backend has in its cache of a conversation counts in its price, so that
    /// the conversation moves only when that is cheaper. `none`: it may move at any time.
    #[schemars(extend("default" = "conversation"))]
    pub affinity: Option<Affinity>,
    /// Which of its candidates may be asked. Absent: all.
    pub policy: Option<Policy>,
    /// Requests and tokens a minute, and requests at once.
    pub limits: Option<Limits>,
}

/// Models by name, or all of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Candidates {
    All(Star),
    Named(Vec<Pattern>),
}

/// Every model.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Star {
    #[serde(rename = "*")]
    Star,
}

/// What a route minimises.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Objective {
    Cost,
    Latency,
    Quality,
    Order,
}

/// Whom to ask where no quality is known.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum OnUncertain {
    Strongest,
    Cheapest,
}

/// What keeps a conversation at one backend.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Affinity {
    Conversation,
    None,
}

/// A client's key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its name in logs and metrics.
    pub id: Name,
    /// The secret itself, at least 20 characters.
    pub key: Option<ClientKey>,
    /// The secret's SHA-256 in hexadecimal. Instead of `key`.
    pub sha256: Option<DigestText>,
    /// What it may ask for; a `*` at the end matches any rest. Absent: everything.
    pub models: Option<Vec<Pattern>>,
    /// Requests and tokens a minute, and requests at once.
    pub limits: Option<Limits>,
    /// What it may spend. Absent: unlimited. A key that has one is never served by a backend whose
    /// price is not known.
    pub budget: Option<Budget>,
    /// From when on it is not accepted: `2027-01-31T18:00:00Z`, or a date, whose day in UTC is no
    /// longer included. Absent: never.
    pub expires: Option<Moment>,
    /// Which backends may serve it. Absent: all.
    pub policy: Option<Policy>,
    /// What its requests may say otherwise than their route. Absent: nothing.
    pub may: Option<Vec<May>>,
    /// What its spend is told apart by in the ledger, at most 10.
    #[serde(default)]
    #[schemars(schema_with = "value::tags")]
    pub tags: Option<BTreeMap<String, TagValue>>,
}

/// What a request may say otherwise than its route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum May {
    Objective,
}

/// What may be asked for in a minute and at once; absent is unlimited.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Requests a minute, all of which may come at once.
    #[schemars(range(min = 1, max = 4294967295u32))]
    pub rpm: Option<NonZeroU32>,
    /// Tokens a minute: prompt and worst-case output on entry, corrected to the real use.
    #[schemars(range(min = 1))]
    pub tpm: Option<NonZeroU64>,
    /// Requests at once.
    #[schemars(range(min = 1, max = 4294967295u32))]
    pub max_concurrent: Option<NonZeroU32>,
}

/// How often and how long a failed attempt is repeated.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retries {
    /// Upstream attempts of one request, the first one included.
    #[schemars(range(min = 1, max = 10), extend("default" = 3))]
    pub attempts: Option<u32>,
    /// The share of the load that retries may add, 0 to 1.
    #[schemars(extend("default" = 0.2))]
    pub budget: Option<Fraction>,
    /// The longest `retry-after` that is waited out.
    #[schemars(extend("default" = "3s"))]
    pub max_wait: Option<TimeSpan>,
    /// May a request be repeated that was sent and may have been processed?
    #[schemars(extend("default" = true))]
    pub after_send: Option<bool>,
}

/// When a backend that fails is left alone.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// So many failures within `window` open it, if at least a tenth of its calls failed.
    #[schemars(range(min = 1, max = 100), extend("default" = 5))]
    pub failures: Option<u32>,
    /// How far back failures count.
    #[schemars(extend("default" = "30s"))]
    pub window: Option<TimeSpan>,
    /// How long the backend is left alone; doubled each time it fails again, up to 5 minutes.
    #[schemars(extend("default" = "15s"))]
    pub open: Option<TimeSpan>,
}

/// How many series `/metrics` may have.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The first so many of `keys` are labels by their ids, all others are `other`.
    #[schemars(range(min = 0, max = 10_000), extend("default" = 200))]
    pub max_keys: Option<u32>,
    /// Series of one family; what is more is counted under `other`.
    #[schemars(range(min = 100, max = 1_000_000), extend("default" = 20_000))]
    pub max_series: Option<u32>,
}
