//! The configuration that is in effect, for the operator to read, and how two of them differ.
//!
//! Written by hand, member by member: nothing is shown because it happens to be there. A secret
//! is shown as set or not, never itself, nor its digest or length. The values of headers count as
//! secrets.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use http::uri::Authority;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value, json};

use self::{
    plain::{view_admin, view_evidence, view_series, view_store},
    policy::view_policy,
};
use super::{
    About, Auth, Backend, Breaker, Budget, Config, Hosting, Key, Limits, May, Model, Objective,
    OnUncertain, OutputLimitField, Price, Provider, Proxy, Quality, Retries, Route, Scope, Server,
    SharedBudget, Weights,
};
use crate::{
    caps::{Cap, Caps},
    catalog::{Card, Protocol, SelfHosted},
    domain::Domain,
};

mod plain;
mod policy;

/// What stands in place of a secret.
const SECRET: &str = "***";

/// How something differs between two configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    Added,
    Removed,
    Changed,
}

/// One thing that differs: `keys.team-a`, `server.request_timeout`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    pub path: String,
    pub difference: Difference,
}

/// The whole configuration as JSON: the sections of the file, and what is listed there by name as
/// objects by name.
#[must_use]
pub fn view(config: &Config) -> Value {
    let Config {
        server,
        admin,
        store,
        prices: _,
        scored,
        auth,
        providers,
        backends,
        models,
        routes,
        keys,
        budgets,
        retries,
        breaker,
        limits,
        time_zone,
        metrics,
        evidence,
    } = config;
    json!({
        "server": view_server(server),
        "admin": view_admin(admin),
        "store": view_store(store),
        "scores": scored.files,
        "calibration": scored.calibration,
        "auth": { "mode": match auth { Auth::Keys => "keys", Auth::Open => "none" } },
        "providers": by_name(providers, |p| &p.name, view_provider),
        "backends": by_name(backends, |b| &b.name, |b| view_backend(config, b)),
        "models": by_name(models, |m| &m.name, |m| view_model(config, m)),
        "routes": by_name(routes, |r| &r.name, |r| view_route(config, r)),
        "keys": by_name(keys, |k| &k.id, view_key),
        "budgets": by_name(budgets, |b| &b.id, view_shared),
        "retries": view_retries(retries),
        "breaker": view_breaker(*breaker),
        "limits": view_limits(*limits),
        "time_zone": time_zone.iana_name(),
        "metrics": view_series(*metrics),
        "evidence": view_evidence(*evidence),
    })
}

/// The routes alone, by name.
#[must_use]
pub fn routes(config: &Config) -> Value {
    by_name(&config.routes, |r| &r.name, |r| view_route(config, r))
}

/// The budgets that keys share, by their ids.
#[must_use]
pub fn budgets(config: &Config) -> Value {
    by_name(&config.budgets, |b| &b.id, view_shared)
}

/// What differs, by path; secrets are compared and not shown.
#[must_use]
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let mut found = BTreeMap::new();
    compare(&view(old), &view(new), &mut found);
    let mut note = |path: String| {
        found.entry(path).or_insert(Difference::Changed);
    };
    if !same(old.admin.key.as_ref(), new.admin.key.as_ref()) {
        note("admin.key".to_owned());
    }
    if old.server.tls != new.server.tls {
        note("server.tls".to_owned());
    }
    let providers = named(&old.providers, |provider| &provider.name);
    let keys = named(&old.keys, |key| &key.id);
    let backends = named(&old.backends, |backend| &backend.name);
    for provider in &new.providers {
        let before = providers.get(&provider.name);
        if before.is_some_and(|before| !same_access(before, provider)) {
            note(format!("providers.{}", provider.name));
        }
    }
    for key in &new.keys {
        let before = keys.get(&key.id);
        if before.is_some_and(|before| before.sha256 != key.sha256) {
            note(format!("keys.{}", key.id));
        }
    }
    for backend in &new.backends {
        let before = backends.get(&backend.name);
        if before.is_some_and(|before| before.price != backend.price) {
            note(format!("backends.{}", backend.name));
        }
    }
    let changes = found.into_iter();
    changes
        .map(|(path, difference)| Change { path, difference })
        .collect()
}

/// Items by their names.
fn named<T>(items: &[T], name: fn(&T) -> &Arc<str>) -> HashMap<&Arc<str>, &T> {
    items.iter().map(|item| (name(item), item)).collect()
}

/// Are two providers called at the same addresses, with the same credentials?
#[must_use]
pub fn same_access(a: &Provider, b: &Provider) -> bool {
    let keys = |provider: &Provider| provider.api_keys.len();
    let mut pairs = a.api_keys.iter().zip(&b.api_keys);
    same_place(a, b) && keys(a) == keys(b) && pairs.all(|(a, b)| same(Some(a), Some(b)))
}

/// Are two providers called at the same addresses, in the same way and with the same headers,
/// whatever their keys?
#[must_use]
pub fn same_place(a: &Provider, b: &Provider) -> bool {
    let same_way = a.proxy == b.proxy && a.ca_file == b.ca_file;
    a.base_urls == b.base_urls && a.headers == b.headers && same_way
}

fn same(a: Option<&SecretString>, b: Option<&SecretString>) -> bool {
    a.map(ExposeSecret::expose_secret) == b.map(ExposeSecret::expose_secret)
}

/// Compares the members of the members: sections, then what they hold.
fn compare(old: &Value, new: &Value, found: &mut BTreeMap<String, Difference>) {
    let empty = Map::new();
    let members = |value: &Value| value.as_object().cloned().unwrap_or_else(|| empty.clone());
    for (section, new) in members(new) {
        let (old, new) = (members(&old[&section]), members(&new));
        for (name, value) in &new {
            let difference = match old.get(name) {
                None => Difference::Added,
                Some(before) if before != value => Difference::Changed,
                Some(_) => continue,
            };
            found.insert(format!("{section}.{name}"), difference);
        }
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            found.insert(format!("{section}.{name}"), Difference::Removed);
        }
    }
}

fn by_name<T>(items: &[T], name: fn(&T) -> &str, view: impl Fn(&T) -> Value) -> Value {
    let members = items.iter().map(|item| (name(item).to_owned(), view(item)));
    Value::Object(members.collect())
}

fn view_server(server: &Server) -> Value {
    let Server {
        listen,
        max_body,
        max_connections,
        max_buffered_answer,
        connect_timeout,
        first_byte_timeout,
        idle_timeout,
        request_timeout,
        keep_alive,
        sse_keep_alive,
        drain_delay,
        drain_timeout,
        cors_origins,
        tls,
    } = server;
    let origins = cors_origins.iter().map(|origin| origin.to_str().ok());
    json!({
        "listen": listen.to_string(),
        "max_body": max_body,
        "max_connections": max_connections,
        "max_buffered_answer": max_buffered_answer,
        "connect_timeout": time(*connect_timeout),
        "first_byte_timeout": first_byte_timeout.map(time),
        "idle_timeout": time(*idle_timeout),
        "request_timeout": time(*request_timeout),
        "keep_alive": time(*keep_alive),
        "sse_keep_alive": time(*sse_keep_alive),
        "drain_delay": time(*drain_delay),
        "drain_timeout": time(*drain_timeout),
        "cors_origins": origins.collect::<Vec<_>>(),
        "tls": tls.as_ref().map(|tls| json!({ "cert": tls.cert, "key": tls.key })),
    })
}

fn view_provider(provider: &Provider) -> Value {
    let Provider {
        name: _,
        protocol,
        base_urls,
        api_keys,
        headers,
        region,
        hosting,
        retention_days,
        adapter: _,
        boundary: _,
        listed: _,
        output_limit_field,
        limits,
        self_hosted,
        proxy,
        ca_file,
    } = provider;
    let urls = base_urls.iter().map(ToString::to_string);
    let headers = headers.iter().map(|(name, _)| (name.as_str(), SECRET));
    let several = (api_keys.len() > 1).then(|| vec![SECRET; api_keys.len()]);
    let one = api_keys.first().filter(|_| several.is_none());
    json!({
        "protocol": match protocol {
            Protocol::OpenAi => "openai",
            Protocol::Anthropic => "anthropic",
            Protocol::Gemini => "gemini",
            Protocol::Azure => "azure",
            Protocol::Bedrock => "bedrock",
        },
        "base_urls": urls.collect::<Vec<_>>(),
        "api_key": hidden(one),
        "api_keys": several,
        "headers": headers.collect::<BTreeMap<_, _>>(),
        "region": region.as_deref(),
        "hosting": hosting.map(Hosting::as_str),
        "retention_days": retention_days,
        "output_limit": match output_limit_field {
            OutputLimitField::AsSent => "as_sent",
            OutputLimitField::MaxTokens => "max_tokens",
            OutputLimitField::MaxCompletionTokens => "max_completion_tokens",
        },
        "limits": view_limits(*limits),
        "self_hosted": self_hosted.map(view_hosted),
        "proxy": proxy.as_ref().map(view_proxy),
        "ca_file": ca_file.as_ref().map(|file| &file.path),
    })
}

fn view_hosted(hosted: SelfHosted) -> Value {
    let SelfHosted {
        gpu_hour,
        gpus,
        prefill_tps,
        decode_tps,
    } = hosted;
    json!({
        "gpu_hour": gpu_hour,
        "gpus": gpus,
        "prefill_tps": prefill_tps,
        "decode_tps": decode_tps,
    })
}

/// Its address; that it has credentials can be seen, and nothing of them.
fn view_proxy(proxy: &Proxy) -> String {
    let Proxy {
        address,
        authorization,
    } = proxy;
    let place = address.authority().map_or("", Authority::as_str);
    let user = authorization
        .as_ref()
        .map_or_else(String::new, |_| format!("{SECRET}@"));
    format!("http://{user}{place}")
}

fn view_backend(config: &Config, backend: &Backend) -> Value {
    let Backend {
        name: _,
        provider,
        upstream_model,
        price,
        context,
        tokenizer,
        max_output,
        caps,
        caps_are_all,
        serves,
        max_batch,
        takes,
        quality,
        about:
            About {
                developer,
                country,
                weights,
                licence,
            },
    } = backend;
    let provider = config.providers.get(*provider).map(|p| &*p.name);
    let names = |caps: Caps| caps.iter().map(Cap::as_str).collect::<Vec<_>>();
    let caps = caps.map(names);
    json!({
        "provider": provider,
        "model": **upstream_model,
        "price": view_price(price),
        "context": context,
        "tokenizer": tokenizer,
        "max_output": max_output,
        "caps": caps,
        "caps_are_all": caps_are_all,
        "serves": serves.map(names),
        "max_batch": max_batch,
        "max_tools": takes.max_tools,
        "schema_lacks": takes.schema_lacks,
        "strict_schema_lacks": takes.strict_schema_lacks,
        "quality": view_quality(quality),
        "developer": developer.as_deref(),
        "developer_country": country.as_deref(),
        "weights": weights.map(Weights::as_str),
        "licence": licence.as_deref(),
    })
}

fn view_price(price: &Price) -> Value {
    match price {
        Price::Unpriced => json!({ "kind": "unpriced" }),
        Price::Free => json!({ "kind": "free" }),
        Price::SelfHosted(hosted) => {
            let mut view = view_hosted(*hosted);
            view["kind"] = "self_hosted".into();
            view
        }
        Price::Cards(cards) => json!({
            "kind": "cards",
            "cards": cards.iter().map(view_card).collect::<Vec<_>>(),
        }),
    }
}

/// The rates that people look for; which card applies when is the catalogue's to say.
fn view_card(card: &Card) -> Value {
    let mut view = json!({
        "tier": *card.tier,
        "currency": card.currency,
        "over": card.over,
        "window": card.window.as_ref().map(|window| &*window.id),
        "when": card.when,
        "from": card.from,
        "until": card.until,
        "source": *card.source,
    });
    for (name, rate) in card.rates.named() {
        view[name] = json!(rate);
    }
    view
}

fn view_quality(quality: &Quality) -> Value {
    let Quality { default, by_domain } = quality;
    let domains = Domain::ALL.iter().zip(by_domain);
    let mut view: Map<String, Value> = domains
        .filter_map(|((_, name), chance)| Some(((*name).to_owned(), fraction((*chance)?))))
        .collect();
    if let Some(default) = default {
        view.insert("default".to_owned(), fraction(*default));
    }
    Value::Object(view)
}

fn view_model(config: &Config, model: &Model) -> Value {
    let Model {
        name: _,
        wildcard: _,
        aliases,
        backends,
        limits,
    } = model;
    let backends = backends
        .iter()
        .filter_map(|index| config.backends.get(*index));
    json!({
        "aliases": aliases.iter().map(|alias| &**alias).collect::<Vec<_>>(),
        "backends": backends.map(|backend| &*backend.name).collect::<Vec<_>>(),
        "limits": view_limits(*limits),
    })
}

fn view_route(config: &Config, route: &Route) -> Value {
    let Route {
        name: _,
        candidates,
        objective,
        min_quality,
        on_uncertain,
        affinity,
        fallback,
        baseline,
        limits,
        policy,
    } = route;
    let model = |index: usize| config.models.get(index).map(|model| &*model.name);
    let candidates = candidates.iter().filter_map(|index| model(*index));
    json!({
        "candidates": candidates.collect::<Vec<_>>(),
        "objective": match objective {
            Objective::Cost => "cost",
            Objective::Latency => "latency",
            Objective::Quality => "quality",
            Objective::Order => "order",
        },
        "min_quality": min_quality.map(fraction),
        "on_uncertain": match on_uncertain {
            OnUncertain::Strongest => "strongest",
            OnUncertain::Cheapest => "cheapest",
        },
        "affinity": if *affinity { "conversation" } else { "none" },
        "fallback": fallback,
        "baseline": baseline.and_then(model),
        "limits": view_limits(*limits),
        "policy": policy.as_ref().map(view_policy),
    })
}

fn view_key(key: &Key) -> Value {
    let Key {
        id: _,
        sha256: _,
        models,
        limits,
        budget,
        expires,
        tags,
        policy,
        may: May { objective },
    } = key;
    let models = models
        .as_ref()
        .map(|models| models.iter().map(|model| &**model));
    json!({
        "key": SECRET,
        "models": models.map(Iterator::collect::<Vec<_>>),
        "limits": view_limits(*limits),
        "budget": budget.map(view_budget),
        "expires": expires,
        "tags": tags.as_ref().map(|tags| tags.iter().collect::<BTreeMap<_, _>>()),
        "policy": policy.as_deref().map(view_policy),
        "may": objective.then_some("objective").as_slice(),
    })
}

/// What may be spent, and how often that begins anew.
#[must_use]
pub fn view_budget(budget: Budget) -> Value {
    let Budget { usd, soft, per } = budget;
    json!({ "usd": usd, "soft": soft, "per": per.as_str() })
}

fn view_shared(shared: &SharedBudget) -> Value {
    let SharedBudget {
        id: _,
        scope,
        budget: Budget { usd, soft, per },
        show_spent,
    } = shared;
    let (tag, route) = match scope {
        Scope::Everything => (None, None),
        Scope::Route(route) => (None, Some(&**route)),
        Scope::Tag { name, value } => (Some(format!("{name}={value}")), None),
        Scope::EachTag(name) => (Some(name.to_string()), None),
    };
    json!({
        "tag": tag,
        "route": route,
        "usd": usd,
        "soft": soft,
        "per": per.as_str(),
        "show_spent": show_spent,
    })
}

fn view_retries(retries: &Retries) -> Value {
    let Retries {
        attempts,
        budget_permille,
        max_wait,
        after_send,
    } = retries;
    json!({
        "attempts": attempts,
        "budget": f64::from(*budget_permille) / 1_000.0,
        "max_wait": time(*max_wait),
        "after_send": after_send,
    })
}

fn view_breaker(breaker: Breaker) -> Value {
    let Breaker {
        failures,
        window,
        open,
    } = breaker;
    json!({ "failures": failures, "window": time(window), "open": time(open) })
}

fn view_limits(limits: Limits) -> Value {
    let Limits {
        rpm,
        tpm,
        max_concurrent,
    } = limits;
    json!({ "rpm": rpm, "tpm": tpm, "max_concurrent": max_concurrent })
}

fn hidden(secret: Option<&SecretString>) -> Option<&'static str> {
    secret.map(|_| SECRET)
}

/// A share or a chance, given in 1/10,000.
fn fraction(of_10_000: u16) -> Value {
    (f64::from(of_10_000) / 10_000.0).into()
}

/// A duration as it is written in a file.
fn time(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

#[cfg(test)]
mod tests;
