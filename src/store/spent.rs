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

/// What the new rows of a batch spent, in pico-dollars: most of them share a few spenders.
#[derive(Debug, Default)]
pub(super) struct Sums<'a>(BTreeMap<Spenders<'a>, i128>);

/// Whose spending a row is, and in which slot.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spenders<'a> {
    slot: i64,
    key: Option<&'a str>,
    route: Option<&'a str>,
    tags: Option<&'a str>,
    key_tags: Option<&'a str>,
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
        let spenders = Spenders {
            slot: completed_ms.div_euclid(SLOT_MS),
            key,
            route,
            tags,
            key_tags,
        };
        *self.0.entry(spenders).or_default() += i128::from(cost);
    }

    /// Adds all of it to what stands there.
    pub(super) fn write(&self, transaction: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut sums = BTreeMap::<_, i128>::new();
        for (spenders, sum) in &self.0 {
            for (kind, name) in spenders.kinds_and_names() {
                *sums.entry((kind, name, spenders.slot)).or_default() += sum;
            }
        }
        let mut statement = transaction.prepare_cached(ADD)?;
        let million = i128::from(MILLION);
        for ((kind, name, slot), sum) in sums {
            // a batch is far from what either part can hold
            let millions = i64::try_from(sum / million).unwrap_or(i64::MAX);
            let rest = i64::try_from(sum % million).unwrap_or_default();
            statement.execute(params![kind, name, slot, millions, rest])?;
        }
        Ok(())
    }
}

impl<'a> Spenders<'a> {
    fn kinds_and_names(&self) -> Vec<(&'static str, Cow<'a, str>)> {
        let mut all = vec![(ALL, "".into())];
        all.extend(self.route.map(|route| (ROUTE, route.into())));
        let Some(key) = self.key else { return all };
        all.push((KEY, key.into()));
        let names = self.key_tags;
        let counts = |name: &str| names.is_none_or(|all| all.split(',').any(|n| n == name));
        let tags = self.tags.map(pairs).unwrap_or_default().into_iter();
        let tags = tags.filter(|(name, _)| counts(name));
        all.extend(tags.map(|(name, value)| (TAG, format!("{name}={value}").into())));
        all
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
