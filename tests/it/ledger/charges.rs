//! What decides about the price of a call beside its tokens: the tier that served, thinking, what
//! the provider says that it charges. Real models of the catalogue, played by the simulator.

use rusqlite::Connection;
use serde_json::{Value, json};
use tollgate::simulate::Options;

use super::Kept;
use crate::support::{Metrics, Setup, common::simulator_with, gateway::ask, pico};

/// Prompt and output of every call here.
const TOKENS: &str = "prompt=1000+out=100";

/// What stands in the row of a call, and what was shown of it.
#[derive(Debug)]
struct Booked {
    tier: String,
    basis: String,
    cost: u128,
    listed: Option<i64>,
    charged: Option<i64>,
    metrics: Metrics,
}

/// One call of a model of the catalogue that the simulator plays by a script.
async fn booked(model: &str, script: &str, more: Value) -> Booked {
    let (provider, upstream) = model.split_once('/').unwrap();
    let script = format!("{TOKENS}+{script}");
    let sim = simulator_with(Options {
        scripts: [(model.to_owned(), script)].into(),
        ..Options::default()
    })
    .await;
    let setup = Setup::new(&sim)
        .provider(
            provider,
            &format!("base_url: 'http://{}/p/{provider}/v1'", sim.addr()),
        )
        .also_model(&format!(
            "{{ name: m, backends: [{{ provider: {provider}, model: '{upstream}' }}] }}"
        ));
    let kept = Kept::start(setup).await;
    let mut body = ask("m");
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let reply = kept.gateway.post(&body).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let shown = pico(reply.header("x-tollgate-cost-usd"));
    kept.settled().await;
    let db = Connection::open(kept.path()).unwrap();
    let sql = "SELECT tier, basis, cost, list_cost, reported_cost FROM attempts";
    let booked = db.query_row(sql, [], |row| {
        let cost: i64 = row.get(2)?;
        Ok((row.get(0)?, row.get(1)?, cost, row.get(3)?, row.get(4)?))
    });
    let (tier, basis, cost, listed, charged) = booked.unwrap();
    let cost = u128::try_from(cost).unwrap();
    assert_eq!(cost, shown);
    Booked {
        tier,
        basis,
        cost,
        listed,
        charged,
        metrics: kept.gateway.metrics().await,
    }
}

impl Booked {
    fn doubts(&self, reason: &str) -> u64 {
        self.metrics
            .count("price_doubts_total", &[("reason", reason)])
    }
}

/// So many pico-dollars a token of prompt and output.
fn at(input: u128, output: u128) -> u128 {
    1_000 * input + 100 * output
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tier_that_served_is_billed_whatever_was_asked_for() {
    let asks = |tier: &str| json!({ "service_tier": tier });
    for (asked, script, tier, cost) in [
        ("auto", "tier=flex", "flex", at(375_000, 2_250_000)),
        ("flex", "tier=default", "standard", at(750_000, 4_500_000)),
        (
            "priority",
            "tier=priority",
            "priority",
            at(1_500_000, 9_000_000),
        ),
        (
            "priority",
            "tier=default",
            "standard",
            at(750_000, 4_500_000),
        ),
    ] {
        let booked = booked("openai/gpt-5.4-mini", script, asks(asked)).await;
        assert_eq!(
            (&*booked.tier, booked.cost),
            (tier, cost),
            "{asked} {script}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_tier_that_nobody_mentions_again_the_dearer_price_is_taken() {
    for (asked, tier, cost) in [
        ("priority", "priority", at(1_500_000, 9_000_000)),
        ("flex", "standard", at(750_000, 4_500_000)),
    ] {
        let asks = json!({ "service_tier": asked });
        let booked = booked("openai/gpt-5.4-mini", "", asks).await;
        assert_eq!((&*booked.tier, booked.cost), (tier, cost), "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_tier_without_a_card_is_priced_as_standard_and_counted() {
    let booked = booked("openai/gpt-5.4-nano", "tier=priority", json!({})).await;
    assert_eq!(booked.cost, at(200_000, 1_250_000));
    assert_eq!(booked.doubts("standard_tier"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_thought_unasked_is_priced_as_one_that_did() {
    let thought = booked("huawei-maas/Qwen3-32B", "reasoning=60", json!({})).await;
    // the reasoning comes on top of the visible output
    assert_eq!(thought.cost, 1_000 * 270_000 + 160 * 2_695_000);
    let plain = booked("huawei-maas/Qwen3-32B", "reasoning=0", json!({})).await;
    assert_eq!(plain.cost, at(270_000, 1_078_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_charged_counts_and_stands_beside_the_card_and_the_two_sums_are_shown() {
    let model = "openrouter/deepseek/deepseek-v3.2";
    let listed = booked(model, "", json!({})).await;
    assert_eq!(listed.basis, "exact");
    let card = i64::try_from(listed.cost).unwrap();
    // what providers charge, in pico-dollars: 0.9 % more than the card, and twice as much
    for (charged, inconsistent) in [(card + card * 9 / 1_000, 0), (card * 2, 1)] {
        let script = format!("cost=0.{charged:012}");
        let booked = booked(model, &script, json!({})).await;
        assert_eq!(booked.basis, "reported");
        assert_eq!((booked.listed, booked.charged), (Some(card), Some(charged)));
        assert_eq!(booked.cost, u128::try_from(charged).unwrap());
        let sum = |name: &str| format!("{:.0}", booked.metrics.sum(name, &[]) * 1e12);
        assert_eq!(sum("charged_usd_total"), charged.to_string());
        assert_eq!(sum("charged_list_usd_total"), card.to_string());
        let counted = booked.metrics.count("usage_inconsistent_total", &[]);
        assert_eq!(counted, inconsistent, "{charged} against {card}");
    }
}
