//! Whatever is sent, by a client or by a backend: a well-formed answer, and no panic.

use std::time::Duration;

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    task::JoinSet,
};

use crate::support::{
    Act, Gateway, Reply, Scripted, Setup, Stream,
    gateway::{ask, stream},
    simulator,
};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
}

/// Any JSON, not too large.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![
            "m",
            "user",
            "text",
            "image_url",
            "json_schema",
            "function"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![
            prop::sample::select(vec![
                "role",
                "content",
                "type",
                "text",
                "image_url",
                "url",
                "tool_calls",
                "function",
                "name",
                "arguments",
                "include_usage",
                "models",
                "min_quality",
                "input_audio",
            ])
            .prop_map(str::to_owned),
            any::<String>(),
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A chat request in which some members hold anything.
fn odd_request() -> impl Strategy<Value = Value> {
    let members = vec![
        "model",
        "messages",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "response_format",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "modalities",
        "functions",
        "tollgate",
        "temperature",
        "stop",
        "parallel_tool_calls",
    ];
    let one = (prop::sample::select(members), any_json());
    (any::<bool>(), prop::collection::vec(one, 1..4)).prop_map(|(streamed, odd)| {
        let mut body = if streamed { stream("m") } else { ask("m") };
        for (member, value) in odd {
            body[member] = value;
        }
        body
    })
}

/// A text in which some bytes are changed, left out, doubled or put in.
fn mangled(text: String) -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<prop::sample::Index>(),
        0_u8..4,
        any::<u8>(),
        1_usize..40,
    );
    prop::collection::vec(change, 1..5).prop_map(move |changes| {
        let mut bytes = text.clone().into_bytes();
        for (at, kind, byte, length) in changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + length).min(bytes.len());
            match kind {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

/// An answer, or an error in the one shape; never our own fault.
fn well_formed(reply: &Reply) {
    assert!(reply.has("x-request-id"), "{reply:?}");
    match reply.status {
        200 if reply
            .header("content-type")
            .starts_with("text/event-stream") =>
        {
            let text = reply.text();
            let whole = text.ends_with("data: [DONE]\n\n") || text.contains("data: {\"error\":");
            assert!(whole, "{text}");
        }
        200 => assert!(reply.json()["choices"].is_array()),
        400 | 403 | 404 | 413 | 422 | 502 | 504 => drop(reply.error()),
        other => panic!("{other}: {}", reply.text()),
    }
}

/// Is it alive, and did nothing panic?
async fn unharmed(gateway: &Gateway) {
    assert_eq!(gateway.ask("m").await.status, 200);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.count("requests_total", &[("code", "500")]), 0);
    assert_eq!(metrics.count("inflight_requests", &[]), 0);
}

#[test]
fn any_json_gets_a_well_formed_answer() {
    let runtime = runtime();
    let (_sim, gateway) = runtime.block_on(async {
        let sim = simulator().await;
        let gateway = Setup::new(&sim).model("m", &["a/x+out=2"]).start().await;
        (sim, gateway)
    });
    let strategy = prop_oneof![4 => odd_request(), 1 => any_json()];
    runner(400)
        .run(&strategy, |body| {
            well_formed(&runtime.block_on(gateway.post(&body).send()));
            Ok(())
        })
        .unwrap();
    runtime.block_on(unharmed(&gateway));
}

#[test]
fn any_bytes_get_a_well_formed_answer() {
    let runtime = runtime();
    let (_sim, gateway) = runtime.block_on(async {
        let sim = simulator().await;
        let gateway = Setup::new(&sim).model("m", &["a/x+out=2"]).start().await;
        (sim, gateway)
    });
    let mut body = stream("m");
    body["tollgate"] = json!({ "models": ["m"], "min_quality": 0.1 });
    body["tools"] = json!([{ "type": "function", "function": { "name": "f" } }]);
    let whole = body.to_string();
    runner(300)
        .run(&mangled(whole), |bytes| {
            let call = gateway.post("").bytes(bytes);
            well_formed(&runtime.block_on(call.send()));
            Ok(())
        })
        .unwrap();
    runtime.block_on(unharmed(&gateway));
}

#[test]
fn any_answer_of_a_backend_leads_to_a_well_formed_one() {
    let usage = json!({ "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5,
        "prompt_tokens_details": { "cached_tokens": 1 } });
    let chunk = |delta: Value, finish: Value| json!({ "id": "1", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
    let events = format!(
        ": hello\n\ndata: {}\n\ndata: {}\r\n\r\ndata: {}\n\ndata: [DONE]\n\n",
        chunk(json!({ "content": "x" }), Value::Null),
        chunk(json!({}), json!("stop")),
        json!({ "choices": [], "usage": usage }),
    );
    let mut whole = Map::new();
    whole.insert(
        "choices".into(),
        json!([{ "index": 0, "message": { "content": "x" } }]),
    );
    whole.insert("usage".into(), usage);
    let whole = Value::from(whole).to_string();
    let runtime = runtime();
    for (streamed, kind, text) in [
        (true, "text/event-stream", events),
        (false, "application/json", whole),
    ] {
        runner(120)
            .run(&mangled(text), |bytes| {
                runtime.block_on(meets(streamed, kind, bytes));
                Ok(())
            })
            .unwrap();
    }
}

/// One request to a backend that answers with these bytes.
async fn meets(streamed: bool, kind: &str, bytes: Vec<u8>) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n");
    let pieces = vec![head.into(), bytes.into()];
    let upstream = Scripted::start(vec![Act::Slowly(pieces, Duration::ZERO)]).await;
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .provider("raw", &upstream.provider())
        .model("odd", &["raw/x"])
        .model("m", &["a/x+out=1"])
        .also("retries: { attempts: 1 }")
        .start()
        .await;
    let body = if streamed { stream("odd") } else { ask("odd") };
    let open = gateway.post(&body).open().await;
    if streamed && open.status == 200 {
        let stream = Stream::read(open).await;
        let whole = stream.ended && (stream.is_done() || !stream.error().message.is_empty());
        assert!(whole, "{}", stream.text);
    } else {
        let reply = open.whole().await;
        assert!(matches!(reply.status, 200 | 400 | 502), "{}", reply.text());
        if reply.status != 200 {
            reply.error();
        }
    }
    unharmed(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_http_gets_an_answer_or_a_closed_connection() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=1"]).start().await;
    let body = ask("m").to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer \
         x\r\ncontent-type: application/json\r\nx-tollgate-regions: eu\r\nconnection: \
         close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut trees = TestRunner::deterministic();
    let strategy = mangled(request);
    let mut calls = JoinSet::new();
    for _ in 0..300 {
        let bytes = strategy.new_tree(&mut trees).unwrap().current();
        calls.spawn(exchange(gateway.client, bytes));
    }
    let mut answered = 0;
    while let Some(answer) = calls.join_next().await {
        let answer = answer.unwrap();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 "),
            "{answer}"
        );
        assert!(!answer.starts_with("HTTP/1.1 500"), "{answer}");
        answered += u32::from(!answer.is_empty());
    }
    assert!(answered > 200, "{answered}");
    unharmed(&gateway).await;
}

/// Sends bytes and reads until the connection ends or nothing comes for a while: what is cut
/// short leaves the gateway waiting for the rest.
async fn exchange(address: std::net::SocketAddr, bytes: Vec<u8>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(&bytes).await;
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(2), reading).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_nesting_and_many_members_are_refused_or_served_but_never_fatal() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=1"]).start().await;
    let messages = r#""messages":[{"role":"user","content":"x"}]"#;
    let deep = |open: &str, close: &str| {
        let (open, close) = (open.repeat(200_000), close.repeat(200_000));
        format!(r#"{{"model":"m",{messages},"x":{open}1{close}}}"#)
    };
    let many: String = (0..50_000).map(|n| format!(r#","k{n}":1"#)).collect();
    let parts = r#"{"type":"text","text":"x"},"#.repeat(50_000);
    for body in [
        deep("[", "]"),
        deep("{\"a\":", "}"),
        format!(r#"{{"model":"m",{messages}{many}}}"#),
        format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":[{}]}}]}}"#,
            parts.trim_end_matches(',')
        ),
        format!(
            r#"{{"model":"m","messages":{}1{}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        ),
        format!(
            r#"{{"model":"m",{messages},"tollgate":{}{}}}"#,
            "{\"models\":".repeat(9_000),
            "}".repeat(9_000)
        ),
        format!(r#"{{"model":"{}",{messages}}}"#, "m".repeat(1 << 20)),
        format!(r#"{{"model":"m",{messages},"n":{}}}"#, "9".repeat(10_000)),
        format!(
            r#"{{"model":"m",{messages},"max_tokens":18446744073709551615,"n":18446744073709551615}}"#
        ),
    ] {
        let reply = gateway.post(&body).send().await;
        well_formed(&reply);
        let limit = 64 * 1024;
        assert!(
            reply.body.len() < limit,
            "{} bytes came back",
            reply.body.len()
        );
    }
    unharmed(&gateway).await;
}
