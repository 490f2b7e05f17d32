//! The price catalogue: who offers which model, what it can do, and what its tokens cost when.
//!
//! Pure facts and their arithmetic: a card is chosen by time, tier and prompt size, and a usage
//! is priced on it in exact integers. The files stand in `config/catalog/` (format in its README)
//! and are built into the program, one parsed on first use.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{config::Caps, money::Rate};

/// Who offers models, and where.
#[derive(Debug, Clone)]
pub struct Provider {
    pub id: Arc<str>,
    pub name: Arc<str>,
    pub origin: Arc<str>,
    pub regions: Vec<Arc<str>>,
    pub protocol: Protocol,
    pub base_url: Option<Arc<str>>,
    pub env: Vec<Arc<str>>,
    pub docs: Arc<str>,
    pub adapter: Adapter,
    pub boundary: Boundary,
    pub models: Vec<Model>,
}

/// One model at one provider.
#[derive(Debug, Clone)]
pub struct Model {
    pub id: Arc<str>,
    pub model_key: Arc<str>,
    pub mode: Mode,
    pub status: Status,
    pub context: Option<u64>,
    pub max_output: Option<u64>,
    pub caps: Option<Caps>,
    pub cards: Arc<[Card]>,
    pub developer: Option<Arc<str>>,
    pub developer_origin: Option<Arc<str>>,
    pub weights: Option<Arc<str>>,
    pub licence: Option<Arc<str>>,
    pub retires: Option<jiff::civil::Date>,
}

/// What a model is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Chat,
    Completion,
    Embedding,
}

/// Is a model still offered?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Current,
    Deprecated,
    Removed,
}

/// The wire dialect of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    OpenAi,
    Anthropic,
    Gemini,
    Azure,
    Bedrock,
}

/// How an endpoint counts usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adapter {
    OpenAi,
    DeepSeek,
    Anthropic,
    Gemini,
    Bedrock,
    Xai,
    DashScope,
    Moonshot,
    Perplexity,
    Cohere,
}

/// When a prompt is over a context tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// prompt > over
    Over,
    /// prompt >= over
    AtOrOver,
}

/// What one service tier of a model costs, within its dates and conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// `standard`, `batch`, `flex`, `priority`, `fast`, …
    pub tier: Arc<str>,
    pub rates: Rates,
    /// Context tier: tokens of prompt.
    pub over: Option<u64>,
    /// Id of a time window in `_schedules.toml`.
    pub window: Option<Arc<str>>,
    pub when: Option<When>,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub currency: Currency,
    pub source: Arc<str>,
}

/// The condition of a card on thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Reasoning,
    NonReasoning,
}

/// What a card's rates are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Currency {
    Usd,
    Cny,
}

/// Rates of a card; an absent one falls back as the format says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    pub input: Option<Rate>,
    pub output: Option<Rate>,
    pub cache_read: Option<Rate>,
    pub cache_write: Option<Rate>,
    pub cache_write_1h: Option<Rate>,
    pub output_reasoning: Option<Rate>,
    pub input_audio: Option<Rate>,
    pub output_audio: Option<Rate>,
    pub cache_read_audio: Option<Rate>,
    pub input_image: Option<Rate>,
    pub output_image: Option<Rate>,
}
