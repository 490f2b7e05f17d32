//! What the operator sees and does.

use http::Method;
use serde_json::{Value, json};

use super::{backend, done, shown};
use crate::support::{
    Gateway, Setup, Stream, eventually,
    gateway::{ask, stream},
    setup::UPSTREAM_KEY,
    simulator,
};

const KEY: &str = "sk-team-a-0123456789abcdef";

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_shown_without_any_secret() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x"])
        .also(&format!("keys: [{{ id: team-a, key: {KEY} }}]"))
        .start()
        .await;
    let all = shown(&gateway, "/admin/v1/config").await;
    assert_eq!(all["config"]["models"]["m"]["backends"], json!(["a/x"]));
    assert_eq!(all["config"]["providers"]["a"]["api_key"], "***");
    assert_eq!(all["config"]["breaker"]["failures"], 5);
    for path in ["config", "backends", "models", "decisions"] {
        let text = shown(&gateway, &format!("/admin/v1/{path}"))
            .await
            .to_string();
        for secret in [KEY, UPSTREAM_KEY, crate::support::gateway::ADMIN_KEY] {
            assert!(!text.contains(&secret[3..]), "{path} shows {secret}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_shown_or_done_without_the_admin_key() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=1"]).start().await;
    for (method, path) in [
        (Method::GET, "/admin/v1/config"),
        (Method::GET, "/admin/v1/backends"),
        (Method::GET, "/admin/v1/models"),
        (Method::GET, "/admin/v1/decisions"),
        (Method::GET, "/admin/v1/spend"),
        (Method::POST, "/admin/v1/reload"),
        (Method::POST, "/admin/v1/backends/a/x+out=1/drain"),
    ] {
        let reply = gateway.operator(method, path).send().await;
        assert_eq!(reply.status, 401, "{path}");
    }
    assert_eq!(gateway.ask("m").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_wrong_methods_are_told() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x"]).start().await;
    let key = crate::support::gateway::ADMIN_KEY;
    let call = async |method, path: &str| {
        let call = gateway.operator(method, path);
        call.key(key).send().await
    };
    // without a ledger there is no store to keep keys in
    for path in ["/admin/v1/keys", "/admin/v1/keys/a/revoke"] {
        let reply = call(Method::POST, path).await;
        assert_eq!(reply.refusal(), "404 invalid_request_error no_ledger null");
    }
    for (method, path) in [
        (Method::POST, "/admin/v1/config"),
        (Method::GET, "/admin/v1/reload"),
        (Method::GET, "/admin/v1/backends/a/x/drain"),
    ] {
        let reply = call(method, path).await;
        assert_eq!(
            reply.refusal(),
            "405 invalid_request_error method_not_allowed null",
            "{path}"
        );
    }
    for path in ["/admin/v1/backends/a/x/stop", "/admin/v1/backends/drain"] {
        let reply = call(Method::POST, path).await;
        assert_eq!(
            reply.refusal(),
            "404 invalid_request_error unknown_url null"
        );
    }
    let reply = call(Method::POST, "/admin/v1/backends/a/y/drain").await;
    assert_eq!(
        reply.refusal(),
        "404 invalid_request_error backend_not_found null"
    );
    let reply = call(Method::GET, "/admin/v1/decisions?last=3").await;
    assert_eq!(
        reply.refusal(),
        "400 invalid_request_error unknown_parameter null"
    );
}

async fn served_by(gateway: &Gateway) -> String {
    let reply = gateway.ask("m").await;
    assert_eq!(reply.status, 200);
    reply.header("x-tollgate-backend").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_backend_finishes_its_calls_and_gets_no_new_ones_until_it_is_resumed() {
    let sim = simulator().await;
    const FIRST: &str = "a/org/x+out=10+gap=50ms";
    let gateway = Setup::new(&sim)
        .model("m", &[FIRST, "b/x+out=1"])
        .start()
        .await;
    let open = gateway.post(&stream("m")).open().await;
    assert_eq!(open.header("x-tollgate-backend"), FIRST);
    let reply = done(&gateway, &format!("/admin/v1/backends/{FIRST}/drain")).await;
    assert_eq!(
        (reply.status, reply.json()),
        (
            200,
            json!({
                "backend": FIRST,
                "drained": true,
                "in_flight": 1,
                "models_without_backends": [],
                "routes_without_backends": [],
            })
        )
    );
    assert_eq!(served_by(&gateway).await, "b/x+out=1");
    let under_way = Stream::read(open).await;
    assert!(under_way.is_done() && under_way.ended, "{}", under_way.text);
    let entry = backend(&gateway, FIRST).await;
    assert_eq!(
        (&entry["drained"], &entry["in_flight"]),
        (&json!(true), &json!(0))
    );
    let metrics = gateway.metrics().await;
    let refused = [("backend", FIRST), ("reason", "drained")];
    assert_eq!(metrics.count("route_refusals_total", &refused), 1);
    assert_eq!(metrics.count("backend_up", &[("backend", FIRST)]), 0);
    let path = format!("/admin/v1/backends/{}/resume", FIRST.replace('/', "%2F"));
    let reply = done(&gateway, &path).await;
    assert_eq!(reply.json()["drained"], false);
    assert_eq!(served_by(&gateway).await, FIRST);
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_the_last_backend_is_allowed_and_says_who_is_left_without_any() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=1"])
        .model("other", &["b/x+out=1"])
        .also("routes: [{ name: auto, candidates: [m] }, { name: both, candidates: '*' }]")
        .start()
        .await;
    let reply = done(&gateway, "/admin/v1/backends/a/x+out=1/drain").await;
    let json = reply.json();
    assert_eq!(json["models_without_backends"], json!(["m"]));
    assert_eq!(json["routes_without_backends"], json!(["auto"]));
    for model in ["m", "auto", "a/x+out=1"] {
        let reply = gateway.ask(model).await;
        assert_eq!(reply.refusal(), "503 server_error no_healthy_backend null");
        assert_eq!(reply.header("retry-after"), "30");
        assert!(reply.text().contains("is drained by the operator"));
    }
    assert_eq!(gateway.ask("both").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn drained_backends_stay_drained_over_a_reload() {
    let sim = simulator().await;
    let setup = || Setup::new(&sim).model("m", &["a/x+out=1", "b/x+out=1"]);
    let files = super::files::Files::new(&setup());
    let gateway = files.start().await;
    done(&gateway, "/admin/v1/backends/a/x+out=1/drain").await;
    files.write(&setup().server("request_timeout: 30s"));
    assert_eq!(done(&gateway, "/admin/v1/reload").await.status, 200);
    assert_eq!(served_by(&gateway).await, "b/x+out=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_tell_who_was_considered_and_how_it_ended_and_nothing_of_the_request() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=1+fault=status:500+fail=2", "b/x+out=1"])
        .model_with("short", "context: 10", &["a/z"])
        .also("routes: [{ name: auto, candidates: '*' }]")
        .also(&format!("keys: [{{ id: team-a, key: {KEY} }}]"))
        .start()
        .await;
    let asked = gateway.post(&ask("auto")).key(KEY).send().await;
    assert_eq!(asked.status, 200);
    let unknown = gateway.post(&ask("of-a-client")).key(KEY).send().await;
    assert_eq!(unknown.status, 404);
    // nobody was considered for these
    gateway.post("{").key(KEY).send().await;
    gateway.post(&ask("m")).send().await;

    let mut all = Value::Null;
    eventually("both are kept", async || {
        all = shown(&gateway, "/admin/v1/decisions").await;
        all["decisions"].as_array().unwrap().len() == 2
    })
    .await;
    let (latest, first) = (&all["decisions"][0], &all["decisions"][1]);
    assert_eq!(latest["model"], "unknown");
    assert_eq!(latest["decision"], "the model does not exist");
    assert_eq!(
        (&latest["status"], &latest["outcome"]),
        (&json!(404), &json!("client_error"))
    );
    assert!(!all.to_string().contains("of-a-client"));
    assert!(!all.to_string().contains("Say something"));

    assert_eq!(first["request_id"], asked.header("x-request-id"));
    assert_eq!(
        (&first["key"], &first["route"]),
        (&json!("team-a"), &json!("auto"))
    );
    assert_eq!(
        (&first["model"], &first["attempts"]),
        (&json!("auto"), &json!(3))
    );
    assert_eq!(first["chosen"], "a/x+out=1+fault=status:500+fail=2");
    assert_eq!(first["served_by"], "b/x+out=1");
    assert_eq!(first["decision"], "cheapest of 2 capable; 1 refused");
    assert_eq!(first["candidates"].as_array().unwrap().len(), 2);
    assert!(first["candidates"][0]["expected_cost_usd"].is_string());
    assert_eq!(first["refused"][0]["backend"], "a/z");
    assert_eq!(first["refused"][0]["reason"], "context");
    assert_eq!(first["cost_usd"], asked.header("x-tollgate-cost-usd"));
    assert_eq!(first["status"], 200);
    let one = shown(&gateway, "/admin/v1/decisions?limit=1").await;
    assert_eq!(one["decisions"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_and_models_are_shown_with_what_was_learned() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=1+prompt=100"])
        .also("routes: [{ name: auto, candidates: '*' }]")
        .start()
        .await;
    let before = backend(&gateway, "a/x+out=1+prompt=100").await;
    assert_eq!(before["learned"]["first_token_ms"], json!(null));
    assert_eq!(
        before["standing"],
        json!({ "state": "up", "reason": null, "left_ms": null })
    );
    assert_eq!(
        (&before["provider"], &before["model"]),
        (&json!("a"), &json!("x+out=1+prompt=100"))
    );
    let mut body = ask("m");
    body["messages"][0]["content"] = "words ".repeat(100).into();
    assert_eq!(gateway.post(&body).send().await.status, 200);
    let after = backend(&gateway, "a/x+out=1+prompt=100").await;
    assert!(after["learned"]["first_token_ms"].is_u64());
    assert!(after["learned"]["prompt_tokens_per_1000_estimated"].is_u64());
    let models = shown(&gateway, "/admin/v1/models").await;
    assert_eq!(models["routes"]["auto"]["candidates"], json!(["m"]));
    assert!(
        models["data"]
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["id"] == "m")
    );
}
