//! What a careful backend would not accept is a 400 that names the parameter.

use serde_json::{Value, json};
use tollgate::simulate::Options;

use crate::client::{Answer, CHAT, Sim, hello};

fn send(sim: &Sim, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut connection = sim.connect();
    connection.send("POST", CHAT, headers, body);
    connection.answer()
}

/// A small chat with one member replaced.
fn with(name: &str, value: Value) -> Value {
    let mut body = hello("m");
    body[name] = value;
    body
}

/// Sends each body and expects the refusal to name its parameter.
fn all_refused(sim: &Sim, cases: &[(Value, &str)]) {
    for (body, param) in cases {
        let answer = sim.post(CHAT, body);
        let got = (answer.status, answer.param());
        assert_eq!(got, (400, (*param).to_owned()), "{body}: {}", answer.text());
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
}

#[test]
fn bad_members_are_refused_by_name() {
    let sim = Sim::start();
    let unnamed = json!([{ "type": "function", "function": { "name": "a b" } }]);
    let cases = [
        (with("model", Value::Null), "model"),
        (with("model", json!(4)), "model"),
        (with("model", json!("m+nonsense=1")), "model"),
        (with("messages", Value::Null), "messages"),
        (with("messages", json!([])), "messages"),
        (with("messages", json!("hi")), "messages"),
        (with("temperature", json!("hot")), "temperature"),
        (with("temperature", json!(2.5)), "temperature"),
        (with("n", json!(0)), "n"),
        (with("n", json!(1.5)), "n"),
        (with("stream", json!("yes")), "stream"),
        (with("stream_options", json!({})), "stream_options"),
        (with("max_tokens", json!(0)), "max_tokens"),
        (with("max_tokens", json!(-1)), "max_tokens"),
        (with("stop", json!(["a", "b", "c", "d", "e"])), "stop"),
        (with("top_logprobs", json!(3)), "top_logprobs"),
        (with("logit_bias", json!([])), "logit_bias"),
        (with("reasoning_effort", json!("x")), "reasoning_effort"),
        (with("tool_choice", json!("auto")), "tool_choice"),
        (with("tools", json!([])), "tools"),
        (
            with("tools", json!([{ "type": "custom" }])),
            "tools[0].type",
        ),
        (with("tools", unnamed), "tools[0].function.name"),
        (
            with("response_format", json!({ "type": "xml" })),
            "response_format.type",
        ),
        (
            with("response_format", json!({ "type": "json_schema" })),
            "response_format.json_schema",
        ),
        (with("tollgate", json!({})), "tollgate"),
        (with("tollgate", Value::Null), "tollgate"),
    ];
    all_refused(&sim, &cases);
    let account = sim.handle.account();
    assert_eq!(account.rejected, cases.len() as u64);
    let counts = account.model("m");
    assert_eq!(counts.failed["rejected"], counts.requests);
}

#[test]
fn bad_messages_are_refused_by_name() {
    let says = |message: Value| with("messages", json!([message]));
    let part = |part: Value| says(json!({ "role": "user", "content": [part] }));
    let content = "messages[0].content";
    let call = "messages[0].tool_call_id";
    let first = "messages[0].content[0]";
    let stray = json!({ "role": "tool", "content": "x", "tool_call_id": "t" });
    let flac = json!({ "data": "A", "format": "flac" });
    let cases = [
        (
            says(json!({ "role": "owner", "content": "x" })),
            "messages[0].role",
        ),
        (says(json!({ "role": "user" })), content),
        (says(json!({ "role": "user", "content": 4 })), "messages[0]"),
        (says(json!({ "content": "x" })), "messages[0]"),
        (
            says(json!({ "role": "assistant", "content": null })),
            content,
        ),
        (says(json!({ "role": "tool", "content": "x" })), call),
        (says(stray), call),
        (part(json!({ "type": "hologram" })), first),
        (part(json!({ "type": "text" })), first),
        (
            part(json!({ "type": "image_url", "image_url": { "url": "ftp://x" } })),
            first,
        ),
        (
            part(json!({ "type": "input_audio", "input_audio": flac })),
            first,
        ),
    ];
    all_refused(&Sim::start(), &cases);
}

#[test]
fn tool_calls_need_their_answers() {
    let sim = Sim::start();
    let call = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let assistant =
        json!({ "role": "assistant", "content": null, "tool_calls": [call("a"), call("b")] });
    let result = |id: &str| json!({ "role": "tool", "tool_call_id": id, "content": "x" });
    let user = json!({ "role": "user", "content": "x" });
    for (messages, param) in [
        (json!([user, assistant, result("a"), result("b")]), ""),
        (json!([user, assistant, result("b"), result("a"), user]), ""),
        (json!([user, assistant]), "messages"),
        (json!([user, assistant, result("a"), user]), "messages[3]"),
        (
            json!([user, assistant, result("a"), result("a")]),
            "messages[3].tool_call_id",
        ),
    ] {
        let answer = sim.post(CHAT, &json!({ "model": "m", "messages": messages }));
        assert_eq!(
            answer.status,
            if param.is_empty() { 200 } else { 400 },
            "{}",
            answer.text()
        );
        assert_eq!(answer.param(), param);
    }
}

#[test]
fn what_is_no_proper_json_object_is_refused() {
    let sim = Sim::start();
    let json = [("content-type", "application/json")];
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{\"model\":\"m\",}",
        "{\"model\":\"m\"} x",
    ] {
        let answer = send(&sim, &json, body);
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (400, Some("invalid_json")),
            "{body}"
        );
    }
    let messages = r#""messages":[{"role":"user","content":"x"}]"#;
    for (twice, param) in [
        (
            format!(r#"{{"model":"m","model":"m",{messages}}}"#),
            "model",
        ),
        (
            format!(r#"{{"model":"m","mod\u0065l":"n",{messages}}}"#),
            "model",
        ),
        (format!(r#"{{"x":1,"model":"m",{messages},"x":1}}"#), "x"),
    ] {
        let answer = send(&sim, &json, &twice);
        assert_eq!(
            (answer.status, answer.param().as_str()),
            (400, param),
            "{twice}"
        );
    }
    let both = format!(r#"{{"model":"m",{messages},"max_tokens":1,"max_completion_tokens":1}}"#);
    assert_eq!(send(&sim, &json, &both).param(), "max_tokens");
}

#[test]
fn leaked_and_foreign_headers_are_refused_by_name() {
    let sim = Sim::start();
    let body = hello("m").to_string();
    let json = ("content-type", "application/json");
    for leak in [
        ("x-tollgate-tags", "a=b"),
        ("cookie", "a=b"),
        ("proxy-authorization", "Basic x"),
        ("x-api-key", "k"),
        ("host", "api.openai.com"),
    ] {
        let answer = send(&sim, &[json, leak], &body);
        assert_eq!((answer.status, answer.param().as_str()), (400, leak.0));
    }
    assert_eq!(
        send(&sim, &[("content-type", "text/plain")], &body).param(),
        "content-type"
    );
    assert_eq!(send(&sim, &[], &body).param(), "content-type");
    assert_eq!(
        send(
            &sim,
            &[("content-type", "application/json; charset=utf-8")],
            &body
        )
        .status,
        200
    );
    let local = format!("localhost:{}", sim.handle.addr().port());
    assert_eq!(
        send(&sim, &[json, ("host", local.as_str())], &body).status,
        200
    );
    let twice = [
        json,
        ("authorization", "Bearer a"),
        ("authorization", "Bearer b"),
    ];
    assert_eq!(send(&sim, &twice, &body).param(), "authorization");
}

#[test]
fn keys_are_asked_for_where_there_are_any() {
    let sim = Sim::with(Options {
        keys: vec!["sk-sim".into()],
        ..Options::default()
    });
    let body = hello("m").to_string();
    let json = ("content-type", "application/json");
    let with = |value| send(&sim, &[json, ("authorization", value)], &body);
    assert_eq!(with("Bearer sk-sim").status, 200);
    for refused in [
        send(&sim, &[json], &body),
        with("Bearer sk-other"),
        with("sk-sim"),
        sim.get("/v1/models"),
    ] {
        assert_eq!(refused.status, 401);
        assert_eq!(refused.json()["error"]["code"], "invalid_api_key");
    }
    assert_eq!(sim.get("/health").status, 200);
}

#[test]
fn unknown_members_pass_unless_the_model_is_strict() {
    let sim = Sim::start();
    let mut body = hello("m");
    body["top_k"] = json!(4);
    assert_eq!(sim.post(CHAT, &body).status, 200);
    body["model"] = json!("m+strict");
    let answer = sim.post(CHAT, &body);
    assert_eq!((answer.status, answer.param().as_str()), (400, "top_k"));
}

#[test]
fn an_unknown_directive_is_answered_with_the_known_ones() {
    let sim = Sim::start();
    let answer = sim.chat("m+ttf=1");
    assert_eq!((answer.status, answer.param().as_str()), (400, "model"));
    let message = answer.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("`ttf`") && message.contains("ttft, gap"),
        "{message}"
    );
}

#[test]
fn paths_and_methods_are_strict() {
    let sim = Sim::start();
    for path in [
        "/v1/v1/chat/completions",
        "/chat/completions",
        "/v1/chat/completions/",
        "/p/x/sim/account",
    ] {
        let answer = sim.post(path, &hello("m"));
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (404, Some("unknown_url")),
            "{path}"
        );
    }
    let answer = sim.get(CHAT);
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(sim.post("/v1/models", &json!({})).status, 405);
}

#[test]
fn a_body_over_the_limit_is_too_large() {
    let sim = Sim::with(Options {
        max_body: 1000,
        ..Options::default()
    });
    let mut body = hello("m");
    body["messages"][0]["content"] = json!("x".repeat(2000));
    let answer = sim.post(CHAT, &body);
    assert_eq!(
        (answer.status, answer.json()["error"]["code"].as_str()),
        (413, Some("request_too_large"))
    );
    assert_eq!(sim.chat("m").status, 200);
}

#[test]
fn wrong_completions_and_embeddings_are_refused_by_name() {
    let sim = Sim::start();
    for (path, body, param) in [
        ("/v1/completions", json!({ "model": "m" }), "prompt"),
        (
            "/v1/completions",
            json!({ "model": "m", "prompt": [{}] }),
            "prompt",
        ),
        (
            "/v1/embeddings",
            json!({ "model": "m", "input": [] }),
            "input",
        ),
        (
            "/v1/embeddings",
            json!({ "model": "m", "input": vec!["x"; 2049] }),
            "input",
        ),
        (
            "/v1/embeddings",
            json!({ "model": "m", "input": "x", "encoding_format": "hex" }),
            "encoding_format",
        ),
        (
            "/v1/embeddings",
            json!({ "model": "m", "input": "x", "dimensions": 0 }),
            "dimensions",
        ),
    ] {
        let answer = sim.post(path, &body);
        assert_eq!(
            (answer.status, answer.param().as_str()),
            (400, param),
            "{body}: {}",
            answer.text()
        );
    }
}
