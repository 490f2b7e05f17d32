//! Puts an answer on the wire: whole JSON or events, with the delays and faults of its script.
//!
//! Given a composed answer and its `Visit`; decides head and body. Never waits itself: what waits
//! is the body.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::account::Visit;
use super::answer::{Answer, Counts};
use super::body::{self, SimBody, Step};
use super::directive::{Fault, Script};
use super::events::{Events, UsageWish, silence, trickle};
use super::others::Whole;
use super::refusal::{Refusal, status_object};

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
/// Bytes of a JSON answer that count as one event in the faults that count events.
const EVENT_BYTES: u64 = 16;
/// Bytes that a short answer promises but does not send.
const MISSING_BYTES: u64 = 64;
/// What a short stream promises: more than any script sends.
const ENDLESS: u64 = 1 << 40;
const PAGE: &str = "<!doctype html>\n<html><head><title>Welcome</title></head><body>Sign in to the \
                    network to go on.</body></html>\n";

/// An answer with these bytes, marked as simulated.
pub(crate) fn plain(status: StatusCode, media: HeaderValue, body: SimBody) -> Response<SimBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, media);
    headers.insert("x-tollgate-simulated", HeaderValue::from_static("true"));
    response
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, bytes: impl Into<Bytes>) -> Response<SimBody> {
    plain(status, JSON, SimBody::whole(bytes))
}

/// The simulator's own no.
pub(crate) fn refusal(refusal: &Refusal) -> Response<SimBody> {
    json(refusal.status, refusal.body())
}

/// Answers that a fault replaces altogether; `None` where the answer itself is to be delivered.
pub(crate) fn instead(visit: &mut Visit, fault: Option<Fault>) -> Option<Response<SimBody>> {
    let fault = fault?;
    let script = &visit.model.script;
    let response = match fault {
        Fault::Status(status) => error_status(script, status),
        Fault::NotJson => {
            let media = HeaderValue::from_static("text/html; charset=utf-8");
            plain(StatusCode::OK, media, SimBody::whole(PAGE))
        }
        Fault::Empty => plain(StatusCode::OK, JSON, SimBody::Whole(None)),
        _ => return None,
    };
    visit.fail(fault.label());
    visit.end();
    Some(response)
}

/// A stream of events.
pub(crate) fn stream(
    visit: Visit,
    answer: Answer,
    wish: UsageWish,
    fault: Option<Fault>,
) -> Response<SimBody> {
    let usage = answer.usage;
    let error = error_data(&visit.model.script);
    let events = Events::new(visit.model.clone(), answer, wish, fault, error);
    let body = SimBody::paced(visit, usage, VecDeque::new(), Some(events));
    let mut response = plain(StatusCode::OK, EVENTS, body);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if fault == Some(Fault::Short) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(ENDLESS));
    }
    response
}

/// An answer that is made as a whole.
pub(crate) fn whole(mut visit: Visit, whole: Whole, fault: Option<Fault>) -> Response<SimBody> {
    let Whole {
        media,
        bytes,
        usage,
    } = whole;
    // an error says what it is, whatever was asked for
    let media = match fault {
        Some(Fault::Error(_)) => JSON,
        _ => media,
    };
    let script = &visit.model.script;
    if fault.is_none() && script.keepalive.is_none() {
        visit.bill_prompt(usage);
        visit.bill_output(usage.completion, usage.reasoning);
        visit.succeed();
        return plain(StatusCode::OK, media, SimBody::whole(bytes));
    }
    let mut steps = VecDeque::new();
    if script.keepalive.is_some() {
        let sign = b"\n".to_vec();
        silence(thinking(script, usage), script.keepalive, sign, &mut steps);
    }
    let length = pace(script, Bytes::from(bytes), usage, fault, &mut steps);
    let length = length.filter(|_| script.keepalive.is_none());
    let mut response = plain(
        StatusCode::OK,
        media,
        SimBody::paced(visit, usage, steps, None),
    );
    if let Some(length) = length {
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

/// The steps of a JSON answer under a fault, and the length that its head announces, if any.
fn pace(
    script: &Script,
    bytes: Bytes,
    usage: Counts,
    fault: Option<Fault>,
    steps: &mut VecDeque<Step>,
) -> Option<u64> {
    let length = bytes.len() as u64;
    let tokens = (usage.completion, usage.reasoning);
    // what a break leaves is billed as nothing: no provider counts half a document
    let part = |events: u64| {
        let end = events.saturating_mul(EVENT_BYTES).min(length);
        let part = bytes.slice(..usize::try_from(end).unwrap_or(bytes.len()));
        (end > 0).then_some(Step::Output(part, 0, 0))
    };
    let harmless = matches!(fault, None | Some(Fault::SlowBody));
    steps.extend(
        fault
            .filter(|_| !harmless)
            .map(|fault| Step::Fail(fault.label())),
    );
    match fault {
        Some(Fault::HangHead) => steps.push_back(Step::Hang),
        Some(Fault::Cut(at)) => {
            steps.extend(part(at));
            steps.extend(body::cut());
        }
        Some(Fault::End(at)) => {
            steps.extend(part(at));
            return None;
        }
        Some(Fault::Stall(at)) => {
            steps.extend(part(at));
            steps.push_back(Step::Hang);
        }
        Some(Fault::Error(_)) => {
            steps.push_back(Step::Send(error_data(script)));
            return None;
        }
        Some(Fault::Garbage(at)) => {
            steps.extend(part(at));
            steps.push_back(Step::Send(Bytes::from_static(b"<this is not JSON>")));
            return None;
        }
        Some(Fault::Short) => {
            steps.extend([Step::Output(bytes, tokens.0, tokens.1), Step::Flush]);
            return Some(length + MISSING_BYTES);
        }
        Some(Fault::SlowBody) => trickle(bytes, script.gap, tokens, steps),
        _ => steps.push_back(Step::Output(bytes, tokens.0, tokens.1)),
    }
    Some(length)
}

/// How long the model takes for a whole answer: what the same stream would take.
pub(crate) fn thinking(script: &Script, usage: Counts) -> Duration {
    let chunk = script.chunk.unwrap_or(1);
    let events = script
        .chunks
        .unwrap_or_else(|| usage.completion.div_ceil(chunk));
    let gaps = u32::try_from(events.saturating_sub(1)).unwrap_or(u32::MAX);
    script.ttft.saturating_add(script.gap.saturating_mul(gaps))
}

/// An error status in a provider's words.
fn error_status(script: &Script, status: Option<u16>) -> Response<SimBody> {
    let usual = script.body.map_or(500, |body| body.status);
    let status = StatusCode::from_u16(status.unwrap_or(usual));
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = match script.body {
        Some(body) => {
            let media = HeaderValue::from_static(body.media);
            plain(status, media, SimBody::whole(body.text))
        }
        None => json(status, status_object(status)),
    };
    if let Some(wait) = script.retry_after {
        let headers = response.headers_mut();
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        headers.insert(RETRY_AFTER, HeaderValue::from(millis.div_ceil(1000)));
        if millis % 1000 != 0 {
            headers.insert("retry-after-ms", HeaderValue::from(millis));
        }
    }
    response
}

/// The error of a stream that has begun.
fn error_data(script: &Script) -> Bytes {
    match script.body {
        Some(body) => Bytes::from_static(body.text.as_bytes()),
        None => Bytes::from(status_object(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}
