//! A policy, for the operator to read.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::{Hosting, Policy, Weights};

pub(super) fn view_policy(policy: &Policy) -> Value {
    let Policy {
        regions,
        hosting,
        weights,
        licences,
        developers,
        countries,
        providers,
        max_price,
        max_retention_days,
    } = policy;
    let names = |list: &Option<Vec<Arc<str>>>| -> Option<Vec<String>> {
        let list = list.as_ref()?.iter();
        Some(list.map(|name| name.to_string()).collect())
    };
    json!({
        "regions": names(regions),
        "hosting": hosting.map(Hosting::as_str),
        "weights": weights.map(Weights::as_str),
        "licences": names(licences),
        "developers": names(&developers.only),
        "deny_developers": names(&developers.deny),
        "developer_countries": names(&countries.only),
        "deny_developer_countries": names(&countries.deny),
        "providers": names(&providers.only),
        "deny_providers": names(&providers.deny),
        "max_price": { "input": max_price.input, "output": max_price.output },
        "max_retention_days": max_retention_days,
    })
}
