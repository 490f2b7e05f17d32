//! One model at one provider, and what its tokens cost.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{KeywordList, PriceText, UpstreamModel};

/// One model at one provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// An entry of `providers`.
    #[schemars(extend("format" = "provider-name"))]
    pub provider: String,
    /// The model as the provider spells it.
    pub model: UpstreamModel,
    /// Inputs that one call for embeddings may have; more are split. Absent: any number.
    #[schemars(range(min = 1))]
    pub max_batch: Option<u64>,
    /// Tools that one request may have. Absent: the catalogue's, else any number.
    #[schemars(range(min = 1))]
    pub max_tools: Option<u64>,
    /// Keywords of JSON Schema that it does not take: `pattern`, `maxLength`, … Absent: the
    /// catalogue's.
    pub schema_lacks: Option<KeywordList>,
    /// The same for schemas that are to be followed strictly. Absent: the catalogue's.
    pub strict_schema_lacks: Option<KeywordList>,
    /// `free`, or USD per 1M tokens. Absent: the catalogue's, or that of `self_hosted`.
    pub price: Option<Price>,
}

/// What a backend's tokens cost.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Price {
    Word(Free),
    Rates(Box<Rates>),
}

/// A declared zero.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Free {
    Free,
}

/// USD per 1M tokens where nothing else is said, as decimal strings.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Fresh prompt tokens; of embeddings, all tokens.
    pub input: Option<PriceText>,
    /// Output tokens.
    pub output: Option<PriceText>,
    /// Prompt tokens read from a cache. Absent: as `input`.
    pub cache_read: Option<PriceText>,
    /// Prompt tokens written to a cache. Absent: as `input`.
    pub cache_write: Option<PriceText>,
    /// Prompt tokens written to a one-hour cache. Absent: as `cache_write`.
    pub cache_write_1h: Option<PriceText>,
    /// Hidden reasoning. Absent: as `output`.
    pub output_reasoning: Option<PriceText>,
    /// Audio in the prompt. Absent: as `input`.
    pub input_audio: Option<PriceText>,
    /// Audio in the answer. Absent: as `output`.
    pub output_audio: Option<PriceText>,
    /// Audio in the prompt read from a cache.
    pub cache_read_audio: Option<PriceText>,
    /// Images in the prompt.
    pub input_image: Option<PriceText>,
    /// Images in the answer, where they are billed by tokens.
    pub output_image: Option<PriceText>,
    /// USD per 1,000 searches: of the web, or of a rerank.
    pub web_search_k: Option<PriceText>,
    /// USD per 1,000 requests.
    pub request_k: Option<PriceText>,
    /// USD per hour of a recording that is transcribed.
    pub audio_hour: Option<PriceText>,
    /// Seconds as which a shorter recording is billed.
    pub min_audio_seconds: Option<u32>,
    /// USD per 1,000,000 characters that are spoken.
    pub char_m: Option<PriceText>,
    /// USD per image that is made.
    pub image_each: Option<PriceText>,
}

/// A family of tokenizers.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Tokenizer {
    Cl100k,
    O200k,
    Qwen,
    Deepseek,
    Llama3,
    Tekken,
    Gemma,
}
