//! Shared budgets over restarts, kills, reloads and changes of keys.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::BROKE;
use crate::support::{
    Call, Reply, Setup, eventually,
    gateway::{ADMIN_KEY, ask, stream},
    pico,
    program::Program,
    simulator,
};

const A: &str = "sk-team-a-0123456789abcdef";
const B: &str = "sk-team-b-0123456789abcdef";

/// Two keys; the team of the first can be another one.
fn keys(team: &str) -> String {
    format!(
        "routes: [{{ name: auto, candidates: [m] }}]
keys:
  - {{ id: a, key: {A}, tags: {{ team: {team} }} }}
  - {{ id: b, key: {B}, tags: {{ team: b }} }}"
    )
}

fn call(program: &Program, key: &str, body: &Value) -> Call {
    Call::new(program.client, Method::POST, "/v1/chat/completions")
        .json(body)
        .key(key)
}

async fn send(program: &Program, key: &str, model: &str) -> Reply {
    call(program, key, &ask(model)).send().await
}

/// Spent and held of the budgets that a key sees, in pico-dollars.
async fn stands(program: &Program, key: &str) -> BTreeMap<String, (u128, u128)> {
    let shown = Call::new(program.client, Method::GET, "/v1/key").key(key);
    let shown = shown.send().await.json();
    let budgets = shown["budgets"].as_array().unwrap().iter();
    let figure = |it: &Value, name: &str| pico(it[name].as_str().unwrap());
    let named = budgets.map(|it| {
        let figures = (figure(it, "spent_usd"), figure(it, "held_usd"));
        (it["id"].as_str().unwrap().to_owned(), figures)
    });
    named.collect()
}

fn spent(program: &Program, matches: &str) -> u128 {
    let db = rusqlite::Connection::open(program.file("tollgate.db")).unwrap();
    let sum = format!("SELECT coalesce(sum(cost), 0) FROM attempts WHERE {matches}");
    let sum: i64 = db.query_row(&sum, [], |row| row.get(0)).unwrap();
    sum.try_into().unwrap()
}

const BUDGETS: &str = "budgets:
  - { id: all, usd: '1', per: month, show_spent: true }
  - { id: each, tag: team, usd: '1', per: month, show_spent: true }
  - { id: auto, route: auto, usd: '1', per: total, show_spent: true }";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_comes_back_with_what_was_spent_of_each_and_holds_nothing() {
    let sim = simulator().await;
    let setup = Setup::new(&sim)
        .model("m", &["a/m+out=20"])
        .model("slow", &["a/m+out=500+gap=20ms"]);
    let setup = setup.also(&keys("a")).also(BUDGETS);
    let mut program = Program::start(&setup.yaml()).await;
    let mut streams = JoinSet::new();
    for _ in 0..5 {
        let open = call(&program, A, &stream("slow")).open().await;
        streams.spawn(async move {
            let mut open = open;
            while let Some(Ok(_)) = open.frame().await {}
        });
    }
    for (key, model) in [(A, "m"), (A, "auto"), (B, "auto"), (B, "m"), (B, "m")] {
        assert_eq!(send(&program, key, model).await.status, 200);
    }
    let (a, b) = (stands(&program, A).await, stands(&program, B).await);
    assert!(a["each"].1 > 0 && a["all"].1 == a["each"].1 && b["each"].1 == 0);
    eventually("the rows are written", async || {
        spent(&program, "1") == a["all"].0
    })
    .await;
    program.signal("KILL");
    program.end().await;
    let program = program.start_again().await;
    let settled = |before: &BTreeMap<String, (u128, u128)>| {
        let before = before.iter();
        before
            .map(|(id, (spent, _))| (id.clone(), (*spent, 0)))
            .collect::<BTreeMap<_, _>>()
    };
    assert_eq!(stands(&program, A).await, settled(&a));
    assert_eq!(stands(&program, B).await, settled(&b));
    assert_eq!(a["each"].0, spent(&program, "key = 'a'"));
    assert_eq!(a["auto"].0, spent(&program, "route = 'auto'"));
    assert_eq!(a["each"].0 + b["each"].0, a["all"].0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_added_counts_what_was_spent_before_it() {
    let sim = simulator().await;
    let setup = Setup::new(&sim)
        .model("m", &["a/m+out=100"])
        .also(&keys("a"));
    let program = Program::start(&setup.yaml()).await;
    let mut body = ask("auto");
    body["max_tokens"] = json!(100);
    // tags that a request sends, of a key that has none of that name, count for no budget
    let sent = call(&program, B, &body).header("x-tollgate-tags", "user=x");
    assert_eq!(sent.send().await.status, 200);
    assert_eq!(call(&program, A, &body).send().await.status, 200);
    let with = "budgets:
  - { id: all, usd: '0.0005', per: month, show_spent: true }
  - { id: team-a, tag: team=a, usd: '1', per: day, show_spent: true }
  - { id: user, tag: user=x, usd: '1', per: day, show_spent: true }
  - { id: auto, route: auto, usd: '1', per: week, show_spent: true }";
    program.rewrite(&setup.clone().also(with).yaml());
    eventually("the budgets hold", async || {
        stands(&program, A).await.len() == 3
    })
    .await;
    let (a, b) = (spent(&program, "key = 'a'"), spent(&program, "key = 'b'"));
    let want = [("all", a + b), ("team-a", a), ("auto", a + b)];
    let want = want.map(|(id, spent)| (id.to_owned(), (spent, 0)));
    assert_eq!(stands(&program, A).await, BTreeMap::from(want));
    assert_eq!(call(&program, B, &body).send().await.refusal(), BROKE);
    // a key with that tag was never called
    let more = with.replace("usd: '0.0005'", "usd: '1'");
    let third = format!(
        "{}\n  - {{ id: c, key: {A}-c, tags: {{ user: x }} }}",
        keys("a")
    );
    let setup = Setup::new(&sim).model("m", &["a/m+out=100"]).also(&third);
    program.rewrite(&setup.also(&more).yaml());
    let key = format!("{A}-c");
    eventually("the third key is there", async || {
        let shown = Call::new(program.client, Method::GET, "/v1/key").key(&key);
        shown.send().await.status == 200
    })
    .await;
    assert_eq!(stands(&program, &key).await["user"], (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_spent_stays_with_the_team_that_it_had() {
    let sim = simulator().await;
    let setup = |team: &str| {
        let setup = Setup::new(&sim).model("m", &["a/m+out=20"]);
        setup.also(&keys(team)).also(BUDGETS).yaml()
    };
    let mut program = Program::start(&setup("a")).await;
    for key in [A, B, B] {
        assert_eq!(send(&program, key, "m").await.status, 200);
    }
    let (a, b) = (
        stands(&program, A).await["each"].0,
        stands(&program, B).await["each"].0,
    );
    program.rewrite(&setup("b"));
    eventually("the key changed its team", async || {
        stands(&program, A).await["each"].0 == b
    })
    .await;
    assert_eq!(send(&program, A, "m").await.status, 200);
    let moved = stands(&program, B).await["each"].0;
    assert!(moved > b);
    eventually("the rows are written", async || {
        spent(&program, "1") == a + moved
    })
    .await;
    program.signal("KILL");
    program.end().await;
    let program = program.start_again().await;
    assert_eq!(stands(&program, A).await["each"], (moved, 0));
    program.rewrite(&setup("a"));
    eventually("it is back", async || {
        stands(&program, A).await["each"] == (a, 0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_store_are_held_to_the_budgets_of_their_tags_as_they_are_now() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m", &["a/m+out=20"]);
    let setup = setup.also(&format!("admin: {{ key: {ADMIN_KEY} }}"));
    let program = Program::start(&setup.also(&keys("a")).also(BUDGETS).yaml()).await;
    let operator = |method, path: &str, body: &Value| {
        Call::new(program.admin, method, path)
            .json(body)
            .key(ADMIN_KEY)
    };
    let terms = json!({ "id": "s", "tags": { "team": "a" },
        "budget": { "usd": "2", "soft": "1", "per": "day" } });
    let made = operator(Method::POST, "/admin/v1/keys", &terms)
        .send()
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json()["budget"]["soft"], "1");
    let secret = made.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(send(&program, &secret, "m").await.status, 200);
    let cost = stands(&program, A).await["each"].0;
    assert!(cost > 0);
    let change = json!({ "tags": { "team": "c" } });
    let changed = operator(Method::PATCH, "/admin/v1/keys/s", &change)
        .send()
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(send(&program, &secret, "m").await.status, 200);
    assert_eq!(stands(&program, A).await["each"].0, cost);
    assert!(stands(&program, &secret).await["each"].0 > 0);
    let wrong = json!({ "budget": { "usd": "2", "soft": "3", "per": "day" } });
    let refused = operator(Method::PATCH, "/admin/v1/keys/s", &wrong)
        .send()
        .await;
    assert_eq!(
        refused.refusal(),
        "400 invalid_request_error invalid_body null"
    );
    assert!(refused.text().contains("budget.soft"), "{}", refused.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_hundred_at_once_are_all_served_although_the_ledger_is_asked_for_each() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m", &["a/m+out=20"]);
    let program = Program::start(&setup.also(&keys("a")).also(BUDGETS).yaml()).await;
    let mut calls = JoinSet::new();
    for n in 0..100 {
        let mut body = ask(["m", "auto"][n % 2]);
        // so little is held that there is money for all
        body["max_tokens"] = json!(20);
        calls.spawn(call(&program, [A, B][n % 2], &body).send());
    }
    let replies = calls.join_all().await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    eventually("the rows are written", async || {
        let (all, _) = stands(&program, A).await["all"];
        all > 0 && spent(&program, "1") == all
    })
    .await;
}
