//! A conversation whose prompt is in a cache: what that is worth, and when it moves all the same.

use http::Method;
use serde_json::{Value, json};
use tollgate::{money::Usd, simulate::Handle};

use crate::support::{Gateway, Reply, Setup, gateway::ADMIN_KEY, simulator};

/// One model at two providers, of which the second is cheaper by `cheaper`: both sell what they have
/// read before for a tenth, and both remember.
async fn gateway(sim: &Handle, cheaper: (&str, &str)) -> Gateway {
    let (input, cached) = cheaper;
    let price = |input: &str, cached: &str| {
        format!("price: {{ input: '{input}', cache_read: '{cached}', output: '1' }}")
    };
    let backend = |name: &str, price: &str| {
        format!("{{ provider: {name}, model: 'm+out=8+remembers', {price} }}")
    };
    let base = |name: &str| format!("base_url: '{}'", sim.base_url(name));
    let (a, b) = (
        backend("a", &price("1", "0.1")),
        backend("b", &price(input, cached)),
    );
    Setup::new(sim)
        .provider("a", &base("a"))
        .provider("b", &base("b"))
        .also_model(&format!(
            "{{ name: m, context: 100000, caps: [streaming], backends: [{a}, {b}] }}"
        ))
        .also_model(&format!(
            "{{ name: big, context: 100000, caps: [streaming], backends: \
             [{{ provider: a, model: big, {} }}] }}",
            price("10", "1")
        ))
        .also("routes:\n  - { name: auto, candidates: [m] }")
        .also("  - { name: loose, candidates: [m], affinity: none, baseline: big }")
        .also("  - { name: steady, candidates: [m], baseline: big }")
        .start()
        .await
}

async fn set(gateway: &Gateway, action: &str) {
    let path = format!("/admin/v1/backends/b/m+out=8+remembers/{action}");
    let reply = gateway
        .operator(Method::POST, &path)
        .key(ADMIN_KEY)
        .send()
        .await;
    assert_eq!(reply.status, 200, "{path}");
}

/// The messages of a conversation up to a turn: about 1,300 tokens more each time.
fn messages(conversation: &str, turn: usize) -> Value {
    let mut all =
        vec![json!({ "role": "system", "content": format!("be brief in {conversation}") })];
    for number in 0..=turn {
        let text = format!(
            "{conversation} {number}: {}",
            "what of this then ".repeat(320)
        );
        all.push(json!({ "role": "user", "content": text }));
        if number < turn {
            all.push(json!({ "role": "assistant", "content": "this of that" }));
        }
    }
    all.into()
}

async fn say(gateway: &Gateway, route: &str, conversation: &str, turn: usize) -> Reply {
    let body = json!({ "model": route, "messages": messages(conversation, turn) });
    let reply = gateway.post(&body).send().await;
    assert_eq!(reply.status, 200, "{conversation} {turn}");
    reply
}

fn served(reply: &Reply) -> &str {
    let backend = reply.header("x-tollgate-backend");
    backend
        .split_once('/')
        .map_or(backend, |(provider, _)| provider)
}

fn cost(reply: &Reply) -> Usd {
    reply.header("x-tollgate-cost-usd").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_stays_where_its_cache_is_and_another_goes_where_it_is_cheapest() {
    let sim = simulator().await;
    let gateway = gateway(&sim, ("0.9", "0.09")).await;
    set(&gateway, "drain").await;
    assert_eq!(served(&say(&gateway, "auto", "one", 0).await), "a");
    set(&gateway, "resume").await;
    for turn in 1..4 {
        let reply = say(&gateway, "auto", "one", turn).await;
        assert_eq!(served(&reply), "a", "turn {turn}");
        assert_eq!(
            reply.header("x-tollgate-decision"),
            "cheapest of 2 capable, cache warm"
        );
    }
    assert_eq!(served(&say(&gateway, "auto", "two", 0).await), "b");
    // whoever does not want that is served by the cheaper list price
    assert_eq!(served(&say(&gateway, "loose", "one", 4).await), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_moves_where_that_is_cheaper_after_losing_the_cache() {
    let sim = simulator().await;
    let gateway = gateway(&sim, ("0.05", "0.005")).await;
    set(&gateway, "drain").await;
    assert_eq!(served(&say(&gateway, "auto", "one", 0).await), "a");
    set(&gateway, "resume").await;
    assert_eq!(served(&say(&gateway, "auto", "one", 1).await), "b");
    // the cache is there now
    let reply = say(&gateway, "auto", "one", 2).await;
    assert_eq!(served(&reply), "b");
    assert!(reply.header("x-tollgate-decision").contains("cache warm"));
}

#[tokio::test(flavor = "multi_thread")]
async fn conversations_that_stay_cost_less_than_those_that_move() {
    let sim = simulator().await;
    let gateway = gateway(&sim, ("0.9", "0.09")).await;
    let mut sums = Vec::new();
    for route in ["auto", "loose"] {
        let mut sum = Usd::ZERO;
        for conversation in 0..4 {
            let name = format!("{route} {conversation}");
            for turn in 0..6 {
                // now the one, now the other has room
                let action = if turn % 2 == 0 { "drain" } else { "resume" };
                set(&gateway, action).await;
                let reply = say(&gateway, route, &name, turn).await;
                sum = sum.checked_add(cost(&reply)).unwrap();
            }
        }
        sums.push(sum);
    }
    // what the one has read, the other has to read as well
    let (stay, moved) = (sums[0].pico(), sums[1].pico());
    assert!(stay * 4 < moved * 3, "{stay} and {moved}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_change_of_backends_loses_of_caches_counts_against_savings() {
    let sim = simulator().await;
    let gateway = gateway(&sim, ("0.9", "0.09")).await;
    for route in ["steady", "loose"] {
        let mut cost_of_route = 0;
        for turn in 0..4 {
            let action = if turn % 2 == 0 { "drain" } else { "resume" };
            set(&gateway, action).await;
            cost_of_route += cost(&say(&gateway, route, route, turn).await).pico();
        }
        let metrics = gateway.metrics().await;
        let usd = |name| metrics.sum(name, &[("route", route)]);
        let saved = usd("savings_usd_total") - usd("overspent_usd_total");
        let baseline = (saved * 1e12).round() as i64 + cost_of_route;
        // about 1,300, 2,600, 3,900 and 5,200 tokens at 10 dollars a million, of which nine tenths
        // of the turn before for one dollar; without a cache it would be 130,000,000,000
        assert!(
            (60_000_000_000..85_000_000_000).contains(&baseline),
            "{route}: {baseline}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_named_is_one_conversation_of_that_key_alone() {
    let sim = simulator().await;
    let gateway = gateway(&sim, ("0.9", "0.09")).await;
    set(&gateway, "drain").await;
    let send = async |name: &str, session: &str| {
        let body = json!({ "model": "auto", "messages": messages(name, 0) });
        let reply = gateway
            .post(&body)
            .header("session_id", session)
            .send()
            .await;
        served(&reply).to_owned()
    };
    assert_eq!(send("first", "s1").await, "a");
    set(&gateway, "resume").await;
    // begins otherwise, but says that it goes on
    assert_eq!(send("second", "s1").await, "a");
    assert_eq!(send("second", "s2").await, "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn explaining_shows_what_a_cache_is_worth() {
    let sim = simulator().await;
    let gateway = gateway(&sim, ("0.9", "0.09")).await;
    set(&gateway, "drain").await;
    say(&gateway, "auto", "one", 0).await;
    set(&gateway, "resume").await;
    let body = json!({ "model": "auto", "messages": messages("one", 1) });
    let call = gateway
        .operator(Method::POST, "/admin/v1/explain")
        .key(ADMIN_KEY);
    let explained = call.json(&body).send().await.json();
    let [first, second] = &explained["candidates"].as_array().unwrap()[..] else {
        panic!("{explained}")
    };
    assert_eq!(first["backend"], "a/m+out=8+remembers");
    let usd = |view: &Value, name: &str| view[name].as_str().unwrap().parse::<Usd>().unwrap();
    assert!(
        first["expected_cached_tokens"].as_u64() > Some(1_000),
        "{first}"
    );
    assert!(usd(first, "expected_cost_usd") < usd(second, "expected_cost_usd"));
    assert!(usd(first, "fresh_cost_usd") > usd(second, "expected_cost_usd"));
    assert_eq!(second["expected_cached_tokens"], 0);
    assert_eq!(second["fresh_cost_usd"], Value::Null);
}
