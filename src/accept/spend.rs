//! `GET /admin/v1/spend`: what was spent, from the ledger, for programs.

use axum::{
    extract::{FromRequestParts, Query, Request, State},
    response::Response,
};
use http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use jiff::Timestamp;
use serde::Deserialize;

use super::respond::{self, Shared};
use crate::{
    error::{GatewayError, Public},
    store::{
        self, Dimension, Page, Question,
        report::{self, Answer, AskedError},
    },
};

/// Lines of one answer; `next` leads to those after them.
const MOST_LINES: u64 = 10_000;

/// Where a table says what JSON says in `next`.
const NEXT: HeaderName = HeaderName::from_static("x-tollgate-next");

/// What may be asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    by: String,
    since: Option<String>,
    until: Option<String>,
    #[serde(default)]
    format: Format,
    /// The `next` of an answer.
    after: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Json,
    Csv,
}

pub(super) async fn answer(State(app): State<Shared>, request: Request) -> Response {
    let Some(path) = app.store.as_ref().map(|store| store.path().to_owned()) else {
        return refuse(StatusCode::NOT_FOUND, "no_ledger", "no ledger is kept");
    };
    let (mut head, _) = request.into_parts();
    let asked = match Query::<Asked>::from_request_parts(&mut head, &app).await {
        Ok(Query(asked)) => asked,
        Err(error) => return wrong(&error.body_text()),
    };
    let question = match question(&asked, Timestamp::now()) {
        Ok(question) => question,
        Err(error) => return wrong(&error.to_string()),
    };
    let by = question.by.clone();
    let next = (question.until_ms, question.skip);
    let read = tokio::task::spawn_blocking(move || store::spend(&path, &question)).await;
    match read {
        Ok(Ok(page)) => show(asked.format, &by, &page, next),
        Ok(Err(error)) => {
            tracing::error!(%error, "the ledger can't be read");
            refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "ledger_unavailable",
                "the ledger can't be read now",
            )
        }
        Err(_) => respond::error(&GatewayError::Internal),
    }
}

/// Every page of an answer ends at the same moment, so that rows which come meanwhile move nothing
/// from one page to another.
fn question(asked: &Asked, now: Timestamp) -> Result<Question, AskedError> {
    let moment = |text: &Option<String>| {
        text.as_deref()
            .map(|text| report::moment(text, now))
            .transpose()
    };
    let until = moment(&asked.until)?.unwrap_or(now.as_millisecond().saturating_add(1));
    let (until, skip) = match &asked.after {
        None => (until, 0),
        Some(after) => cursor(after).ok_or_else(|| AskedError::Cursor(after.clone()))?,
    };
    Ok(Question {
        by: report::dimensions(&asked.by)?,
        since_ms: moment(&asked.since)?,
        until_ms: Some(until),
        skip,
        most: Some(MOST_LINES),
    })
}

fn cursor(text: &str) -> Option<(i64, u64)> {
    let (until, skip) = text.split_once('.')?;
    Some((until.parse().ok()?, skip.parse().ok()?))
}

fn show(
    format: Format,
    by: &[Dimension],
    page: &Page,
    (until, skip): (Option<i64>, u64),
) -> Response {
    let next = page
        .more
        .then(|| format!("{}.{}", until.unwrap_or(i64::MAX), skip + MOST_LINES));
    match format {
        Format::Json => {
            let answer = Answer::of(by, &page.lines, next);
            respond::json(StatusCode::OK, answer.to_json())
        }
        Format::Csv => {
            let mut response = respond::json(StatusCode::OK, report::csv(by, &page.lines));
            let headers = response.headers_mut();
            let kind = HeaderValue::from_static("text/csv; charset=utf-8");
            headers.insert(CONTENT_TYPE, kind);
            if let Some(next) = next.and_then(|next| HeaderValue::from_str(&next).ok()) {
                headers.insert(NEXT, next);
            }
            response
        }
    }
}

fn wrong(message: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, "invalid_query", message)
}

fn refuse(status: StatusCode, code: &'static str, message: &str) -> Response {
    let public = Public {
        status,
        kind: "invalid_request_error".into(),
        code: Some(code.into()),
        param: None,
        message: message.to_owned(),
        retry_after_ms: None,
        should_retry: None,
    };
    respond::json(status, public.to_json())
}
