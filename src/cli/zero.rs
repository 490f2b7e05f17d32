//! The start without a configuration: what is found in the environment and on this machine.
//!
//! It writes a configuration and loads it like any other, so that nothing works differently
//! without a file. The simulator is never started by itself.

pub(super) mod probe;

use std::{collections::HashMap, fmt::Write as _, net::SocketAddr, sync::Arc};

use secrecy::ExposeSecret;

use self::probe::Local;
use super::CliError;
use crate::{
    catalog::{self, Protocol},
    config::{
        Checked, Config, Limits, Objective, OnUncertain, Price, Route,
        load::{self, Environment, Overrides, ProcessEnvironment},
    },
    serve::{Listeners, random_key},
};

/// Stands for a file in messages.
const NAME: &str = "zero-configuration start";
/// The route over everything that is found.
const AUTO: &str = "auto";
/// Names of the keys in the environment.
const CLIENT_KEY: &str = "TOLLGATE_KEY";
const ADMIN_KEY: &str = "TOLLGATE_ADMIN_KEY";

/// Where people find something to try.
const NOTHING: &str = "no configuration, no provider key in the environment, and no local model server: \
    name a file with --config, set a key such as DEEPSEEK_API_KEY, start Ollama or vLLM, \
    or see `tollgate demo`";

/// Opens the listeners, then looks for local servers (so that our own port is never taken for
/// one), and makes a configuration of what is found.
pub(super) async fn start(overrides: Overrides) -> Result<(Config, Listeners), CliError> {
    let mut keys = MadeKeys::default();
    let addresses = configuration(&[], &[], overrides, &mut keys)?.config;
    let listeners = Listeners::open(&addresses.server, &addresses.admin).await?;
    let own = [listeners.client_address, listeners.admin_address];
    let locals = probe::local_servers(&own).await;
    let providers = in_environment(&ProcessEnvironment);
    if providers.is_empty() && locals.is_empty() {
        return Err(CliError::Usage(NOTHING.into()));
    }
    let config = configuration(&providers, &locals, overrides, &mut keys)?.config;
    tell(&config, &locals, &keys);
    Ok((config, listeners))
}

/// The same without asking local servers, for commands that call nobody.
pub(super) fn from_environment(overrides: Overrides) -> Result<Checked, CliError> {
    let providers = in_environment(&ProcessEnvironment);
    if providers.is_empty() {
        return Err(CliError::Usage(NOTHING.into()));
    }
    configuration(&providers, &[], overrides, &mut MadeKeys::default())
}

/// Keys that were made because nobody gave any.
#[derive(Debug, Default)]
struct MadeKeys(HashMap<&'static str, String>);

impl Environment for MadeKeys {
    fn var(&self, name: &str) -> Option<String> {
        self.0
            .get(name)
            .cloned()
            .or_else(|| ProcessEnvironment.var(name))
    }
}

impl MadeKeys {
    fn make(&mut self, name: &'static str, prefix: &str) -> Result<(), CliError> {
        if self.var(name).is_none_or(|value| value.is_empty()) {
            let key = random_key(prefix).map_err(|error| CliError::Failed(error.to_string()))?;
            self.0.insert(name, key.expose_secret().to_owned());
        }
        Ok(())
    }
}

/// A provider of the catalogue whose key is in the environment, and in which variable.
fn in_environment(env: &dyn Environment) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for name in catalog::builtin().names() {
        let Some(Ok(provider)) = catalog::builtin().provider(name) else {
            continue;
        };
        let mut set = provider
            .env
            .iter()
            .filter(|var| env.var(var).is_some_and(|value| !value.is_empty()));
        let Some(variable) = set.next() else { continue };
        if provider.protocol == Protocol::OpenAi && provider.base_url.is_some() {
            found.push((name, variable.to_string()));
        } else {
            tracing::warn!(
                provider = name,
                "a key is in the environment, but this protocol is not supported yet"
            );
        }
    }
    found
}

/// Writes and loads the configuration.
fn configuration(
    providers: &[(&str, String)],
    locals: &[Local],
    overrides: Overrides,
    keys: &mut MadeKeys,
) -> Result<Checked, CliError> {
    let overrides = overrides.without_file(&ProcessEnvironment);
    let mut text = String::from("providers:\n");
    for (name, variable) in providers {
        let _ = writeln!(text, "  {name}: {{ api_key: \"${{{variable}}}\" }}");
    }
    for local in locals {
        let _ = writeln!(text, "  {}: {{ base_url: {} }}", local.name, local.base_url);
    }
    if providers.is_empty() && locals.is_empty() {
        text = String::new();
    }
    let mut head = "models:";
    for local in locals {
        for model in &local.models {
            let id = serde_json::Value::from(model.id.as_str());
            let _ = writeln!(
                text,
                "{head}\n- name: {id}\n  backends:\n  - {{ provider: {}, model: {id}, price: free }}",
                local.name
            );
            if let Some(context) = model.context {
                let _ = writeln!(text, "  context: {context}");
            }
            head = "";
        }
    }
    let public =
        |address: Option<SocketAddr>| address.is_some_and(|address| !address.ip().is_loopback());
    if public(overrides.listen) {
        keys.make(CLIENT_KEY, "tg-")?;
        let _ = writeln!(
            text,
            "keys:\n- {{ id: default, key: \"${{{CLIENT_KEY}}}\" }}"
        );
    }
    if public(overrides.admin_listen) {
        keys.make(ADMIN_KEY, "tg-admin-")?;
    }
    if keys.var(ADMIN_KEY).is_some_and(|key| !key.is_empty()) {
        let _ = writeln!(text, "admin: {{ key: \"${{{ADMIN_KEY}}}\" }}");
    }
    let overrides = Overrides {
        offer_all: true,
        ..overrides
    };
    let mut checked = load::from_str_with(NAME, &text, keys, catalog::builtin(), overrides)
        .map_err(CliError::Config)?;
    add_auto(&mut checked.config);
    Ok(checked)
}

/// Adds the route over every model that has what it needs to know: a price and a context.
fn add_auto(config: &mut Config) {
    let known = |index: &usize| {
        config.backends.get(*index).is_some_and(|backend| {
            let local = matches!(backend.price, Price::Free);
            !matches!(backend.price, Price::Unpriced) && (backend.context.is_some() || local)
        })
    };
    let models = config.models.iter().enumerate();
    let candidates: Vec<usize> = models
        .filter(|(_, model)| model.backends.iter().any(known))
        .map(|(index, _)| index)
        .collect();
    if candidates.is_empty() {
        return;
    }
    config.routes.push(Route {
        policy: None,
        name: Arc::from(AUTO),
        candidates,
        objective: Objective::Cost,
        min_quality: None,
        on_uncertain: OnUncertain::Strongest,
        affinity: true,
        fallback: true,
        baseline: None,
        limits: Limits::default(),
    });
}

/// Says once what was found, and which keys were made.
fn tell(config: &Config, locals: &[Local], keys: &MadeKeys) {
    for local in locals {
        tracing::info!(
            server = local.name,
            models = local.models.len(),
            "local server found; it counts as free: state `self_hosted` in a configuration to count its hours"
        );
    }
    let providers: Vec<&str> = config
        .providers
        .iter()
        .map(|provider| &*provider.name)
        .collect();
    tracing::info!(
        ?providers,
        models = config.models.len(),
        "started without a configuration; ask for `auto`"
    );
    for (name, whose) in [(CLIENT_KEY, "client"), (ADMIN_KEY, "admin")] {
        if let Some(key) = keys.0.get(name) {
            eprintln!("{whose} key, made at this start: {key}");
        }
    }
}
