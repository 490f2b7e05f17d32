//! Who is let in: keys, and what stands in for them on loopback.

use http::Method;
use serde_json::json;
use sha2::{Digest, Sha256};
use tollgate::simulate::Handle;

use crate::support::{
    Gateway, Setup,
    gateway::{ask, stream},
    simulator,
};

const KEY_A: &str = "sk-team-a-0123456789abcdef";
const KEY_B: &str = "sk-team-b-0123456789abcdef";
const WRONG: &str = "401 invalid_request_error invalid_api_key null";
const FOREIGN: &str = "403 invalid_request_error origin_not_allowed null";

/// Two keys, the second known by its digest only and allowed some models.
async fn with_keys(sim: &Handle) -> Gateway {
    let digest: String = Sha256::digest(KEY_B)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Setup::new(sim)
        .model("small-1", &["a/one+out=1"])
        .model("small-2", &["a/two+out=1"])
        .model("large", &["a/three+out=1"])
        .also("routes:\n  - { name: auto, candidates: [small-1, large], objective: order }")
        .also(&format!(
            "keys:\n  - {{ id: team-a, key: {KEY_A} }}\n  - {{ id: team-b, sha256: {digest}, \
             models: [auto, 'small*'] }}"
        ))
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_taken_from_either_header() {
    let sim = simulator().await;
    let gateway = with_keys(&sim).await;
    let call = || gateway.post(&ask("small-1"));
    for accepted in [
        call().key(KEY_A),
        call().key(KEY_B),
        call().header("authorization", &format!("bearer {KEY_A}")),
        call().header("authorization", &format!("Bearer   {KEY_A} ")),
        call().header("x-api-key", KEY_A),
        call().header("x-api-key", KEY_B),
        call().key(KEY_A).header("x-api-key", KEY_A),
        // clients of other programs send odd ones beside
        call()
            .header("authorization", "Basic eDp5")
            .header("x-api-key", KEY_A),
    ] {
        let reply = accepted.clone().send().await;
        assert_eq!(reply.status, 200, "{accepted:?}: {}", reply.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_wrong_or_ambiguous_key_is_refused() {
    let sim = simulator().await;
    let gateway = with_keys(&sim).await;
    let call = || gateway.post(&ask("small-1"));
    for refused in [
        call(),
        call().key(""),
        call().key("sk-of-nobody-0123456789abcdef"),
        call().key(&KEY_A[1..]),
        call().key(&format!("{KEY_A}x")),
        call().key(&KEY_A.to_uppercase()),
        call().header("authorization", KEY_A),
        call().header("authorization", &format!("Basic {KEY_A}")),
        call().header("x-api-key", "sk-of-nobody-0123456789abcdef"),
        call().header("x-api-key", ""),
        // both and different, in either order of right and wrong
        call().key(KEY_A).header("x-api-key", KEY_B),
        call().key(KEY_A).header("x-api-key", "wrong"),
        call().key("wrong").header("x-api-key", KEY_A),
        call()
            .key(KEY_A)
            .and_header("authorization", &format!("Bearer {KEY_B}")),
        call()
            .key(KEY_A)
            .header("x-api-key", KEY_A)
            .and_header("x-api-key", KEY_B),
        // the digest is not the secret
        call().key(&format!("{:x?}", Sha256::digest(KEY_A))),
    ] {
        let reply = refused.clone().send().await;
        assert_eq!(reply.refusal(), WRONG, "{refused:?}");
        assert!(!reply.text().contains("sk-"), "{}", reply.text());
    }
    for path in ["/v1/models", "/models", "/v1/models/large"] {
        assert_eq!(gateway.get(path).send().await.refusal(), WRONG, "{path}");
    }
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused_before_the_body_comes() {
    let sim = simulator().await;
    let gateway = with_keys(&sim).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: 1000000\r\n\r\n",
        gateway.client
    );
    let answer = crate::support::http::raw(gateway.client, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_need_no_key() {
    let sim = simulator().await;
    let gateway = with_keys(&sim).await;
    for path in [
        "/healthz",
        "/readyz",
        "/health/liveness",
        "/health/readiness",
    ] {
        assert_eq!(gateway.get(path).send().await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_asks_for_its_own_models_only() {
    let sim = simulator().await;
    let gateway = with_keys(&sim).await;
    for (model, status) in [
        ("auto", 200),
        ("small-1", 200),
        ("small-2", 200),
        ("a/one+out=1", 200),
        ("large", 403),
        ("a/three+out=1", 403),
        ("small-9", 404),
        ("nothing", 404),
    ] {
        for body in [ask(model), stream(model)] {
            let reply = gateway.post(&body).key(KEY_B).send().await;
            assert_eq!(reply.status, status, "{model}: {}", reply.text());
            match status {
                403 => assert_eq!(
                    reply.refusal(),
                    "403 invalid_request_error model_not_allowed model"
                ),
                404 => assert_eq!(
                    reply.refusal(),
                    "404 invalid_request_error model_not_found model"
                ),
                _ => {}
            }
        }
        let all = gateway.ask_as(KEY_A, model).await;
        assert_eq!(all.status, if status == 404 { 404 } else { 200 }, "{model}");
    }
}

// === without keys, on loopback ===

async fn open(sim: &Handle) -> Gateway {
    Setup::new(sim).model("m", &["a/x+out=1"]).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_only_names_of_this_machine_are_answered() {
    let sim = simulator().await;
    let gateway = open(&sim).await;
    for (host, accepted) in [
        ("localhost", true),
        ("LocalHost:4100", true),
        ("127.0.0.1", true),
        ("127.0.0.1:1", true),
        ("[::1]", true),
        ("[::1]:4100", true),
        ("evil.example", false),
        ("localhost.evil.example", false),
        ("evil.example:4100", false),
        ("127.0.0.1.evil.example", false),
        ("127.0.0.2", false),
        ("0.0.0.0", false),
        ("localhost:x", false),
        ("localhost@evil.example", false),
        ("", false),
    ] {
        let chat = gateway.post(&ask("m")).header("host", host).send().await;
        let models = gateway.get("/v1/models").header("host", host).send().await;
        for reply in [chat, models] {
            if accepted {
                assert_eq!(reply.status, 200, "{host}");
            } else {
                assert_eq!(reply.refusal(), FOREIGN, "{host}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_pages_of_other_origins_are_not_answered() {
    let sim = simulator().await;
    let gateway = open(&sim).await;
    for (origin, accepted) in [
        ("http://localhost:3000", true),
        ("https://127.0.0.1", true),
        ("http://[::1]:8080", true),
        ("https://evil.example", false),
        ("http://localhost.evil.example", false),
        ("https://evil.example:4100", false),
        ("null", false),
        ("", false),
        ("file://", false),
        ("localhost", false),
    ] {
        let call = gateway.post(&ask("m")).header("origin", origin);
        let reply = call.send().await;
        if accepted {
            assert_eq!(reply.status, 200, "{origin}");
        } else {
            assert_eq!(reply.refusal(), FOREIGN, "{origin}");
        }
        assert!(!reply.has("access-control-allow-origin"), "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_a_body_must_be_of_a_kind_that_pages_ask_leave_for() {
    let sim = simulator().await;
    let gateway = open(&sim).await;
    for (kind, accepted) in [
        ("application/json", true),
        ("Application/JSON; charset=utf-8", true),
        ("application/vnd.api+json", true),
        ("text/plain", false),
        ("application/x-www-form-urlencoded", false),
        ("text/plain; application/json", false),
        ("", false),
    ] {
        let reply = gateway
            .post(&ask("m"))
            .header("content-type", kind)
            .send()
            .await;
        if accepted {
            assert_eq!(reply.status, 200, "{kind}");
        } else {
            assert_eq!(reply.refusal(), FOREIGN, "{kind}");
        }
    }
    let none = gateway.post(&ask("m")).without("content-type").send().await;
    assert_eq!(none.refusal(), FOREIGN);
    assert!(sim.account().requests == 3, "only what was accepted");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_one_that_is_sent_is_ignored() {
    let sim = simulator().await;
    let gateway = open(&sim).await;
    let call = gateway
        .post(&ask("m"))
        .key("anything")
        .header("x-api-key", "other");
    assert_eq!(call.send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_neither_host_nor_origin_nor_kind_is_asked_for() {
    let sim = simulator().await;
    let gateway = with_keys(&sim).await;
    let call = gateway
        .post(&ask("small-1"))
        .key(KEY_A)
        .header("host", "gateway.example.com")
        .header("origin", "https://app.example.com")
        .header("content-type", "text/plain");
    assert_eq!(call.send().await.status, 200);
}

// === pages of configured origins ===

#[tokio::test(flavor = "multi_thread")]
async fn configured_origins_may_call_from_pages_and_others_may_not() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("cors_origins: [https://app.example.com]")
        .model("m", &["a/x+out=1"])
        .also(&format!("keys:\n  - {{ id: team-a, key: {KEY_A} }}"))
        .start()
        .await;
    for (origin, allowed) in [
        ("https://app.example.com", "https://app.example.com"),
        ("https://evil.example", ""),
    ] {
        let preflight = gateway
            .call(Method::OPTIONS, "/v1/chat/completions")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
            .send()
            .await;
        assert_eq!(preflight.status, 200);
        assert_eq!(preflight.header("access-control-allow-origin"), allowed);
        if !allowed.is_empty() {
            assert!(
                preflight
                    .header("access-control-allow-methods")
                    .contains("POST")
            );
            let headers = preflight.header("access-control-allow-headers");
            assert!(headers.contains("authorization") && headers.contains("content-type"));
        }
        let call = gateway.post(&ask("m")).key(KEY_A).header("origin", origin);
        let reply = call.send().await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("access-control-allow-origin"), allowed);
        assert_eq!(reply.header("access-control-expose-headers"), "*");
        // an error can be read by the page as well
        let refused = gateway
            .post(&ask("m"))
            .header("origin", origin)
            .send()
            .await;
        assert_eq!(refused.refusal(), WRONG);
        assert_eq!(refused.header("access-control-allow-origin"), allowed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_configured_origins_no_page_is_given_leave() {
    let sim = simulator().await;
    let gateway = with_keys(&sim).await;
    let preflight = gateway
        .call(Method::OPTIONS, "/v1/chat/completions")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .send()
        .await;
    assert_eq!(preflight.status, 405);
    assert!(!preflight.has("access-control-allow-origin"));
}

// === /v1/models ===

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_models_is_what_the_key_may_call() {
    let sim = simulator().await;
    let gateway = with_keys(&sim).await;
    for (key, expected) in [
        (KEY_A, vec!["auto", "large", "small-1", "small-2"]),
        (KEY_B, vec!["auto", "small-1", "small-2"]),
    ] {
        for path in ["/v1/models", "/models"] {
            let list = gateway.get(path).key(key).send().await.json();
            assert_eq!(list["object"], json!("list"));
            let mut ids: Vec<&str> = list["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["id"].as_str().unwrap())
                .collect();
            ids.sort_unstable();
            assert_eq!(ids, expected);
        }
        for model in ["auto", "large", "small-1", "small-2", "nothing"] {
            let listed = expected.contains(&model);
            let one = gateway
                .get(&format!("/v1/models/{model}"))
                .key(key)
                .send()
                .await;
            let called = gateway.ask_as(key, model).await;
            assert_eq!(one.status == 200, listed, "{model}");
            assert_eq!(called.status == 200, listed, "{model}");
            if !listed {
                let refusal = one.refusal();
                assert_eq!(refusal, "404 invalid_request_error model_not_found model");
            }
        }
    }
}
