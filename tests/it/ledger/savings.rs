//! What was saved against a route's baseline.

use http::Method;
use rusqlite::Connection;

use super::Kept;
use crate::support::{Setup, gateway::ADMIN_KEY, pico, setup::price, simulator};

/// A model that is never called, at so many dollars a million of prompt tokens and twice as many
/// of output.
fn baseline(name: &str, input: &str, output: &str) -> String {
    format!(
        "{{ name: {name}, context: 100000, max_output: 1000, caps: [streaming], backends: \
         [{{ provider: a, model: {name}, price: {{ input: '{input}', output: '{output}' }} }}] }}"
    )
}

/// Cost and baseline of every row of a route.
fn rows(kept: &Kept, route: &str) -> Vec<(i64, Option<i64>)> {
    let db = Connection::open(kept.path()).unwrap();
    let sql = "SELECT cost, baseline_cost FROM attempts WHERE route = ?1 ORDER BY attempt";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([route], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn savings_are_the_difference_to_the_baseline_for_the_same_tokens() {
    let sim = simulator().await;
    let setup = Setup::new(&sim)
        .model("m", &["a/x+prompt=100+out=50"])
        .model(
            "limping",
            &["b/x+fault=status:500", "b/y+prompt=100+out=50"],
        )
        .also_model(&baseline("big", "1000", "2000"))
        .also_model(&baseline("tiny", "0.1", "0.2"))
        .also(
            "routes:\n  - { name: saves, candidates: [m], baseline: big }\n  \
             - { name: wastes, candidates: [m], baseline: tiny }\n  \
             - { name: limps, candidates: [limping], baseline: big }\n  \
             - { name: plain, candidates: [m] }",
        );
    let kept = Kept::start(setup).await;
    for route in ["saves", "wastes", "limps", "plain"] {
        let reply = kept.gateway.ask(route).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    kept.settled().await;
    let paid = i64::try_from(price(0, 100, 50)).unwrap();
    assert_eq!(rows(&kept, "saves"), [(paid, Some(paid * 1_000))]);
    assert_eq!(rows(&kept, "wastes"), [(paid, Some(paid / 10))]);
    assert_eq!(rows(&kept, "plain"), [(paid, None)]);
    // the calls that failed cost nothing and replaced nothing
    let dear = paid * 100;
    let limps = rows(&kept, "limps");
    assert_eq!(limps.last(), Some(&(dear, Some(paid * 1_000))));
    let failed = &limps[..limps.len() - 1];
    assert!(!failed.is_empty() && failed.iter().all(|row| *row == (0, Some(0))));

    let spend = kept
        .gateway
        .operator(Method::GET, "/admin/v1/spend?by=route");
    let spend = spend.key(ADMIN_KEY).send().await.json();
    let metrics = kept.gateway.metrics().await;
    for (route, saved) in [
        ("saves", paid * 999),
        ("wastes", paid / 10 - paid),
        ("limps", paid * 900),
        ("plain", 0),
    ] {
        let mut lines = spend["rows"].as_array().unwrap().iter();
        let line = lines.find(|line| line["route"] == route).unwrap();
        let text = line["saved_usd"].as_str().unwrap();
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        assert_eq!(i64::try_from(pico(text)).unwrap() * sign, saved, "{route}");
        let sum = |name: &str| metrics.sum(name, &[("route", route)]) * 1e12;
        let counted = sum("savings_usd_total") - sum("overspent_usd_total");
        assert_eq!(format!("{counted:.0}"), saved.to_string(), "{route}");
    }
}
