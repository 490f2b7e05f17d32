//! What the operator reads: `/admin/v1/spend` and `tollgate report`.

use http::Method;
use serde_json::{Value, json};

use super::{Kept, total};
use crate::support::{
    Reply, Setup,
    gateway::{ADMIN_KEY, ask},
    pico,
    program::command,
    simulator,
};

const A: &str = "sk-team-a-0123456789abcdef";
const B: &str = "sk-team-b-0123456789abcdef";

async fn gateway(sim: &tollgate::simulate::Handle) -> Kept {
    let setup = Setup::new(sim)
        .model("m", &["a/x+out=7+prompt=11"])
        .model("limping", &["b/x+fault=status:500", "b/y+out=1"])
        .also(&format!(
            "keys:\n  - {{ id: team-a, key: {A}, tags: {{ team: a }} }}\n  - {{ id: team-b, key: {B} }}"
        ));
    Kept::start(setup).await
}

async fn spend(kept: &Kept, query: &str) -> Reply {
    let path = format!("/admin/v1/spend{query}");
    let call = kept.gateway.operator(Method::GET, &path);
    call.key(ADMIN_KEY).send().await
}

/// What `tollgate report` prints about the same ledger.
fn report(kept: &Kept, arguments: &[&str]) -> String {
    let file = kept.folder.path().join("tollgate.yaml");
    let yaml = format!("store: {{ ledger: 'sqlite:{}' }}", kept.path().display());
    std::fs::write(&file, yaml).unwrap();
    let mut command = command();
    command.arg("report").arg("--config").arg(file);
    let output = command.args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_and_the_report_say_the_same_and_add_up_to_the_rows() {
    let sim = simulator().await;
    let kept = gateway(&sim).await;
    for (key, model) in [(A, "m"), (A, "m"), (B, "m"), (B, "limping")] {
        let call = kept.gateway.post(&ask(model)).key(key);
        let reply = call.header("x-tollgate-tags", "run==1+1").send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    let rows = kept.settled().await;
    for by in [
        "",
        "key",
        "backend,day",
        "provider,model",
        "tag:team,tag:run",
    ] {
        let json = spend(&kept, &format!("?by={by}&since=1d")).await;
        assert_eq!(json.status, 200, "{}", json.text());
        let printed = report(&kept, &["--by", by, "--since", "1d", "--format", "json"]);
        assert_eq!(printed.trim_end(), json.text(), "{by}");
        let csv = spend(&kept, &format!("?by={by}&since=1d&format=csv")).await;
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8");
        let printed = report(&kept, &["--by", by, "--since", "1d", "--format", "csv"]);
        assert_eq!(printed, csv.text(), "{by}");
        let lines = json.json()["rows"].as_array().unwrap().clone();
        let costs = lines.iter().map(|line| line["cost_usd"].as_str().unwrap());
        assert_eq!(costs.map(pico).sum::<u128>(), total(&rows), "{by}");
        let attempts = lines.iter().map(|line| line["attempts"].as_u64().unwrap());
        assert_eq!(attempts.sum::<u64>(), rows.len() as u64, "{by}");
    }
    let json = spend(&kept, "?by=key,tag:team").await.json();
    let of = |key: &str| -> Value {
        let lines = json["rows"].as_array().unwrap();
        lines.iter().find(|l| l["key"] == key).unwrap().clone()
    };
    let a = of("team-a");
    assert_eq!((&a["tag:team"], &a["requests"]), (&json!("a"), &json!(2)));
    assert_eq!(a["tokens"]["input"], 22);
    assert_eq!(a["tokens"]["output"], 14);
    let b = of("team-b");
    assert_eq!((&b["requests"], &b["tag:team"]), (&json!(2), &json!(null)));
    assert!(b["attempts"].as_u64().unwrap() > 2, "{b}");
    assert_eq!(json["next"], json!(null));
    let csv = spend(&kept, "?by=tag:run&format=csv").await;
    assert!(csv.text().contains("\r\n'=1+1,4,"), "{}", csv.text());
    let table = report(&kept, &["--by", "key"]);
    assert!(table.starts_with("KEY "), "{table}");
    assert!(table.contains("\ntotal "), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_questions_are_refused_by_name_and_only_the_operator_may_ask() {
    let sim = simulator().await;
    let kept = gateway(&sim).await;
    for (query, says) in [
        ("?by=keys", "`keys` is no dimension"),
        ("?since=yesterday", "`yesterday` is no time"),
        ("?after=x", "`x` is not the `next` of an answer"),
    ] {
        let reply = spend(&kept, query).await;
        assert_eq!(
            reply.refusal(),
            "400 invalid_request_error invalid_query null"
        );
        assert!(reply.error().message.contains(says), "{}", reply.text());
    }
    for query in ["?format=xml", "?from=1d"] {
        let refusal = spend(&kept, query).await.refusal();
        assert_eq!(refusal, "400 invalid_request_error unknown_parameter null");
    }
    let nobody = kept.gateway.operator(Method::GET, "/admin/v1/spend");
    assert_eq!(nobody.send().await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_there_is_nothing_to_read() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x"]).start().await;
    let call = gateway.operator(Method::GET, "/admin/v1/spend");
    let reply = call.key(ADMIN_KEY).send().await;
    assert_eq!(reply.refusal(), "404 invalid_request_error no_ledger null");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_ledger_has_one_line_of_zeros_or_none() {
    let sim = simulator().await;
    let kept = gateway(&sim).await;
    let all = spend(&kept, "").await.json();
    assert_eq!(all["rows"][0]["requests"], 0);
    assert_eq!(all["rows"][0]["cost_usd"], "0");
    assert_eq!(spend(&kept, "?by=key").await.json()["rows"], json!([]));
}
