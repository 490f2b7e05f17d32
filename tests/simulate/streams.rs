//! Event streams: their order, their usage, their form and their timing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{CHAT, End, Sim, hello, streamed};

#[test]
fn a_stream_has_role_content_finish_usage_and_done() {
    let sim = Sim::start();
    let answer = sim.stream("m+out=3");
    assert_eq!(answer.end, End::Whole);
    assert_eq!(
        answer.header("content-type"),
        Some("text/event-stream; charset=utf-8")
    );
    assert_eq!(answer.data().last().map(String::as_str), Some("[DONE]"));
    let events = answer.events();
    assert_eq!(events.len(), 6);
    assert_eq!(
        events[0]["choices"][0]["delta"],
        json!({ "role": "assistant", "content": "" })
    );
    assert_eq!(events[0]["object"], "chat.completion.chunk");
    assert_eq!(events[4]["choices"][0]["delta"], json!({}));
    assert_eq!(events[4]["choices"][0]["finish_reason"], "stop");
    assert!(
        events[..5]
            .iter()
            .all(|event| event["usage"].is_null() && event.get("usage").is_some())
    );
    assert_eq!(events[5]["choices"], json!([]));
    assert_eq!(events[5]["usage"]["completion_tokens"], 3);
    assert_eq!(answer.content(0), sim.chat("m+out=3").content(0));
    assert_eq!(events[5]["usage"], sim.chat("m+out=3").json()["usage"]);
}

#[test]
fn usage_stays_away_unless_it_is_asked_for() {
    let sim = Sim::start();
    let mut body = hello("m+out=3");
    body["stream"] = json!(true);
    let events = sim.post(CHAT, &body).events();
    assert_eq!(events.len(), 5);
    assert!(events.iter().all(|event| event.get("usage").is_none()));
}

#[test]
fn usage_styles_are_other_providers_habits() {
    let sim = Sim::start();
    let events = |style: &str, body: fn(&str) -> Value| -> Vec<Value> {
        sim.post(CHAT, &body(&format!("m+out=4+usage={style}")))
            .events()
    };
    let unasked: fn(&str) -> Value = |model| {
        let mut body = hello(model);
        body["stream"] = json!(true);
        body
    };
    let with_usage = |events: &[Value]| -> Vec<usize> {
        let given = events
            .iter()
            .enumerate()
            .filter(|(_, event)| event["usage"].is_object());
        given.map(|(at, _)| at).collect()
    };
    // role, four contents, finish: the finish is number 5
    for style in ["last", "deepseek"] {
        for body in [unasked, streamed] {
            let events = events(style, body);
            assert_eq!((with_usage(&events), events.len()), (vec![5], 6), "{style}");
            assert_eq!(events[5]["choices"][0]["finish_reason"], "stop");
        }
    }
    assert!(events("deepseek", unasked)[5]["usage"]["prompt_cache_hit_tokens"].is_u64());
    for style in ["none", "null"] {
        assert_eq!(with_usage(&events(style, streamed)), Vec::<usize>::new());
    }
    let bare = events("bare", streamed);
    assert_eq!(bare[6].as_object().unwrap().len(), 1, "{}", bare[6]);
    let continuous = events("continuous", unasked);
    assert_eq!(with_usage(&continuous), [0, 1, 2, 3, 4, 5]);
    let counts: Vec<u64> = continuous
        .iter()
        .map(|e| e["usage"]["completion_tokens"].as_u64().unwrap())
        .collect();
    assert_eq!(counts, [0, 1, 2, 3, 4, 4]);
}

#[test]
fn chunks_and_chunk_decide_how_content_is_cut() {
    let sim = Sim::start();
    let contents = |model: &str| -> Vec<u64> {
        let events = sim.stream(model).events();
        let texts = events
            .iter()
            .filter_map(|e| e["choices"][0]["delta"]["content"].as_str());
        texts
            .filter(|text| !text.is_empty())
            .map(|text| text.len().div_ceil(4) as u64)
            .collect()
    };
    assert_eq!(contents("m+out=4"), [1, 1, 1, 1]);
    assert_eq!(contents("m+out=7+chunk=3"), [3, 3, 1]);
    assert_eq!(contents("m+out=10+chunks=4"), [2, 3, 2, 3]);
    assert_eq!(contents("m+chunks=2+chunk=5"), [5, 5]);
    assert_eq!(contents("m+out=0"), Vec::<u64>::new());
}

#[test]
fn streamed_tool_calls_and_reasoning_add_up_to_the_whole_ones() {
    let sim = Sim::start();
    let tools = json!([{ "type": "function", "function": { "name": "f", "parameters": {
        "type": "object", "required": ["x"], "properties": { "x": { "type": "string" } } } } }]);
    let mut body = hello("m+calls=2+reasoning=3");
    body["tools"] = tools;
    let whole = sim.post(CHAT, &body).json();
    body["stream"] = json!(true);
    let events = sim.post(CHAT, &body).events();
    let mut reasoning = String::new();
    let mut calls = vec![json!({}), json!({})];
    for event in &events {
        let delta = &event["choices"][0]["delta"];
        reasoning += delta["reasoning_content"].as_str().unwrap_or("");
        for part in delta["tool_calls"].as_array().into_iter().flatten() {
            let call = &mut calls[usize::try_from(part["index"].as_u64().unwrap()).unwrap()];
            if part["id"].is_string() {
                call["id"] = part["id"].clone();
                call["type"] = part["type"].clone();
                call["function"]["name"] = part["function"]["name"].clone();
            }
            let before = call["function"]["arguments"]
                .as_str()
                .unwrap_or("")
                .to_owned();
            let more = part["function"]["arguments"].as_str().unwrap();
            call["function"]["arguments"] = json!(before + more);
        }
    }
    let message = &whole["choices"][0]["message"];
    assert_eq!(json!(calls), message["tool_calls"]);
    assert_eq!(json!(reasoning), message["reasoning_content"]);
    let finishes: Vec<&Value> = events
        .iter()
        .map(|e| &e["choices"][0]["finish_reason"])
        .collect();
    assert_eq!(
        finishes
            .iter()
            .filter(|finish| **finish == "tool_calls")
            .count(),
        1
    );
}

#[test]
fn choices_are_interleaved() {
    let sim = Sim::start();
    let mut body = streamed("m+out=2");
    body["n"] = json!(2);
    let answer = sim.post(CHAT, &body);
    let order: Vec<Value> = answer
        .events()
        .iter()
        .map(|event| event["choices"][0]["index"].clone())
        .collect();
    assert_eq!(json!(order), json!([0, 1, 0, 1, 0, 1, 0, 1, null]));
    let whole = {
        let mut body = hello("m+out=2");
        body["n"] = json!(2);
        sim.post(CHAT, &body)
    };
    assert_eq!(answer.content(1), whole.content(1));
}

#[test]
fn completions_stream_text() {
    let sim = Sim::start();
    let body = json!({ "model": "m+out=3", "prompt": "x", "stream": true });
    let events = sim.post("/v1/completions", &body).events();
    assert!(
        events
            .iter()
            .all(|event| event["object"] == "text_completion")
    );
    let text: String = events
        .iter()
        .filter_map(|e| e["choices"][0]["text"].as_str())
        .collect();
    assert_eq!(text.len(), 11);
    assert_eq!(
        events.last().unwrap()["choices"][0]["finish_reason"],
        "stop"
    );
}

#[test]
fn every_form_of_a_stream_means_the_same() {
    let sim = Sim::start();
    let want = sim.stream("m+out=5").data();
    for (form, has) in [
        ("sse=crlf", "\r\n\r\n"),
        ("sse=cr", "}\r\rdata"),
        ("nospace", "data:{"),
        ("bom", "\u{feff}data"),
        ("comments=2", ": simulated\n: simulated\ndata"),
        ("split=1", "data: {"),
        ("split=3+sse=crlf", "\r\n\r\n"),
    ] {
        let answer = sim.stream(&format!("m+out=5+{form}"));
        assert_eq!(answer.data(), want, "{form}");
        assert!(answer.text().contains(has), "{form}: {}", answer.text());
    }
    assert!(!sim.stream("m+out=5+sse=cr").text().contains('\n'));
    assert!(
        sim.stream("m+out=5+comments=1")
            .text()
            .starts_with(": simulated")
    );
    let multiline = sim.stream("m+out=5+multiline");
    assert!(multiline.data()[0].contains('\n'));
    assert_eq!(multiline.events(), sim.stream("m+out=5").events());
}

#[test]
fn ends_can_be_left_out() {
    let sim = Sim::start();
    let nodone = sim.stream("m+out=2+nodone");
    assert_eq!(nodone.end, End::Whole);
    assert!(!nodone.text().contains("[DONE]"));
    let nofinish = sim.stream("m+out=2+nofinish");
    assert!(nofinish.text().contains("[DONE]"));
    let finishes = |event: &Value| event["choices"][0]["finish_reason"].is_string();
    assert!(!nofinish.events().iter().any(finishes));
}

#[test]
fn split_writes_arrive_in_small_reads() {
    let sim = Sim::start();
    let whole = sim.chat("m+out=40");
    let split = sim.chat("m+out=40+split=16");
    assert_eq!(whole.body, split.body);
    // a busy machine may join some of the 50 and more writes, but not most
    assert!(split.reads.len() > 10, "{:?}", split.reads);
}

#[test]
fn delays_are_at_least_what_was_asked_for() {
    let sim = Sim::start();
    let timed = |model: &str, body: fn(&str) -> Value| -> Duration {
        let start = Instant::now();
        assert_eq!(sim.post(CHAT, &body(model)).status, 200);
        start.elapsed()
    };
    for body in [hello, streamed] {
        assert!(timed("m+out=4+head=30ms", body) >= Duration::from_millis(30));
        assert!(timed("m+out=4+ttft=30ms", body) >= Duration::from_millis(30));
        assert!(timed("m+out=4+gap=20ms", body) >= Duration::from_millis(60));
        assert!(timed("m+out=4+chunks=2+gap=20ms", body) >= Duration::from_millis(20));
    }
}

#[test]
fn silence_before_the_first_event_can_be_filled_with_comments() {
    let sim = Sim::start();
    let answer = sim.stream("m+out=1+ttft=50ms+keepalive=10ms");
    assert_eq!(
        answer.text().matches(": keep-alive\n").count(),
        4,
        "{}",
        answer.text()
    );
    assert!(answer.text().starts_with(": keep-alive"));
    let answer = sim.chat("m+out=1+ttft=50ms+keepalive=10ms");
    assert!(answer.text().starts_with("\n\n\n\n{"), "{}", answer.text());
    assert_eq!(answer.json()["usage"]["completion_tokens"], 1);
}
