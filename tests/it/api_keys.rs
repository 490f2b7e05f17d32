//! Several keys of one provider: they take turns, a bad one is left alone by itself, and no client
//! notices. The simulator says which key came with each request.

mod secrets;

use std::collections::BTreeMap;

use http::{Method, header::AUTHORIZATION};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tollgate::simulate::Handle;

use crate::support::{
    Gateway, Setup, eventually,
    gateway::{ADMIN_KEY, ask, stream},
    simulator,
};

const ONE: &str = "sk-pool-one-0123456789abcdef";
const TWO: &str = "sk-pool-two-0123456789abcdef";
const THREE: &str = "sk-pool-three-0123456789abcdef";

/// What a key is called in logs and for the operator.
fn fingerprint(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    digest[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A backend of the pool whose fault only one key meets.
fn faulty(key: &str, fault: &str) -> String {
    format!("p/x+out=1+only_key={}+{fault}", fingerprint(key))
}

/// How many requests came with each key.
fn seen(sim: &Handle) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for request in sim.requests(256) {
        let value = request.headers.get(AUTHORIZATION).unwrap();
        let key = value.to_str().unwrap().strip_prefix("Bearer ").unwrap();
        *seen.entry(key.to_owned()).or_insert(0) += 1;
    }
    seen
}

/// How the keys of the provider `p` stand, in the order of the file.
async fn keys(gateway: &Gateway) -> Vec<Value> {
    let call = gateway.operator(Method::GET, "/admin/v1/backends");
    let all = call.key(ADMIN_KEY).send().await.json();
    all["api_keys"]["p"].as_array().unwrap().clone()
}

async fn states(gateway: &Gateway) -> Vec<String> {
    let states = keys(gateway).await;
    let state = |key: &Value| key["standing"]["state"].as_str().unwrap().to_owned();
    states.iter().map(state).collect()
}

/// The state of a backend itself.
async fn backend(gateway: &Gateway, name: &str) -> Value {
    let call = gateway.operator(Method::GET, "/admin/v1/backends");
    let all = call.key(ADMIN_KEY).send().await.json();
    let mut entries = all["backends"].as_array().unwrap().iter();
    entries.find(|entry| entry["name"] == name).unwrap()["standing"].clone()
}

fn pooled(sim: &Handle, backends: &[&str]) -> Setup {
    let setup = Setup::new(sim).pool("p", &[ONE, TWO, THREE]);
    setup.model("m", backends)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_take_turns_evenly_however_many_requests_come_at_once() {
    let sim = simulator().await;
    let gateway = pooled(&sim, &["p/x+out=1+ttft=20ms"]).start().await;
    let mut calls = JoinSet::new();
    for number in 0..120 {
        let body = if number % 2 == 0 {
            ask("m")
        } else {
            stream("m")
        };
        calls.spawn(gateway.post(&body).send());
    }
    let replies = calls.join_all().await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    for key in [ONE, TWO, THREE] {
        assert_eq!(seen(&sim)[key], 40, "{key}");
    }
    for (key, shown) in [ONE, TWO, THREE].iter().zip(keys(&gateway).await) {
        assert_eq!(shown["sha256"], fingerprint(key).as_str());
        assert_eq!(
            (&shown["calls"], &shown["standing"]["state"]),
            (&40.into(), &"up".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_over_its_limit_cools_alone_and_the_others_carry_its_load() {
    for (wait, asked) in [("+retry_after=60", true), ("", false)] {
        let sim = simulator().await;
        let limited = faulty(TWO, &format!("fault=status:429{wait}"));
        let gateway = pooled(&sim, &[&limited]).start().await;
        for number in 0..30 {
            let body = if number % 2 == 0 {
                ask("m")
            } else {
                stream("m")
            };
            let reply = gateway.post(&body).send().await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        if asked {
            let seen = seen(&sim);
            assert_eq!(seen[TWO], 1, "left alone for a minute");
            assert!(seen[ONE].abs_diff(seen[THREE]) <= 2, "{seen:?}");
        }
        assert_eq!(states(&gateway).await, ["up", "cooling", "up"]);
        assert_eq!(backend(&gateway, &limited).await["state"], "up");
        let metrics = gateway.metrics().await;
        assert_eq!(metrics.count("backend_up", &[("backend", &limited)]), 1);
        assert_eq!(metrics.values("retries_total", "kind"), ["same"]);
        let attempts = metrics.count("attempts_total", &[]);
        assert_eq!(attempts, sim.account().requests);
        assert_eq!(attempts - 30, metrics.count("retries_total", &[]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_refused_or_out_of_money_is_put_aside_and_no_client_notices() {
    for (fault, reason) in [
        ("fault=status+body=key", "is refused"),
        ("fault=status:403", "is refused"),
        ("fault=status:402", "is out of money"),
        ("fault=status+body=money", "is out of money"),
        ("fault=error_first+body=money", "is out of money"),
    ] {
        let sim = simulator().await;
        let revoked = faulty(ONE, fault);
        // so that the other model of the provider is served as well
        let setup = pooled(&sim, &[&revoked]).model("n", &["p/y+out=1"]);
        let gateway = setup.start().await;
        for _ in 0..6 {
            for body in [ask("m"), stream("m"), ask("n")] {
                let reply = gateway.post(&body).send().await;
                assert_eq!(reply.status, 200, "{fault}: {}", reply.text());
            }
        }
        let account = sim.account();
        assert_eq!(account.requests, 19, "{fault}: it is met once");
        let first = &keys(&gateway).await[0];
        let standing = &first["standing"];
        assert_eq!(
            (&standing["state"], &standing["reason"]),
            (&"down".into(), &reason.into()),
            "{fault}"
        );
        assert_eq!(backend(&gateway, &revoked).await["state"], "up", "{fault}");
        let metrics = gateway.metrics().await;
        for (state, number) in [("up", 2), ("cooling", 0), ("down", 1)] {
            let labels = [("provider", "p"), ("state", state)];
            assert_eq!(metrics.count("provider_keys", &labels), number, "{state}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_keys_that_all_fail_give_the_error_and_the_standing_that_one_gives() {
    for (fault, state) in [
        ("fault=status:401", "down"),
        ("fault=status:402", "down"),
        ("fault=status:429+retry_after=60", "cooling"),
        ("fault=status:429", "cooling"),
        ("fault=status:503+retry_after=60", "cooling"),
        ("fault=status+body=model", "down"),
        ("fault=status+body=invalid", "up"),
    ] {
        let name = format!("p/x+{fault}");
        let mut outcomes = Vec::new();
        for several in [&[ONE][..], &[ONE, TWO][..], &[ONE, TWO, THREE][..]] {
            let sim = simulator().await;
            let setup = Setup::new(&sim).pool("p", several).model("m", &[&name]);
            let gateway = setup.start().await;
            let reply = gateway.ask("m").await;
            let standing = backend(&gateway, &name).await;
            assert_eq!(standing["state"], state, "{fault}: {standing}");
            let retry = reply.header("x-should-retry").to_owned();
            outcomes.push((
                reply.status,
                reply.json(),
                retry,
                standing["reason"].clone(),
            ));
        }
        let one = outcomes.remove(0);
        for several in outcomes {
            assert_eq!(several, one, "{fault}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_key_is_left_the_next_candidate_serves_and_the_backend_is_left_alone() {
    let sim = simulator().await;
    let limited = "p/x+fault=status:429+retry_after=60";
    let setup = pooled(&sim, &[limited, "spare/y+out=1"]);
    let gateway = setup.also("retries: { attempts: 4 }").start().await;
    for attempts in ["4", "1", "1"] {
        let reply = gateway.ask("m").await;
        assert_eq!(reply.header("x-tollgate-backend"), "spare/y+out=1");
        assert_eq!(reply.header("x-tollgate-attempts"), attempts);
    }
    assert_eq!(states(&gateway).await, ["cooling"; 3]);
    let metrics = gateway.metrics().await;
    for (kind, number) in [("same", 2), ("fallback", 1)] {
        assert_eq!(metrics.count("retries_total", &[("kind", kind)]), number);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_bound_how_many_keys_one_request_tries() {
    let sim = simulator().await;
    let setup = pooled(&sim, &["p/x+fault=status:401"]);
    let gateway = setup.also("retries: { attempts: 2 }").start().await;
    let reply = gateway.ask("m").await;
    assert_eq!(
        (reply.status, reply.header("x-tollgate-attempts")),
        (502, "2")
    );
    assert_eq!(sim.account().requests, 2);
    // there was a key left, so it is not the backend's fault yet
    assert_eq!(
        backend(&gateway, "p/x+fault=status:401").await["state"],
        "up"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_one_model_does_not_silence_the_others() {
    let sim = simulator().await;
    let setup = pooled(&sim, &["p/x+fault=status:429+retry_after=60"]);
    let gateway = setup.model("n", &["p/y+out=1"]).start().await;
    assert_eq!(gateway.ask("m").await.status, 502);
    assert_eq!(states(&gateway).await, ["cooling"; 3]);
    for _ in 0..3 {
        assert_eq!(gateway.ask("n").await.status, 200);
    }
    // an answer shows that the key works
    assert!(states(&gateway).await.contains(&"up".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_backend_is_nobody_elses_fault() {
    let sim = simulator().await;
    let failing = "p/x+fault=status:500+fail=1+out=1";
    let gateway = pooled(&sim, &[failing]).start().await;
    assert_eq!(gateway.ask("m").await.status, 200);
    assert_eq!(states(&gateway).await, ["up"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_comes_back_by_itself_when_its_time_is_over() {
    let sim = simulator().await;
    let limited = faulty(TWO, "fault=status:429+retry_after=1+fail=1");
    let gateway = pooled(&sim, &[&limited]).start().await;
    for _ in 0..3 {
        assert_eq!(gateway.ask("m").await.status, 200);
    }
    assert_eq!(states(&gateway).await[1], "cooling");
    eventually("the key is up", async || states(&gateway).await[1] == "up").await;
    let before = seen(&sim)[TWO];
    for _ in 0..6 {
        assert_eq!(gateway.ask("m").await.status, 200);
    }
    assert!(seen(&sim)[TWO] > before);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_share_a_limit_do_not_use_up_the_attempt_of_the_next_candidate() {
    let sim = simulator().await;
    let keys: Vec<String> = (0..9)
        .map(|n| format!("sk-pool-{n}-of-one-account"))
        .collect();
    let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
    for number in [2, 3, 9] {
        for fault in [
            "fault=status:429",
            "fault=status:429+retry_after=1",
            "fault=status:401",
        ] {
            let name = format!("p/x{number}+{fault}");
            let setup = Setup::new(&sim).pool("p", &keys[..number]);
            let gateway = setup.model("m", &[&name, "spare/y+out=1"]).start().await;
            for _ in 0..8 {
                let reply = gateway.ask("m").await;
                assert_eq!(reply.status, 200, "{fault}: {}", reply.text());
                assert_eq!(reply.header("x-tollgate-backend"), "spare/y+out=1");
            }
        }
    }
}
