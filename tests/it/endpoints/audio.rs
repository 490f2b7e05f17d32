//! Speech: bytes that leave as they come, priced by what was asked to be spoken.

use serde_json::json;

use super::{call, model, post};
use crate::support::{Setup, eventually, simulator};

#[tokio::test(flavor = "multi_thread")]
async fn speech_passes_as_it_came_and_costs_its_characters() {
    let sim = simulator().await;
    let gateway = model(
        Setup::new(&sim),
        "m",
        "a/tts-1",
        "{ char_m: '15' }",
        "speech",
    )
    .start()
    .await;
    // seven characters, of eleven bytes and an escape
    let body = r#"{"model":"m","voice":"alloy","response_format":"wav","input":"h\u00e9llo 日本"}"#;
    let sent = gateway
        .call(http::Method::POST, "/v1/audio/speech")
        .json(body);
    let reply = sent.send().await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "audio/wav");
    assert_eq!(reply.body.len(), 8 * 64);
    assert_eq!(reply.header("x-tollgate-estimated-cost-usd"), "0.00012");
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.count("estimated_usage_total", &[]), 0);
    let cost = metrics.sum("cost_usd_total", &[("backend", "a/tts-1")]);
    assert!((cost - 0.000_12).abs() < 1e-12, "{cost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn speech_begins_before_it_has_ended() {
    let sim = simulator().await;
    let backend = "a/tts-1+fault=slow_body+gap=20ms";
    let gateway = model(Setup::new(&sim), "m", backend, "{ char_m: '15' }", "speech")
        .start()
        .await;
    let body = json!({"model": "m", "voice": "a", "input": "x".repeat(500)});
    let mut open = call(&gateway, "/v1/audio/speech", &body).open().await;
    let first = open.frame().await.unwrap().unwrap();
    assert!(first.len() < 500 * 64, "{}", first.len());
    drop(open);
    eventually("the client's leaving is noticed", async || {
        let metrics = gateway.metrics().await;
        let labels = [("endpoint", "audio_speech"), ("outcome", "cancelled")];
        metrics.count("requests_total", &labels) == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_place_of_speech_fails_over() {
    let sim = simulator().await;
    for fault in ["error:0", "empty"] {
        let broken = format!("a/x+fault={fault}");
        let gateway = Setup::new(&sim)
            .model_with("m", "caps: [speech]", &[&broken, "c/x"])
            .start()
            .await;
        let body = json!({"model": "m", "voice": "a", "input": "hello"});
        let reply = post(&gateway, "/v1/audio/speech", &body).await;
        assert_eq!(reply.status, 200, "{fault}");
        assert_eq!(reply.header("x-tollgate-backend"), "c/x");
        assert_eq!(reply.body.len(), 5 * 64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn speech_as_events_is_priced_by_its_usage() {
    let price = "{ input: '0.6', output_audio: '12' }";
    let sim = simulator().await;
    let gateway = model(
        Setup::new(&sim),
        "m",
        "a/tts+prompt=10",
        price,
        "speech, streaming",
    )
    .start()
    .await;
    let body = json!({"model": "m", "voice": "a", "input": "hello", "stream_format": "sse"});
    let reply = post(&gateway, "/v1/audio/speech", &body).await;
    assert!(
        reply.text().contains("speech.audio.done"),
        "{}",
        reply.text()
    );
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.count("tokens_total", &[("type", "audio_out")]), 5);
    assert_eq!(metrics.count("tokens_total", &[("type", "input")]), 10);
}
