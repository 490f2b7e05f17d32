//! Images: priced by the piece or by tokens, small or large, whole or in events.

use serde_json::json;

use super::{call, model, post};
use crate::support::{Setup, Stream, simulator};

#[tokio::test(flavor = "multi_thread")]
async fn images_cost_their_number_where_no_usage_is_told() {
    let sim = simulator().await;
    let gateway = model(
        Setup::new(&sim),
        "m",
        "a/dall-e-3",
        "{ image_each: '0.04' }",
        "images",
    )
    .start()
    .await;
    let body =
        json!({"model": "m", "prompt": "a cat", "n": 3, "size": "1024x1024", "quality": "hd"});
    let reply = post(&gateway, "/v1/images/generations", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.json()["data"].as_array().unwrap().len(), 3);
    assert_eq!(reply.header("x-tollgate-cost-usd"), "0.12");
    let received = sim.requests(1).remove(0).body.clone().unwrap();
    let sent: serde_json::Value = serde_json::from_slice(&received).unwrap();
    assert_eq!(sent["quality"], json!("hd"));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_cost_their_tokens_where_usage_is_told() {
    let price = "{ input: '5', output_image: '40', image_each: '1' }";
    let sim = simulator().await;
    let gateway = model(
        Setup::new(&sim),
        "m",
        "a/gpt-image-1+prompt=10",
        price,
        "images",
    )
    .start()
    .await;
    let body = json!({"model": "m", "prompt": "a cat", "n": 2});
    let reply = post(&gateway, "/v1/images/generations", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    // 10 × $5 and 2 × 272 × $40, each a million
    assert_eq!(reply.header("x-tollgate-cost-usd"), "0.02181");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_image_passes_unheld_and_is_priced_at_its_end() {
    let price = "{ input: '5', output_image: '40' }";
    let sim = simulator().await;
    let setup = Setup::new(&sim).server("max_buffered_answer: 4KiB");
    let gateway = model(
        setup,
        "m",
        "a/gpt-image-1+prompt=10+out=60000",
        price,
        "images",
    )
    .start()
    .await;
    let body = json!({"model": "m", "prompt": "a cat"});
    let reply = post(&gateway, "/v1/images/generations", &body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.json()["data"][0]["b64_json"].as_str().unwrap().len(),
        80_000
    );
    assert!(reply.has("x-tollgate-estimated-cost-usd"));
    let metrics = gateway.metrics().await;
    let backend = ("backend", "a/gpt-image-1+prompt=10+out=60000");
    assert_eq!(
        metrics.count("tokens_total", &[backend, ("type", "output")]),
        272
    );
    assert_eq!(metrics.count("estimated_usage_total", &[backend]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_images_ends_with_its_last_event_and_is_priced() {
    let price = "{ input: '5', output_image: '40' }";
    let sim = simulator().await;
    let gateway = model(
        Setup::new(&sim),
        "m",
        "a/gpt-image-1",
        price,
        "images, streaming",
    )
    .start()
    .await;
    let body = json!({"model": "m", "prompt": "a cat", "stream": true, "partial_images": 1});
    let open = call(&gateway, "/v1/images/generations", &body).open().await;
    assert_eq!(
        open.header("content-type"),
        "text/event-stream; charset=utf-8"
    );
    let text = open.whole().await;
    let text = text.text();
    assert!(
        text.contains("event: image_generation.completed\n"),
        "{text}"
    );
    assert!(!text.contains("[DONE]"), "{text}");
    let metrics = gateway.metrics().await;
    let labels = [("endpoint", "images_generations"), ("outcome", "ok")];
    assert_eq!(metrics.count("requests_total", &labels), 1);
    assert_eq!(metrics.count("tokens_total", &[("type", "output")]), 272);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_images_that_is_cut_ends_with_an_error_event() {
    let sim = simulator().await;
    let backend = "a/gpt-image-1+fault=end:25";
    let gateway = model(
        Setup::new(&sim),
        "m",
        backend,
        "{ image_each: '1' }",
        "images, streaming",
    )
    .start()
    .await;
    let body = json!({"model": "m", "prompt": "a cat", "stream": true});
    let open = call(&gateway, "/v1/images/generations", &body).open().await;
    let stream = Stream::read(open).await;
    assert_eq!(stream.error().code.as_deref(), Some("upstream_error"));
}
