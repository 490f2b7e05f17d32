//! Each fault breaks what it says, in streams and in whole answers, and nothing else.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::simulate::Options;

use crate::client::{Answer, CHAT, End, Sim, hello, streamed};

/// Reads for a short while only: the answer is known to stop.
fn until_silence(sim: &Sim, body: &Value) -> Answer {
    let mut connection = sim.connect();
    connection
        .stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    connection.post(CHAT, &body.to_string())
}

#[test]
fn a_status_comes_with_its_body_and_headers() {
    let sim = Sim::start();
    let answer = sim.chat("m+fault=status:429+retry_after=2");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (429, Some("2"))
    );
    assert_eq!(answer.json()["error"]["code"], "rate_limit_exceeded");
    let answer = sim.chat("m+fault=status:503+retry_after=1500ms");
    assert_eq!(answer.header("retry-after"), Some("2"));
    assert_eq!(answer.header("retry-after-ms"), Some("1500"));
    for (body, status, says) in [
        ("money", 429, "insufficient_quota"),
        ("money_zhipu", 429, "1113"),
        ("money_minimax", 200, "1008"),
        ("context_vllm", 400, "maximum context length"),
        ("anthropic", 529, "overloaded_error"),
        ("array", 400, "INVALID_ARGUMENT"),
        ("string", 400, "\"error\":\"Argument"),
        ("html", 502, "nginx"),
    ] {
        let answer = sim.stream(&format!("m+fault=status+body={body}"));
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.text().contains(says), "{}", answer.text());
    }
    let answer = sim.chat("m+fault=status:402+body=money");
    assert_eq!(
        (answer.status, answer.json()["error"]["type"].as_str()),
        (402, Some("insufficient_quota"))
    );
    assert_eq!(sim.chat("m+fault=status+body=nobody").body, b"");
}

#[test]
fn a_connection_can_end_before_the_head() {
    let sim = Sim::start();
    for body in [hello, streamed] {
        let reset = sim.post(CHAT, &body("m+fault=reset"));
        assert_eq!((reset.status, reset.end), (0, End::Reset));
        let close = sim.post(CHAT, &body("m+fault=close"));
        assert_eq!((close.status, close.end), (0, End::Closed));
        let hang = until_silence(&sim, &body("m+fault=hang"));
        assert_eq!((hang.status, hang.end), (0, End::Silent));
        let head = until_silence(&sim, &body("m+fault=hang_head"));
        assert_eq!(
            (head.status, head.end, head.body.len()),
            (200, End::Silent, 0)
        );
    }
}

#[test]
fn a_stream_can_break_after_any_event() {
    let sim = Sim::start();
    for count in [0, 1, 3] {
        let cut = sim.stream(&format!("m+out=9+fault=cut:{count}"));
        assert_eq!(
            (cut.status, cut.end, cut.events().len()),
            (200, End::Reset, count)
        );
        let end = sim.stream(&format!("m+out=9+fault=end:{count}"));
        assert_eq!(
            (end.status, end.end, end.events().len()),
            (200, End::Whole, count)
        );
        assert!(!end.text().contains("[DONE]"));
        let stall = until_silence(&sim, &streamed(&format!("m+out=9+fault=stall:{count}")));
        assert_eq!(
            (stall.status, stall.end, stall.events().len()),
            (200, End::Silent, count)
        );
    }
    // role, one content, finish, usage: the break takes the place of [DONE]
    let last = sim.stream("m+out=1+fault=cut:4");
    assert_eq!(
        (last.end, last.events().len(), last.data().len()),
        (End::Reset, 4, 4)
    );
    // and beyond the last event nothing happens
    assert_eq!(sim.stream("m+out=1+fault=cut:5").end, End::Whole);
}

#[test]
fn a_cut_after_small_writes_loses_nothing_that_was_sent_before() {
    let sim = Sim::start();
    let cut = sim.stream("m+out=9+split=5+fault=cut:6");
    assert_eq!((cut.end, cut.events().len()), (End::Reset, 6));
}

#[test]
fn a_whole_answer_can_break_in_its_middle() {
    let sim = Sim::start();
    let cut = sim.chat("m+fault=cut:2");
    assert_eq!((cut.status, cut.end, cut.body.len()), (200, End::Reset, 32));
    let none = sim.chat("m+fault=cut:0");
    assert_eq!(
        (none.status, none.end, none.body.len()),
        (200, End::Reset, 0)
    );
    let end = sim.chat("m+fault=end:2");
    assert_eq!((end.status, end.end, end.body.len()), (200, End::Whole, 32));
    let stall = until_silence(&sim, &hello("m+fault=stall:2"));
    assert_eq!(
        (stall.status, stall.end, stall.body.len()),
        (200, End::Silent, 32)
    );
    let garbage = sim.chat("m+fault=garbage:1");
    assert_eq!((garbage.status, garbage.end), (200, End::Whole));
    assert!(serde_json::from_slice::<Value>(&garbage.body).is_err());
    let error = sim.chat("m+fault=error_first+body=money_minimax");
    assert_eq!(
        (
            error.status,
            error.json()["base_resp"]["status_code"].as_u64()
        ),
        (200, Some(1008))
    );
}

#[test]
fn errors_and_garbage_come_as_events() {
    let sim = Sim::start();
    let first = sim.stream("m+fault=error_first");
    assert_eq!((first.status, first.data().len()), (200, 1));
    assert_eq!(first.events()[0]["error"]["type"], "server_error");
    let later = sim.stream("m+out=9+fault=error:3+body=context");
    assert_eq!((later.end, later.data().len()), (End::Whole, 4));
    assert_eq!(
        later.events()[3]["error"]["code"],
        "context_length_exceeded"
    );
    let garbage = sim.stream("m+out=9+fault=garbage:3");
    assert_eq!(
        garbage.data().len(),
        garbage.events().len() + 2,
        "garbage and [DONE]"
    );
    assert!(serde_json::from_str::<Value>(&garbage.data()[3]).is_err());
    assert_eq!(garbage.content(0), sim.stream("m+out=9").content(0));
}

#[test]
fn other_bodies_are_wrong_in_their_own_ways() {
    let sim = Sim::start();
    for body in [hello, streamed] {
        let page = sim.post(CHAT, &body("m+fault=notjson"));
        assert_eq!(page.status, 200);
        assert!(
            page.header("content-type")
                .unwrap()
                .starts_with("text/html")
        );
        let empty = sim.post(CHAT, &body("m+fault=empty"));
        assert_eq!(
            (empty.status, empty.body.len(), empty.end),
            (200, 0, End::Whole)
        );
        let short = sim.post(CHAT, &body("m+fault=short"));
        assert_eq!((short.status, short.end), (200, End::Closed));
        assert!(!short.body.is_empty());
        let slow = sim.post(CHAT, &body("m+out=1+gap=50us+fault=slow_body"));
        assert_eq!((slow.status, slow.end), (200, End::Whole));
        assert_eq!(slow.body, sim.post(CHAT, &body("m+out=1")).body);
        assert!(slow.reads.len() > 10, "{:?}", slow.reads);
    }
    assert_eq!(sim.chat("m+fault=short").body, sim.chat("m").body);
}

#[test]
fn faults_can_be_over_after_some_requests_or_come_now_and_then() {
    let sim = Sim::start();
    let statuses = |model: &str| -> Vec<u16> { (0..4).map(|_| sim.chat(model).status).collect() };
    assert_eq!(statuses("m+fault=status:500+fail=2"), [500, 500, 200, 200]);
    assert_eq!(statuses("m+fault=status:500+every=2"), [200, 500, 200, 500]);
    // counted by name and by provider
    assert_eq!(
        sim.post(
            "/p/x/v1/chat/completions",
            &hello("m+fault=status:500+fail=2")
        )
        .status,
        500
    );
    assert_eq!(sim.post("/sim/reset", &json!({})).status, 200);
    assert_eq!(statuses("m+fault=status:500+fail=2"), [500, 500, 200, 200]);
    // a bad request is refused before any fault, and does not use it up
    let mut bad = hello("m+fault=status:500+fail=1");
    bad["n"] = json!(0);
    assert_eq!(sim.post(CHAT, &bad).status, 400);
    assert_eq!(statuses("m+fault=status:500+fail=1"), [500, 200, 200, 200]);
}

#[test]
fn faults_hold_for_every_endpoint() {
    let sim = Sim::start();
    let ask = |model: &str| json!({ "model": model, "input": "x" });
    assert_eq!(
        sim.post("/v1/embeddings", &ask("m+fault=status:503"))
            .status,
        503
    );
    assert_eq!(
        sim.post("/v1/embeddings", &ask("m+fault=cut:1")).end,
        End::Reset
    );
    assert_eq!(
        sim.post("/v1/embeddings", &ask("m+fault=reset")).end,
        End::Reset
    );
}

#[test]
fn idle_connections_are_closed_by_directive_or_option() {
    let sim = Sim::start();
    let mut connection = sim.connect();
    assert_eq!(connection.post(CHAT, &hello("m").to_string()).status, 200);
    assert_eq!(
        connection
            .post(CHAT, &hello("m+idle_close=10ms").to_string())
            .status,
        200
    );
    assert_eq!(connection.next_end(), End::Closed);

    let idle_close = Some(Duration::from_millis(10));
    let sim = Sim::with(Options {
        idle_close,
        ..Options::default()
    });
    let mut connection = sim.connect();
    // an answer that takes longer than the limit is not idleness
    let answer = connection.post(CHAT, &streamed("m+out=3+gap=30ms").to_string());
    assert_eq!((answer.status, answer.end), (200, End::Whole));
    assert_eq!(connection.next_end(), End::Closed);
    assert_eq!(sim.model("m").disconnects_after, 0);
}

#[test]
fn a_connection_serves_many_requests() {
    let sim = Sim::start();
    let mut connection = sim.connect();
    for _ in 0..20 {
        assert_eq!(connection.post(CHAT, &hello("m").to_string()).status, 200);
        assert_eq!(
            connection.post(CHAT, &streamed("m").to_string()).end,
            End::Whole
        );
        // small writes end with their request
        assert_eq!(
            connection
                .post(CHAT, &hello("m+split=9").to_string())
                .status,
            200
        );
        assert_eq!(connection.post(CHAT, "{").status, 400);
    }
    assert_eq!(sim.handle.account().connections_opened, 1);
}
