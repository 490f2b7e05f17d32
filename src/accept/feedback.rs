//! `/v1/feedback`: what a client says of an answer that it got.

use axum::{
    extract::{Request, State},
    response::Response,
};
use jiff::Timestamp;
use serde::Serialize;

use super::{
    body,
    models::caller,
    respond::{self, Shared as App},
};
use crate::{
    error::GatewayError,
    store::{Feedback, FeedbackError, Judged},
    understand::AskError,
    wire::json::Object,
};

/// Bytes of a body.
const MOST: u64 = 4 * 1024;

/// What a client says.
struct Given {
    request_id: String,
    score: f64,
}

/// That it was taken.
#[derive(Debug, Serialize)]
struct Taken<'a> {
    object: &'static str,
    request_id: &'a str,
    score: f64,
    model: &'a str,
    /// The kind of work that the request was taken for; `null`: nothing was predicted for it.
    domain: Option<&'static str>,
    /// Does it correct predictions? Not where there was none.
    learned: bool,
}

pub(super) async fn give(State(app): State<App>, request: Request) -> Response {
    match take(&app, request).await {
        Ok(response) => response,
        Err(error) => respond::error(&error),
    }
}

async fn take(app: &App, request: Request) -> Result<Response, GatewayError> {
    let world = app.world();
    let (head, body) = request.into_parts();
    let principal = caller(app, &world, &head).await?;
    let (body, _held) = body::read(body, MOST, &app.room).await?;
    let given = read(&Object::parse(body).map_err(AskError::Json)?)?;
    let feedback = Feedback {
        request_id: given.request_id.clone(),
        key: principal.id.clone(),
        score: given.score,
        at_ms: Timestamp::now().as_millisecond(),
    };
    let learning = app
        .learning
        .as_ref()
        .filter(|_| world.config.evidence.feedback);
    let judged = match learning {
        Some(learning) => learning.feedback(feedback).await,
        None => Err(FeedbackError::Off),
    };
    let result = judged
        .as_ref()
        .map_or_else(|error| error.as_str(), |_| "taken");
    app.metrics.feedback.with_label_values(&[result]).inc();
    Ok(respond::as_json(&taken(&given, &judged?)))
}

fn taken<'a>(given: &'a Given, judged: &'a Judged) -> Taken<'a> {
    Taken {
        object: "feedback",
        request_id: &given.request_id,
        score: given.score,
        model: &judged.model,
        domain: judged.prediction.map(|it| it.domain.as_str()),
        learned: judged.prediction.is_some(),
    }
}

/// Both members, each by itself, so that an error can name it.
fn read(body: &Object) -> Result<Given, AskError> {
    let member = |member: &'static str, expected| AskError::Type { member, expected };
    let raw = |name| body.get(name).ok_or(AskError::Missing(name));
    let score = "a number from 0 (useless) to 1 (all that was wanted)";
    let text = "the `x-request-id` of an answer";
    let given = Given {
        request_id: serde_json::from_str(raw("request_id")?)
            .map_err(|_| member("request_id", text))?,
        score: serde_json::from_str(raw("score")?).map_err(|_| member("score", score))?,
    };
    if !(0.0..=1.0).contains(&given.score) {
        return Err(member("score", score));
    }
    if given.request_id.is_empty() || given.request_id.len() > 128 {
        return Err(member("request_id", text));
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(body: &str) -> String {
        let object = Object::parse(body.to_owned().into()).unwrap();
        read(&object)
            .err()
            .map_or_else(String::new, |e| e.to_string())
    }

    #[test]
    fn both_members_are_needed_and_the_score_is_a_part_of_one() {
        assert_eq!(why(r#"{"request_id":"req_1","score":0.5}"#), "");
        assert_eq!(why(r#"{"request_id":"req_1","score":1}"#), "");
        assert_eq!(
            why(r#"{"score":1}"#),
            "you must provide a `request_id` parameter"
        );
        assert_eq!(
            why(r#"{"request_id":"r"}"#),
            "you must provide a `score` parameter"
        );
        for body in [
            r#"{"request_id":7,"score":1}"#,
            r#"{"request_id":"","score":1}"#,
        ] {
            assert_eq!(
                why(body),
                "`request_id` must be the `x-request-id` of an answer"
            );
        }
        for score in ["1.01", "-0.1", "\"1\"", "null", "5"] {
            let body = format!(r#"{{"request_id":"r","score":{score}}}"#);
            assert!(
                why(&body).starts_with("`score` must be a number from 0"),
                "{score}"
            );
        }
    }
}
