//! Each row by itself.

use super::{Books, Wrong, off};
use crate::{fleet::Backend, ledger::Row};

impl Books {
    /// The cost of each row is that of its tokens, computed here once more.
    pub(super) fn each_row_is_priced_right(&self) -> Wrong {
        let mut wrong = Wrong::new();
        for row in &self.rows {
            let Some(backend) = self.backends.iter().find(|b| b.name() == row.backend) else {
                wrong.push(format!("a backend that is none: {row:?}"));
                continue;
            };
            let should = price(backend, row);
            if row.cost != should {
                wrong.push(format!("should cost {should:?}: {row:?}"));
            }
            off(&mut wrong, "billed without being a token", row.other, 0);
        }
        let mut keys: Vec<_> = self
            .rows
            .iter()
            .map(|row| (&row.request, row.attempt))
            .collect();
        keys.dedup();
        off(&mut wrong, "different calls", keys.len(), self.rows.len());
        for (request, rows) in self.by_request() {
            let numbers: Vec<u64> = rows.iter().map(|row| row.attempt).collect();
            let all: Vec<u64> = (1..=rows.len() as u64).collect();
            if numbers != all {
                wrong.push(format!("calls of {request}: {numbers:?}"));
            }
        }
        wrong
    }
}

/// `None`: it was used and has no price.
fn price(backend: &Backend, row: &Row) -> Option<u128> {
    if !row.is_used() {
        return Some(0);
    }
    backend.rates?;
    let cached = (row.cache_read, row.cache_write);
    Some(backend.price(row.prompt(), cached, row.output + row.reasoning))
}
