//! What the operator reads: `/metrics` and `tollgate report`.

use serde_json::Value;

use super::{Books, Wrong, off};
use crate::{
    fleet::Backend,
    ledger::{self, Row},
    support::pico,
};

/// A type of tokens in the metric, and in a row.
type Column = (&'static str, fn(&Row) -> u64);

const COLUMNS: [Column; 5] = [
    ("input", |row| row.input),
    ("cache_read", |row| row.cache_read),
    ("cache_write", |row| row.cache_write),
    ("output", |row| row.output),
    ("reasoning", |row| row.reasoning),
];

impl Books {
    /// What `/metrics` says that a backend cost. Each series is small enough for a float to show it
    /// to the pico-dollar.
    pub(crate) fn counted(&self, backend: &Backend) -> u128 {
        let name = backend.name();
        let keys = self.metrics.values("cost_usd_total", "key");
        let one = |key: &String| {
            let labels = [("backend", name.as_str()), ("key", key)];
            pico(&format!(
                "{:.12}",
                self.metrics.sum("cost_usd_total", &labels)
            ))
        };
        keys.iter().map(one).sum()
    }

    pub(super) fn metrics_say_what_rows_say(&self) -> Wrong {
        let mut wrong = Wrong::new();
        for backend in &self.backends {
            let name = backend.name();
            let rows: Vec<&Row> = self.of(backend).collect();
            let what = |family: &str| format!("{family} of {name}");
            let cost = ledger::total(rows.iter().copied());
            off(
                &mut wrong,
                what("cost_usd_total"),
                self.counted(backend),
                cost,
            );
            let of = |basis: &str| rows.iter().filter(|row| row.basis == basis).count() as u64;
            let labels = [("backend", name.as_str())];
            let estimated = self.metrics.count("estimated_usage_total", &labels);
            off(
                &mut wrong,
                what("estimated_usage_total"),
                estimated,
                of("estimated"),
            );
            let unpriced = self.metrics.count("unpriced_requests_total", &labels);
            off(
                &mut wrong,
                what("unpriced_requests_total"),
                unpriced,
                of("unpriced"),
            );
            for (kind, column) in COLUMNS {
                let labels = [("backend", name.as_str()), ("type", kind)];
                let tokens = rows.iter().map(|row| column(row)).sum();
                let counted = self.metrics.count("tokens_total", &labels);
                off(
                    &mut wrong,
                    what(&format!("tokens_total {kind}")),
                    counted,
                    tokens,
                );
            }
            for outcome in ["ok", "error", "timeout", "refused", "cancelled"] {
                let labels = [("backend", name.as_str()), ("result", outcome)];
                let counted = self.metrics.count("attempts_total", &labels);
                let number = rows.iter().filter(|row| row.outcome == outcome).count() as u64;
                off(
                    &mut wrong,
                    what(&format!("attempts_total {outcome}")),
                    counted,
                    number,
                );
            }
        }
        let counted = self.metrics.count("attempts_total", &[]);
        off(
            &mut wrong,
            "attempts_total",
            counted,
            self.rows.len() as u64,
        );
        wrong
    }

    /// `tollgate report` adds up the rows of all lives.
    pub(super) fn report_says_what_rows_say(&self) -> Wrong {
        let mut wrong = Wrong::new();
        let lines = self.report["rows"].as_array().unwrap();
        let all = || self.before.iter().chain(&self.rows);
        let attempts: u64 = lines.iter().map(|line| number(&line["attempts"])).sum();
        off(
            &mut wrong,
            "report: attempts",
            attempts,
            all().count() as u64,
        );
        for line in lines {
            let name = line["backend"].as_str().unwrap();
            let rows: Vec<&Row> = all().filter(|row| row.backend == name).collect();
            let cost = pico(line["cost_usd"].as_str().unwrap());
            let should = ledger::total(rows.iter().copied());
            off(&mut wrong, format!("report: cost of {name}"), cost, should);
            for (kind, column) in COLUMNS {
                let what = format!("report: {kind} of {name}");
                let tokens: u64 = rows.iter().map(|row| column(row)).sum();
                off(&mut wrong, what, number(&line["tokens"][kind]), tokens);
            }
        }
        wrong
    }
}

/// A count; one that is not written is 0.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}
