//! The rows of the table that a backend causes.

use crate::support::{
    Scripted, Setup,
    gateway::{ask, stream},
    scripted, simulator, simulator_with,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_s_refusal_of_the_request_is_passed_on_in_our_shape() {
    let sim = simulator().await;
    let cases = [
        (
            "fault=status+body=invalid",
            "400 invalid_request_error invalid_value messages[0].content",
            "Invalid value: 'x'.",
        ),
        (
            "fault=status+body=filter",
            "400 invalid_request_error content_filter prompt",
            "content management policy",
        ),
        (
            "fault=status+body=temperature",
            "400 invalid_request_error null null",
            "only 1 is allowed",
        ),
        (
            "fault=status+body=batch",
            "422 Validation 422 null",
            "batch size 95",
        ),
        (
            "fault=status:413+body=invalid",
            "413 invalid_request_error invalid_value messages[0].content",
            "Invalid value",
        ),
        (
            "fault=status+body=array",
            "400 INVALID_ARGUMENT 400 null",
            "invalid argument",
        ),
        (
            "fault=status+body=flat",
            "400 BadRequestError 400 null",
            "The request is invalid.",
        ),
        (
            "fault=status+body=databricks",
            "400 invalid_request_error BAD_REQUEST null",
            "Invalid request.",
        ),
        (
            "fault=status:400+body=nobody",
            "400 invalid_request_error null null",
            "without saying why",
        ),
        (
            "fault=status:400+body=html",
            "400 invalid_request_error null null",
            "without saying why",
        ),
    ];
    let mut setup = Setup::new(&sim);
    for (script, ..) in cases {
        let first = format!("a/x+{script}");
        setup = setup.model(script, &[&first, "b/spare"]);
    }
    let gateway = setup.start().await;
    for (script, refusal, says) in cases {
        for body in [ask(script), stream(script)] {
            let reply = gateway.post(&body).send().await;
            assert_eq!(reply.refusal(), refusal, "{script}");
            assert!(reply.error().message.contains(says), "{}", reply.text());
            assert_eq!(reply.header("x-tollgate-attempts"), "1");
            assert_ne!(reply.header("x-should-retry"), "true");
        }
        let asked = sim.account().at("a", &format!("x+{script}")).requests;
        assert_eq!(asked, 2, "{script}");
    }
    assert_eq!(sim.account().model("spare").requests, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_and_keys_in_a_backend_s_refusal_are_masked() {
    let body = r#"{"error":{"message":"bad key sk-proj-abcDEF123 of org-Ab12 in req_0123 at acct_1x",
        "type":"proj_77","param":"sk-12345","code":"org-secret1"}}"#;
    let upstream = Scripted::saying(format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    let gateway = upstream.gateway().await;
    let reply = gateway.ask("m").await;
    assert_eq!(reply.refusal(), "400 *** *** ***");
    assert_eq!(reply.error().message, "bad key *** of *** in *** at ***");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_serve_us_is_our_fault_not_the_client_s() {
    let sim = simulator().await;
    let cases = [
        "fault=status:401",
        "fault=status:402",
        "fault=status:403",
        "fault=status:404",
        "fault=status+body=key",
        "fault=status+body=money",
        "fault=status+body=money_anthropic",
        "fault=status+body=money_deepseek",
        "fault=status+body=money_zhipu",
        "fault=status+body=money_minimax",
        "fault=status+body=model",
        "fault=status+body=key_minimax",
    ];
    let mut setup = Setup::new(&sim);
    for script in cases {
        setup = setup.model(script, &[&format!("a/x+{script}")]);
    }
    let gateway = setup.start().await;
    for script in cases {
        for body in [ask(script), stream(script)] {
            let reply = gateway.post(&body).send().await;
            assert_eq!(
                reply.refusal(),
                "502 server_error upstream_error null",
                "{script}"
            );
            assert_eq!(reply.header("x-should-retry"), "false");
            assert_eq!(reply.header("x-tollgate-attempts"), "1");
            let message = reply.error().message;
            assert!(
                !message.contains("sk-") && !message.contains("Billing"),
                "{message}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_of_ours_is_a_502() {
    let options = tollgate::simulate::Options {
        keys: vec!["another-key".into()],
        ..Default::default()
    };
    let sim = simulator_with(options).await;
    let gateway = Setup::new(&sim).model("m", &["a/x"]).start().await;
    let reply = gateway.ask("m").await;
    assert_eq!(reply.refusal(), "502 server_error upstream_error null");
    assert!(!reply.text().contains("API key"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_a_502() {
    let sim = simulator().await;
    let cases = [
        "fault=notjson",
        "fault=empty",
        "fault=short",
        "fault=garbage:1",
        "fault=cut:1",
    ];
    let mut setup = Setup::new(&sim);
    for script in cases {
        setup = setup.model(script, &[&format!("a/x+{script}")]);
    }
    let bodies = [
        ("no-choices", "{\"id\":1}"),
        ("null-choices", "{\"choices\":null}"),
        ("array", "[1]"),
        ("error", "{\"error\":\"sorry\"}"),
    ];
    let mut upstreams = Vec::new();
    for (name, body) in bodies {
        let upstream = Scripted::saying(scripted::json(body)).await;
        let backend = format!("raw-{name}/x");
        setup = setup
            .provider(&format!("raw-{name}"), &upstream.provider())
            .model(name, &[&backend]);
        upstreams.push(upstream);
    }
    let gateway = setup.start().await;
    for model in cases.into_iter().chain(bodies.map(|(name, _)| name)) {
        let reply = gateway.ask(model).await;
        assert_eq!(
            reply.refusal(),
            "502 server_error upstream_error null",
            "{model}"
        );
        assert_eq!(reply.header("x-should-retry"), "false");
        assert_eq!(reply.header("x-tollgate-attempts"), "2", "{model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_answer_that_nobody_asked_for_is_nonsense() {
    let body = r#"{"choices":[{"message":{}}]}"#;
    let headers = "content-type: application/json\ncontent-encoding: gzip";
    let upstream = Scripted::saying(scripted::answer(headers, body)).await;
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .provider("raw", &upstream.provider())
        .model("m", &["raw/x", "a/spare+out=1"])
        .start()
        .await;
    let reply = gateway.ask("m").await;
    assert_eq!(reply.header("x-tollgate-backend"), "a/spare+out=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_to_be_left_alone_makes_a_503_that_says_when_to_come_back() {
    let sim = simulator().await;
    let script = "x+fault=status:429+body=rate+retry_after=7";
    let gateway = Setup::new(&sim)
        .also("retries: { max_wait: 1s }")
        .model("m", &[&format!("a/{script}")])
        .start()
        .await;
    let first = gateway.ask("m").await;
    assert_eq!(first.refusal(), "502 server_error upstream_error null");
    assert_eq!(first.header("x-should-retry"), "false");
    assert_eq!(first.header("x-tollgate-attempts"), "1");
    for body in [ask("m"), stream("m")] {
        let second = gateway.post(&body).send().await;
        assert_eq!(second.refusal(), "503 server_error no_healthy_backend null");
        assert_eq!(second.header("x-should-retry"), "true");
        let seconds: u64 = second.header("retry-after").parse().unwrap();
        let ms: u64 = second.header("retry-after-ms").parse().unwrap();
        assert!((1..=7_000).contains(&ms), "{ms}");
        assert_eq!(seconds, ms.div_ceil(1_000));
        assert!(second.error().message.contains("is busy for another"));
        assert!(!second.has("x-tollgate-attempts"));
    }
    assert_eq!(sim.account().model(script).requests, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_nothing_of_the_inside() {
    let sim = simulator().await;
    let address = sim.addr().to_string();
    let gateway = Setup::new(&sim)
        .provider("dead", "base_url: 'http://127.0.0.1:1/secret/v1'")
        .model("m", &["dead/x"])
        .start()
        .await;
    let reply = gateway.ask("m").await;
    assert_eq!(reply.refusal(), "502 server_error upstream_error null");
    for inside in [
        "127.0.0.1",
        "secret",
        "hyper",
        "tcp",
        "panicked",
        ".rs",
        &address,
    ] {
        assert!(!reply.text().contains(inside), "{}", reply.text());
    }
}
