//! What stands in the rows, and what they add up to.

use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;
use tokio::task::JoinSet;

use super::{Kept, dollars, rows, total};
use crate::support::{
    Setup, Stream, eventually,
    gateway::{ask, stream, stream_with_usage},
    pico,
    setup::price,
    simulator,
};

/// A backend for everything that can happen to a call.
const PLAIN: &str = "a/x+out=5+prompt=40+cached=8";
const MUTE: &str = "a/x+out=6+usage=none";
const FAILING: &str = "b/x+fault=status:500";
const DROPPING: &str = "b/x+fault=reset";
const REFUSING: &str = "b/x+fault=status+body=invalid";
const HANGING: &str = "c/x+fault=hang";
const CUT: &str = "c/x+out=30+fault=cut:9";
const SLOW: &str = "c/x+out=100000+gap=20ms";

fn everything(setup: Setup) -> Setup {
    setup
        .server("first_byte_timeout: 500ms")
        .model("plain", &[PLAIN])
        .model("mute", &[MUTE])
        .model("fails-over", &[FAILING, "d/spare+out=3"])
        .model("drops", &[DROPPING, "d/spare+out=3"])
        .model("refuses", &[REFUSING])
        .model("hangs", &[HANGING, "d/spare+out=3"])
        .model("cut", &[CUT])
        .model("slow", &[SLOW])
        .also("retries: { attempts: 3, budget: 1 }")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_a_backend_saw_has_one_row_and_all_sums_agree() {
    let sim = simulator().await;
    let kept = Kept::start(everything(Setup::new(&sim))).await;
    let gateway = &kept.gateway;
    let mut told = 0;
    for round in 0..4 {
        let reply = gateway.ask("plain").await;
        told += pico(reply.header("x-tollgate-cost-usd"));
        let open = gateway.stream_with_usage("plain").await;
        let usage = open.usages().pop().unwrap();
        told += pico(usage["cost_usd"].as_str().unwrap());
        assert!(!gateway.ask("mute").await.has("x-tollgate-cost-usd"));
        for model in ["fails-over", "drops", "hangs"] {
            let reply = gateway.ask(model).await;
            assert_eq!(reply.status, 200, "{model}: {}", reply.text());
            told += pico(reply.header("x-tollgate-cost-usd"));
        }
        assert_eq!(gateway.ask("refuses").await.status, 400);
        gateway.stream("cut").await.error();
        let mut open = gateway.post(&stream("slow")).open().await;
        for _ in 0..=round {
            open.frame().await.unwrap().unwrap();
        }
    }
    let rows = kept.settled().await;
    assert_eq!(rows.len() as u64, sim.account().requests, "{rows:#?}");
    let mut ids: Vec<_> = rows.iter().map(|row| (&row.request, row.attempt)).collect();
    ids.dedup();
    assert_eq!(ids.len(), rows.len());

    // what clients were told is what the answers' rows say
    let answers: Vec<_> = rows
        .iter()
        .filter(|row| row.outcome == "ok" && row.basis == "exact")
        .cloned()
        .collect();
    assert_eq!((answers.len(), total(&answers)), (4 * 5, told));
    // and the metrics say what all rows say
    let metrics = gateway.metrics().await;
    let mut backends: Vec<String> = rows.iter().map(|row| row.backend.clone()).collect();
    backends.sort();
    backends.dedup();
    assert_eq!(dollars(&metrics, &backends), total(&rows));
    assert!(total(&rows) > told, "what failed is not free");
    let count = |name| metrics.count(name, &[]);
    assert_eq!(count("attempts_total"), rows.len() as u64);
    assert_eq!(count("ledger_written_total"), rows.len() as u64);
    assert_eq!(count("ledger_lost_total"), 0);
    let estimated = rows.iter().filter(|row| row.basis == "estimated").count();
    assert_eq!(count("estimated_usage_total"), estimated as u64);
    let tokens: i64 = rows.iter().map(|row| row.tokens.0 + row.tokens.1).sum();
    assert_eq!(count("tokens_total"), tokens.unsigned_abs());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_of_a_call_has_its_basis_and_its_cost() {
    let sim = simulator().await;
    let kept = Kept::start(everything(Setup::new(&sim))).await;
    let gateway = &kept.gateway;
    for model in ["plain", "mute", "fails-over", "drops", "refuses", "hangs"] {
        gateway.ask(model).await;
    }
    gateway.stream("cut").await;
    let mut open = gateway.post(&stream("slow")).open().await;
    while !String::from_utf8_lossy(&open.frame().await.unwrap().unwrap()).contains("content") {}
    drop(open);
    let rows = kept.settled().await;
    let of = |backend: &str| {
        let found: Vec<_> = rows.iter().filter(|row| row.backend == backend).collect();
        assert!(!found.is_empty(), "{backend}: {rows:#?}");
        found
    };
    for (backend, status, outcome, basis) in [
        (PLAIN, Some(200), "ok", "exact"),
        (MUTE, Some(200), "ok", "estimated"),
        (FAILING, Some(500), "error", "exact"),
        (DROPPING, None, "error", "estimated"),
        (REFUSING, Some(400), "refused", "exact"),
        (HANGING, None, "timeout", "estimated"),
        (CUT, Some(200), "error", "estimated"),
        (SLOW, Some(200), "cancelled", "estimated"),
    ] {
        for row in of(backend) {
            let end = (row.status, row.outcome.as_str(), row.basis.as_str());
            assert_eq!(end, (status, outcome, basis), "{row:?}");
            let (input, output) = row.tokens;
            let [input, output] = [input, output].map(|count| u64::try_from(count).unwrap());
            let cost = price(0, input, output);
            assert_eq!(u128::try_from(row.cost.unwrap()).unwrap(), cost, "{row:?}");
            // refused: nothing; never answered: the prompt; answered in part: what came
            let came = [PLAIN, MUTE, CUT, SLOW].contains(&backend);
            let sent = came || [DROPPING, HANGING].contains(&backend);
            assert_eq!((input > 0, output > 0), (sent, came), "{row:?}");
        }
    }
    assert_eq!(of(PLAIN)[0].tokens, (40, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_at_any_moment_leaves_one_row() {
    let sim = simulator().await;
    let setup = Setup::new(&sim)
        .server("sse_keep_alive: 100ms")
        .model("m", &["a/x+out=20+head=50ms+ttft=50ms+gap=10ms"]);
    let kept = Kept::start(setup).await;
    let mut calls = JoinSet::new();
    for n in 0..60_u64 {
        let body = if n % 2 == 0 { stream("m") } else { ask("m") };
        let call = kept.gateway.post(&body);
        calls.spawn(async move {
            let patience = Duration::from_millis(n * 6);
            let read = async { Stream::read(call.open().await).await };
            let _ = tokio::time::timeout(patience, read).await;
        });
    }
    calls.join_all().await;
    let rows = kept.settled().await;
    eventually("every call is over at the backend", async || {
        sim.account()
            .models
            .iter()
            .all(|model| model.in_flight == 0)
    })
    .await;
    let requests = kept.gateway.metrics().await.count("requests_total", &[]);
    assert!(requests > 0 && rows.len() as u64 <= requests);
    let attempts = kept.gateway.metrics().await.count("attempts_total", &[]);
    assert_eq!(rows.len() as u64, attempts);
    assert!(sim.account().requests <= attempts, "a call without a row");
    assert!(rows.iter().all(|row| row.attempt == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_says_whose_it_is_and_holds_no_word_of_the_client_but_tags() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m*", &["a/x+out=1"]).also(
        "keys:\n  - id: team-a\n    key: sk-team-a-0123456789abcdef\n    tags: { team: a, env: prod }",
    );
    let kept = Kept::start(setup.also("routes: [{ name: auto, candidates: ['m*'] }]")).await;
    let key = "sk-team-a-0123456789abcdef";
    let mut body = ask("my-secret-name");
    body["user"] = json!("alice@example.com");
    body["tollgate"] = json!({ "tags": { "team": "b", "feature": "chat" } });
    let reply = kept.gateway.post(&body).key(key).send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let call = kept.gateway.post(&ask("auto")).key(key);
    let reply = call.header("x-tollgate-tags", "run=7").send().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    kept.gateway.ask_as(key, "auto").await;

    let rows = kept.settled().await;
    let tags: Vec<_> = rows
        .iter()
        .map(|row| row.tags.as_deref().unwrap())
        .collect();
    assert_eq!(
        tags,
        [
            r#"{"env":"prod","feature":"chat","team":"a"}"#,
            r#"{"env":"prod","run":"7","team":"a"}"#,
            r#"{"env":"prod","team":"a"}"#,
        ]
    );
    assert!(rows.iter().all(|row| row.key.as_deref() == Some("team-a")));
    assert!(rows.iter().all(|row| row.model == "m*"));
    let routes: Vec<_> = rows.iter().map(|row| row.route.as_deref()).collect();
    assert_eq!(routes, [None, Some("auto"), Some("auto")]);
    // printf %s alice@example.com | sha256sum | cut -c -16
    assert_eq!(rows[0].user.as_deref(), Some("ff8d9819fc0e12bf"));
    for end in ["", "-wal"] {
        let file = kept.folder.path().join(format!("l.db{end}"));
        let bytes = std::fs::read(file).unwrap();
        for word in ["my-secret-name", "alice", "Say something", key] {
            let found = bytes
                .windows(word.len())
                .any(|part| part == word.as_bytes());
            assert!(!found, "{word} in l.db{end}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_own_charge_counts_unless_the_operator_states_the_price() {
    use crate::support::{Scripted, scripted};
    let body = r#"{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"cost":0.25}}"#;
    let upstream = Scripted::saying(scripted::json(body)).await;
    let provider = upstream.provider();
    let able = "context: 1000, max_output: 100, caps: [streaming]";
    let yaml = format!(
        "providers:\n  p: {{ {provider} }}\n  q: {{ {provider} }}\nmodels:\n\
         - {{ name: silent, {able}, backends: [{{ provider: p, model: x }}] }}\n\
         - {{ name: stated, {able}, backends: [{{ provider: q, model: x, price: {{ input: '1', \
         output: '2' }} }}] }}\n\
         - {{ name: free, {able}, backends: [{{ provider: q, model: y, price: free }}] }}\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let store = format!("store: {{ ledger: 'sqlite:{}' }}\n", path.display());
    let gateway = crate::support::Gateway::start(&(yaml + &store)).await;
    for (model, cost) in [("silent", "0.25"), ("stated", "0.00002"), ("free", "0")] {
        let reply = gateway.ask(model).await;
        assert_eq!(reply.header("x-tollgate-cost-usd"), cost, "{model}");
    }
    gateway.stop().await;
    let rows = rows(&path);
    let found: Vec<_> = rows.iter().map(|r| (r.cost, r.basis.as_str())).collect();
    assert_eq!(
        found,
        [
            (Some(250_000_000_000), "reported"),
            (Some(20_000_000), "exact"),
            (Some(0), "exact")
        ]
    );
    let db = Connection::open(&path).unwrap();
    let both = "SELECT list_cost, reported_cost FROM attempts ORDER BY request_id";
    let mut statement = db.prepare(both).unwrap();
    let both = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let both: Vec<(Option<i64>, Option<i64>)> = both.unwrap().map(Result::unwrap).collect();
    let said = Some(250_000_000_000);
    assert_eq!(
        both,
        [(None, said), (Some(20_000_000), said), (Some(0), said)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_price_costs_null_and_is_counted() {
    let sim = simulator().await;
    let yaml = format!(
        "providers: {{ p: {{ base_url: 'http://{}/v1' }} }}\nmodels:\n- {{ name: m, context: 1000, \
         max_output: 100, caps: [streaming], backends: [{{ provider: p, model: 'x+usage=bad' }}] }}",
        sim.addr()
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let store = format!("\nstore: {{ ledger: 'sqlite:{}' }}\n", path.display());
    let gateway = crate::support::Gateway::start(&(yaml + &store)).await;
    assert_eq!(gateway.ask("m").await.status, 200);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.count("unpriced_requests_total", &[]), 1);
    gateway.stop().await;
    let rows = rows(&path);
    assert_eq!((rows[0].cost, rows[0].basis.as_str()), (None, "unpriced"));
    // it contradicted itself, so it is kept as it came
    let db = Connection::open(&path).unwrap();
    let raw = db.query_row("SELECT raw_usage FROM attempts", [], |row| {
        row.get::<_, String>(0)
    });
    assert!(raw.unwrap().starts_with('{'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_stop_writes_everything() {
    let sim = simulator().await;
    let kept = Kept::start(Setup::new(&sim).model("m", &["a/x+out=3"])).await;
    let path = kept.path();
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        calls.spawn(kept.gateway.post(&ask("m")).send());
    }
    calls.join_all().await;
    let usage = kept.gateway.post(&stream_with_usage("m"));
    Stream::read(usage.open().await).await;
    kept.gateway.stop().await;
    assert_eq!(rows(&path).len(), 41);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_ledger_is_locked_requests_are_served_and_their_rows_come_in_later() {
    let sim = simulator().await;
    let kept = Kept::start(Setup::new(&sim).model("m", &["a/x+out=3"])).await;
    let other = Connection::open(kept.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..20 {
        assert_eq!(kept.gateway.ask("m").await.status, 200);
    }
    let metrics = kept.gateway.metrics().await;
    assert_eq!(metrics.count("ledger_pending_rows", &[]), 20);
    drop(other);
    assert_eq!(kept.settled().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_asked_for_nothing_is_served_without_the_ledger() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m", &["a/x+out=3"]);
    let kept = Kept::start_with(setup, ", on_failure: refuse").await;
    let other = Connection::open(kept.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // the first rows show that it can't be written
    let mut refused = None;
    eventually("requests are refused", async || {
        let reply = kept.gateway.ask("m").await;
        let done = reply.status == 503;
        refused = Some(reply);
        done
    })
    .await;
    let refused = refused.unwrap();
    assert_eq!(refused.refusal(), "503 server_error overloaded null");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.header("x-should-retry"), "true");
    drop(other);
    eventually("requests are served again", async || {
        kept.gateway.ask("m").await.status == 200
    })
    .await;
    let rows = kept.settled().await;
    assert_eq!(rows.len() as u64, sim.account().requests);
}
