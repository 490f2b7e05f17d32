//! Streams that break, before and after the first byte to the client.

use std::time::Duration;

use serde_json::Value;

use super::{both_ways, seen, two};
use crate::support::{Act, Scripted, Setup, pico, scripted, setup::price, simulator};

/// Long enough for what was written before to have been read.
const PAUSE: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_ends_with_an_error_and_a_closed_connection() {
    for script in [
        "out=9+gap=100ms+fault=cut:3",
        "out=9+gap=100ms+fault=end:3",
        "out=9+gap=100ms+fault=error:3",
        "out=9+gap=100ms+fault=garbage:3",
        "out=3+gap=50ms+nofinish",
        "out=3+gap=50ms+nofinish+nodone",
        "out=3+gap=50ms+fault=end:4",
    ] {
        let is_complete = script == "out=3+gap=50ms+nofinish";
        let sim = simulator().await;
        let gateway = two(&sim, script).start().await;
        let mut stream = gateway.stream("m").await;
        assert_eq!(stream.status, 200);
        if is_complete {
            // the dialect's final event has come
            assert!(stream.is_done(), "{}", stream.text);
            continue;
        }
        let error = stream.error();
        assert_eq!(
            (error.kind.as_str(), error.code.as_deref()),
            ("server_error", Some("upstream_error")),
            "{script}"
        );
        stream.line.closed().await;
        assert_eq!(
            seen(&sim, script),
            (1, 0),
            "{script}: never two answers in one"
        );
        let ids: std::collections::HashSet<Value> = stream
            .chunks()
            .iter()
            .filter_map(|chunk| chunk.get("id").cloned())
            .collect();
        assert_eq!(ids.len(), 1, "{script}");
        let metrics = gateway.metrics().await;
        assert_eq!(
            metrics.count("requests_total", &[("outcome", "cut")]),
            1,
            "{script}"
        );
        assert_eq!(metrics.count("requests_total", &[]), 1);
        let attempts = |result| metrics.count("attempts_total", &[("result", result)]);
        assert_eq!((attempts("error"), attempts("ok")), (1, 0), "{script}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_comes_together_with_the_first_event_is_still_before_the_first_byte() {
    let usage = r#""usage":{"prompt_tokens":1000000,"completion_tokens":1000000}"#;
    let good = format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"x"}}}}],{usage}}}"#);
    let both = format!("data: {good}\n\ndata: {{\"error\":{{\"message\":\"sorry\"}}}}\n\n");
    let upstream = Scripted::saying(scripted::events(&both)).await;
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .provider("raw", &upstream.provider())
        .model("m", &["raw/x", "b/spare+out=2+usage=none"])
        .start()
        .await;
    let stream = gateway.stream("m").await;
    assert_eq!(
        stream.header("x-tollgate-backend"),
        "b/spare+out=2+usage=none"
    );
    assert!(
        stream.is_done() && !stream.text.contains("\"x\""),
        "{}",
        stream.text
    );
    let metrics = gateway.metrics().await;
    let attempts = |result| metrics.count("attempts_total", &[("result", result)]);
    assert_eq!((attempts("error"), attempts("ok")), (2, 1));
    // and nothing of the failed attempts is in the account of the answer: they used what they said
    assert_eq!(metrics.count("estimated_usage_total", &[]), 1);
    let cost = |backend| metrics.sum("cost_usd_total", &[("backend", backend)]);
    assert!(cost("b/spare+out=2+usage=none") < 1.0);
    assert_eq!(
        pico(&cost("raw/x").to_string()),
        2 * price(0, 1_000_000, 1_000_000)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_the_cut_has_reached_the_client() {
    let sim = simulator().await;
    let whole = Setup::new(&sim).model("m", &["a/x+out=9"]).start().await;
    let whole = whole.stream("m").await.content();
    for fault in ["cut:4", "end:4", "error:4", "garbage:4"] {
        let script = format!("out=9+gap=50ms+fault={fault}");
        let gateway = two(&sim, &script).start().await;
        let stream = gateway.stream("m").await;
        // the role, then three pieces of text, then the error
        assert_eq!(stream.data().len(), 5, "{}", stream.text);
        let content = stream.content();
        assert!(
            !content.is_empty() && whole.starts_with(&content),
            "{content}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_before_its_end_is_asked_for_again() {
    for fault in ["cut:1", "end:1", "short"] {
        let script = format!("out=9+fault={fault}");
        let sim = simulator().await;
        let gateway = two(&sim, &script).start().await;
        let reply = gateway.ask("m").await;
        assert_eq!(reply.status, 200);
        assert_eq!(
            reply.header("x-tollgate-backend"),
            "b/spare+out=2",
            "{script}"
        );
        let content = &reply.json()["choices"][0]["message"]["content"];
        assert!(content.is_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_end_marker_is_added_and_a_present_one_is_not_doubled() {
    let sim = simulator().await;
    for script in ["out=3+nodone", "out=3"] {
        let gateway = two(&sim, script).start().await;
        let stream = gateway.stream("m").await;
        assert!(stream.is_done() && stream.ended, "{}", stream.text);
        let metrics = gateway.metrics().await;
        assert_eq!(metrics.count("requests_total", &[("outcome", "ok")]), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_choice_must_have_finished_before_an_end_marker_is_added() {
    let one = r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}"#;
    let other = r#"{"choices":[{"index":1,"delta":{"content":"y"},"finish_reason":null}]}"#;
    let upstream = Scripted::saying(scripted::events(&format!(
        "data: {other}\n\ndata: {one}\n\n"
    )))
    .await;
    let gateway = upstream.gateway().await;
    assert_eq!(gateway.stream("m").await.error().kind, "server_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_none_goes_to_the_next() {
    for script in ["fault=notjson", "fault=empty"] {
        for result in both_ways(&|sim| two(sim, script), script).await {
            assert_eq!(result.3, "b/spare+out=2", "{script}");
            assert_eq!(result.1, 1, "{script}");
        }
    }
    for answer in [
        scripted::events(""),
        scripted::events(": only a comment\n\n"),
        scripted::events("data: [DONE]\n\n"),
        scripted::events("data: <html>\n\n"),
        scripted::json(r#"{"choices":[{"message":{"content":"not a stream"}}]}"#),
    ] {
        let upstream = Scripted::saying(answer.clone()).await;
        let sim = simulator().await;
        let gateway = Setup::new(&sim)
            .provider("raw", &upstream.provider())
            .model("m", &["raw/x", "b/spare+out=2"])
            .start()
            .await;
        let stream = gateway.stream("m").await;
        assert_eq!(
            stream.header("x-tollgate-backend"),
            "b/spare+out=2",
            "{answer}"
        );
        assert!(stream.is_done(), "{}", stream.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_a_stream_is_masked_and_in_our_shape() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let pieces = [
        head,
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n",
        "data: {\"error\":{\"message\":\"no more for sk-abc123\",\"code\":500,\"type\":\"odd\"}}\n\n",
        "data: [DONE]\n\n",
    ];
    let act = Act::Slowly(pieces.map(Into::into).to_vec(), PAUSE);
    let upstream = Scripted::start(vec![act]).await;
    let gateway = upstream.gateway().await;
    let stream = gateway.stream("m").await;
    let message = stream.error().message;
    assert!(message.contains("no more for ***"), "{message}");
}
