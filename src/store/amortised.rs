//! What calls on one's own hardware really cost: each day's bill, shared among that day's calls.
//!
//! It is computed when it is asked for, from the rows and from what the hardware cost, so that late
//! rows, a restart or a corrected bill leave nothing behind that is wrong. A day is one in UTC, as
//! in reports; it is shared by the time that calls kept the hardware busy, in the order in which
//! they were completed. A day in which nothing was busy is idle, and its bill stands by itself: so
//! shares and idle amounts add up to what was paid, to the pico-dollar.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use rusqlite::{Connection, ToSql, params_from_iter};

use super::{
    read::{Dimension, Line, Question},
    rents::{self, DAY_MS, Rented},
    share::Sharing,
};
use crate::money::Total;

/// Sums of weights are cut here, so that none is too large for the database.
const MILLION: u128 = 1_000_000;

/// The amounts of a group of rows, in pico-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amounts {
    shared: Option<u128>,
    idle: Option<u128>,
}

/// Bills that are shared, by provider and day.
type Bills = HashMap<String, HashMap<i64, Sharing>>;

/// Adds to lines what belongs to them, and those lines that nothing but idle hardware has. Nothing
/// changes where the ledger knows of no hardware. `now_ms` is until when it is paid for.
pub(super) fn add(
    db: &Connection,
    question: &Question,
    now_ms: i64,
    lines: &mut Vec<Line>,
) -> rusqlite::Result<()> {
    let rented = rents::read(db)?;
    let Some(first_ms) = rented.values().filter_map(Rented::first_ms).min() else {
        return Ok(());
    };
    let since = question
        .since_ms
        .map_or(first_ms, |ms| ms.max(midnight(first_ms)));
    let asked = since..question.until_ms.map_or(now_ms, |ms| ms.min(now_ms));
    if asked.is_empty() {
        return Ok(());
    }
    // whole days, as a day is shared as a whole
    let days = midnight(asked.start)..midnight(asked.end - 1) + DAY_MS;
    let whole = days.start..days.end.min(now_ms);
    let weights = weights(db, &whole)?;
    let mut groups: BTreeMap<Vec<Option<String>>, Amounts> = BTreeMap::new();
    let mut bills = Bills::new();
    for (provider, rented) in &rented {
        let first_day = rented.first_ms().map_or(days.end, midnight);
        let mut day = first_day.max(days.start);
        while day < days.end {
            let time = day..(day + DAY_MS).min(whole.end);
            let total = weights.get(&(provider.clone(), day)).copied().unwrap_or(0);
            let bill = Sharing::new(rented.paid(time.clone()), total);
            bills.entry(provider.clone()).or_default().insert(day, bill);
            let idle = time.start.max(asked.start)..time.end.min(asked.end);
            if total == 0 && !idle.is_empty() {
                let amount = rented.paid(idle);
                if amount > 0 {
                    let group = groups
                        .entry(nobody(&question.by, provider, day))
                        .or_default();
                    group.idle = Some(group.idle.unwrap_or(0) + amount);
                }
            }
            day += DAY_MS;
        }
    }
    share(db, question, (&whole, &asked), &mut bills, &mut groups)?;
    merge(&question.by, groups, lines);
    Ok(())
}

fn midnight(ms: i64) -> i64 {
    ms.div_euclid(DAY_MS) * DAY_MS
}

/// How much of each day every provider was busy.
fn weights(db: &Connection, time: &Range<i64>) -> rusqlite::Result<HashMap<(String, i64), u128>> {
    let sql = format!(
        "SELECT {}, completed_ms / {DAY_MS} * {DAY_MS}, sum(gpu_ns / {MILLION}), sum(gpu_ns % {MILLION}) \
         FROM attempts WHERE completed_ms >= ?1 AND completed_ms < ?2 AND gpu_ns IS NOT NULL \
         GROUP BY 1, 2",
        Dimension::Provider.sql()
    );
    let mut statement = db.prepare(&sql)?;
    let lines = statement.query_map([time.start, time.end], |row| {
        let part = |at| {
            row.get::<_, i64>(at)
                .map(|sum| u128::from(sum.unsigned_abs()))
        };
        Ok(((row.get(0)?, row.get(1)?), part(2)? * MILLION + part(3)?))
    })?;
    lines.collect()
}

/// Gives each call its share, and counts those that are asked for.
fn share(
    db: &Connection,
    question: &Question,
    (whole, asked): (&Range<i64>, &Range<i64>),
    bills: &mut Bills,
    groups: &mut BTreeMap<Vec<Option<String>>, Amounts>,
) -> rusqlite::Result<()> {
    let by = &question.by;
    let columns: String = by.iter().map(|d| format!("{}, ", d.sql())).collect();
    let sql = format!(
        "SELECT {columns}{}, completed_ms, gpu_ns FROM attempts \
         WHERE completed_ms >= ? AND completed_ms < ? AND gpu_ns IS NOT NULL \
         ORDER BY completed_ms, request_id, attempt",
        Dimension::Provider.sql()
    );
    let tags = by.iter().filter_map(|dimension| match dimension {
        Dimension::Tag(name) => Some(name as &dyn ToSql),
        _ => None,
    });
    let parameters = tags.chain([&whole.start as &dyn ToSql, &whole.end]);
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query(params_from_iter(parameters))?;
    while let Some(row) = rows.next()? {
        let completed_ms: i64 = row.get(by.len() + 1)?;
        let provider = row.get_ref(by.len())?.as_str().unwrap_or_default();
        let days = bills.get_mut(provider);
        let Some(bill) = days.and_then(|days| days.get_mut(&midnight(completed_ms))) else {
            // nobody has said what it cost then
            continue;
        };
        let share = bill.next(row.get::<_, i64>(by.len() + 2)?.unsigned_abs());
        if asked.contains(&completed_ms) {
            let values = (0..by.len()).map(|at| row.get(at));
            let values = values.collect::<rusqlite::Result<_>>()?;
            let group = groups.entry(values).or_default();
            group.shared = Some(group.shared.unwrap_or(0) + share);
        }
    }
    Ok(())
}

/// The values of what belongs to no call.
fn nobody(by: &[Dimension], provider: &str, day: i64) -> Vec<Option<String>> {
    let value = |dimension: &Dimension| match dimension {
        Dimension::Provider => Some(provider.to_owned()),
        Dimension::Day => jiff::Timestamp::from_millisecond(day)
            .ok()
            .map(|day| day.strftime("%F").to_string()),
        _ => None,
    };
    by.iter().map(value).collect()
}

/// Puts the amounts to their lines; what has none gets one, in its place among the days or at the
/// end.
fn merge(
    by: &[Dimension],
    mut groups: BTreeMap<Vec<Option<String>>, Amounts>,
    lines: &mut Vec<Line>,
) {
    let total = |pico: u128| Total::from_pico(i128::try_from(pico).unwrap_or(i128::MAX));
    for line in lines.iter_mut() {
        let amounts = groups.remove(&line.by).unwrap_or_default();
        line.amortised = amounts.shared.map(total);
        line.idle = amounts.idle.map(total);
    }
    let left = groups.into_iter().map(|(by, amounts)| Line {
        by,
        amortised: amounts.shared.map(total),
        idle: amounts.idle.map(total),
        ..Line::default()
    });
    lines.extend(left);
    if let Some(at) = by.iter().position(|d| *d == Dimension::Day) {
        lines.sort_by(|a, b| a.by.get(at).cmp(&b.by.get(at)));
    }
}
