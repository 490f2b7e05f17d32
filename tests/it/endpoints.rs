//! The endpoints beside chat: routed, limited, priced, counted and failed over in the same way.

mod audio;
mod completions;
mod embeddings;
mod images;
mod uploads;

use http::Method;
use serde_json::{Value, json};

use crate::support::{Call, Gateway, Reply, Scripted, Setup, pico, simulator};

/// A call by one of the endpoints.
fn call(gateway: &Gateway, path: &str, body: &Value) -> Call {
    gateway.call(Method::POST, path).json(body)
}

async fn post(gateway: &Gateway, path: &str, body: &Value) -> Reply {
    call(gateway, path, body).send().await
}

/// A model that is written out for one purpose.
fn model(setup: Setup, name: &str, backend: &str, price: &str, caps: &str) -> Setup {
    let (provider, upstream) = backend.split_once('/').unwrap();
    // makes the provider known
    setup
        .model("other", &[&format!("{provider}/other")])
        .also_model(&format!(
            "{{ name: {name}, backends: [{{ provider: {provider}, model: '{upstream}', \
         price: {price} }}], caps: [{caps}] }}"
        ))
}

/// A body that each endpoint takes, by its path.
const BODIES: [(&str, &str); 6] = [
    ("/completions", r#"{"model":"m","prompt":"x"}"#),
    ("/embeddings", r#"{"model":"m","input":"x"}"#),
    ("/moderations", r#"{"model":"m","input":"x"}"#),
    ("/rerank", r#"{"model":"m","query":"x","documents":["a"]}"#),
    ("/images/generations", r#"{"model":"m","prompt":"x"}"#),
    ("/audio/speech", r#"{"model":"m","input":"x","voice":"a"}"#),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_model_serves_no_other_endpoint_in_a_route_or_where_it_is_stated() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m"])
        .also("routes: [{ name: auto, candidates: '*' }]")
        .start()
        .await;
    for (path, body) in BODIES {
        for name in ["m", "auto"] {
            let body = body.replace("\"m\"", &format!("\"{name}\""));
            let sent = gateway.call(Method::POST, path).json(&body);
            let reply = sent.send().await;
            let want = "400 invalid_request_error no_capable_backend null";
            assert_eq!(reply.refusal(), want, "{path} {name}");
        }
    }
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_sends_each_request_to_the_model_that_is_for_it() {
    let sim = simulator().await;
    let purposes = [
        "completions",
        "embeddings",
        "moderation",
        "rerank",
        "images",
        "speech",
    ];
    let mut setup = Setup::new(&sim).model("talks", &["a/talks"]);
    for purpose in purposes {
        setup = setup.also_model(&format!(
            "{{ name: {purpose}, backends: [{{ provider: a, model: {purpose}, price: free }}], \
             caps: [{purpose}] }}"
        ));
    }
    let gateway = setup
        .also("routes: [{ name: m, candidates: '*' }]")
        .start()
        .await;
    for ((path, body), purpose) in BODIES.into_iter().zip(purposes) {
        for prefix in ["", "/v1"] {
            let path = format!("{prefix}{path}");
            let reply = gateway.call(Method::POST, &path).json(body).send().await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
            assert_eq!(reply.header("x-tollgate-model"), purpose);
            let wrong = gateway.get(&path).send().await;
            assert_eq!(wrong.status, 405, "{path}");
        }
    }
    let reply = gateway.ask("m").await;
    assert_eq!(reply.header("x-tollgate-model"), "talks");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_works_on_is_demanded_by_name() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .also_model("{ name: m, backends: [{ provider: a, model: m, price: free }] }");
    let gateway = gateway.model("other", &["a/other"]).start().await;
    for (path, body, param) in [
        ("/v1/embeddings", json!({"model": "m"}), "input"),
        ("/v1/moderations", json!({"model": "m"}), "input"),
        (
            "/v1/rerank",
            json!({"model": "m", "documents": []}),
            "query",
        ),
        (
            "/v1/rerank",
            json!({"model": "m", "query": "q"}),
            "documents",
        ),
        ("/v1/images/generations", json!({"model": "m"}), "prompt"),
        ("/v1/audio/speech", json!({"model": "m"}), "input"),
        ("/v1/embeddings", json!({"input": "x"}), "model"),
    ] {
        let reply = post(&gateway, path, &body).await;
        let want = format!("400 invalid_request_error missing_required_parameter {param}");
        assert_eq!(reply.refusal(), want, "{path}");
    }
    let reply = post(
        &gateway,
        "/v1/embeddings",
        &json!({"model": "m", "input": {}}),
    )
    .await;
    assert_eq!(
        reply.refusal(),
        "400 invalid_request_error invalid_type input"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_without_the_endpoint_is_passed_over_and_stays_up_for_chat() {
    let missing = "HTTP/1.1 404 Not Found\r\ncontent-length: 18\r\n\r\n404 page not found";
    let missing = Scripted::saying(missing).await;
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .provider("bare", &missing.provider())
        .model_with("m", "caps: [chat, embeddings]", &["bare/x", "a/x"])
        .start()
        .await;
    let reply = post(
        &gateway,
        "/v1/embeddings",
        &json!({"model": "m", "input": "x"}),
    )
    .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-tollgate-backend"), "a/x");
    let metrics = gateway.metrics().await;
    let labels = [("backend", "bare/x"), ("need", "embeddings")];
    assert_eq!(metrics.count("capability_misses_total", &labels), 1);
    assert_eq!(metrics.count("backend_up", &[("backend", "bare/x")]), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn moderations_are_free_where_that_is_said_and_counted_as_their_endpoint() {
    let sim = simulator().await;
    let gateway = model(
        Setup::new(&sim),
        "m",
        "a/omni",
        "free",
        "moderation, vision",
    )
    .start()
    .await;
    for input in [
        json!("a"),
        json!(["a", "b"]),
        json!([{"type": "text", "text": "a"},
            {"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}]),
    ] {
        let body = json!({"model": "m", "input": input});
        let reply = post(&gateway, "/v1/moderations", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["results"][0]["flagged"], json!(false));
        assert_eq!(reply.header("x-tollgate-cost-usd"), "0");
    }
    let metrics = gateway.metrics().await;
    let labels = [("endpoint", "moderations"), ("outcome", "ok")];
    assert_eq!(metrics.count("requests_total", &labels), 3);
    assert_eq!(
        metrics.count("unpriced_requests_total", &[("backend", "a/omni")]),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rerank_costs_its_searches_or_its_tokens_as_the_price_says() {
    let sim = simulator().await;
    let cohere = |name: &str, backend: &str, price: &str| {
        format!(
            "{{ name: {name}, backends: [{{ provider: cohere, model: {backend}, price: {price} }}], caps: [rerank] }}"
        )
    };
    let address = format!("base_url: '{}'", sim.base_url("cohere"));
    let gateway = Setup::new(&sim)
        .provider("cohere", &address)
        .also_model(&cohere("cohere", "rerank-v4", "{ web_search_k: '2' }"))
        .also_model(&cohere("mute", "x+usage=none", "{ web_search_k: '2' }"))
        .also_model(&cohere("jina", "jina-v3", "{ input: '0.05' }"))
        .start()
        .await;
    let documents: Vec<String> = (0..101).map(|n| format!("document {n:03}")).collect();
    for (name, cost) in [
        // two searches of up to a hundred documents, told or counted
        ("cohere", "0.004"),
        ("mute", "0.004"),
        // 3 tokens of document and 2 of query, 101 times
        ("jina", "0.00002525"),
    ] {
        let body = json!({"model": name, "query": "question", "documents": documents, "top_n": 3});
        let reply = post(&gateway, "/v1/rerank", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["results"].as_array().unwrap().len(), 3);
        assert_eq!(reply.header("x-tollgate-cost-usd"), cost, "{name}");
    }
    assert_eq!(pico("0.00002525"), 101 * 5 * 50_000);
}
