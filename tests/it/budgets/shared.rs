//! Budgets that several share: by tag, by route, of everybody.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{BROKE, cost};
use crate::support::{
    Gateway, Reply, Setup, Stream, eventually,
    gateway::{ADMIN_KEY, ask, stream_with_usage},
    pico,
    program::run,
    simulator,
};

/// Keys of two teams, one without, and one of the first team that has its own budget.
const KEYS: &str = "keys:
  - { id: a1, key: sk-a1-0123456789abcdef, tags: { team: a } }
  - { id: a2, key: sk-a2-0123456789abcdef, tags: { team: a, user: x } }
  - { id: b, key: sk-b-0123456789abcdefgh, tags: { team: b } }
  - { id: none, key: sk-none-0123456789abcd }
  - { id: own, key: sk-own-0123456789abcde, tags: { team: a }, budget: { usd: '1', per: day } }";
const A1: &str = "sk-a1-0123456789abcdef";
const A2: &str = "sk-a2-0123456789abcdef";
const B: &str = "sk-b-0123456789abcdefgh";
const NONE: &str = "sk-none-0123456789abcd";
const OWN: &str = "sk-own-0123456789abcde";

fn limited(model: &str, tokens: u64) -> Value {
    let mut body = ask(model);
    body["max_tokens"] = json!(tokens);
    body
}

async fn send(gateway: &Gateway, key: &str, body: &Value) -> Reply {
    gateway.post(body).key(key).send().await
}

/// Spent and held in pico-dollars of each budget, by id and what follows it.
async fn stands(gateway: &Gateway) -> BTreeMap<String, (u128, u128)> {
    let call = gateway.operator(Method::GET, "/admin/v1/budgets");
    let list = call.key(ADMIN_KEY).send().await.json();
    let figure = |budget: &Value, name: &str| pico(budget[name].as_str().unwrap());
    let budgets = list["budgets"].as_array().unwrap().iter();
    let named = budgets.map(|budget| {
        let tag = budget["tag"].as_str().unwrap_or_default();
        let name = format!("{} {tag}", budget["id"].as_str().unwrap());
        let figures = (figure(budget, "spent_usd"), figure(budget, "held_usd"));
        (name.trim().to_owned(), figures)
    });
    named.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_budget_counts_whom_it_is_for_and_nobody_else() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m"])
        .also("routes: [{ name: auto, candidates: [m] }, { name: other, candidates: [m] }]")
        .also(KEYS)
        .also(
            "budgets:
  - { id: all, usd: '10', per: month }
  - { id: a, tag: team=a, usd: '10', per: day }
  - { id: each, tag: team, usd: '10', per: week }
  - { id: auto, route: auto, usd: '10', per: total }",
        )
        .start()
        .await;
    let a1 = cost(&send(&gateway, A1, &ask("m")).await);
    let a2 = cost(&send(&gateway, A2, &ask("auto")).await);
    let b = cost(&send(&gateway, B, &ask("other")).await);
    // a tag of the request counts for no budget
    let call = gateway.post(&ask("auto")).key(NONE);
    let none = cost(&call.header("x-tollgate-tags", "team=a").send().await);
    let own = cost(&send(&gateway, OWN, &ask("m")).await);
    let want = [
        ("all", a1 + a2 + b + none + own),
        ("a team=a", a1 + a2 + own),
        ("each team=a", a1 + a2 + own),
        ("each team=b", b),
        ("auto", a2 + none),
    ];
    let want = want.map(|(name, spent)| (name.to_owned(), (spent, 0)));
    assert_eq!(stands(&gateway).await, BTreeMap::from(want));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_on_overlapping_budgets_spend_none_too_much_and_leave_nothing_held() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+out=200+ttft=50ms"])
        .also("routes: [{ name: auto, candidates: [m] }]")
        .also(KEYS)
        // about 400 millionths of a dollar each: for 40, 12, 20 and 30
        .also(
            "budgets:
  - { id: all, usd: '0.016', per: month }
  - { id: a, tag: team=a, usd: '0.0048', per: month }
  - { id: each, tag: team, usd: '0.008', per: month }
  - { id: auto, route: auto, usd: '0.012', per: month }",
        )
        .start()
        .await;
    let mut calls = JoinSet::new();
    for n in 0..200 {
        let key = [A1, A2, B, NONE, OWN][n % 5];
        let model = ["m", "auto"][n % 2];
        calls.spawn(gateway.post(&limited(model, 200)).key(key).send());
    }
    let replies = calls.join_all().await;
    let (served, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|r| r.status == 200);
    assert!(refused.iter().all(|reply| reply.refusal() == BROKE));
    let spent: u128 = served.iter().map(|reply| cost(reply)).sum();
    let after = stands(&gateway).await;
    assert_eq!(after["all"], (spent, 0));
    let limits = [
        ("all", 16_000_000_000),
        ("a team=a", 4_800_000_000),
        ("each team=a", 8_000_000_000),
        ("each team=b", 8_000_000_000),
        ("auto", 12_000_000_000),
    ];
    for (name, limit) in limits {
        let (spent, held) = after[name];
        assert!(spent <= limit && held == 0, "{name}: {spent} of {limit}");
    }
    // what was held in vain is there for those who come
    while send(&gateway, NONE, &limited("m", 200)).await.status == 200 {}
    let (spent, held) = stands(&gateway).await["all"];
    assert!(
        (15_000_000_000..=16_000_000_000).contains(&spent),
        "{spent}"
    );
    assert_eq!(held, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_the_budget_and_not_what_others_spent() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+out=100"])
        .also(KEYS)
        .also(
            "budgets:
  - { id: eng, tag: team=a, usd: '0.0005', per: month }
  - { id: open, tag: team=b, usd: '0.0005', per: total, show_spent: true }",
        )
        .start()
        .await;
    while send(&gateway, A1, &limited("m", 100)).await.status == 200 {}
    let refused = send(&gateway, A2, &limited("m", 100)).await;
    assert_eq!(refused.refusal(), BROKE);
    assert_eq!(refused.header("x-should-retry"), "false");
    let says = refused.error().message;
    assert!(says.starts_with("the budget `eng` of 0.0005 USD a month does not"));
    assert!(
        says.contains("; it begins anew at ") && !says.contains("spent"),
        "{says}"
    );
    while send(&gateway, B, &limited("m", 100)).await.status == 200 {}
    let says = send(&gateway, B, &limited("m", 100)).await.error().message;
    assert!(
        says.contains("`open`") && says.contains("USD are spent and 0 USD"),
        "{says}"
    );
    // who is held to neither goes on
    assert_eq!(send(&gateway, NONE, &limited("m", 100)).await.status, 200);
    let metrics = gateway.metrics().await;
    let over = metrics.count(
        "key_requests_total",
        &[("key", "a2"), ("outcome", "over_budget")],
    );
    assert_eq!(over, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_of_the_client_the_tightest_budget_limits_the_output() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+out=200000"])
        .also(KEYS)
        .also(
            "budgets:
  - { id: all, usd: '1', per: month }
  - { id: a, tag: team=a, usd: '0.02', per: month }",
        )
        .start()
        .await;
    let written = |reply: &Reply| reply.json()["usage"]["completion_tokens"].as_u64().unwrap();
    // an eighth of two cents, and of a dollar, at two dollars a million
    let a = written(&send(&gateway, OWN, &ask("m")).await);
    assert!((1_200..=1_250).contains(&a), "{a}");
    let b = written(&send(&gateway, B, &ask("m")).await);
    assert!((61_000..=62_500).contains(&b), "{b}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_what_was_held_of_every_budget() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+fault=stall:3"])
        .also("routes: [{ name: auto, candidates: [m] }]")
        .also(KEYS)
        .also(
            "budgets: [{ id: all, usd: '5', per: day }, { id: each, tag: team, usd: '5', per: day }, \
             { id: auto, route: auto, usd: '5', per: day }]",
        )
        .start()
        .await;
    let mut body = stream_with_usage("auto");
    body["max_tokens"] = json!(1_000);
    let mut open = gateway.post(&body).key(OWN).open().await;
    open.frame().await.unwrap().unwrap();
    let held: Vec<_> = stands(&gateway).await.into_values().collect();
    assert_eq!(held.len(), 4, "each of a and of b, all, and the route");
    let paid: Vec<_> = held
        .iter()
        .filter(|(_, held)| *held > 2_000_000_000)
        .collect();
    assert!(
        paid.len() == 3 && paid.iter().all(|it| it.1 == paid[0].1),
        "{held:?}"
    );
    drop(open);
    eventually("nothing is held", async || {
        stands(&gateway).await.values().all(|(_, held)| *held == 0)
    })
    .await;
    let spent: Vec<_> = stands(&gateway)
        .await
        .into_values()
        .map(|it| it.0)
        .collect();
    assert_eq!(spent.iter().filter(|spent| **spent > 0).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_limit_warns_on_answers_and_refuses_nothing() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+out=100"])
        .also(
            "keys:
  - { id: soft, key: sk-soft-0123456789abcd, tags: { team: a }, \
             budget: { usd: '1', soft: '0.0001', per: total } }
  - { id: other, key: sk-other-0123456789abc }
budgets:
  - { id: eng, tag: team, usd: '1', soft: '0.0001', per: month }
  - { id: shown, tag: team=a, usd: '0.1', soft: '0.0001', per: total, show_spent: true }",
        )
        .start()
        .await;
    let key = "sk-soft-0123456789abcd";
    let first = send(&gateway, key, &ask("m")).await;
    assert_eq!(first.status, 200);
    assert!(!first.headers.contains_key("x-tollgate-budget-warning"));
    for reply in [
        send(&gateway, key, &ask("m")).await,
        send(&gateway, key, &limited("m", 100)).await,
    ] {
        assert_eq!(reply.status, 200);
        let warning = reply.header("x-tollgate-budget-warning");
        let mut parts: Vec<_> = warning.split("; ").collect();
        parts.sort_unstable();
        assert_eq!(parts.len(), 3, "{warning}");
        assert!(parts[0].starts_with("budget eng team=a over its soft limit, resets 20"));
        assert!(
            parts[1].starts_with("budget shown 0% of 0.1 USD"),
            "{warning}"
        );
        assert!(parts[2].starts_with("key soft 0% of 1 USD"), "{warning}");
    }
    let streamed = gateway.post(&stream_with_usage("m")).key(key).open().await;
    assert!(streamed.headers.contains_key("x-tollgate-budget-warning"));
    Stream::read(streamed).await;
    let other = gateway.ask_as("sk-other-0123456789abc", "m").await;
    assert!(!other.headers.contains_key("x-tollgate-budget-warning"));
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.count("budget_soft_exceeded_total", &[("key", "soft")]),
        1
    );
    for labels in [
        [("budget", "eng"), ("value", "a")],
        [("budget", "shown"), ("value", "")],
    ] {
        assert_eq!(
            metrics.count("shared_budget_soft_exceeded_total", &labels),
            1
        );
        assert_eq!(metrics.sum("shared_budget_soft_usd", &labels), 0.0001);
        assert!(metrics.sum("shared_budget_spent_usd", &labels) > 0.0008);
        assert_eq!(metrics.sum("shared_budget_held_usd", &labels), 0.0);
    }
    assert_eq!(
        metrics.sum("shared_budget_limit_usd", &[("budget", "shown")]),
        0.1
    );
    assert_eq!(metrics.sum("budget_soft_usd", &[("key", "soft")]), 0.0001);
}

#[tokio::test(flavor = "multi_thread")]
async fn v1_key_shows_every_budget_and_no_figures_of_others() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m"])
        .also("routes: [{ name: auto, candidates: [m] }, { name: hidden, candidates: [m] }]")
        .also(
            "keys:
  - { id: a, key: sk-a1-0123456789abcdef, models: [auto, m], tags: { team: a } }
budgets:
  - { id: all, usd: '5', soft: '4', per: total }
  - { id: each, tag: team, usd: '1', per: total, show_spent: true }
  - { id: theirs, tag: team=b, usd: '1', per: total }
  - { id: auto, route: auto, usd: '2', per: total }
  - { id: hidden, route: hidden, usd: '2', per: total }",
        )
        .start()
        .await;
    let spent = send(&gateway, A1, &ask("m")).await;
    let spent = spent.header("x-tollgate-cost-usd").to_owned();
    let shown = gateway.get("/v1/key").key(A1).send().await.json();
    assert_eq!(shown["budget"], Value::Null);
    let budgets = shown["budgets"].as_array().unwrap();
    let ids: Vec<_> = budgets
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["all", "each", "auto"]);
    assert_eq!(
        budgets[0],
        json!({
            "id": "all", "tag": null, "route": null, "usd": "5", "soft": "4", "per": "total",
            "over_soft": false, "spent_usd": null, "held_usd": null, "remaining_usd": null,
            "resets_at": null,
        })
    );
    assert_eq!(budgets[1]["tag"], "team=a");
    assert_eq!(budgets[1]["spent_usd"], *spent);
    assert_eq!(budgets[2]["route"], "auto");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_price_is_never_paid_from_a_budget() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m"])
        .also_model(
            "{ name: secret, context: 100000, max_output: 1000, caps: [streaming], \
             backends: [{ provider: a, model: secret }] }",
        )
        .also(
            "routes: [{ name: auto, candidates: [secret, m] }, { name: r, candidates: [secret] }]",
        )
        .also(KEYS)
        .also(
            "budgets: [{ id: b, tag: team=b, usd: '1', per: day }, \
             { id: auto, route: auto, usd: '1', per: day }]",
        )
        .start()
        .await;
    let refused = send(&gateway, B, &ask("secret")).await;
    assert_eq!(
        refused.refusal(),
        "403 invalid_request_error policy_excludes_all null"
    );
    assert_eq!(send(&gateway, A1, &ask("secret")).await.status, 200);
    assert_eq!(send(&gateway, A1, &ask("r")).await.status, 200);
    let auto = send(&gateway, A1, &ask("auto")).await;
    assert_eq!(auto.header("x-tollgate-model"), "m");
    assert_eq!(
        auto.header("x-tollgate-decision"),
        "only one capable; 1 refused"
    );
}

#[test]
fn check_lists_them() {
    let yaml = format!(
        "server: {{ listen: 127.0.0.1:0 }}\nadmin: {{ listen: 127.0.0.1:1 }}\n\
         providers: {{ a: {{ base_url: http://127.0.0.1:9/v1 }} }}\n\
         models: [{{ name: m, backends: [{{ provider: a, model: m, price: free }}] }}]\n\
         routes: [{{ name: auto, candidates: [m] }}]\n{KEYS}\nbudgets:\n  \
         - {{ id: all, usd: '10', soft: '8', per: month }}\n  \
         - {{ id: teams, tag: team, usd: '2', per: day }}\n  \
         - {{ id: auto, route: auto, usd: '3', per: week }}\n"
    );
    let output = run(&yaml, &["check"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "BUDGET  COUNTS                 USD  SOFT  PER",
        "all     everything             10   8     month",
        "teams   tag: team, each value  2    -     day",
        "auto    route: auto            3    -     week",
        "1 key has a budget of its own.",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let output = run(&yaml, &["check", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["budgets"]["teams"]["tag"], "team");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_everybody_holds_those_who_are_asked_for_no_key() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+out=100"])
        .also("budgets: [{ id: all, usd: '0.0005', per: day }]")
        .start()
        .await;
    while gateway.post(&limited("m", 100)).send().await.status == 200 {}
    let refused = gateway.post(&limited("m", 100)).send().await;
    assert_eq!(refused.refusal(), BROKE);
    let (spent, held) = stands(&gateway).await["all"];
    assert!(
        spent > 200_000_000 && spent <= 500_000_000 && held == 0,
        "{spent}"
    );
}
