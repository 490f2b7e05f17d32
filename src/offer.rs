//! What can be asked for: the list behind `/v1/models` and `tollgate models`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    authenticate::Principal,
    caps::{Cap, Caps},
    catalog::{self, Currency},
    config::{Backend, Config, Price},
    money::Rate,
    route::{
        cost,
        names::{Names, Target},
        policy,
    },
};

/// The rates that every price shows, whether there is one or not.
const SHOWN: [&str; 3] = ["input", "output", "cache_read"];

/// The list, in OpenAI's shape with more members.
#[derive(Debug, Serialize)]
pub struct List {
    pub object: &'static str,
    pub data: Vec<Entry>,
}

/// One name that may be asked for.
#[derive(Debug, Serialize)]
pub struct Entry {
    pub id: String,
    pub object: &'static str,
    pub created: u64,
    pub owned_by: &'static str,
    /// `model`, `alias`, `route` or `backend`.
    pub kind: &'static str,
    /// The largest context of its backends, in tokens; `null`: not known.
    pub context_length: Option<u64>,
    pub max_output_tokens: Option<u64>,
    /// What at least one of its backends can do.
    pub capabilities: Vec<&'static str>,
    /// What at least one of its backends is for: `chat`, `embeddings`, …; a backend of which
    /// nothing is known is taken to be for chat.
    pub serves: Vec<&'static str>,
    /// Where it may run, in the order written.
    pub backends: Vec<BackendEntry>,
}

/// One backend behind a name.
#[derive(Debug, Serialize)]
pub struct BackendEntry {
    pub id: String,
    pub context_length: Option<u64>,
    pub max_output_tokens: Option<u64>,
    /// `null`: not declared.
    pub capabilities: Option<Vec<&'static str>>,
    /// What it is for; `null`: not declared.
    pub serves: Option<Vec<&'static str>>,
    pub pricing: Pricing,
    /// The default chance of an acceptable answer; `null`: not known.
    pub quality: Option<String>,
}

/// What a backend costs now, in the standard tier and for a short prompt: as the card says it, by
/// the names of the catalogue, per 1,000,000 tokens unless the name says otherwise.
#[derive(Debug, Serialize)]
pub struct Pricing {
    /// `card`, `free`, `self_hosted` or `unpriced`.
    pub kind: &'static str,
    /// `USD` or `CNY`, where there is a card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    pub input: Option<Rate>,
    pub output: Option<Rate>,
    pub cache_read: Option<Rate>,
    /// The others that the card has.
    #[serde(flatten)]
    pub others: BTreeMap<&'static str, Rate>,
}

/// What this caller may ask for, by name. Pinned names, `provider/model`, are a way to say which
/// backend of a model is wanted: they are answered too, but would make every list twice as long.
#[must_use]
pub fn list(config: &Config, names: &Names, caller: &Principal, at: Timestamp) -> List {
    let mut data: Vec<Entry> = names
        .iter()
        .filter(|(_, target)| !matches!(target, Target::Backend { .. }))
        .filter(|(name, target)| may(config, caller, name, *target))
        .filter_map(|(name, target)| entry(config, caller, (name, target), at))
        .collect();
    data.sort_by(|a, b| (rank(a.kind), &a.id).cmp(&(rank(b.kind), &b.id)));
    List {
        object: "list",
        data,
    }
}

/// One name that this caller may ask for, pinned names included.
#[must_use]
pub fn one(
    config: &Config,
    names: &Names,
    caller: &Principal,
    name: &str,
    at: Timestamp,
) -> Option<Entry> {
    let target = names
        .find(name)
        .filter(|target| may(config, caller, name, *target))?;
    entry(config, caller, (name, target), at)
}

/// The same rule as routing has: the name itself, or the model that it stands for.
fn may(config: &Config, caller: &Principal, name: &str, target: Target) -> bool {
    let canonical = match target {
        Target::Route(_) => None,
        Target::Model(model) | Target::Backend { model, .. } => config.models.get(model),
    };
    caller.may_use(name) || canonical.is_some_and(|model| caller.may_use(&model.name))
}

fn rank(kind: &str) -> u8 {
    match kind {
        "route" => 0,
        "model" => 1,
        "alias" => 2,
        _ => 3,
    }
}

/// Is what this caller asks for there paid from a budget, its own or a shared one?
#[must_use]
pub fn is_budgeted(config: &Config, caller: &Principal, target: Option<Target>) -> bool {
    let route = match target {
        Some(Target::Route(route)) => config.routes.get(route).map(|route| &*route.name),
        Some(Target::Model(_) | Target::Backend { .. }) | None => None,
    };
    let tags = caller.tags.as_deref();
    let mut shared = config.budgets.iter();
    caller.budget.is_some() || shared.any(|budget| budget.scope.counts(tags, route))
}

/// The entry of a name; `None`: nobody behind it may serve this caller. As in routing, what is paid
/// from a budget is never served by a backend without a price.
fn entry(
    config: &Config,
    caller: &Principal,
    (name, target): (&str, Target),
    at: Timestamp,
) -> Option<Entry> {
    let of_model = |model: usize| {
        config
            .models
            .get(model)
            .map_or(&[][..], |m| &m.backends[..])
    };
    let (kind, mut indices): (_, Vec<usize>) = match target {
        Target::Backend { backend, .. } => ("backend", vec![backend]),
        Target::Model(model) => {
            let is_name = config.models.get(model).is_some_and(|m| *m.name == *name);
            (
                if is_name { "model" } else { "alias" },
                of_model(model).to_vec(),
            )
        }
        Target::Route(route) => {
            let models = config
                .routes
                .get(route)
                .map_or(&[][..], |route| &route.candidates);
            (
                "route",
                models
                    .iter()
                    .flat_map(|model| of_model(*model))
                    .copied()
                    .collect(),
            )
        }
    };
    let budgeted = is_budgeted(config, caller, Some(target));
    let mut seen = std::collections::HashSet::new();
    indices.retain(|index| seen.insert(*index));
    let backends: Vec<&Backend> = indices
        .iter()
        .filter_map(|index| config.backends.get(*index))
        .filter(|backend| !budgeted || backend.price != Price::Unpriced)
        .filter(|backend| policy::allow(config, caller, target, backend))
        .collect();
    if backends.is_empty() && !indices.is_empty() {
        return None;
    }
    let largest = |of: fn(&Backend) -> Option<u64>| backends.iter().filter_map(|b| of(b)).max();
    let caps = backends.iter().filter_map(|b| b.caps).flat_map(Caps::iter);
    let serves = backends
        .iter()
        .map(|b| b.serves.unwrap_or(Caps::default().purposes()))
        .flat_map(Caps::iter);
    Some(Entry {
        id: name.to_owned(),
        object: "model",
        created: 0,
        owned_by: "tollgate",
        kind,
        context_length: largest(|b| b.context),
        max_output_tokens: largest(|b| b.max_output),
        capabilities: spelled(caps.collect()),
        serves: spelled(serves.collect()),
        backends: backends
            .iter()
            .map(|backend| backend_entry(config, backend, at))
            .collect(),
    })
}

fn backend_entry(config: &Config, backend: &Backend, at: Timestamp) -> BackendEntry {
    BackendEntry {
        id: backend.name.to_string(),
        context_length: backend.context,
        max_output_tokens: backend.max_output,
        capabilities: backend.caps.map(spelled),
        serves: backend.serves.map(spelled),
        pricing: pricing(config, backend, at),
        quality: backend.quality.default.map(crate::route::explain::chance),
    }
}

fn spelled(caps: Caps) -> Vec<&'static str> {
    caps.iter().map(Cap::as_str).collect()
}

fn pricing(config: &Config, backend: &Backend, at: Timestamp) -> Pricing {
    let none = |kind| Pricing {
        kind,
        currency: None,
        input: None,
        output: None,
        cache_read: None,
        others: BTreeMap::new(),
    };
    match &backend.price {
        Price::Unpriced => none("unpriced"),
        Price::Free => Pricing {
            input: Some(Rate::ZERO),
            output: Some(Rate::ZERO),
            ..none("free")
        },
        Price::SelfHosted(_) => none("self_hosted"),
        Price::Cards(cards) => {
            let boundary = config
                .providers
                .get(backend.provider)
                .map(|provider| provider.boundary);
            let boundary = boundary.unwrap_or(catalog::Boundary::Over);
            let asked = cost::asked_at(at, cost::STANDARD, false);
            let usage = crate::usage::Usage::default();
            let shared = &config.prices;
            match catalog::price::cost(cards, &asked, &usage, boundary, shared).card {
                None => none("unpriced"),
                Some(card) => Pricing {
                    kind: "card",
                    currency: Some(card.currency),
                    input: card.rates.input,
                    output: card.rates.output,
                    cache_read: card.rates.cache_read,
                    others: card
                        .rates
                        .named()
                        .filter(|(name, _)| !SHOWN.contains(name))
                        .collect(),
                },
            }
        }
    }
}
