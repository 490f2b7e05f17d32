//! Metrics have bounds, and what has no series of its own is still in every sum.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::{Kept, total};
use crate::support::{Setup, gateway::ask, pico, simulator};

/// So many keys `k0`, `k1`, …
fn keys(number: usize) -> String {
    let keys: Vec<String> = (0..number)
        .map(|number| format!("{{ id: k{number}, key: {} }}", secret(number)))
        .collect();
    format!("keys: [{}]", keys.join(", "))
}

fn secret(number: usize) -> String {
    format!("sk-of-a-client-{number:08}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_keys_of_the_file_are_labels_and_the_ledger_has_all_of_them() {
    let sim = simulator().await;
    let setup = Setup::new(&sim)
        .model("m", &["a/x+out=3+prompt=9"])
        .also(&keys(5).replace(" }]", ", limits: { rpm: 1 } }]"))
        .also("metrics: { max_keys: 2 }");
    let kept = Kept::start(setup).await;
    for number in 0..5 {
        for _ in 0..=number {
            kept.gateway.ask_as(&secret(number), "m").await;
        }
    }
    let rows = kept.settled().await;
    let ids: BTreeSet<&str> = rows.iter().filter_map(|row| row.key.as_deref()).collect();
    assert_eq!(ids.len(), 5, "{ids:?}");
    let metrics = kept.gateway.metrics().await;
    for family in ["key_requests_total", "tokens_total", "cost_usd_total"] {
        assert_eq!(
            metrics.values(family, "key"),
            ["k0", "k1", "other"],
            "{family}"
        );
    }
    assert_eq!(metrics.values("rate_limited_total", "key"), ["other"]);
    let by_key = |key| metrics.count("key_requests_total", &[("key", key)]);
    assert_eq!((by_key("k0"), by_key("k1"), by_key("other")), (1, 2, 12));
    let sum = metrics.sum("cost_usd_total", &[]);
    assert_eq!(pico(&format!("{sum:.12}")), total(&rows));
    assert_eq!(metrics.count("metrics_series_dropped_total", &[]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_for_names_every_key_is_other() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m", &["a/x+out=1"]).also(&keys(2));
    let gateway = setup.also("metrics: { max_keys: 0 }").start().await;
    assert_eq!(gateway.ask_as(&secret(0), "m").await.status, 200);
    assert_eq!(gateway.ask("m").await.status, 401);
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.values("key_requests_total", "key"),
        ["none", "other"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_family_that_is_full_counts_the_rest_under_other_and_no_sum_is_short() {
    const BACKENDS: usize = 12;
    const KEYS: usize = 10;
    let sim = simulator().await;
    let mut setup = Setup::new(&sim)
        .also(&keys(KEYS))
        .also("metrics: { max_series: 100 }");
    for number in 0..BACKENDS {
        setup = setup.model(
            &format!("m{number}"),
            &[&format!("a/x{number}+out=2+prompt=5")],
        );
    }
    let kept = Kept::start(setup).await;
    let mut calls = JoinSet::new();
    for number in 0..BACKENDS * KEYS {
        let body = ask(&format!("m{}", number % BACKENDS));
        let key = secret(number / BACKENDS);
        calls.spawn(kept.gateway.post(&body).key(&key).send());
    }
    assert!(
        calls
            .join_all()
            .await
            .iter()
            .all(|reply| reply.status == 200)
    );
    let rows = kept.settled().await;
    assert_eq!(rows.len(), BACKENDS * KEYS);
    let metrics = kept.gateway.metrics().await;

    let lines = |family: &str| {
        let begins = [
            format!("tollgate_{family}{{"),
            format!("tollgate_{family}_"),
        ];
        let of = |line: &&str| begins.iter().any(|begin| line.starts_with(begin));
        metrics.text.lines().filter(of).count()
    };
    for (family, most) in [
        ("tokens_total", 101),
        ("cost_usd_total", 101),
        ("request_duration_seconds", 100 + 17),
    ] {
        assert!(lines(family) <= most, "{family}: {}", lines(family));
        assert!(lines(family) > 50, "{family}: {}", lines(family));
    }
    assert_eq!(lines("key_requests_total"), KEYS, "a family by itself");
    let dropped = metrics.count("metrics_series_dropped_total", &[]);
    assert!(dropped >= 2 * (BACKENDS * KEYS) as u64 - 100, "{dropped}");

    let other = [("backend", "other"), ("key", "other")];
    assert!(metrics.sum("cost_usd_total", &other) > 0.0);
    let sum = metrics.sum("cost_usd_total", &[]);
    assert_eq!(pico(&format!("{sum:.12}")), total(&rows));
    assert_eq!(metrics.count("tokens_total", &[]), 7 * rows.len() as u64);
    assert_eq!(
        metrics.count("request_duration_seconds_count", &[]),
        rows.len() as u64
    );
    assert_eq!(metrics.count("attempts_total", &[]), rows.len() as u64);
}
