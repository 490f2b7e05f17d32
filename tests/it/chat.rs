//! Whole answers: what reaches the backend, what reaches the client, and what it costs.

use http::Method;
use serde_json::json;

use crate::support::{
    Call, Scripted, Setup,
    gateway::ask,
    pico, scripted,
    setup::{UPSTREAM_KEY, price},
    simulator,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_who_served_it_why_and_for_how_much() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/one+prompt=11+out=5", "b/two"])
        .start()
        .await;
    let reply = gateway
        .post(&ask("m"))
        .header("x-client-request-id", "mine-1")
        .send()
        .await;
    assert_eq!(reply.status, 200);
    let usage = &reply.json()["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"]),
        (&json!(11), &json!(5))
    );
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("x-tollgate-model"), "m");
    assert_eq!(reply.header("x-tollgate-backend"), "a/one+prompt=11+out=5");
    assert_eq!(reply.header("x-tollgate-attempts"), "1");
    assert_eq!(reply.header("x-tollgate-cost-usd"), "0.000021");
    assert_eq!(pico("0.000021"), price(0, 11, 5));
    assert!(!reply.has("x-tollgate-estimated-cost-usd"));
    assert_eq!(reply.header("x-tollgate-decision"), "cheapest of 2 capable");
    assert!(reply.header("openai-processing-ms").parse::<u64>().is_ok());
    assert_eq!(reply.header("x-client-request-id"), "mine-1");
    assert!(reply.header("x-request-id").starts_with("req_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_an_id_of_its_own_and_echoes_the_client_s() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/one+out=1"]).start().await;
    let mut ids = std::collections::HashSet::new();
    for (path, status) in [
        ("/v1/chat/completions", 200),
        ("/chat/completions", 200),
        ("/v1/chat/completions", 200),
        ("/v1/nothing", 404),
        ("/v1/models", 405),
    ] {
        let call = gateway.call(Method::POST, path).json(&ask("m"));
        let reply = call
            .header("x-client-request-id", path)
            .header("x-request-id", "the-client-s")
            .send()
            .await;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.header("x-client-request-id"), path);
        assert!(ids.insert(reply.header("x-request-id").to_owned()));
    }
    assert!(!ids.contains("the-client-s"));
    for path in [
        "/v1/models",
        "/healthz",
        "/readyz",
        "/health/liveness",
        "/health/readiness",
    ] {
        let reply = gateway.get(path).send().await;
        assert_eq!(reply.status, 200, "{path}");
        assert!(ids.insert(reply.header("x-request-id").to_owned()));
    }
}

/// Odd white space, numbers that a float would change, escapes, unknown members, in this order.
const ODD: &str = r#"{ "zz" : 1.10,
  "model":"m" ,"big":123456789012345678901234567890, "tiny":1e-400,
  "messages":[{"role":"user","content":"\u00e9\/\u0022 caf\u00e9 \ud83d\ude00","name_of_mine":[1, 2 ,3.000]}],
	"a":{"z":1,"a":{"b":[ ]}} ,"top_k" : 4e0}"#;

#[tokio::test(flavor = "multi_thread")]
async fn unknown_members_reach_the_backend_byte_for_byte_and_in_order() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/one+out=1"]).start().await;
    assert_eq!(gateway.post(ODD).send().await.status, 200);
    let received = sim.requests(1).remove(0);
    let body = received.body.clone().unwrap();
    let expected = ODD.replace(r#""m""#, r#""one+out=1""#);
    assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
    assert_eq!(received.uri.path(), "/p/a/v1/chat/completions");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_member_tollgate_is_cut_out_and_the_rest_stays_as_it_was() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/one+out=1"]).start().await;
    let own = r#""tollgate":{"models":["m"]}"#;
    let rest = [
        r#""x": 1.0"#,
        r#""model":"one+out=1""#,
        r#""messages":[{"role":"user","content":"hi"}]"#,
    ];
    for place in 0..=rest.len() {
        let mut members = rest.to_vec();
        members.insert(place, own);
        let body = format!("{{{}}}", members.join(",")).replace("one+out=1", "m");
        assert_eq!(gateway.post(&body).send().await.status, 200, "{body}");
        let received = sim.requests(1).remove(0).body.clone().unwrap();
        let expected = format!("{{{}}}", rest.join(","));
        assert_eq!(std::str::from_utf8(&received).unwrap(), expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_reaches_the_client_byte_for_byte() {
    let odd = "{ \"choices\" : [ {\"index\":0,\"message\":{\"content\":\"\\u00e9\",\"x\":1.10}, \
               \"zz\":1e-400} ],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\
               \"odd\":123456789012345678901234567890},\"model\":\"said-by-it\" ,\"a\":[ ]}\n";
    let upstream = Scripted::saying(scripted::json(odd)).await;
    let gateway = upstream.gateway().await;
    let reply = gateway.ask("m").await;
    assert_eq!(reply.text(), odd);
    assert_eq!(pico(reply.header("x-tollgate-cost-usd")), price(0, 3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_backend_that_are_not_for_clients_never_pass() {
    let upstream = Scripted::saying(scripted::answer(
        "content-type: application/json; charset=utf-8
         content-language: de
         x-tollgate-cost-usd: 999
         x-tollgate-anything: 1
         x-request-id: theirs
         set-cookie: session=1
         server: nginx
         openai-organization: org-secret
         x-ratelimit-remaining-requests: 7
         retry-after: 5
         x-should-retry: true
         access-control-allow-origin: *",
        r#"{"choices":[{"index":0,"message":{"content":"hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
    ))
    .await;
    let gateway = upstream.gateway().await;
    let reply = gateway.ask("m").await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("content-type"),
        "application/json; charset=utf-8"
    );
    assert_eq!(reply.header("content-language"), "de");
    assert_eq!(pico(reply.header("x-tollgate-cost-usd")), price(0, 1, 1));
    assert!(reply.header("x-request-id").starts_with("req_"));
    for name in [
        "x-tollgate-anything",
        "x-tollgate-simulated",
        "set-cookie",
        "server",
        "openai-organization",
        "x-ratelimit-remaining-requests",
        "retry-after",
        "x-should-retry",
        "access-control-allow-origin",
    ] {
        assert!(!reply.has(name), "{name} passed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_the_client_stay_here_and_tracing_goes_on() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/one+out=1"]).start().await;
    let call = gateway
        .post(&ask("m"))
        .key("sk-of-the-client-0123456789")
        .header("x-api-key", "sk-of-the-client-0123456789")
        .header("cookie", "session=1")
        .header("x-forwarded-for", "10.1.2.3")
        .header("x-stainless-lang", "python")
        .header("user-agent", "their-agent")
        .header("accept-encoding", "gzip")
        .header("x-custom", "1")
        .header(
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        )
        .header("tracestate", "a=b")
        .header("baggage", "c=d")
        .header("openai-beta", "assistants=v2");
    assert_eq!(call.send().await.status, 200);
    let received = sim.requests(1).remove(0);
    let get = |name: &str| received.headers.get(name).and_then(|v| v.to_str().ok());
    for (name, value) in [
        ("authorization", format!("Bearer {UPSTREAM_KEY}")),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        ),
        ("tracestate", "a=b".into()),
        ("baggage", "c=d".into()),
        ("openai-beta", "assistants=v2".into()),
        ("content-type", "application/json".into()),
        ("host", sim.addr().to_string()),
    ] {
        assert_eq!(get(name), Some(value.as_str()), "{name}");
    }
    assert!(get("user-agent").is_some_and(|agent| agent.starts_with("tollgate/")));
    for name in [
        "cookie",
        "x-api-key",
        "x-forwarded-for",
        "x-stainless-lang",
        "x-custom",
    ] {
        assert_eq!(get(name), None, "{name} went upstream");
    }
    assert_ne!(get("accept-encoding"), Some("gzip"));
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_output_limit_are_those_of_the_provider() {
    let sim = simulator().await;
    let url = |name: &str| format!("base_url: '{}'", sim.base_url(name));
    let gateway = Setup::new(&sim)
        .provider(
            "old",
            &format!(
                "{}, output_limit: max_tokens, headers: {{ x-team: ml }}",
                url("old")
            ),
        )
        .provider(
            "new",
            &format!("{}, output_limit: max_completion_tokens", url("new")),
        )
        .model("old", &["old/x"])
        .model("new", &["new/x"])
        .start()
        .await;
    for (model, sent, arrived) in [
        ("old", "max_completion_tokens", "max_tokens"),
        ("new", "max_tokens", "max_completion_tokens"),
        ("new", "max_completion_tokens", "max_completion_tokens"),
    ] {
        let mut body = ask(model);
        body[sent] = 3.into();
        let reply = gateway.post(&body).send().await;
        assert_eq!(
            reply.json()["usage"]["completion_tokens"],
            3,
            "{}",
            reply.text()
        );
        let received = sim.requests(1).remove(0);
        let json: serde_json::Value =
            serde_json::from_slice(received.body.as_ref().unwrap()).unwrap();
        assert_eq!(json[arrived], 3, "{json}");
        assert!(sent == arrived || json.get(sent).is_none(), "{json}");
        let team = received.headers.get("x-team").and_then(|v| v.to_str().ok());
        assert_eq!(team, (model == "old").then_some("ml"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cost_is_price_times_reported_tokens_in_every_habit_of_reporting() {
    let sim = simulator().await;
    let styles = ["openai", "deepseek", "last", "continuous", "bare", "xai"];
    let mut setup = Setup::new(&sim);
    for style in styles {
        let backend = format!("a/x+usage={style}+prompt=1000+cached=300+out=21+reasoning=9");
        setup = setup.model(style, &[&backend]);
    }
    let gateway = setup.start().await;
    for style in styles {
        let reply = gateway.ask(style).await;
        assert_eq!(reply.status, 200, "{style}: {}", reply.text());
        // without a rate of its own, what was cached costs as much as what was not
        let cost = pico(reply.header("x-tollgate-cost-usd"));
        assert_eq!(cost, price(0, 1000, 30), "{style}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_usage_has_an_estimated_cost_and_no_exact_one() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("none", &["a/x+usage=none"])
        .model("null", &["a/x+usage=null"])
        .start()
        .await;
    for model in ["none", "null"] {
        let reply = gateway.ask(model).await;
        assert_eq!(reply.status, 200);
        assert!(!reply.has("x-tollgate-cost-usd"), "{model}");
        assert!(pico(reply.header("x-tollgate-estimated-cost-usd")) > 0);
    }
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.count("estimated_usage_total", &[]), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpriced_backend_has_no_cost_and_is_counted() {
    let sim = simulator().await;
    let yaml = format!(
        "providers:\n  own: {{ base_url: '{}' }}\nmodels:\n  - {{ name: m, backends: [{{ \
         provider: own, model: x }}] }}\n  - {{ name: gratis, backends: [{{ provider: own, \
         model: y, price: free }}] }}\n",
        sim.base_url("own")
    );
    let gateway = crate::support::Gateway::start(&yaml).await;
    let reply = gateway.ask("m").await;
    assert_eq!(reply.status, 200);
    assert!(!reply.has("x-tollgate-cost-usd"));
    assert_eq!(
        gateway.ask("gratis").await.header("x-tollgate-cost-usd"),
        "0"
    );
    let metrics = gateway.metrics().await;
    let unpriced = metrics.count("unpriced_requests_total", &[("backend", "own/x")]);
    assert_eq!(unpriced, 1);
    assert_eq!(metrics.count("unpriced_requests_total", &[]), 1);
    // no api_key is written, so none is sent
    assert!(!sim.requests(1)[0].headers.contains_key("authorization"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooled_connection_that_the_backend_closed_is_replaced_unseen() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=1+idle_close=30ms"])
        .start()
        .await;
    for round in 1..=3 {
        let reply = gateway.ask("m").await;
        assert_eq!(
            (reply.status, reply.header("x-tollgate-attempts")),
            (200, "1")
        );
        assert_eq!(
            sim.account().model("x+out=1+idle_close=30ms").requests,
            round
        );
        crate::support::eventually("the simulator closes the connection", async || {
            sim.account().connections_open == 0
        })
        .await;
    }
    assert_eq!(gateway.metrics().await.count("retries_total", &[]), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_at_its_second_use_is_replaced_unseen() {
    // the FIN comes only with the answer to the second request: as if it had been under way
    let ok = scripted::json(
        r#"{"choices":[{"index":0,"message":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#,
    );
    let upstream = Scripted::start(vec![
        crate::support::Act::Say(ok.clone().into()),
        crate::support::Act::Close,
        crate::support::Act::Say(ok.into()),
    ])
    .await;
    let gateway = upstream.gateway().await;
    assert_eq!(gateway.ask("m").await.status, 200);
    // longer than a connection may be idle before it is suspected
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let reply = gateway.ask("m").await;
    assert_eq!(
        (reply.status, reply.header("x-tollgate-attempts")),
        (200, "1")
    );
    assert_eq!(upstream.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_a_backend_are_reused() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=1"]).start().await;
    for _ in 0..5 {
        assert_eq!(gateway.ask("m").await.status, 200);
    }
    assert_eq!(sim.account().connections_opened, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_of_a_client_serves_many_requests() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=1"]).start().await;
    let body = ask("m").to_string();
    let one = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: \
         application/json\r\ncontent-length: {}\r\n",
        gateway.client,
        body.len()
    );
    let two = format!("{one}\r\n{body}{one}connection: close\r\n\r\n{body}");
    let answers = crate::support::http::raw(gateway.client, two.as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_host_is_refused() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=1"]).start().await;
    let call = Call::new(gateway.client, Method::GET, "/v1/models").without("host");
    let reply = call.send().await;
    assert!(matches!(reply.status, 400 | 403), "{}", reply.status);
}
