use super::*;
use crate::config::Tags;

fn ask(body: &str) -> Result<Ask, AskError> {
    read(
        Endpoint::ChatCompletions,
        Bytes::copy_from_slice(body.as_bytes()),
        &HeaderMap::new(),
    )
}

/// A request with more members.
fn with(members: &str) -> Result<Ask, AskError> {
    ask(&format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":"hi"}}]{members}}}"#
    ))
}

fn header(name: &'static str, value: &'static str, members: &str) -> Result<Ask, AskError> {
    let mut headers = HeaderMap::new();
    headers.insert(name, http::HeaderValue::from_static(value));
    let body = format!(r#"{{"model":"m","messages":[]{members}}}"#);
    read(Endpoint::ChatCompletions, Bytes::from(body), &headers)
}

#[test]
fn each_member_states_the_need_that_it_is() {
    for (members, need) in [
        (r#","stream":true"#, Cap::Streaming),
        (
            r#","tools":[{"type":"function","function":{"name":"f"}}]"#,
            Cap::Tools,
        ),
        (r#","functions":[{"name":"f"}]"#, Cap::Tools),
        (
            r#","response_format":{"type":"json_schema","json_schema":{"name":"s","schema":{}}}"#,
            Cap::JsonSchema,
        ),
        (r#","logprobs":true"#, Cap::Logprobs),
        (r#","top_logprobs":2"#, Cap::Logprobs),
        (r#","n":2"#, Cap::N),
        (r#","reasoning_effort":"high""#, Cap::Reasoning),
        (r#","thinking":{"type":"enabled"}"#, Cap::Reasoning),
        (r#","enable_thinking":true"#, Cap::Reasoning),
        (r#","modalities":["text","audio"]"#, Cap::AudioOut),
        (r#","web_search_options":{}"#, Cap::WebSearch),
    ] {
        let caps = with(members).unwrap().needs.caps;
        assert_eq!(caps, [need].into_iter().collect(), "{members}");
    }
    let both = with(r#","tools":[{}],"parallel_tool_calls":true"#)
        .unwrap()
        .needs
        .caps;
    assert!(both.has(Cap::Tools) && both.has(Cap::ParallelTools));
}

#[test]
fn what_is_off_or_null_is_no_need() {
    for members in [
        "",
        r#","stream":false"#,
        r#","stream":null"#,
        r#","tools":[]"#,
        r#","tools":[ ]"#,
        r#","n":1"#,
        r#","reasoning_effort":"none""#,
        r#","thinking":{"type":"disabled"}"#,
        r#","response_format":{"type":"text"}"#,
        r#","parallel_tool_calls":true"#,
        r#","logprobs":false"#,
        r#","stream_options":null"#,
    ] {
        assert!(with(members).unwrap().needs.caps.is_empty(), "{members}");
    }
}

#[test]
fn a_wrong_type_names_the_member() {
    for (members, name) in [
        (r#","stream":"yes""#, "stream"),
        (r#","n":"2""#, "n"),
        (r#","max_tokens":1.5"#, "max_tokens"),
        (r#","max_completion_tokens":-1"#, "max_completion_tokens"),
        (r#","logprobs":3"#, "logprobs"),
        (r#","stream":true,"stream_options":[true]"#, ""),
        (r#","stream":true,"stream_options":"x""#, "stream_options"),
        (r#","response_format":"json""#, "response_format"),
    ] {
        if name.is_empty() {
            continue;
        }
        let error = with(members).unwrap_err();
        assert!(
            matches!(error, AskError::Type { member, .. } if member == name),
            "{members}: {error}"
        );
    }
    assert!(matches!(
        ask(r#"{"model":1,"messages":[]}"#),
        Err(AskError::Type {
            member: "model",
            ..
        })
    ));
    assert!(matches!(
        ask(r#"{"model":"m","messages":{}}"#),
        Err(AskError::Type {
            member: "messages",
            ..
        })
    ));
    assert!(matches!(
        ask(r#"{"messages":[]}"#),
        Err(AskError::Missing("model"))
    ));
    assert!(matches!(
        ask(r#"{"model":"","messages":[]}"#),
        Err(AskError::Missing("model"))
    ));
    assert!(matches!(
        ask(r#"{"model":null,"messages":[]}"#),
        Err(AskError::Missing("model"))
    ));
    assert!(matches!(
        ask(r#"{"model":"m"}"#),
        Err(AskError::Missing("messages"))
    ));
}

#[test]
fn the_newer_output_limit_counts_where_both_stand() {
    let limit = |members| with(members).unwrap().needs.max_output;
    assert_eq!(limit(""), None);
    assert_eq!(limit(r#","max_tokens":5"#), Some(5));
    assert_eq!(
        limit(r#","max_tokens":5,"max_completion_tokens":7"#),
        Some(7)
    );
    assert_eq!(
        limit(r#","max_tokens":5,"max_completion_tokens":null"#),
        Some(5)
    );
}

#[test]
fn the_output_limit_is_respelled_and_its_twin_taken_out() {
    use crate::config::OutputLimitField::{AsSent, MaxCompletionTokens, MaxTokens};
    for (members, field, want) in [
        (
            r#""max_tokens":5"#,
            MaxCompletionTokens,
            r#"{"max_completion_tokens":5}"#,
        ),
        (
            r#""max_completion_tokens":5"#,
            MaxTokens,
            r#"{"max_tokens":5}"#,
        ),
        (
            r#""max_tokens":5,"max_completion_tokens":7"#,
            MaxTokens,
            r#"{"max_tokens":5}"#,
        ),
        (r#""max_tokens":5"#, AsSent, r#"{"max_tokens":5}"#),
        (r#""max_tokens":5"#, MaxTokens, r#"{"max_tokens":5}"#),
        (r#""max_tokens":null"#, MaxCompletionTokens, "{}"),
    ] {
        let mut body = Object::parse(Bytes::from(format!("{{{members}}}"))).unwrap();
        limits::respell(&mut body, field);
        assert_eq!(body.to_bytes(), want, "{members} {field:?}");
    }
}

#[test]
fn usage_is_wanted_only_where_the_stream_asks_for_it() {
    assert!(
        with(r#","stream":true,"stream_options":{"include_usage":true}"#)
            .unwrap()
            .wants_usage
    );
    assert!(
        !with(r#","stream":true,"stream_options":{"include_usage":false}"#)
            .unwrap()
            .wants_usage
    );
    assert!(!with(r#","stream":true"#).unwrap().wants_usage);
}

#[test]
fn narrowing_is_read_from_header_and_body_and_taken_out_of_the_body() {
    let ask =
        with(r#","tollgate":{"min_quality":0.7,"models":["a","b"],"regions":["eu"]}"#).unwrap();
    let want = Narrow {
        objective: None,
        max_cost: None,
        min_quality: Some(7000),
        models: Some(vec!["a".into(), "b".into()]),
        regions: Some(vec!["eu".into()]),
        tags: None,
    };
    assert_eq!(ask.narrow, want);
    assert_eq!(ask.body.get("tollgate"), None);
    assert_eq!(
        header("x-tollgate-min-quality", "0.75", "")
            .unwrap()
            .narrow
            .min_quality,
        Some(7500)
    );
    let regions = header("x-tollgate-regions", "eu, on-prem", "")
        .unwrap()
        .narrow
        .regions;
    assert_eq!(regions, Some(vec!["eu".into(), "on-prem".into()]));
}

#[test]
fn header_and_body_may_agree_but_not_differ() {
    let member = r#","tollgate":{"min_quality":0.7}"#;
    assert!(header("x-tollgate-min-quality", "0.70", member).is_ok());
    let error = header("x-tollgate-min-quality", "0.8", member).unwrap_err();
    assert!(error.to_string().contains("differ"), "{error}");
}

#[test]
fn the_most_that_it_may_cost_is_read_digit_by_digit_from_text_or_number() {
    let of = |member: &str| {
        let member = format!(r#","tollgate":{{"max_cost":{member}}}"#);
        with(&member).unwrap().narrow.max_cost.unwrap().to_string()
    };
    // a binary float would make 0.1 of the first
    assert_eq!(of("0.1000000000001"), "0.1");
    assert_eq!(of("0.100000000000000005551115123125"), "0.1");
    assert_eq!(of("5e-06"), "0.000005");
    assert_eq!(of(r#""0.000000000001""#), "0.000000000001");
    let member = r#","tollgate":{"max_cost":0.50}"#;
    assert!(header("x-tollgate-max-cost", "0.5", member).is_ok());
    let error = header("x-tollgate-max-cost", "0.51", member).unwrap_err();
    assert!(error.to_string().contains("differ"), "{error}");
}

#[test]
fn tags_are_read_from_header_and_body_and_must_agree() {
    let tags = |pairs: &[(&str, &str)]| Tags::of(pairs.iter().copied()).unwrap();
    let member = r#","tollgate":{"tags":{"run":"7","feature":"chat"}}"#;
    let want = Some(tags(&[("feature", "chat"), ("run", "7")]));
    assert_eq!(with(member).unwrap().narrow.tags, want);
    let both = header("x-tollgate-tags", "feature=chat, run=7", member);
    assert_eq!(both.unwrap().narrow.tags, want);
    let error = header("x-tollgate-tags", "run=7", member).unwrap_err();
    assert!(error.to_string().contains("differ"), "{error}");
    let empty = with(r#","tollgate":{"tags":{}}"#).unwrap();
    assert_eq!(empty.narrow.tags, Some(tags(&[])));
}

#[test]
fn unknown_and_future_narrowing_is_refused_by_name() {
    for (members, says) in [
        (
            r#","tollgate":{"min_qualty":1}"#,
            "unknown member `tollgate.min_qualty`",
        ),
        (
            r#","tollgate":{"tags":{"a":1}}"#,
            "`tollgate.tags` must be an object of texts",
        ),
        (
            r#","tollgate":{"tags":{"a":"b","a":"c"}}"#,
            "duplicate key `tollgate.tags.a`",
        ),
        (
            r#","tollgate":{"tags":{"":"b"}}"#,
            "`tollgate.tags`: the name of a tag",
        ),
        (
            r#","tollgate":{"objective":"order"}"#,
            "`tollgate.objective` must be `cost`, `latency` or `quality`",
        ),
        (
            r#","tollgate":{"max_cost":"-1"}"#,
            "`tollgate.max_cost` must be an amount of USD",
        ),
        (
            r#","tollgate":{"max_cost":[1]}"#,
            "`tollgate.max_cost` must be an amount of USD",
        ),
        (r#","tollgate":3"#, "must be an object"),
        (
            r#","tollgate":{"models":["a"],"models":["b"]}"#,
            "duplicate key `tollgate.models`",
        ),
        (r#","tollgate":{"models":[]}"#, "a list of 1 to 64 names"),
        (r#","tollgate":{"min_quality":1.2}"#, "between 0 and 1"),
        (r#","tollgate":{"min_quality":"NaN"}"#, "between 0 and 1"),
    ] {
        let error = with(members).unwrap_err().to_string();
        assert!(error.contains(says), "{members}: {error}");
    }
    for (name, says) in [
        (
            "x-tollgate-tags",
            "tags are written as `name=value,name=value`",
        ),
        (
            "x-tollgate-whatever",
            "unknown header `x-tollgate-whatever`",
        ),
    ] {
        let error = header(name, "cost", "").unwrap_err().to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
}

#[test]
fn the_domain_follows_from_needs_then_script_then_words() {
    let domain = |content: &str, members: &str| {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"{content}"}}]{members}}}"#
        );
        ask(&body).unwrap().domain
    };
    assert_eq!(domain("hello there", ""), Domain::Chat);
    assert_eq!(domain("write fn main() in Rust", ""), Domain::Code);
    assert_eq!(domain("solve for x: 3x = 6", ""), Domain::Math);
    assert_eq!(domain("人工智能正在改变世界", ""), Domain::Multilingual);
    assert_eq!(domain("hello", r#","tools":[{}]"#), Domain::Tools);
    assert_eq!(
        domain("hello", r#","response_format":{"type":"json_schema"}"#),
        Domain::Extraction
    );
}
