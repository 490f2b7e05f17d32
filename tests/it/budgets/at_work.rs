//! One gateway: who is let through, what is sent on, what is left afterwards.

use http::Method;
use serde_json::json;
use tokio::task::JoinSet;

use super::{BROKE, KEY, cost, figures, key, shown};
use crate::support::{
    Gateway, Reply, Setup, Stream, eventually,
    gateway::{ask, stream_with_usage},
    pico, simulator,
};

/// A request whose output is limited to what the simulator writes anyway.
fn limited(model: &str, tokens: u64) -> serde_json::Value {
    let mut body = ask(model);
    body["max_tokens"] = json!(tokens);
    body
}

async fn send(gateway: &Gateway, body: &serde_json::Value) -> Reply {
    gateway.post(body).key(KEY).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_at_once_on_money_for_ten_let_ten_through_at_most_and_use_nearly_all_of_it() {
    let sim = simulator().await;
    let one = Setup::new(&sim)
        .model("m", &["a/m+out=200"])
        .also(&key("{ usd: '1', per: day }"))
        .start()
        .await;
    let price = cost(&send(&one, &limited("m", 200)).await);
    let money = price * 10;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+out=200+ttft=50ms"])
        .also(&key(&format!("{{ usd: '0.{money:012}', per: day }}")))
        .start()
        .await;
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        calls.spawn(gateway.post(&limited("m", 200)).key(KEY).send());
    }
    let replies = calls.join_all().await;
    let served: Vec<&Reply> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert!((8..=10).contains(&served.len()), "{} served", served.len());
    let spent: u128 = served.iter().map(|reply| cost(reply)).sum();
    assert_eq!(figures(&gateway).await, (spent, 0));
    let refused = replies.iter().find(|reply| reply.status != 200).unwrap();
    assert_eq!(refused.refusal(), BROKE);
    assert_eq!(refused.header("x-should-retry"), "false");
    assert!(!refused.headers.contains_key("retry-after"));
    assert!(refused.text().contains("budget of the key `team-a`"));
    // one after the other, until there is no more for another one
    while send(&gateway, &limited("m", 200)).await.status == 200 {}
    let (spent, held) = figures(&gateway).await;
    assert!(
        spent <= money && spent * 10 >= money * 9,
        "{spent} of {money}"
    );
    assert_eq!(held, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_by_the_budget_uses_nothing_and_is_counted_as_such() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+out=5"])
        .also(&format!(
            "keys:\n  - {{ id: team-a, key: {KEY}, budget: {{ usd: '0.000000001', per: total }}, \
             limits: {{ rpm: 10, max_concurrent: 2 }} }}"
        ))
        .start()
        .await;
    for _ in 0..20 {
        assert_eq!(send(&gateway, &ask("m")).await.refusal(), BROKE);
    }
    let key = shown(&gateway).await;
    assert_eq!(
        key["limits"]["rpm"],
        json!({ "limit": 10, "remaining": 10 })
    );
    assert_eq!(key["limits"]["max_concurrent"]["remaining"], 2);
    assert_eq!(figures(&gateway).await, (0, 0));
    assert_eq!(sim.account().model("m+out=5").requests, 0);
    let metrics = gateway.metrics().await;
    let over = [("outcome", "over_budget"), ("code", "429")];
    assert_eq!(metrics.count("requests_total", &over), 20);
    let of_key = [("key", "team-a"), ("outcome", "over_budget")];
    assert_eq!(metrics.count("key_requests_total", &of_key), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn spending_is_the_same_in_answers_metrics_and_v1_key() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m"])
        .also(&key("{ usd: '5', per: week }"))
        .start()
        .await;
    let mut spent = cost(&send(&gateway, &ask("m")).await);
    let streamed = gateway.post(&stream_with_usage("m")).key(KEY).open().await;
    let streamed = Stream::read(streamed).await;
    let usage = &streamed.usages()[0];
    spent += pico(usage["cost_usd"].as_str().unwrap());
    assert_eq!(figures(&gateway).await, (spent, 0));
    let key = shown(&gateway).await;
    assert_eq!(key["budget"]["usd"], "5");
    assert_eq!(key["budget"]["per"], "week");
    let left = pico(key["budget"]["remaining_usd"].as_str().unwrap());
    assert_eq!(left, 5_000_000_000_000 - spent);
    assert!(
        key["budget"]["resets_at"]
            .as_str()
            .unwrap()
            .ends_with("T00:00:00Z")
    );
    let metrics = gateway.metrics().await;
    let of = |name: &str| metrics.sum(name, &[("key", "team-a")]);
    let dollars = spent as f64 / 1e12;
    assert!((of("budget_spent_usd") - dollars).abs() < 1e-15);
    assert!((of("cost_usd_total") - dollars).abs() < 1e-15);
    assert_eq!(of("budget_limit_usd"), 5.0);
    assert_eq!(of("budget_held_usd"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_is_held_while_a_call_runs_and_settled_when_the_client_leaves() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+fault=stall:3"])
        .also(&key("{ usd: '5', per: month }"))
        .start()
        .await;
    let mut body = stream_with_usage("m");
    body["max_tokens"] = json!(1_000);
    let mut open = gateway.post(&body).key(KEY).open().await;
    open.frame().await.unwrap().unwrap();
    let (spent, held) = figures(&gateway).await;
    // two dollars a million of output tokens, and the prompt
    assert!(spent == 0 && held > 2_000_000_000, "{spent}, {held}");
    let shown = gateway.metrics().await.sum("budget_held_usd", &[]);
    assert!(shown > 0.002, "{shown}");
    drop(open);
    eventually("nothing is held", async || figures(&gateway).await.1 == 0).await;
    let (spent, _) = figures(&gateway).await;
    assert!(spent > 0 && spent < 1_000_000_000, "{spent}");
    let counted = gateway.metrics().await.sum("cost_usd_total", &[]);
    assert!((counted - spent as f64 / 1e12).abs() < 1e-15);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_of_the_client_the_output_is_limited_to_what_the_money_buys() {
    let sim = simulator().await;
    // a million of output tokens, which would cost two dollars
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+out=200000"])
        .also(&key("{ usd: '0.02', per: month }"))
        .start()
        .await;
    let first = send(&gateway, &ask("m")).await;
    assert_eq!(first.json()["choices"][0]["finish_reason"], "length");
    let written = first.json()["usage"]["completion_tokens"].as_u64().unwrap();
    // an eighth of two cents at two dollars a million, less the prompt
    assert!((1_200..=1_250).contains(&written), "{written}");
    while send(&gateway, &ask("m")).await.status == 200 {}
    let (spent, held) = figures(&gateway).await;
    assert!(spent <= 20_000_000_000 && spent > 19_900_000_000, "{spent}");
    assert_eq!(held, 0);
    // what the client limits itself is not touched
    let asked = send(&gateway, &limited("m", 10_000)).await;
    assert_eq!(asked.refusal(), BROKE);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_too_dear_is_passed_over_for_one_that_the_money_covers() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("cheap", &["a/m"])
        .also("routes: [{ name: best, candidates: [dear, cheap], objective: order }]")
        .also(&key("{ usd: '0.001', per: month }"))
        .also_model(
            "{ name: dear, context: 100000, max_output: 1000, caps: [streaming], backends: \
                     [{ provider: a, model: dear, price: { input: '500', output: '500' } }] }",
        )
        .start()
        .await;
    let reply = send(&gateway, &limited("best", 50)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-tollgate-model"), "cheap");
    assert_eq!(sim.account().model("dear").requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_nothing_is_served_when_all_is_spent_and_what_has_no_price_never() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m"])
        .also_model(
            "{ name: gift, context: 100000, max_output: 1000, caps: [streaming], \
                     backends: [{ provider: a, model: gift, price: free }] }",
        )
        .also_model(
            "{ name: secret, context: 100000, max_output: 1000, caps: [streaming], \
                     backends: [{ provider: a, model: secret }] }",
        )
        .also("routes: [{ name: any, candidates: [secret, gift] }]")
        .also(&format!(
            "keys:\n  - {{ id: team-a, key: {KEY}, budget: {{ usd: '0', per: day }} }}\n  \
             - {{ id: team-b, key: {KEY}-b }}"
        ))
        .start()
        .await;
    assert_eq!(send(&gateway, &ask("m")).await.refusal(), BROKE);
    assert_eq!(cost(&send(&gateway, &ask("gift")).await), 0);
    assert_eq!(
        send(&gateway, &ask("any")).await.header("x-tollgate-model"),
        "gift"
    );
    // the list is what may be called
    let listed = async |key: &str| {
        let list = gateway.get("/v1/models").key(key).send().await.json();
        let names = list["data"].as_array().unwrap().iter();
        names
            .map(|entry| entry["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(KEY).await, ["any", "gift", "m"]);
    let all = ["any", "gift", "m", "secret"];
    assert_eq!(listed(&format!("{KEY}-b")).await, all);
    let secret = send(&gateway, &ask("secret")).await;
    assert_eq!(
        secret.refusal(),
        "403 invalid_request_error policy_excludes_all null"
    );
    assert!(secret.text().contains("has no price"), "{}", secret.text());
    assert_eq!(
        gateway.ask_as(&format!("{KEY}-b"), "secret").await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_may_be_billed_is_paid_for_and_the_next_has_its_own_hold() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("first_byte_timeout: 200ms")
        .model("m", &["a/m+fault=hang", "b/m+out=5"])
        .also(&key("{ usd: '5', per: month }"))
        .start()
        .await;
    let reply = send(&gateway, &limited("m", 5)).await;
    assert_eq!(reply.header("x-tollgate-attempts"), "2");
    let (spent, held) = figures(&gateway).await;
    // the prompt of the first, by estimate, and all of the second
    assert!(spent > cost(&reply), "{spent}");
    assert_eq!(held, 0);
    let counted = gateway.metrics().await.sum("cost_usd_total", &[]);
    assert!((counted - spent as f64 / 1e12).abs() < 1e-15);
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_that_can_not_be_true_is_neither_free_nor_ruinous() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model_with(
            "m",
            "context: 9000, max_output: 1000, caps: [streaming]",
            &["a/zero+out=50+usage=zero", "b/spare"],
        )
        .model_with(
            "huge",
            "context: 9000, max_output: 1000, caps: [streaming]",
            &["a/huge+out=50+prompt=900000"],
        )
        .also(&key("{ usd: '0.01', per: month }"))
        .start()
        .await;
    for (model, script) in [
        ("m", "a/zero+out=50+usage=zero"),
        ("huge", "a/huge+out=50+prompt=900000"),
    ] {
        let before = figures(&gateway).await.0;
        assert_eq!(send(&gateway, &limited(model, 100)).await.status, 200);
        let (spent, held) = figures(&gateway).await;
        // fifty tokens of output at two dollars a million, and a short prompt at one
        let cost = spent - before;
        assert!((90_000_000..200_000_000).contains(&cost), "{model}: {cost}");
        assert_eq!(held, 0);
        let metrics = gateway.metrics().await;
        for family in ["estimated_usage_total", "usage_inconsistent_total"] {
            assert_eq!(metrics.count(family, &[("backend", script)]), 1, "{family}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn v1_key_shows_a_caller_what_they_may() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m"])
        .also(&format!(
            "keys:\n  - {{ id: team-a, key: {KEY}, models: [m, 'qwen*'], expires: 2099-12-31, \
             tags: {{ team: a }} }}"
        ))
        .start()
        .await;
    assert_eq!(
        shown(&gateway).await,
        json!({
            "object": "key",
            "id": "team-a",
            "models": ["m", "qwen*"],
            "expires": "2099-12-31T00:00:00Z",
            "tags": { "team": "a" },
            "limits": { "rpm": null, "tpm": null, "max_concurrent": null },
            "budget": null,
            "budgets": [],
        })
    );
    let stranger = gateway
        .call(Method::GET, "/key")
        .key("sk-nobody-0123456789")
        .send()
        .await;
    assert_eq!(
        stranger.refusal(),
        "401 invalid_request_error invalid_api_key null"
    );
}
