//! One model at one provider: what is written about it over what the catalogue says.
//!
//! A backend exists once, however many models name it; two models that say different things about
//! it contradict each other.

use std::{collections::HashMap, sync::Arc};

use super::{Findings, policy, providers::Facts};
use crate::{
    caps::{Cap, Caps},
    catalog::{self, Card, Rates, Takes},
    config::{
        Backend, Price, Provider, Quality, STATED,
        mistake::Path,
        raw::{self, Capability, Fraction, Tokenizer},
    },
    domain::Domain,
    keywords::Keywords,
    tokens::Family,
};

/// The backends by name.
#[derive(Debug, Default)]
pub(super) struct Backends {
    list: Vec<Backend>,
    by_name: HashMap<Arc<str>, (usize, Option<Path>)>,
}

/// What a model of the file says about each of its backends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stated {
    pub(super) context: Option<u64>,
    pub(super) max_output: Option<u64>,
    pub(super) tokenizer: Option<Family>,
    pub(super) caps: Option<Caps>,
    pub(super) quality: Quality,
    /// Of this backend alone.
    pub(super) max_batch: Option<u64>,
    /// Of this backend alone; what is not stated is as the catalogue says.
    pub(super) max_tools: Option<u64>,
    pub(super) schema_lacks: Option<Keywords>,
    pub(super) strict_schema_lacks: Option<Keywords>,
}

impl Backends {
    /// Adds a written backend and gives its index; that of the earlier one if it was written
    /// before with the same facts.
    pub(super) fn add_written(
        &mut self,
        backend: Backend,
        path: &Path,
        findings: &mut Findings<'_>,
    ) -> usize {
        if let Some((index, first)) = self.by_name.get(&backend.name) {
            let earlier = self.list.get(*index);
            if let (Some(earlier), Some(first)) = (earlier, first)
                && !same_facts(earlier, &backend)
            {
                let first = findings.line(first);
                let message = format!("described differently at {first}: it is one backend");
                let hint = "price, max_batch, max_tools, what schemas may not use, context, tokenizer, max_output, \
                            caps, quality and what policies ask for must be equal";
                findings.mistake_with(path, message, hint);
            }
            return *index;
        }
        self.push(backend, Some(path.clone()))
    }

    /// Adds a backend of the catalogue unless the file has described it.
    pub(super) fn add_offered(&mut self, backend: Backend) -> usize {
        match self.by_name.get(&backend.name) {
            Some((index, _)) => *index,
            None => self.push(backend, None),
        }
    }

    fn push(&mut self, backend: Backend, path: Option<Path>) -> usize {
        let index = self.list.len();
        self.by_name
            .insert(Arc::clone(&backend.name), (index, path));
        self.list.push(backend);
        index
    }

    /// Would a model of that name and these backends hide a backend that is not its only one?
    pub(super) fn hidden_by(&self, name: &str, own: &[usize]) -> bool {
        self.by_name
            .get(name)
            .is_some_and(|(index, _)| own != [*index])
    }

    pub(super) fn get(&self, index: usize) -> Option<&Backend> {
        self.list.get(index)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Each with where it was written, if it was.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Backend, Option<&Path>)> {
        self.list.iter().map(|backend| {
            let written = self
                .by_name
                .get(&backend.name)
                .and_then(|(_, path)| path.as_ref());
            (backend, written)
        })
    }

    pub(super) fn finish(self) -> Vec<Backend> {
        self.list
    }
}

/// A backend from what is written and known. `model` is as the provider spells it.
pub(super) fn backend(
    (index, provider, facts): (usize, &Provider, Facts<'_>),
    model: &str,
    price: Option<raw::Price>,
    stated: Stated,
) -> Backend {
    let known = known(facts, model);
    Backend {
        name: format!("{}/{model}", provider.name).into(),
        provider: index,
        upstream_model: model.into(),
        price: match (price, facts.self_hosted, known) {
            (Some(raw::Price::Word(raw::Free::Free)), _, _) => Price::Free,
            (Some(raw::Price::Rates(rates)), _, _) => Price::Cards([card(&rates)].into()),
            (None, Some(hosted), _) => Price::SelfHosted(hosted),
            (None, None, Some(model)) if !model.cards.is_empty() => {
                Price::Cards(Arc::clone(&model.cards))
            }
            (None, None, _) => Price::Unpriced,
        },
        context: stated.context.or(known.and_then(|model| model.context)),
        tokenizer: stated.tokenizer.or_else(|| Family::of_model(model)),
        max_output: stated
            .max_output
            .or(known.and_then(|model| model.max_output)),
        caps: stated.caps.or(known.and_then(|model| model.caps)),
        caps_are_all: stated.caps.is_some(),
        serves: stated
            .caps
            .map(Caps::purposes)
            .or(known.map(|model| model.mode.purposes())),
        max_batch: stated.max_batch,
        takes: takes(stated, facts),
        quality: stated.quality,
        about: known.map(policy::about).unwrap_or_default(),
    }
}

/// How many tools it takes and which schemas, as stated, else as the catalogue says of its endpoint.
fn takes(stated: Stated, facts: Facts<'_>) -> Takes {
    let known = facts
        .catalog
        .map(|provider| provider.takes)
        .unwrap_or_default();
    Takes {
        max_tools: stated.max_tools.or(known.max_tools),
        schema_lacks: stated.schema_lacks.unwrap_or(known.schema_lacks),
        strict_schema_lacks: stated
            .strict_schema_lacks
            .unwrap_or(known.strict_schema_lacks),
    }
}

/// What the catalogue knows of a model at its provider.
pub(super) fn known<'c>(facts: Facts<'c>, model: &str) -> Option<&'c catalog::Model> {
    facts
        .catalog?
        .models
        .iter()
        .find(|known| &*known.id == model)
}

/// The set of written capabilities.
pub(super) fn caps(written: &[Capability]) -> Caps {
    written.iter().map(|capability| cap(*capability)).collect()
}

/// The written chances in the order of the domains.
pub(super) fn quality(raw: &raw::Quality) -> Quality {
    let value = |fraction: Option<Fraction>| fraction.map(|fraction| fraction.0);
    let by_domain = Domain::ALL.map(|(domain, _)| {
        value(match domain {
            Domain::Chat => raw.chat,
            Domain::Code => raw.code,
            Domain::Math => raw.math,
            Domain::Reasoning => raw.reasoning,
            Domain::Knowledge => raw.knowledge,
            Domain::Tools => raw.tools,
            Domain::Extraction => raw.extraction,
            Domain::Multilingual => raw.multilingual,
        })
    });
    Quality {
        default: value(raw.default),
        by_domain,
    }
}

fn cap(written: Capability) -> Cap {
    match written {
        Capability::Streaming => Cap::Streaming,
        Capability::Tools => Cap::Tools,
        Capability::ParallelTools => Cap::ParallelTools,
        Capability::JsonSchema => Cap::JsonSchema,
        Capability::Reasoning => Cap::Reasoning,
        Capability::Vision => Cap::Vision,
        Capability::AudioIn => Cap::AudioIn,
        Capability::AudioOut => Cap::AudioOut,
        Capability::Video => Cap::Video,
        Capability::Pdf => Cap::Pdf,
        Capability::Logprobs => Cap::Logprobs,
        Capability::N => Cap::N,
        Capability::WebSearch => Cap::WebSearch,
        Capability::Chat => Cap::Chat,
        Capability::Completions => Cap::Completions,
        Capability::Embeddings => Cap::Embeddings,
        Capability::Moderation => Cap::Moderation,
        Capability::Rerank => Cap::Rerank,
        Capability::Images => Cap::Images,
        Capability::Speech => Cap::Speech,
        Capability::Transcription => Cap::Transcription,
        Capability::PromptCache => Cap::PromptCache,
    }
}

/// The written family of tokenizers.
pub(super) fn family(written: Tokenizer) -> Family {
    match written {
        Tokenizer::Cl100k => Family::Cl100k,
        Tokenizer::O200k => Family::O200k,
        Tokenizer::Qwen => Family::Qwen,
        Tokenizer::Deepseek => Family::Deepseek,
        Tokenizer::Llama3 => Family::Llama3,
        Tokenizer::Tekken => Family::Tekken,
        Tokenizer::Gemma => Family::Gemma,
    }
}

/// A card that always applies.
fn card(raw: &raw::Rates) -> Card {
    let rate = |price: Option<raw::PriceText>| price.map(|price| price.0);
    let rates = Rates {
        input: rate(raw.input),
        output: rate(raw.output),
        cache_read: rate(raw.cache_read),
        cache_write: rate(raw.cache_write),
        cache_write_1h: rate(raw.cache_write_1h),
        output_reasoning: rate(raw.output_reasoning),
        input_audio: rate(raw.input_audio),
        output_audio: rate(raw.output_audio),
        cache_read_audio: rate(raw.cache_read_audio),
        input_image: rate(raw.input_image),
        output_image: rate(raw.output_image),
        web_search_k: rate(raw.web_search_k),
        request_k: rate(raw.request_k),
        audio_hour: rate(raw.audio_hour),
        char_m: rate(raw.char_m),
        image_each: rate(raw.image_each),
        ..Rates::default()
    };
    Card {
        min_audio_seconds: raw.min_audio_seconds.unwrap_or_default(),
        ..Card::flat(rates, STATED)
    }
}

/// What is missing from written rates of a model that is for `serves`.
pub(super) fn lacks_rates(raw: &raw::Rates, serves: Caps) -> Option<&'static str> {
    let writes = serves.has(Cap::Chat) || serves.has(Cap::Completions);
    if writes && (raw.input.is_none() || raw.output.is_none()) {
        return Some("`input` and `output` are missing");
    }
    let empty = card(raw).rates == Rates::default();
    empty.then_some("a rate is missing")
}

fn same_facts(a: &Backend, b: &Backend) -> bool {
    a.price == b.price
        && a.context == b.context
        && a.max_output == b.max_output
        && a.caps == b.caps
        && a.caps_are_all == b.caps_are_all
        && a.serves == b.serves
        && a.max_batch == b.max_batch
        && a.takes == b.takes
        && a.tokenizer == b.tokenizer
        && a.quality == b.quality
        && a.about == b.about
}
