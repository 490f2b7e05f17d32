//! The rows, read with SQLite itself and no code of the gateway.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// One call to a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) request: String,
    pub(crate) attempt: u64,
    pub(crate) key: Option<String>,
    pub(crate) backend: String,
    pub(crate) input: u64,
    pub(crate) cache_read: u64,
    pub(crate) cache_write: u64,
    pub(crate) output: u64,
    pub(crate) reasoning: u64,
    /// Everything else that is billed.
    pub(crate) other: u64,
    /// Pico-dollars.
    pub(crate) cost: Option<u128>,
    pub(crate) basis: String,
    pub(crate) outcome: String,
}

/// Every row, by request and attempt.
pub(crate) fn rows(path: &Path) -> Vec<Row> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT request_id, attempt, key, backend, input, cache_read, output, reasoning, \
               cache_write_1h + input_audio + cache_read_audio + input_image + output_audio \
               + output_image + searches + requests + milliseconds + chars + images + pages, \
               cost, basis, outcome, cache_write \
               FROM attempts ORDER BY request_id, attempt";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        let count = |at| row.get::<_, i64>(at).map(|n| u64::try_from(n).unwrap());
        let cost: Option<i64> = row.get(9)?;
        Ok(Row {
            request: row.get(0)?,
            attempt: count(1)?,
            key: row.get(2)?,
            backend: row.get(3)?,
            input: count(4)?,
            cache_read: count(5)?,
            output: count(6)?,
            reasoning: count(7)?,
            other: count(8)?,
            cost: cost.map(|cost| u128::try_from(cost).unwrap()),
            basis: row.get(10)?,
            outcome: row.get(11)?,
            cache_write: count(12)?,
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

impl Row {
    /// Every token of the prompt.
    pub(crate) fn prompt(&self) -> u64 {
        self.input + self.cache_read + self.cache_write
    }

    /// Is it used, or was it refused without costing anything?
    pub(crate) fn is_used(&self) -> bool {
        self.prompt() + self.output + self.reasoning > 0
    }
}

/// What rows cost together; those without a price add nothing.
pub(crate) fn total<'a>(rows: impl IntoIterator<Item = &'a Row>) -> u128 {
    rows.into_iter().filter_map(|row| row.cost).sum()
}
