use std::time::Duration;

use super::*;
use crate::{
    call::failure::{Class, Failure, Phase},
    caps::Cap,
    route::health::DownReason,
};

fn routed(error: RouteError) -> GatewayError {
    GatewayError::Route {
        error,
        detail: ": a/b lacks tools".into(),
    }
}

fn called(class: Class, status: Option<u16>) -> GatewayError {
    let mut failure = Failure::without_answer(class, "the detail");
    failure.status = status.map(|status| StatusCode::from_u16(status).unwrap());
    CallError::from(failure).into()
}

/// Every row of the contract's table of errors.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of one kind of row")]
fn every_error_has_the_status_type_and_code_of_the_contract() {
    let duplicate = AskError::Json(ObjectError::Duplicate("model".into()));
    let busy = Class::Busy {
        retry_after: Some(Duration::from_secs(9)),
    };
    for (error, status, kind, code) in [
        (duplicate.into(), 400, INVALID, "invalid_json"),
        (
            AskError::Type {
                member: "n",
                expected: "a number",
            }
            .into(),
            400,
            INVALID,
            "invalid_type",
        ),
        (
            AskError::Missing("model").into(),
            400,
            INVALID,
            "missing_required_parameter",
        ),
        (AuthError::Missing.into(), 401, INVALID, "invalid_api_key"),
        (AuthError::Wrong.into(), 401, INVALID, "invalid_api_key"),
        (AuthError::TwoKeys.into(), 401, INVALID, "invalid_api_key"),
        (
            AuthError::ForeignOrigin.into(),
            403,
            INVALID,
            "origin_not_allowed",
        ),
        (
            routed(RouteError::NotAllowed("m".into())),
            403,
            INVALID,
            "model_not_allowed",
        ),
        (
            routed(RouteError::PolicyExcludesAll { refused: vec![] }),
            403,
            INVALID,
            "policy_excludes_all",
        ),
        (
            routed(RouteError::UnknownModel("m".into())),
            404,
            INVALID,
            "model_not_found",
        ),
        (
            GatewayError::UnknownPath("/x".into()),
            404,
            INVALID,
            "unknown_url",
        ),
        (
            GatewayError::WrongMethod(http::Method::PUT),
            405,
            INVALID,
            "method_not_allowed",
        ),
        (GatewayError::Upgrade, 400, INVALID, "upgrade_refused"),
        (
            BodyError::TooLarge { limit: 1 }.into(),
            413,
            INVALID,
            "request_too_large",
        ),
        (BodyError::TooSlow.into(), 408, INVALID, "request_timeout"),
        (
            routed(RouteError::TooLong { refused: vec![] }),
            400,
            INVALID,
            "context_length_exceeded",
        ),
        (
            routed(RouteError::NoneCapable { refused: vec![] }),
            400,
            INVALID,
            "no_capable_backend",
        ),
        (
            called(Class::ContextTooLong, Some(400)),
            400,
            INVALID,
            "context_length_exceeded",
        ),
        (
            called(Class::Incapable(Cap::Tools), Some(400)),
            400,
            INVALID,
            "no_capable_backend",
        ),
        (
            called(Class::Refused(DownReason::KeyRefused), Some(401)),
            502,
            SERVER,
            "upstream_error",
        ),
        (
            called(Class::Refused(DownReason::OutOfMoney), Some(402)),
            502,
            SERVER,
            "upstream_error",
        ),
        (called(Class::Nonsense, None), 502, SERVER, "upstream_error"),
        (
            called(Class::Unreachable, None),
            502,
            SERVER,
            "upstream_error",
        ),
        (called(busy, Some(429)), 502, SERVER, "upstream_error"),
        (
            called(Class::TimedOut(Phase::Idle), None),
            504,
            SERVER,
            "upstream_timeout",
        ),
        (
            routed(RouteError::NoneHealthy {
                refused: vec![],
                retry_after_ms: 1,
            }),
            503,
            SERVER,
            "no_healthy_backend",
        ),
        (BodyError::NoRoom.into(), 503, SERVER, "overloaded"),
        (GatewayError::Internal, 500, SERVER, "internal_error"),
    ] {
        let error: GatewayError = error;
        let public = error.public();
        let got = (
            public.status.as_u16(),
            &*public.kind,
            public.code.as_deref(),
        );
        assert_eq!(got, (status, kind, Some(code)), "{error}");
    }
}

#[test]
fn clients_are_told_whether_to_come_back() {
    let advice = |error: GatewayError| {
        let public = error.public();
        (public.should_retry, public.retry_after_ms)
    };
    let healthy = RouteError::NoneHealthy {
        refused: vec![],
        retry_after_ms: 1_500,
    };
    assert_eq!(advice(routed(healthy)), (Some(true), Some(1_500)));
    assert_eq!(advice(called(Class::Dropped, None)), (Some(false), None));
    assert_eq!(
        advice(called(Class::TimedOut(Phase::Whole), None)),
        (Some(false), None)
    );
    assert_eq!(
        advice(routed(RouteError::PolicyExcludesAll { refused: vec![] })),
        (Some(false), None)
    );
    assert_eq!(advice(AskError::Missing("model").into()), (None, None));
}

#[test]
fn the_backends_own_refusal_is_passed_on_with_ids_hidden() {
    let body = Box::new(ErrorBody {
        message: "bad temperature for org-AbC123".into(),
        kind: Some("invalid_request_error".into()),
        param: Some("temperature".into()),
        code: None,
        status: None,
    });
    let error = GatewayError::from(CallError::Rejected {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        body,
    });
    let public = error.public();
    assert_eq!(public.status.as_u16(), 422);
    let want = r#"{"error":{"message":"bad temperature for ***","type":"invalid_request_error","param":"temperature","code":null}}"#;
    assert_eq!(public.to_json(), want);
}

#[test]
fn a_doubled_version_in_the_path_names_the_right_base_url() {
    let message = GatewayError::UnknownPath("/v1/v1/chat/completions".into())
        .public()
        .message;
    assert!(message.contains("http://HOST:PORT/v1`"), "{message}");
}
