//! What the operator can do to a running gateway: have the configuration read again, take backends
//! out of service and put them back.

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde::Serialize;

use super::refusal::Refusal;
use crate::{
    accept::respond::{self, Shared},
    config::Config,
    error::GatewayError,
    reload,
    route::live::Live,
    state::{World, loads::Cause},
};

/// What a backend's being drained or resumed means.
#[derive(Debug, Serialize)]
struct Drained<'a> {
    backend: &'a str,
    drained: bool,
    /// Calls that go on.
    in_flight: i64,
    /// What can't be served any more until something is resumed.
    models_without_backends: Vec<&'a str>,
    routes_without_backends: Vec<&'a str>,
}

/// Reads the configuration again and says what changed, or every mistake.
pub(super) async fn reload(State(app): State<Shared>) -> Response {
    match reload::reload(&app, Cause::Operator).await {
        Ok(report) => respond::as_json(&report),
        Err(error) => Refusal::from(error).respond(),
    }
}

/// `{name}/drain` and `{name}/resume`; names hold slashes themselves.
pub(super) async fn backend(State(app): State<Shared>, Path(path): Path<String>) -> Response {
    let (name, drain) = match path.rsplit_once('/') {
        Some((name, "drain")) => (name, true),
        Some((name, "resume")) => (name, false),
        _ => {
            let path = format!("/admin/v1/backends/{path}");
            return respond::error(&GatewayError::UnknownPath(path));
        }
    };
    let world = app.world();
    let mut backends = world.config.backends.iter().zip(&world.means.live);
    let Some((backend, live)) = backends.find(|(backend, _)| *backend.name == *name) else {
        return Refusal::UnknownBackend(name.chars().take(200).collect()).respond();
    };
    live.drain(drain);
    tracing::info!(backend = &*backend.name, drained = drain, "by the operator");
    let (models_without_backends, routes_without_backends) = without_backends(&world);
    respond::as_json(&Drained {
        backend: &backend.name,
        drained: drain,
        in_flight: app
            .metrics
            .inflight
            .with_label_values(&[&*backend.name])
            .get(),
        models_without_backends,
        routes_without_backends,
    })
}

/// Models and routes all of whose backends are drained.
fn without_backends(world: &World) -> (Vec<&str>, Vec<&str>) {
    let config: &Config = &world.config;
    let drained = |backend: &usize| {
        let live = world.means.live.get(*backend);
        live.is_some_and(|live: &std::sync::Arc<Live>| live.is_drained())
    };
    let empty = |model: &usize| {
        let model = config.models.get(*model);
        model.is_some_and(|model| model.backends.iter().all(drained))
    };
    let models = (0..config.models.len())
        .filter(empty)
        .filter_map(|index| config.models.get(index));
    let routes = config
        .routes
        .iter()
        .filter(|route| route.candidates.iter().all(empty));
    (
        models.map(|model| &*model.name).collect(),
        routes.map(|route| &*route.name).collect(),
    )
}
