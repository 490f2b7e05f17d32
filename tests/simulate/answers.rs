//! Whole answers: what they hold, what they count, and that they are a function of the request.

use serde_json::{Value, json};
use tollgate::simulate::Options;

use crate::client::{CHAT, End, Sim, hello};

fn weather() -> Value {
    json!([
        { "type": "function", "function": { "name": "weather", "parameters": {
            "type": "object", "required": ["city", "days"],
            "properties": { "city": { "type": "string" }, "days": { "type": "integer", "minimum": 1 } } } } },
        { "type": "function", "function": { "name": "time" } }
    ])
}

#[test]
fn every_answer_says_that_it_is_simulated() {
    let sim = Sim::start();
    for answer in [
        sim.chat("m"),
        sim.stream("m"),
        sim.get("/v1/models"),
        sim.get("/nowhere"),
        sim.chat("m+fault=status:500"),
    ] {
        assert_eq!(
            answer.header("x-tollgate-simulated"),
            Some("true"),
            "{answer:?}"
        );
    }
    assert_eq!(
        sim.chat("Qwen/Qwen3+out=1").json()["model"],
        "sim-Qwen/Qwen3"
    );
    let events = sim.stream("m+out=2").events();
    assert!(events.iter().all(|event| event["model"] == "sim-m"));
}

#[test]
fn answers_are_a_function_of_the_request_alone() {
    let (one, other) = (Sim::start(), Sim::start());
    for body in [
        hello("m"),
        json!({ "model": "think", "n": 2, "messages": hello("m")["messages"] }),
    ] {
        let first = one.post(CHAT, &body);
        assert_eq!(first.body, one.post(CHAT, &body).body);
        assert_eq!(first.body, other.post(CHAT, &body).body);
    }
    let text = one.chat("m+out=20").content(0);
    assert_eq!(text, one.stream("m+out=20+split=7+sse=crlf").content(0));
    assert_ne!(text, one.chat("n+out=20").content(0));
    let mut asked = hello("m+out=20");
    asked["messages"][0]["content"] = json!("hello again");
    assert_ne!(text, one.post(CHAT, &asked).content(0));
}

#[test]
fn usage_follows_the_documented_rule() {
    let sim = Sim::start();
    let body = json!({
        "model": "m+out=12+cached=5",
        "messages": [
            { "role": "system", "content": "12345678" },
            { "role": "user", "content": [
                { "type": "text", "text": "123" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
                { "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } },
                { "type": "file", "file": { "file_id": "f" } } ] }
        ]
    });
    let usage = sim.post(CHAT, &body).json()["usage"].clone();
    // 3, twice 4, 2 + 1 for the texts, 85 + 50 + 200 for the parts
    assert_eq!(usage["prompt_tokens"], 349);
    assert_eq!(usage["completion_tokens"], 12);
    assert_eq!(usage["total_tokens"], 361);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 5);
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 0);
    let usage = sim.chat("m+prompt=1000+cached=2000").json()["usage"].clone();
    assert_eq!(usage["prompt_tokens"], 1000);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 1000);
}

#[test]
fn a_token_limit_cuts_the_answer_and_says_length() {
    let sim = Sim::start();
    for limit in ["max_tokens", "max_completion_tokens"] {
        let mut body = hello("m+out=10");
        body[limit] = json!(4);
        let answer = sim.post(CHAT, &body);
        assert_eq!(answer.json()["choices"][0]["finish_reason"], "length");
        assert_eq!(answer.json()["usage"]["completion_tokens"], 4);
        // four words of three letters
        assert_eq!(answer.content(0).len(), 15);
        body[limit] = json!(10);
        assert_eq!(
            sim.post(CHAT, &body).json()["choices"][0]["finish_reason"],
            "stop"
        );
    }
    let mut body = hello("m+out=10+reasoning=6");
    body["max_tokens"] = json!(6);
    let answer = sim.post(CHAT, &body).json();
    assert_eq!(answer["choices"][0]["message"]["content"], "");
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(
        answer["usage"]["completion_tokens_details"]["reasoning_tokens"],
        6
    );
}

#[test]
fn reasoning_comes_by_directive_effort_or_name() {
    let sim = Sim::start();
    let reasoning = |answer: Value| -> (u64, bool) {
        let usage = &answer["usage"]["completion_tokens_details"]["reasoning_tokens"];
        let text = &answer["choices"][0]["message"]["reasoning_content"];
        (usage.as_u64().unwrap(), text.is_string())
    };
    assert_eq!(reasoning(sim.chat("m").json()), (0, false));
    assert_eq!(reasoning(sim.chat("m+reasoning=9").json()), (9, true));
    assert_eq!(reasoning(sim.chat("deepseek-r1").json()), (64, true));
    assert_eq!(
        reasoning(sim.chat("deepseek-r1+reasoning=0").json()),
        (0, false)
    );
    let mut body = hello("m+out=5");
    body["reasoning_effort"] = json!("low");
    let answer = sim.post(CHAT, &body).json();
    assert_eq!(answer["usage"]["completion_tokens"], 21);
    assert_eq!(reasoning(answer), (16, true));
}

#[test]
fn tools_are_called_with_arguments_that_satisfy_their_schema() {
    let sim = Sim::start();
    let mut body = hello("m+calls=2");
    body["tools"] = weather();
    let answer = sim.post(CHAT, &body).json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], Value::Null);
    let calls = choice["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2);
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    for call in calls {
        assert_eq!(call["function"]["name"], "weather");
        let arguments = call["function"]["arguments"].as_str().unwrap();
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        assert!(jsonschema::is_valid(
            &weather()[0]["function"]["parameters"],
            &arguments
        ));
    }

    body["tool_choice"] = json!({ "type": "function", "function": { "name": "time" } });
    let named = sim.post(CHAT, &body).json();
    let call = &named["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(
        call["function"],
        json!({ "name": "time", "arguments": "{}" })
    );

    body["tool_choice"] = json!("none");
    assert_eq!(
        sim.post(CHAT, &body).json()["choices"][0]["finish_reason"],
        "stop"
    );
}

#[test]
fn a_tool_result_is_followed_by_text_so_that_loops_end() {
    let sim = Sim::start();
    let mut body = hello("m");
    body["tools"] = weather();
    let call = sim.post(CHAT, &body).json()["choices"][0]["message"].clone();
    let id = call["tool_calls"][0]["id"].clone();
    let messages = body["messages"].as_array_mut().unwrap();
    messages.push(call);
    messages.push(json!({ "role": "tool", "tool_call_id": id, "content": "sunny" }));
    let answer = sim.post(CHAT, &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "stop");
}

#[test]
fn a_json_schema_is_satisfied() {
    let sim = Sim::start();
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "required": ["name", "kind", "scores", "ok", "inner", "maybe"],
        "properties": {
            "name": { "type": "string" },
            "kind": { "enum": ["a", "b"] },
            "scores": { "type": "array", "items": { "type": "number" }, "minItems": 2 },
            "ok": { "type": "boolean" },
            "inner": { "$ref": "#/$defs/inner" },
            "maybe": { "type": ["integer", "null"] }
        },
        "$defs": { "inner": { "type": "object", "required": ["deep"],
            "properties": { "deep": { "$ref": "#/$defs/leaf" } } },
            "leaf": { "type": "string", "maxLength": 5 } }
    });
    let mut body = hello("m");
    body["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "s", "strict": true, "schema": schema } });
    let document: Value = serde_json::from_str(&sim.post(CHAT, &body).content(0)).unwrap();
    assert!(jsonschema::is_valid(&schema, &document), "{document}");

    body["stream"] = json!(true);
    let streamed: Value = serde_json::from_str(&sim.post(CHAT, &body).content(0)).unwrap();
    assert_eq!(streamed, document);

    body["response_format"] = json!({ "type": "json_object" });
    assert!(
        serde_json::from_str::<Value>(&sim.post(CHAT, &body).content(0))
            .unwrap()
            .is_object()
    );
}

#[test]
fn choices_and_log_probabilities_come_when_asked_for() {
    let sim = Sim::start();
    let mut body = hello("m+out=5");
    body["n"] = json!(3);
    body["logprobs"] = json!(true);
    body["top_logprobs"] = json!(2);
    let answer = sim.post(CHAT, &body);
    let choices = answer.json()["choices"].as_array().cloned().unwrap();
    assert_eq!(choices.len(), 3);
    assert_eq!(answer.json()["usage"]["completion_tokens"], 15);
    assert_ne!(answer.content(0), answer.content(1));
    let tokens = choices[2]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(tokens.len(), 5);
    assert_eq!(tokens[0]["top_logprobs"].as_array().unwrap().len(), 2);
    let text: String = tokens
        .iter()
        .filter_map(|token| token["token"].as_str())
        .collect();
    assert_eq!(text, answer.content(2));
}

#[test]
fn completions_and_embeddings_answer_in_their_shapes() {
    let sim = Sim::start();
    let answer = sim.post(
        "/v1/completions",
        &json!({ "model": "m", "prompt": ["a", "b"], "logprobs": 1 }),
    );
    let json = answer.json();
    assert_eq!(json["object"], "text_completion");
    assert_eq!(json["choices"].as_array().unwrap().len(), 2);
    assert_eq!(json["choices"][1]["finish_reason"], "length");
    assert_eq!(json["choices"][1]["text"].as_str().unwrap().len(), 63);
    assert_eq!(
        json["choices"][1]["logprobs"]["tokens"]
            .as_array()
            .unwrap()
            .len(),
        16
    );

    let mut ask = json!({ "model": "e", "input": ["one", "two two"], "dimensions": 4 });
    let floats = sim.post("/v1/embeddings", &ask).json();
    assert_eq!(floats["model"], "sim-e");
    assert_eq!(
        floats["usage"],
        json!({ "prompt_tokens": 3, "total_tokens": 3 })
    );
    assert_eq!(floats["data"][1]["embedding"].as_array().unwrap().len(), 4);
    ask["encoding_format"] = json!("base64");
    let base64 = sim.post("/v1/embeddings", &ask).json();
    // four little-endian floats are sixteen bytes
    assert_eq!(base64["data"][1]["embedding"].as_str().unwrap().len(), 24);
}

#[test]
fn usage_styles_change_whole_answers_too() {
    let sim = Sim::start();
    let usage = |style: &str| {
        sim.chat(&format!("m+out=9+reasoning=4+usage={style}"))
            .json()
    };
    assert!(usage("none").get("usage").is_none());
    assert_eq!(usage("null")["usage"], Value::Null);
    assert_eq!(usage("zero")["usage"]["total_tokens"], 0);
    let xai = usage("xai")["usage"].clone();
    assert_eq!(xai["completion_tokens"], 9);
    assert_eq!(
        xai["total_tokens"],
        xai["prompt_tokens"].as_u64().unwrap() + 13
    );
    let deepseek = usage("deepseek+cached=2")["usage"].clone();
    assert_eq!(deepseek["prompt_cache_hit_tokens"], 2);
    assert_eq!(
        deepseek["prompt_cache_miss_tokens"].as_u64().unwrap() + 2,
        deepseek["prompt_tokens"].as_u64().unwrap()
    );
    let bad = usage("bad")["usage"].clone();
    assert!(bad["total_tokens"].as_u64() < bad["prompt_tokens"].as_u64());
}

#[test]
fn models_and_health_are_served_under_every_prefix() {
    let sim = Sim::with(Options {
        models: vec!["a".into(), "b/c".into()],
        ..Options::default()
    });
    for prefix in ["", "/p/one", "/p/two"] {
        let models = sim.get(&format!("{prefix}/v1/models")).json();
        assert_eq!(models["data"][1]["id"], "b/c");
        assert_eq!(
            sim.get(&format!("{prefix}/v1/models/b/c")).json()["id"],
            "b/c"
        );
        assert_eq!(sim.get(&format!("{prefix}/health")).status, 200);
        assert_eq!(
            sim.post(&format!("{prefix}{CHAT}"), &hello("m")).status,
            200
        );
    }
}

#[test]
fn scripts_of_the_options_serve_clean_names() {
    let scripts = [
        ("one/m".to_owned(), "out=3".to_owned()),
        ("m".to_owned(), "out=5".to_owned()),
    ];
    let sim = Sim::with(Options {
        scripts: scripts.into(),
        ..Options::default()
    });
    let tokens = |path: &str, model: &str| {
        sim.post(path, &hello(model)).json()["usage"]["completion_tokens"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(tokens("/p/one/v1/chat/completions", "m"), 3);
    assert_eq!(tokens("/p/two/v1/chat/completions", "m"), 5);
    assert_eq!(tokens(CHAT, "m+out=7"), 7);
}

#[test]
fn a_body_of_many_megabytes_is_served() {
    let sim = Sim::start();
    let image = format!("data:image/png;base64,{}", "A".repeat(24 << 20));
    let mut body = hello("m+out=3");
    body["messages"][0]["content"] =
        json!([{ "type": "image_url", "image_url": { "url": image } }]);
    let answer = sim.post(CHAT, &body);
    assert_eq!(
        (answer.status, answer.end),
        (200, End::Whole),
        "{}",
        answer.text()
    );
    assert_eq!(answer.json()["usage"]["prompt_tokens"], 92);
    let kept = &sim.handle.requests(1)[0];
    assert!(kept.body.is_none() && kept.body_sha256.is_some());
}

#[test]
fn two_simulators_live_side_by_side() {
    let (one, other) = (Sim::start(), Sim::start());
    assert_ne!(one.handle.addr(), other.handle.addr());
    assert_eq!(one.chat("m").status, 200);
    assert_eq!(other.model("m").requests, 0);
    let Sim { handle, runtime } = one;
    let addr = handle.addr();
    runtime.block_on(handle.stop());
    assert!(std::net::TcpStream::connect(addr).is_err());
    assert_eq!(other.chat("m").status, 200);
}
