//! `GET /admin/v1/spend`: what was spent, from the ledger, for programs.

use axum::{
    extract::{FromRequestParts, Query, Request, State},
    response::Response,
};
use http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE};
use jiff::Timestamp;
use serde::Deserialize;

use super::refusal::Refusal;
use crate::{
    accept::respond::{self, Shared},
    state::App,
    store::{
        self, Page, Question,
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

pub(super) async fn spend(State(app): State<Shared>, request: Request) -> Response {
    let (mut head, _) = request.into_parts();
    let query = Query::<Asked>::from_request_parts(&mut head, &app).await;
    let Ok(Query(asked)) = query else {
        let known = "known are by, since, until, after, and format=json or csv";
        return Refusal::Query(known).respond();
    };
    match read(&app, &asked).await {
        Ok(answer) => answer,
        Err(refusal) => refusal.respond(),
    }
}

async fn read(app: &App, asked: &Asked) -> Result<Response, Refusal> {
    let store = app.store.as_ref().ok_or(Refusal::NoLedger)?;
    let path = store.path().to_owned();
    let question = question(asked, Timestamp::now())?;
    let format = asked.format;
    let read = tokio::task::spawn_blocking(move || {
        store::spend(&path, &question).map(|page| show(format, &question, &page))
    });
    match read.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            tracing::error!(%error, "the ledger can't be read");
            Err(Refusal::Unreadable)
        }
        Err(_) => Err(Refusal::Unreadable),
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
    let (until, skip, paid) = match &asked.after {
        None => (until, 0, now.as_millisecond()),
        Some(after) => cursor(after).ok_or_else(|| AskedError::Cursor(after.clone()))?,
    };
    Ok(Question {
        by: report::dimensions(&asked.by)?,
        since_ms: moment(&asked.since)?,
        until_ms: Some(until),
        skip,
        // who writes a cursor by hand can't look ahead
        paid_ms: Some(paid.min(now.as_millisecond())),
        most: Some(MOST_LINES),
    })
}

fn cursor(text: &str) -> Option<(i64, u64, i64)> {
    let (until, rest) = text.split_once('.')?;
    let (skip, paid) = rest.split_once('.')?;
    Some((until.parse().ok()?, skip.parse().ok()?, paid.parse().ok()?))
}

fn show(format: Format, question: &Question, page: &Page) -> Response {
    let (by, lines) = (&question.by, &page.lines);
    let until = question.until_ms.unwrap_or(i64::MAX);
    let paid = question.paid_ms.unwrap_or(until);
    let skip = question.skip.saturating_add(MOST_LINES);
    let next = page.more.then(|| format!("{until}.{skip}.{paid}"));
    match format {
        Format::Json => {
            let answer = Answer::of(by, lines, next);
            respond::json(StatusCode::OK, answer.to_json())
        }
        Format::Csv => {
            let mut response = respond::json(StatusCode::OK, report::csv(by, lines));
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
