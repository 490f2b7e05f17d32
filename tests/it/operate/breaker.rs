//! The breaker over real HTTP: who fails too often is left alone, found back by one request, and
//! asked all the same where nobody else could serve.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{backend, shown};
use crate::support::{
    Gateway, Setup, eventually,
    gateway::{ask, stream},
    simulator,
};

async fn state(gateway: &Gateway, name: &str) -> (u64, u64) {
    let metrics = gateway.metrics().await;
    let labels = [("backend", name)];
    (
        metrics.count("breaker_state", &labels),
        metrics.count("backend_up", &labels),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn after_so_many_failures_the_next_request_goes_elsewhere_at_once() {
    let sim = simulator().await;
    const BAD: &str = "bad/x+fault=status:500";
    let gateway = Setup::new(&sim)
        .model("m", &[BAD, "good/x+out=1"])
        .also("retries: { attempts: 3 }\nbreaker: { failures: 4, open: 60s }")
        .start()
        .await;
    assert_eq!(state(&gateway, BAD).await, (0, 1));
    // each asks the bad one twice, then the good one
    for _ in 0..2 {
        let reply = gateway.ask("m").await;
        assert_eq!(
            (reply.status, reply.header("x-tollgate-attempts")),
            (200, "3")
        );
    }
    assert_eq!(state(&gateway, BAD).await, (2, 0));
    for _ in 0..5 {
        let reply = gateway.ask("m").await;
        assert_eq!(
            (reply.status, reply.header("x-tollgate-attempts")),
            (200, "1")
        );
        assert_eq!(reply.header("x-tollgate-backend"), "good/x+out=1");
        assert!(reply.header("x-tollgate-decision").ends_with("1 refused"));
    }
    assert_eq!(sim.account().at("bad", "x+fault=status:500").requests, 4);
    let metrics = gateway.metrics().await;
    let refused = [("backend", BAD), ("reason", "breaker_open")];
    assert_eq!(metrics.count("route_refusals_total", &refused), 5);
    let entry = backend(&gateway, BAD).await;
    assert_eq!(
        (&entry["breaker"], &entry["standing"]["state"]),
        (&"open".into(), &"open".into())
    );
    let reason = entry["standing"]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("is left alone after 4 failures, for another "),
        "{reason}"
    );
    let explained = gateway
        .operator(http::Method::POST, "/admin/v1/explain")
        .key(crate::support::gateway::ADMIN_KEY)
        .json(&ask("m"))
        .send()
        .await
        .json();
    assert_eq!(explained["refused"][0]["reason"], "breaker_open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_does_not_go_back_to_who_has_just_been_given_up() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["bad/x+fault=status:500", "good/x+out=1"])
        .also("retries: { attempts: 3 }\nbreaker: { failures: 1 }")
        .start()
        .await;
    let reply = gateway.ask("m").await;
    assert_eq!(
        (reply.status, reply.header("x-tollgate-attempts")),
        (200, "2")
    );
    assert_eq!(sim.account().at("bad", "x+fault=status:500").requests, 1);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.values("retries_total", "kind"), ["fallback"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_requests_exactly_one_tries_whether_it_is_back() {
    let sim = simulator().await;
    // the fourth call takes long enough for all others to come meanwhile, and succeeds
    const SHAKY: &str = "shaky/x+ttft=400ms+out=1+fault=status:500+fail=3";
    let gateway = Setup::new(&sim)
        .model("m", &[SHAKY, "good/x+out=1"])
        .also("breaker: { failures: 3, open: 600ms }")
        .start()
        .await;
    let shaky = || sim.account().at("shaky", &SHAKY["shaky/".len()..]).requests;
    while shaky() < 3 {
        assert_eq!(gateway.ask("m").await.status, 200);
    }
    eventually("half-open", async || state(&gateway, SHAKY).await.0 == 1).await;
    assert_eq!(backend(&gateway, SHAKY).await["standing"]["state"], "trial");
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        calls.spawn(gateway.post(&ask("m")).send());
    }
    let replies = calls.join_all().await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    let tried = replies
        .iter()
        .filter(|reply| reply.header("x-tollgate-backend") == SHAKY);
    assert_eq!(tried.count(), 1);
    assert_eq!(shaky(), 4);
    // it answered, so that it is asked again by everybody
    assert_eq!(state(&gateway, SHAKY).await, (0, 1));
    assert_eq!(gateway.ask("m").await.header("x-tollgate-backend"), SHAKY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_that_fails_is_unseen_by_the_client_and_makes_the_wait_longer() {
    let sim = simulator().await;
    const BAD: &str = "bad/x+fault=status:500";
    let gateway = Setup::new(&sim)
        .model("m", &[BAD, "good/x+out=1"])
        .also("breaker: { failures: 2, open: 1s }")
        .start()
        .await;
    assert_eq!(gateway.ask("m").await.status, 200);
    assert_eq!(sim.account().at("bad", "x+fault=status:500").requests, 2);
    eventually("half-open", async || state(&gateway, BAD).await.0 == 1).await;
    let reply = gateway.ask("m").await;
    assert_eq!(
        (reply.status, reply.header("x-tollgate-attempts")),
        (200, "2")
    );
    assert_eq!(sim.account().at("bad", "x+fault=status:500").requests, 3);
    let left = backend(&gateway, BAD).await["standing"]["left_ms"].as_u64();
    assert!(
        left.is_some_and(|ms| (1_001..=2_000).contains(&ms)),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_backend_is_never_given_up() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["only/x+out=1+fault=status:500+fail=6"])
        .also("retries: { attempts: 1 }\nbreaker: { failures: 2, open: 60s }")
        .start()
        .await;
    for _ in 0..6 {
        assert_eq!(gateway.ask("m").await.status, 502);
    }
    let reply = gateway.ask("m").await;
    assert_eq!(reply.status, 200);
    assert!(
        reply
            .header("x-tollgate-decision")
            .starts_with("nobody healthy"),
    );
    // and a success brings it back whatever was decided before
    let name = "only/x+out=1+fault=status:500+fail=6";
    assert_eq!(state(&gateway, name).await, (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_did_wrong_and_clients_that_leave_count_against_nobody() {
    let sim = simulator().await;
    const MODELS: [(&str, &str); 4] = [
        ("bad-request", "a/x+fault=status:400"),
        ("unprocessable", "a/x+fault=status:422"),
        ("slow", "a/x+fault=hang"),
        ("endless", "a/x+fault=stall:2"),
    ];
    let setup = MODELS
        .iter()
        .fold(Setup::new(&sim), |setup, (name, backend)| {
            setup.model(name, &[backend])
        });
    let gateway = setup.also("breaker: { failures: 1 }").start().await;
    for model in ["bad-request", "unprocessable"] {
        for _ in 0..5 {
            let status = gateway.ask(model).await.status;
            assert!(status == 400 || status == 422, "{status}");
        }
    }
    for _ in 0..5 {
        let sent =
            tokio::time::timeout(Duration::from_millis(50), gateway.post(&ask("slow")).send());
        assert!(sent.await.is_err(), "an answer came");
        let mut open = gateway.post(&stream("endless")).open().await;
        assert!(open.frame().await.is_some());
        drop(open);
    }
    eventually("everybody has left", async || {
        let metrics = gateway.metrics().await;
        metrics.count("requests_total", &[("outcome", "cancelled")]) == 10
    })
    .await;
    for (_, name) in MODELS {
        assert_eq!(state(&gateway, name).await, (0, 1), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_break_off_after_their_first_byte_count() {
    let sim = simulator().await;
    const CUT: &str = "cut/x+fault=cut:3";
    let gateway = Setup::new(&sim)
        .model("m", &[CUT, "good/x+out=1"])
        .also("breaker: { failures: 3, open: 60s }")
        .start()
        .await;
    for _ in 0..3 {
        let stream = gateway.stream("m").await;
        assert!(!stream.is_done(), "{}", stream.text);
    }
    assert_eq!(state(&gateway, CUT).await, (2, 0));
    let stream = gateway.stream("m").await;
    assert!(stream.is_done(), "{}", stream.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_out_of_money_is_down_with_its_reason_and_not_open() {
    let sim = simulator().await;
    const BROKE: &str = "broke/x+fault=status+body=money_zhipu";
    let gateway = Setup::new(&sim)
        .model("m", &[BROKE, "good/x+out=1"])
        .also("breaker: { failures: 1 }")
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(gateway.ask("m").await.status, 200);
    }
    assert_eq!(
        sim.account().at("broke", &BROKE["broke/".len()..]).requests,
        1
    );
    assert_eq!(state(&gateway, BROKE).await, (0, 0));
    let entry = backend(&gateway, BROKE).await;
    assert_eq!(entry["standing"]["reason"], "is out of money");
    let decisions = shown(&gateway, "/admin/v1/decisions?limit=1").await;
    assert_eq!(decisions["decisions"][0]["refused"][0]["reason"], "down");
}
