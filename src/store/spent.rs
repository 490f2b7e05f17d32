//! What was spent, by quarter of an hour in UTC: budgets begin at midnights, and every zone is some
//! quarters away. Of everybody together, of each key, for each route, and by each tag of a key.
//!
//! It is added up with the rows it is of, in their transaction, so that a question about a month
//! need not read a month of rows. Rows that are deleted stay spent. What a key's tags were when it
//! spent is what counts, whatever they become.

use std::{borrow::Cow, collections::BTreeMap};

use rusqlite::{Transaction, params};

use super::record::{Record, Spent};
use crate::admit::purse::Spender;

/// Milliseconds of a slot.
pub(super) const SLOT_MS: i64 = 900_000;
/// Sums are kept in two parts, so that none is too large.
const MILLION: i64 = 1_000_000;
const ADD: &str = "INSERT INTO spent (kind, name, slot, millions, rest) \
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (kind, name, slot) DO UPDATE \
    SET millions = millions + excluded.millions, rest = rest + excluded.rest";

/// What is added up, in the words of the column `kind`.
const ALL: &str = "all";
const KEY: &str = "key";
const ROUTE: &str = "route";
const TAG: &str = "tag";

/// What the new rows of a batch spent: pico-dollars by who, and slot. Tags stand as the object that
/// a row has, with the names of those that count: most rows of a batch share a few of them.
#[derive(Debug, Default)]
pub(super) struct Sums<'a> {
    sums: BTreeMap<(&'static str, &'a str, i64), i128>,
    by_tags: BTreeMap<(&'a str, Option<&'a str>, i64), i128>,
}

impl<'a> Sums<'a> {
    /// Takes a row that is new.
    pub(super) fn add(&mut self, record: &'a Record) {
        let Some(spent) = record.spent() else { return };
        let Spent {
            key,
            route,
            tags,
            key_tags,
            completed_ms,
            cost,
        } = spent;
        let (slot, cost) = (completed_ms.div_euclid(SLOT_MS), i128::from(cost));
        let who = [(ALL, Some("")), (KEY, key), (ROUTE, route)];
        for (kind, name) in who {
            if let Some(name) = name {
                *self.sums.entry((kind, name, slot)).or_default() += cost;
            }
        }
        if let (Some(_), Some(tags)) = (key, tags) {
            *self.by_tags.entry((tags, key_tags, slot)).or_default() += cost;
        }
    }

    /// Adds all of it to what stands there.
    pub(super) fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut statement = transaction.prepare_cached(ADD)?;
        let million = i128::from(MILLION);
        let mut add = |kind: &str, name: &str, slot: i64, sum: i128| {
            // a batch is far from what either part can hold
            let millions = i64::try_from(sum / million).unwrap_or(i64::MAX);
            let rest = i64::try_from(sum % million).unwrap_or_default();
            let row = params![kind, name, slot, millions, rest];
            statement.execute(row).map(drop)
        };
        for ((kind, name, slot), sum) in &self.sums {
            add(kind, name, *slot, *sum)?;
        }
        for ((tags, names, slot), sum) in &self.by_tags {
            let counts = |name: &str| names.is_none_or(|all| all.split(',').any(|n| n == name));
            for (name, value) in pairs(tags).iter().filter(|(name, _)| counts(name)) {
                add(TAG, &format!("{name}={value}"), *slot, *sum)?;
            }
        }
        Ok(())
    }
}

/// As a row of `spent` has it: its kind and its name.
pub(super) fn kind_and_name(spender: &Spender) -> (&'static str, Cow<'_, str>) {
    match spender {
        Spender::Everybody => (ALL, "".into()),
        Spender::Key(id) => (KEY, (&**id).into()),
        Spender::Route(name) => (ROUTE, (&**name).into()),
        Spender::Tag { name, value } => (TAG, format!("{name}={value}").into()),
    }
}

/// Names and values of a JSON object of texts; of anything else, none.
fn pairs(tags: &str) -> BTreeMap<String, String> {
    serde_json::from_str(tags).unwrap_or_default()
}
