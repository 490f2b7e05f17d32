//! A change of the configuration takes effect whole or not at all, and nobody notices otherwise.

use std::{
    fs,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tollgate::simulate::Handle;

use super::{
    done,
    files::{Files, text},
    shown,
};
use crate::support::{
    Gateway, Setup, Stream, eventually,
    gateway::{ADMIN_KEY, ask, stream},
    simulator,
};

const STEADY: &str = "sk-steady-0123456789abcdef";
const OLD: &str = "sk-old-0123456789abcdef";
const NEW: &str = "sk-new-0123456789abcdef";
const BROKEN: &str = "keys: [{ id: steady }]\nno_such_section: 1\n";

/// One model, and these keys.
fn with_keys(sim: &Handle, keys: &[&str]) -> Setup {
    let keys: Vec<String> = keys
        .iter()
        .map(|key| format!("{{ id: {}, key: {key} }}", &key[3..6]))
        .collect();
    Setup::new(sim)
        .model("m", &["a/m+out=10+gap=40ms"])
        .also(&format!("keys: [{}]", keys.join(", ")))
}

async fn status(gateway: &Gateway, key: &str) -> u16 {
    gateway.post(&ask("m")).key(key).send().await.status
}

async fn reloads(gateway: &Gateway, result: &str) -> u64 {
    let metrics = gateway.metrics().await;
    metrics.count("config_reloads_total", &[("result", result)])
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_requests_under_way_survive_good_and_broken_changes() {
    let sim = simulator().await;
    let files = Files::linked(&with_keys(&sim, &[STEADY, OLD]));
    let gateway = files.start().await;
    let mut under_way = JoinSet::new();
    for number in 0..500 {
        let call = if number % 2 == 0 {
            gateway.post(&stream("m")).key(STEADY)
        } else {
            gateway.post(&ask("m")).key(STEADY)
        };
        under_way.spawn(async move {
            // so that there are some under way whatever happens
            tokio::time::sleep(Duration::from_millis(number * 8)).await;
            let open = call.open().await;
            let status = open.status;
            if number % 2 == 0 {
                let stream = Stream::read(open).await;
                (status, stream.is_done() && stream.ended)
            } else {
                let reply = open.whole().await;
                (status, reply.json()["choices"][0]["message"].is_object())
            }
        });
    }
    files.swap("v1", &text(&with_keys(&sim, &[STEADY, NEW])));
    eventually("the change took effect", async || {
        reloads(&gateway, "ok").await == 1
    })
    .await;
    files.swap("v2", BROKEN);
    eventually("the mistake was found", async || {
        reloads(&gateway, "failed").await == 1
    })
    .await;
    files.swap("v3", &text(&with_keys(&sim, &[STEADY, OLD, NEW])));
    eventually("the mended file took effect", async || {
        reloads(&gateway, "ok").await == 2
    })
    .await;
    assert!(!under_way.is_empty(), "all over before the last change");
    let ended = under_way.join_all().await;
    assert_eq!(ended.len(), 500);
    let failed = ended
        .iter()
        .filter(|(status, whole)| (*status, *whole) != (200, true));
    assert_eq!(failed.count(), 0);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.count("requests_total", &[("outcome", "ok")]), 500);
    assert_eq!(metrics.count("inflight_requests", &[]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_key_stops_and_a_new_one_works_within_a_second_of_the_change() {
    let sim = simulator().await;
    let files = Files::new(&with_keys(&sim, &[OLD]));
    let gateway = files.start().await;
    assert_eq!(status(&gateway, OLD).await, 200);
    assert_eq!(status(&gateway, NEW).await, 401);
    for (setup, works, refused) in [
        (with_keys(&sim, &[NEW]), NEW, OLD),
        (with_keys(&sim, &[OLD]), OLD, NEW),
    ] {
        if works == NEW {
            files.write(&setup);
        } else {
            files.replace(&setup);
        }
        let changed = Instant::now();
        eventually("the key is refused", async || {
            status(&gateway, refused).await == 401
        })
        .await;
        // the request itself takes less than half a second
        let took = changed.elapsed();
        assert!(took < Duration::from_millis(1_500), "{took:?}");
        assert_eq!(status(&gateway, works).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_mistake_changes_nothing_and_says_so() {
    let sim = simulator().await;
    let files = Files::new(&with_keys(&sim, &[OLD]));
    let gateway = files.start().await;
    let before = shown(&gateway, "/admin/v1/config").await;
    assert_eq!(before["last_reload"], json!(null));
    assert_eq!(before["source"]["kind"], "file");
    fs::write(files.file(), BROKEN).unwrap();
    eventually("the mistake was found", async || {
        reloads(&gateway, "failed").await == 1
    })
    .await;
    let after = shown(&gateway, "/admin/v1/config").await;
    assert_eq!(after["config"], before["config"]);
    assert_eq!(after["loaded_at"], before["loaded_at"]);
    let last = &after["last_reload"];
    assert_eq!(
        (&last["result"], &last["cause"]),
        (&json!("failed"), &json!("change"))
    );
    let paths: Vec<&str> = last["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mistake| mistake["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["no_such_section"]);
    assert_eq!(last["mistakes"][0]["line"], 2);
    assert_eq!(status(&gateway, OLD).await, 200);
    // the same mistake is not found again and again
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(reloads(&gateway, "failed").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn which_keys_are_labels_follows_the_file_and_what_was_counted_stays() {
    let sim = simulator().await;
    let setup = |keys: &[&str]| with_keys(&sim, keys).also("metrics: { max_keys: 1 }");
    let files = Files::new(&setup(&[OLD, STEADY]));
    let gateway = files.start().await;
    let counted = async |key: &str| {
        let metrics = gateway.metrics().await;
        metrics.count("key_requests_total", &[("key", key)])
    };
    for key in [OLD, STEADY] {
        assert_eq!(status(&gateway, key).await, 200);
    }
    assert_eq!((counted("old").await, counted("other").await), (1, 1));
    files.write(&setup(&[STEADY, NEW]));
    eventually("the change took effect", async || {
        reloads(&gateway, "ok").await == 1
    })
    .await;
    for key in [STEADY, NEW] {
        assert_eq!(status(&gateway, key).await, 200);
    }
    let names = ["old", "ste", "new", "other"];
    let mut numbers = Vec::new();
    for name in names {
        numbers.push(counted(name).await);
    }
    assert_eq!(numbers, [1, 1, 0, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_file_that_changes_is_followed() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("key");
    fs::write(&secret, OLD).unwrap();
    let keys = format!("keys: [{{ id: a, key: '${{file:{}}}' }}]", secret.display());
    let files = Files::new(&Setup::new(&sim).model("m", &["a/x+out=1"]).also(&keys));
    let gateway = files.start().await;
    assert_eq!(status(&gateway, OLD).await, 200);
    fs::write(&secret, NEW).unwrap();
    eventually("the new secret works", async || {
        status(&gateway, NEW).await == 200
    })
    .await;
    assert_eq!(status(&gateway, OLD).await, 401);
    let shown = shown(&gateway, "/admin/v1/config").await;
    assert_eq!(shown["last_reload"]["changed"][0]["path"], "keys.a");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_reloads_and_is_told_what_changed_or_every_mistake() {
    let sim = simulator().await;
    let files = Files::new(&with_keys(&sim, &[OLD]));
    let gateway = files.start().await;
    let unchanged = done(&gateway, "/admin/v1/reload").await;
    assert_eq!(
        (unchanged.status, unchanged.json()),
        (
            200,
            json!({ "changed": [], "needs_restart": [], "warnings": [] })
        )
    );
    fs::write(files.file(), BROKEN).unwrap();
    let refused = done(&gateway, "/admin/v1/reload").await;
    assert_eq!(refused.status, 422);
    let json = refused.json();
    assert_eq!(json["error"]["code"], "invalid_configuration");
    assert_eq!(json["mistakes"][0]["path"], "no_such_section");
    files.write(&with_keys(&sim, &[NEW]).server("request_timeout: 30s"));
    let changed = done(&gateway, "/admin/v1/reload").await;
    assert_eq!(
        changed.json()["changed"],
        json!([
            { "path": "keys.new", "difference": "added" },
            { "path": "keys.old", "difference": "removed" },
            { "path": "server.request_timeout", "difference": "changed" },
        ])
    );
    assert_eq!(status(&gateway, NEW).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_key_changes_at_once_and_never_back() {
    let sim = simulator().await;
    let setup = || Setup::new(&sim).model("m", &["a/x+out=1"]);
    let files = Files::new(&setup());
    let gateway = files.start().await;
    let with = async |key: &str| {
        let call = gateway.operator(Method::POST, "/admin/v1/reload");
        call.key(key).send().await.status
    };
    const OTHER: &str = "tg-admin-other-0123456789";
    files.write(&setup().also(&format!("admin: {{ key: {OTHER} }}")));
    assert_eq!(with(ADMIN_KEY).await, 200);
    assert_eq!(with(ADMIN_KEY).await, 401);
    assert_eq!(with(OTHER).await, 200);
    // a file without one leaves the one in use
    files.write(&setup());
    assert_eq!(with(OTHER).await, 200);
    assert_eq!(with(ADMIN_KEY).await, 401);
    assert_eq!(with(OTHER).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_there_is_nothing_to_reload() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x"]).start().await;
    let reply = done(&gateway, "/admin/v1/reload").await;
    assert_eq!(
        reply.refusal(),
        "409 invalid_request_error nothing_to_reload null"
    );
    assert_eq!(reloads(&gateway, "failed").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_backends_outlive_a_reload() {
    let sim = simulator().await;
    let setup = || Setup::new(&sim).model("m", &["a/x+out=1"]);
    let files = Files::new(&setup());
    let gateway = files.start().await;
    for timeout in ["50s", "51s", "52s"] {
        assert_eq!(gateway.ask("m").await.status, 200);
        files.write(&setup().server(&format!("request_timeout: {timeout}")));
        assert_eq!(done(&gateway, "/admin/v1/reload").await.status, 200);
    }
    assert_eq!(gateway.ask("m").await.status, 200);
    assert_eq!(sim.account().connections_opened, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_limits_and_origins_change_with_the_file() {
    let sim = simulator().await;
    let setup = || Setup::new(&sim).model("m", &["a/x+out=1+ttft=600ms"]);
    let files = Files::new(&setup());
    let gateway = files.start().await;
    let from = async || {
        let call = gateway.get("/healthz");
        let reply = call
            .header("origin", "https://app.example.com")
            .send()
            .await;
        reply.header("access-control-allow-origin").to_owned()
    };
    assert_eq!(from().await, "");
    assert_eq!(gateway.ask("m").await.status, 200);
    files.write(
        &setup()
            .server("request_timeout: 200ms")
            .server("cors_origins: ['https://app.example.com']"),
    );
    assert_eq!(done(&gateway, "/admin/v1/reload").await.status, 200);
    assert_eq!(from().await, "https://app.example.com");
    assert_eq!(gateway.ask("m").await.status, 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_with_a_new_key_is_asked_at_once() {
    let options = tollgate::simulate::Options {
        keys: vec!["sk-right-0123456789abcdef".to_owned()],
        ..tollgate::simulate::Options::default()
    };
    let sim = crate::support::simulator_with(options).await;
    let setup = || Setup::new(&sim).model("m", &["a/x+out=1"]);
    let files = Files::new(&setup());
    let gateway = files.start().await;
    assert_eq!(gateway.ask("m").await.status, 502);
    assert_eq!(
        super::backend(&gateway, "a/x+out=1").await["standing"]["state"],
        "down"
    );
    let right = text(&setup()).replace(
        crate::support::setup::UPSTREAM_KEY,
        "sk-right-0123456789abcdef",
    );
    fs::write(files.file(), right).unwrap();
    assert_eq!(done(&gateway, "/admin/v1/reload").await.status, 200);
    assert_eq!(
        super::backend(&gateway, "a/x+out=1").await["standing"]["state"],
        "up"
    );
    assert_eq!(gateway.ask("m").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_gone_is_no_longer_shown_and_what_was_counted_is() {
    let sim = simulator().await;
    let files = Files::new(&Setup::new(&sim).model("m", &["a/x+out=1"]));
    let gateway = files.start().await;
    assert_eq!(gateway.ask("m").await.status, 200);
    assert_eq!(gateway.metrics().await.count("backend_up", &[]), 1);
    files.write(&Setup::new(&sim).model("m", &["b/x+out=1"]));
    assert_eq!(done(&gateway, "/admin/v1/reload").await.status, 200);
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.values("backend_up", "backend"), ["b/x+out=1"]);
    assert_eq!(metrics.values("breaker_state", "backend"), ["b/x+out=1"]);
    assert_eq!(metrics.values("attempts_total", "backend"), ["a/x+out=1"]);
}
