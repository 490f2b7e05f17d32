use super::*;

fn class(status: u16, body: &str) -> Class {
    let needs = [Cap::Tools, Cap::Vision, Cap::JsonSchema]
        .into_iter()
        .collect();
    let status = StatusCode::from_u16(status).unwrap();
    Failure::from_answer(status, &HeaderMap::new(), body.as_bytes(), needs).class
}

fn said(message: &str) -> String {
    format!(r#"{{"error":{{"message":"{message}","type":"t","param":null,"code":null}}}}"#)
}

#[test]
fn a_prompt_that_is_too_long_is_known_in_every_wording() {
    for (status, body) in [
        (400, r#"{"error":{"message":"This model's maximum context length is 4096 tokens.","code":"context_length_exceeded"}}"#.into()),
        (400, r#"{"object":"error","message":"This model's maximum context length is 2048 tokens","code":400}"#.into()),
        (400, said("The input (5000 tokens) is longer than the model's context length (4096 tokens).")),
        (400, r#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":9}}"#.into()),
        (500, said("Context size has been exceeded.")),
        (400, said("prompt is too long: 215000 tokens > 200000 maximum")),
        (400, said("Prompt contains 40000 tokens, too large for model with 32768 maximum context length")),
        (400, said("Input is too long for requested model.")),
        (400, said("Range of input length should be [1, 30720]")),
        (400, said("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).")),
        (400, said("invalid params, context window exceeds limit (2013)")),
        (413, said("Please reduce the length of the messages or completion.")),
    ] {
        assert_eq!(class(status, &body), Class::ContextTooLong, "{body}");
    }
}

#[test]
fn an_empty_account_is_known_whatever_its_status() {
    for (status, body) in [
        (402, "".into()),
        (429, r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#.into()),
        (400, said("Your credit balance is too low to access the Anthropic API.")),
        (429, r#"{"error":{"code":"1113","message":"余额不足或无可用资源包,请充值。"}}"#.into()),
        (400, r#"{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing."}"#.into()),
        (403, said("Insufficient Balance")),
    ] {
        assert_eq!(class(status, &body), Class::Refused(DownReason::OutOfMoney), "{status} {body}");
    }
}

#[test]
fn a_model_that_a_key_has_no_access_to_is_no_refused_key() {
    let body = r#"{"error":{"message":"Project `proj_1` does not have access to model `m`","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#;
    let unknown = Class::Refused(DownReason::ModelUnknown);
    assert_eq!(class(403, body), unknown);
    assert_eq!(class(404, body), unknown);
}

#[test]
fn what_is_about_the_key_is_told_from_what_is_about_the_backend() {
    let of_key = |status: u16, body: &str| {
        let status = StatusCode::from_u16(status).unwrap();
        let failure =
            Failure::from_answer(status, &HeaderMap::new(), body.as_bytes(), Caps::default());
        failure.of_key()
    };
    for status in [400, 404, 408, 413, 422, 500, 502, 503, 504, 529] {
        assert_eq!(of_key(status, ""), None, "{status}");
    }
    let refused = |reason| Some(Verdict::Refused(reason));
    for (status, body, verdict) in [
        (401, "", refused(DownReason::KeyRefused)),
        (403, "", refused(DownReason::KeyRefused)),
        (402, "", refused(DownReason::OutOfMoney)),
        (
            429,
            r#"{"error":{"code":"insufficient_quota"}}"#,
            refused(DownReason::OutOfMoney),
        ),
        (429, "", Some(Verdict::Busy(None))),
    ] {
        assert_eq!(of_key(status, body), verdict, "{status} {body}");
    }
    assert_eq!(Failure::timed_out(Phase::FirstByte).of_key(), None);
}

#[test]
fn a_rate_limit_is_not_an_empty_account() {
    let zhipu = r#"{"error":{"code":"1302","message":"您的账户已达到速率限制"}}"#;
    assert_eq!(class(429, zhipu), Class::Busy { retry_after: None });
    assert_eq!(
        class(429, &said("Rate limit reached: too many tokens per min")),
        Class::Busy { retry_after: None }
    );
}

#[test]
fn an_ability_that_is_lacking_counts_only_where_it_is_needed() {
    assert_eq!(
        class(400, &said("`tools` is not supported by this model")),
        Class::Incapable(Cap::Tools)
    );
    assert_eq!(
        class(400, &said("This model does not support image input")),
        Class::Incapable(Cap::Vision)
    );
    assert_eq!(
        class(
            422,
            &said("response_format of type json_schema is unsupported")
        ),
        Class::Incapable(Cap::JsonSchema)
    );
    let vllm = "\\\"auto\\\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set";
    assert_eq!(class(400, &said(vllm)), Class::Incapable(Cap::Tools));
    let llamacpp = "tools param requires --jinja flag";
    assert_eq!(class(500, &said(llamacpp)), Class::Incapable(Cap::Tools));
    assert_eq!(class(500, &said("it broke")), Class::Transient);
    assert_eq!(
        class(400, &said("logprobs are not supported")),
        Class::Rejected
    );
}

#[test]
fn the_status_alone_decides_where_the_words_say_nothing() {
    for (status, want) in [
        (400, Class::Rejected),
        (401, Class::Refused(DownReason::KeyRefused)),
        (403, Class::Refused(DownReason::KeyRefused)),
        (404, Class::Refused(DownReason::ModelUnknown)),
        (408, Class::Transient),
        (409, Class::Transient),
        (413, Class::Rejected),
        (422, Class::Rejected),
        (425, Class::Transient),
        (429, Class::Busy { retry_after: None }),
        (500, Class::Transient),
        (502, Class::Transient),
        (503, Class::Busy { retry_after: None }),
        (504, Class::TimedOut(Phase::FirstByte)),
        (529, Class::Busy { retry_after: None }),
        (302, Class::Nonsense),
        (418, Class::Nonsense),
    ] {
        assert_eq!(class(status, ""), want, "{status}");
        assert_eq!(class(status, "<html>oops</html>"), want, "{status}");
    }
}

#[test]
fn an_error_inside_a_success_is_treated_as_its_status() {
    let class = |json: &str| {
        let body = error::read(json.as_bytes()).unwrap();
        Failure::from_error(body, Caps::default()).class
    };
    assert_eq!(
        class(r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#),
        Class::Busy { retry_after: None }
    );
    assert_eq!(
        class(r#"{"error":{"code":429,"message":"x"}}"#),
        Class::Busy { retry_after: None }
    );
    assert_eq!(
        class(r#"{"error":{"message":"x","type":"server_error"}}"#),
        Class::Transient
    );
    assert_eq!(
        class(r#"{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#),
        Class::Refused(DownReason::OutOfMoney)
    );
    assert_eq!(
        class(r#"{"base_resp":{"status_code":1004,"status_msg":"login fail"}}"#),
        Class::Refused(DownReason::KeyRefused)
    );
    assert_eq!(
        class(r#"{"error":{"code":400,"message":"prompt is too long"}}"#),
        Class::ContextTooLong
    );
}

#[test]
fn a_status_beside_the_code_says_whose_fault_it_is() {
    for json in [
        r#"{"error":{"code":"content_filter","message":"filtered","status":400}}"#,
        r#"{"type":"error","error":{"type":"bad_request","message":"odd","http_code":"400"}}"#,
    ] {
        let failure = Failure::from_error(error::read(json.as_bytes()).unwrap(), Caps::default());
        assert_eq!(failure.class, Class::Rejected, "{json}");
    }
}

#[test]
fn a_wait_is_read_from_each_spelling() {
    let wait = |name: &'static str, value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, http::HeaderValue::from_static(value));
        retry_after(&headers)
    };
    assert_eq!(wait("retry-after", "2"), Some(Duration::from_secs(2)));
    assert_eq!(wait("retry-after", "0.4"), Some(Duration::from_secs(1)));
    assert_eq!(
        wait("retry-after-ms", "120"),
        Some(Duration::from_millis(120))
    );
    for odd in ["", "-1", "soon", "1e3", "Wed, 21 Oct 2026 07:28:00 GMT"] {
        assert_eq!(wait("retry-after", odd), None, "{odd}");
    }
}

#[test]
fn only_what_is_the_backends_fault_speaks_against_it() {
    let verdict = |class| Failure::without_answer(class, "").verdict(true);
    for class in [
        Class::Unreachable,
        Class::Dropped,
        Class::Transient,
        Class::Nonsense,
        Class::TimedOut(Phase::Connect),
        Class::TimedOut(Phase::FirstByte),
        Class::TimedOut(Phase::Idle),
        Class::TimedOut(Phase::Whole),
    ] {
        assert_eq!(verdict(class), Verdict::Failed, "{class:?}");
    }
    for class in [
        Class::Rejected,
        Class::ContextTooLong,
        Class::Incapable(Cap::Tools),
    ] {
        assert_eq!(verdict(class), Verdict::Neither, "{class:?}");
    }
    let wait = Some(Duration::from_secs(2));
    assert_eq!(
        verdict(Class::Busy { retry_after: wait }),
        Verdict::Busy(Some(2_000))
    );
    assert_eq!(
        verdict(Class::Refused(DownReason::KeyRefused)),
        Verdict::Refused(DownReason::KeyRefused)
    );
}

#[test]
fn a_request_out_of_time_speaks_only_against_who_had_all_of_it() {
    let late = Failure::timed_out(Phase::Whole);
    assert_eq!(late.verdict(true), Verdict::Failed);
    assert_eq!(late.verdict(false), Verdict::Neither);
}

#[test]
fn a_conflict_is_about_one_request() {
    for status in [408, 409, 425] {
        let status = StatusCode::from_u16(status).unwrap();
        let failure = Failure::from_answer(status, &HeaderMap::new(), b"", Caps::default());
        assert_eq!(failure.class, Class::Transient);
        assert_eq!(failure.verdict(true), Verdict::Neither);
    }
}
