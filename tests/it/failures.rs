//! The failure table: what is repeated, where, how often, and what the client gets of it. The
//! simulator's own account says how many requests each backend really saw.

mod cuts;

use std::time::{Duration, Instant};

use tollgate::simulate::Handle;

use crate::support::{
    Act, Gateway, Scripted, Setup,
    gateway::{ask, stream},
    simulator,
};

/// A model of two backends, of which the first has this script.
fn two(sim: &Handle, script: &str) -> Setup {
    Setup::new(sim).model("m", &[&first(script), "b/spare+out=2"])
}

fn first(script: &str) -> String {
    format!("a/x+{script}")
}

/// Requests that the two backends saw.
fn seen(sim: &Handle, script: &str) -> (u64, u64) {
    let account = sim.account();
    (
        account.at("a", &format!("x+{script}")).requests,
        account.at("b", "spare+out=2").requests,
    )
}

/// Sends a plain and a streamed request, each to a gateway of its own; gives what was seen, the
/// attempts that the header states, and who served.
async fn both_ways(
    setup: &dyn Fn(&Handle) -> Setup,
    script: &str,
) -> [(u64, u64, String, String); 2] {
    let mut results = Vec::new();
    for streamed in [false, true] {
        let sim = simulator().await;
        let gateway = setup(&sim).start().await;
        let body = if streamed { stream("m") } else { ask("m") };
        let reply = gateway.post(&body).send().await;
        let (a, b) = seen(&sim, script);
        let backend = reply.header("x-tollgate-backend").to_owned();
        assert_eq!(reply.status == 200, !backend.is_empty(), "{}", reply.text());
        if streamed && reply.status == 200 {
            assert!(
                reply.text().ends_with("data: [DONE]\n\n"),
                "{}",
                reply.text()
            );
            assert_eq!(
                reply.text().matches("\"finish_reason\":\"stop\"").count(),
                1
            );
        }
        results.push((
            a,
            b,
            reply.header("x-tollgate-attempts").to_owned(),
            backend,
        ));
    }
    results.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_tried_once_more_on_the_same_and_then_on_the_next() {
    for script in [
        "fault=reset",
        "fault=close",
        "fault=status:408",
        "fault=status:409",
        "fault=status:425",
        "fault=status:500",
        "fault=status:502",
        "fault=status:502+body=html",
        "fault=status:500+body=nobody",
        "fault=error_first",
    ] {
        for result in both_ways(&|sim| two(sim, script), script).await {
            let expected = (2, 1, "3".to_owned(), "b/spare+out=2".to_owned());
            assert_eq!(result, expected, "{script}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_recovers_serves_at_its_second_attempt() {
    for fault in [
        "fault=reset",
        "fault=close",
        "fault=status:500",
        "fault=error_first",
    ] {
        let script = format!("{fault}+fail=1+out=2");
        for result in both_ways(&|sim| two(sim, &script), &script).await {
            assert_eq!(result, (2, 0, "2".to_owned(), first(&script)), "{script}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_attempt_goes_to_another_replica() {
    let (bad, good) = (simulator().await, simulator().await);
    let replicas = format!(
        "base_urls: ['{}', '{}']",
        bad.base_url("a"),
        good.base_url("a")
    );
    let broken = Scripted::start(vec![Act::Close]).await;
    let with_broken = format!(
        "base_urls: ['http://{}/v1', '{}']",
        broken.address,
        good.base_url("a")
    );
    drop(bad);
    for replicas in [replicas, with_broken] {
        good.reset();
        let gateway = Setup::new(&good)
            .provider("a", &replicas)
            .model("m", &["a/x+out=1"])
            .start()
            .await;
        for round in 1..=4 {
            let reply = gateway.ask("m").await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(good.account().model("x+out=1").requests, round);
        }
        let metrics = gateway.metrics().await;
        assert!(metrics.count("retries_total", &[("kind", "same")]) >= 1);
        assert_eq!(metrics.count("retries_total", &[("kind", "fallback")]), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_tried_once_more_and_then_the_next_serves() {
    for streamed in [false, true] {
        let sim = simulator().await;
        let gateway = Setup::new(&sim)
            .provider("dead", "base_url: 'http://127.0.0.1:1/v1'")
            .model("m", &["dead/x", "b/spare+out=2"])
            .start()
            .await;
        let body = if streamed { stream("m") } else { ask("m") };
        let reply = gateway.post(&body).send().await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("x-tollgate-attempts"), "3");
        assert_eq!(sim.account().requests, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_retry_after_is_waited_out_once_on_the_same() {
    for status in [429, 503, 529] {
        let script = format!("fault=status:{status}+retry_after=150ms+fail=1+out=2");
        let started = Instant::now();
        for result in both_ways(&|sim| two(sim, &script), &script).await {
            assert_eq!(result, (2, 0, "2".to_owned(), first(&script)), "{script}");
        }
        assert!(
            started.elapsed() >= Duration::from_millis(300),
            "did not wait"
        );
        let script = format!("fault=status:{status}+retry_after=50ms");
        for result in both_ways(&|sim| two(sim, &script), &script).await {
            let expected = (2, 1, "3".to_owned(), "b/spare+out=2".to_owned());
            assert_eq!(result, expected, "{script}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_or_absent_retry_after_is_not_waited_for() {
    for script in [
        "fault=status:429+retry_after=60",
        "fault=status:503+retry_after=4",
        "fault=status:429",
        "fault=status:503+body=loading",
        "fault=status+body=anthropic",
    ] {
        let started = Instant::now();
        for result in both_ways(&|sim| two(sim, script), script).await {
            let expected = (1, 1, "2".to_owned(), "b/spare+out=2".to_owned());
            assert_eq!(result, expected, "{script}");
        }
        assert!(started.elapsed() < Duration::from_secs(3), "waited");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_backend_is_left_alone_by_other_requests() {
    for script in ["fault=status:429+retry_after=60", "fault=status:503"] {
        let sim = simulator().await;
        let gateway = two(&sim, script).start().await;
        for attempts in ["2", "1", "1"] {
            let reply = gateway.ask("m").await;
            assert_eq!(reply.header("x-tollgate-backend"), "b/spare+out=2");
            assert_eq!(reply.header("x-tollgate-attempts"), attempts, "{script}");
        }
        assert_eq!(seen(&sim, script), (1, 3), "{script}");
        let metrics = gateway.metrics().await;
        let up = |backend: &str| metrics.count("backend_up", &[("backend", backend)]);
        assert_eq!((up(&first(script)), up("b/spare+out=2")), (0, 1));
        let refusals = metrics.count("route_refusals_total", &[("reason", "cooling")]);
        assert_eq!(refusals, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cool_down_ends_when_the_backend_said() {
    let script = "fault=status:429+retry_after=400ms+fail=1+out=2";
    let sim = simulator().await;
    let gateway = two(&sim, script)
        .also("retries: { max_wait: 0 }")
        .start()
        .await;
    let reply = gateway.ask("m").await;
    assert_eq!(reply.header("x-tollgate-backend"), "b/spare+out=2");
    crate::support::eventually("the first one serves again", async || {
        gateway.ask("m").await.header("x-tollgate-backend") == first(script)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_after_sending_goes_to_the_next_never_to_the_same() {
    for script in [
        "fault=hang",
        "fault=hang_head",
        "head=20s",
        "fault=status:504",
    ] {
        let setup = |sim: &Handle| two(sim, script).server("first_byte_timeout: 200ms");
        for result in both_ways(&setup, script).await {
            let expected = (1, 1, "2".to_owned(), "b/spare+out=2".to_owned());
            assert_eq!(result, expected, "{script}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_long_for_one_goes_to_a_larger_one_only() {
    for body in [
        "context",
        "context_vllm",
        "context_sglang",
        "context_llamacpp",
        "context_mistral",
    ] {
        let script = format!("fault=status+body={body}");
        for streamed in [false, true] {
            let sim = simulator().await;
            let gateway = Setup::new(&sim)
                .model_with("small", "context: 8192, caps: [streaming]", &[&first(&script)])
                .model_with("same", "context: 8192, caps: [streaming]", &["c/same"])
                .model_with("large", "context: 99999, caps: [streaming]", &["b/spare+out=2"])
                .also("routes:\n  - { name: auto, candidates: [small, same, large], objective: order }")
                .start()
                .await;
            let body = if streamed {
                stream("auto")
            } else {
                ask("auto")
            };
            let reply = gateway.post(&body).send().await;
            assert_eq!(reply.header("x-tollgate-backend"), "b/spare+out=2");
            assert_eq!(reply.header("x-tollgate-attempts"), "2");
            assert_eq!(seen(&sim, &script), (1, 1));
            assert_eq!(sim.account().model("same").requests, 0);
            let labels = [("backend", first(&script)), ("need", "context".to_owned())];
            let labels = labels
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            let misses = gateway
                .metrics()
                .await
                .count("capability_misses_total", &labels);
            assert_eq!(misses, 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_long_for_all_that_were_asked_is_the_client_s_to_mend() {
    let sim = simulator().await;
    let gateway = two(&sim, "fault=status+body=context").start().await;
    let reply = gateway.ask("m").await;
    assert_eq!(
        reply.refusal(),
        "400 invalid_request_error context_length_exceeded messages"
    );
    assert!(reply.error().message.contains("8192"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lacking_ability_goes_to_the_next_and_is_counted() {
    let mut with_image = ask("m");
    with_image["messages"][0]["content"] = serde_json::json!([
        { "type": "image_url", "image_url": { "url": "data:image/png;base64,AAAA" } },
    ]);
    let script = "fault=status+body=vision";
    let sim = simulator().await;
    let gateway = two(&sim, script).start().await;
    let reply = gateway.post(&with_image).send().await;
    assert_eq!(reply.header("x-tollgate-backend"), "b/spare+out=2");
    assert_eq!(seen(&sim, script), (1, 1));
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.count("capability_misses_total", &[("need", "vision")]),
        1
    );
    assert_eq!(metrics.count("attempts_total", &[("result", "refused")]), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_serve_us_is_skipped_and_marked_down() {
    for (script, reason) in [
        ("fault=status:401", "refuses our key"),
        ("fault=status:403", "refuses our key"),
        ("fault=status+body=key", "refuses our key"),
        ("fault=status:402", "is out of money"),
        ("fault=status+body=money", "is out of money"),
        ("fault=status+body=money_anthropic", "is out of money"),
        ("fault=status+body=money_minimax", "is out of money"),
        ("fault=status:404", "does not know the model"),
        ("fault=status+body=model_ark", "does not know the model"),
    ] {
        let sim = simulator().await;
        let gateway = two(&sim, script).start().await;
        for attempts in ["2", "1"] {
            let reply = gateway.ask("m").await;
            assert_eq!(
                reply.header("x-tollgate-backend"),
                "b/spare+out=2",
                "{script}"
            );
            assert_eq!(reply.header("x-tollgate-attempts"), attempts, "{script}");
        }
        assert_eq!(seen(&sim, script), (1, 2), "{script}");
        let metrics = gateway.metrics().await;
        let labels = [("backend", first(script)), ("reason", "down".to_owned())];
        let labels = labels
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        assert_eq!(metrics.count("route_refusals_total", &labels), 1);
        assert_eq!(metrics.count("backend_up", &labels[..1]), 0);
        let call = gateway
            .operator(http::Method::POST, "/admin/v1/explain")
            .key(crate::support::gateway::ADMIN_KEY);
        let explained = call.json(&ask("m")).send().await;
        assert!(explained.text().contains(reason), "{}", explained.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_s_own_mistake_is_passed_on_and_nothing_is_repeated() {
    for script in [
        "fault=status+body=invalid",
        "fault=status+body=filter",
        "fault=status:422",
    ] {
        for result in both_ways(&|sim| two(sim, script), script).await {
            assert_eq!(result, (1, 0, "1".to_owned(), String::new()), "{script}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_bounded() {
    for (attempts, expected) in [(1, (1, 0)), (2, (2, 0)), (3, (2, 1)), (10, (2, 2))] {
        let sim = simulator().await;
        let gateway = Setup::new(&sim)
            .model("m", &["a/x+fault=status:500", "b/spare+out=2+fault=reset"])
            .also(&format!("retries: {{ attempts: {attempts} }}"))
            .start()
            .await;
        let reply = gateway.ask("m").await;
        assert_eq!(reply.refusal(), "502 server_error upstream_error null");
        let account = sim.account();
        let count = |provider, model| account.at(provider, model).requests;
        let seen = (
            count("a", "x+fault=status:500"),
            count("b", "spare+out=2+fault=reset"),
        );
        assert_eq!(seen, expected);
        let made = (expected.0 + expected.1).to_string();
        assert_eq!(reply.header("x-tollgate-attempts"), made);
        assert_eq!(reply.header("x-should-retry"), "false");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_repeating_is_forbidden_only_what_was_not_processed_is_repeated() {
    let rule = "retries: { after_send: false }";
    for (script, expected) in [
        ("fault=reset", (1, 0)),
        ("fault=close", (1, 0)),
        ("fault=hang", (1, 0)),
        ("fault=notjson", (1, 0)),
        ("fault=status:500", (2, 1)),
        ("fault=status:429", (1, 1)),
        ("fault=status:401", (1, 1)),
    ] {
        let setup = |sim: &Handle| {
            two(sim, script)
                .also(rule)
                .server("first_byte_timeout: 200ms")
        };
        for (a, b, ..) in both_ways(&setup, script).await {
            assert_eq!((a, b), expected, "{script}");
        }
    }
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .provider("dead", "base_url: 'http://127.0.0.1:1/v1'")
        .model("m", &["dead/x", "b/spare+out=2"])
        .also(rule)
        .start()
        .await;
    assert_eq!(gateway.ask("m").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_fallback_asks_one_backend_only() {
    for fallback in [true, false] {
        let sim = simulator().await;
        let gateway = Setup::new(&sim)
            .model("one", &["a/x+fault=status:500"])
            .model("two", &["b/spare+out=2"])
            .also(&format!(
                "routes:\n  - {{ name: auto, candidates: [one, two], objective: order, \
                 fallback: {fallback} }}"
            ))
            .start()
            .await;
        let reply = gateway.ask("auto").await;
        assert_eq!(reply.status, if fallback { 200 } else { 502 });
        assert_eq!(seen(&sim, "fault=status:500"), (2, u64::from(fallback)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_backend_gets_a_body_with_its_own_model_and_nothing_else_changed() {
    let sim = simulator().await;
    let gateway = two(&sim, "fault=status:401").start().await;
    let body = r#"{"z":1.0, "model" : "m", "messages":[{"role":"user","content":"x"}], "a":[1e2]}"#;
    assert_eq!(gateway.post(&body).send().await.status, 200);
    let bodies: Vec<String> = sim
        .requests(2)
        .iter()
        .map(|received| String::from_utf8(received.body.clone().unwrap().to_vec()).unwrap())
        .collect();
    let expected = ["x+fault=status:401", "spare+out=2"]
        .map(|model| body.replace("\"m\"", &format!("\"{model}\"")));
    assert_eq!(bodies, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_add_no_more_than_their_budget_to_the_load() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+fault=status:500"])
        .also("retries: { budget: 0.0 }")
        .start()
        .await;
    let asking: Vec<_> = (0..60).map(|_| gateway.post(&ask("m")).send()).collect();
    let started = Instant::now();
    let replies = in_parallel(asking).await;
    assert!(replies.iter().all(|reply| reply.status == 502));
    let seen = sim.account().model("x+fault=status:500").requests;
    // ten a second are free, whatever the load
    let free = 10 * (started.elapsed().as_secs() + 2);
    assert!((61..=60 + free).contains(&seen), "{seen}");
}

/// Awaits all of them at once.
async fn in_parallel<T: Send + 'static>(
    all: Vec<impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let mut set: tokio::task::JoinSet<T> = all.into_iter().collect();
    let mut results = Vec::new();
    while let Some(result) = set.join_next().await {
        results.push(result.unwrap());
    }
    results
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_attempts_and_retries_are_counted_where_they_happened() {
    let sim = simulator().await;
    let gateway: Gateway = two(&sim, "fault=status:500").start().await;
    assert_eq!(gateway.ask("m").await.status, 200);
    let metrics = gateway.metrics().await;
    let attempts = |backend, result| {
        metrics.count(
            "attempts_total",
            &[("backend", backend), ("result", result)],
        )
    };
    assert_eq!(attempts("a/x+fault=status:500", "error"), 2);
    assert_eq!(attempts("b/spare+out=2", "ok"), 1);
    assert_eq!(metrics.count("attempts_total", &[]), 3);
    let retries = |kind| {
        let labels = [("backend", "a/x+fault=status:500"), ("kind", kind)];
        metrics.count("retries_total", &labels)
    };
    assert_eq!((retries("same"), retries("fallback")), (1, 1));
    assert_eq!(metrics.count("retries_total", &[]), 2);
    assert_eq!(metrics.count("inflight_requests", &[]), 0);
}
