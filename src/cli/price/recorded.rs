//! The price of one recorded call, from a line of JSON to a line of JSON.
//!
//! Given a catalogue and a line, it reads the usage as serving does, chooses the card and adds up.
//! What is not known (a provider, a model, a price) is said in the flags and makes the cost null.

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{
    catalog::{
        Adapter, Catalog, Currency, Model, Provider, STANDARD, meter,
        price::{self, Asked},
    },
    money::Usd,
    settle::ledger::Basis,
    usage::Usage,
    wire::{
        json::Object,
        usage::{self, Inconsistencies, Reading, Tally},
    },
};

/// Members of a line that have something else in their place.
const REPLACED: [&str; 7] = [
    "usage",
    "stream_events",
    "cost_usd",
    "cost_cny",
    "card",
    "basis",
    "flags",
];

/// What a line says.
struct Call {
    provider: String,
    model: String,
    adapter: Option<String>,
    usage: Option<Box<RawValue>>,
    events: Vec<Box<RawValue>>,
    completed_at: Timestamp,
    tier: Option<String>,
}

/// What is found out about it.
#[derive(Default)]
struct Found<'a> {
    usage: Usage,
    reported: Option<Usd>,
    priced: Option<price::Priced<'a>>,
    flags: Vec<&'static str>,
}

/// The answer to a line.
///
/// # Errors
/// The answer to one that can't be priced: its number, what is wrong with it, and how to mend it.
pub(super) fn price(catalog: &Catalog, number: u64, line: Bytes) -> Result<String, String> {
    let object = Object::parse(line)
        .map_err(|error| refused(None, number, &format!("no JSON object: {error}")))?;
    let found = Call::read(&object).and_then(|call| find(catalog, &call));
    match found {
        Ok(found) => Ok(answer(&object, &found)),
        Err(why) => Err(refused(Some(&object), number, &why)),
    }
}

/// What stands in place of a line that can't be priced.
pub(super) fn refused(object: Option<&Object>, number: u64, why: &str) -> String {
    let made = [("line", json(&number)), ("error", json(&why))];
    written(object, &["line", "error"], &made)
}

impl Call {
    fn read(object: &Object) -> Result<Self, String> {
        let needed = |name: &str, example: &str| {
            member(object, name)?.ok_or_else(|| format!("lacks `{name}`, such as {example}"))
        };
        let completed: String = needed("completed_at", "\"2026-11-25T12:00:00Z\"")?;
        Ok(Self {
            provider: needed("provider", "\"openai\": a provider of the catalogue")?,
            model: needed("model", "\"gpt-5.4\": the id at that provider")?,
            adapter: member(object, "adapter")?,
            usage: member(object, "usage")?,
            events: member(object, "stream_events")?.unwrap_or_default(),
            completed_at: completed.parse().map_err(|_| {
                let form = "a time with its zone, such as \"2026-11-25T12:00:00Z\"";
                format!("`completed_at` is `{completed}`, and must be {form}")
            })?,
            tier: member(object, "service_tier")?,
        })
    }

    /// The usage of a stream, or else of the whole answer; `None`: there is none.
    fn reading(&self, adapter: Adapter) -> Option<Reading> {
        let mut tally = Tally::new(adapter);
        for event in &self.events {
            if let Some(usage) = usage::find(event.get()) {
                tally.see(usage);
            }
        }
        let whole = || {
            self.usage
                .as_ref()
                .map(|raw| usage::read(adapter, raw.get()))
        };
        tally.reading().or_else(whole)
    }
}

/// A member in the type that it must have; null is absent.
fn member<T: DeserializeOwned>(object: &Object, name: &str) -> Result<Option<T>, String> {
    let Some(value) = object.get(name).filter(|value| *value != "null") else {
        return Ok(None);
    };
    let read = serde_json::from_str(value);
    read.map(Some)
        .map_err(|error| format!("`{name}` has the wrong type: {error}"))
}

fn find<'a>(catalog: &'a Catalog, call: &Call) -> Result<Found<'a>, String> {
    let provider = match catalog.provider(&call.provider) {
        Some(read) => Some(read.map_err(|error| error.to_string())?),
        None => None,
    };
    let adapter = match (&call.adapter, provider) {
        (Some(name), _) => Adapter::from_name(name),
        (None, provider) => provider.map(|provider| provider.adapter),
    };
    let mut found = Found::default();
    if provider.is_none() {
        found.flags.push("unknown_provider");
    }
    let Some(adapter) = adapter else {
        if call.adapter.is_some() {
            found.flags.push("unknown_adapter");
        }
        return Ok(found);
    };
    let Some(reading) = call.reading(adapter) else {
        found.flags.push("no_usage");
        return Ok(found);
    };
    found.usage = reading.usage;
    found.reported = reading.reported_cost;
    found.flags.extend(reading.flags.names());
    let Some(provider) = provider else {
        return Ok(found);
    };
    let Some(model) = provider.model(&call.model) else {
        found.flags.push("unknown_model");
        return Ok(found);
    };
    place(model, &mut found.usage);
    let tier = tier(call, &reading);
    let priced = on(
        catalog,
        (provider, model),
        &found.usage,
        (call.completed_at, tier),
    );
    found.flags.extend(priced.flags.names());
    // what nobody said was used costs nobody knows what, and not nothing
    let said = !reading.flags.has(Inconsistencies::NOTHING_READ);
    found.priced = said.then_some(priced);
    Ok(found)
}

/// What counts of a model that does not write text.
fn place(model: &Model, usage: &mut Usage) {
    let purposes = model.mode.purposes();
    if let Some(purpose) = purposes.iter().find(|purpose| !purpose.writes_text()) {
        meter::place(purpose, usage);
        *usage = meter::meter(&model.cards, Some(usage), &Usage::default()).usage;
    }
}

/// The tier that is said to have served, in the line or in the usage.
fn tier<'a>(call: &'a Call, reading: &Reading) -> &'a str {
    let stated = call.tier.as_deref();
    let known = stated.map(|stated| usage::tier(stated).unwrap_or(stated));
    known.or(reading.service_tier).unwrap_or(STANDARD)
}

fn on<'a>(
    catalog: &Catalog,
    (provider, model): (&Provider, &'a Model),
    usage: &Usage,
    (at, tier): (Timestamp, &str),
) -> price::Priced<'a> {
    let asked = Asked {
        at,
        tier,
        reasoning: usage.reasoning > 0,
    };
    let (boundary, shared) = (provider.boundary, catalog.shared());
    price::cost(&model.cards, &asked, usage, boundary, shared)
}

/// The line with what was found out.
fn answer(object: &Object, found: &Found<'_>) -> String {
    let card = found.priced.and_then(|priced| priced.card);
    let (cost, basis) = Basis::of(found.reported, found.priced.and_then(|priced| priced.cost));
    let yuan = card.filter(|card| card.currency == Currency::Cny);
    let listed = found.priced.and_then(|priced| priced.listed);
    let listed = yuan.and(listed).map(Usd::from_pico);
    let made = [
        ("cost_usd", json(&cost)),
        ("cost_cny", json(&listed)),
        ("card", json(&card.map(|card| &*card.source))),
        ("basis", json(&basis.as_str())),
        ("usage", json(&found.usage)),
        ("flags", json(&found.flags)),
    ];
    let made = made
        .into_iter()
        .filter(|(name, value)| *name != "cost_cny" || value != "null");
    written(Some(object), &REPLACED, &made.collect::<Vec<_>>())
}

/// The members of a line, byte for byte, but for some, and what was made of it.
fn written(object: Option<&Object>, but: &[&str], made: &[(&str, String)]) -> String {
    let mut text = String::from("{");
    let mut member = |name: &str, value: &str| {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&json(&name));
        text.push(':');
        text.push_str(value);
    };
    for (name, value) in object.iter().flat_map(|object| object.iter()) {
        if !but.contains(&name) {
            member(name, value);
        }
    }
    for (name, value) in made {
        member(name, value);
    }
    text.push('}');
    text
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
