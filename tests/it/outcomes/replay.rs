//! Decisions that the ledger keeps, taken again by `tollgate replay`.

use std::{fs, process::Output};

use http::Method;
use serde_json::{Value, json};

use super::{KEY_A, KEY_B, Kept, setup};
use crate::support::{program::command, setup::UPSTREAM_KEY, simulator};

/// Runs it on a configuration, over the ledger of a gateway.
fn replay(kept: &Kept, yaml: &str, more: &[&str]) -> Output {
    let file = kept.folder.path().join("t.yaml");
    fs::write(&file, yaml).unwrap();
    let mut command = command();
    command.env("UPSTREAM_KEY", UPSTREAM_KEY).arg("replay");
    command.arg("--config").arg(&file).args(more);
    command.output().unwrap()
}

fn said(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    str::from_utf8(&output.stdout).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    let lines = said(output).lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

const WORDS: &str = "Mia has 14 boxes with 6 apples each. She sells half of all apples for $0.25 each and \
    eats 2. How many dollars does she earn?";

/// Requests of many kinds: told apart by text, needs, key, what they narrow, what came before.
async fn ask_much(kept: &Kept) -> usize {
    let long = "what of this then ".repeat(320);
    let bodies = [
        json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] }),
        json!({ "model": "auto", "messages": [{ "role": "user", "content": WORDS }], "max_tokens": 40 }),
        json!({ "model": "auto", "messages": [{ "role": "user", "content": "你好，请写一首诗" }], "n": 1 }),
        json!({ "model": "auto", "messages": [{ "role": "user", "content": long }], "stream": true }),
        json!({ "model": "auto", "messages": [{ "role": "user", "content": long },
            { "role": "assistant", "content": "this" }, { "role": "user", "content": "more" }] }),
        json!({ "model": "auto", "messages": [{ "role": "user", "content": "x" }], "tollgate": { "min_quality": 0.9 } }),
        json!({ "model": "auto", "messages": [{ "role": "user", "content": "x" }], "tollgate": { "max_cost": "0.01" } }),
        json!({ "model": "auto", "messages": [{ "role": "user", "content": "x" }],
            "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }] }),
        json!({ "model": "cheap", "messages": [{ "role": "user", "content": "x" }] }),
        json!({ "model": "a/good+out=4", "messages": [{ "role": "user", "content": "x" }] }),
    ];
    for key in [KEY_A, KEY_B] {
        for body in &bodies {
            let reply = kept.gateway.post(body).key(key).send().await;
            assert_eq!(reply.status, 200, "{body}: {}", reply.text());
        }
        // from here on outcomes count
        let reply = kept.gateway.ask_as(key, "auto").await;
        let judged = json!({ "request_id": reply.header("x-request-id"), "score": 0 });
        let call = kept.gateway.call(Method::POST, "/v1/feedback").key(key);
        assert_eq!(call.json(&judged).send().await.status, 200);
    }
    let none = json!({ "model": "auto", "messages": [{ "role": "user", "content": "x" }],
        "tollgate": { "min_quality": 0.99 } });
    assert_eq!(kept.gateway.post(&none).key(KEY_A).send().await.status, 400);
    2 * (bodies.len() + 1) + 1
}

#[tokio::test(flavor = "multi_thread")]
async fn every_decision_follows_from_what_is_kept_of_it() {
    let sim = simulator().await;
    let every = setup(&sim, "fast+out=4+remembers").also("evidence: { decisions: 1 }");
    let kept = Kept::start(every).await;
    let asked = ask_much(&kept).await;
    let kept = kept.restarted().await;
    let again = replay(&kept, &kept.setup.yaml(), &["--json"]);
    let decisions = lines(&again);
    assert_eq!(decisions.len(), asked);
    for decision in &decisions {
        assert_eq!(decision["same"], true, "{decision}");
        assert_eq!(decision["was"], decision["now"]);
    }
    // they are worth taking again: they differ
    let firsts: std::collections::BTreeSet<String> = decisions
        .iter()
        .map(|decision| decision["was"]["order"][0].to_string())
        .collect();
    assert!(firsts.len() > 6, "{firsts:?}");
    let refused = decisions.iter().filter(|it| it["was"]["error"].is_string());
    assert_eq!(refused.count(), 1);
    let text = replay(&kept, &kept.setup.yaml(), &["--limit", "5"]);
    assert!(
        said(&text).starts_with("5 decisions, 5 of them the same\n"),
        "{text:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rules_show_what_they_would_have_done() {
    let sim = simulator().await;
    let kept = Kept::start(setup(&sim, "fast+out=4").also("evidence: { decisions: 1 }")).await;
    for _ in 0..3 {
        assert_eq!(kept.gateway.ask_as(KEY_A, "auto").await.status, 200);
    }
    let kept = kept.restarted().await;
    let stricter = kept
        .setup
        .yaml()
        .replace("min_quality: 0.7", "min_quality: 0.9");
    let output = replay(&kept, &stricter, &[]);
    let text = said(&output);
    assert!(
        text.starts_with("3 decisions, 0 of them the same\n3 ask another backend first"),
        "{text}"
    );
    assert!(
        text.contains("a/fast+out=4") && text.contains("a/good+out=4"),
        "{text}"
    );
    let dearer = lines(&replay(&kept, &stricter, &["--json"]));
    assert_eq!(dearer[0]["was"]["order"][0]["model"], "cheap");
    assert_eq!(dearer[0]["now"]["order"][0]["model"], "dear");
    let gone = kept.setup.yaml().replace("name: auto,", "name: other,");
    let text = replay(&kept, &gone, &[]);
    assert!(
        said(&text).contains("nobody: the model does not exist"),
        "{text:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_so_many_is_kept_the_first_included_and_none_where_none_is_wanted() {
    let sim = simulator().await;
    for (nth, want) in [(3, 2), (0, 0)] {
        let sampled = setup(&sim, "fast").also(&format!("evidence: {{ decisions: {nth} }}"));
        let kept = Kept::start(sampled).await;
        for _ in 0..5 {
            assert_eq!(kept.gateway.ask_as(KEY_A, "auto").await.status, 200);
        }
        let kept = kept.restarted().await;
        let text = replay(&kept, &kept.setup.yaml(), &[]);
        let says = format!("{want} decisions, {want} of them the same\n");
        assert!(said(&text).starts_with(&says), "{text:?}");
    }
}

#[test]
fn without_a_ledger_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.yaml");
    fs::write(&file, "store: { ledger: none }\n").unwrap();
    let run = |more: &[&str]| {
        let mut command = command();
        command
            .current_dir(folder.path())
            .args(["replay", "--config", "t.yaml"]);
        let output = command.args(more).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, why) = run(&[]);
    assert_eq!(code, Some(2));
    assert!(why.contains("name one with --ledger"), "{why}");
    let (code, why) = run(&["--ledger", "no.db"]);
    assert_eq!(code, Some(1), "{why}");
    let (code, why) = run(&["--ledger", "no.db", "--since", "yesterday"]);
    assert_eq!(code, Some(2), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_client_made_up_is_kept() {
    let sim = simulator().await;
    let wild = setup(&sim, "fast")
        .model("wild-*", &["a/w"])
        .also("evidence: { decisions: 1 }");
    let kept = Kept::start(wild).await;
    let narrowed = json!({ "models": ["cheap", "invented-model", "wild-invented"], "regions": ["invented-region"] });
    for body in [
        json!({ "model": "wild-invented", "messages": [{ "role": "user", "content": "invented-text" }] }),
        json!({ "model": "auto", "tollgate": narrowed, "messages": [{ "role": "user", "content": "invented-text" }] }),
        json!({ "model": "invented-name", "messages": [] }),
    ] {
        kept.gateway.post(&body).key(KEY_A).send().await;
    }
    let kept = kept.restarted().await;
    let db = rusqlite::Connection::open(kept.path()).unwrap();
    let mut all = db.prepare("SELECT decision FROM decisions").unwrap();
    let all: Vec<String> = all
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(all.len(), 3);
    let together = all.join("\n");
    assert!(!together.contains("invented"), "{together}");
    assert!(
        together.contains(r#""models":["cheap","wild-*"]"#),
        "{together}"
    );
    let text = replay(&kept, &kept.setup.yaml(), &[]);
    assert!(
        said(&text).starts_with("3 decisions, 3 of them the same\n"),
        "{text:?}"
    );
}
