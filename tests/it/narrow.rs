//! What a request may add: it narrows the choice, never widens it.

use serde_json::{Value, json};
use tollgate::simulate::Handle;

use crate::support::{Call, Gateway, Setup, gateway::ask, simulator};

/// Three models in two regions, with known quality.
async fn gateway(sim: &Handle) -> Gateway {
    let quality =
        |q: &str| format!("context: 9000, caps: [streaming], quality: {{ default: {q} }}");
    let base = |name: &str| format!("base_url: '{}'", sim.base_url(name));
    Setup::new(sim)
        .provider("eu", &format!("{}, region: eu", base("eu")))
        .provider("us", &format!("{}, region: us", base("us")))
        .model_with("low", &quality("0.5"), &["eu/low+out=1"])
        .model_with("mid", &quality("0.7"), &["us/mid+out=1"])
        .model_with("high", &quality("0.9"), &["eu/high+out=1"])
        .also("routes:\n  - { name: auto, candidates: [low, mid, high], objective: order }")
        .also(
            "  - { name: good, candidates: [low, mid, high], objective: order, min_quality: 0.7 }",
        )
        .start()
        .await
}

fn with(model: &str, tollgate: Value) -> Value {
    let mut body = ask(model);
    body["tollgate"] = tollgate;
    body
}

/// Who served, or the refusal.
async fn served(call: Call) -> String {
    let reply = call.send().await;
    match reply.status {
        200 => reply.header("x-tollgate-model").to_owned(),
        _ => reply.refusal(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_and_regions_are_intersected_with_what_is_there() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    for (tollgate, expected) in [
        (json!({}), "low"),
        (json!({ "models": ["mid", "high"] }), "mid"),
        (json!({ "models": ["high", "nothing"] }), "high"),
        (json!({ "models": ["eu/high+out=1"] }), "high"),
        (json!({ "regions": ["us"] }), "mid"),
        (json!({ "regions": ["us", "mars"] }), "mid"),
        (
            json!({ "regions": ["eu"], "models": ["mid", "high"] }),
            "high",
        ),
    ] {
        let call = gateway.post(&with("auto", tollgate.clone()));
        assert_eq!(served(call).await, expected, "{tollgate}");
    }
    let call = gateway
        .post(&ask("auto"))
        .header("x-tollgate-regions", "us, mars");
    assert_eq!(served(call).await, "mid");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_intersection_is_forbidden_and_not_worth_a_retry() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    for (model, tollgate) in [
        ("auto", json!({ "models": ["nothing"] })),
        ("auto", json!({ "regions": ["mars"] })),
        ("auto", json!({ "regions": ["us"], "models": ["high"] })),
        // a request can't widen: `low` does not offer `high`
        ("low", json!({ "models": ["high"] })),
        ("us/mid+out=1", json!({ "regions": ["eu"] })),
    ] {
        let reply = gateway.post(&with(model, tollgate.clone())).send().await;
        let refusal = reply.refusal();
        assert_eq!(
            refusal, "403 invalid_request_error policy_excludes_all null",
            "{tollgate}"
        );
        assert_eq!(reply.header("x-should-retry"), "false");
    }
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_greater_floor_counts() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    for (model, floor, expected) in [
        ("auto", json!(0.6), "mid"),
        ("auto", json!("0.85"), "high"),
        ("auto", json!(0), "low"),
        ("good", json!(0.1), "mid"),
        ("good", json!(0.8), "high"),
        (
            "auto",
            json!(1),
            "400 invalid_request_error no_capable_backend null",
        ),
    ] {
        let body = with(model, json!({ "min_quality": floor }));
        assert_eq!(
            served(gateway.post(&body)).await,
            expected,
            "{model} {floor}"
        );
        let text = floor
            .as_str()
            .map_or_else(|| floor.to_string(), str::to_owned);
        let call = gateway
            .post(&ask(model))
            .header("x-tollgate-min-quality", &text);
        assert_eq!(served(call).await, expected, "{model} {floor} as a header");
    }
    assert_eq!(served(gateway.post(&ask("good"))).await, "mid");
}

#[tokio::test(flavor = "multi_thread")]
async fn header_and_body_must_agree() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    let conflict = "400 invalid_request_error conflicting_parameters tollgate";
    for (header, text, member, value, expected) in [
        (
            "x-tollgate-min-quality",
            "0.8",
            "min_quality",
            json!(0.9),
            conflict,
        ),
        (
            "x-tollgate-min-quality",
            "0.90",
            "min_quality",
            json!(0.9),
            "high",
        ),
        (
            "x-tollgate-regions",
            "us",
            "regions",
            json!(["eu"]),
            conflict,
        ),
        ("x-tollgate-regions", "us", "regions", json!(["us"]), "mid"),
    ] {
        let call = gateway.post(&with("auto", json!({ member: value })));
        assert_eq!(
            served(call.header(header, text)).await,
            expected,
            "{header}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_an_error_that_says_so() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    for (member, value, code) in [
        ("nothing", json!(1), "unknown_parameter"),
        ("Models", json!(["mid"]), "unknown_parameter"),
        ("objective", json!("order"), "invalid_type"),
    ] {
        let reply = gateway
            .post(&with("auto", json!({ member: value })))
            .send()
            .await;
        let expected = format!("400 invalid_request_error {code} tollgate");
        assert_eq!(reply.refusal(), expected, "{member}");
        let says = reply.error().message;
        let known = match member {
            "objective" => "latency",
            _ => "min_quality",
        };
        assert!(says.contains(member) && says.contains(known), "{says}");
    }
    for (header, code) in [
        ("x-tollgate-nothing", "unknown_parameter"),
        ("x-tollgate-models", "unknown_parameter"),
        ("x-tollgate-objective", "invalid_type"),
        ("x-tollgate-tags", "invalid_type"),
    ] {
        let reply = gateway.post(&ask("auto")).header(header, "1").send().await;
        let expected = format!("400 invalid_request_error {code} tollgate");
        assert_eq!(reply.refusal(), expected, "{header}");
        assert!(reply.error().message.contains(header));
    }
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_it_goes_upstream() {
    let sim = simulator().await;
    let gateway = gateway(&sim).await;
    let call = gateway
        .post(&with("auto", json!({ "models": ["mid"] })))
        .header("x-tollgate-regions", "us")
        .header("x-tollgate-min-quality", "0.1");
    assert_eq!(served(call).await, "mid");
    let received = sim.requests(1).remove(0);
    let body = received.body.as_ref().unwrap();
    assert!(!String::from_utf8_lossy(body).contains("tollgate"));
    let mut names = received.headers.keys().map(http::HeaderName::as_str);
    assert!(!names.any(|name| name.starts_with("x-tollgate-")));
}
