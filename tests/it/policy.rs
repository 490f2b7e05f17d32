//! Policies of keys and routes: whom they exclude is never called.

use serde_json::{Value, json};
use tollgate::simulate::Handle;

use crate::support::{Gateway, Setup, gateway::ask, simulator};

const LEGAL: &str = "sk-legal-0123456789abcdef";
const FREE: &str = "sk-free-0123456789abcdef";
const NOBODY: &str = "sk-nobody-0123456789abcdef";

/// Own hardware that always fails, a European vendor, and one of which nothing is known.
async fn gateway(sim: &Handle) -> Gateway {
    let base = |name: &str| format!("base_url: '{}'", sim.base_url(name));
    let made = "context: 9000, caps: [streaming]";
    Setup::new(sim)
        .provider(
            "own",
            &format!("{}, region: on-prem, hosting: own", base("own")),
        )
        .provider(
            "eu",
            &format!(
                "{}, region: eu, hosting: vendor, retention_days: 30",
                base("eu")
            ),
        )
        .provider("far", &base("far"))
        .model_with("first", made, &["own/first+fault=status:500"])
        .model_with(
            "second",
            &format!("{made}, weights: closed"),
            &["far/second"],
        )
        .model_with("third", &format!("{made}, weights: open"), &["eu/third"])
        .also("routes:\n  - { name: auto, candidates: [first, second, third], objective: order }")
        .also(
            "  - { name: vendors, candidates: [first, second, third], objective: order, \
             policy: { hosting: vendor } }",
        )
        .also(&format!(
            "keys:\n  - {{ id: legal, key: {LEGAL}, policy: {{ regions: [EU, on-prem] }} }}\n  \
             - {{ id: free, key: {FREE} }}\n  \
             - {{ id: nobody, key: {NOBODY}, policy: {{ max_retention_days: 7 }} }}"
        ))
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_passes_over_whom_the_policy_of_the_key_excludes() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    let reply = gateway
        .post(&ask("auto"))
        .header("authorization", &format!("Bearer {LEGAL}"))
        .send()
        .await;
    assert_eq!(
        (reply.status, reply.header("x-tollgate-model")),
        (200, "third")
    );
    let reply = gateway
        .post(&ask("auto"))
        .header("authorization", &format!("Bearer {FREE}"))
        .send()
        .await;
    assert_eq!(reply.header("x-tollgate-model"), "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policies_of_key_and_route_are_intersected_and_a_request_narrows_them() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    let reply = gateway
        .post(&ask("vendors"))
        .header("authorization", &format!("Bearer {FREE}"))
        .send()
        .await;
    assert_eq!(
        reply.header("x-tollgate-model"),
        "third",
        "of `second` nothing is known"
    );
    let narrow = |regions: Value| {
        let mut body = ask("vendors");
        body["tollgate"] = json!({ "regions": regions });
        body
    };
    let call = gateway
        .post(&narrow(json!(["eu", "us"])))
        .header("authorization", &format!("Bearer {LEGAL}"));
    assert_eq!(call.send().await.header("x-tollgate-model"), "third");
    let call = gateway
        .post(&narrow(json!(["on-prem"])))
        .header("authorization", &format!("Bearer {LEGAL}"));
    assert_eq!(
        call.send().await.refusal(),
        "403 invalid_request_error policy_excludes_all null"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_leaves_nobody_forbids_by_every_name_and_calls_nobody() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    for model in ["auto", "third", "eu/third", "vendors"] {
        let reply = gateway
            .post(&ask(model))
            .header("authorization", &format!("Bearer {NOBODY}"))
            .send()
            .await;
        let refusal = reply.refusal();
        assert_eq!(
            refusal, "403 invalid_request_error policy_excludes_all null",
            "{model}"
        );
        assert_eq!(reply.header("x-should-retry"), "false");
        let message = reply.json()["error"]["message"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            message.contains("the key's policy asks for a shorter retention of data"),
            "{message}"
        );
    }
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lists_only_what_its_policy_leaves() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    let listed = async |key: &str| {
        let reply = gateway
            .get("/v1/models")
            .header("authorization", &format!("Bearer {key}"))
            .send()
            .await;
        let list = reply.json();
        let names = list["data"].as_array().unwrap().iter();
        names
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        listed(FREE).await,
        ["auto", "vendors", "first", "second", "third"]
    );
    assert_eq!(listed(LEGAL).await, ["auto", "vendors", "first", "third"]);
    assert_eq!(listed(NOBODY).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_chooses_the_objective_and_another_is_forbidden_to() {
    const MAY: &str = "sk-may-0123456789abcdef";
    let sim = simulator().await;
    let quality =
        |q: &str| format!("context: 9000, caps: [streaming], quality: {{ default: {q} }}");
    let gateway = Setup::new(&sim)
        .model_with("low", &quality("0.5"), &["a/low"])
        .model_with("high", &quality("0.9"), &["a/high"])
        .also("routes:\n  - { name: auto, candidates: [low, high] }")
        .also(&format!(
            "keys:\n  - {{ id: may, key: {MAY}, may: [objective] }}\n  - {{ id: free, key: {FREE} }}"
        ))
        .start()
        .await;
    let as_key = |key: &str, objective: &str| {
        let call = gateway.post(&ask("auto"));
        let call = call.header("authorization", &format!("Bearer {key}"));
        call.header("x-tollgate-objective", objective)
    };
    let reply = as_key(MAY, "quality").send().await;
    assert_eq!(reply.header("x-tollgate-model"), "high");
    assert_eq!(reply.header("x-tollgate-decision"), "best of 2 capable");
    let reply = as_key(MAY, "cost").send().await;
    assert_eq!(reply.header("x-tollgate-decision"), "cheapest of 2 capable");
    let reply = as_key(FREE, "quality").send().await;
    assert_eq!(
        reply.refusal(),
        "403 invalid_request_error objective_not_allowed tollgate"
    );
    let reply = as_key(MAY, "order").send().await;
    assert_eq!(reply.status, 400);
}
