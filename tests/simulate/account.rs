//! The account: what was served, to whom it was cut, and what came in byte for byte.

use std::io::Write;

use serde_json::json;
use tollgate::simulate::account::Phase;

use crate::client::{CHAT, Sim, hello, streamed};

#[test]
fn served_tokens_are_counted_by_provider_and_model() {
    let sim = Sim::start();
    let model = "m+out=7+prompt=100+cached=40+reasoning=5";
    sim.chat(model);
    sim.stream(model);
    sim.post("/p/other/v1/chat/completions", &hello(model));
    sim.chat("m+fault=status:500");
    sim.chat("m+fault=status:500");
    let counts = sim.model(model);
    assert_eq!(
        (
            counts.requests,
            counts.ok,
            counts.in_flight,
            counts.connections
        ),
        (3, 3, 0, 3)
    );
    assert_eq!((counts.prompt_tokens, counts.cached_tokens), (300, 120));
    assert_eq!(
        (counts.completion_tokens, counts.reasoning_tokens),
        (36, 15)
    );
    let account = sim.handle.account();
    assert_eq!(account.at("other", model).prompt_tokens, 100);
    let failed = account.model("m+fault=status:500");
    assert_eq!(
        (failed.requests, failed.ok, failed.failed["status"]),
        (2, 0, 2)
    );
    assert_eq!((failed.prompt_tokens, failed.completion_tokens), (0, 0));
    assert_eq!((account.requests, account.connections_opened), (5, 5));
}

#[test]
fn an_aborted_stream_counts_what_was_delivered() {
    let sim = Sim::start();
    // role and four contents
    sim.stream("m+out=50+prompt=10+fault=cut:5");
    let counts = sim.model("m+out=50+prompt=10+fault=cut:5");
    assert_eq!((counts.prompt_tokens, counts.completion_tokens), (10, 4));
    assert_eq!((counts.ok, counts.failed["cut"]), (0, 1));
    assert_eq!(
        (counts.disconnects_before, counts.disconnects_mid),
        (0, 0),
        "{counts:?}"
    );
    sim.stream("m+prompt=10+fault=cut:0");
    assert_eq!(sim.model("m+prompt=10+fault=cut:0").prompt_tokens, 0);
}

#[test]
fn a_client_that_leaves_before_the_head_is_seen() {
    let sim = Sim::start();
    for model in ["m+head=3600s", "m+ttft=600s", "m+fault=hang"] {
        let mut connection = sim.connect();
        let body = hello(model).to_string();
        connection.send("POST", CHAT, &[("content-type", "application/json")], &body);
        sim.within_a_second("in flight", |account| account.model(model).in_flight == 1);
        connection.close();
        sim.within_a_second("gone", |account| {
            account.model(model).disconnects_before == 1
        });
        let counts = sim.model(model);
        assert_eq!(
            (
                counts.in_flight,
                counts.disconnects_mid,
                counts.disconnects_after
            ),
            (0, 0, 0)
        );
        assert_eq!(counts.disconnects[0].phase, Phase::BeforeHead);
        assert_eq!(counts.prompt_tokens, 0);
    }
}

#[test]
fn a_client_that_leaves_within_its_request_is_seen() {
    let sim = Sim::start();
    let mut connection = sim.connect();
    let addr = connection.addr;
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: {addr}\r\ncontent-length: 100\r\n\r\n{{");
    connection.stream.write_all(head.as_bytes()).unwrap();
    sim.within_a_second("begun", |account| account.requests == 1);
    connection.close();
    sim.within_a_second("gone", |account| account.uploads_cut == 1);
    assert_eq!(sim.handle.requests(1).len(), 0);
}

#[test]
fn a_client_that_leaves_during_the_body_is_seen() {
    let sim = Sim::start();
    for model in [
        "m+ttft=600s",
        "m+ttft=600s+keepalive=100s",
        "m+gap=600s",
        "m+fault=stall:1",
        "m+fault=hang_head",
        "m+out=200000+split=1",
    ] {
        let mut connection = sim.connect();
        let body = streamed(model).to_string();
        connection.send("POST", CHAT, &[("content-type", "application/json")], &body);
        connection.answer_until(0);
        connection.close();
        sim.within_a_second("gone", |account| account.model(model).disconnects_mid == 1);
        let counts = sim.model(model);
        assert_eq!(
            (
                counts.in_flight,
                counts.disconnects_before,
                counts.disconnects_after
            ),
            (0, 0, 0),
            "{model}"
        );
        assert_eq!(counts.disconnects[0].phase, Phase::MidBody);
        assert_eq!(counts.ok, 0);
    }
    assert_eq!(sim.model("m+gap=600s").disconnects[0].events, 2);
    assert_eq!(sim.model("m+gap=600s").completion_tokens, 1);
}

#[test]
fn a_client_that_leaves_after_its_answer_is_told_apart() {
    let sim = Sim::start();
    let mut connection = sim.connect();
    connection.post(CHAT, &hello("m").to_string());
    connection.close();
    sim.within_a_second("gone", |account| account.model("m").disconnects_after == 1);
    let counts = sim.model("m");
    assert_eq!(
        (counts.ok, counts.disconnects_before, counts.disconnects_mid),
        (1, 0, 0)
    );
    sim.within_a_second("closed", |account| account.connections_open == 0);
}

#[test]
fn stopping_is_not_the_clients_doing() {
    let sim = Sim::start();
    let mut connection = sim.connect();
    let body = hello("m+fault=hang").to_string();
    connection.send("POST", CHAT, &[("content-type", "application/json")], &body);
    sim.within_a_second("in flight", |account| {
        account.model("m+fault=hang").in_flight == 1
    });
    let Sim { handle, runtime } = sim;
    runtime.block_on(handle.stop());
    assert_ne!(connection.answer().end, crate::client::End::Silent);
}

#[test]
fn requests_are_kept_as_they_came() {
    let sim = Sim::start();
    let body =
        r#"{ "messages" : [{"role":"user","content":"caf\u00e9 é"}],  "model":"m", "x": 1.0e0 }"#;
    let mut connection = sim.connect();
    let headers = [
        ("content-type", "application/json"),
        ("authorization", "Bearer sk-secret-key"),
        ("x-a", "b"),
    ];
    connection.send("POST", "/p/one/v1/chat/completions?a=b", &headers, body);
    assert_eq!(connection.answer().status, 200);
    let received = &sim.handle.requests(1)[0];
    assert_eq!(received.body.as_deref(), Some(body.as_bytes()));
    assert_eq!(received.uri.to_string(), "/p/one/v1/chat/completions?a=b");
    assert_eq!(received.headers["x-a"], "b");
    assert!(!format!("{received:?}").contains("sk-secret-key"));

    let answer = sim.get("/sim/requests?last=1");
    let shown = &answer.json()["requests"][0];
    assert_eq!(shown["body"], body);
    assert!(!answer.text().contains("sk-secret-key"));
    let digest = shown["headers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|pair| pair[0] == "authorization");
    assert!(digest.unwrap()[1].as_str().unwrap().starts_with("sha256:"));
}

#[test]
fn the_ring_is_bounded_and_ordered() {
    let options = tollgate::simulate::Options {
        keep_requests: 4,
        ..Default::default()
    };
    let sim = Sim::with(options);
    let mut connection = sim.connect();
    for number in 0..10 {
        connection.post(CHAT, &hello(&format!("m{number}")).to_string());
    }
    let numbers = |count| -> Vec<u64> {
        sim.handle
            .requests(count)
            .iter()
            .map(|received| received.number)
            .collect()
    };
    assert_eq!(numbers(100), [6, 7, 8, 9]);
    assert_eq!(numbers(2), [8, 9]);
}

#[test]
fn the_account_is_served_as_json_and_can_be_reset() {
    let sim = Sim::start();
    sim.chat("m+out=3");
    let account = sim.get("/sim/account").json();
    assert_eq!(account["simulated"], true);
    assert_eq!(account["models"][0]["model"], "m+out=3");
    assert_eq!(account["models"][0]["completion_tokens"], 3);
    assert_eq!(sim.post("/sim/reset", &json!({})).status, 200);
    assert_eq!(sim.get("/sim/account").json()["models"], json!([]));
    assert_eq!(sim.get("/sim/requests").json()["requests"], json!([]));
}
