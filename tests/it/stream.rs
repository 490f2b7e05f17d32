//! Streams: every form of events, usage for who asks, and no byte later than it could be.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate::simulate::Handle;

use crate::support::{
    Scripted, Setup, Stream,
    gateway::{stream, stream_with_usage},
    pico, scripted,
    setup::price,
    simulator,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_the_headers_that_keep_proxies_from_holding_it() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=2"]).start().await;
    let stream = gateway.stream("m").await;
    for (name, value) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-accel-buffering", "no"),
        ("x-tollgate-model", "m"),
        ("x-tollgate-backend", "a/x+out=2"),
        ("x-tollgate-attempts", "1"),
        ("x-tollgate-decision", "only one capable"),
    ] {
        assert_eq!(stream.header(name), value, "{name}");
    }
    assert!(pico(stream.header("x-tollgate-estimated-cost-usd")) > 0);
    assert!(stream.header("openai-processing-ms").parse::<u64>().is_ok());
    assert!(stream.header("x-request-id").starts_with("req_"));
    for name in [
        "x-tollgate-cost-usd",
        "content-length",
        "x-tollgate-simulated",
    ] {
        assert_eq!(stream.header(name), "", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_events_come_out_whatever_the_form_of_the_stream() {
    let sim = simulator().await;
    let mut forms = vec![
        "sse=lf".to_owned(),
        "sse=crlf".into(),
        "sse=cr".into(),
        "nospace".into(),
        "comments=2".into(),
        "multiline".into(),
        "bom".into(),
        "nodone".into(),
    ];
    forms.extend((1..=7).map(|size| format!("split={size}")));
    for line_end in ["crlf", "cr"] {
        let all = "nospace+comments=1+multiline+bom";
        forms.extend([1, 3].map(|size| format!("sse={line_end}+{all}+split={size}")));
    }
    let mut setup = Setup::new(&sim).model("plain", &["a/x+out=6+prompt=9"]);
    for form in &forms {
        setup = setup.model(form, &[&format!("a/x+out=6+prompt=9+{form}")]);
    }
    let gateway = setup.start().await;
    for usage in [false, true] {
        let body = |model: &str| {
            if usage {
                stream_with_usage(model)
            } else {
                stream(model)
            }
        };
        let expected = values(gateway.post(&body("plain")).send().await.text());
        assert_eq!(expected.len(), if usage { 9 } else { 8 }, "{expected:?}");
        for form in &forms {
            let reply = gateway.post(&body(form)).send().await;
            assert_eq!(values(reply.text()), expected, "{form}: {}", reply.text());
            assert_eq!(reply.text().matches("[DONE]").count(), 1, "{form}");
        }
    }
}

/// The JSON of every event of a whole text.
fn values(text: &str) -> Vec<Value> {
    let events = crate::support::sse::Reader::default().push(text.as_bytes());
    let data = events.iter().filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {data}")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_need_no_change_leave_as_the_very_bytes_that_came() {
    let body = concat!(
        ": a comment of theirs\n\n",
        "id: 7\nevent: message\nretry: 100\ndata: {\"choices\" : [{\"index\":0,\"delta\":{\"content\":\"\\u00e9\"},\"x\":1.10}],\"big\":123456789012345678901234567890}\n\n",
        "data:{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\",\"zz\":1e-400}], \"a\" : [ ]}\r\n\r\n",
        "data: [DONE]\n\n",
    );
    let upstream = Scripted::saying(scripted::events(body)).await;
    let gateway = upstream.gateway().await;
    assert_eq!(gateway.stream("m").await.text, body);
}

/// A stream whose events come in one write, each as a chunk of the transfer.
fn at_once(events: &[String]) -> String {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked";
    let chunks = events.iter().map(|e| format!("{:x}\r\n{e}\r\n", e.len()));
    format!("{head}\r\n\r\n{}0\r\n\r\n", chunks.collect::<String>())
}

/// So many events with such a text, and the end of a stream.
fn events_of(number: usize, text: &str) -> Vec<String> {
    let event = |delta: &str, reason: &str| {
        let choice = format!(r#"{{"index":0,"delta":{{{delta}}},"finish_reason":{reason}}}"#);
        format!("data: {{\"choices\":[{choice}]}}\n\n")
    };
    let content = format!("\"content\":\"{text}\"");
    let mut events = vec![event(&content, "null"); number];
    events.push(event("", "\"stop\""));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_there_at_the_same_time_leave_in_one_piece() {
    let events = events_of(20, "word");
    let upstream = Scripted::saying(at_once(&events)).await;
    let gateway = upstream.gateway().await;
    let mut answer = gateway.post(&stream("m")).open().await;
    let first = answer.frame().await.unwrap().unwrap();
    assert_eq!(first, events.concat());
    assert_eq!(answer.frame().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_stay_small_however_much_is_there() {
    let events = events_of(2_000, &"x".repeat(1_000));
    let upstream = Scripted::saying(at_once(&events)).await;
    let gateway = upstream.gateway().await;
    let mut answer = gateway.post(&stream("m")).open().await;
    let mut whole = Vec::new();
    while let Some(piece) = answer.frame().await {
        let piece = piece.unwrap();
        assert!(piece.len() < 18 * 1024, "{}", piece.len());
        whole.extend_from_slice(&piece);
    }
    assert_eq!(whole, events.concat().as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_marker_that_clients_would_not_know_is_written_as_they_do() {
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    for marker in [
        "data:\ndata: [DONE]\n\n",
        "data:  [DONE]\n\n",
        "data: [DONE] \r\n\r\n",
    ] {
        let upstream = Scripted::saying(scripted::events(&format!("{event}{marker}"))).await;
        let gateway = upstream.gateway().await;
        let stream = gateway.stream("m").await;
        assert_eq!(
            stream.text,
            format!("{event}data: [DONE]\n\n"),
            "{marker:?}"
        );
    }
}

/// What the gateway asked the simulator for last.
fn asked(sim: &Handle) -> Value {
    let received = sim.requests(1).remove(0);
    serde_json::from_slice(received.body.as_ref().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_always_asked_for_upstream_and_other_options_stay() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=1"]).start().await;
    for (options, expected) in [
        (None, json!({ "include_usage": true })),
        (Some(Value::Null), json!({ "include_usage": true })),
        (Some(json!({})), json!({ "include_usage": true })),
        (
            Some(json!({ "include_usage": false })),
            json!({ "include_usage": true }),
        ),
        (
            Some(json!({ "include_usage": null })),
            json!({ "include_usage": true }),
        ),
        (
            Some(json!({ "include_obfuscation": false })),
            json!({ "include_obfuscation": false, "include_usage": true }),
        ),
        (
            Some(json!({ "include_usage": true })),
            json!({ "include_usage": true }),
        ),
    ] {
        let mut body = stream("m");
        if let Some(options) = &options {
            body["stream_options"] = options.clone();
        }
        assert_eq!(gateway.post(&body).send().await.status, 200, "{body}");
        assert_eq!(asked(&sim)["stream_options"], expected, "{options:?}");
    }
    gateway.ask("m").await;
    assert_eq!(
        asked(&sim).get("stream_options"),
        None,
        "a whole answer has none"
    );
}

const STYLES: [&str; 10] = [
    "openai",
    "deepseek",
    "last",
    "continuous",
    "bare",
    "xai",
    "none",
    "null",
    "zero",
    "bad",
];

#[tokio::test(flavor = "multi_thread")]
async fn usage_is_hidden_from_who_did_not_ask_in_every_habit_of_reporting() {
    let sim = simulator().await;
    let mut setup = Setup::new(&sim);
    for style in STYLES {
        setup = setup.model(style, &[&format!("a/x+usage={style}+out=3+prompt=7")]);
    }
    let gateway = setup.start().await;
    for style in STYLES {
        let stream = gateway.stream(style).await;
        assert!(stream.is_done() && stream.ended, "{style}: {}", stream.text);
        assert!(!stream.text.contains("usage"), "{style}: {}", stream.text);
        for chunk in stream.chunks() {
            let choices = chunk["choices"].as_array().expect("choices");
            assert_eq!(choices.len(), 1, "{style}: {chunk}");
        }
        assert_eq!(
            stream.chunks().len(),
            5,
            "{style}: the role, three tokens, the end"
        );
    }
    let metrics = gateway.metrics().await;
    let reported = ["openai", "deepseek", "last", "continuous", "bare", "xai"];
    for style in reported {
        let backend = format!("a/x+usage={style}+out=3+prompt=7");
        let count = |kind| metrics.count("tokens_total", &[("backend", &backend), ("type", kind)]);
        assert_eq!((count("input"), count("output")), (7, 3), "{style}");
    }
    for style in ["none", "null"] {
        let backend = format!("a/x+usage={style}+out=3+prompt=7");
        let estimated = metrics.count("estimated_usage_total", &[("backend", &backend)]);
        assert_eq!(estimated, 1, "{style}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_reaches_who_asked_with_its_exact_cost() {
    let sim = simulator().await;
    let reporting = ["openai", "deepseek", "last", "continuous", "bare", "xai"];
    let mut setup = Setup::new(&sim);
    for style in reporting {
        let backend = format!("a/x+usage={style}+out=13+prompt=2001+cached=11+reasoning=8");
        setup = setup.model(style, &[&backend]);
    }
    let gateway = setup.start().await;
    for style in reporting {
        let stream = gateway.stream_with_usage(style).await;
        assert!(stream.is_done(), "{style}");
        let usages = stream.usages();
        let last = usages.last().expect("usage");
        let cost = last["cost_usd"].as_str().expect("a decimal string");
        assert_eq!(pico(cost), price(0, 2001, 13 + 8), "{style}: {last}");
        assert_eq!(last["prompt_tokens"], 2001, "{style}");
        for chunk in stream.chunks() {
            assert!(chunk["choices"].is_array(), "{style}: {chunk}");
        }
        if style != "continuous" {
            assert_eq!(usages.len(), 1, "{style}: {usages:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_is_never_a_float() {
    let sim = simulator().await;
    let yaml = format!(
        "providers:\n  a: {{ base_url: '{}' }}\nmodels:\n  - {{ name: m, backends: [{{ provider: \
         a, model: 'x+prompt=3+out=1', price: {{ input: '0.000001', output: '0.1' }} }}] }}\n",
        sim.base_url("a")
    );
    let gateway = crate::support::Gateway::start(&yaml).await;
    let stream = gateway.stream_with_usage("m").await;
    assert_eq!(stream.usages()[0]["cost_usd"], "0.000000100003");
    let reply = gateway.ask("m").await;
    assert_eq!(reply.header("x-tollgate-cost-usd"), "0.000000100003");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_keeps_its_unknown_members_byte_for_byte() {
    let usage = r#"{"prompt_tokens":5,"x" : 1.10,"completion_tokens":2,"zz":[1e-400]"#;
    let body = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"a\"}},\"finish_reason\":\"stop\"}}]}}\n\n\
         data: {{\"id\":\"7\",\"choices\":[], \"usage\":{usage}}},\"z\":2.50}}\n\ndata: [DONE]\n\n"
    );
    let upstream = Scripted::saying(scripted::events(&body)).await;
    let gateway = upstream.gateway().await;
    let stream = gateway.stream_with_usage("m").await;
    let expected = body.replace(usage, &format!("{usage},\"cost_usd\":\"0.000009\""));
    assert_eq!(stream.text, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_leave_when_they_come() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=6+gap=100ms"])
        .start()
        .await;
    let started = Instant::now();
    let stream = gateway.stream("m").await;
    let times: Vec<Duration> = stream.events.iter().map(|(_, at)| *at - started).collect();
    let (first, last) = (times[1], times[times.len() - 1]);
    assert!(first < Duration::from_millis(400), "{times:?}");
    assert!(last - first >= Duration::from_millis(450), "{times:?}");
    // six tokens, five gaps: no two of them came together
    let gaps = times
        .windows(2)
        .filter(|pair| pair[1] - pair[0] > Duration::from_millis(30));
    assert!(gaps.count() >= 4, "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_stream_waits_for_its_first_event_but_not_longer() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=2+ttft=200ms+gap=3s"])
        .start()
        .await;
    let started = Instant::now();
    let open = gateway.post(&stream("m")).open().await;
    let waited = started.elapsed();
    assert_eq!(open.status, 200);
    let bounds = Duration::from_millis(150)..Duration::from_secs(2);
    assert!(bounds.contains(&waited), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_backend_is_covered_by_comments_before_the_first_event_and_after_it() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("sse_keep_alive: 100ms")
        .model("m", &["a/x+out=2+ttft=550ms+gap=550ms"])
        .start()
        .await;
    let started = Instant::now();
    let open = gateway.post(&stream("m")).open().await;
    assert!(
        started.elapsed() < Duration::from_millis(500),
        "the head came late"
    );
    assert_eq!(open.header("x-accel-buffering"), "no");
    let stream = Stream::read(open).await;
    assert!(stream.is_done(), "{}", stream.text);
    let (before, after) = stream.text.split_once("\"content\"").unwrap();
    for part in [before, after] {
        let comments = part.matches(": keep-alive\n\n").count();
        assert!((2..=6).contains(&comments), "{}", stream.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_comment_is_made_up_where_the_backend_talks_or_comments_are_off() {
    let sim = simulator().await;
    let talking = Setup::new(&sim)
        .server("sse_keep_alive: 300ms")
        .model("m", &["a/x+out=8+gap=60ms"])
        .start()
        .await;
    let off = Setup::new(&sim)
        .server("sse_keep_alive: 0")
        .model("m", &["a/x+out=2+ttft=300ms+gap=300ms"])
        .start()
        .await;
    for gateway in [talking, off] {
        let stream = gateway.stream("m").await;
        assert_eq!(stream.comments, [""; 0], "{}", stream.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_of_the_backend_pass() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=2+comments=1"])
        .start()
        .await;
    let stream = gateway.stream_with_usage("m").await;
    assert!(
        stream
            .comments
            .iter()
            .filter(|text| *text == "simulated")
            .count()
            >= 4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_backend_still_serves_after_an_early_comment() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("sse_keep_alive: 100ms")
        .server("first_byte_timeout: 500ms")
        .model("m", &["a/x+fault=hang", "b/spare+out=2"])
        .start()
        .await;
    let stream = gateway.stream("m").await;
    assert!(stream.is_done(), "{}", stream.text);
    assert_eq!(stream.status, 200);
    assert!(stream.comments.contains(&"keep-alive".to_owned()));
    // the head had named another one
    assert_eq!(stream.header("x-tollgate-backend"), "a/x+fault=hang");
    let says = "x-tollgate-backend: b/spare+out=2".to_owned();
    assert!(stream.comments.contains(&says), "{:?}", stream.comments);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_an_early_comment_is_an_event_and_closes_the_connection() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("sse_keep_alive: 100ms")
        .server("first_byte_timeout: 500ms")
        .model("m", &["a/x+fault=hang"])
        .model("refused", &["a/x+head=200ms+fault=status+body=invalid"])
        .start()
        .await;
    for (model, code, outcome) in [
        ("m", "upstream_timeout", "timeout"),
        ("refused", "invalid_value", "client_error"),
    ] {
        let mut stream = gateway.stream(model).await;
        assert_eq!(stream.status, 200);
        assert!(!stream.comments.is_empty());
        assert_eq!(
            stream.error().code.as_deref(),
            Some(code),
            "{}",
            stream.text
        );
        stream.line.closed().await;
        let metrics = gateway.metrics().await;
        assert_eq!(metrics.count("requests_total", &[("outcome", outcome)]), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_choices_and_tool_calls_pass_and_are_complete() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=4"])
        .model("nodone", &["a/x+out=4+nodone"])
        .start()
        .await;
    for model in ["m", "nodone"] {
        let mut body = stream_with_usage(model);
        body["n"] = 3.into();
        let choices = Stream::read(gateway.post(&body).open().await).await;
        assert!(choices.is_done(), "{}", choices.text);
        let finished = choices.text.matches("\"finish_reason\":\"stop\"").count();
        assert_eq!(finished, 3);
        let mut body = stream(model);
        body["tools"] = json!([{ "type": "function", "function": {
            "name": "look", "parameters": { "type": "object", "properties": { "at": { "type": "string" } } },
        } }]);
        body["tool_choice"] = "required".into();
        let call = Stream::read(gateway.post(&body).open().await).await;
        assert!(call.is_done(), "{}", call.text);
        assert!(
            call.text.contains("\"finish_reason\":\"tool_calls\""),
            "{}",
            call.text
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connection_of_a_complete_stream_can_be_used_again() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=2"]).start().await;
    let stream = gateway.stream("m").await;
    assert!(stream.ended && stream.line.is_open());
    gateway.stream("m").await;
    assert_eq!(
        sim.account().connections_opened,
        1,
        "and so can the one to the backend"
    );
}
