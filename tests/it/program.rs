//! The real program: signals, exit codes, standard output, log lines.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    Call, Setup, Stream, eventually,
    gateway::{ask, stream},
    program::{Program, command, run},
    simulator,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_gracefully_with_code_0() {
    let sim = simulator().await;
    let setup = Setup::new(&sim)
        .server("drain_delay: 200ms")
        .model("m", &["a/x+out=10+gap=100ms"]);
    for signal in ["TERM", "INT"] {
        let mut program = Program::start(&setup.yaml()).await;
        let call = Call::new(program.client, Method::POST, "/v1/chat/completions");
        let open = call.json(&stream("m")).open().await;
        program.signal(signal);
        eventually("not ready", async || {
            let ready = Call::new(program.admin, Method::GET, "/readyz");
            ready.try_open().await.is_ok_and(|open| open.status == 503)
        })
        .await;
        let stream = Stream::read(open).await;
        assert!(
            stream.is_done() && stream.ended,
            "{signal}: {}",
            stream.text
        );
        assert_eq!(program.end().await.code(), Some(0), "{signal}");
        let last = program.log().pop().unwrap();
        assert_eq!(last["message"], "stopped");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m", &["a/x+fault=stall:2"]);
    let mut program = Program::start(&setup.yaml()).await;
    let call = Call::new(program.client, Method::POST, "/v1/chat/completions");
    let _open = call.json(&stream("m")).open().await;
    program.signal("TERM");
    eventually("the first signal has come", async || {
        program.text().contains("stopping")
    })
    .await;
    let started = Instant::now();
    program.signal("TERM");
    let status = program.end().await;
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(status.code(), Some(1), "a stream was cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_code_2_with_file_line_and_column() {
    let sim = simulator().await;
    let good = Setup::new(&sim).model("m", &["a/x"]).yaml();
    let bad = format!("{good}surver: {{}}\nroutes:\n  - {{ name: auto, candidates: [nobody] }}\n");
    let line = good.lines().count() + 1;
    for command in ["serve", "check", "models"] {
        let output = run(&bad, &[command]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = text + &String::from_utf8_lossy(&output.stdout);
        let place = format!("tollgate.yaml:{line}:1: surver: ");
        assert!(text.contains(&place), "{command}: {text}");
    }
    assert_eq!(run(&good, &["check"]).status.code(), Some(0));
    let missing = command()
        .args(["serve", "--config", "/nowhere.yaml"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(2));
    let unset = good.replace("UPSTREAM_KEY", "NOT_SET_ANYWHERE");
    let output = run(&unset, &["check"]);
    assert_eq!(output.status.code(), Some(2));
    for arguments in [&["--nonsense"][..], &["nonsense"], &["import"]] {
        let output = command().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_code_1() {
    let sim = simulator().await;
    let yaml = Setup::new(&sim).model("m", &["a/x"]).yaml();
    let taken = sim.addr().to_string();
    let output = run(
        &yaml,
        &["serve", "--admin-listen", "127.0.0.1:0", "--listen", &taken],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&taken));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_print_what_would_run_and_call_nobody() {
    let sim = simulator().await;
    let yaml = Setup::new(&sim)
        .model("m", &["a/x", "b/y"])
        .also("keys:\n  - { id: team-a, key: sk-team-a-0123456789abcdef, models: [n] }")
        .yaml();
    let models = run(&yaml, &["models", "--json"]);
    assert_eq!(models.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&models.stdout).unwrap();
    assert_eq!(json["data"][0]["id"], "m");
    assert!(run(&yaml, &["models"]).stdout.starts_with(b"NAME") || !models.stdout.is_empty());

    let folder = tempfile::tempdir().unwrap();
    let request = folder.path().join("request.json");
    std::fs::write(&request, ask("m").to_string()).unwrap();
    let file = request.to_str().unwrap();
    let explained = run(&yaml, &["explain", "--json", file]);
    assert_eq!(explained.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!(json["chosen"], json!("a/x"));
    let as_team = run(&yaml, &["explain", "--json", "--key", "team-a", file]);
    let json: Value = serde_json::from_slice(&as_team.stdout).unwrap();
    assert!(json["error"].is_string(), "{json}");
    std::fs::write(&request, r#"{"model":"m","input":"hello"}"#).unwrap();
    let embeds = ["explain", "--json", "--endpoint", "/v1/embeddings", file];
    let json: Value = serde_json::from_slice(&run(&yaml, &embeds).stdout).unwrap();
    assert_eq!(json["needs"]["purpose"], "embeddings");
    for (name, says) in [
        (
            "embedding",
            "no such endpoint; there are chat_completions, ",
        ),
        ("audio_translations", "its requests are forms"),
    ] {
        let refused = run(&yaml, &["explain", "--endpoint", name, file]);
        assert_eq!(refused.status.code(), Some(2));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains(says), "{said}");
    }
    std::fs::write(&request, ask("m").to_string()).unwrap();
    let for_people = run(&yaml, &["explain", file]);
    assert!(String::from_utf8_lossy(&for_people.stdout).contains("cheapest of 2 capable"));

    let schema = command().arg("schema").output().unwrap();
    assert_eq!(schema.status.code(), Some(0));
    let checked_in = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/config/schema.json"));
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    assert_eq!(parse(&schema.stdout), parse(&checked_in.unwrap()));
    let version = command().arg("--version").output().unwrap();
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
    assert_eq!(sim.account().requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_0_for_a_living_gateway_and_1_for_none() {
    let sim = simulator().await;
    let yaml = Setup::new(&sim).model("m", &["a/x"]).yaml();
    let mut program = Program::start(&yaml).await;
    let health = |path: &str| {
        let url = format!("http://{}{path}", program.client);
        let output = command().args(["health", "--url", &url]).output().unwrap();
        output.status.code()
    };
    assert_eq!(health("/healthz"), Some(0));
    assert_eq!(health("/readyz"), Some(0));
    assert_eq!(health("/nothing"), Some(1));
    program.signal("TERM");
    program.end().await;
    let url = format!("http://{}/healthz", program.client);
    let gone = command().args(["health", "--url", &url]).output().unwrap();
    assert_eq!(gone.status.code(), Some(1));
    let wrong = command()
        .args(["health", "--url", "not a url"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_line_is_one_line_whatever_a_client_writes_and_holds_no_secret() {
    let sim = simulator().await;
    let yaml = Setup::new(&sim)
        .model("m", &["a/x+out=1", "b/y"])
        .model("fails", &["a/x+fault=status+body=key"])
        .also("keys:\n  - { id: team-a, key: sk-team-a-0123456789abcdef }")
        .yaml();
    let mut program = Program::start(&yaml).await;
    let hostile = [
        "a\nb",
        "a\r\n{\"level\":\"ERROR\",\"message\":\"forged\"}",
        "\u{1b}[31mred\u{1b}[0m",
        "a\u{0}b\u{7}\u{8}",
        "\u{202e}txt.exe",
        "\u{2028}\u{2029}\u{85}",
        "\"},{\"",
        "\\n\\",
    ];
    let long = "x".repeat(100_000);
    let call = |model: &str| {
        Call::new(program.client, Method::POST, "/v1/chat/completions")
            .key("sk-team-a-0123456789abcdef")
            .json(&ask(model))
    };
    for model in hostile.into_iter().chain([long.as_str()]) {
        let id = call(model).header("x-client-request-id", "client\tid");
        assert_eq!(id.send().await.status, 404);
    }
    assert_eq!(call("m").send().await.status, 200);
    assert_eq!(call("fails").send().await.status, 502);
    let wrong = call("m").key("sk-wrong-0123456789abcdef");
    assert_eq!(wrong.send().await.status, 401);
    program.signal("TERM");
    program.end().await;
    // every line is JSON, or this panics
    let log = program.log();
    let access: Vec<&Value> = log
        .iter()
        .filter(|line| line["target"] == "tollgate::access")
        .collect();
    assert_eq!(access.len(), hostile.len() + 4);
    let text = program.text();
    let raw =
        |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202e}' | '\u{2028}' | '\u{2029}');
    assert_eq!(text.chars().find(|c| raw(*c)), None);
    assert!(!text.contains("\"forged\""), "a line was forged");
    for secret in [
        "sk-team-a",
        "sk-wrong",
        "sk-upstream",
        "Say something",
        "sk-simul",
    ] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
    assert!(
        text.lines().all(|line| line.len() < 4_000),
        "a line is endless"
    );
    let served = access
        .iter()
        .find(|line| line["outcome"] == "ok")
        .expect("the line of the answer");
    for (member, value) in [
        ("status", json!(200)),
        ("key", json!("team-a")),
        ("model", json!("m")),
        ("backend", json!("a/x+out=1")),
        ("attempts", json!(1)),
        ("stream", json!(false)),
        ("level", json!("INFO")),
    ] {
        assert_eq!(served[member], value, "{member}: {served}");
    }
    assert!(served["cost_usd"].is_string() && served["request_id"].is_string());
    assert!(served["timestamp"].is_string() && served["duration_ms"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_key_that_was_not_written_is_made_and_shown_once() {
    let sim = simulator().await;
    let yaml = Setup::new(&sim).model("m", &["a/x"]).yaml();
    let program = Program::start(&yaml).await;
    let text = program.text();
    let shown: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("admin key, made at this start: "))
        .collect();
    assert_eq!(shown.len(), 1, "{text}");
    let call = Call::new(program.admin, Method::POST, "/admin/v1/explain");
    let reply = call.key(shown[0]).json(&ask("m")).send().await;
    assert_eq!(reply.status, 200);
    let other = Program::start(&yaml).await;
    assert!(!other.text().contains(shown[0]), "made anew at every start");
}
