//! The operator's paths: probes and metrics for machines, the console's files, and the rest behind
//! the admin key.

mod budgets;
mod console;
mod control;
mod explain;
pub(super) mod guard;
mod keys;
mod outcomes;
mod playground;
mod refusal;
mod spend;
mod views;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware,
    response::Response,
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use jiff::Timestamp;

use self::guard::Guard;
use super::{
    respond::{self, Shared},
    router::wrong_method,
};
use crate::{
    catalog::hosted::WHOLE,
    error::GatewayError,
    route::{breaker, health::Standing},
    settle::metrics::KEY_STATES,
    state::App,
};

/// Every path for the operator.
pub fn router(app: Arc<App>) -> Router {
    let guard = Arc::new(Guard::new(Arc::clone(&app)));
    let paths = Router::new()
        .route("/admin/v1/explain", post(explain::explain))
        .route("/admin/v1/playground", post(playground::chat))
        .route("/admin/v1/config", get(views::config))
        .route("/admin/v1/backends", get(views::backends))
        .route("/admin/v1/models", get(views::models))
        .route("/admin/v1/decisions", get(views::decisions))
        .route("/admin/v1/budgets", get(budgets::list))
        .route("/admin/v1/spend", get(spend::spend))
        .route("/admin/v1/keys", get(keys::list).post(keys::create))
        .route("/admin/v1/keys/{*id}", post(keys::act).patch(keys::change))
        .route(
            "/admin/v1/outcomes",
            get(outcomes::list).delete(outcomes::forget),
        )
        .route("/admin/v1/reload", post(control::reload))
        .route("/admin/v1/backends/{*name}", post(control::backend));
    let behind_key = paths.route_layer(middleware::from_fn_with_state(guard, guard::only_operator));
    probes(console::paths(Router::new()))
        .route("/metrics", get(metrics))
        .merge(behind_key)
        .fallback(|request: Request| async move {
            respond::error(&GatewayError::UnknownPath(shortened(&request)))
        })
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
}

/// Probes, on both listeners, in the usual spellings.
pub(super) fn probes(paths: Router<Shared>) -> Router<Shared> {
    paths
        .route("/healthz", get(alive))
        .route("/health/liveness", get(alive))
        .route("/readyz", get(ready))
        .route("/health/readiness", get(ready))
}

async fn alive() -> &'static str {
    "ok\n"
}

/// Ready until the program is asked to stop; never depends on backends.
async fn ready(State(app): State<Shared>) -> (StatusCode, &'static str) {
    if app.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

async fn metrics(State(app): State<Shared>) -> Response {
    show_standings(&app);
    show_budgets(&app);
    show_keys(&app);
    show_hosted(&app);
    let mut response = respond::json(StatusCode::OK, app.metrics.text());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Gauges that follow from the state of backends are set when they are asked for.
fn show_standings(app: &App) {
    let world = app.world();
    let now_ms = world.means.now_ms();
    for (backend, live) in world.config.backends.iter().zip(&world.means.live) {
        let labels = [&*backend.name];
        let up = live.standing(now_ms) == Standing::Up;
        let state = match live.health.breaker(now_ms) {
            breaker::State::Closed => 0,
            breaker::State::HalfOpen { .. } => 1,
            breaker::State::Open { .. } => 2,
        };
        // together with others they would say nothing
        if let Some(gauge) = app.metrics.backend_up.room(&labels) {
            gauge.set(i64::from(up));
        }
        if let Some(gauge) = app.metrics.breaker_state.room(&labels) {
            gauge.set(state);
        }
    }
}

/// The same for budgets whose spending is known: of keys that have their own series, and shared ones.
fn show_budgets(app: &App) {
    let world = app.world();
    let now = Timestamp::now();
    // the first of the file; a reload takes away what others had
    let named = world.config.metrics.max_keys;
    for key in world.config.keys.iter().take(named) {
        let holder = world.holders.find(&key.id);
        let standing = holder.and_then(|holder| holder.purse.standing(now));
        match standing.filter(|standing| standing.known) {
            Some(standing) => app.metrics.show_budget(&key.id, &standing),
            None => app.metrics.forget_budget(&key.id),
        }
    }
    for shared in &world.config.budgets {
        for purse in world.budgets.purses(&shared.id) {
            let standing = purse.standing(now);
            match standing.filter(|standing| standing.known) {
                Some(standing) => app.metrics.show_shared(&purse.whose, &standing),
                None => app.metrics.forget_shared(&purse.whose),
            }
        }
    }
}

/// How many keys of each provider that has several stand how.
fn show_keys(app: &App) {
    let world = app.world();
    let now_ms = world.means.now_ms();
    let providers = world.config.providers.iter().zip(&world.means.upstreams);
    for (provider, upstream) in providers {
        let Some(pool) = upstream.pool() else {
            continue;
        };
        let mut numbers = [0; KEY_STATES.len()];
        for key in pool.stands(now_ms) {
            let [up, cooling, down] = &mut numbers;
            *match key.standing {
                Standing::Up => up,
                Standing::Cooling { .. } => cooling,
                _ => down,
            } += 1;
        }
        for (state, number) in KEY_STATES.iter().zip(numbers) {
            let labels = [&*provider.name, *state];
            if let Some(gauge) = app.metrics.provider_keys.room(&labels) {
                gauge.set(number);
            }
        }
    }
}

/// What one's own hardware is, and what one more call is taken to add: all of its cost as long as
/// nothing is known.
fn show_hosted(app: &App) {
    let world = app.world();
    for (provider, hardware, pace) in world.hosted() {
        let labels = [provider];
        if let Some(gauge) = app.metrics.gpus.room(&labels) {
            gauge.set(hardware.gpus.into());
        }
        if let Some(gauge) = app.metrics.marginal_share.room(&labels) {
            let share = pace.share(hardware).unwrap_or(WHOLE);
            gauge.set(f64::from(share.parts()) / f64::from(WHOLE.parts()));
        }
    }
}

fn shortened(request: &Request) -> String {
    request.uri().path().chars().take(200).collect()
}
