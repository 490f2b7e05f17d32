//! The four accounts side by side, and every figure in which they do not agree.

mod budget;
mod clients;
mod rows;
mod served;
mod shown;

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;
use tollgate::simulate::{Handle, account::Snapshot};

use crate::{
    client::Seen,
    fleet::{self, Backend},
    ledger::{self, Row},
    support::{Call, Metrics, Program, eventually, program::command},
    table,
};

/// Everything that was written down about a load.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) backends: Vec<Backend>,
    pub(crate) seen: Vec<Seen>,
    /// The rows of this load.
    pub(crate) rows: Vec<Row>,
    pub(crate) metrics: Metrics,
    pub(crate) served: Snapshot,
    /// What `/v1/key` says of the budget of the ordinary key.
    budget: Value,
    /// What `tollgate report` says by backend, of this and earlier loads.
    report: Value,
    /// The rows of earlier loads.
    before: Vec<Row>,
}

/// What is wrong, a line each.
pub(crate) type Wrong = Vec<String>;

impl Books {
    /// Waits until nothing is under way and every row is written, and reads every account; `before`
    /// are rows that an earlier process wrote.
    pub(crate) async fn close(
        program: &Program,
        sim: &Handle,
        seen: Vec<Seen>,
        before: &[Row],
    ) -> Self {
        let metrics = async || {
            let call = Call::new(program.admin, Method::GET, "/metrics");
            Metrics::parse(call.send().await.text())
        };
        eventually("everything is settled", async || {
            let metrics = metrics().await;
            let counted = metrics.count("requests_total", &[]) >= seen.len() as u64;
            let left = metrics.count("inflight_requests", &[]);
            let pending = metrics.count("ledger_pending_rows", &[]);
            let idle = sim
                .account()
                .models
                .iter()
                .all(|model| model.in_flight == 0);
            counted && left == 0 && pending == 0 && idle
        })
        .await;
        let mut rows = ledger::rows(&program.file("tollgate.db"));
        rows.retain(|row| !before.contains(row));
        Self {
            backends: fleet::backends(),
            seen,
            rows,
            metrics: metrics().await,
            served: sim.account(),
            budget: budget::read(program).await,
            report: report(program),
            before: before.to_vec(),
        }
    }

    /// Prints the table, and asserts that nothing is wrong.
    pub(crate) fn check(&self) {
        println!("{}", table::of(self));
        let wrong = [
            self.each_row_is_priced_right(),
            self.metrics_say_what_rows_say(),
            self.report_says_what_rows_say(),
            self.clients_were_shown_what_rows_say(),
            self.requests_are_counted_as_clients_saw_them(),
            self.simulator_served_what_rows_say(),
            self.estimates_lie_within_their_bounds(),
            self.budget_says_what_rows_say(),
            self.nothing_is_left(),
        ];
        let wrong = wrong.concat();
        let shown = wrong.iter().take(40).map(String::as_str);
        assert!(
            wrong.is_empty(),
            "{} figures are off:\n{}",
            wrong.len(),
            shown.collect::<Vec<_>>().join("\n")
        );
    }

    /// The rows of a backend.
    pub(crate) fn of<'a>(&'a self, backend: &Backend) -> impl Iterator<Item = &'a Row> {
        let name = backend.name();
        self.rows.iter().filter(move |row| row.backend == name)
    }

    /// The rows of each request, in the order of its calls.
    fn by_request(&self) -> BTreeMap<&str, Vec<&Row>> {
        let mut all: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
        for row in &self.rows {
            all.entry(&row.request).or_default().push(row);
        }
        all
    }

    fn nothing_is_left(&self) -> Wrong {
        let mut wrong = Wrong::new();
        let rows = self.rows.len() as u64;
        for (name, should) in [
            ("inflight_requests", 0),
            ("ledger_pending_rows", 0),
            ("ledger_lost_total", 0),
            ("ledger_written_total", rows),
        ] {
            let is = self.metrics.count(name, &[]);
            off(&mut wrong, name, is, should);
        }
        wrong
    }
}

/// Notes a figure that is not as it should be.
fn off<T: PartialEq + Copy + std::fmt::Display>(
    wrong: &mut Wrong,
    what: impl std::fmt::Display,
    is: T,
    should: T,
) {
    if is != should {
        wrong.push(format!("{what}: {is}, and should be {should}"));
    }
}

fn report(program: &Program) -> Value {
    let mut command = command();
    command
        .current_dir(program.file(""))
        .args(["report", "--config", "tollgate.yaml", "--since", "1d"])
        .args(["--by", "backend", "--format", "json"]);
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    serde_json::from_slice(&output.stdout).unwrap()
}
