//! The price catalogue: who offers which model, what it can do, and what its tokens cost when.
//!
//! Pure facts and their arithmetic: a card is chosen by time, tier and prompt size, and a usage
//! is priced on it in exact integers. The files stand in `config/catalog/` (format in its README)
//! and are built into the program, one parsed on first use.

use std::sync::Arc;

use jiff::Timestamp;

use crate::money::Rate;

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
