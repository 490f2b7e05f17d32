use super::*;
use crate::config::load;

const TEXT: &str = r#"
server: { listen: "127.0.0.1:4100", request_timeout: 60s }
admin: { key: admin-hunter2-hunter2-hunter2 }
providers:
  shop: { base_url: "http://127.0.0.1:1/v1", api_key: shop-hunter2-hunter2, headers: { x-extra: extra-hunter2 } }
models:
- name: cheap
  backends: [{ provider: shop, model: cheap, price: { input: "0.10", output: "0.20" } }]
  quality: { default: 0.62, code: 0.5 }
- name: dear
  backends: [{ provider: shop, model: dear, price: { input: "3", output: "15" } }]
routes: [{ name: auto, candidates: "*", min_quality: 0.6 }]
keys:
- { id: a, key: a-hunter2-hunter2-hunter2 }
- { id: b, key: b-hunter2-hunter2-hunter2, models: [auto] }
"#;

fn config(text: &str) -> Config {
    let none = |_: &str| None;
    let checked = load::from_str("t.yaml", text, &none, crate::catalog::builtin());
    checked
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
        .config
}

/// What changes when a part of the text is replaced.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(TEXT.contains(from), "{from}");
    let changes = changes(&config(TEXT), &config(&TEXT.replace(from, to)));
    let text = |change: &Change| format!("{} {:?}", change.path, change.difference);
    changes.iter().map(text).collect()
}

#[test]
fn no_secret_is_shown_and_none_of_its_digest() {
    let config = config(TEXT);
    let text = view(&config).to_string();
    assert!(!text.contains("hunter2"), "{text}");
    let hex: String = config.keys[0]
        .sha256
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(!text.contains(&hex[..8]), "{text}");
    assert!(text.contains(r#""api_key":"***""#) && text.contains(r#""x-extra":"***""#));
}

#[test]
fn what_is_in_effect_is_shown_with_its_defaults() {
    let view = view(&config(TEXT));
    assert_eq!(view["server"]["request_timeout"], "60s");
    assert_eq!(view["server"]["idle_timeout"], "300s");
    assert_eq!(view["breaker"]["failures"], 5);
    assert_eq!(view["retries"]["budget"], 0.2);
    assert_eq!(view["models"]["cheap"]["backends"][0], "shop/cheap");
    let cheap = &view["backends"]["shop/cheap"];
    assert_eq!(cheap["price"]["cards"][0]["output"], "0.2");
    assert_eq!(cheap["quality"]["code"], 0.5);
    assert_eq!(view["routes"]["auto"]["candidates"][1], "dear");
}

#[test]
fn every_change_is_named_once_secrets_too() {
    for (from, to, named) in [
        ("60s", "61s", vec!["server.request_timeout Changed"]),
        ("id: b", "id: c", vec!["keys.b Removed", "keys.c Added"]),
        (
            "a-hunter2-hunter2-hunter2 }",
            "a-hunter3-hunter3-hunter3 }",
            vec!["keys.a Changed"],
        ),
        ("admin-hunter2", "admin-hunter3", vec!["admin.key Changed"]),
        (
            "shop-hunter2",
            "shop-hunter3",
            vec!["providers.shop Changed"],
        ),
        (
            "extra-hunter2",
            "extra-hunter3",
            vec!["providers.shop Changed"],
        ),
        (
            r#"output: "15""#,
            r#"output: "15", cache_write_1h: "1""#,
            vec!["backends.shop/dear Changed"],
        ),
        (
            "min_quality: 0.6",
            "min_quality: 0.7",
            vec!["routes.auto Changed"],
        ),
        (
            "server:",
            "breaker: { open: 250ms }\nserver:",
            vec!["breaker.open Changed"],
        ),
        ("server:", "server:", vec![]),
    ] {
        assert_eq!(changed(from, to), named, "{from} to {to}");
    }
}
