//! Reads the price map that LiteLLM publishes (`model_prices_and_context_window.json`).
//!
//! An object by model; prices of one unit as JSON numbers, which are read as decimal text, so none
//! passes through a binary float. The names of its fields are those of version 1.70 to 1.9x. What
//! has no exact meaning here is listed and left out. It reads no file.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{BASIS, Offer, Unread};
use crate::{
    catalog::{Card, Currency, Model, Provider, Rates, STANDARD, Status},
    money::{MoneyError, Rate},
};

/// The map, its entries still text.
#[derive(Debug)]
pub struct Map<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

/// The fields of an entry.
type Fields<'a> = BTreeMap<Cow<'a, str>, &'a RawValue>;

/// Where a price stands on a card.
type Place = fn(&mut Rates) -> &mut Option<Rate>;

const CACHE_READ: &str = "cache_read_input_token_cost";
const CACHE_HIT: &str = "input_cost_per_token_cache_hit";

/// A field of prices: its name, how many units its rate is for, the rate, and the only kind of
/// model for which it means that.
const FIELDS: [(&str, u32, Place, Option<&str>); 16] = [
    ("input_cost_per_token", 1_000_000, |r| &mut r.input, None),
    ("output_cost_per_token", 1_000_000, |r| &mut r.output, None),
    (CACHE_READ, 1_000_000, |r| &mut r.cache_read, None),
    (CACHE_HIT, 1_000_000, |r| &mut r.cache_read, None),
    (
        "cache_creation_input_token_cost",
        1_000_000,
        |r| &mut r.cache_write,
        None,
    ),
    (
        "cache_creation_input_token_cost_above_1hr",
        1_000_000,
        |r| &mut r.cache_write_1h,
        None,
    ),
    (
        "output_cost_per_reasoning_token",
        1_000_000,
        |r| &mut r.output_reasoning,
        None,
    ),
    (
        "input_cost_per_audio_token",
        1_000_000,
        |r| &mut r.input_audio,
        None,
    ),
    (
        "output_cost_per_audio_token",
        1_000_000,
        |r| &mut r.output_audio,
        None,
    ),
    (
        "cache_read_input_audio_token_cost",
        1_000_000,
        |r| &mut r.cache_read_audio,
        None,
    ),
    (
        "input_cost_per_image_token",
        1_000_000,
        |r| &mut r.input_image,
        None,
    ),
    (
        "output_cost_per_image_token",
        1_000_000,
        |r| &mut r.output_image,
        None,
    ),
    (
        "input_cost_per_second",
        3_600,
        |r| &mut r.audio_hour,
        Some("audio_transcription"),
    ),
    (
        "input_cost_per_character",
        1_000_000,
        |r| &mut r.char_m,
        Some("audio_speech"),
    ),
    (
        "output_cost_per_image",
        1,
        |r| &mut r.image_each,
        Some("image_generation"),
    ),
    (
        "input_cost_per_query",
        1_000,
        |r| &mut r.request_k,
        Some("rerank"),
    ),
];

/// The field of a list of prices by size of prompt.
const TIERED: &str = "tiered_pricing";
/// The field of prices of a web search, by the size of what it returns.
const SEARCH: &str = "search_context_cost_per_query";

/// On what a price depends: tokens of prompt in thousands, and the tier.
type Condition = (Option<u64>, String);

/// What was read of one entry.
#[derive(Default)]
struct Entry {
    prices: BTreeMap<Condition, Vec<(Place, Rate)>>,
    source: Option<String>,
    unread: Vec<String>,
}

impl<'a> Map<'a> {
    /// Reads the outermost object.
    ///
    /// # Errors
    /// It is no JSON, or no object.
    pub fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// How many models it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Has it none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What it says of a model, by the key that the catalogue notes for it or else its name after
    /// the provider's prefix; `None`: nothing.
    pub(super) fn offer(
        &self,
        provider: &Provider,
        model: &Model,
        now: Timestamp,
    ) -> Option<Result<Offer, Unread>> {
        let key = match &model.litellm_key {
            Some(key) => Cow::from(&**key),
            None => Cow::from(format!("{}/{}", prefix(provider)?, model.id)),
        };
        let fields = self.0.get(key.as_ref())?;
        if model.status == Status::Removed {
            return None;
        }
        let refuse = |what: String| Unread::of(provider, model, what);
        if let Some(what) = beyond(model, now) {
            return Some(Err(refuse(what)));
        }
        let fields: Fields<'_> = match serde_json::from_str(fields.get()) {
            Ok(fields) => fields,
            Err(error) => return Some(Err(refuse(format!("`{key}`: {error}")))),
        };
        let mut entry = entry(&fields, &model.cards);
        let cards = cards(&mut entry, &model.cards, now, &key);
        let unread = entry.unread.into_iter().map(refuse).collect();
        Some(Ok(Offer { cards, unread }))
    }
}

/// What stands before the names of a provider's models, as far as the catalogue's notes tell.
fn prefix(provider: &Provider) -> Option<&str> {
    let noted = provider
        .models
        .iter()
        .find_map(|model| Some((&model.id, model.litellm_key.as_deref()?)));
    match noted {
        None => Some(&provider.id),
        Some((id, key)) => key.strip_suffix(&**id)?.strip_suffix('/'),
    }
}

/// Why the map can't speak of a model's cards.
fn beyond(model: &Model, now: Timestamp) -> Option<String> {
    let live = |card: &&Card| card.until.is_none_or(|until| until > now);
    let mut live = model.cards.iter().filter(live);
    let what = live.find_map(|card| {
        if card.window.is_some() {
            Some("hours of the day")
        } else if card.when.is_some() {
            Some("thinking")
        } else if card.currency == Currency::Cny {
            Some("a price in yuan")
        } else {
            card.self_hosted.map(|_| "the price of hardware")
        }
    })?;
    Some(format!(
        "its cards depend on {what}, which the map can't say"
    ))
}

fn entry(fields: &Fields<'_>, known: &[Card]) -> Entry {
    let text =
        |name: &str| -> Option<String> { serde_json::from_str(fields.get(name)?.get()).ok() };
    let mut entry = Entry {
        source: text("source"),
        ..Entry::default()
    };
    let mode = text("mode");
    // a price under its own name counts before one under an older name
    let renamed = fields.contains_key(CACHE_READ);
    for (name, value) in fields
        .iter()
        .filter(|(name, _)| !(renamed && *name == CACHE_HIT))
    {
        match name.as_ref() {
            TIERED => entry.tiered(value, known),
            SEARCH => entry.search(value, known),
            name => entry.field((name, value.get()), None, mode.as_deref(), known),
        }
    }
    entry
}

impl Entry {
    /// A field, if it is a price at all; `over` is known where it stands in a list by size.
    fn field(
        &mut self,
        (name, value): (&str, &str),
        over: Option<u64>,
        mode: Option<&str>,
        known: &[Card],
    ) {
        if !(name.contains("cost") || name.contains("pricing")) || value == "null" {
            return;
        }
        let Some((units, place, (above, tier))) = field(name, mode) else {
            self.unread.push(format!("`{name}` has no place on a card"));
            return;
        };
        let condition = (above.map(|above| size(above, known)).or(over), tier);
        let card = in_force(known, &condition);
        match Rate::from_unit_price(value, units) {
            // the map writes 0 for what it does not know
            Ok(Rate::ZERO) => {
                let mut rates = card.map_or_else(Rates::default, |card| card.rates);
                if place(&mut rates).is_some_and(|rate| rate != Rate::ZERO) {
                    self.unread.push(format!(
                        "`{name}` is 0, which the map also writes for not known"
                    ));
                }
            }
            Ok(rate) => {
                let prices = self.prices.entry(condition).or_default();
                prices.push((place, rate));
            }
            Err(MoneyError::TooFine { .. }) => {
                let what = format!("`{name}` is {value}, which is no whole 0.000001 of its unit");
                self.unread.push(what);
            }
            Err(_) => self
                .unread
                .push(format!("`{name}` is {value}, which is no price")),
        }
    }

    /// `[{"range": [0, 256000.0], "input_cost_per_token": …}, …]`
    fn tiered(&mut self, value: &RawValue, known: &[Card]) {
        let list: Result<Vec<Fields<'_>>, _> = serde_json::from_str(value.get());
        let from = |fields: &Fields<'_>| -> Option<u64> {
            let range: Vec<serde_json::Number> =
                serde_json::from_str(fields.get("range")?.get()).ok()?;
            let text = range.first()?.to_string();
            text.split('.').next()?.parse().ok()
        };
        for fields in list.iter().flatten() {
            let Some(from) = from(fields) else {
                self.unread.push(format!("`{TIERED}` without a range"));
                continue;
            };
            let over = (from > 0).then_some(from);
            for (name, value) in fields {
                self.field((name, value.get()), over, None, known);
            }
        }
        if list.is_err() {
            self.unread.push(format!("`{TIERED}` is no list"));
        }
    }

    /// `{"search_context_size_low": 0.03, …}`: a card has one price for all sizes.
    fn search(&mut self, value: &RawValue, known: &[Card]) {
        let sizes: Fields<'_> = serde_json::from_str(value.get()).unwrap_or_default();
        let rates = sizes
            .values()
            .map(|value| Rate::from_unit_price(value.get(), 1_000).ok());
        let Some(rates) = rates.collect::<Option<Vec<Rate>>>() else {
            self.unread.push(format!("`{SEARCH}` is no price"));
            return;
        };
        let standard = (None, STANDARD.to_owned());
        let card = in_force(known, &standard).and_then(|card| card.rates.web_search_k);
        match rates.as_slice() {
            [] => {}
            rates if card.is_some_and(|card| rates.contains(&card)) => {}
            [first, others @ ..] if others.iter().all(|rate| rate == first) => {
                let prices = self.prices.entry(standard).or_default();
                prices.push((|rates| &mut rates.web_search_k, *first));
            }
            _ => self
                .unread
                .push(format!("`{SEARCH}` depends on the size of what is found")),
        }
    }
}

/// What a field says: `base[_above_Nk_tokens][_tier]`.
fn field(name: &str, mode: Option<&str>) -> Option<(u32, Place, (Option<u64>, String))> {
    let bases = FIELDS
        .iter()
        .filter_map(|field| Some((field, name.strip_prefix(field.0)?)));
    let ((_, units, place, only), rest) = bases.min_by_key(|(_, rest)| rest.len())?;
    if only.is_some() && *only != mode {
        return None;
    }
    let (above, rest) = match rest.strip_prefix("_above_") {
        None => (None, rest),
        Some(rest) => {
            let (above, rest) = rest.split_once("k_tokens")?;
            (Some(above.parse().ok()?), rest)
        }
    };
    let tier = match rest {
        "" => STANDARD,
        "_batches" => "batch",
        "_flex" => "flex",
        "_priority" => "priority",
        _ => return None,
    };
    Some((*units, *place, (above, tier.to_owned())))
}

/// Thousands of tokens as the catalogue counts them: some vendors mean 1,024.
fn size(thousands: u64, known: &[Card]) -> u64 {
    let same = |over: &u64| *over == thousands * 1_024;
    let binary = known.iter().filter_map(|card| card.over).find(same);
    binary.unwrap_or(thousands.saturating_mul(1_000))
}

/// The card of a condition that was valid last.
fn in_force<'a>(known: &'a [Card], (over, tier): &Condition) -> Option<&'a Card> {
    let fits = |card: &&Card| card.over == *over && *card.tier == **tier;
    known.iter().filter(fits).max_by_key(|card| card.from)
}

/// Cards with the prices of an entry over those that are known.
fn cards(entry: &mut Entry, known: &[Card], now: Timestamp, key: &str) -> Vec<Card> {
    let source: Arc<str> = match &entry.source {
        Some(source) => format!("LiteLLM `{key}`: {source}").into(),
        None => format!("LiteLLM `{key}`").into(),
    };
    let live: Vec<Card> = known
        .iter()
        .filter(|card| card.from.is_none_or(|from| from <= now))
        .filter(|card| card.until.is_none_or(|until| until > now))
        .cloned()
        .collect();
    let mut cards = Vec::new();
    for (condition, prices) in &entry.prices {
        let known = in_force(&live, condition);
        let mut rates = known.map_or_else(Rates::default, |card| card.rates);
        for (place, rate) in prices {
            *place(&mut rates) = Some(*rate);
        }
        unsay(&mut rates, known.map(|card| &card.rates));
        cards.push(Card {
            tier: condition.1.as_str().into(),
            over: condition.0,
            basis: BASIS.into(),
            min_audio_seconds: known.map_or(0, |card| card.min_audio_seconds),
            ..Card::flat(rates, &source)
        });
    }
    cards
}

/// Takes back what the format says anyway: a rate that is equal to what it falls back to, where
/// the card known did not have it.
fn unsay(rates: &mut Rates, known: Option<&Rates>) {
    let Rates { input, output, .. } = *rates;
    let known = known.copied().unwrap_or_default();
    for (rate, known, fallback) in [
        (&mut rates.cache_read, known.cache_read, input),
        (&mut rates.cache_write, known.cache_write, input),
        (&mut rates.input_audio, known.input_audio, input),
        (&mut rates.input_image, known.input_image, input),
        (&mut rates.output_audio, known.output_audio, output),
        (&mut rates.output_image, known.output_image, output),
        (&mut rates.output_reasoning, known.output_reasoning, output),
    ] {
        if known.is_none() && *rate == fallback {
            *rate = None;
        }
    }
}

#[cfg(test)]
mod tests;
