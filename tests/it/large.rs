//! Large requests, large answers, and many at once.

use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use crate::support::{
    Scripted, Setup, Stream,
    gateway::{ask, stream},
    pico, scripted,
    setup::price,
    simulator,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_twenty_megabytes_passes_unchanged() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model_with(
            "m",
            "context: 99000000, caps: [streaming, vision]",
            &["a/x+out=1"],
        )
        .start()
        .await;
    let image = "QUJD".repeat(20 * (1 << 20) / 4);
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": [
        { "type": "text", "text": "What is this?" },
        { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{image}") } },
    ] }] })
    .to_string();
    let upstream = body.replacen("\"model\":\"m\"", "\"model\":\"x+out=1\"", 1);
    let digest: String = Sha256::digest(&upstream)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let call = gateway.post(&body);
    for call in [call.clone(), call.chunked(100_000)] {
        let reply = call.send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let received = sim.requests(1).remove(0);
        assert_eq!(received.body_length, upstream.len());
        assert_eq!(received.body_sha256.as_ref(), Some(&digest));
    }
}

/// A JSON answer of about so many bytes with its usage at the end.
fn long_answer(bytes: usize) -> String {
    format!(
        "{{\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\"{}\"}},\
         \"finish_reason\":\"stop\"}}],\"model\":\"x\", \"usage\":{{\"prompt_tokens\":12,\
         \"completion_tokens\":3400}}}}\n",
        "0123456789".repeat(bytes / 10)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_up_to_the_limit_has_an_exact_cost_and_a_larger_one_an_estimate() {
    let sim = simulator().await;
    for (bytes, exact) in [(60_000, true), (70_000, false), (3_000_000, false)] {
        let body = long_answer(bytes);
        let upstream = Scripted::saying(scripted::json(&body)).await;
        let gateway = Setup::new(&sim)
            .server("max_buffered_answer: 64KiB")
            .provider("raw", &upstream.provider())
            .model("m", &["raw/x"])
            .start()
            .await;
        let reply = gateway.ask("m").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.body.len(), body.len());
        assert!(reply.body == body.as_bytes(), "the bytes differ");
        assert_eq!(reply.has("x-tollgate-cost-usd"), exact, "{bytes}");
        assert_eq!(
            reply.has("x-tollgate-estimated-cost-usd"),
            !exact,
            "{bytes}"
        );
        assert_eq!(reply.header("x-tollgate-backend"), "raw/x");
        // either way the usage was found
        let metrics = gateway.metrics().await;
        let sum = metrics.sum("cost_usd_total", &[]);
        assert_eq!(pico(&format!("{sum:.12}")), price(0, 12, 3400), "{bytes}");
        assert_eq!(metrics.count("requests_total", &[("outcome", "ok")]), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_leaves_while_it_comes() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("max_buffered_answer: 1KiB")
        .model("m", &["a/x+out=3000+fault=stall:200"])
        .start()
        .await;
    let mut open = gateway.post(&ask("m")).open().await;
    assert_eq!(open.status, 200);
    let mut read = 0;
    while read < 3_200 {
        read += open.frame().await.unwrap().unwrap().len();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_that_breaks_off_breaks_off_for_the_client_too() {
    for fault in ["cut:200", "short"] {
        let sim = simulator().await;
        let gateway = Setup::new(&sim)
            .server("max_buffered_answer: 1KiB")
            .model("m", &[&format!("a/x+out=3000+fault={fault}"), "b/spare"])
            .start()
            .await;
        let mut open = gateway.post(&ask("m")).open().await;
        assert_eq!(open.status, 200);
        let mut broken = false;
        while let Some(frame) = open.frame().await {
            broken |= frame.is_err();
        }
        assert!(broken, "{fault}: half an answer looked whole");
        let metrics = gateway.metrics().await;
        assert_eq!(
            metrics.count("requests_total", &[("outcome", "cut")]),
            1,
            "{fault}"
        );
        assert_eq!(sim.account().model("spare").requests, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_event_passes() {
    let data = "QUJD".repeat(1 << 20);
    let body = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{data}\"}},\
         \"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n"
    );
    let upstream = Scripted::saying(scripted::events(&body)).await;
    let gateway = upstream.gateway().await;
    let reply = gateway.post(&stream("m")).send().await;
    assert!(reply.body == body.as_bytes(), "{} bytes", reply.body.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_streams_at_once_are_all_complete_and_each_its_own() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=20+gap=20ms"])
        .start()
        .await;
    let started = Instant::now();
    let mut streams = JoinSet::new();
    for number in 0..200 {
        let mut body = stream("m");
        body["messages"][0]["content"] = format!("number {number}").into();
        let call = gateway.post(&body);
        streams.spawn(async move { Stream::read(call.open().await).await });
    }
    let mut ids = std::collections::HashSet::new();
    while let Some(stream) = streams.join_next().await {
        let stream = stream.unwrap();
        assert!(stream.is_done() && stream.ended);
        assert_eq!(stream.data().len(), 22);
        let chunks = stream.chunks();
        let id = &chunks[0]["id"];
        assert!(
            chunks.iter().all(|chunk| chunk["id"] == *id),
            "two answers in one"
        );
        ids.insert(id.to_string());
    }
    assert_eq!(ids.len(), 200, "each prompt has an answer of its own");
    // one after the other they would take 76 s
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.count("requests_total", &[("outcome", "ok")]), 200);
    assert_eq!(metrics.count("inflight_requests", &[]), 0);
}
