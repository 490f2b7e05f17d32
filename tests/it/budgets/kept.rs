//! Over restarts, kills and reloads.

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{BROKE, KEY, key};
use crate::support::{
    Call, Setup, eventually,
    gateway::{ask, stream},
    pico,
    program::Program,
    simulator,
};

fn call(program: &Program, body: &Value) -> Call {
    Call::new(program.client, Method::POST, "/v1/chat/completions")
        .json(body)
        .key(KEY)
}

/// What is spent and held of the budget, in pico-dollars.
async fn figures(program: &Program) -> (u128, u128) {
    let shown = Call::new(program.client, Method::GET, "/v1/key").key(KEY);
    let key = shown.send().await.json();
    let figure = |name: &str| pico(key["budget"][name].as_str().unwrap());
    (figure("spent_usd"), figure("held_usd"))
}

/// What the ledger says was spent.
fn ledger(program: &Program) -> u128 {
    let db = rusqlite::Connection::open(program.file("tollgate.db")).unwrap();
    let sum = "SELECT coalesce(sum(cost), 0) FROM attempts WHERE key = 'team-a'";
    let sum: i64 = db.query_row(sum, [], |row| row.get(0)).unwrap();
    sum.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_stays_spent_over_a_restart() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m", &["a/m+out=20"]);
    let mut program = Program::start(&setup.also(&key("{ usd: '1', per: month }")).yaml()).await;
    for _ in 0..5 {
        assert_eq!(call(&program, &ask("m")).send().await.status, 200);
    }
    let before = figures(&program).await;
    assert!(before.0 > 0 && before.1 == 0);
    program.signal("TERM");
    program.end().await;
    let program = program.start_again().await;
    assert_eq!(figures(&program).await, before);
    assert_eq!(ledger(&program), before.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_comes_back_with_what_the_ledger_has_and_holds_nothing() {
    let sim = simulator().await;
    let setup = Setup::new(&sim)
        .model("m", &["a/m+out=20"])
        .model("slow", &["a/m+out=500+gap=20ms"]);
    let mut program = Program::start(&setup.also(&key("{ usd: '1', per: total }")).yaml()).await;
    let mut streams = JoinSet::new();
    for _ in 0..10 {
        let open = call(&program, &stream("slow")).open().await;
        streams.spawn(async move {
            let mut open = open;
            while let Some(Ok(_)) = open.frame().await {}
        });
    }
    for _ in 0..10 {
        assert_eq!(call(&program, &ask("m")).send().await.status, 200);
    }
    let (spent, held) = figures(&program).await;
    assert!(spent > 0 && held > 0);
    eventually("the rows are written", async || ledger(&program) == spent).await;
    program.signal("KILL");
    program.end().await;
    let program = program.start_again().await;
    assert_eq!(figures(&program).await, (spent, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_used_up_is_so_after_a_restart_too() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m", &["a/m+out=100"]);
    let setup = setup.also(&key("{ usd: '0.0008', per: day }"));
    let mut body = ask("m");
    body["max_tokens"] = json!(100);
    let mut program = Program::start(&setup.yaml()).await;
    while call(&program, &body).send().await.status == 200 {}
    let (spent, _) = figures(&program).await;
    eventually("the rows are written", async || ledger(&program) == spent).await;
    program.signal("KILL");
    program.end().await;
    let program = program.start_again().await;
    assert_eq!(call(&program, &body).send().await.refusal(), BROKE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_the_budget_and_forgets_nothing() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m", &["a/m+out=100"]);
    let with = |budget: &str| setup.clone().also(&key(budget)).yaml();
    let mut body = ask("m");
    body["max_tokens"] = json!(100);
    let program = Program::start(&with("{ usd: '0.0008', per: day }")).await;
    while call(&program, &body).send().await.status == 200 {}
    let (spent, _) = figures(&program).await;
    program.rewrite(&with("{ usd: '0.08', per: day }"));
    eventually("there is more money", async || {
        call(&program, &body).send().await.status == 200
    })
    .await;
    let (more, _) = figures(&program).await;
    assert!(more > spent && more < spent * 2, "{spent}, {more}");
    // another window is asked for in the ledger
    program.rewrite(&with("{ usd: '0.08', per: month }"));
    eventually("the window is another one", async || {
        let shown = Call::new(program.client, Method::GET, "/v1/key").key(KEY);
        shown.send().await.json()["budget"]["per"] == "month"
    })
    .await;
    assert_eq!(figures(&program).await, (more, 0));
}
