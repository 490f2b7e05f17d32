use super::*;
use crate::{
    catalog::{Adapter, Boundary, Protocol, Takes},
    config::{Limits, Listed, OutputLimitField, Price, Quality},
    understand,
};

fn provider(urls: &[&'static str]) -> Provider {
    Provider {
        hosting: None,
        retention_days: None,
        listed: Listed::default(),
        name: "p".into(),
        protocol: Protocol::OpenAi,
        base_urls: urls.iter().map(|url| Uri::from_static(url)).collect(),
        api_keys: vec!["sk-secret-of-the-provider".into()],
        headers: vec![(
            HeaderName::from_static("x-team"),
            HeaderValue::from_static("ml"),
        )],
        region: None,
        adapter: Adapter::OpenAi,
        boundary: Boundary::Over,
        output_limit_field: OutputLimitField::AsSent,
        self_hosted: None,
        limits: Limits::default(),
        proxy: None,
        ca_file: None,
    }
}

fn backend() -> Backend {
    Backend {
        about: crate::config::About::default(),
        serves: None,
        max_batch: None,
        takes: Takes::default(),
        tokenizer: None,
        name: "p/Org/Model".into(),
        provider: 0,
        upstream_model: "Org/Model".into(),
        price: Price::Unpriced,
        context: None,
        max_output: None,
        caps: None,
        caps_are_all: false,
        quality: Quality::default(),
    }
}

fn ask(body: &str) -> Ask {
    let body = Bytes::copy_from_slice(body.as_bytes());
    understand::read(Endpoint::ChatCompletions, body, &HeaderMap::new()).unwrap()
}

fn sent(body: &str) -> String {
    let body = body_for(&ask(body), &provider(&["http://h/v1"]), &backend(), None);
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

#[test]
fn only_model_and_usage_are_changed_and_the_rest_is_the_clients_bytes() {
    let got = sent(
        r#"{"model": "auto", "messages":[ {"role":"user","content":"é"} ] ,"x":1.10,"seed":123456789012345678901}"#,
    );
    assert_eq!(
        got,
        r#"{"model": "Org/Model", "messages":[ {"role":"user","content":"é"} ] ,"x":1.10,"seed":123456789012345678901}"#
    );
    let got = sent(r#"{"model":"auto","messages":[],"stream":true}"#);
    assert_eq!(
        got,
        r#"{"model":"Org/Model","messages":[],"stream":true,"stream_options":{"include_usage":true}}"#
    );
}

#[test]
fn other_stream_options_stay_when_usage_is_asked_for() {
    let got = sent(
        r#"{"model":"auto","messages":[],"stream":true,"stream_options":{"include_obfuscation":false}}"#,
    );
    assert!(
        got.contains(r#""stream_options":{"include_obfuscation":false,"include_usage":true}"#),
        "{got}"
    );
    let got = sent(r#"{"model":"auto","messages":[],"stream":true,"stream_options":null}"#);
    assert!(
        got.contains(r#""stream_options":{"include_usage":true}"#),
        "{got}"
    );
}

#[test]
fn an_output_limit_is_written_in_the_spelling_that_the_backend_takes() {
    let with = |body: &str, field| {
        let provider = Provider {
            output_limit_field: field,
            ..provider(&["http://h/v1"])
        };
        let body = body_for(&ask(body), &provider, &backend(), Some(77));
        String::from_utf8(body.to_bytes().to_vec()).unwrap()
    };
    for (field, name) in [
        (OutputLimitField::AsSent, "max_tokens"),
        (OutputLimitField::MaxTokens, "max_tokens"),
        (
            OutputLimitField::MaxCompletionTokens,
            "max_completion_tokens",
        ),
    ] {
        let expected = format!(r#"{{"model":"Org/Model","messages":[],"{name}":77}}"#);
        assert_eq!(with(r#"{"model":"auto","messages":[]}"#, field), expected);
    }
    let null = r#"{"model":"auto","messages":[],"max_completion_tokens":null}"#;
    let sent = with(null, OutputLimitField::MaxTokens);
    assert_eq!(
        sent,
        r#"{"model":"Org/Model","messages":[],"max_tokens":77}"#
    );
}

#[test]
fn what_only_tollgate_reads_is_not_sent_on() {
    let got = sent(r#"{"model":"auto","messages":[],"tollgate":{"min_quality":0.5}}"#);
    assert_eq!(got, r#"{"model":"Org/Model","messages":[]}"#);
}

#[test]
fn a_request_goes_to_the_providers_address_with_its_own_headers() {
    let provider = provider(&["http://h:81/api/v3/"]);
    let upstream = Upstream::of(&provider);
    let busy = upstream.take(None, None).unwrap();
    let ask = ask(r#"{"model":"auto","messages":[],"stream":true}"#);
    let mut client = HeaderMap::new();
    for (name, value) in [
        ("traceparent", "00-abc-def-01"),
        ("authorization", "Bearer of-the-client"),
        ("cookie", "a=b"),
        ("x-tollgate-min-quality", "0.5"),
        ("x-team", "other"),
    ] {
        client.insert(name, HeaderValue::from_static(value));
    }
    let body = body_for(&ask, &provider, &backend(), None);
    let request = upstream
        .prepare(&busy, &ask, &forwarded(&client), &body)
        .unwrap();
    assert_eq!(request.uri, "http://h:81/api/v3/chat/completions");
    let mut names: Vec<&str> = request.headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "authorization",
            "content-type",
            "host",
            "traceparent",
            "user-agent",
            "x-team"
        ]
    );
    assert_eq!(request.headers["host"], "h:81");
    assert_eq!(
        request.headers["authorization"],
        "Bearer sk-secret-of-the-provider"
    );
    assert_eq!(request.headers["x-team"], "ml");
    assert_eq!(request.headers["accept"], "text/event-stream");
    assert!(!format!("{request:?}").contains("sk-secret"));
}

#[test]
fn the_host_is_that_of_the_replica_unless_the_operator_names_another() {
    let mut provider = provider(&["https://a:443/v1", "http://b/v1"]);
    let ask = ask(r#"{"model":"auto","messages":[]}"#);
    let hosts = |provider: &Provider| {
        let upstream = Upstream::of(provider);
        let both = [upstream.take(None, None), upstream.take(Some(0), None)];
        both.map(|busy| {
            let busy = busy.unwrap();
            let request = upstream.prepare(&busy, &ask, &HeaderMap::new(), &ask.body);
            request.unwrap().headers["host"]
                .to_str()
                .unwrap()
                .to_owned()
        })
    };
    assert_eq!(hosts(&provider), ["a", "b"]);
    provider
        .headers
        .push((HOST, HeaderValue::from_static("front")));
    assert_eq!(hosts(&provider), ["front", "front"]);
}

#[test]
fn the_least_busy_replica_is_taken_and_another_one_after_a_failure() {
    let upstream = Upstream::of(&provider(&["http://a/v1", "http://b/v1"]));
    let first = upstream.take(None, None).unwrap();
    let second = upstream.take(None, None).unwrap();
    assert_ne!(first.replica, second.replica);
    let freed = first.replica;
    drop(first);
    assert_eq!(upstream.take(None, None).unwrap().replica, freed);
    assert_ne!(upstream.take(Some(freed), None).unwrap().replica, freed);
    let alone = Upstream::of(&provider(&["http://a/v1"]));
    assert_eq!(alone.take(Some(0), None).unwrap().replica, 0);
}

#[test]
fn a_conversation_stays_at_its_replica_unless_that_is_busier_than_the_others() {
    let bases = ["http://a/v1", "http://b/v1", "http://c/v1", "http://d/v1"];
    let upstream = Upstream::of(&provider(&bases));
    let of = |conversation| upstream.take(None, Some(conversation)).unwrap();
    for conversation in 0..50 {
        let turns: Vec<usize> = (0..3).map(|_| of(conversation).replica).collect();
        assert!(
            turns.iter().all(|replica| *replica == turns[0]),
            "{turns:?}"
        );
    }
    // many conversations are spread over all
    let mut each = [0; 4];
    for conversation in 0..4_000_u64 {
        each[of(conversation.wrapping_mul(0x9e37_79b9_7f4a_7c15)).replica] += 1;
    }
    assert!(each.iter().all(|n| (800..1_200).contains(n)), "{each:?}");
    // one that all want is given no more than its part and a little
    let held: Vec<_> = (0..40).map(|_| of(7)).collect();
    let most = (0..4)
        .map(|r| held.iter().filter(|busy| busy.replica == r).count())
        .max();
    assert!(most.unwrap() <= 14, "{most:?}");
    let own = of(9).replica;
    let other = upstream.take(Some(own), Some(9)).unwrap().replica;
    assert_ne!(other, own);
}
