//! The headers of an answer: who served, why, and for how much.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};

use super::{limits, warning};
use crate::{
    call::Job,
    route::{Candidate, explain},
    settle::Account,
};

static MODEL: HeaderName = HeaderName::from_static("x-tollgate-model");
static BACKEND: HeaderName = HeaderName::from_static("x-tollgate-backend");
static COST: HeaderName = HeaderName::from_static("x-tollgate-cost-usd");
static ESTIMATED_COST: HeaderName = HeaderName::from_static("x-tollgate-estimated-cost-usd");
static ATTEMPTS: HeaderName = HeaderName::from_static("x-tollgate-attempts");
static DECISION: HeaderName = HeaderName::from_static("x-tollgate-decision");
static PROCESSING: HeaderName = HeaderName::from_static("openai-processing-ms");
static BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Says who served, why, and for how much; `whole`: the answer is complete, so that its price is known.
pub(super) fn describe(headers: &mut HeaderMap, job: &Job, account: &Account, whole: bool) {
    if let Some(candidate) = account.serving() {
        name(headers, job, candidate);
        match account.cost().filter(|_| whole) {
            Some(cost) => put(headers, &COST, &cost.text()),
            None => estimate(headers, candidate),
        }
    }
    attempts(headers, account.attempts());
    let mut decision = explain::decision(&job.means.config, &job.plan);
    let failed = account.attempts().saturating_sub(1 + account.parts());
    if failed > 0 {
        decision.push_str(&format!("; {failed} failed before"));
    }
    put_text(headers, &DECISION, decision);
    put_number(headers, &PROCESSING, account.elapsed_ms());
    limits::describe(headers, account.levels());
    warning::describe(headers, account.exceeded());
}

/// Says who is asked, of an answer that is not there yet.
pub(super) fn expect(headers: &mut HeaderMap, job: &Job) {
    let Some(first) = job.plan.candidates.first() else {
        return;
    };
    attempts(headers, 1);
    name(headers, job, first);
    estimate(headers, first);
    put_text(
        headers,
        &DECISION,
        explain::decision(&job.means.config, &job.plan),
    );
}

/// What keeps proxies from holding a stream back.
pub(super) fn stream(headers: &mut HeaderMap) {
    for (name, value) in [
        (&CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (&CACHE_CONTROL, "no-cache"),
        (&BUFFERING, "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Says how many backends were called.
pub(super) fn attempts(headers: &mut HeaderMap, attempts: u32) {
    put_number(headers, &ATTEMPTS, attempts.into());
}

fn name(headers: &mut HeaderMap, job: &Job, candidate: &Candidate) {
    let config = &job.means.config;
    let model = config.models.get(candidate.model);
    let backend = config.backends.get(candidate.backend);
    if let (Some(model), Some(backend)) = (model, backend) {
        put(headers, &MODEL, &model.name);
        put(headers, &BACKEND, &backend.name);
    }
}

fn estimate(headers: &mut HeaderMap, candidate: &Candidate) {
    if let Some(expected) = candidate.expected {
        put(headers, &ESTIMATED_COST, &expected.text());
    }
}

/// Sets a header, unless the value holds what no header may hold.
pub(super) fn put(headers: &mut HeaderMap, name: &'static HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The same with a text that is not copied.
pub(super) fn put_text(headers: &mut HeaderMap, name: &'static HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

pub(super) fn put_number(headers: &mut HeaderMap, name: &'static HeaderName, number: u64) {
    put(headers, name, itoa::Buffer::new().format(number));
}
