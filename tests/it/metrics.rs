//! Metrics: closed label sets, counts that equal what was done, money that adds up exactly.

use http::Method;
use serde_json::json;
use tollgate::simulate::Handle;

use crate::support::{
    Gateway, Metrics, Setup, eventually,
    gateway::{ask, stream_with_usage},
    pico, simulator,
};

/// Names that would break a label, a line of text or a log, or swell the number of series.
fn hostile(number: usize) -> String {
    let shape = [
        "model-{}",
        "m{}\n\r\t\u{0}\u{1b}[31m",
        "m{}\"} 1\ntollgate_requests_total{x=\"",
        "{}\\",
        "../../{}",
        "模型{}\u{202e}\u{feff}",
        "a/x{}",
        "{}{{json: true}}",
    ];
    shape[number % shape.len()].replace("{}", &number.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_write_never_makes_a_series() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=1"]).start().await;
    /// One round of every kind of odd request.
    async fn round(gateway: &Gateway, number: usize) {
        let name = hostile(number);
        let model = gateway.ask(&name).await;
        assert_eq!(model.status, 404, "{name}");
        let mut body = ask("m");
        body["user"] = name.clone().into();
        body[&name] = name.clone().into();
        let plain = format!("odd-{number}");
        let call = gateway
            .post(&body)
            .header("user-agent", &plain)
            .header("x-client-request-id", &plain)
            .header(&plain, &plain)
            .header("origin", "http://localhost:1");
        assert_eq!(call.send().await.status, 200);
        let path = gateway.get(&format!("/v1/{plain}?{plain}={plain}"));
        assert_eq!(path.send().await.status, 404);
        let method: Method = format!("ODD{number}").parse().unwrap();
        let call = gateway.call(method, "/v1/chat/completions").json("{}");
        assert_eq!(call.send().await.status, 405);
        let call = gateway.post(&body).header("x-tollgate-tags", &plain);
        assert_eq!(call.send().await.status, 400);
    }
    round(&gateway, 0).await;
    let before = gateway.metrics().await;
    for number in 1..400 {
        round(&gateway, number).await;
    }
    let after = gateway.metrics().await;
    assert_eq!(after.len(), before.len(), "series grew");
    for odd in ["odd-", "ODD", "model-", "json"] {
        assert!(!after.text.contains(odd), "{odd}");
    }
    for (label, expected) in [
        ("endpoint", vec!["chat_completions"]),
        ("model", vec!["m", "unknown"]),
        ("backend", vec!["", "a/x+out=1"]),
        ("route", vec![""]),
        ("code", vec!["200", "400", "404"]),
        ("outcome", vec!["client_error", "ok"]),
    ] {
        assert_eq!(after.values("requests_total", label), expected, "{label}");
    }
    let outcome = |outcome| after.count("requests_total", &[("outcome", outcome)]);
    assert_eq!((outcome("ok"), outcome("client_error")), (400, 800));
}

const TEAM_A: &str = "sk-team-a-0123456789abcdef";
const TEAM_B: &str = "sk-team-b-0123456789abcdef";
const SERVES: &str = "a/x+out=3+prompt=10+cached=4+reasoning=2";

/// Eleven requests of every outcome that takes no time.
async fn eleven_requests(sim: &Handle) -> Metrics {
    let keys =
        format!("keys:\n  - {{ id: team-a, key: {TEAM_A} }}\n  - {{ id: team-b, key: {TEAM_B} }}");
    let gateway = Setup::new(sim)
        .model("m", &[SERVES])
        .model("refuses", &["b/x+fault=status+body=invalid"])
        .model("fails", &["c/x+fault=status:500"])
        .also("routes:\n  - { name: auto, candidates: [m], objective: order }")
        .also(&keys)
        .start()
        .await;
    for (key, model, times) in [
        (TEAM_A, "m", 3),
        (TEAM_B, "auto", 2),
        (TEAM_A, "refuses", 2),
        (TEAM_B, "fails", 1),
        ("sk-of-nobody-0123456789ab", "m", 1),
    ] {
        for _ in 0..times {
            gateway.ask_as(key, model).await;
        }
    }
    for repeated in ["0", "2"] {
        let call = gateway.post(&ask("m")).key(TEAM_A);
        let call = call.header("x-stainless-retry-count", repeated);
        assert_eq!(call.send().await.status, 200);
    }
    gateway.metrics().await
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_equal_what_was_done() {
    let sim = simulator().await;
    let metrics = eleven_requests(&sim).await;
    for (family, labels, expected) in [
        ("requests_total", "", 11),
        ("requests_total", "outcome=ok route= model=m", 5),
        ("requests_total", "outcome=ok route=auto model=m", 2),
        (
            "requests_total",
            "outcome=ok code=200 endpoint=chat_completions",
            7,
        ),
        (
            "requests_total",
            "outcome=client_error model=refuses code=400",
            2,
        ),
        (
            "requests_total",
            "outcome=upstream_error model=fails code=502",
            1,
        ),
        (
            "requests_total",
            "outcome=client_error model=unknown code=401",
            1,
        ),
        ("key_requests_total", "", 11),
        ("key_requests_total", "key=team-a outcome=ok", 5),
        ("key_requests_total", "key=team-b outcome=ok", 2),
        ("key_requests_total", "key=team-a outcome=client_error", 2),
        ("key_requests_total", "key=team-b outcome=upstream_error", 1),
        ("key_requests_total", "key=none outcome=client_error", 1),
        // disjoint: ten in the prompt, five in the answer
        ("tokens_total", "", 7 * 15),
        ("tokens_total", "type=input", 7 * 6),
        ("tokens_total", "type=cache_read", 7 * 4),
        ("tokens_total", "type=output", 7 * 3),
        ("tokens_total", "type=reasoning", 7 * 2),
        ("tokens_total", "key=team-b", 2 * 15),
        ("attempts_total", "result=ok", 7),
        ("attempts_total", "result=refused", 2),
        ("attempts_total", "result=error", 2),
        ("request_duration_seconds_count", "", 11),
        ("client_retries_total", "", 1),
        ("inflight_requests", "", 0),
    ] {
        let pairs: Vec<(&str, &str)> = labels
            .split_whitespace()
            .map(|label| label.split_once('=').unwrap())
            .collect();
        assert_eq!(metrics.count(family, &pairs), expected, "{family} {labels}");
    }
    let served = metrics.count("requests_total", &[("outcome", "ok"), ("backend", SERVES)]);
    assert_eq!(served, 7);
    assert_eq!(
        sim.account().requests,
        11,
        "one refused key, one call twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cost_counter_is_the_exact_sum_of_what_clients_were_told() {
    let sim = simulator().await;
    let mut setup = Setup::new(&sim);
    let backends: Vec<String> = (1..=9)
        .map(|n| format!("a/x+out={n}+prompt={}", n * 37 + 1))
        .collect();
    for (n, backend) in backends.iter().enumerate() {
        setup = setup.model(&format!("m{n}"), &[backend]);
    }
    let gateway = setup.start().await;
    let mut told = 0;
    for n in 0..9 {
        let model = format!("m{n}");
        for _ in 0..4 {
            let reply = gateway.ask(&model).await;
            told += pico(reply.header("x-tollgate-cost-usd"));
            let stream = gateway.stream_with_usage(&model).await;
            let usage = stream.usages().pop().unwrap();
            told += pico(usage["cost_usd"].as_str().unwrap());
        }
    }
    // a float shows sums of this size to the pico-dollar
    let mut counted = 0;
    for backend in &backends {
        let metrics = gateway.metrics().await;
        let sum = metrics.sum("cost_usd_total", &[("backend", backend), ("key", "none")]);
        counted += pico(&format!("{sum:.12}"));
    }
    assert_eq!(counted, told);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_that_clients_were_not_told_is_counted_as_well() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=5+prompt=9"])
        .start()
        .await;
    gateway.stream("m").await;
    let sum = gateway.metrics().await.sum("cost_usd_total", &[]);
    assert_eq!(
        pico(&format!("{sum:.12}")),
        crate::support::setup::price(0, 9, 5)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn families_have_the_labels_and_buckets_of_the_contract() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=3+gap=5ms", "b/y+fault=status:401"])
        .model("limping", &["c/x+fault=status:500", "d/y+out=1"])
        .model("vision", &["e/x+fault=status+body=context", "e/y+out=1"])
        .also("routes:\n  - { name: auto, candidates: [m, limping], objective: order }")
        .start()
        .await;
    gateway.ask("auto").await;
    gateway.ask("limping").await;
    gateway.ask("vision").await;
    let mut body = ask("m");
    body["max_tokens"] = 9_999_999.into();
    gateway.post(&body).send().await;
    let call = gateway.post(&stream_with_usage("m"));
    crate::support::Stream::read(call.open().await).await;
    let metrics = gateway.metrics().await;
    for (family, labels) in [
        (
            "requests_total",
            "backend code endpoint model outcome route",
        ),
        ("key_requests_total", "key outcome"),
        ("request_duration_seconds_count", "backend endpoint"),
        ("time_to_first_token_seconds_count", "backend endpoint"),
        ("overhead_seconds_count", "endpoint"),
        ("time_per_output_token_seconds_count", "backend"),
        ("tokens_total", "backend key type"),
        ("cost_usd_total", "backend key"),
        ("attempts_total", "backend result"),
        ("retries_total", "backend kind"),
        ("route_decisions_total", "model reason route"),
        ("route_refusals_total", "backend reason route"),
        ("capability_misses_total", "backend need"),
        ("inflight_requests", "backend"),
        ("backend_up", "backend"),
        ("client_retries_total", ""),
        ("build_info", "commit version"),
    ] {
        assert_eq!(metrics.labels(family).join(" "), labels, "{family}");
    }
    for (family, first, last) in [
        ("request_duration_seconds_bucket", "0.05", "600"),
        ("time_to_first_token_seconds_bucket", "0.001", "120"),
        ("overhead_seconds_bucket", "0.000025", "0.05"),
        ("time_per_output_token_seconds_bucket", "0.01", "2.5"),
    ] {
        let mut bounds: Vec<f64> = metrics
            .values(family, "le")
            .iter()
            .map(|bound| bound.replace("+Inf", "inf").parse().unwrap())
            .collect();
        bounds.sort_by(f64::total_cmp);
        let edge: Vec<f64> = [first, last].iter().map(|b| b.parse().unwrap()).collect();
        assert_eq!(bounds[0].to_bits(), edge[0].to_bits(), "{family}");
        assert_eq!(
            bounds[bounds.len() - 2].to_bits(),
            edge[1].to_bits(),
            "{family}"
        );
        assert!(bounds[bounds.len() - 1].is_infinite());
    }
    assert_eq!(
        metrics.values("build_info", "version"),
        [env!("CARGO_PKG_VERSION")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn time_to_the_first_token_and_overhead_do_not_contain_each_other() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=5+ttft=300ms+gap=40ms"])
        .start()
        .await;
    for _ in 0..2 {
        assert!(gateway.stream("m").await.is_done());
    }
    let metrics = gateway.metrics().await;
    let sum = |family: &str| metrics.sum(&format!("{family}_sum"), &[]);
    let first = sum("time_to_first_token_seconds");
    assert!((0.6..3.0).contains(&first), "{first}");
    let overhead = sum("overhead_seconds");
    assert!(
        overhead > 0.0 && overhead < 0.3,
        "{overhead}: waiting for a backend is none"
    );
    let duration = sum("request_duration_seconds");
    assert!(duration >= first + 0.3, "{duration}");
    let each = sum("time_per_output_token_seconds");
    assert!((0.06..0.5).contains(&each), "{each}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_under_way_are_seen_while_they_are() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+fault=stall:2"])
        .start()
        .await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(
            gateway
                .post(&crate::support::gateway::stream("m"))
                .open()
                .await,
        );
    }
    let inflight = [("backend", "a/x+fault=stall:2")];
    assert_eq!(
        gateway
            .metrics()
            .await
            .count("inflight_requests", &inflight),
        3
    );
    open.pop();
    eventually("one less", async || {
        gateway
            .metrics()
            .await
            .count("inflight_requests", &inflight)
            == 2
    })
    .await;
    drop(open);
    eventually("none", async || {
        gateway
            .metrics()
            .await
            .count("inflight_requests", &inflight)
            == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_by_what_was_lacking() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model_with("m", "context: 100, caps: [streaming]", &["a/x"])
        .start()
        .await;
    let mut tools = ask("m");
    tools["tools"] = json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
    let mut long = ask("m");
    long["messages"][0]["content"] = "words ".repeat(400).into();
    for body in [tools, long] {
        assert_eq!(gateway.post(&body).send().await.status, 400);
    }
    let metrics = gateway.metrics().await;
    for reason in ["tools", "context"] {
        let labels = [("backend", "a/x"), ("reason", reason)];
        assert_eq!(
            metrics.count("route_refusals_total", &labels),
            1,
            "{reason}"
        );
    }
    assert_eq!(
        metrics.count("requests_total", &[("outcome", "refused")]),
        2
    );
    assert_eq!(metrics.count("attempts_total", &[]), 0);
}
