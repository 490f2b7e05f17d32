//! The ledger: one row for every call that a backend saw, and the same money everywhere.

mod charges;
mod killed;
mod rows;
mod savings;
mod series;
mod spend;

use std::path::Path;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::{Gateway, Metrics, Setup, eventually, pico};

/// One row, as far as tests look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) request: String,
    pub(crate) attempt: i64,
    pub(crate) key: Option<String>,
    pub(crate) tags: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) route: Option<String>,
    pub(crate) model: String,
    pub(crate) backend: String,
    pub(crate) tokens: (i64, i64),
    pub(crate) cost: Option<i64>,
    pub(crate) basis: String,
    pub(crate) status: Option<i64>,
    pub(crate) outcome: String,
}

/// Every row of a ledger, in the order of requests and attempts.
pub(crate) fn rows(path: &Path) -> Vec<Row> {
    let db = Connection::open(path).unwrap();
    let sql = "SELECT request_id, attempt, key, tags, user, route, model, backend, \
               input + cache_read, output + reasoning, cost, basis, status, outcome \
               FROM attempts ORDER BY request_id, attempt";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok(Row {
            request: row.get(0)?,
            attempt: row.get(1)?,
            key: row.get(2)?,
            tags: row.get(3)?,
            user: row.get(4)?,
            route: row.get(5)?,
            model: row.get(6)?,
            backend: row.get(7)?,
            tokens: (row.get(8)?, row.get(9)?),
            cost: row.get(10)?,
            basis: row.get(11)?,
            status: row.get(12)?,
            outcome: row.get(13)?,
        })
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// A gateway with a ledger in a folder of its own.
struct Kept {
    folder: TempDir,
    gateway: Gateway,
}

impl Kept {
    async fn start(setup: Setup) -> Self {
        Self::start_with(setup, "").await
    }

    async fn start_with(setup: Setup, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let store = format!(
            "store: {{ ledger: 'sqlite:{}'{more} }}",
            path.to_str().unwrap()
        );
        Self {
            gateway: setup.also(&store).start().await,
            folder,
        }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("l.db")
    }

    /// Waits until nothing is under way and every row is written.
    async fn settled(&self) -> Vec<Row> {
        eventually("everything is settled", async || {
            let metrics = self.gateway.metrics().await;
            let left = metrics.sum("inflight_requests", &[]);
            left == 0.0 && metrics.sum("ledger_pending_rows", &[]) == 0.0
        })
        .await;
        rows(&self.path())
    }
}

/// The sum of a family of dollars, exactly; each series is small enough for a float to show it to
/// the pico-dollar.
pub(crate) fn dollars(metrics: &Metrics, backends: &[String]) -> u128 {
    let sum = |backend: &String| metrics.sum("cost_usd_total", &[("backend", backend)]);
    let exact = |backend| pico(&format!("{:.12}", sum(backend)));
    backends.iter().map(exact).sum()
}

pub(crate) fn total(rows: &[Row]) -> u128 {
    let costs = rows.iter().filter_map(|row| row.cost);
    costs.map(|cost| u128::try_from(cost).unwrap()).sum()
}
