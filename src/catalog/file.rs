//! Reads the text of a catalogue file into types; format in `config/catalog/README.md`.
//!
//! Strict: an unknown key, an unknown word or a price that is not exact is refused, with its
//! place. Where the text comes from is not its business.

use std::{collections::HashSet, sync::Arc};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    caps::{Cap, Caps},
    keywords::Keywords,
    money::{Rate, Usd},
};

use super::{
    Adapter, Boundary, Card, CatalogError, Currency, Exchange, Mode, Model, Protocol, Provider,
    Rates, SelfHosted, Status, Takes, When, time::Window,
};

mod schedule;

/// A provider's file. Members whose names begin with `_` are notes for people.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderFile {
    #[serde(rename = "schema")]
    _schema: Schema,
    #[serde(rename = "generated")]
    _generated: String,
    provider: ProviderText,
    #[serde(default, rename = "model")]
    models: Vec<ModelText>,
}

#[derive(Deserialize)]
enum Schema {
    #[serde(rename = "tollgate.catalog/1")]
    One,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderText {
    id: String,
    name: String,
    origin: String,
    usage_adapter: Adapter,
    protocol: Protocol,
    base_url: Option<String>,
    env: Vec<String>,
    #[serde(default)]
    docs: String,
    #[serde(rename = "address_basis")]
    _address_basis: String,
    regions: Vec<String>,
    tier_boundary: Boundary,
    max_tools: Option<u64>,
    #[serde(default)]
    schema_lacks: Keywords,
    #[serde(default)]
    strict_schema_lacks: Keywords,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelText {
    id: String,
    model_key: String,
    mode: Mode,
    #[serde(default)]
    status: Status,
    developer: Option<String>,
    developer_origin: Option<String>,
    weights: Option<String>,
    licence: Option<String>,
    retires: Option<Date>,
    context: Option<u64>,
    max_output: Option<u64>,
    #[serde(default)]
    inputs: Vec<String>,
    #[serde(default)]
    outputs: Vec<String>,
    caps: Option<Vec<String>>,
    #[serde(default, rename = "card")]
    cards: Vec<CardText>,
    #[serde(rename = "released")]
    _released: Option<String>,
    #[serde(rename = "knowledge")]
    _knowledge: Option<String>,
    litellm_key: Option<String>,
    #[serde(rename = "genai_key")]
    _genai_key: Option<String>,
    #[serde(rename = "agrees")]
    _agrees: Option<Vec<String>>,
    #[serde(rename = "cache_min_tokens")]
    _cache_min_tokens: Option<u64>,
    #[serde(rename = "embedding_dims")]
    _embedding_dims: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CardText {
    tier: String,
    rates: RatesText,
    over: Option<u64>,
    window: Option<String>,
    when: Option<When>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    #[serde(default)]
    currency: Currency,
    source: String,
    #[serde(default)]
    min_audio_seconds: u32,
    gpus: Option<u32>,
    prefill_tps: Option<u64>,
    decode_tps: Option<u64>,
    #[serde(rename = "observed")]
    _observed: Option<String>,
    basis: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RatesText {
    input: Option<Rate>,
    output: Option<Rate>,
    cache_read: Option<Rate>,
    cache_write: Option<Rate>,
    cache_write_1h: Option<Rate>,
    output_reasoning: Option<Rate>,
    input_audio: Option<Rate>,
    output_audio: Option<Rate>,
    cache_read_audio: Option<Rate>,
    input_image: Option<Rate>,
    output_image: Option<Rate>,
    web_search_k: Option<Rate>,
    request_k: Option<Rate>,
    audio_hour: Option<Rate>,
    char_m: Option<Rate>,
    image_each: Option<Rate>,
    page_k: Option<Rate>,
    gpu_hour: Option<Usd>,
}

/// A provider's file, its windows resolved.
pub(super) fn provider(
    name: &str,
    text: &str,
    windows: &[Arc<Window>],
) -> Result<Provider, CatalogError> {
    let file: ProviderFile = parse(name, text)?;
    let from = file.provider;
    let refuse = |place: &str, what: String| refusal(name, place, what);
    if from.id != name {
        return Err(refuse(
            "provider",
            format!("the id `{}` is not the file's name", from.id),
        ));
    }
    let mut models = Vec::with_capacity(file.models.len());
    let mut ids = HashSet::new();
    for text in file.models {
        let id = text.id.clone();
        if !ids.insert(id.clone()) {
            return Err(refuse(&id, "stands here twice".to_owned()));
        }
        models.push(model(text, windows).map_err(|what| refuse(&id, what))?);
    }
    Ok(Provider {
        id: from.id.into(),
        name: from.name.into(),
        origin: from.origin.into(),
        regions: arcs(from.regions),
        protocol: from.protocol,
        base_url: from.base_url.map(Arc::from),
        env: arcs(from.env),
        docs: from.docs.into(),
        adapter: from.usage_adapter,
        boundary: from.tier_boundary,
        takes: Takes {
            max_tools: from.max_tools,
            schema_lacks: from.schema_lacks,
            strict_schema_lacks: from.strict_schema_lacks,
        },
        models,
    })
}

/// The file of exchange rates, the latest first.
pub(super) fn exchange(text: &str) -> Result<Vec<Exchange>, CatalogError> {
    schedule::exchange(text)
}

/// The file of daily windows and holidays.
pub(super) fn windows(text: &str) -> Result<Vec<Arc<Window>>, CatalogError> {
    schedule::windows(text)
}

fn model(text: ModelText, windows: &[Arc<Window>]) -> Result<Model, String> {
    let caps = caps(&text)?;
    let cards: Result<Vec<Card>, String> = text
        .cards
        .into_iter()
        .enumerate()
        .map(|(at, text)| card(text, windows).map_err(|what| format!("card {}: {what}", at + 1)))
        .collect();
    Ok(Model {
        id: text.id.into(),
        model_key: text.model_key.into(),
        mode: text.mode,
        status: text.status,
        context: text.context,
        max_output: text.max_output,
        caps,
        cards: cards?.into(),
        developer: text.developer.map(Arc::from),
        developer_origin: text.developer_origin.map(Arc::from),
        weights: text.weights.map(Arc::from),
        licence: text.licence.map(Arc::from),
        retires: text.retires,
        litellm_key: text.litellm_key.map(Arc::from),
    })
}

/// Declared capabilities with those that inputs, outputs and the mode imply.
fn caps(text: &ModelText) -> Result<Option<Caps>, String> {
    let Some(declared) = &text.caps else {
        return Ok(None);
    };
    let mut caps = Caps::default();
    for name in declared {
        let cap = Cap::from_name(name).ok_or_else(|| format!("no capability `{name}`"))?;
        caps = caps.with(cap);
    }
    for name in &text.inputs {
        caps = match name.as_str() {
            "text" => caps,
            "image" => caps.with(Cap::Vision),
            "audio" => caps.with(Cap::AudioIn),
            "video" => caps.with(Cap::Video),
            "pdf" => caps.with(Cap::Pdf),
            _ => return Err(format!("no input `{name}`")),
        };
    }
    for name in &text.outputs {
        caps = match name.as_str() {
            "text" => caps,
            "audio" => caps.with(Cap::AudioOut),
            _ => return Err(format!("no output `{name}`")),
        };
    }
    Ok(Some(if text.mode == Mode::Embedding {
        caps.with(Cap::Embeddings)
    } else {
        caps
    }))
}

fn card(text: CardText, windows: &[Arc<Window>]) -> Result<Card, String> {
    let self_hosted = self_hosted(&text)?;
    let rates = rates(&text.rates);
    if self_hosted.is_some() != (rates == Rates::default()) {
        return Err("needs either rates or `gpu_hour`".to_owned());
    }
    if let (Some(from), Some(until)) = (text.from, text.until)
        && until <= from
    {
        return Err(format!("ends at {until}, before it begins"));
    }
    let window = match &text.window {
        None => None,
        Some(id) => Some(
            windows
                .iter()
                .find(|window| *window.id == **id)
                .map(Arc::clone)
                .ok_or_else(|| format!("no window `{id}`"))?,
        ),
    };
    Ok(Card {
        tier: text.tier.into(),
        rates,
        over: text.over,
        window,
        when: text.when,
        from: text.from,
        until: text.until,
        currency: text.currency,
        source: text.source.into(),
        basis: text.basis.into(),
        min_audio_seconds: text.min_audio_seconds,
        self_hosted,
    })
}

fn self_hosted(text: &CardText) -> Result<Option<SelfHosted>, String> {
    match (
        text.rates.gpu_hour,
        text.gpus,
        text.prefill_tps,
        text.decode_tps,
    ) {
        (None, None, None, None) => Ok(None),
        (Some(gpu_hour), Some(gpus @ 1..), Some(prefill_tps @ 1..), Some(decode_tps @ 1..)) => {
            Ok(Some(SelfHosted {
                gpu_hour,
                gpus,
                prefill_tps,
                decode_tps,
            }))
        }
        _ => {
            Err("`gpu_hour`, `gpus`, `prefill_tps` and `decode_tps` go together, none zero".into())
        }
    }
}

fn rates(text: &RatesText) -> Rates {
    Rates {
        input: text.input,
        output: text.output,
        cache_read: text.cache_read,
        cache_write: text.cache_write,
        cache_write_1h: text.cache_write_1h,
        output_reasoning: text.output_reasoning,
        input_audio: text.input_audio,
        output_audio: text.output_audio,
        cache_read_audio: text.cache_read_audio,
        input_image: text.input_image,
        output_image: text.output_image,
        web_search_k: text.web_search_k,
        request_k: text.request_k,
        audio_hour: text.audio_hour,
        char_m: text.char_m,
        image_each: text.image_each,
        page_k: text.page_k,
    }
}

fn arcs(texts: Vec<String>) -> Vec<Arc<str>> {
    texts.into_iter().map(Arc::from).collect()
}

pub(super) fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, CatalogError> {
    toml::from_str(text).map_err(|error| CatalogError::Syntax {
        file: file.to_owned(),
        source: Box::new(error),
    })
}

pub(super) fn refusal(file: &str, place: &str, what: String) -> CatalogError {
    CatalogError::Meaning {
        file: file.to_owned(),
        place: place.to_owned(),
        what,
    }
}

/// The first moment of a day in UTC.
fn midnight(date: Date) -> Option<Timestamp> {
    date.to_zoned(TimeZone::UTC)
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests;
