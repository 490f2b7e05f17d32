//! What is kept beside the rows of calls: what clients said of answers, what outcomes taught, and
//! decisions with all that they were taken on.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::oneshot;

use crate::{
    domain::Domain,
    learn::outcomes::{Learned, Place},
    quality::{Evidence, Lessons},
    settle::ledger::Prediction,
};

/// How long after an answer it may be judged, in milliseconds.
const OPEN_MS: i64 = 24 * 3_600_000;
/// How long decisions are kept, in milliseconds.
const KEPT_MS: i64 = 30 * 24 * 3_600_000;
/// Places that are read at the start, the latest ones.
const MOST_LEARNED: i64 = 200_000;

const FIND: &str = "SELECT key, completed_ms, model, domain, predicted, outcome FROM attempts \
    WHERE request_id = ?1 ORDER BY attempt DESC LIMIT 1";
const GIVE: &str = "INSERT INTO feedback (request_id, at_ms, key, model, domain, score) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (request_id) DO NOTHING";
const LEARN: &str = "INSERT INTO learned (key, model, domain, at_ms, told_information, told_sum, \
    told_n, shown_information, shown_sum, shown_n) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
    ON CONFLICT (key, model, domain) DO UPDATE SET at_ms = excluded.at_ms, \
    told_information = excluded.told_information, told_sum = excluded.told_sum, \
    told_n = excluded.told_n, shown_information = excluded.shown_information, \
    shown_sum = excluded.shown_sum, shown_n = excluded.shown_n";
const LEARNED: &str = "SELECT key, model, domain, at_ms, told_information, told_sum, told_n, \
    shown_information, shown_sum, shown_n FROM learned ORDER BY at_ms DESC LIMIT ?1";
const FORGET: &str =
    "DELETE FROM learned WHERE (?1 IS NULL OR key = ?1) AND (?2 IS NULL OR model = ?2)";
const DECIDE: &str = "INSERT INTO decisions (request_id, at_ms, decision) VALUES (?1, ?2, ?3) \
    ON CONFLICT (request_id) DO NOTHING";

const DISMISS: &str = "DELETE FROM decisions WHERE at_ms < ?1";

/// What a client says of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    pub request_id: String,
    /// Who says it: the key's id; `None`: nobody was asked for one.
    pub key: Option<Arc<str>>,
    /// How good it was, from 0 to 1.
    pub score: f64,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// The answer that was judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The model that gave it.
    pub model: Arc<str>,
    /// How good it was expected to be; `None`: it did not matter, or nobody knew.
    pub prediction: Option<Prediction>,
}

/// Why feedback is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeedbackError {
    #[error("this gateway takes no feedback: `evidence.feedback` is off, or it keeps no ledger")]
    Off,
    #[error(
        "this key has made no such request in the last 24 hours, or it got no answer; `request_id` is \
         the `x-request-id` of the answer"
    )]
    Unknown,
    #[error("feedback on this request was given already")]
    Given,
    #[error("the ledger can't be written now, so the feedback was not taken; try again")]
    Unwritten,
}

impl FeedbackError {
    /// The label in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Unknown => "unknown",
            Self::Given => "given",
            Self::Unwritten => "unwritten",
        }
    }
}

/// Feedback on its way to the ledger.
#[derive(Debug)]
pub(super) struct Giving {
    pub(super) feedback: Feedback,
    pub(super) answer: oneshot::Sender<Result<Judged, FeedbackError>>,
}

/// A decision, with all that it was taken on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub request_id: Arc<str>,
    /// In milliseconds since 1970.
    pub at_ms: i64,
    /// As JSON.
    pub decision: String,
}

/// What is to be written beside rows, in this order.
#[derive(Debug, Clone)]
pub(super) enum Note {
    Learned(Vec<Learned>),
    /// Of a key or of all, of a model or of all.
    Forget(Option<String>, Option<String>),
    Decision(Kept),
}

impl Note {
    pub(super) fn write(&self, db: &mut Connection) -> rusqlite::Result<()> {
        let change = db.transaction()?;
        match self {
            Self::Learned(learned) => {
                let mut statement = change.prepare_cached(LEARN)?;
                for Learned {
                    place,
                    lessons: Lessons { told, shown },
                    at_ms,
                } in learned
                {
                    statement.execute(params![
                        place.key,
                        place.model,
                        place.domain.as_str(),
                        at_ms,
                        told.information,
                        told.sum,
                        count(told.n),
                        shown.information,
                        shown.sum,
                        count(shown.n),
                    ])?;
                }
            }
            Self::Forget(key, model) => {
                change.execute(FORGET, params![key, model])?;
            }
            Self::Decision(kept) => {
                let mut statement = change.prepare_cached(DECIDE)?;
                statement.execute(params![kept.request_id, kept.at_ms, kept.decision])?;
                let before = kept.at_ms.saturating_sub(KEPT_MS);
                change.prepare_cached(DISMISS)?.execute([before])?;
            }
        }
        change.commit()
    }
}

/// Takes feedback, if it is the first on a request of this key that was answered lately.
///
/// # Errors
/// If the database fails; whether the feedback is taken stands in the value.
pub(super) fn give(
    db: &Connection,
    feedback: &Feedback,
) -> rusqlite::Result<Result<Judged, FeedbackError>> {
    let read = |row: &Row<'_>| {
        let domain: Option<String> = row.get(3)?;
        let predicted: Option<u16> = row.get(4)?;
        let domain = domain.as_deref().and_then(Domain::named);
        let prediction = |(domain, predicted)| Prediction { domain, predicted };
        let judged = Judged {
            model: row.get::<_, String>(2)?.into(),
            prediction: domain.zip(predicted).map(prediction),
        };
        let (key, at_ms): (Option<String>, i64) = (row.get(0)?, row.get(1)?);
        Ok((key, at_ms, row.get::<_, String>(5)?, judged))
    };
    let mut find = db.prepare_cached(FIND)?;
    let found = find.query_row([&feedback.request_id], read).optional()?;
    let Some((key, at_ms, outcome, judged)) = found else {
        return Ok(Err(FeedbackError::Unknown));
    };
    // whoever stops an answer has seen enough of it to judge
    let answered = matches!(&*outcome, "ok" | "cancelled");
    let late = feedback.at_ms.saturating_sub(at_ms) > OPEN_MS;
    if key.as_deref() != feedback.key.as_deref() || late || !answered {
        return Ok(Err(FeedbackError::Unknown));
    }
    let mut give = db.prepare_cached(GIVE)?;
    let given = give.execute(params![
        feedback.request_id,
        feedback.at_ms,
        feedback.key,
        judged.model,
        judged.prediction.map(|it| it.domain.as_str()),
        feedback.score,
    ])?;
    Ok(if given == 0 {
        Err(FeedbackError::Given)
    } else {
        Ok(judged)
    })
}

/// What outcomes have taught, the latest first.
pub(super) fn learned(db: &Connection) -> rusqlite::Result<Vec<Learned>> {
    let evidence = |row: &Row<'_>, at: usize| {
        Ok::<_, rusqlite::Error>(Evidence {
            information: row.get(at)?,
            sum: row.get(at + 1)?,
            n: row.get::<_, i64>(at + 2)?.try_into().unwrap_or_default(),
        })
    };
    let read = |row: &Row<'_>| {
        let domain: String = row.get(2)?;
        let Some(domain) = Domain::named(&domain) else {
            return Ok(None);
        };
        Ok(Some(Learned {
            place: Place {
                key: row.get::<_, String>(0)?.into(),
                model: row.get::<_, String>(1)?.into(),
                domain,
            },
            lessons: Lessons {
                told: evidence(row, 4)?,
                shown: evidence(row, 7)?,
            },
            at_ms: row.get(3)?,
        }))
    };
    let mut statement = db.prepare(LEARNED)?;
    let rows = statement.query_map([MOST_LEARNED], read)?;
    // a row of a domain that a newer program knows is passed over
    rows.filter_map(Result::transpose).collect()
}

/// Decisions since a moment, in milliseconds since 1970, the latest first.
pub(super) fn decisions(db: &Connection, since_ms: i64, most: u32) -> rusqlite::Result<Vec<Kept>> {
    let sql = "SELECT request_id, at_ms, decision FROM decisions WHERE at_ms >= ?1 \
        ORDER BY at_ms DESC, request_id LIMIT ?2";
    let mut statement = db.prepare(sql)?;
    let read = |row: &Row<'_>| {
        Ok(Kept {
            request_id: row.get::<_, String>(0)?.into(),
            at_ms: row.get(1)?,
            decision: row.get(2)?,
        })
    };
    let rows = statement.query_map(params![since_ms, most], read)?;
    rows.collect()
}

fn count(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
