//! Keys of the store: made, changed, rotated and revoked by the command line and by the operator,
//! while a gateway runs on them.

mod operator;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tollgate::{admit::purse::Spender, simulate::Handle};

use crate::support::{Gateway, Setup, eventually, program::run, simulator};

/// How soon a running gateway knows what the command line did.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
const WRONG: &str = "401 invalid_request_error invalid_api_key null";

/// A gateway whose keys are in a store, but for one.
struct Bench {
    _sim: Handle,
    folder: TempDir,
    yaml: String,
    gateway: Gateway,
}

impl Bench {
    async fn start() -> Self {
        let sim = simulator().await;
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("t.db");
        let yaml = Setup::new(&sim)
            .model("small", &["a/one+out=1"])
            .model("large", &["a/two+out=1"])
            .also(&format!(
                "store: {{ ledger: 'sqlite:{}' }}",
                database.display()
            ))
            .also("keys:\n  - { id: of-file, key: sk-of-file-0123456789abcdef }")
            .yaml();
        let gateway = Gateway::start(&yaml).await;
        Self {
            _sim: sim,
            folder,
            yaml,
            gateway,
        }
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("t.db")
    }

    /// What `tollgate keys … --json` prints.
    fn keys(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["keys"];
        all.extend(arguments);
        all.push("--json");
        let output = run(&self.yaml, &all);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The exit code and the message of one that fails.
    fn refused(&self, arguments: &[&str]) -> (i32, String) {
        let mut all = vec!["keys"];
        all.extend(arguments);
        let output = run(&self.yaml, &all);
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), said.trim().to_owned())
    }

    /// Makes a key; its secret.
    fn create(&self, arguments: &[&str]) -> String {
        let mut all = vec!["create"];
        all.extend(arguments);
        self.keys(&all)["key"].as_str().unwrap().to_owned()
    }

    async fn status(&self, secret: &str, model: &str) -> u16 {
        self.gateway.ask_as(secret, model).await.status
    }

    /// Waits until a request gets this status, which must be soon.
    async fn becomes(&self, secret: &str, model: &str, status: u16) {
        let begun = Instant::now();
        let what = format!("{model} answers {status}");
        eventually(&what, async || self.status(secret, model).await == status).await;
        let took = begun.elapsed();
        assert!(took < KNOWN_WITHIN, "{what} after {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_made_while_the_gateway_runs_works_at_once() {
    let bench = Bench::start().await;
    let secret = bench.create(&["--id", "a"]);
    assert_eq!(bench.status(&secret, "small").await, 200);
    // a series for each of many stored keys would be too many
    let metrics = bench.gateway.operator(Method::GET, "/metrics").send().await;
    assert!(metrics.text().contains(r#"key="other""#));
    assert!(!metrics.text().contains(r#"key="a""#));
    // of whom nothing is known, and one letter off
    let other = secret.replace("sk-tg-", "sk-tg_");
    for wrong in [&other, &secret[..40], "sk-tg-", &secret.to_uppercase()] {
        let reply = bench.gateway.ask_as(wrong, "small").await;
        assert_eq!(reply.refusal(), WRONG);
    }
    assert_eq!(
        bench.status("sk-of-file-0123456789abcdef", "small").await,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_within_a_second_and_says_why_only_to_its_holder() {
    let bench = Bench::start().await;
    let secret = bench.create(&["--id", "a"]);
    let other = bench.create(&["--id", "b"]);
    assert_eq!(bench.status(&secret, "small").await, 200);
    assert_eq!(bench.keys(&["revoke", "a"])["state"], "revoked");
    bench.becomes(&secret, "small", 401).await;
    let reply = bench.gateway.ask_as(&secret, "small").await;
    assert_eq!(reply.refusal(), WRONG);
    assert!(reply.text().contains("revoked"), "{}", reply.text());
    assert_eq!(bench.status(&other, "small").await, 200);
    let (code, said) = bench.refused(&["revoke", "a"]);
    assert_eq!(
        (code, &*said),
        (2, "the key `a` is revoked, which is final")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_key_has_two_secrets_in_the_overlap_and_then_one() {
    let bench = Bench::start().await;
    let old = bench.create(&["--id", "a"]);
    assert_eq!(bench.status(&old, "small").await, 200);
    let rotated = bench.keys(&["rotate", "a", "--overlap", "3s"]);
    assert!(rotated["former_until"].is_string(), "{rotated}");
    let new = rotated["key"].as_str().unwrap();
    assert_eq!(bench.status(new, "small").await, 200);
    assert_eq!(bench.status(&old, "small").await, 200);
    eventually("the overlap is over", async || {
        bench.status(&old, "small").await == 401
    })
    .await;
    assert!(
        bench
            .gateway
            .ask_as(&old, "small")
            .await
            .text()
            .contains("replaced")
    );
    assert_eq!(bench.status(new, "small").await, 200);
    let newest = bench.keys(&["rotate", "a", "--overlap", "0"]);
    bench.becomes(new, "small", 401).await;
    assert_eq!(
        bench.status(newest["key"].as_str().unwrap(), "small").await,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_allows_is_held_and_follows_changes() {
    let bench = Bench::start().await;
    let secret = bench.create(&["--id", "a", "--models", "sm*", "--tag", "team=a"]);
    assert_eq!(bench.status(&secret, "small").await, 200);
    assert_eq!(bench.status(&secret, "large").await, 403);
    let list = bench.gateway.get("/v1/models").key(&secret).send().await;
    let names: Vec<Value> = list.json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].clone())
        .collect();
    assert_eq!(names, ["small"]);
    bench.keys(&["update", "a", "--models", "none", "--rpm", "2"]);
    bench.becomes(&secret, "large", 200).await;
    bench.becomes(&secret, "large", 429).await;
    let reply = bench.gateway.ask_as(&secret, "small").await;
    assert!(reply.text().contains("the key `a`"), "{}", reply.text());
    let own = bench
        .gateway
        .get("/v1/key")
        .key(&secret)
        .send()
        .await
        .json();
    assert_eq!(
        (&own["id"], &own["limits"]["rpm"]["limit"]),
        (&"a".into(), &2.into())
    );
    bench.keys(&["update", "a", "--rpm", "none"]);
    bench.becomes(&secret, "small", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_of_a_stored_key_is_held() {
    let bench = Bench::start().await;
    let budget = ["--budget", "0.000000000001", "--per", "total"];
    let secret = bench.create(&[&["--id", "a"], &budget[..]].concat());
    let reply = bench.gateway.ask_as(&secret, "small").await;
    assert!(matches!(reply.status, 402 | 429), "{}", reply.text());
    let more = ["--budget", "5", "--soft", "0.000001", "--per", "month"];
    bench.keys(&[&["update", "a"], &more[..]].concat());
    bench.becomes(&secret, "small", 200).await;
    assert_eq!(
        bench.keys(&["list"])["keys"][0]["budget"]["soft"],
        "0.000001"
    );
    eventually("its soft limit is exceeded", async || {
        let reply = bench.gateway.ask_as(&secret, "small").await;
        reply.headers.contains_key("x-tollgate-budget-warning")
    })
    .await;
    eventually("the list says what was spent", async || {
        bench.keys(&["list"])["keys"][0]["budget"]["spent_usd"] != "0"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_is_refused() {
    let bench = Bench::start().await;
    let soon = jiff::Timestamp::now() + Duration::from_secs(3);
    let secret = bench.create(&["--id", "a", "--expires", &soon.to_string()]);
    assert_eq!(bench.status(&secret, "small").await, 200);
    eventually("it expires", async || {
        bench.status(&secret, "small").await == 401
    })
    .await;
    assert!(jiff::Timestamp::now() >= soon);
    let reply = bench.gateway.ask_as(&secret, "small").await;
    assert!(reply.text().contains("expired"), "{}", reply.text());
    bench.keys(&["update", "a", "--expires", "30d"]);
    bench.becomes(&secret, "small", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_survive_a_restart_and_their_spend_is_theirs() {
    let bench = Bench::start().await;
    let secret = bench.create(&["--id", "a"]);
    let revoked = bench.create(&["--id", "b"]);
    bench.keys(&["revoke", "b"]);
    assert_eq!(bench.status(&secret, "small").await, 200);
    let Bench { gateway, yaml, .. } = &bench;
    let again = Gateway::start(yaml).await;
    assert_eq!(again.ask_as(&secret, "small").await.status, 200);
    assert_eq!(again.ask_as(&revoked, "small").await.status, 401);
    let spent = async || {
        let path = bench.database();
        let by_key = tollgate::store::spent(&path, &Spender::Key("a".into()), 0);
        by_key.is_ok_and(|spent| spent.pico() > 0)
    };
    eventually("the ledger has it", spent).await;
    assert_eq!(gateway.ask_as(&secret, "small").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_shown_once_and_stands_nowhere() {
    let bench = Bench::start().await;
    let output = run(&bench.yaml, &["keys", "create", "--id", "a"]);
    let said = String::from_utf8(output.stdout).unwrap();
    let (secret, sentence) = said.split_once('\n').unwrap();
    assert!(secret.starts_with("sk-tg-") && sentence.contains("only its digest is kept"));
    assert_eq!(bench.status(secret, "small").await, 200);
    let rotated = bench.keys(&["rotate", "a"]);
    let new = rotated["key"].as_str().unwrap();
    assert_eq!(bench.status(new, "small").await, 200);
    let mut texts = vec![
        output.stderr,
        run(&bench.yaml, &["keys", "list"]).stdout,
        run(&bench.yaml, &["keys", "list", "--json"]).stdout,
        run(&bench.yaml, &["keys", "revoke", "a", "--json"]).stdout,
    ];
    for file in std::fs::read_dir(bench.folder.path()).unwrap() {
        texts.push(std::fs::read(file.unwrap().path()).unwrap());
    }
    for path in [
        "/metrics",
        "/admin/v1/keys",
        "/admin/v1/config",
        "/admin/v1/decisions",
    ] {
        let call = bench.gateway.operator(Method::GET, path);
        let reply = call.key(crate::support::gateway::ADMIN_KEY).send().await;
        texts.push(reply.text().as_bytes().to_vec());
    }
    assert!(texts.len() >= 9);
    for (n, text) in texts.iter().enumerate() {
        for secret in [secret, new] {
            // the part that nobody can guess, and half of it
            for part in [&secret[6..], &secret[6..22], &secret[22..38]] {
                let found = text
                    .windows(part.len())
                    .any(|bytes| bytes == part.as_bytes());
                assert!(!found, "in text {n}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_refuses_what_can_not_be_and_says_why() {
    let bench = Bench::start().await;
    bench.create(&["--id", "a"]);
    for (arguments, said) in [
        (&["create", "--id", "a"][..], "the id `a` is taken"),
        (
            &["create", "--id", "of-file"],
            "the id `of-file` stands in the configuration file, under `keys`",
        ),
        (&["revoke", "nobody"], "no stored key has the id `nobody`"),
        (&["rotate", "nobody"], "no stored key has the id `nobody`"),
        (
            &["revoke", "of-file"],
            "the key `of-file` stands in the configuration file: change it there, under `keys`",
        ),
        (&["create", "--budget", "5"], "--budget: needs `--per`"),
        (&["create", "--per", "day"], "--per: needs `--budget`"),
        (&["create", "--soft", "4"], "--soft: needs `--budget`"),
        (
            &["create", "--budget", "5", "--soft", "6", "--per", "day"],
            "--soft: is more than `usd`: it would never be told before requests are refused",
        ),
        (
            &["create", "--rpm", "0"],
            "--rpm: must be a whole number, at least 1, or `none`",
        ),
        (
            &["create", "--tag", "a"],
            "--tag: is written as `name=value`",
        ),
        (
            &["create", "--expires", "2020-01-01"],
            "--expires: lies in the past",
        ),
    ] {
        assert_eq!(bench.refused(arguments), (2, said.to_owned()));
    }
    for arguments in [
        &["create", "--id", "a b"][..],
        &["create", "--models", "a*b"],
        &["create", "--budget", "1e3", "--per", "day"],
        &["create", "--budget", "1", "--per", "year"],
        &["create", "--expires", "soon"],
        &["rotate", "a", "--overlap", "1x"],
        &["revoke"],
    ] {
        let (code, said) = bench.refused(arguments);
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(!said.is_empty());
    }
    assert_eq!(bench.keys(&["list"])["keys"].as_array().unwrap().len(), 1);
    let none = "models: []\nstore: { ledger: none }\n";
    let output = run(none, &["keys", "list"]);
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_key_can_be_explained() {
    let bench = Bench::start().await;
    bench.create(&["--id", "a", "--models", "large"]);
    let file = bench.folder.path().join("request.json");
    std::fs::write(&file, crate::support::gateway::ask("small").to_string()).unwrap();
    let file = file.to_str().unwrap();
    let output = run(&bench.yaml, &["explain", "--json", "--key", "a", file]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(said["error"].is_string(), "{said}");
    let output = run(&bench.yaml, &["explain", "--key", "nobody", file]);
    assert_eq!(output.status.code(), Some(2));
}
