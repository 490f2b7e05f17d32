//! Embeddings: vectors pass untouched, tokens are counted and priced.

use serde_json::json;
use tollgate::simulate::Handle;

use super::{model, post};
use crate::support::{Gateway, Reply, Scripted, Setup, eventually, scripted, simulator};

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

/// A model whose backend takes two inputs at once, and its ledger.
async fn in_twos(backend: &str) -> (Gateway, tempfile::TempDir, Handle) {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.db");
    let gateway = Setup::new(&sim)
        .model("other", &["a/other"])
        .also_model(&format!(
            "{{ name: m, caps: [embeddings], backends: [{{ provider: a, model: '{backend}', \
             max_batch: 2, price: {PRICE} }}] }}"
        ))
        .also(&format!(
            "store: {{ ledger: 'sqlite:{}' }}\n\
             keys: [{{ id: k, key: 'sk-0123456789abcdefghij', models: ['*'], \
             limits: {{ tpm: 10000 }}, budget: {{ usd: '1', per: total }} }}]",
            ledger.display()
        ))
        .start()
        .await;
    (gateway, folder, sim)
}

/// Five inputs, and the answer.
async fn five(gateway: &Gateway) -> Reply {
    let body = json!({"model": "m", "input": ["a", "b", "c", "d", "e"], "dimensions": 2});
    let sent = super::call(gateway, "/v1/embeddings", &body).key("sk-0123456789abcdefghij");
    sent.send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_over_the_backend_s_limit_is_split_and_joined_in_order() {
    let (gateway, folder, sim) = in_twos("e+prompt=50").await;
    let reply = five(&gateway).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let indices: Vec<_> = answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| &v["index"])
        .collect();
    assert_eq!(indices, [0, 1, 2, 3, 4]);
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 150, "total_tokens": 150})
    );
    // three parts of 50 tokens, which are told as one answer
    assert_eq!(reply.header("x-tollgate-cost-usd"), "0.000003");
    assert_eq!(reply.header("x-tollgate-attempts"), "3");
    assert!(!reply.header("x-tollgate-decision").contains("failed"));
    let sent: Vec<String> = sim
        .requests(3)
        .iter()
        .map(|r| String::from_utf8(r.body.clone().unwrap().to_vec()).unwrap())
        .collect();
    assert!(sent[0].contains(r#""input":["a","b"]"#), "{sent:?}");
    assert!(sent[2].contains(r#""input":["e"]"#), "{sent:?}");
    let ledger = folder.path().join("ledger.db");
    eventually("all parts are booked", async || {
        crate::ledger::rows(&ledger).len() == 3
    })
    .await;
    for (row, attempt) in crate::ledger::rows(&ledger).iter().zip(1..) {
        assert_eq!(
            (row.attempt, row.tokens, row.cost),
            (attempt, (50, 0), Some(1_000_000))
        );
        assert_eq!((row.outcome.as_str(), row.basis.as_str()), ("ok", "exact"));
    }
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.count("requests_total", &[("endpoint", "embeddings")]),
        1
    );
    assert_eq!(metrics.count("attempts_total", &[("result", "ok")]), 3);
    let money = |name| metrics.sum(name, &[("key", "k")]);
    assert!((money("budget_spent_usd") - 0.000_003).abs() < 1e-12);
    assert!(money("budget_held_usd").abs() < 1e-12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_fails_is_repeated_alone_and_the_others_are_kept() {
    let (gateway, folder, sim) = in_twos("e+prompt=50+fault=status:500+every=2").await;
    let reply = five(&gateway).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["data"].as_array().unwrap().len(), 5);
    assert_eq!(reply.header("x-tollgate-cost-usd"), "0.000003");
    assert_eq!(reply.header("x-tollgate-attempts"), "5");
    assert!(
        reply
            .header("x-tollgate-decision")
            .ends_with("; 2 failed before")
    );
    assert_eq!(sim.account().requests, 5);
    let ledger = folder.path().join("ledger.db");
    eventually("all calls are booked", async || {
        crate::ledger::rows(&ledger).len() == 5
    })
    .await;
    let outcomes: Vec<String> = crate::ledger::rows(&ledger)
        .into_iter()
        .map(|row| row.outcome)
        .collect();
    assert_eq!(outcomes, ["ok", "error", "ok", "error", "ok"]);
}
