//! Budgets: money is held before each call and settled after it, on every path.

mod at_work;
mod kept;
mod shared;
mod shared_kept;

use serde_json::Value;

use crate::support::{Gateway, Reply};

/// The key with a budget.
const KEY: &str = "sk-team-a-0123456789abcdef";
const BROKE: &str = "429 insufficient_quota insufficient_quota null";

/// A key with this budget: `{ usd: '1', per: month }`.
fn key(budget: &str) -> String {
    format!("keys:\n  - {{ id: team-a, key: {KEY}, budget: {budget} }}")
}

/// What `/v1/key` says.
async fn shown(gateway: &Gateway) -> Value {
    let reply = gateway.get("/v1/key").key(KEY).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// What is spent and held of the budget, in pico-dollars.
async fn figures(gateway: &Gateway) -> (u128, u128) {
    let budget = shown(gateway).await["budget"].take();
    let pico = |name: &str| crate::support::pico(budget[name].as_str().unwrap());
    (pico("spent_usd"), pico("held_usd"))
}

/// What an answer says it cost, in pico-dollars.
fn cost(reply: &Reply) -> u128 {
    assert_eq!(reply.status, 200, "{}", reply.text());
    crate::support::pico(reply.header("x-tollgate-cost-usd"))
}
