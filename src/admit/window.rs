//! The windows of time that budgets count in.
//!
//! Computed from the moment alone, so there is no job that begins a new one, and a program that was
//! not running at midnight misses nothing.

use jiff::{Timestamp, ToSpan, Zoned, civil::Weekday, tz::TimeZone};

use crate::config::Period;

/// From `start`, included, to `end`, not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub start: Timestamp,
    /// `None`: it never ends.
    pub end: Option<Timestamp>,
}

impl Window {
    /// The window of a period in which a moment lies: it begins and ends at midnights of the zone,
    /// however long its days are there.
    #[must_use]
    pub fn at(period: Period, zone: &TimeZone, now: Timestamp) -> Self {
        let bounds = match period {
            Period::Total => None,
            Period::Day => day(now, zone),
            Period::Week => week(now, zone),
            Period::Month => month(now, zone),
        };
        // at the end of all times there is no next midnight
        bounds.map_or(
            Self {
                start: Timestamp::MIN,
                end: None,
            },
            |(start, end)| Self {
                start: start.timestamp(),
                end: Some(end.timestamp()),
            },
        )
    }

    /// Has it ended?
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.end.is_some_and(|end| now >= end)
    }
}

fn day(now: Timestamp, zone: &TimeZone) -> Option<(Zoned, Zoned)> {
    let date = zone.to_datetime(now).date();
    let next = date.tomorrow().ok()?;
    Some((
        date.to_zoned(zone.clone()).ok()?,
        next.to_zoned(zone.clone()).ok()?,
    ))
}

fn week(now: Timestamp, zone: &TimeZone) -> Option<(Zoned, Zoned)> {
    let date = zone.to_datetime(now).date();
    let since_monday = date.weekday().since(Weekday::Monday);
    let monday = date.checked_sub(i64::from(since_monday).days()).ok()?;
    let next = monday.checked_add(7.days()).ok()?;
    Some((
        monday.to_zoned(zone.clone()).ok()?,
        next.to_zoned(zone.clone()).ok()?,
    ))
}

fn month(now: Timestamp, zone: &TimeZone) -> Option<(Zoned, Zoned)> {
    let first = zone.to_datetime(now).date().first_of_month();
    let next = first.checked_add(1.month()).ok()?;
    Some((
        first.to_zoned(zone.clone()).ok()?,
        next.to_zoned(zone.clone()).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(period: Period, zone: &str, now: &str) -> (String, String) {
        let zone = TimeZone::get(zone).unwrap();
        let window = Window::at(period, &zone, now.parse().unwrap());
        (window.start.to_string(), window.end.unwrap().to_string())
    }

    fn texts(start: &str, end: &str) -> (String, String) {
        (start.to_owned(), end.to_owned())
    }

    #[test]
    fn a_day_begins_at_midnight_of_the_zone() {
        let now = "2026-11-25T02:00:00Z";
        assert_eq!(
            window(Period::Day, "UTC", now),
            texts("2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z")
        );
        assert_eq!(
            window(Period::Day, "America/New_York", now),
            texts("2026-11-24T05:00:00Z", "2026-11-25T05:00:00Z")
        );
        assert_eq!(
            window(Period::Day, "Asia/Kathmandu", now),
            texts("2026-11-24T18:15:00Z", "2026-11-25T18:15:00Z")
        );
    }

    #[test]
    fn the_day_on_which_clocks_change_has_its_own_length() {
        assert_eq!(
            window(Period::Day, "Europe/Berlin", "2026-03-29T12:00:00Z"),
            texts("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")
        );
    }

    #[test]
    fn a_week_begins_on_monday() {
        for now in [
            "2026-11-23T00:00:00Z",
            "2026-11-25T02:00:00Z",
            "2026-11-29T23:59:59Z",
        ] {
            assert_eq!(
                window(Period::Week, "UTC", now),
                texts("2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z")
            );
        }
    }

    #[test]
    fn a_month_begins_on_its_first_day() {
        assert_eq!(
            window(Period::Month, "Asia/Shanghai", "2026-11-30T16:00:00Z"),
            texts("2026-11-30T16:00:00Z", "2026-12-31T16:00:00Z")
        );
    }

    #[test]
    fn the_total_has_one_window() {
        let window = Window::at(Period::Total, &TimeZone::UTC, Timestamp::MAX);
        assert!(!window.is_over(Timestamp::MAX) && window.start == Timestamp::MIN);
    }

    proptest! {
        #[test]
        fn every_moment_lies_in_one_window_and_the_next_begins_where_it_ends(
            second in 0_i64..4_000_000_000,
            zone in proptest::sample::select(vec![
                "UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe",
            ]),
            period in proptest::sample::select(vec![Period::Day, Period::Week, Period::Month]),
        ) {
            let zone = TimeZone::get(zone).unwrap();
            let now = Timestamp::from_second(second).unwrap();
            let window = Window::at(period, &zone, now);
            let end = window.end.unwrap();
            prop_assert!(window.start <= now && now < end);
            prop_assert_eq!(Window::at(period, &zone, end).start, end);
            // what was spent is kept by quarters of an hour
            prop_assert_eq!(window.start.as_millisecond() % 900_000, 0);
        }
    }
}
