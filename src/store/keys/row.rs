//! A stored key as a row of the database, and the questions for it.

use std::{
    num::{NonZeroU32, NonZeroU64},
    sync::Arc,
};

use jiff::Timestamp;
use rusqlite::{
    Connection, OptionalExtension as _, Row, ToSql,
    types::{FromSqlError, Type},
};

use super::{Former, Stored, Terms};
use crate::{
    config::{Budget, Limits, Period, Tags},
    money::Usd,
};

/// Every column, in the order in which rows are read and written.
const COLUMNS: &str = "id, digest, former, former_until_ms, models, rpm, tpm, max_concurrent, \
                       budget, soft, period, tags, created_ms, expires_ms, revoked_ms, revision";

/// The key of an id.
pub(super) fn by_id(db: &Connection, id: &str) -> rusqlite::Result<Option<Stored>> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE id = ?1");
    db.query_row(&sql, [id], read).optional()
}

/// The key that has or had a secret.
pub(super) fn by_digest(db: &Connection, digest: &[u8; 32]) -> rusqlite::Result<Option<Stored>> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE digest = ?1 OR former = ?1");
    db.query_row(&sql, [digest], read).optional()
}

/// Keys in the order of their ids.
pub(super) fn after_id(
    db: &Connection,
    after: Option<&str>,
    most: usize,
) -> rusqlite::Result<Vec<Stored>> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE id > ?1 ORDER BY id LIMIT ?2");
    // no id is empty
    let after = after.unwrap_or_default();
    let mut statement = db.prepare(&sql)?;
    let rows = statement.query_map((after, signed(most)), read)?;
    rows.collect()
}

/// Keys in the order of their last changes.
pub(super) fn after_revision(
    db: &Connection,
    revision: i64,
    most: usize,
) -> rusqlite::Result<Vec<Stored>> {
    let sql = format!("SELECT {COLUMNS} FROM keys WHERE revision > ?1 ORDER BY revision LIMIT ?2");
    let mut statement = db.prepare(&sql)?;
    let rows = statement.query_map((revision, signed(most)), read)?;
    rows.collect()
}

/// Adds a row.
pub(super) fn insert(db: &Connection, stored: &Stored) -> rusqlite::Result<()> {
    let sql = format!(
        "INSERT INTO keys ({COLUMNS}) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
    );
    write(db, &sql, stored)
}

/// Replaces the row of the same id.
pub(super) fn update(db: &Connection, stored: &Stored) -> rusqlite::Result<()> {
    let sql = format!(
        "UPDATE keys SET ({COLUMNS}) = \
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) WHERE id = ?1"
    );
    write(db, &sql, stored)
}

fn write(db: &Connection, sql: &str, stored: &Stored) -> rusqlite::Result<()> {
    let Terms {
        models,
        limits,
        budget,
        expires,
        tags,
    } = &stored.terms;
    let models = models.as_ref().map(|models| {
        let plain: Vec<&str> = models.iter().map(|model| &**model).collect();
        // a list of texts always has a JSON form
        serde_json::to_string(&plain).unwrap_or_default()
    });
    let former = stored.former.as_ref();
    let parameters: [&dyn ToSql; 16] = [
        &stored.id,
        &stored.digest,
        &former.map(|former| former.digest),
        &former.map(|former| former.until.as_millisecond()),
        &models,
        &limits.rpm.map(NonZeroU32::get),
        &limits
            .tpm
            .map(|tpm| i64::try_from(tpm.get()).unwrap_or(i64::MAX)),
        &limits.max_concurrent.map(NonZeroU32::get),
        &budget.map(|budget| budget.usd.pico()),
        &budget.and_then(|budget| budget.soft).map(Usd::pico),
        &budget.map(|budget| budget.per.as_str()),
        &tags.as_ref().map(|tags| Arc::clone(tags.json())),
        &stored.created.as_millisecond(),
        &expires.map(Timestamp::as_millisecond),
        &stored.revoked.map(Timestamp::as_millisecond),
        &stored.revision,
    ];
    db.execute(sql, parameters).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let former: Option<[u8; 32]> = row.get(2)?;
    let until = moment(row, 3)?;
    Ok(Stored {
        id: row.get(0)?,
        digest: row.get(1)?,
        former: former
            .zip(until)
            .map(|(digest, until)| Former { digest, until }),
        terms: Terms {
            models: models(row)?,
            limits: Limits {
                rpm: row.get::<_, Option<u32>>(5)?.and_then(NonZeroU32::new),
                tpm: tpm(row)?,
                max_concurrent: row.get::<_, Option<u32>>(7)?.and_then(NonZeroU32::new),
            },
            budget: budget(row)?,
            expires: moment(row, 13)?,
            tags: tags(row)?,
        },
        created: moment(row, 12)?.ok_or_else(|| broken(12))?,
        revoked: moment(row, 14)?,
        revision: row.get(15)?,
    })
}

fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let ms: Option<i64> = row.get(column)?;
    ms.map(|ms| Timestamp::from_millisecond(ms).map_err(|_| broken(column)))
        .transpose()
}

fn models(row: &Row<'_>) -> rusqlite::Result<Option<Vec<Arc<str>>>> {
    let text: Option<String> = row.get(4)?;
    let read = |text: String| serde_json::from_str::<Vec<String>>(&text).map_err(|_| broken(4));
    let models = text.map(read).transpose()?;
    Ok(models.map(|models| models.into_iter().map(Arc::from).collect()))
}

fn tpm(row: &Row<'_>) -> rusqlite::Result<Option<NonZeroU64>> {
    let tpm: Option<i64> = row.get(6)?;
    Ok(tpm.and_then(|tpm| NonZeroU64::new(tpm.unsigned_abs())))
}

fn budget(row: &Row<'_>) -> rusqlite::Result<Option<Budget>> {
    let (pico, period): (Option<i64>, Option<String>) = (row.get(8)?, row.get(10)?);
    let Some((pico, period)) = pico.zip(period) else {
        return Ok(None);
    };
    let mut all = Period::ALL.into_iter();
    let (per, _) = all
        .find(|(_, name)| *name == period)
        .ok_or_else(|| broken(10))?;
    let usd = Usd::from_pico(pico);
    let soft = row.get::<_, Option<i64>>(9)?.map(Usd::from_pico);
    Ok(Some(Budget { usd, soft, per }))
}

fn tags(row: &Row<'_>) -> rusqlite::Result<Option<Arc<Tags>>> {
    let Some(text) = row.get::<_, Option<String>>(11)? else {
        return Ok(None);
    };
    let list: std::collections::BTreeMap<String, String> =
        serde_json::from_str(&text).map_err(|_| broken(11))?;
    let tags = Tags::of(list.iter().map(|(name, value)| (&**name, &**value)));
    tags.map(|tags| Some(Arc::new(tags)))
        .map_err(|_| broken(11))
}

/// A value that this program did not write.
fn broken(column: usize) -> rusqlite::Error {
    let why = Box::new(FromSqlError::InvalidType);
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, why)
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
