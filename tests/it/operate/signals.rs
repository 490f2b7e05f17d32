//! The real program: SIGHUP reads the configuration again.

use http::Method;

use crate::support::{Call, Setup, eventually, gateway::ask, program::Program, simulator};

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_and_the_program_goes_on() {
    let sim = simulator().await;
    let with = |key: &str| {
        let setup = Setup::new(&sim).model("m", &["a/x+out=1"]);
        setup.also(&format!("keys: [{{ id: a, key: {key} }}]"))
    };
    let (old, new) = ("sk-old-0123456789abcdef", "sk-new-0123456789abcdef");
    let mut program = Program::start(&with(old).yaml()).await;
    let status = async |program: &Program, key: &str| {
        let call = Call::new(program.client, Method::POST, "/v1/chat/completions");
        call.json(&ask("m")).key(key).send().await.status
    };
    assert_eq!(status(&program, old).await, 200);
    // without a change: read again all the same
    program.signal("HUP");
    eventually("reloaded", async || {
        logged(&program, "configuration reloaded") == 1
    })
    .await;
    program.rewrite("nonsense: true");
    eventually("refused", async || {
        logged(&program, "configuration not reloaded") > 0
    })
    .await;
    assert_eq!(status(&program, old).await, 200);
    program.rewrite(&with(new).yaml());
    program.signal("HUP");
    eventually("the new key works", async || {
        status(&program, new).await == 200
    })
    .await;
    assert_eq!(status(&program, old).await, 401);
    let mistake = program
        .log()
        .into_iter()
        .find(|line| line["mistake"].is_string());
    let mistake = mistake.unwrap()["mistake"].to_string();
    assert!(mistake.contains("tollgate.yaml:1:1: nonsense"), "{mistake}");
    program.signal("TERM");
    assert!(program.end().await.success());
}

fn logged(program: &Program, message: &str) -> usize {
    let log = program.log();
    let lines = log.iter().filter(|line| line["message"] == message);
    lines.count()
}
