//! The error table: status, type, code and param of every row, and what the headers advise.

mod upstream;

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    Gateway, Reply, Setup,
    gateway::{ask, stream},
    http::raw,
    simulator,
};

async fn gateway() -> (tollgate::simulate::Handle, Gateway) {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=2"]).start().await;
    (sim, gateway)
}

/// Asserts that nothing advises for or against a retry.
fn no_advice(reply: &Reply) {
    for name in ["retry-after", "retry-after-ms", "x-should-retry"] {
        assert!(!reply.has(name), "{name} in {reply:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_json_object_is_invalid_json() {
    let (sim, gateway) = gateway().await;
    for body in [
        "",
        " ",
        "{",
        "null",
        "[]",
        "\"text\"",
        "12",
        "{\"model\":\"m\",}",
        "{'model':'m'}",
        "{\"model\":\"m\"} x",
        "{\"model\":\"m\"}{\"model\":\"m\"}",
        "{\"model\":\"m\",\"messages\":[}",
        "{\"model\":\"m\",\"messages\":[],\"x\":01}",
        "\u{feff}{\"model\":\"m\"}",
        "{\"model\":\"m\",\"messages\":[],\"x\":\"\\ud83d\"x}",
    ] {
        let reply = gateway.post(&body).send().await;
        let refusal = reply.refusal();
        assert_eq!(
            refusal, "400 invalid_request_error invalid_json null",
            "{body}"
        );
        no_advice(&reply);
    }
    for body in [
        &b"\xff\xfe{\"model\""[..],
        b"{\"model\":\"\xff\",\"messages\":[]}",
    ] {
        let call = gateway.post("").bytes(body.to_vec());
        let reply = call.send().await;
        assert_eq!(
            reply.refusal(),
            "400 invalid_request_error invalid_json null",
            "{body:?}"
        );
    }
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stands_twice_is_invalid_json() {
    let (sim, gateway) = gateway().await;
    let messages = r#""messages":[{"role":"user","content":"x"}]"#;
    for (body, param) in [
        (format!(r#"{{"model":"m","model":"m",{messages}}}"#), "null"),
        (
            format!(r#"{{"model":"m","mod\u0065l":"n",{messages}}}"#),
            "null",
        ),
        (format!(r#"{{"model":"m",{messages},"x":1,"x":1}}"#), "null"),
        (
            format!(r#"{{"model":"m",{messages},"tollgate":{{"models":["m"],"models":["n"]}}}}"#),
            "tollgate",
        ),
        (
            format!(r#"{{"model":"m",{messages},"tollgate":{{}},"tollgate":{{}}}}"#),
            "null",
        ),
    ] {
        let refusal = gateway.post(&body).send().await.refusal();
        let expected = format!("400 invalid_request_error invalid_json {param}");
        assert_eq!(refusal, expected, "{body}");
    }
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_type_is_named_with_its_member() {
    let (sim, gateway) = gateway().await;
    for (member, value) in [
        ("model", json!(1)),
        ("model", json!(["m"])),
        ("messages", json!("text")),
        ("messages", json!({})),
        ("messages", json!([1])),
        ("stream", json!("true")),
        ("stream", json!(1)),
        ("n", json!(-1)),
        ("n", json!("2")),
        ("n", json!(1.5)),
        ("max_tokens", json!("many")),
        ("max_tokens", json!(-5)),
        ("max_completion_tokens", json!([])),
        ("response_format", json!("json")),
        ("logprobs", json!("yes")),
        ("top_logprobs", json!("3")),
        ("tollgate", json!(1)),
        ("tollgate", json!([])),
        ("tollgate", json!({ "models": "m" })),
        ("tollgate", json!({ "models": [1] })),
        ("tollgate", json!({ "min_quality": "high" })),
        ("tollgate", json!({ "min_quality": 1.5 })),
    ] {
        let mut body = ask("m");
        body[member] = value;
        let refusal = gateway.post(&body).send().await.refusal();
        let expected = format!("400 invalid_request_error invalid_type {member}");
        assert_eq!(refusal, expected, "{body}");
    }
    let mut body = stream("m");
    body["stream_options"] = json!({ "include_usage": "yes" });
    assert_eq!(
        gateway.post(&body).send().await.refusal(),
        "400 invalid_request_error invalid_type stream_options"
    );
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn null_is_as_good_as_absent() {
    let (_sim, gateway) = gateway().await;
    let members = [
        "stream",
        "n",
        "max_tokens",
        "response_format",
        "logprobs",
        "tools",
        "stop",
    ];
    for member in members {
        let mut body = ask("m");
        body[member] = Value::Null;
        assert_eq!(gateway.post(&body).send().await.status, 200, "{member}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_model_and_missing_messages_are_named() {
    let (sim, gateway) = gateway().await;
    let messages = json!([{ "role": "user", "content": "x" }]);
    for (body, param) in [
        (json!({ "messages": messages }), "model"),
        (json!({ "model": null, "messages": messages }), "model"),
        (json!({ "model": "", "messages": messages }), "model"),
        (json!({}), "model"),
        (json!({ "model": "m" }), "messages"),
    ] {
        let refusal = gateway.post(&body).send().await.refusal();
        let expected = format!("400 invalid_request_error missing_required_parameter {param}");
        assert_eq!(refusal, expected, "{body}");
    }
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_model_is_not_found() {
    let (sim, gateway) = gateway().await;
    for model in [
        "n",
        "M",
        "m ",
        "a/y",
        "b/x+out=2",
        "x+out=2",
        "../m",
        "m\n\u{1b}[31m",
        "模型",
    ] {
        let reply = gateway.ask(model).await;
        let refusal = reply.refusal();
        assert_eq!(
            refusal, "404 invalid_request_error model_not_found model",
            "{model}"
        );
        no_advice(&reply);
    }
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_is_a_404_and_v1_twice_names_the_right_base_url() {
    let (_sim, gateway) = gateway().await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/chat/completions",
        "/v1/chat",
        "/metrics",
        "/admin/v1/explain",
    ] {
        for method in [Method::GET, Method::POST] {
            let reply = gateway.call(method, path).json("{}").send().await;
            let refusal = reply.refusal();
            assert_eq!(
                refusal, "404 invalid_request_error unknown_url null",
                "{path}"
            );
        }
    }
    for path in ["/v1/v1/chat/completions", "/v1/v1/models"] {
        let reply = gateway
            .call(Method::POST, path)
            .json(&ask("m"))
            .send()
            .await;
        assert_eq!(
            reply.refusal(),
            "404 invalid_request_error unknown_url null"
        );
        let message = reply.error().message;
        assert!(message.contains("http://HOST:PORT/v1"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_method_is_a_405_that_says_which_are_right() {
    let (_sim, gateway) = gateway().await;
    for (method, path, allowed) in [
        (Method::GET, "/v1/chat/completions", "POST"),
        (Method::PUT, "/chat/completions", "POST"),
        (Method::DELETE, "/v1/models/m", "GET"),
        (Method::POST, "/v1/models", "GET"),
    ] {
        let reply = gateway.call(method, path).json("{}").send().await;
        assert_eq!(
            reply.refusal(),
            "405 invalid_request_error method_not_allowed null"
        );
        assert!(reply.header("allow").contains(allowed), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_too_large_announced_or_not() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("max_body: 4KiB")
        .model("m", &["a/x+out=1"])
        .start()
        .await;
    let sized = |length: usize| {
        let mut body = ask("m");
        body["messages"][0]["content"] = "".into();
        let rest = length - body.to_string().len();
        body["messages"][0]["content"] = "x".repeat(rest).into();
        body.to_string()
    };
    for (length, status) in [(4096, 200), (4097, 413), (1 << 20, 413)] {
        let call = gateway.post(&sized(length));
        let whole = call.clone().send().await;
        let chunked = call.chunked(1000).send().await;
        for reply in [whole, chunked] {
            assert_eq!(reply.status, status, "{length}");
            if status == 413 {
                let refusal = reply.refusal();
                assert_eq!(refusal, "413 invalid_request_error request_too_large null");
                assert!(reply.error().message.contains("4096"));
                no_advice(&reply);
            }
        }
    }
    assert_eq!(sim.account().requests, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_length_over_the_limit_is_refused_before_the_body_comes() {
    let (_sim, gateway) = gateway().await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: 99999999999\r\nexpect: 100-continue\r\n\r\n",
        gateway.client
    );
    let answer = raw(gateway.client, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_a_client_that_sends_everything_before_it_reads() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("max_body: 4KiB")
        .model("m", &["a/x+out=1"])
        .start()
        .await;
    let body = "x".repeat(20 << 20);
    let announced = format!("content-length: {}\r\n\r\n{body}", body.len());
    let chunked = format!(
        "transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}",
        body.len()
    );
    for (path, kind, rest, status) in [
        ("/v1/chat/completions", "application/json", &announced, 413),
        ("/v1/chat/completions", "application/json", &chunked, 413),
        ("/v1/chat/completions", "text/plain", &announced, 403),
        ("/v1/nothing", "application/json", &announced, 404),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\n");
        let answer = raw(gateway.client, (head + rest).as_bytes()).await;
        let line = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&line), "{status}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_long_for_everybody_is_context_length_exceeded() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model_with("short", "context: 100", &["a/x", "b/y"])
        .start()
        .await;
    let mut long = ask("short");
    long["messages"][0]["content"] = "many words ".repeat(200).into();
    let reply = gateway.post(&long).send().await;
    let expected = "400 invalid_request_error context_length_exceeded messages";
    assert_eq!(reply.refusal(), expected);
    let message = reply.error().message;
    assert!(
        message.contains("a/x") && message.contains("b/y") && message.contains("100"),
        "{message}"
    );
    // the output that is asked for needs room as well
    let mut wordy = ask("short");
    wordy["max_tokens"] = 5000.into();
    assert_eq!(gateway.post(&wordy).send().await.refusal(), expected);
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_capable_says_which_need_failed_for_whom() {
    let sim = simulator().await;
    let caps = "context: 100000, max_output: 50, caps: [streaming]";
    let gateway = Setup::new(&sim)
        .model_with("plain", caps, &["a/x", "b/y"])
        .model_with("still", "context: 100000, caps: [tools]", &["c/z"])
        .also("routes:\n  - { name: auto, candidates: [plain, still], objective: order }")
        .start()
        .await;
    let tool = json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
    let image = json!([{ "role": "user", "content": [
        { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
    ] }]);
    for (member, value, need) in [
        ("tools", tool.clone(), "lacks tools"),
        ("messages", image, "lacks vision"),
        (
            "response_format",
            json!({ "type": "json_schema", "json_schema": { "name": "s", "schema": {} } }),
            "lacks json_schema",
        ),
        ("logprobs", json!(true), "lacks logprobs"),
        ("n", json!(2), "lacks n"),
        ("reasoning_effort", json!("high"), "lacks reasoning"),
        ("max_tokens", json!(51), "writes at most 50 tokens"),
    ] {
        let mut body = ask("plain");
        body[member] = value;
        let reply = gateway.post(&body).send().await;
        let refusal = reply.refusal();
        assert_eq!(
            refusal, "400 invalid_request_error no_capable_backend null",
            "{member}"
        );
        let message = reply.error().message;
        for backend in ["a/x", "b/y"] {
            assert!(message.contains(&format!("{backend} {need}")), "{message}");
        }
        no_advice(&reply);
    }
    let mut body = stream("auto");
    body["tools"] = tool;
    let message = gateway.post(&body).send().await.error().message;
    for said in ["a/x lacks tools", "b/y lacks tools", "c/z lacks streaming"] {
        assert!(message.contains(said), "{message}");
    }
    assert_eq!(sim.account().requests, 0);
}
