//! `docs/errors.md` against the code: what each error becomes, and what each failure leads to.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tollgate::{
    admit::{
        limits::{Denied, What, Whose},
        purse::{self, Overdrawn, Standing},
    },
    authenticate::AuthError,
    call::{
        CallError, TooDear,
        failure::{Class, Failure, Phase},
        judge::{Step, Turn, judge},
    },
    caps::Cap,
    config::{Budget, Period},
    error::{BodyError, GatewayError, Public},
    money::{Total, Usd},
    route::{RouteError, health::DownReason},
    settle::ledger::Unrecorded,
    store::FeedbackError,
    understand::{self, AskError, Endpoint},
    wire::form::FormError,
};

use crate::{
    document,
    documents::{Row, compare},
    none, root,
    source::{Tree, definitions},
};

const DOCUMENT: &str = "docs/errors.md";

/// The errors of the stages, and their variants that only hold the error of another one.
const ERRORS: [&str; 10] = [
    "AuthError",
    "BodyError",
    "ObjectError",
    "AskError",
    "FormError",
    "NarrowError",
    "RouteError",
    "CallError",
    "FeedbackError",
    "GatewayError",
];
const WRAPPERS: [&str; 9] = [
    "AskError::Form",
    "AskError::Json",
    "AskError::Narrow",
    "GatewayError::Auth",
    "GatewayError::Body",
    "GatewayError::Ask",
    "GatewayError::Route",
    "GatewayError::Call",
    "GatewayError::Feedback",
];

/// What understanding such a request leads to.
fn misunderstood(body: &str, header: Option<(&'static str, &'static str)>) -> GatewayError {
    let mut headers = HeaderMap::new();
    if let Some((name, value)) = header {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let body = Bytes::copy_from_slice(body.as_bytes());
    let error = understand::read(Endpoint::ChatCompletions, body, &headers);
    error.map(|ask| ask.model).unwrap_err().into()
}

/// The same for a request whose object `tollgate` is this.
fn narrowed(tollgate: &str, header: Option<(&'static str, &'static str)>) -> GatewayError {
    let body = format!(r#"{{"model":"m","messages":[],"tollgate":{tollgate}}}"#);
    misunderstood(&body, header)
}

fn of_route(error: RouteError) -> GatewayError {
    GatewayError::Route {
        error,
        detail: String::new(),
    }
}

fn denied(what: What) -> Denied {
    Denied {
        whose: Whose::Gateway,
        what,
        limit: 1,
        wait: Duration::from_secs(1),
    }
}

fn overdrawn() -> Overdrawn {
    Overdrawn {
        whose: purse::Whose::Key("k".into()),
        standing: Standing {
            budget: Budget {
                usd: Usd::ZERO,
                soft: None,
                per: Period::Total,
            },
            spent: Total::default(),
            held: Total::default(),
            resets_at: None,
            known: true,
            shown: true,
        },
        needed: Usd::ZERO,
    }
}

/// One of each error.
fn samples() -> Vec<(&'static str, GatewayError)> {
    let mut samples = before_routing();
    samples.extend(from_routing_on());
    samples.extend(from_calling_on());
    samples.extend(of_feedback());
    samples
}

fn of_feedback() -> Vec<(&'static str, GatewayError)> {
    vec![
        ("FeedbackError::Off", FeedbackError::Off.into()),
        ("FeedbackError::Unknown", FeedbackError::Unknown.into()),
        ("FeedbackError::Given", FeedbackError::Given.into()),
        ("FeedbackError::Unwritten", FeedbackError::Unwritten.into()),
    ]
}

fn before_routing() -> Vec<(&'static str, GatewayError)> {
    let floor = Some(("x-tollgate-min-quality", "0.5"));
    vec![
        ("AuthError::Missing", AuthError::Missing.into()),
        ("AuthError::Wrong", AuthError::Wrong.into()),
        ("AuthError::Expired", AuthError::Expired.into()),
        ("AuthError::Revoked", AuthError::Revoked.into()),
        ("AuthError::Replaced", AuthError::Replaced.into()),
        ("AuthError::Unreadable", AuthError::Unreadable.into()),
        ("AuthError::TwoKeys", AuthError::TwoKeys.into()),
        ("AuthError::ForeignHost", AuthError::ForeignHost.into()),
        ("AuthError::ForeignOrigin", AuthError::ForeignOrigin.into()),
        ("AuthError::ContentType", AuthError::ContentType.into()),
        (
            "BodyError::TooLarge",
            BodyError::TooLarge { limit: 1 }.into(),
        ),
        ("BodyError::TooSlow", BodyError::TooSlow.into()),
        ("BodyError::BrokeOff", BodyError::BrokeOff.into()),
        ("BodyError::NoRoom", BodyError::NoRoom.into()),
        ("ObjectError::Syntax", misunderstood("{", None)),
        (
            "ObjectError::Duplicate",
            misunderstood(r#"{"a":1,"a":2}"#, None),
        ),
        (
            "AskError::Type",
            AskError::Type {
                member: "the member",
                expected: "a string",
            }
            .into(),
        ),
        (
            "FormError::NoBoundary",
            AskError::from(FormError::NoBoundary).into(),
        ),
        (
            "FormError::Malformed",
            AskError::from(FormError::Malformed).into(),
        ),
        (
            "FormError::Duplicate",
            AskError::from(FormError::Duplicate).into(),
        ),
        ("AskError::Missing", AskError::Missing("the member").into()),
        ("NarrowError::Object", narrowed("1", None)),
        (
            "NarrowError::Duplicate",
            narrowed(r#"{"models":["a"],"models":["b"]}"#, None),
        ),
        ("NarrowError::Unknown", narrowed(r#"{"x":1}"#, None)),
        (
            "NarrowError::UnknownHeader",
            narrowed("{}", Some(("x-tollgate-x", "1"))),
        ),
        ("NarrowError::Value", narrowed(r#"{"min_quality":2}"#, None)),
        ("NarrowError::Tags", narrowed(r#"{"tags":{"":""}}"#, None)),
        (
            "NarrowError::Conflict",
            narrowed(r#"{"min_quality":0.6}"#, floor),
        ),
    ]
}

fn from_routing_on() -> Vec<(&'static str, GatewayError)> {
    let refused = Vec::new;
    vec![
        (
            "RouteError::UnknownModel",
            of_route(RouteError::UnknownModel("m".into())),
        ),
        (
            "RouteError::NotAllowed",
            of_route(RouteError::NotAllowed("m".into())),
        ),
        (
            "RouteError::ObjectiveNotAllowed",
            of_route(RouteError::ObjectiveNotAllowed),
        ),
        (
            "RouteError::PolicyExcludesAll",
            of_route(RouteError::PolicyExcludesAll { refused: refused() }),
        ),
        (
            "RouteError::TooDear",
            of_route(RouteError::TooDear { refused: refused() }),
        ),
        (
            "RouteError::TooLong",
            of_route(RouteError::TooLong { refused: refused() }),
        ),
        (
            "RouteError::NoneCapable",
            of_route(RouteError::NoneCapable { refused: refused() }),
        ),
        (
            "RouteError::NoneHealthy",
            of_route(RouteError::NoneHealthy {
                refused: refused(),
                retry_after_ms: 1,
            }),
        ),
        (
            "RouteError::AllFull",
            of_route(RouteError::AllFull {
                refused: Vec::new(),
                retry_after_ms: 1,
            }),
        ),
    ]
}

fn from_calling_on() -> Vec<(&'static str, GatewayError)> {
    vec![
        (
            "CallError::Rejected",
            CallError::Rejected {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                body: Box::default(),
            }
            .into(),
        ),
        (
            "CallError::ContextTooLong",
            CallError::ContextTooLong { body: None }.into(),
        ),
        (
            "CallError::Incapable",
            CallError::Incapable {
                lacks: Cap::Tools,
                body: None,
            }
            .into(),
        ),
        ("GatewayError::Unrecorded", Unrecorded.into()),
        ("CallError::Stopping", CallError::Stopping.into()),
        ("GatewayError::Limited", denied(What::Requests).into()),
        (
            "CallError::Limited",
            CallError::Limited(denied(What::Concurrency)).into(),
        ),
        (
            "CallError::OverBudget",
            CallError::OverBudget(Box::new(overdrawn())).into(),
        ),
        (
            "CallError::SpendingUnknown",
            CallError::SpendingUnknown {
                whose: purse::Whose::Key("k".into()),
            }
            .into(),
        ),
        (
            "CallError::TooDear",
            CallError::TooDear(TooDear {
                worst: Usd::ZERO,
                left: Usd::ZERO,
                most: Usd::ZERO,
            })
            .into(),
        ),
        (
            "CallError::TimedOut",
            CallError::TimedOut { phase: Phase::Idle }.into(),
        ),
        (
            "CallError::Failed",
            CallError::Failed {
                status: None,
                detail: "",
                sent: true,
            }
            .into(),
        ),
        (
            "CallError::Broken",
            CallError::Broken {
                body: None,
                detail: "",
            }
            .into(),
        ),
        (
            "GatewayError::UnknownPath",
            GatewayError::UnknownPath("/x".into()),
        ),
        (
            "GatewayError::WrongMethod",
            GatewayError::WrongMethod(Method::PUT),
        ),
        ("GatewayError::Upgrade", GatewayError::Upgrade),
        ("GatewayError::Internal", GatewayError::Internal),
    ]
}

/// What a client sees of an error, as the table writes it.
fn seen(error: &GatewayError) -> Vec<String> {
    if matches!(error, GatewayError::Call(CallError::Rejected { .. })) {
        let cells = ["as sent", "as sent", "as sent", "none", "`client_error`"];
        return cells.map(str::to_owned).to_vec();
    }
    let public = error.public();
    vec![
        public.status.as_u16().to_string(),
        kind_and_code(&public),
        match public.param.as_deref() {
            None => "none".to_owned(),
            Some("the member") => "the member".to_owned(),
            Some(param) => format!("`{param}`"),
        },
        match (public.retry_after_ms, public.should_retry) {
            (Some(_), Some(true)) => "come back after the time given",
            (None, Some(false)) => "do not retry",
            (None, None) => "none",
            other => panic!("no word for {other:?}"),
        }
        .to_owned(),
        format!("`{}`", error.outcome().as_str()),
    ]
}

fn kind_and_code(public: &Public) -> String {
    let code = public.code.as_deref().unwrap_or("null");
    format!("`{}` · `{code}`", public.kind)
}

#[test]
fn the_table_says_what_each_error_becomes() {
    let samples = samples();
    for (name, error) in &samples {
        let variant = name.rsplit("::").next().unwrap();
        assert!(format!("{error:?}").contains(variant), "{name}: {error:?}");
    }
    let rows: Vec<Row> = samples
        .iter()
        .map(|(name, error)| Row::new(format!("`{name}`"), seen(error)))
        .collect();
    let known = |name: &str| {
        ERRORS
            .iter()
            .any(|error| name.starts_with(&format!("`{error}::")))
    };
    none(&compare(DOCUMENT, &document(DOCUMENT), &rows, known));
}

#[test]
fn no_error_is_left_out_of_the_table() {
    let (_, types) = definitions(&Tree::of_folder(root()));
    let of_stages = |name: &&String| {
        let error = name.split_once("::").map(|(error, _)| error);
        error.is_some_and(|error| ERRORS.contains(&error)) && !WRAPPERS.contains(&name.as_str())
    };
    let defined: BTreeSet<&str> = types.iter().filter(of_stages).map(String::as_str).collect();
    let sampled: BTreeSet<&str> = samples().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        defined, sampled,
        "give tests/house/errors.rs a sample of each variant"
    );
}

/// One of each class of failure, in the words of the table.
fn failures() -> [(&'static str, Class); 13] {
    let busy = |seconds| Class::Busy {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    [
        ("`Unreachable`", Class::Unreachable),
        ("`Dropped`", Class::Dropped),
        ("`Transient`", Class::Transient),
        ("`Nonsense`", Class::Nonsense),
        ("`Busy`, back within `max_wait`", busy(1)),
        ("`Busy`, back later", busy(60)),
        ("`Busy`, no time given", Class::Busy { retry_after: None }),
        (
            "`TimedOut`, of one attempt",
            Class::TimedOut(Phase::FirstByte),
        ),
        (
            "`TimedOut`, of the whole request",
            Class::TimedOut(Phase::Whole),
        ),
        ("`ContextTooLong`", Class::ContextTooLong),
        ("`Incapable`", Class::Incapable(Cap::Tools)),
        ("`Refused`", Class::Refused(DownReason::KeyRefused)),
        ("`Rejected`", Class::Rejected),
    ]
}

fn step(class: Class, same_tried: bool) -> String {
    let turn = Turn {
        attempts: 1,
        same_tried,
        other_key: false,
        max_attempts: 3,
        max_wait: Duration::from_secs(3),
        after_send: true,
    };
    match judge(&Failure::without_answer(class, ""), &turn) {
        Step::SameSoon => "the same, soon",
        Step::SameAfter(_) => "the same, after that time",
        Step::OtherKey => "another key",
        Step::Next => "the next",
        Step::NextLarger => "the next with a larger context",
        Step::Fail => "no more",
    }
    .to_owned()
}

#[test]
fn the_table_says_what_each_failure_leads_to() {
    let rows: Vec<Row> = failures()
        .into_iter()
        .map(|(name, class)| {
            let failure = Failure::without_answer(class, "");
            let result = format!("`{}`", failure.result());
            let repeats = if failure.may_have_been_processed() {
                "yes"
            } else {
                "no"
            };
            let error = GatewayError::from(CallError::from(failure));
            let last = match class {
                Class::Rejected => "the backend's own status".to_owned(),
                _ => {
                    let public = error.public();
                    format!(
                        "{} `{}`",
                        public.status.as_u16(),
                        public.code.unwrap_or_default()
                    )
                }
            };
            let cells = [
                step(class, false),
                step(class, true),
                repeats.to_owned(),
                result,
                last,
            ];
            Row::new(name.to_owned(), cells.to_vec())
        })
        .collect();
    let (_, types) = definitions(&Tree::of_folder(root()));
    for class in types.iter().filter_map(|name| name.strip_prefix("Class::")) {
        let named = rows
            .iter()
            .any(|row| row.name.starts_with(&format!("`{class}`")));
        assert!(
            named,
            "give tests/house/errors.rs a sample of Class::{class}"
        );
    }
    none(&compare(DOCUMENT, &document(DOCUMENT), &rows, |_| false));
}
