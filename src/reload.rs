//! Reads the configuration again and puts it into effect: all of it, or, where it has a mistake,
//! nothing.
//!
//! The new world replaces the old one in one step. Requests under way keep the world that they
//! began with; what was learned, how backends stand, what was taken of limits and the connections
//! to backends live on. `watch` notices changes by itself. Nothing here decides what a
//! configuration means.

pub mod watch;

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
};

use jiff::Timestamp;

use crate::{
    admit::purse::Purse,
    catalog,
    config::{
        Admin, Checked, Config, Mistakes, Server,
        load::{self, Overrides, ProcessEnvironment, Reading},
        view,
    },
    state::{
        App, World,
        loads::{Attempt, Cause, Origin, Report},
    },
};

/// Mistakes that the log shows one by one.
const MOST_LOGGED: usize = 20;

/// Why nothing was put into effect.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error("tollgate was started without a configuration file: there is nothing to read again")]
    Nothing,
    #[error("the configuration has {}; the one before stays in effect", counted(.0))]
    Mistakes(Mistakes),
    #[error("reading the configuration broke off; the one before stays in effect")]
    BrokeOff,
}

fn counted(mistakes: &Mistakes) -> String {
    match mistakes.as_slice().len() {
        1 => "a mistake".to_owned(),
        many => format!("{many} mistakes"),
    }
}

/// Reads the configuration again, whether or not it changed.
///
/// # Errors
/// If there is no file, or it has a mistake; nothing changes then.
pub async fn reload(app: &Arc<App>, cause: Cause) -> Result<Report, ReloadError> {
    let app = Arc::clone(app);
    // files are read, and a large one takes a while to check
    let reading = tokio::task::spawn_blocking(move || read_again(&app, cause, false));
    match reading.await {
        Ok(Some(outcome)) => outcome,
        Ok(None) | Err(_) => Err(ReloadError::BrokeOff),
    }
}

/// Reads it again, or only where it changed since; `None`: it did not.
fn read_again(app: &App, cause: Cause, only_changed: bool) -> Option<Result<Report, ReloadError>> {
    let Origin::File { path, overrides } = &app.origin else {
        return Some(Err(ReloadError::Nothing));
    };
    let mut seen = app.seen.lock().unwrap_or_else(PoisonError::into_inner);
    if only_changed && !seen.is_stale() {
        return None;
    }
    let running = Arc::clone(&app.world().config);
    // checked as it will run: a file that names another address must not open this one
    let in_use = Overrides {
        listen: Some(running.server.listen),
        admin_listen: Some(running.admin.listen),
        ..*overrides
    };
    let reading = load::watched(path, &ProcessEnvironment, catalog::builtin(), in_use);
    let needs_restart = needs_restart(&running, &reading, *overrides);
    let Reading {
        seen: now, outcome, ..
    } = reading;
    *seen = now;
    let outcome = outcome.map(|checked| put_into_effect(app, checked, needs_restart));
    app.note(Attempt {
        at: Timestamp::now(),
        cause,
        outcome: outcome
            .clone()
            .map_err(|mistakes| mistakes.as_slice().to_vec()),
    });
    tell(app, cause, &outcome);
    Some(outcome.map_err(ReloadError::Mistakes))
}

/// What the file says of addresses that are listened on already.
fn needs_restart(running: &Config, reading: &Reading, overrides: Overrides) -> Vec<&'static str> {
    let server = reading.listen.unwrap_or(Server::default().listen);
    let admin = reading.admin_listen.unwrap_or(Admin::default().listen);
    let mut named = Vec::new();
    if overrides.listen.is_none() && server != running.server.listen {
        named.push("server.listen");
    }
    if overrides.admin_listen.is_none() && admin != running.admin.listen {
        named.push("admin.listen");
    }
    named
}

fn put_into_effect(app: &App, checked: Checked, mut needs_restart: Vec<&'static str>) -> Report {
    let Checked {
        mut config,
        warnings,
    } = checked;
    let old = app.world();
    if config.admin.key.is_none() {
        // the one that was made or written at the start goes on
        config.admin.key.clone_from(&old.config.admin.key);
    }
    let changed = view::changes(&old.config, &config);
    if config.server.max_connections != old.config.server.max_connections {
        config.server.max_connections = old.config.server.max_connections;
        needs_restart.push("server.max_connections");
    }
    if config.store != old.config.store {
        // rows of requests under way are on their way to the one that is open
        config.store = old.config.store.clone();
        needs_restart.push("store");
    }
    let before = shared(&old);
    let new = World::of(config, Some(&old));
    let kept: HashSet<&str> = new.config.backends.iter().map(|b| &*b.name).collect();
    let gone = old.config.backends.iter().map(|b| &b.name);
    let gone: Vec<Arc<str>> = gone
        .filter(|name| !kept.contains(&***name))
        .cloned()
        .collect();
    let keys = old.config.keys.iter().map(|key| &key.id);
    let gone_keys: HashSet<Arc<str>> = keys.filter(|id| !new.keys.has(id)).cloned().collect();
    app.metrics.follow(&new.config);
    let has_pool = |name: &str| {
        let mut providers = new.config.providers.iter();
        providers.any(|p| &*p.name == name && p.api_keys.len() > 1)
    };
    let providers = old.config.providers.iter();
    let single: Vec<Arc<str>> = providers
        .filter(|provider| !has_pool(&provider.name))
        .map(|provider| Arc::clone(&provider.name))
        .collect();
    let gone_hosts: Vec<Arc<str>> = old
        .hosted()
        .filter(|(name, _, _)| !new.hosted().any(|(kept, _, _)| kept == *name))
        .map(|(name, _, _)| name.into())
        .collect();
    app.replace(new);
    app.state_rents(Timestamp::now());
    gone_hosts
        .iter()
        .for_each(|name| app.metrics.forget_hosted(name));
    old.holders.retain(|key| !gone_keys.contains(key));
    let unnamed = old.config.keys.iter().map(|key| &key.id);
    unnamed
        .filter(|id| gone_keys.contains(*id) || !app.metrics.names_key(id))
        .for_each(|id| app.metrics.forget_budget(id));
    before
        .iter()
        .for_each(|purse| app.metrics.forget_shared(&purse.whose));
    gone.iter()
        .for_each(|name| app.metrics.forget_backend(name));
    single.iter().for_each(|name| app.metrics.forget_keys(name));
    Report {
        changed,
        needs_restart,
        warnings,
    }
}

/// The purses of the shared budgets: each is shown anew when metrics are read, if it still is to be.
fn shared(world: &World) -> Vec<Arc<Purse>> {
    let budgets = world.config.budgets.iter();
    budgets
        .flat_map(|budget| world.budgets.purses(&budget.id))
        .collect()
}

/// Says in log and metrics what came of it.
fn tell(app: &App, cause: Cause, outcome: &Result<Report, Mistakes>) {
    let result = if outcome.is_ok() { "ok" } else { "failed" };
    app.metrics.reloads.with_label_values(&[result]).inc();
    match outcome {
        Ok(report) => {
            let changed: Vec<&str> = report.changed.iter().map(|c| &*c.path).collect();
            tracing::info!(?cause, ?changed, "configuration reloaded");
            for path in &report.needs_restart {
                tracing::warn!(path, "changed in the file, and needs a restart");
            }
            for warning in &report.warnings {
                tracing::warn!(%warning, "configuration");
            }
        }
        Err(mistakes) => {
            let number = mistakes.as_slice().len();
            tracing::error!(?cause, mistakes = number, "configuration not reloaded");
            for mistake in mistakes.into_iter().take(MOST_LOGGED) {
                tracing::error!(%mistake, "configuration");
            }
        }
    }
}
