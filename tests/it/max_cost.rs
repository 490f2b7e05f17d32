//! `max_cost`: what a request may cost at most, all calls together.

use http::Method;
use serde_json::{Value, json};

use crate::support::{
    Gateway, Reply, Setup, eventually,
    gateway::{ADMIN_KEY, ask, stream_with_usage},
    pico, simulator,
};

const TOO_DEAR: &str = "400 invalid_request_error max_cost_exceeded max_cost";

fn with(model: &str, max_cost: &Value) -> Value {
    let mut body = ask(model);
    body["tollgate"] = json!({ "max_cost": max_cost });
    body
}

fn limited(mut body: Value, tokens: u64) -> Value {
    body["max_tokens"] = json!(tokens);
    body
}

async fn send(gateway: &Gateway, body: &Value) -> Reply {
    gateway.post(body).send().await
}

fn written(reply: &Reply) -> u64 {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["usage"]["completion_tokens"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_max_tokens_the_cap_that_the_money_buys_is_sent_and_the_cost_stays_below() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .provider(
            "new",
            &format!(
                "base_url: 'http://{}/v1', output_limit: max_completion_tokens",
                sim.addr()
            ),
        )
        .model("m", &["a/m+out=5000"])
        .model("n", &["new/n+out=5000"])
        .start()
        .await;
    for (model, field) in [("m", "max_tokens"), ("n", "max_completion_tokens")] {
        // a tenth of a cent, at two dollars a million
        for money in [json!("0.001"), json!(0.001), json!(1e-3)] {
            let reply = send(&gateway, &with(model, &money)).await;
            assert!((450..500).contains(&written(&reply)), "{}", written(&reply));
            assert_eq!(reply.json()["choices"][0]["finish_reason"], "length");
            assert!(pico(reply.header("x-tollgate-cost-usd")) <= 1_000_000_000);
            let sent: Value =
                serde_json::from_slice(sim.requests(1)[0].body.as_ref().unwrap()).unwrap();
            assert_eq!(sent[field], written(&reply));
        }
    }
    let header = gateway
        .post(&ask("m"))
        .header("x-tollgate-max-cost", "0.001");
    assert!((450..500).contains(&written(&header.send().await)));
    // more than the longest answer costs needs no cap
    let reply = send(&gateway, &with("m", &json!("100"))).await;
    assert_eq!(written(&reply), 5_000);
    let sent: Value = serde_json::from_slice(sim.requests(1)[0].body.as_ref().unwrap()).unwrap();
    assert_eq!(sent["max_tokens"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_buy_sixteen_tokens_or_what_is_asked_for_is_refused() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/m"]).start().await;
    for body in [
        with("m", &json!("0.00004")),
        with("m", &json!(0)),
        limited(with("m", &json!("0.001")), 1_000),
    ] {
        let reply = send(&gateway, &body).await;
        assert_eq!(reply.refusal(), TOO_DEAR, "{body}");
        let says = reply.error().message;
        assert!(
            says.contains("a/m may cost 0.") && says.contains("are allowed"),
            "{says}"
        );
    }
    assert_eq!(sim.account().requests, 0);
    assert_eq!(
        written(&send(&gateway, &limited(with("m", &json!("0.001")), 100)).await),
        43
    );
    let metrics = gateway.metrics().await;
    let refused = [("backend", "a/m"), ("reason", "max_cost")];
    assert_eq!(metrics.count("route_refusals_total", &refused), 3);
    let outcome = [("outcome", "refused"), ("code", "400")];
    assert_eq!(metrics.count("requests_total", &outcome), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn header_and_body_must_agree_and_be_an_amount() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/m+out=5"]).start().await;
    let both = |header: &'static str, body: Value| {
        let call = gateway.post(&limited(with("m", &body), 5));
        call.header("x-tollgate-max-cost", header).send()
    };
    assert_eq!(both("0.10", json!(0.1)).await.status, 200);
    assert_eq!(
        both("0.2", json!("0.1")).await.refusal(),
        "400 invalid_request_error conflicting_parameters tollgate"
    );
    for wrong in [
        json!("-1"),
        json!(-1),
        json!("1 USD"),
        json!(true),
        Value::Null,
    ] {
        let reply = send(&gateway, &with("m", &wrong)).await;
        assert_eq!(
            reply.refusal(),
            "400 invalid_request_error invalid_type tollgate"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_cost_too_much_is_passed_over_and_what_has_no_price_is_never_asked() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("cheap", &["a/cheap+out=5"])
        .also_model(
            "{ name: secret, context: 100000, max_output: 1000, caps: [streaming], \
             backends: [{ provider: a, model: secret }] }",
        )
        .also_model(
            "{ name: gift, context: 100000, max_output: 1000, caps: [streaming], \
             backends: [{ provider: a, model: gift, price: free }] }",
        )
        .also_model(
            "{ name: dear, context: 100000, max_output: 1000, caps: [streaming], backends: \
             [{ provider: a, model: dear, price: { input: '500', output: '500' } }] }",
        )
        .also("routes: [{ name: auto, candidates: [secret, dear, cheap], objective: order }]")
        .start()
        .await;
    let reply = send(&gateway, &with("auto", &json!("0.001"))).await;
    assert_eq!(reply.header("x-tollgate-model"), "cheap");
    assert_eq!(
        reply.header("x-tollgate-decision"),
        "only one capable; 2 refused"
    );
    let reply = send(&gateway, &with("secret", &json!("1"))).await;
    assert_eq!(
        reply.refusal(),
        "403 invalid_request_error policy_excludes_all null"
    );
    assert_eq!(send(&gateway, &with("gift", &json!("0"))).await.status, 200);
    assert_eq!(sim.account().model("dear").requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_earlier_calls_cost_is_gone_for_later_ones() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("first_byte_timeout: 200ms")
        .model("m", &["a/m+fault=hang", "a/m+out=5000"])
        .model("dear", &["a/m+fault=hang"])
        .also_model(
            "{ name: last, context: 100000, max_output: 1000000, caps: [streaming], backends: \
             [{ provider: a, model: 'last+out=5000', price: { input: '1', output: '2' } }] }",
        )
        .also("routes: [{ name: auto, candidates: [dear, last], objective: order }]")
        .start()
        .await;
    let mut body = with("auto", &json!("0.0004"));
    body["messages"][0]["content"] = "word ".repeat(100).into();
    let reply = send(&gateway, &body).await;
    assert_eq!(reply.header("x-tollgate-attempts"), "2", "{}", reply.text());
    let first = written(&reply);
    // the prompt of the first, which may be billed, is missing in the second's money
    let counted = gateway.metrics().await.sum("cost_usd_total", &[]);
    assert!(counted > 0.000_2 && counted <= 0.000_4, "{counted}");
    let mut alone = body.clone();
    alone["model"] = "last".into();
    let alone = written(&send(&gateway, &alone).await);
    assert!(first + 40 < alone, "{first}, {alone}");
    // where nothing is left for another call, the failure is what is told
    body["tollgate"]["max_cost"] = json!("0.0002");
    let reply = send(&gateway, &limited(body, 16)).await;
    assert_eq!(reply.refusal(), "504 server_error upstream_timeout null");
    assert_eq!(reply.header("x-tollgate-attempts"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_capped_too_and_choices_share_the_money() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/m+out=5000"]).start().await;
    let mut body = stream_with_usage("m");
    body["n"] = json!(4);
    body["tollgate"] = json!({ "max_cost": "0.002" });
    let stream = crate::support::Stream::read(gateway.post(&body).open().await).await;
    let usage = &stream.usages()[0];
    assert!(pico(usage["cost_usd"].as_str().unwrap()) <= 2_000_000_000);
    let sent: Value = serde_json::from_slice(sim.requests(1)[0].body.as_ref().unwrap()).unwrap();
    let each = sent["max_tokens"].as_u64().unwrap();
    assert!((225..250).contains(&each), "{each}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_budget_the_smaller_of_both_counts() {
    let sim = simulator().await;
    let key = "sk-team-a-0123456789abcdef";
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+out=5000"])
        .also(&format!(
            "keys: [{{ id: a, key: {key}, budget: {{ usd: '0.004', per: total }} }}]"
        ))
        .start()
        .await;
    let asked = async |money: &str| {
        written(
            &gateway
                .post(&with("m", &json!(money)))
                .key(key)
                .send()
                .await,
        )
    };
    // twice what is expected, as the budget covers it
    assert_eq!(asked("0.1").await, 600);
    let by_request = asked("0.0003").await;
    assert!((100..150).contains(&by_request), "{by_request}");
    eventually("nothing is held", async || {
        gateway.metrics().await.sum("budget_held_usd", &[]) == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_endpoints_are_held_to_it_by_their_units() {
    let sim = simulator().await;
    let also = |setup: Setup, name: &str, price: &str, caps: &str| {
        setup.also_model(&format!(
            "{{ name: {name}, caps: [{caps}], backends: [{{ provider: a, model: {name}, \
             price: {price} }}] }}"
        ))
    };
    let setup = Setup::new(&sim).model("m", &["a/m"]);
    let setup = also(setup, "embed", "{ input: '1' }", "embeddings");
    let setup = also(setup, "paint", "{ image_each: '0.04' }", "images");
    let setup = also(setup, "speak", "{ char_m: '15' }", "speech");
    let setup = also(setup, "hear", "{ audio_hour: '0.36' }", "transcription");
    let gateway = setup.start().await;
    for (path, body, enough, little) in [
        (
            "/v1/embeddings",
            json!({ "model": "embed", "input": "some words" }),
            "0.0001",
            "0.000001",
        ),
        (
            "/v1/images/generations",
            json!({ "model": "paint", "prompt": "x", "n": 2 }),
            "0.08",
            "0.079",
        ),
        (
            "/v1/audio/speech",
            json!({ "model": "speak", "input": "hello", "voice": "v" }),
            "0.000075",
            "0.000074",
        ),
    ] {
        for (money, status) in [(enough, 200), (little, 400)] {
            let call = gateway.call(Method::POST, path).json(&body);
            let reply = call.header("x-tollgate-max-cost", money).send().await;
            assert_eq!(reply.status, status, "{path}: {}", reply.text());
            if status == 400 {
                assert_eq!(reply.refusal(), TOO_DEAR);
            }
        }
    }
    let upload = async |file: &[u8], money: &str| {
        let mut body =
            b"--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nhear\r\n--x\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"
                .to_vec();
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n--x--\r\n");
        let call = gateway
            .call(Method::POST, "/v1/audio/transcriptions")
            .bytes(body);
        let call = call.header("content-type", "multipart/form-data; boundary=x");
        call.header("x-tollgate-max-cost", money).send().await
    };
    // one second, at a hundredth of a cent
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    wav.extend(8_000_u32.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend([0; 16_000]);
    assert_eq!(upload(&wav, "0.0001").await.status, 200);
    assert_eq!(upload(&wav, "0.00009").await.refusal(), TOO_DEAR);
    // nobody knows how long a compressed recording is
    let guessed = upload(&[1; 16_000], "10").await;
    assert_eq!(guessed.refusal(), TOO_DEAR);
    assert!(
        guessed
            .text()
            .contains("costs nobody knows how much at most")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_of_the_web_has_no_upper_bound() {
    let sim = simulator().await;
    let model = |name: &str, search: &str| {
        format!(
            "{{ name: {name}, context: 100000, max_output: 1000, caps: [streaming, web_search], \
             backends: [{{ provider: a, model: {name}, price: {{ input: '1', output: '2'{search} }} }}] }}"
        )
    };
    let gateway = Setup::new(&sim)
        .model("m", &["a/m"])
        .also_model(&model("billed", ", web_search_k: '10'"))
        .also_model(&model("included", ""))
        .start()
        .await;
    let mut body = with("billed", &json!("5"));
    body["web_search_options"] = json!({});
    let refused = send(&gateway, &body).await;
    assert_eq!(refused.refusal(), TOO_DEAR);
    body["model"] = "included".into();
    assert_eq!(send(&gateway, &body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_the_decision_that_serving_takes() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/m+out=5000", "a/dear"])
        .start()
        .await;
    let body = with("m", &json!("0.001"));
    let call = gateway.operator(Method::POST, "/admin/v1/explain");
    let told = call.json(&body).key(ADMIN_KEY).send().await.json();
    assert_eq!(told["needs"]["max_cost_usd"], "0.001");
    assert_eq!(told["chosen"], "a/m+out=5000");
    let reply = send(&gateway, &body).await;
    assert_eq!(told["candidates"][0]["max_output_tokens"], written(&reply));
    let expected = pico(told["candidates"][0]["expected_cost_usd"].as_str().unwrap());
    assert!(expected <= 1_000_000_000);
    assert_eq!(told["refused"][0]["backend"], "a/dear");
    assert_eq!(told["refused"][0]["reason"], "max_cost");
    assert_eq!(told["decision"], reply.header("x-tollgate-decision"));
}
