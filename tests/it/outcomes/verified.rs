//! What answers show of themselves.

use serde_json::{Value, json};

use super::{KEY_A, Kept, learned, model, quality, setup};
use crate::support::{Gateway, Stream, eventually, simulator};

/// A request that must be answered by a call, one that must be by a document, and a free one.
fn body(kind: &str, stream: bool) -> Value {
    let schema = json!({
        "type": "object", "properties": { "city": { "type": "string" } },
        "required": ["city"], "additionalProperties": false,
    });
    let mut body = json!({
        "model": "auto", "stream": stream,
        "messages": [{ "role": "user", "content": "hello" }],
    });
    match kind {
        "tool" => {
            body["tools"] =
                json!([{ "type": "function", "function": { "name": "f", "parameters": schema } }]);
        }
        "schema" => {
            body["response_format"] =
                json!({ "type": "json_schema", "json_schema": { "name": "s", "schema": schema } });
        }
        _ => {}
    }
    body
}

async fn ask(gateway: &Gateway, kind: &str, stream: bool) {
    let call = gateway.post(&body(kind, stream)).key(KEY_A);
    if stream {
        Stream::read(call.open().await).await;
    } else {
        assert_eq!(call.send().await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_in_which_an_answer_is_bad_is_seen_streamed_or_not() {
    for (bad, kind, result) in [
        ("form", "tool", "tool_call"),
        ("tool", "tool", "tool_call"),
        ("form", "schema", "schema"),
        ("length", "free", "length"),
        ("filter", "free", "refusal"),
        ("nothing", "free", "empty"),
    ] {
        let sim = simulator().await;
        let gateway = setup(&sim, &format!("m+out=6+bad={bad}")).start().await;
        for stream in [false, true] {
            ask(&gateway, kind, stream).await;
        }
        eventually("both are looked at", async || {
            let labels = [
                ("backend", &*format!("a/m+out=6+bad={bad}")),
                ("result", result),
            ];
            gateway
                .metrics()
                .await
                .count("answers_verified_total", &labels)
                == 2
        })
        .await;
        let seen = learned(&gateway, "?key=a").await;
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0]["verified"]["outcomes"], 2);
        assert!(
            seen[0]["verified"]["offset"].as_f64() < Some(-0.2),
            "{bad} {kind}: {seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn good_answers_promise_no_more_than_was_predicted() {
    let sim = simulator().await;
    let gateway = setup(&sim, "m+out=6").start().await;
    for kind in ["tool", "schema", "free"] {
        for stream in [false, true] {
            ask(&gateway, kind, stream).await;
        }
    }
    eventually("all are looked at", async || {
        let fine = [("result", "fine")];
        gateway
            .metrics()
            .await
            .count("answers_verified_total", &fine)
            == 6
    })
    .await;
    for place in learned(&gateway, "").await {
        assert_eq!(
            place["verified"]["offset"].as_f64().map(f64::abs),
            Some(0.0),
            "{place}"
        );
    }
    assert_eq!(quality(&gateway, "a", "cheap").await, [0.8, 0.8, 0.8]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_calls_are_broken_loses_the_floor_for_such_requests() {
    let sim = simulator().await;
    let kept = Kept::start(setup(&sim, "m+bad=form")).await;
    let mut asked = 0;
    eventually("the other model serves", async || {
        asked += 1;
        let reply = kept
            .gateway
            .post(&body("tool", false))
            .key(KEY_A)
            .send()
            .await;
        model(&reply) == "dear"
    })
    .await;
    assert!(asked > 1);
    // of free texts nothing bad was seen
    let free = kept
        .gateway
        .post(&body("free", false))
        .key(KEY_A)
        .send()
        .await;
    assert_eq!(model(&free), "cheap");
    // what answers showed is kept as well
    let seen = learned(&kept.gateway, "?model=cheap").await;
    let kept = kept.restarted().await;
    assert_eq!(learned(&kept.gateway, "?model=cheap").await, seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_at_the_clients_own_limit_and_what_no_floor_is_asked_of_teaches_nothing() {
    let sim = simulator().await;
    let gateway = setup(&sim, "m+out=60+bad=length").start().await;
    let mut short = body("free", false);
    short["max_tokens"] = json!(8);
    assert_eq!(gateway.post(&short).key(KEY_A).send().await.status, 200);
    let mut loose = body("free", false);
    loose["model"] = json!("loose");
    assert_eq!(gateway.post(&loose).key(KEY_A).send().await.status, 200);
    let mut spoken = body("free", false);
    spoken["modalities"] = json!(["text"]);
    assert_eq!(gateway.post(&spoken).key(KEY_A).send().await.status, 200);
    let off = setup(&sim, "m+bad=length")
        .also("evidence: { verify: false }")
        .start()
        .await;
    assert_eq!(
        off.post(&body("free", false))
            .key(KEY_A)
            .send()
            .await
            .status,
        200
    );
    for gateway in [&gateway, &off] {
        assert_eq!(learned(gateway, "").await, Vec::<Value>::new());
        assert_eq!(
            gateway.metrics().await.count("answers_verified_total", &[]),
            0
        );
    }
}
