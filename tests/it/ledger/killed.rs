//! The real program, ended in every way.

use std::{collections::BTreeSet, time::Duration};

use http::Method;
use jiff::Timestamp;
use tokio::task::JoinSet;

use super::rows;
use crate::support::{
    Call, Setup, eventually,
    gateway::{ask, stream},
    program::{Program, command},
    simulator,
};

/// What may be lost when the program is killed.
const MAY_BE_LOST: Duration = Duration::from_millis(100);

/// A moderate load until the program is gone.
async fn load(client: std::net::SocketAddr) {
    let mut clients = JoinSet::new();
    for n in 0..8 {
        clients.spawn(async move {
            loop {
                let body = if n % 2 == 0 { ask("m") } else { stream("m") };
                let call = Call::new(client, Method::POST, "/v1/chat/completions").json(&body);
                let Ok(mut open) = call.try_open().await else {
                    return;
                };
                while let Some(Ok(_)) = open.frame().await {}
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    clients.join_all().await;
}

/// The requests that the log says were settled, with the moment of each.
fn settled(program: &Program) -> Vec<(String, Timestamp)> {
    let log = program.log();
    let lines = log.iter().filter(|line| line["message"] == "request");
    lines
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap();
            let moment = text("timestamp").parse().unwrap();
            (text("request_id").to_owned(), moment)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_program_loses_at_most_the_last_100_ms_and_keeps_nothing_twice() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m", &["a/x+out=5+gap=1ms"]);
    let mut program = Program::start(&setup.yaml()).await;
    let mut before = BTreeSet::new();
    for round in 0..3 {
        let killing = async {
            tokio::time::sleep(Duration::from_millis(700 + 130 * round)).await;
            program.signal("KILL");
        };
        tokio::join!(load(program.client), killing);
        let settled = settled(&program);
        let last = settled.iter().map(|(_, moment)| *moment).max().unwrap();
        let safe = last.checked_sub(MAY_BE_LOST).unwrap();
        assert!(settled.len() > 20, "{}", settled.len());
        program = program.start_again().await;
        let found = rows(&program.file("tollgate.db"));
        let ids: BTreeSet<String> = found.iter().map(|row| row.request.clone()).collect();
        assert_eq!(ids.len(), found.len(), "a request has two rows");
        assert!(ids.is_superset(&before), "an old row is gone");
        for (id, moment) in &settled {
            assert!(
                *moment >= safe || ids.contains(id),
                "{id} of {moment} is lost"
            );
        }
        before = ids;
    }
    program.signal("TERM");
    assert_eq!(program.end().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_program_loses_nothing() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m", &["a/x+out=5+gap=1ms"]);
    let mut program = Program::start(&setup.yaml()).await;
    let ending = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        program.signal("TERM");
    };
    tokio::join!(load(program.client), ending);
    assert_eq!(program.end().await.code(), Some(0));
    let found = rows(&program.file("tollgate.db"));
    let ids: BTreeSet<&str> = found.iter().map(|row| row.request.as_str()).collect();
    let settled = settled(&program);
    assert!(settled.len() > 10);
    assert!(settled.iter().all(|(id, _)| ids.contains(id.as_str())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_a_newer_program_or_in_no_folder_is_no_start() {
    let folder = tempfile::tempdir().unwrap();
    let newer = folder.path().join("newer.db");
    let db = rusqlite::Connection::open(&newer).unwrap();
    db.pragma_update(None, "application_id", 0x746f_6c67)
        .unwrap();
    db.pragma_update(None, "user_version", 1_000).unwrap();
    drop(db);
    for (path, says) in [
        (newer.display().to_string(), "made by a newer tollgate"),
        ("/proc/tollgate.db".to_owned(), "can't be opened"),
    ] {
        let file = folder.path().join("tollgate.yaml");
        let yaml = format!(
            "store: {{ ledger: 'sqlite:{path}' }}\nproviders: {{ p: {{ base_url: 'http://x/v1' }} }}"
        );
        std::fs::write(&file, yaml).unwrap();
        let mut command = command();
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen"]);
        let output = command.args(["127.0.0.1:0", "--config"]).arg(file).output();
        let output = output.unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(says), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ledger_needs_a_restart_and_the_open_one_goes_on() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m", &["a/x+out=1"]);
    let mut program = Program::start(&setup.yaml()).await;
    let other = setup.also("store: { ledger: none }");
    program.rewrite(&other.yaml());
    eventually("the change is refused", async || {
        let log = program.log();
        let mut lines = log.iter().filter(|line| line["path"] == "store");
        lines.any(|line| line["message"] == "changed in the file, and needs a restart")
    })
    .await;
    let call = Call::new(program.client, Method::POST, "/v1/chat/completions");
    assert_eq!(call.json(&ask("m")).send().await.status, 200);
    program.signal("TERM");
    assert_eq!(program.end().await.code(), Some(0));
    assert_eq!(rows(&program.file("tollgate.db")).len(), 1);
}
