//! Embeddings: vectors pass untouched, tokens are counted and priced.

use serde_json::json;

use super::{model, post};
use crate::support::{Scripted, Setup, scripted, simulator};

const PRICE: &str = "{ input: '0.02' }";

#[tokio::test(flavor = "multi_thread")]
async fn vectors_pass_as_they_came_in_both_encodings_at_an_exact_price() {
    let sim = simulator().await;
    let gateway = model(Setup::new(&sim), "m", "a/e+prompt=50", PRICE, "embeddings")
        .start()
        .await;
    for (encoding, dimensions) in [("float", 3), ("base64", 5)] {
        let body = json!({"model": "m", "input": ["a", "b"], "encoding_format": encoding,
            "dimensions": dimensions, "input_type": "query"});
        let reply = post(&gateway, "/v1/embeddings", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("x-tollgate-cost-usd"), "0.000001");
        let vector = &reply.json()["data"][1]["embedding"];
        match vector.as_str() {
            Some(text) => assert_eq!((encoding, text.len()), ("base64", 28)),
            None => assert_eq!((encoding, vector.as_array().unwrap().len()), ("float", 3)),
        }
        let received = sim.requests(1).remove(0).body.clone().unwrap();
        let sent: serde_json::Value = serde_json::from_slice(&received).unwrap();
        assert_eq!(sent["input_type"], json!("query"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_with_a_total_alone_or_at_the_front_of_a_large_answer_is_read() {
    let vectors = "0.25,".repeat(4_000);
    for usage in [
        r#"{"total_tokens":50}"#,
        r#"{"prompt_tokens":50,"total_tokens":50}"#,
        r#"{"prompt_tokens":50,"completion_tokens":0,"total_tokens":0}"#,
    ] {
        let answer = format!(
            r#"{{"object":"list","usage":{usage},"data":[{{"index":0,"embedding":[{vectors}1]}}]}}"#
        );
        let backend = Scripted::saying(scripted::json(&answer)).await;
        for limit in ["1MiB", "1KiB"] {
            let sim = simulator().await;
            let setup = Setup::new(&sim)
                .server(&format!("max_buffered_answer: {limit}"))
                .provider("raw", &backend.provider());
            let gateway = model(setup, "m", "raw/e", PRICE, "embeddings")
                .start()
                .await;
            let reply = post(
                &gateway,
                "/v1/embeddings",
                &json!({"model": "m", "input": "x"}),
            )
            .await;
            assert_eq!(reply.text(), answer, "byte for byte");
            let metrics = gateway.metrics().await;
            let backend = ("backend", "raw/e");
            assert_eq!(
                metrics.count("tokens_total", &[backend, ("type", "input")]),
                50,
                "{usage}"
            );
            assert_eq!(
                metrics.count("tokens_total", &[backend, ("type", "reasoning")]),
                0
            );
            assert_eq!(metrics.count("estimated_usage_total", &[backend]), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_to_fit_input_by_input_and_not_as_a_whole() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model_with("m", "context: 100, caps: [embeddings]", &["a/e"])
        .start()
        .await;
    let tokens = |each: usize, number: usize| vec![vec![7; each]; number];
    let body = json!({"model": "m", "input": tokens(100, 40)});
    let reply = post(&gateway, "/v1/embeddings", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["usage"]["prompt_tokens"], json!(4_000));
    let body = json!({"model": "m", "input": tokens(101, 1)});
    let reply = post(&gateway, "/v1/embeddings", &body).await;
    assert_eq!(
        reply.error().code.as_deref(),
        Some("context_length_exceeded")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn token_numbers_count_exactly_against_a_token_limit() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model_with("m", "context: 1000, caps: [embeddings]", &["a/e"])
        .also("limits: { tpm: 1000 }")
        .start()
        .await;
    let body = json!({"model": "m", "input": vec![5; 600]});
    let reply = post(&gateway, "/v1/embeddings", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-ratelimit-remaining-tokens"), "400");
    assert_eq!(post(&gateway, "/v1/embeddings", &body).await.status, 429);
}
