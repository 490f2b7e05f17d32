//! A row as the database takes it, and as a line of the spill file.
//!
//! One list of columns serves both, so they cannot disagree. A line names its columns, so that one
//! which an older program wrote can be read after the tables have changed.

use std::sync::{Arc, LazyLock};

use rusqlite::{
    Statement, ToSql,
    types::{ToSqlOutput, ValueRef},
};
use serde_json::{Map, Value as Json};

use crate::{money::Usd, settle::ledger::Row};

/// Every column of `attempts`, in the order of the table: SQLite copies each value once more to sort
/// them into another.
pub(super) const COLUMNS: [&str; 43] = [
    "request_id",
    "attempt",
    "completed_ms",
    "key",
    "tags",
    "user",
    "endpoint",
    "route",
    "model",
    "backend",
    "card",
    "tier",
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "cache_read_audio",
    "input_image",
    "output",
    "reasoning",
    "output_audio",
    "output_image",
    "searches",
    "requests",
    "milliseconds",
    "chars",
    "images",
    "pages",
    "cost",
    "basis",
    "list_cost",
    "reported_cost",
    "raw_usage",
    "latency_ms",
    "first_token_ms",
    "status",
    "outcome",
    "baseline_cost",
    "key_tags",
    "gpu_ns",
    "domain",
    "predicted",
];
/// Rows that one statement keeps, where there are as many: a part of its work is for all of them.
pub(super) const TOGETHER: usize = 8;
/// Keep so many rows, those that are not there already.
pub(super) static INSERTS: LazyLock<[(usize, String); 2]> = LazyLock::new(|| {
    [TOGETHER, 1].map(|rows| {
        let row = format!("({})", ["?"; COLUMNS.len()].join(","));
        let sql = format!(
            "INSERT INTO attempts ({}) VALUES {} ON CONFLICT (request_id, attempt) DO NOTHING",
            COLUMNS.join(","),
            vec![row; rows].join(",")
        );
        (rows, sql)
    })
});

// where those stand that the writer looks at
const COMPLETED_MS: usize = position("completed_ms");
const KEY: usize = position("key");
const TAGS: usize = position("tags");
const KEY_TAGS: usize = position("key_tags");
const ROUTE: usize = position("route");
/// Holds a number in place of a text that many rows share.
const CARD: usize = position("card");
const COST: usize = position("cost");

/// Where a column stands in the list, found out by the compiler.
const fn position(column: &str) -> usize {
    let mut at = 0;
    while !is_same(COLUMNS[at].as_bytes(), column.as_bytes()) {
        at += 1;
    }
    at
}

const fn is_same(mut one: &[u8], mut other: &[u8]) -> bool {
    while let ([a, one_rest @ ..], [b, other_rest @ ..]) = (one, other) {
        if *a != *b {
            return false;
        }
        (one, other) = (one_rest, other_rest);
    }
    one.is_empty() && other.is_empty()
}

/// One value. Texts are shared with the row, and with others of the same key, model and backend.
#[derive(Debug, Clone)]
enum Cell {
    Null,
    Number(i64),
    Word(&'static str),
    Text(Arc<str>),
}

impl Cell {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Text(text) => Some(text),
            Self::Null | Self::Number(_) => None,
        }
    }

    fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Null | Self::Word(_) | Self::Text(_) => None,
        }
    }
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Number(one), Self::Number(other)) => one == other,
            // mostly the very same text
            (Self::Text(one), Self::Text(other)) if Arc::ptr_eq(one, other) => true,
            _ => self.text().is_some() && self.text() == other.text(),
        }
    }
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Word(word) => ValueRef::Text(word.as_bytes()),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// What a row says of money that budgets count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spent<'a> {
    /// `None`: nobody was asked for one.
    pub(super) key: Option<&'a str>,
    pub(super) route: Option<&'a str>,
    /// A JSON object.
    pub(super) tags: Option<&'a str>,
    /// The names of those that are the key's, with commas; `None`: all are.
    pub(super) key_tags: Option<&'a str>,
    pub(super) completed_ms: i64,
    /// In pico-dollars.
    pub(super) cost: i64,
}

/// The values of a row, in the order of [`COLUMNS`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record(Vec<Cell>);

impl Record {
    /// A row of nulls: what a statement has before anything is bound.
    pub(super) fn blank() -> Self {
        Self(vec![Cell::Null; COLUMNS.len()])
    }

    /// Binds it as one of the rows of a statement, as far as it is not like the row that is bound
    /// there. `number` is asked for the one of where its price comes from.
    pub(super) fn bind(
        &self,
        insert: &mut Statement<'_>,
        at: usize,
        bound: &Self,
        mut number: impl FnMut(&str) -> rusqlite::Result<i64>,
    ) -> rusqlite::Result<()> {
        let first = at * COLUMNS.len() + 1;
        for (column, (own, before)) in self.0.iter().zip(&bound.0).enumerate() {
            if own == before {
                continue;
            }
            if column == CARD {
                let card = own.text().map(&mut number).transpose()?;
                insert.raw_bind_parameter(first + column, card)?;
            } else {
                insert.raw_bind_parameter(first + column, own)?;
            }
        }
        Ok(())
    }

    /// Who spent how much, and when; `None`: nobody knows how much.
    pub(super) fn spent(&self) -> Option<Spent<'_>> {
        let text = |at| self.0.get(at).and_then(Cell::text);
        let number = |at| self.0.get(at).and_then(Cell::number);
        Some(Spent {
            key: text(KEY),
            route: text(ROUTE),
            tags: text(TAGS),
            key_tags: text(KEY_TAGS),
            completed_ms: number(COMPLETED_MS)?,
            cost: number(COST)?,
        })
    }

    /// As one line of JSON, with its end.
    pub(super) fn to_line(&self) -> String {
        let members = COLUMNS.iter().zip(&self.0).filter_map(|(column, value)| {
            let json = match value {
                Cell::Number(number) => Json::from(*number),
                Cell::Word(_) | Cell::Text(_) => Json::from(value.text()),
                Cell::Null => return None,
            };
            Some(((*column).to_owned(), json))
        });
        let mut line = Json::Object(members.collect()).to_string();
        line.push('\n');
        line
    }

    /// From such a line; `None`: it is none, or not a whole one.
    pub(super) fn from_line(line: &[u8]) -> Option<Self> {
        let members: Map<String, Json> = serde_json::from_slice(line).ok()?;
        let value = |column: &&str| match members.get(*column) {
            None | Some(Json::Null) => Some(Cell::Null),
            Some(Json::String(text)) => Some(Cell::Text(text.as_str().into())),
            Some(Json::Number(number)) => number.as_i64().map(Cell::Number),
            Some(Json::Bool(_) | Json::Array(_) | Json::Object(_)) => None,
        };
        let values = COLUMNS.iter().map(value);
        values.collect::<Option<_>>().map(Self)
    }
}

impl From<Row> for Record {
    fn from(row: Row) -> Self {
        let maybe = |text: Option<Arc<str>>| text.map_or(Cell::Null, Cell::Text);
        let money = |usd: Option<Usd>| usd.map_or(Cell::Null, |usd| Cell::Number(usd.pico()));
        Self(vec![
            Cell::Text(row.request_id),
            Cell::Number(row.attempt.into()),
            Cell::Number(row.completed_ms),
            maybe(row.key),
            maybe(row.tags),
            row.user.map_or(Cell::Null, |user| Cell::Text(hex(user))),
            Cell::Word(row.endpoint),
            maybe(row.route),
            Cell::Text(row.model),
            Cell::Text(row.backend),
            maybe(row.card),
            Cell::Word(row.tier),
            whole(row.usage.input),
            whole(row.usage.cache_read),
            whole(row.usage.cache_write),
            whole(row.usage.cache_write_1h),
            whole(row.usage.input_audio),
            whole(row.usage.cache_read_audio),
            whole(row.usage.input_image),
            whole(row.usage.output),
            whole(row.usage.reasoning),
            whole(row.usage.output_audio),
            whole(row.usage.output_image),
            whole(row.usage.searches),
            whole(row.usage.requests),
            whole(row.usage.milliseconds),
            whole(row.usage.chars),
            whole(row.usage.images),
            whole(row.usage.pages),
            money(row.cost),
            Cell::Word(row.basis.as_str()),
            money(row.list_cost),
            money(row.reported_cost),
            row.raw_usage
                .map_or(Cell::Null, |raw| Cell::Text(raw.into())),
            whole(row.latency_ms),
            row.first_token_ms.map_or(Cell::Null, whole),
            row.status
                .map_or(Cell::Null, |status| Cell::Number(status.into())),
            Cell::Word(row.outcome),
            money(row.baseline_cost),
            maybe(row.key_tags),
            row.gpu_ns.map_or(Cell::Null, whole),
            row.prediction
                .map_or(Cell::Null, |it| Cell::Word(it.domain.as_str())),
            row.prediction
                .map_or(Cell::Null, |it| Cell::Number(it.predicted.into())),
        ])
    }
}

/// SQLite's numbers have a sign; no count that is believed comes near the difference.
fn whole(count: u64) -> Cell {
    Cell::Number(i64::try_from(count).unwrap_or(i64::MAX))
}

fn hex(bytes: [u8; 8]) -> Arc<str> {
    format!("{:016x}", u64::from_be_bytes(bytes)).into()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        domain::Domain,
        settle::ledger::{Basis, Prediction},
        usage::Usage,
    };

    /// A row as an ordinary request leaves it.
    pub(in crate::store) fn row(request: u64, attempt: u32) -> Row {
        Row {
            request_id: format!("req_{request:024x}").into(),
            attempt,
            completed_ms: 1_795_000_000_000 + i64::try_from(request).unwrap(),
            key: Some("team-a".into()),
            tags: Some(r#"{"feature":"chat","team":"a"}"#.into()),
            key_tags: Some("team".into()),
            user: Some([7; 8]),
            endpoint: "chat_completions",
            route: Some("auto".into()),
            model: "qwen3-32b".into(),
            backend: "deepinfra/Qwen/Qwen3-32B".into(),
            card: Some("https://example.com/a/long/address/of/a/list/of/prices".into()),
            usage: Usage {
                input: 1_234,
                output: 345,
                reasoning: 99,
                ..Usage::default()
            },
            tier: "standard",
            cost: Some(Usd::from_pico(219_999_999)),
            basis: Basis::Exact,
            list_cost: Some(Usd::from_pico(219_999_999)),
            reported_cost: None,
            baseline_cost: Some(Usd::from_pico(2_000_000_000)),
            gpu_ns: None,
            raw_usage: None,
            latency_ms: 1_234,
            first_token_ms: Some(99),
            status: Some(200),
            outcome: "ok",
            prediction: None,
        }
    }

    #[test]
    fn every_row_has_a_value_for_every_column() {
        assert_eq!(Record::from(row(1, 1)).0.len(), COLUMNS.len());
    }

    #[test]
    fn a_line_says_what_the_row_says() {
        let mut odd = row(2, 3);
        odd.prediction = Some(Prediction {
            domain: Domain::Code,
            predicted: 8_123,
        });
        odd.raw_usage = Some("{\"a\":\"\n\u{2028}\"}".into());
        (odd.key, odd.cost, odd.status) = (None, None, None);
        for row in [row(1, 1), odd] {
            let record = Record::from(row);
            let line = record.to_line();
            assert_eq!(line.matches('\n').count(), 1);
            assert_eq!(Record::from_line(line.trim_end().as_bytes()), Some(record));
        }
    }

    #[test]
    fn what_is_not_a_whole_line_is_none() {
        let line = Record::from(row(1, 1)).to_line();
        for cut in [0, 1, line.len() / 2, line.len() - 2] {
            assert_eq!(Record::from_line(&line.as_bytes()[..cut]), None, "{cut}");
        }
        assert_eq!(Record::from_line(b"{\"attempt\":1.5}"), None);
        assert_eq!(Record::from_line(b"[]"), None);
    }
}
