//! What keys spent, by quarter of an hour in UTC: budgets begin at midnights, and every zone is some
//! quarters away.
//!
//! It is added up with the rows it is of, in their transaction, so that a question about a month
//! need not read a month of rows. Rows that are deleted stay spent.

use std::collections::BTreeMap;

use rusqlite::{Transaction, params};

use super::record::Record;

/// Milliseconds of a slot.
const SLOT_MS: i64 = 900_000;
/// Sums are kept in two parts, so that none is too large.
const MILLION: i64 = 1_000_000;
const ADD: &str = "INSERT INTO spent (key, slot, millions, rest) VALUES (?1, ?2, ?3, ?4) \
    ON CONFLICT (key, slot) DO UPDATE \
    SET millions = millions + excluded.millions, rest = rest + excluded.rest";

/// What the new rows of a batch spent: pico-dollars by key and slot.
#[derive(Debug, Default)]
pub(super) struct Sums<'a>(BTreeMap<(&'a str, i64), i128>);

impl<'a> Sums<'a> {
    /// Takes a row that is new.
    pub(super) fn add(&mut self, record: &'a Record) {
        let Some(spent) = record.spent() else { return };
        let slot = spent.completed_ms.div_euclid(SLOT_MS);
        *self.0.entry((spent.key, slot)).or_default() += i128::from(spent.cost);
    }

    /// Adds all of it to what stands there.
    pub(super) fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut add = transaction.prepare_cached(ADD)?;
        let million = i128::from(MILLION);
        for ((key, slot), sum) in &self.0 {
            // a batch is far from what either part can hold
            let millions = i64::try_from(sum / million).unwrap_or(i64::MAX);
            let rest = i64::try_from(sum % million).unwrap_or_default();
            add.execute(params![key, slot, millions, rest])?;
        }
        Ok(())
    }
}
