//! Reads sums of the ledger through a connection of its own, which can change nothing.
//!
//! The writer is never waited for and never waits: readers see the rows that were committed before
//! they began. Sums are whole numbers; money is added up in two parts, so that no sum of amounts is
//! too large for the database.

use std::{borrow::Cow, path::Path};

use jiff::Timestamp;
use rusqlite::{Connection, Row, ToSql, params_from_iter};

use super::{
    amortised,
    evidence::{self, Kept},
    schema::{self, OpenError},
    spent::{SLOT_MS, kind_and_name},
};
use crate::{admit::purse::Spender, learn::outcomes::Learned, money::Total};

/// Types of tokens, as in the metric.
pub(super) const TOKEN_TYPES: [&str; 7] = [
    "input",
    "cache_read",
    "cache_write",
    "output",
    "reasoning",
    "audio_in",
    "audio_out",
];
/// The columns that each type adds up.
const TOKEN_COLUMNS: [&str; 7] = [
    "input + input_image",
    "cache_read + cache_read_audio",
    "cache_write + cache_write_1h",
    "output + output_image",
    "reasoning",
    "input_audio",
    "output_audio",
];
/// Amounts are cut here for adding up.
const MILLION: i64 = 1_000_000;

/// What spend is told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    Key,
    Model,
    Provider,
    Backend,
    Route,
    /// In UTC.
    Day,
    Tag(String),
}

/// What is to be added up.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub by: Vec<Dimension>,
    /// Milliseconds since 1970, included.
    pub since_ms: Option<i64>,
    /// Milliseconds since 1970, not included.
    pub until_ms: Option<i64>,
    /// Lines to leave out at the beginning.
    pub skip: u64,
    /// The most lines that are wanted; `None`: all.
    pub most: Option<u64>,
    /// Until when hardware has been paid for, in milliseconds since 1970; `None`: until now.
    pub paid_ms: Option<i64>,
}

/// The sums of one group of rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    /// The values of the dimensions.
    pub by: Vec<Option<String>>,
    pub requests: u64,
    pub attempts: u64,
    /// By type, in the order of the metric: `input` to `audio_out`.
    pub tokens: [u64; 7],
    pub cost: Total,
    /// Calls that no price applied to: they are not in `cost`.
    pub unpriced: u64,
    /// What was saved against the baselines of routes; less than nothing where calls cost more.
    pub saved: Total,
    /// What its calls on one's own hardware really cost: their shares of what was paid for the days
    /// they ran in. `None`: there are none, or nobody said what the hardware costs.
    pub amortised: Option<Total>,
    /// What was paid for days in which one's own hardware did nothing. `None`: nothing.
    pub idle: Option<Total>,
}

/// Lines, and whether there are more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub lines: Vec<Line>,
    pub more: bool,
}

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the ledger can't be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the ledger is closed")]
    Closed,
}

impl Dimension {
    /// The name in questions and answers.
    #[must_use]
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Key => "key".into(),
            Self::Model => "model".into(),
            Self::Provider => "provider".into(),
            Self::Backend => "backend".into(),
            Self::Route => "route".into(),
            Self::Day => "day".into(),
            Self::Tag(name) => format!("tag:{name}").into(),
        }
    }

    /// The SQL of its value; `?` stands for the name of a tag.
    pub(super) fn sql(&self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Model => "model",
            // names of providers hold no slash
            Self::Provider => "substr(backend, 1, instr(backend, '/') - 1)",
            Self::Backend => "backend",
            Self::Route => "route",
            Self::Day => "date(completed_ms / 1000, 'unixepoch')",
            Self::Tag(_) => "(SELECT value FROM json_each(attempts.tags) WHERE key = ?)",
        }
    }
}

/// Adds up what a ledger holds: by day in the order of days, else what cost most comes first.
///
/// # Errors
/// If there is no ledger at that path, or it can't be read.
pub fn spend(path: &Path, question: &Question) -> Result<Page, ReadError> {
    let db = schema::open_to_read(path)?;
    // rows that come meanwhile belong to all of it or to nothing
    let db = db.unchecked_transaction()?;
    let now_ms = Timestamp::now().as_millisecond();
    Ok(page(&db, question, question.paid_ms.unwrap_or(now_ms))?)
}

/// What was spent since a moment, in milliseconds since 1970: from the beginning of the quarter of an
/// hour that it lies in, so never less. Only what is in the database counts.
///
/// # Errors
/// If there is no ledger at that path, or it can't be read.
pub fn spent(path: &Path, spender: &Spender, since_ms: i64) -> Result<Total, ReadError> {
    let db = schema::open_to_read(path)?;
    Ok(spent_by(&db, spender, since_ms)?)
}

/// What outcomes have taught, the latest first.
///
/// # Errors
/// If there is no ledger at that path, or it can't be read.
pub(super) fn learned(path: &Path) -> Result<Vec<Learned>, ReadError> {
    let db = schema::open_to_read(path)?;
    Ok(evidence::learned(&db)?)
}

/// Decisions that were kept since a moment, in milliseconds since 1970; the latest first, at most so
/// many.
///
/// # Errors
/// If there is no ledger at that path, or it can't be read.
pub fn decisions(path: &Path, since_ms: i64, most: u32) -> Result<Vec<Kept>, ReadError> {
    let db = schema::open_to_read(path)?;
    Ok(evidence::decisions(&db, since_ms, most)?)
}

/// As [`spent`], on an open database.
pub(super) fn spent_by(
    db: &Connection,
    spender: &Spender,
    since_ms: i64,
) -> rusqlite::Result<Total> {
    let sql = "SELECT coalesce(sum(millions), 0), coalesce(sum(rest), 0) FROM spent \
               WHERE kind = ?1 AND name = ?2 AND slot >= ?3";
    let mut statement = db.prepare_cached(sql)?;
    let slot = since_ms.div_euclid(SLOT_MS);
    let (kind, name) = kind_and_name(spender);
    let sum = |row: &Row<'_>| Ok(total(row.get(0)?, row.get(1)?));
    statement.query_row((kind, name, slot), sum)
}

/// A sum from its two parts.
fn total(millions: i64, rest: i64) -> Total {
    Total::from_pico(i128::from(millions) * i128::from(MILLION) + i128::from(rest))
}

/// The lines that are wanted of all.
fn page(db: &Connection, question: &Question, now_ms: i64) -> rusqlite::Result<Page> {
    let mut lines = add_up(db, question)?;
    amortised::add(db, question, now_ms, &mut lines)?;
    let held = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    lines.drain(..held(question.skip).min(lines.len()));
    let wanted = question.most.map_or(usize::MAX, held);
    let more = lines.len() > wanted;
    lines.truncate(wanted);
    Ok(Page { lines, more })
}

fn add_up(db: &Connection, question: &Question) -> rusqlite::Result<Vec<Line>> {
    let since = question.since_ms.unwrap_or(i64::MIN);
    let until = question.until_ms.unwrap_or(i64::MAX);
    let mut parameters: Vec<&dyn ToSql> = Vec::new();
    for dimension in &question.by {
        if let Dimension::Tag(name) = dimension {
            parameters.push(name);
        }
    }
    parameters.extend([&since as &dyn ToSql, &until]);
    let mut statement = db.prepare(&sql(&question.by))?;
    let width = question.by.len();
    let lines = statement.query_map(params_from_iter(parameters), |row| line(row, width))?;
    lines.collect()
}

fn sql(by: &[Dimension]) -> String {
    let mut columns: Vec<String> = by.iter().map(|d| d.sql().to_owned()).collect();
    columns.push("count(DISTINCT request_id)".into());
    columns.push("count(*)".into());
    columns.extend(TOKEN_COLUMNS.map(|tokens| format!("coalesce(sum({tokens}), 0)")));
    columns.push(format!("coalesce(sum(cost / {MILLION}), 0)"));
    columns.push(format!("coalesce(sum(cost % {MILLION}), 0)"));
    columns.push("count(*) - count(cost)".into());
    for part in [format!("/ {MILLION}"), format!("% {MILLION}")] {
        let saved = format!("baseline_cost {part} - cost {part}");
        columns.push(format!("coalesce(sum({saved}), 0)"));
    }
    let places: Vec<String> = (1..=by.len()).map(|place| place.to_string()).collect();
    let group = match places.as_slice() {
        [] => String::new(),
        places => format!("GROUP BY {} ", places.join(", ")),
    };
    let by_day = by.iter().position(|d| *d == Dimension::Day);
    let first = by_day.map_or("total(cost) DESC".to_owned(), |at| (at + 1).to_string());
    let order: Vec<String> = [first].into_iter().chain(places).collect();
    format!(
        "SELECT {} FROM attempts WHERE completed_ms >= ? AND completed_ms < ? \
         {group}ORDER BY {}",
        columns.join(", "),
        order.join(", ")
    )
}

fn line(row: &Row<'_>, width: usize) -> rusqlite::Result<Line> {
    let count = |at: usize| row.get::<_, i64>(width + at).map(i64::unsigned_abs);
    let mut tokens = [0; 7];
    for (at, sum) in tokens.iter_mut().enumerate() {
        *sum = count(2 + at)?;
    }
    Ok(Line {
        by: (0..width)
            .map(|at| row.get(at))
            .collect::<rusqlite::Result<_>>()?,
        requests: count(0)?,
        attempts: count(1)?,
        tokens,
        cost: total(row.get(width + 9)?, row.get(width + 10)?),
        unpriced: count(11)?,
        saved: total(row.get(width + 12)?, row.get(width + 13)?),
        ..Line::default()
    })
}
