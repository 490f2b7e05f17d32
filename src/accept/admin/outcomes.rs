//! What outcomes have taught of the quality of models, for the operator to read and to forget.

use axum::{
    extract::{FromRequestParts, Query, Request, State},
    response::Response,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::refusal::Refusal;
use crate::{
    accept::respond::{self, Shared},
    learn::outcomes::{Learned, NOBODY},
    quality::Evidence,
};

/// Lines of one answer.
const MOST: usize = 10_000;

/// Whose outcomes, and of which model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// A key's id; empty for callers without one.
    key: Option<String>,
    model: Option<String>,
}

/// What is known at one place.
#[derive(Serialize)]
struct View<'a> {
    /// `null`: callers without a key.
    key: Option<&'a str>,
    model: &'a str,
    domain: &'static str,
    /// What clients said.
    feedback: Counted,
    /// What answers showed of themselves.
    verified: Counted,
    at: Option<Timestamp>,
}

/// Outcomes of one kind.
#[derive(Serialize)]
struct Counted {
    outcomes: u64,
    /// By how much they move predictions, in logits.
    offset: f64,
}

impl From<Evidence> for Counted {
    fn from(evidence: Evidence) -> Self {
        Self {
            outcomes: evidence.n,
            offset: (evidence.offset() * 1e4).round() / 1e4,
        }
    }
}

/// As it counts at `now_ms`.
fn view(learned: &Learned, now_ms: i64) -> View<'_> {
    let Learned {
        place,
        lessons,
        at_ms,
    } = learned;
    let lessons = lessons.faded(now_ms.saturating_sub(*at_ms));
    View {
        key: Some(&*place.key).filter(|key| *key != NOBODY),
        model: &place.model,
        domain: place.domain.as_str(),
        feedback: lessons.told.into(),
        verified: lessons.shown.into(),
        at: Timestamp::from_millisecond(*at_ms).ok(),
    }
}

async fn asked(app: &Shared, request: Request) -> Result<Asked, Refusal> {
    let (mut head, _) = request.into_parts();
    let query = Query::<Asked>::from_request_parts(&mut head, app).await;
    let Query(asked) = query.map_err(|_| Refusal::Query("known are key and model"))?;
    Ok(asked)
}

/// What was learned, by key, model and domain.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    let asked = match asked(&app, request).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal.respond(),
    };
    let mut all = app.world().means.outcomes.all(asked.key.as_deref());
    let is_asked = |learned: &Learned| {
        let model = asked.model.as_deref();
        model.is_none_or(|model| *model == *learned.place.model)
    };
    all.retain(is_asked);
    let now_ms = Timestamp::now().as_millisecond();
    let shown = all.iter().take(MOST).map(|learned| view(learned, now_ms));
    let shown: Vec<View<'_>> = shown.collect();
    respond::as_json(&json!({ "outcomes": shown, "more": all.len() > MOST }))
}

/// Forgets what was learned of a key, of a model, or of one from the other.
pub(super) async fn forget(State(app): State<Shared>, request: Request) -> Response {
    let asked = match asked(&app, request).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal.respond(),
    };
    let (key, model) = (asked.key.as_deref(), asked.model.as_deref());
    if key.is_none() && model.is_none() {
        return Refusal::Query("say whose outcomes are to be forgotten: key, model, or both")
            .respond();
    }
    let forgotten = match &app.learning {
        Some(learning) => learning.forget(key, model),
        None => 0,
    };
    tracing::info!(key, model, forgotten, "outcomes forgotten by the operator");
    respond::as_json(&json!({ "forgotten": forgotten }))
}
