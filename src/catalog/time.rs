//! Hours in which a card applies: daily windows, weekdays and public holidays.
//!
//! A window is resolved to plain numbers when it is read, so that asking it takes a few
//! divisions. The moment is an argument; what a calendar does not cover is said to be unknown.

use std::sync::Arc;

use jiff::Timestamp;

/// Minutes and seconds of a day.
const DAY_MINUTES: u16 = 24 * 60;
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Recurring hours in which a card applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub id: Arc<str>,
    /// Any of these.
    pub hours: Vec<Hours>,
    pub weekdays: Weekdays,
    /// Weekdays are those of a place this many minutes ahead of UTC.
    pub offset_minutes: i32,
    /// Closed on these days.
    pub holidays: Option<Arc<Calendar>>,
    /// The first moment it can be open.
    pub from: Option<Timestamp>,
    /// The first moment it no longer can.
    pub until: Option<Timestamp>,
}

/// Minutes of the day in UTC, `start` included, `end` not; an end before the start is next day's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    pub start: u16,
    pub end: u16,
}

/// A set of ISO weekdays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekdays(u8);

/// Public holidays of a country.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    pub id: Arc<str>,
    /// Days are those of a place this many minutes ahead of UTC.
    pub offset_minutes: i32,
    /// The last day that is known, counted from 1970-01-01.
    pub covers_through: i64,
    /// Holidays, counted from 1970-01-01, ascending.
    pub days: Vec<i64>,
}

/// Is a window open?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    Yes,
    No,
    /// It would be, were the day no holiday, and the calendar does not reach that far.
    Unknown,
}

impl Window {
    /// Is it open at that moment?
    #[must_use]
    pub fn at(&self, moment: Timestamp) -> Open {
        let within = self.from.is_none_or(|from| from <= moment)
            && self.until.is_none_or(|until| moment < until);
        let second = moment.as_second();
        let minute = second.rem_euclid(DAY_SECONDS) / 60;
        let day = local_day(second, self.offset_minutes);
        if !within
            || !self.hours.iter().any(|hours| hours.contain(minute))
            || !self.weekdays.has(iso_weekday(day))
        {
            return Open::No;
        }
        let Some(calendar) = &self.holidays else {
            return Open::Yes;
        };
        let day = local_day(second, calendar.offset_minutes);
        if day > calendar.covers_through {
            Open::Unknown
        } else if calendar.days.binary_search(&day).is_ok() {
            Open::No
        } else {
            Open::Yes
        }
    }
}

impl Window {
    /// May both be open at the same moment? Holidays are left out: they only close.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let begins = self.from.max(other.from);
        let ends = [self.until, other.until].into_iter().flatten().min();
        let dates = begins.zip(ends).is_none_or(|(begins, ends)| begins < ends);
        let mut minutes = 0..7 * i64::from(DAY_MINUTES);
        dates && minutes.any(|minute| self.recurs(minute) && other.recurs(minute))
    }

    /// Is a minute of the week among its hours?
    fn recurs(&self, minute: i64) -> bool {
        let day = local_day(minute * 60, self.offset_minutes);
        let of_day = minute % i64::from(DAY_MINUTES);
        self.weekdays.has(iso_weekday(day)) && self.hours.iter().any(|h| h.contain(of_day))
    }
}

impl Hours {
    /// From `"16:30"` and `"00:30"`; `None` for what are not two different times of a day.
    #[must_use]
    pub fn parse(start: &str, end: &str) -> Option<Self> {
        let hours = Self {
            start: minute_of_day(start)?,
            end: minute_of_day(end)?,
        };
        (hours.start != hours.end && hours.start < DAY_MINUTES).then_some(hours)
    }

    fn contain(self, minute: i64) -> bool {
        let (start, end) = (i64::from(self.start), i64::from(self.end));
        if start < end {
            start <= minute && minute < end
        } else {
            start <= minute || minute < end
        }
    }
}

impl Weekdays {
    /// Every day.
    pub const ALL: Self = Self(0b1111_1110);

    /// From ISO numbers, 1 = Monday; `None` for a number that is no weekday.
    #[must_use]
    pub fn from_iso(days: &[u8]) -> Option<Self> {
        days.iter()
            .try_fold(0, |set, day| {
                (1..=7).contains(day).then(|| set | (1 << day))
            })
            .map(Self)
    }

    fn has(self, iso: i64) -> bool {
        self.0 & (1 << iso) != 0
    }
}

/// The day of a moment at a place, counted from 1970-01-01.
fn local_day(second: i64, offset_minutes: i32) -> i64 {
    (second + i64::from(offset_minutes) * 60).div_euclid(DAY_SECONDS)
}

/// 1 = Monday; 1970-01-01 was a Thursday.
fn iso_weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7) + 1
}

/// Minutes of `"HH:MM"`, up to `"24:00"`.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour.checked_mul(60)?.checked_add(minute)?;
    (minute < 60 && total <= DAY_MINUTES).then_some(total)
}

#[cfg(test)]
mod tests {
    use jiff::{civil::Date, tz::TimeZone};
    use proptest::prelude::*;

    use super::*;

    fn window(start: &str, end: &str) -> Window {
        Window {
            id: "w".into(),
            hours: vec![Hours::parse(start, end).unwrap()],
            weekdays: Weekdays::ALL,
            offset_minutes: 0,
            holidays: None,
            from: None,
            until: None,
        }
    }

    fn at(window: &Window, moment: &str) -> Open {
        window.at(moment.parse().unwrap())
    }

    fn day(date: &str) -> i64 {
        let date: Date = date.parse().unwrap();
        date.to_zoned(TimeZone::UTC)
            .unwrap()
            .timestamp()
            .as_second()
            / DAY_SECONDS
    }

    #[test]
    fn a_window_includes_its_start_and_excludes_its_end() {
        let noon = window("12:00", "13:00");
        for (moment, open) in [
            ("2026-11-20T11:59:59.999Z", Open::No),
            ("2026-11-20T12:00:00Z", Open::Yes),
            ("2026-11-20T12:59:59.999Z", Open::Yes),
            ("2026-11-20T13:00:00Z", Open::No),
        ] {
            assert_eq!(at(&noon, moment), open, "{moment}");
        }
    }

    #[test]
    fn a_window_across_midnight_is_open_on_both_sides_of_it() {
        let night = window("16:30", "00:30");
        for (moment, open) in [
            ("2026-11-20T16:29:59Z", Open::No),
            ("2026-11-20T16:30:00Z", Open::Yes),
            ("2026-11-20T23:59:59Z", Open::Yes),
            ("2026-11-21T00:00:00Z", Open::Yes),
            ("2026-11-21T00:29:59Z", Open::Yes),
            ("2026-11-21T00:30:00Z", Open::No),
        ] {
            assert_eq!(at(&night, moment), open, "{moment}");
        }
        assert_eq!(
            at(&window("14:00", "00:00"), "2026-11-20T23:59:00Z"),
            Open::Yes
        );
        assert_eq!(
            at(&window("14:00", "24:00"), "2026-11-20T00:00:00Z"),
            Open::No
        );
    }

    #[test]
    fn a_weekday_is_that_of_the_calendar_and_not_of_utc() {
        let mut weekdays = window("00:00", "24:00");
        weekdays.weekdays = Weekdays::from_iso(&[1, 2, 3, 4, 5]).unwrap();
        weekdays.offset_minutes = 480;
        // Sunday evening in UTC is Monday morning in Beijing, Friday evening is Saturday.
        assert_eq!(at(&weekdays, "2026-11-22T16:00:00Z"), Open::Yes);
        assert_eq!(at(&weekdays, "2026-11-22T15:59:59Z"), Open::No);
        assert_eq!(at(&weekdays, "2026-11-20T15:59:59Z"), Open::Yes);
        assert_eq!(at(&weekdays, "2026-11-20T16:00:00Z"), Open::No);
    }

    #[test]
    fn a_holiday_closes_and_a_day_beyond_the_calendar_is_unknown() {
        let mut peak = window("01:00", "04:00");
        peak.holidays = Some(Arc::new(Calendar {
            id: "cn".into(),
            offset_minutes: 480,
            covers_through: day("2026-12-31"),
            days: vec![day("2026-10-01")],
        }));
        assert_eq!(at(&peak, "2026-10-01T02:00:00Z"), Open::No);
        assert_eq!(at(&peak, "2026-10-02T02:00:00Z"), Open::Yes);
        assert_eq!(
            at(&peak, "2026-12-31T02:00:00Z"),
            Open::Yes,
            "the last day that is covered"
        );
        assert_eq!(at(&peak, "2027-01-01T02:00:00Z"), Open::Unknown);
        assert_eq!(
            at(&peak, "2027-01-01T05:00:00Z"),
            Open::No,
            "closed whatever the day is"
        );
    }

    #[test]
    fn a_window_is_closed_outside_its_dates() {
        let mut dated = window("00:00", "24:00");
        dated.from = Some("2026-08-16T16:00:00Z".parse().unwrap());
        dated.until = Some("2026-09-01T00:00:00Z".parse().unwrap());
        assert_eq!(at(&dated, "2026-08-16T15:59:59Z"), Open::No);
        assert_eq!(at(&dated, "2026-08-16T16:00:00Z"), Open::Yes);
        assert_eq!(at(&dated, "2026-09-01T00:00:00Z"), Open::No);
    }

    #[test]
    fn what_is_no_time_of_day_is_refused() {
        for (start, end) in [
            ("24:00", "01:00"),
            ("12:00", "12:00"),
            ("12:60", "13:00"),
            ("noon", "13:00"),
        ] {
            assert_eq!(Hours::parse(start, end), None, "{start}-{end}");
        }
        assert_eq!(Weekdays::from_iso(&[0]), None);
        assert_eq!(Weekdays::from_iso(&[8]), None);
    }

    proptest! {
        #[test]
        fn weekdays_and_minutes_agree_with_a_calendar_library(second in -60_000_000_000_i64..200_000_000_000, offset in -720_i32..=840) {
            let moment = Timestamp::from_second(second).unwrap();
            let zone = jiff::tz::Offset::from_seconds(offset * 60).unwrap().to_time_zone();
            let local = moment.to_zoned(zone);
            let iso = local.weekday().to_monday_one_offset();
            prop_assert_eq!(iso_weekday(local_day(second, offset)), i64::from(iso));
            let mut only = window("00:00", "24:00");
            only.weekdays = Weekdays::from_iso(&[u8::try_from(iso).unwrap()]).unwrap();
            only.offset_minutes = offset;
            prop_assert_eq!(only.at(moment), Open::Yes);
        }

        #[test]
        fn weekends_and_holidays_close_as_a_calendar_library_says(
            second in 1_700_000_000_i64..1_900_000_000,
            offset in -720_i32..=840,
            holidays in prop::collection::btree_set(19_600_i64..22_000, 0..400),
            covers in 19_600_i64..22_000,
            (start, end) in (0_u16..1440, 0_u16..1440),
        ) {
            prop_assume!(start != end);
            let mut peak = window("00:00", "01:00");
            peak.hours = vec![Hours { start, end }];
            peak.weekdays = Weekdays::from_iso(&[1, 2, 3, 4, 5]).unwrap();
            peak.offset_minutes = offset;
            peak.holidays = Some(Arc::new(Calendar {
                id: "x".into(),
                offset_minutes: offset,
                covers_through: covers,
                days: holidays.iter().copied().collect(),
            }));
            let moment = Timestamp::from_second(second).unwrap();
            let zone = jiff::tz::Offset::from_seconds(offset * 60).unwrap().to_time_zone();
            let date = moment.to_zoned(zone).date();
            let epoch = Date::constant(1970, 1, 1);
            let day = i64::from(date.since(epoch).unwrap().get_days());
            let utc = moment.to_zoned(TimeZone::UTC);
            let minute = i64::from(utc.hour()) * 60 + i64::from(utc.minute());
            let (start, end) = (i64::from(start), i64::from(end));
            let hours = if start < end { (start..end).contains(&minute) } else { minute >= start || minute < end };
            let weekend = date.weekday().to_monday_one_offset() > 5;
            let open = if weekend || !hours {
                Open::No
            } else if day > covers {
                Open::Unknown
            } else if holidays.contains(&day) {
                Open::No
            } else {
                Open::Yes
            };
            prop_assert_eq!(peak.at(moment), open);
        }

        #[test]
        fn a_window_and_its_complement_are_never_open_together(second in 0_i64..4_000_000_000, start in 0_u16..1440, end in 0_u16..1440) {
            prop_assume!(start != end);
            let mut one = window("00:00", "01:00");
            one.hours = vec![Hours { start, end }];
            let mut other = one.clone();
            other.hours = vec![Hours { start: end, end: start }];
            let moment = Timestamp::from_second(second).unwrap();
            prop_assert_ne!(one.at(moment), other.at(moment));
        }
    }
}
