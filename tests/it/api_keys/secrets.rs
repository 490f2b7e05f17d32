//! What a reload keeps of keys, and that none is ever shown.

use http::Method;

use super::{ONE, THREE, TWO, faulty, fingerprint, states};
use crate::support::{
    Call, Gateway, Setup, eventually,
    gateway::{ADMIN_KEY, ask},
    program::Program,
    simulator,
};

const NEW: &str = "sk-pool-new-0123456789abcdef";

/// A gateway that follows a file, as a process of its own: its log can be read.
async fn changed(program: &Program, setup: &Setup) {
    let reloads = async || {
        metrics(program)
            .await
            .contains("config_reloads_total{result=\"ok\"} 1")
    };
    program.rewrite(&setup.yaml());
    eventually("the change took effect", reloads).await;
}

async fn metrics(program: &Program) -> String {
    let call = Call::new(program.admin, Method::GET, "/metrics");
    call.send().await.text().to_owned()
}

async fn shown(program: &Program, path: &str) -> String {
    let call = Call::new(program.admin, Method::GET, path);
    let reply = call.key(ADMIN_KEY).send().await;
    assert_eq!(reply.status, 200, "{path}");
    reply.text().to_owned()
}

async fn stands(program: &Program) -> Vec<(String, String)> {
    let all: serde_json::Value =
        serde_json::from_str(&shown(program, "/admin/v1/backends").await).unwrap();
    let keys = all["api_keys"]["p"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    keys.iter()
        .map(|key| (text(&key["sha256"]), text(&key["standing"]["state"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_swaps_one_key_keeps_what_is_known_of_the_others_and_shows_none() {
    let sim = simulator().await;
    let revoked = faulty(ONE, "fault=status+body=key");
    let limited = faulty(TWO, "fault=status:429+retry_after=60");
    let setup = |keys: &[&str]| {
        Setup::new(&sim)
            .pool("p", keys)
            .model("m", &[&revoked])
            .model("n", &[&limited])
            .also(&format!(
                "admin: {{ key: {ADMIN_KEY} }}\nstore: {{ ledger: none }}"
            ))
    };
    let program = Program::start(&setup(&[ONE, TWO, THREE]).yaml()).await;
    let rounds = async || {
        for model in ["m", "n"].iter().cycle().take(12) {
            let call = Call::new(program.client, Method::POST, "/v1/chat/completions");
            let reply = call.json(&ask(model)).send().await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    };
    rounds().await;
    let stand = |key: &str, state: &str| (fingerprint(key), state.to_owned());
    let before = [
        stand(ONE, "down"),
        stand(TWO, "cooling"),
        stand(THREE, "up"),
    ];
    assert_eq!(stands(&program).await, before);

    changed(&program, &setup(&[THREE, NEW, TWO])).await;
    let after = [stand(THREE, "up"), stand(NEW, "up"), stand(TWO, "cooling")];
    assert_eq!(stands(&program).await, after);
    rounds().await;
    assert_eq!(stands(&program).await, after);

    let by_state = metrics(&program).await;
    for (state, number) in [("up", 2), ("cooling", 1), ("down", 0)] {
        let line = format!("provider_keys{{provider=\"p\",state=\"{state}\"}} {number}\n");
        assert!(by_state.contains(&line), "{by_state}");
    }
    let log = program.text();
    for key in [ONE, TWO] {
        assert!(
            log.contains(&fingerprint(key)),
            "the log names keys that were put aside"
        );
    }
    let mut everything = vec![log, metrics(&program).await];
    for path in ["config", "backends", "models", "decisions"] {
        everything.push(shown(&program, &format!("/admin/v1/{path}")).await);
    }
    for text in &everything {
        assert!(!text.contains("sk-pool"), "{text}");
    }
    let config = &everything[2];
    assert!(
        config.contains(r#""api_keys":["***","***","***"]"#),
        "{config}"
    );
    assert!(!config.contains(&fingerprint(THREE)), "{config}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stands_alone_has_no_state_of_its_own() {
    let sim = simulator().await;
    let gateway: Gateway = Setup::new(&sim)
        .pool("p", &[ONE, TWO])
        .pool("alone", &[THREE])
        .model("m", &[&faulty(ONE, "fault=status:401")])
        .model("n", &["alone/y+out=1"])
        .start()
        .await;
    for model in ["m", "n", "m"] {
        assert_eq!(gateway.ask(model).await.status, 200);
    }
    assert_eq!(states(&gateway).await, ["down", "up"]);
    let call = gateway.operator(Method::GET, "/admin/v1/backends");
    let all = call.key(ADMIN_KEY).send().await.json();
    assert!(all["api_keys"].get("alone").is_none(), "{all}");
}
