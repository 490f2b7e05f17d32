//! The older way to use a language model: a prompt that is gone on with.

use serde_json::json;

use super::{call, post};
use crate::support::{Setup, Stream, pico, setup::price, simulator};

const CAPS: &str = "caps: [completions, streaming, n, logprobs]";

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_costs_what_its_usage_says() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model_with("m", CAPS, &["a/one+prompt=11+out=5"])
        .start()
        .await;
    for prompt in [
        json!("once upon"),
        json!(["once", "twice"]),
        json!([1, 2, 3]),
        json!([[1, 2], [3]]),
    ] {
        let number = if prompt[0].is_string() || prompt[0].is_array() {
            2
        } else {
            1
        };
        let body = json!({"model": "m", "prompt": prompt, "echo": false, "mine": 1.10});
        let reply = post(&gateway, "/v1/completions", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let choices = reply.json()["choices"].as_array().unwrap().len();
        assert_eq!(choices, number, "{prompt}");
        let cost = pico(reply.header("x-tollgate-cost-usd"));
        assert_eq!(cost, price(0, 11, 5 * number as u64), "{prompt}");
    }
    let received = sim.requests(1).remove(0);
    assert_eq!(received.uri.path(), "/p/a/v1/completions");
    let sent = String::from_utf8(received.body.clone().unwrap().to_vec()).unwrap();
    assert!(sent.contains("\"mine\":1.1"), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_streams_and_shows_usage_to_who_asked() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model_with("m", CAPS, &["a/one+prompt=11+out=5"])
        .start()
        .await;
    let ask = json!({"model": "m", "prompt": "x", "stream": true,
        "stream_options": {"include_usage": true}});
    let open = call(&gateway, "/v1/completions", &ask).open().await;
    let stream = Stream::read(open).await;
    let usage = stream.usages().pop().unwrap();
    assert_eq!(usage["completion_tokens"], json!(5));
    let cost = pico(usage["cost_usd"].as_str().unwrap());
    assert_eq!(cost, price(0, 11, 5));

    let ask = json!({"model": "m", "prompt": "x", "stream": true});
    let open = call(&gateway, "/v1/completions", &ask).open().await;
    let stream = Stream::read(open).await;
    assert!(stream.usages().is_empty());
    let metrics = gateway.metrics().await;
    let labels = [("endpoint", "completions"), ("outcome", "ok")];
    assert_eq!(metrics.count("requests_total", &labels), 2);
    assert_eq!(metrics.count("estimated_usage_total", &[]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_fails_over_and_each_call_has_its_attempt() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model_with("m", CAPS, &["a/one+fault=status:500", "b/two+out=3"])
        .start()
        .await;
    let reply = post(
        &gateway,
        "/v1/completions",
        &json!({"model": "m", "prompt": "x"}),
    )
    .await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-tollgate-attempts"), "3");
    assert_eq!(reply.header("x-tollgate-backend"), "b/two+out=3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_completion_without_a_limit_is_held_to_the_key_s_money() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model_with(
            "m",
            &format!("max_output: 100000, context: 200000, {CAPS}"),
            &["a/one+out=9"],
        )
        .also(
            "keys: [{ id: k, key: 'sk-0123456789abcdefghij', models: ['*'], \
             budget: { usd: '0.01', per: day } }]",
        )
        .start()
        .await;
    let ask = json!({"model": "m", "prompt": "x"});
    let sent = call(&gateway, "/v1/completions", &ask).key("sk-0123456789abcdefghij");
    let reply = sent.send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let received = sim.requests(1).remove(0).body.clone().unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&received).unwrap();
    assert!(sent["max_tokens"].as_u64().unwrap() < 5_000, "{sent}");
}
