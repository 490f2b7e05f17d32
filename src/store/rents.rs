//! What one's own hardware costs, from when to when: a line for each change.
//!
//! The gateway states what its configuration says at each start and reload, and the ledger keeps
//! what is new. A statement holds until the next one, also while no gateway runs: hardware is paid
//! for by the hour, used or not. One that is no longer stated costs nothing from then on.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::{catalog::SelfHosted, money::div_half_even};

/// Milliseconds.
pub(super) const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i128 = 3_600_000;

const LATEST: &str = "SELECT from_ms, gpu_hour, gpus, prefill_tps, decode_tps FROM rents \
    WHERE provider = ?1 ORDER BY from_ms DESC LIMIT 1";
const STATE: &str = "INSERT INTO rents (provider, from_ms, gpu_hour, gpus, prefill_tps, decode_tps) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (provider, from_ms) DO UPDATE SET \
    gpu_hour = excluded.gpu_hour, gpus = excluded.gpus, \
    prefill_tps = excluded.prefill_tps, decode_tps = excluded.decode_tps";

/// Hardware of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rent {
    pub provider: Arc<str>,
    pub hardware: SelfHosted,
}

/// All that costs by the hour from a moment on.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    /// Since 1970.
    pub(super) from_ms: i64,
    pub(super) rents: Vec<Rent>,
}

/// The figures of a line: pico-dollars an hour of one GPU, GPUs, and the two speeds.
type Figures = [i64; 4];

/// No hardware any more.
const NONE: Figures = [0; 4];

impl Statement {
    /// Keeps what differs from what was stated before. A clock that went back changes nothing of
    /// the order.
    pub(super) fn write(&self, db: &mut Connection) -> rusqlite::Result<()> {
        // the lock at once, so that waiting for it is all that can go wrong between two processes
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut known: BTreeMap<String, Figures> = {
            let mut names = change.prepare("SELECT DISTINCT provider FROM rents")?;
            let names = names.query_map([], |row| Ok((row.get(0)?, NONE)))?;
            names.collect::<rusqlite::Result<_>>()?
        };
        for Rent { provider, hardware } in &self.rents {
            known.insert(provider.to_string(), figures(hardware));
        }
        for (provider, [gpu_hour, gpus, prefill, decode]) in known {
            let read = |row: &rusqlite::Row<'_>| {
                let figures: Figures = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
                Ok((row.get::<_, i64>(0)?, figures))
            };
            let latest = change.query_row(LATEST, [&provider], read).optional()?;
            let from_ms = match latest {
                Some((_, figures)) if figures == [gpu_hour, gpus, prefill, decode] => continue,
                Some((before, _)) => self.from_ms.max(before),
                None => self.from_ms,
            };
            let line = params![provider, from_ms, gpu_hour, gpus, prefill, decode];
            change.execute(STATE, line)?;
        }
        change.commit()
    }
}

fn figures(hardware: &SelfHosted) -> Figures {
    let held = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
    let [prefill, decode] = [hardware.prefill_tps, hardware.decode_tps].map(held);
    [
        hardware.gpu_hour.pico(),
        hardware.gpus.into(),
        prefill,
        decode,
    ]
}

/// What was stated for one provider: from when, and pico-dollars an hour of all GPUs; in the order
/// of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rented(Vec<(i64, i128)>);

impl Rented {
    /// When something was stated first.
    pub(super) fn first_ms(&self) -> Option<i64> {
        self.0.first().map(|(from_ms, _)| *from_ms)
    }

    /// Pico-dollars that were paid for a part of a day that begins at its midnight; from one
    /// midnight to another, days add up to what their parts do.
    pub(super) fn paid(&self, part: Range<i64>) -> u128 {
        let midnight = part.start.div_euclid(DAY_MS) * DAY_MS;
        let until = |end| self.paid_from(midnight..end);
        until(part.end).saturating_sub(until(part.start))
    }

    /// Multiplied first, divided once, rounded half to even.
    fn paid_from(&self, time: Range<i64>) -> u128 {
        let ends = self.0.iter().skip(1).map(|(from_ms, _)| *from_ms);
        let spans = self.0.iter().zip(ends.chain([i64::MAX]));
        let sum = spans.fold(0_i128, |sum, ((from_ms, hourly), until_ms)| {
            let held = until_ms
                .min(time.end)
                .saturating_sub(*from_ms.max(&time.start));
            let amount = hourly.saturating_mul(i128::from(held.max(0)));
            sum.saturating_add(amount)
        });
        div_half_even(sum, HOUR_MS).map_or(0, i128::unsigned_abs)
    }
}

/// Everything that was stated, by provider; nothing in a ledger of an older program.
pub(super) fn read(db: &Connection) -> rusqlite::Result<BTreeMap<String, Rented>> {
    let mut rented: BTreeMap<String, Rented> = BTreeMap::new();
    let known = "SELECT 1 FROM sqlite_schema WHERE name = 'rents'";
    if db.query_row(known, [], |_| Ok(())).optional()?.is_none() {
        return Ok(rented);
    }
    let sql = "SELECT provider, from_ms, gpu_hour, gpus FROM rents ORDER BY from_ms";
    let mut statement = db.prepare(sql)?;
    let mut lines = statement.query([])?;
    while let Some(line) = lines.next()? {
        let (gpu_hour, gpus): (i64, i64) = (line.get(2)?, line.get(3)?);
        let hourly = i128::from(gpu_hour) * i128::from(gpus);
        let of = rented.entry(line.get(0)?).or_default();
        // a hand may have written it
        of.0.push((line.get::<_, i64>(1)?.max(0), hourly));
    }
    Ok(rented)
}

#[cfg(test)]
mod tests;
