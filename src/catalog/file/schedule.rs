//! The two shared files: exchange rates, and windows with their holidays.
//!
//! Ids are resolved here, so that a window carries its calendar and nothing is looked up by name
//! when a call is priced.

use std::sync::Arc;

use jiff::{Timestamp, civil::Date};
use serde::Deserialize;

use crate::catalog::{
    CatalogError, Exchange,
    time::{Calendar, Hours, Weekdays, Window},
};

use super::{midnight, parse, refusal};

const EXCHANGE: &str = "_fx";
const SCHEDULES: &str = "_schedules";
const DAY_SECONDS: i64 = 24 * 60 * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExchangeFile {
    #[serde(rename = "schema")]
    _schema: ExchangeSchema,
    #[serde(rename = "rate")]
    rates: Vec<ExchangeText>,
}

#[derive(Deserialize)]
enum ExchangeSchema {
    #[serde(rename = "tollgate.fx/1")]
    One,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExchangeText {
    #[serde(rename = "pair")]
    _pair: Pair,
    from: Date,
    num: i64,
    den: i64,
    source: String,
}

#[derive(Deserialize)]
enum Pair {
    #[serde(rename = "CNY/USD")]
    CnyUsd,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchedulesFile {
    #[serde(rename = "schema")]
    _schema: SchedulesSchema,
    #[serde(default, rename = "window")]
    windows: Vec<WindowText>,
    #[serde(default)]
    holidays: Vec<HolidaysText>,
}

#[derive(Deserialize)]
enum SchedulesSchema {
    #[serde(rename = "tollgate.schedules/1")]
    One,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowText {
    id: String,
    hours_utc: Vec<(String, String)>,
    weekdays: Option<Vec<u8>>,
    #[serde(default)]
    calendar_offset_minutes: i32,
    excludes_holidays: Option<String>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    #[serde(rename = "clock")]
    _clock: Option<Clock>,
    #[serde(rename = "source")]
    _source: String,
}

/// What moment of a call counts. Only its end is known to be used by anybody.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Clock {
    Completion,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HolidaysText {
    id: String,
    covers_through: Date,
    #[serde(default)]
    calendar_offset_minutes: i32,
    dates: Vec<Date>,
    #[serde(rename = "source")]
    _source: String,
}

/// Exchange rates, the latest first.
pub(super) fn exchange(text: &str) -> Result<Vec<Exchange>, CatalogError> {
    let file: ExchangeFile = parse(EXCHANGE, text)?;
    let mut rates = Vec::with_capacity(file.rates.len());
    for rate in file.rates {
        let refuse = |what: &str| refusal(EXCHANGE, &rate.from.to_string(), what.to_owned());
        if rate.num <= 0 || rate.den <= 0 {
            return Err(refuse("`num` and `den` must be above zero"));
        }
        let from = midnight(rate.from).ok_or_else(|| refuse("no such day"))?;
        rates.push(Exchange {
            from,
            num: rate.num,
            den: rate.den,
            source: rate.source.into(),
        });
    }
    rates.sort_by_key(|rate| std::cmp::Reverse(rate.from));
    Ok(rates)
}

/// Windows with their calendars.
pub(super) fn windows(text: &str) -> Result<Vec<Arc<Window>>, CatalogError> {
    let file: SchedulesFile = parse(SCHEDULES, text)?;
    let calendars: Vec<_> = file
        .holidays
        .into_iter()
        .map(calendar)
        .collect::<Result<_, _>>()?;
    file.windows
        .into_iter()
        .map(|text| window(text, &calendars).map(Arc::new))
        .collect()
}

fn calendar(text: HolidaysText) -> Result<Arc<Calendar>, CatalogError> {
    let day = |date| {
        let refuse = || refusal(SCHEDULES, &text.id, format!("no such day: {date}"));
        midnight(date)
            .map(|at| at.as_second().div_euclid(DAY_SECONDS))
            .ok_or_else(refuse)
    };
    let mut days: Vec<i64> = text
        .dates
        .iter()
        .copied()
        .map(day)
        .collect::<Result<_, _>>()?;
    days.sort_unstable();
    Ok(Arc::new(Calendar {
        offset_minutes: text.calendar_offset_minutes,
        covers_through: day(text.covers_through)?,
        days,
        id: text.id.into(),
    }))
}

fn window(text: WindowText, calendars: &[Arc<Calendar>]) -> Result<Window, CatalogError> {
    let refuse = |what: String| refusal(SCHEDULES, &text.id, what);
    let hours: Option<Vec<Hours>> = text
        .hours_utc
        .iter()
        .map(|(start, end)| Hours::parse(start, end))
        .collect();
    let weekdays = match &text.weekdays {
        None => Some(Weekdays::ALL),
        Some(days) => Weekdays::from_iso(days),
    };
    let holidays = match &text.excludes_holidays {
        None => None,
        Some(id) => Some(
            calendars
                .iter()
                .find(|calendar| *calendar.id == **id)
                .map(Arc::clone)
                .ok_or_else(|| refuse(format!("no holidays `{id}`")))?,
        ),
    };
    Ok(Window {
        hours: hours.ok_or_else(|| refuse("hours are not times of a day".to_owned()))?,
        weekdays: weekdays.ok_or_else(|| refuse("weekdays are 1 to 7".to_owned()))?,
        offset_minutes: text.calendar_offset_minutes,
        holidays,
        from: text.from,
        until: text.until,
        id: text.id.into(),
    })
}
