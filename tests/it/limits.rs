//! Limits: requests and tokens a minute, requests at once, and whose they are.

use serde_json::json;
use tokio::task::JoinSet;
use tollgate::simulate::Handle;

use crate::support::{
    Gateway, Reply, Setup, eventually,
    gateway::{ask, stream},
    simulator,
};

const KEY: &str = "sk-team-a-0123456789abcdef";
const FULL: &str = "429 requests rate_limit_exceeded null";

/// One model, and a key with these limits.
async fn with_key_limits(sim: &Handle, limits: &str) -> Gateway {
    Setup::new(sim)
        .model("m", &["a/m+out=5"])
        .model("held", &["a/m+fault=hang"])
        .also(&format!(
            "keys:\n  - {{ id: team-a, key: {KEY}, limits: {{ {limits} }} }}"
        ))
        .start()
        .await
}

async fn together(gateway: &Gateway, number: usize) -> Vec<Reply> {
    let mut calls = JoinSet::new();
    for _ in 0..number {
        calls.spawn(gateway.post(&ask("m")).key(KEY).send());
    }
    calls.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_hundred_at_once_exactly_fifty_pass_a_limit_of_fifty_a_minute() {
    let sim = simulator().await;
    let gateway = with_key_limits(&sim, "rpm: 50").await;
    let replies = together(&gateway, 300).await;
    let passed = replies.iter().filter(|reply| reply.status == 200).count();
    // one more place may come free while three hundred are on their way
    assert!((50..=52).contains(&passed), "{passed} passed");
    let refused = replies.iter().find(|reply| reply.status == 429).unwrap();
    assert_eq!(refused.refusal(), FULL);
    assert!(
        refused
            .text()
            .contains("the key `team-a` of 50 requests a minute")
    );
    assert_eq!(refused.header("x-should-retry"), "true");
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    let ms: u64 = refused.header("retry-after-ms").parse().unwrap();
    assert!(ms > 0 && ms <= seconds * 1_000, "{ms} ms, {seconds} s");
    assert_eq!(refused.header("x-ratelimit-limit-requests"), "50");
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    let metrics = gateway.metrics().await;
    let limit = [("key", "team-a"), ("limit", "key_requests")];
    let counted = metrics.count("rate_limited_total", &limit);
    assert_eq!(counted, 300 - passed as u64);
    let outcome = [("outcome", "rate_limited")];
    assert_eq!(metrics.count("requests_total", &outcome), counted);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_tell_how_much_of_the_limits_is_left() {
    let sim = simulator().await;
    let gateway = with_key_limits(&sim, "rpm: 100, tpm: 5000000").await;
    let reply = gateway.ask_as(KEY, "m").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-ratelimit-limit-requests"), "100");
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), "99");
    assert_eq!(reply.header("x-ratelimit-limit-tokens"), "5000000");
    assert!(reply.header("x-ratelimit-reset-requests").ends_with('s'));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_held_at_their_worst_and_settled_to_their_use() {
    let sim = simulator().await;
    let gateway = with_key_limits(&sim, "tpm: 1000").await;
    let mut body = ask("m");
    body["max_tokens"] = json!(900);
    // fifty tokens or so are used of the nine hundred that are held
    for _ in 0..5 {
        let reply = gateway.post(&body).key(KEY).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    body["model"] = json!("held");
    let mut hanging = JoinSet::new();
    hanging.spawn(gateway.post(&body).key(KEY).send());
    eventually("its tokens are held", async || {
        sim.account().model("m+fault=hang").in_flight > 0
    })
    .await;
    let refused = gateway.post(&ask("m")).key(KEY).send().await;
    assert_eq!(refused.refusal(), "429 tokens rate_limit_exceeded null");
    hanging.abort_all();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_is_free_again_however_its_request_ended() {
    let sim = simulator().await;
    let gateway = with_key_limits(&sim, "max_concurrent: 1").await;
    for body in [
        ask("m"),
        stream("m"),
        json!({ "model": "m" }),
        ask("nobody"),
    ] {
        gateway.post(&body).key(KEY).send().await;
        assert_eq!(gateway.ask_as(KEY, "m").await.status, 200);
    }
    let mut hanging = JoinSet::new();
    hanging.spawn(gateway.post(&ask("held")).key(KEY).send());
    eventually("the only place is taken", async || {
        sim.account().model("m+fault=hang").in_flight > 0
    })
    .await;
    let refused = gateway.ask_as(KEY, "m").await;
    assert_eq!(
        refused.refusal(),
        "429 requests too_many_concurrent_requests null"
    );
    hanging.abort_all();
    eventually("the place is free again", async || {
        gateway.ask_as(KEY, "m").await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_one_limit_uses_nothing_of_the_others() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+out=5"])
        .also("limits: { rpm: 1000 }")
        .also(&format!(
            "keys:\n  - {{ id: team-a, key: {KEY}, limits: {{ rpm: 1 }} }}\n  \
             - {{ id: team-b, key: {KEY}-b, limits: {{ rpm: 1000 }} }}"
        ))
        .start()
        .await;
    together(&gateway, 100).await;
    let reply = gateway.ask_as(&format!("{KEY}-b"), "m").await;
    // the gateway's own limit lost the first key's one request (perhaps two) and this one
    let left: u64 = reply
        .header("x-ratelimit-remaining-requests")
        .parse()
        .unwrap();
    assert!(left >= 996, "{left} left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_at_its_limit_is_passed_over_and_the_last_one_refuses() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .provider(
            "a",
            &format!(
                "base_url: 'http://{}/p/a/v1', limits: {{ rpm: 2 }}",
                sim.addr()
            ),
        )
        .model("m", &["a/m+out=5", "b/m+out=5"])
        .model("alone", &["a/m+out=5"])
        .start()
        .await;
    let mut served = Vec::new();
    for _ in 0..4 {
        let reply = gateway.ask("m").await;
        served.push(reply.header("x-tollgate-backend").to_owned());
        assert_eq!(reply.header("x-tollgate-attempts"), "1");
    }
    assert_eq!(served, ["a/m+out=5", "a/m+out=5", "b/m+out=5", "b/m+out=5"]);
    let refused = gateway.ask("alone").await;
    assert_eq!(refused.refusal(), FULL);
    assert!(
        refused.text().contains("at its limit"),
        "{}",
        refused.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_has_limits_of_its_own() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+out=5"])
        .also("routes:\n  - { name: auto, candidates: [m], limits: { rpm: 1 } }")
        .start()
        .await;
    assert_eq!(gateway.ask("auto").await.status, 200);
    let refused = gateway.ask("auto").await;
    assert_eq!(refused.refusal(), FULL);
    assert!(
        refused.text().contains("the route `auto`"),
        "{}",
        refused.text()
    );
    assert_eq!(gateway.ask("m").await.status, 200);
}
