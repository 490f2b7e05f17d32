//! The price catalogue: who offers which model, what it can do, and what its tokens cost when.
//!
//! Pure facts and their arithmetic: a card is chosen by time, tier and prompt size, and a usage
//! is priced on it in exact integers. The files stand in `config/catalog/` (format in its README)
//! and are built into the program, one parsed on first use. Nothing here reads a clock or a file.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::{
    caps::{Cap, Caps},
    keywords::Keywords,
    money::{Rate, Usd},
};

use self::time::Window;

pub mod check;
mod embed;
mod file;
pub mod hosted;
pub mod meter;
pub mod overlay;
pub mod pick;
pub mod price;
pub mod refresh;
pub mod time;

/// The tier of a call that names none, and what an unknown tier falls back to.
pub const STANDARD: &str = "standard";

/// The wire dialect of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    OpenAi,
    Anthropic,
    Gemini,
    Azure,
    Bedrock,
}

/// How an endpoint counts usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Boundary {
    /// prompt > over
    #[serde(rename = "gt")]
    Over,
    /// prompt >= over
    #[serde(rename = "ge")]
    AtOrOver,
}

/// One account's worth of models: a vendor, or one region of it whose keys work nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// The name in the configuration.
    pub id: Arc<str>,
    pub name: Arc<str>,
    /// ISO 3166 country of the vendor; `--` where there is none.
    pub origin: Arc<str>,
    pub regions: Vec<Arc<str>>,
    pub protocol: Protocol,
    /// Without a trailing slash; `{region}` stands for a region of the account.
    pub base_url: Option<Arc<str>>,
    /// Variables that may hold the key, in order of preference.
    pub env: Vec<Arc<str>>,
    /// Where the vendor documents models and prices; empty for self-hosted ones.
    pub docs: Arc<str>,
    pub adapter: Adapter,
    pub boundary: Boundary,
    /// What its endpoint is known to take.
    pub takes: Takes,
    /// Ids are unique.
    pub models: Vec<Model>,
}

/// How many tools an endpoint takes, and which schemas; as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Takes {
    /// Tools of one request; `None`: not known to be limited.
    pub max_tools: Option<u64>,
    /// Keywords that no schema may use.
    pub schema_lacks: Keywords,
    /// Keywords that no schema may use which is to be followed strictly.
    pub strict_schema_lacks: Keywords,
}

/// A model as one provider offers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// As the provider spells it.
    pub id: Arc<str>,
    /// Equal for the same model at several providers.
    pub model_key: Arc<str>,
    pub mode: Mode,
    pub status: Status,
    /// Tokens of prompt and output together; `None`: not known.
    pub context: Option<u64>,
    /// Tokens of output; `None`: not known.
    pub max_output: Option<u64>,
    /// `None`: not known.
    pub caps: Option<Caps>,
    /// In the order of the file; [`price::cost`] chooses among them.
    pub cards: Arc<[Card]>,
    pub developer: Option<Arc<str>>,
    /// ISO 3166 country of the developer.
    pub developer_origin: Option<Arc<str>>,
    /// `open` or `closed`.
    pub weights: Option<Arc<str>>,
    pub licence: Option<Arc<str>>,
    /// The announced end.
    pub retires: Option<Date>,
    /// Its key in the price map of LiteLLM, where it was joined by hand.
    pub litellm_key: Option<Arc<str>>,
}

/// The kind of endpoint a model is called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Chat,
    Completion,
    Embedding,
    Moderation,
    Rerank,
    Image,
    Speech,
    Transcription,
}

impl Mode {
    /// What a model of this kind is for.
    #[must_use]
    pub fn purposes(self) -> Caps {
        Caps::default().with(match self {
            Self::Chat => Cap::Chat,
            Self::Completion => Cap::Completions,
            Self::Embedding => Cap::Embeddings,
            Self::Moderation => Cap::Moderation,
            Self::Rerank => Cap::Rerank,
            Self::Image => Cap::Images,
            Self::Speech => Cap::Speech,
            Self::Transcription => Cap::Transcription,
        })
    }
}

/// Where a model is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    #[default]
    Current,
    Deprecated,
    Removed,
}

/// What one service tier of a model costs, within its dates and conditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// `standard`, `batch`, `flex`, `priority`, `fast`, …
    pub tier: Arc<str>,
    pub rates: Rates,
    /// Context tier: tokens of prompt.
    pub over: Option<u64>,
    /// The hours in which the card applies; it then beats cards without any.
    pub window: Option<Arc<Window>>,
    pub when: Option<When>,
    /// The first moment it applies.
    pub from: Option<Timestamp>,
    /// The first moment it no longer applies.
    pub until: Option<Timestamp>,
    pub currency: Currency,
    pub source: Arc<str>,
    /// How its figures are known: `documented`, `contract`, [`refresh::BASIS`], …
    pub basis: Arc<str>,
    /// A recording that is shorter is billed as one of so many seconds; 0: as long as it is.
    pub min_audio_seconds: u32,
    /// Priced by what the hardware costs; `rates` are then empty.
    pub self_hosted: Option<SelfHosted>,
}

impl Card {
    /// A card that always applies, in dollars: what a configuration writes as `price:`.
    #[must_use]
    pub fn flat(rates: Rates, source: &str) -> Self {
        Self {
            tier: STANDARD.into(),
            rates,
            over: None,
            window: None,
            when: None,
            from: None,
            until: None,
            currency: Currency::Usd,
            source: source.into(),
            basis: "configuration".into(),
            min_audio_seconds: 0,
            self_hosted: None,
        }
    }

    /// May the same usage cost something else at another moment?
    #[must_use]
    pub fn depends_on_time(&self) -> bool {
        let dated = self.from.is_some() || self.until.is_some();
        dated || self.window.is_some() || self.currency != Currency::Usd
    }
}

/// The condition of a card on thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    Reasoning,
    NonReasoning,
}

/// What a card's rates are written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    #[default]
    Usd,
    Cny,
}

/// Rates of a card per 1,000,000 units, unless the name says otherwise; an absent one falls back
/// as the format says.
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
    /// Per 1,000 web searches.
    pub web_search_k: Option<Rate>,
    /// Per 1,000 requests.
    pub request_k: Option<Rate>,
    /// Per 3,600 seconds of audio.
    pub audio_hour: Option<Rate>,
    /// Per 1,000,000 characters.
    pub char_m: Option<Rate>,
    /// Per image.
    pub image_each: Option<Rate>,
    /// Per 1,000 pages.
    pub page_k: Option<Rate>,
}

impl Rates {
    /// Every rate that there is, by the name that it has in files, those of tokens first.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, Rate)> {
        [
            ("input", self.input),
            ("output", self.output),
            ("cache_read", self.cache_read),
            ("cache_write", self.cache_write),
            ("cache_write_1h", self.cache_write_1h),
            ("output_reasoning", self.output_reasoning),
            ("input_audio", self.input_audio),
            ("output_audio", self.output_audio),
            ("cache_read_audio", self.cache_read_audio),
            ("input_image", self.input_image),
            ("output_image", self.output_image),
            ("web_search_k", self.web_search_k),
            ("request_k", self.request_k),
            ("audio_hour", self.audio_hour),
            ("char_m", self.char_m),
            ("image_each", self.image_each),
            ("page_k", self.page_k),
        ]
        .into_iter()
        .filter_map(|(name, rate)| Some((name, rate?)))
    }
}

/// Hardware and its speed; speeds are those of the whole deployment, all GPUs together, at its
/// usual load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelfHosted {
    /// Dollars an hour of one GPU.
    pub gpu_hour: Usd,
    pub gpus: u32,
    /// Prompt tokens a second.
    pub prefill_tps: u64,
    /// Output tokens a second.
    pub decode_tps: u64,
}

/// What cards of all providers refer to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shared {
    /// Dated exchange rates, the latest first.
    pub exchange: Vec<Exchange>,
    /// Daily windows, by id.
    pub windows: Vec<Arc<Window>>,
}

/// From this moment one yuan is `num`/`den` dollars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    pub from: Timestamp,
    pub num: i64,
    pub den: i64,
    /// Where it comes from.
    pub source: Arc<str>,
}

impl Exchange {
    /// Has nobody entered a real rate yet? A check warns about it.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        self.source.contains("placeholder")
    }
}

/// Why a catalogue file is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// Not TOML, an unknown key, or a value of the wrong kind.
    #[error("{file}: {source}")]
    Syntax {
        file: String,
        source: Box<toml::de::Error>,
    },
    /// Readable, but it cannot be meant.
    #[error("{file}: {place}: {what}")]
    Meaning {
        file: String,
        place: String,
        what: String,
    },
}

/// All providers, each parsed when it is first asked for.
#[derive(Debug, Default)]
pub struct Catalog {
    exchange: Cow<'static, str>,
    schedules: Cow<'static, str>,
    shared: Arc<Shared>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: Cow<'static, str>,
    text: Cow<'static, str>,
    provider: OnceLock<Result<Provider, CatalogError>>,
}

impl Catalog {
    /// A catalogue from the texts of its files: exchange rates, schedules, and providers by name.
    ///
    /// # Errors
    /// Those of the two shared files; those of a provider come when it is asked for.
    pub fn from_texts(
        exchange: impl Into<Cow<'static, str>>,
        schedules: impl Into<Cow<'static, str>>,
        providers: impl IntoIterator<Item = (Cow<'static, str>, Cow<'static, str>)>,
    ) -> Result<Self, CatalogError> {
        let entry = |(name, text)| Entry {
            name,
            text,
            provider: OnceLock::new(),
        };
        let (exchange, schedules) = (exchange.into(), schedules.into());
        let shared = Shared {
            exchange: file::exchange(&exchange)?,
            windows: file::windows(&schedules)?,
        };
        Ok(Self {
            exchange,
            schedules,
            shared: Arc::new(shared),
            entries: providers.into_iter().map(entry).collect(),
        })
    }

    /// Names of all providers, in the order given.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.name.as_ref())
    }

    /// The provider of that name, parsed now if it was not yet; `None`: there is no such name.
    ///
    /// # Errors
    /// Its file is refused; for the built-in files a test proves that none is.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<Result<&Provider, &CatalogError>> {
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        let parse = || file::provider(&entry.name, &entry.text, &self.shared.windows);
        Some(entry.provider.get_or_init(parse).as_ref())
    }

    /// The text of the provider of that name.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        Some(&entry.text)
    }

    /// Exchange rates and windows.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// The catalogue that is built into the program.
#[must_use]
pub fn builtin() -> &'static Catalog {
    embed::builtin()
}

impl Provider {
    /// The model of exactly that id. Never by prefix: that gives new models old prices.
    #[must_use]
    pub fn model(&self, id: &str) -> Option<&Model> {
        self.models.iter().find(|model| &*model.id == id)
    }
}

impl Adapter {
    /// The adapter of that name; a flavour after a slash (`openai/responses`) reads by the same
    /// rules, since the names of the fields tell the flavours apart.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let family = name.split('/').next().unwrap_or(name);
        Some(match family {
            "openai" => Self::OpenAi,
            "deepseek" => Self::DeepSeek,
            "anthropic" => Self::Anthropic,
            "gemini" => Self::Gemini,
            "bedrock" => Self::Bedrock,
            "xai" => Self::Xai,
            "dashscope" => Self::DashScope,
            "moonshot" => Self::Moonshot,
            "perplexity" => Self::Perplexity,
            "cohere" => Self::Cohere,
            _ => return None,
        })
    }
}
