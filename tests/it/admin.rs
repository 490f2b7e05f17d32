//! The operator's address: what is open, what needs the key, and what guessing it comes to.

use http::Method;
use serde_json::json;

use crate::support::{
    Call, Setup,
    gateway::{ADMIN_KEY, ask},
    simulator,
};

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_probes_are_open_and_everything_else_is_unknown() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x"]).start().await;
    let metrics = gateway.operator(Method::GET, "/metrics").send().await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    for path in [
        "/healthz",
        "/readyz",
        "/health/liveness",
        "/health/readiness",
    ] {
        assert_eq!(gateway.operator(Method::GET, path).send().await.status, 200);
    }
    for path in ["/v1/chat/completions", "/admin/v1/nothing", "/v1/models"] {
        let reply = gateway.operator(Method::GET, path).send().await;
        assert_eq!(
            reply.refusal(),
            "404 invalid_request_error unknown_url null",
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_does_not_depend_on_backends() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .provider("dead", "base_url: 'http://127.0.0.1:1/v1'")
        .model("m", &["dead/x"])
        .start()
        .await;
    assert_eq!(gateway.ask("m").await.status, 502);
    assert_eq!(gateway.get("/readyz").send().await.status, 200);
    assert_eq!(
        gateway.operator(Method::GET, "/readyz").send().await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn explaining_needs_the_key_and_calls_nobody() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x", "b/y"])
        .model_with("short", "context: 10", &["a/z"])
        .also("keys:\n  - { id: team-a, key: sk-team-a-0123456789abcdef, models: [short] }")
        .start()
        .await;
    let call = || {
        gateway
            .operator(Method::POST, "/admin/v1/explain")
            .json(&ask("m"))
    };
    for refused in [
        call(),
        call().key("tg-admin-of-nobody"),
        call().header("x-api-key", ADMIN_KEY),
        call().key("sk-team-a-0123456789abcdef"),
    ] {
        let refusal = refused.send().await.refusal();
        assert_eq!(refusal, "401 invalid_request_error invalid_api_key null");
    }
    let explained = call().key(ADMIN_KEY).send().await;
    assert_eq!(explained.status, 200);
    let json = explained.json();
    assert_eq!(json["chosen"], "a/x");
    assert_eq!(json["decision"], "cheapest of 2 capable");
    assert_eq!(json["candidates"][1]["backend"], "b/y");
    assert!(json["candidates"][0]["expected_cost_usd"].is_string());
    // as the holder of a key, and of a request that nobody can serve
    let as_team = |model| {
        let path = "/admin/v1/explain?key=team-a";
        gateway
            .operator(Method::POST, path)
            .key(ADMIN_KEY)
            .json(&ask(model))
    };
    let json = as_team("m").send().await.json();
    assert!(
        json["error"].as_str().unwrap().contains("may not use"),
        "{json}"
    );
    let json = as_team("short").send().await.json();
    assert!(
        json["error"].as_str().unwrap().contains("too long"),
        "{json}"
    );
    assert_eq!(json["refused"][0]["reason"], "context");
    let embeds = "/admin/v1/explain?endpoint=embeddings";
    let call = gateway.operator(Method::POST, embeds).key(ADMIN_KEY);
    let body = json!({ "model": "m", "input": ["hello", "there"] });
    let json = call.json(&body).send().await.json();
    assert_eq!(json["needs"]["purpose"], "embeddings");
    let call = gateway.operator(Method::POST, "/admin/v1/explain?endpoint=chat");
    let refusal = call.key(ADMIN_KEY).json(&body).send().await.refusal();
    assert_eq!(refusal, "400 invalid_request_error unknown_parameter null");
    for (body, status) in [("{", 400), (r#"{"model":"m"}"#, 400)] {
        let call = gateway.operator(Method::POST, "/admin/v1/explain");
        let reply = call.key(ADMIN_KEY).json(&body).send().await;
        assert_eq!(reply.status, status);
        reply.error();
    }
    assert_eq!(sim.account().requests, 0);
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.count("requests_total", &[]),
        0,
        "an explanation is no request"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_eleventh_wrong_key_of_a_minute_is_refused_unread_and_the_right_one_still_works() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x"]).start().await;
    let call = |key: &str| -> Call {
        let call = gateway.operator(Method::POST, "/admin/v1/explain");
        call.key(key).json(&json!({}))
    };
    for attempt in 1..=10 {
        let status = call(&format!("tg-admin-guess-{attempt}"))
            .send()
            .await
            .status;
        assert_eq!(status, 401, "{attempt}");
    }
    for _ in 0..3 {
        let reply = call("tg-admin-guess").send().await;
        assert_eq!(reply.status, 429);
        assert_eq!(reply.header("retry-after"), "60");
        assert_eq!(reply.refusal(), "429 requests rate_limit_exceeded null");
    }
    assert_eq!(
        call(ADMIN_KEY).send().await.status,
        400,
        "the key is right, the body is not"
    );
    // metrics are not behind it
    gateway.metrics().await;
}
