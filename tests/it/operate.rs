//! Operation: reloads, the breaker, and what the operator can see and do.

mod breaker;
mod endpoints;
pub(crate) mod files;
mod hardware;
mod reload;
mod signals;

use http::Method;
use serde_json::Value;

use crate::support::{Gateway, Reply, gateway::ADMIN_KEY};

/// What one of the operator's paths shows.
async fn shown(gateway: &Gateway, path: &str) -> Value {
    let reply = gateway
        .operator(Method::GET, path)
        .key(ADMIN_KEY)
        .send()
        .await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

/// Does something by one of the operator's paths.
async fn done(gateway: &Gateway, path: &str) -> Reply {
    let call = gateway.operator(Method::POST, path);
    call.key(ADMIN_KEY).send().await
}

/// One entry of `/admin/v1/backends`.
async fn backend(gateway: &Gateway, name: &str) -> Value {
    let all = shown(gateway, "/admin/v1/backends").await;
    let mut entries = all["backends"].as_array().unwrap().iter();
    let found = entries.find(|entry| entry["name"] == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {all}"))
        .clone()
}
