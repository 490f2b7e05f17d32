//! What the operator can look at: the configuration in effect, backends, models, the latest
//! decisions. Nothing here changes anything, and no secret is shown.

use axum::{
    extract::{FromRequestParts, Query, Request, State},
    response::Response,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::Refusal;
use crate::{
    accept::respond::{self, Shared},
    authenticate::Principal,
    config::view,
    offer,
    route::{breaker, explain, health::Standing, live::Live},
    settle::decisions::{Decision, Thought},
    state::{
        App, World,
        loads::{Attempt, Origin},
    },
};

/// Decisions that are shown unless more are asked for; as many as are kept.
const DECISIONS: usize = 256;

/// Where the configuration came from, what came of reading it again, and what is in effect.
pub(super) async fn config(State(app): State<Shared>) -> Response {
    let (world, loads) = (app.world(), app.loads());
    let source = match &app.origin {
        Origin::Made => json!({ "kind": "made", "file": null }),
        Origin::File { path, .. } => json!({ "kind": "file", "file": path }),
    };
    respond::as_json(&json!({
        "source": source,
        "loaded_at": loads.loaded_at,
        "last_reload": loads.last.as_ref().map(attempt),
        "config": view::view(&world.config),
    }))
}

fn attempt(attempt: &Attempt) -> Value {
    let Attempt { at, cause, outcome } = attempt;
    match outcome {
        Ok(report) => json!({
            "at": at,
            "cause": cause,
            "result": "ok",
            "changed": report.changed,
            "needs_restart": report.needs_restart,
            "warnings": report.warnings,
        }),
        Err(mistakes) => json!({
            "at": at,
            "cause": cause,
            "result": "failed",
            "mistakes": mistakes,
        }),
    }
}

/// How every backend stands, and every key where a provider has several.
pub(super) async fn backends(State(app): State<Shared>) -> Response {
    let world = app.world();
    let all = (0..world.config.backends.len()).filter_map(|index| backend(&app, &world, index));
    respond::as_json(&json!({
        "backends": all.collect::<Vec<_>>(),
        "api_keys": api_keys(&world),
        "self_hosted": world.hosted_views().collect::<Vec<_>>(),
    }))
}

/// The keys of providers that have several, by provider. One that stands alone has no state of its
/// own: it is its backends' state.
fn api_keys(world: &World) -> Value {
    let now_ms = world.means.now_ms();
    let providers = world.config.providers.iter().zip(&world.means.upstreams);
    let pools = providers.filter_map(|(provider, upstream)| Some((provider, upstream.pool()?)));
    let members = pools.map(|(provider, pool)| {
        let keys = pool.stands(now_ms).map(|key| {
            json!({
                "sha256": key.fingerprint,
                "standing": standing_of_key(key.standing),
                "calls": key.calls,
            })
        });
        (provider.name.to_string(), keys.collect())
    });
    Value::Object(members.collect())
}

fn standing_of_key(of_key: Standing) -> Value {
    let mut view = standing(of_key);
    if let Standing::Down(reason) = of_key {
        view["reason"] = reason.of_key().into();
    }
    view
}

fn backend(app: &App, world: &World, index: usize) -> Option<Value> {
    let backend = world.config.backends.get(index)?;
    let live: &Live = world.means.live.get(index)?;
    let provider = world.config.providers.get(backend.provider)?;
    let now_ms = world.means.now_ms();
    let inflight = app.metrics.inflight.with_label_values(&[&*backend.name]);
    let first_token_ms = live.learned.first_token_us().map(|us| us.div_ceil(1_000));
    Some(json!({
        "name": *backend.name,
        "provider": *provider.name,
        "model": *backend.upstream_model,
        "standing": standing(live.health.standing(now_ms)),
        "breaker": match live.health.breaker(now_ms) {
            breaker::State::Closed => "closed",
            breaker::State::HalfOpen { .. } => "half_open",
            breaker::State::Open { .. } => "open",
        },
        "drained": live.is_drained(),
        "in_flight": inflight.get(),
        "learned": {
            "first_token_ms": first_token_ms,
            "prompt_tokens_per_1000_estimated": live.learned.prompt_tokens_per_1000(),
        },
    }))
}

fn standing(standing: Standing) -> Value {
    let (state, left_ms) = match standing {
        Standing::Up => ("up", None),
        Standing::Trial => ("trial", None),
        Standing::Cooling { left_ms, .. } => ("cooling", Some(left_ms)),
        Standing::Down(_) => ("down", None),
        Standing::Open { left_ms, .. } => ("open", Some(left_ms)),
        Standing::Drained => ("drained", None),
    };
    json!({
        "state": state,
        "reason": explain::why_not(standing),
        "left_ms": left_ms,
    })
}

/// Everything that can be asked for, and how routes choose.
pub(super) async fn models(State(app): State<Shared>) -> Response {
    let world = app.world();
    let anybody = Principal::anybody();
    let list = offer::list(&world.config, &world.names, &anybody, Timestamp::now());
    respond::as_json(&json!({
        "object": list.object,
        "data": list.data,
        "routes": view::routes(&world.config),
    }))
}

/// How many decisions are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    limit: Option<usize>,
}

/// The latest decisions, the latest first.
pub(super) async fn decisions(State(app): State<Shared>, request: Request) -> Response {
    let (mut head, _) = request.into_parts();
    let query = Query::<Limit>::from_request_parts(&mut head, &app).await;
    let Ok(Query(Limit { limit })) = query else {
        return Refusal::Query("`limit=N` alone can be asked for").respond();
    };
    let latest = app.decisions.latest(limit.unwrap_or(DECISIONS));
    let views = latest.iter().map(|decision| decided(decision));
    respond::as_json(&json!({ "decisions": views.collect::<Vec<_>>() }))
}

fn decided(decision: &Decision) -> Value {
    let config = &decision.config;
    let (text, candidates, refused) = match &decision.thought {
        Thought::Planned(plan) => (
            explain::decision(config, plan),
            &plan.candidates[..],
            &plan.refused[..],
        ),
        Thought::Nobody { why, refused } => (why.clone(), &[][..], &refused[..]),
    };
    let chosen = explain::candidate_views(config, candidates);
    json!({
        "request_id": decision.request_id,
        "at": decision.at,
        "key": decision.key.as_deref(),
        "route": decision.route.as_deref(),
        "model": decision.model.as_deref().unwrap_or("unknown"),
        "chosen": chosen.first().map(|first| first.backend),
        "decision": text,
        "candidates": chosen,
        "refused": explain::refused_views(config, refused),
        "served_by": decision.backend.as_deref(),
        "attempts": decision.attempts,
        "cost_usd": decision.cost,
        "outcome": decision.outcome,
        "status": decision.status,
    })
}
