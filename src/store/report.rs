//! What was spent, as people and programs ask for it and read it.
//!
//! Words of a command line or a query become a question; lines of the answer become JSON or CSV.
//! Pure: the moment is an argument. Sums are exact decimals; what has no price is counted beside
//! them, not as zero.

use std::{borrow::Cow, fmt::Write as _};

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::read::{Dimension, Line, TOKEN_TYPES};
use crate::config::tags;

/// What stands behind the tokens of a line in CSV.
const MONEY: [&str; 5] = [
    "cost_usd",
    "unpriced_attempts",
    "saved_usd",
    "amortised_usd",
    "idle_usd",
];
/// Dimensions of one question.
const MOST_DIMENSIONS: usize = 8;

/// Why a question can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskedError {
    #[error("`{0}` is no dimension; known are {known}", known = KNOWN.join(", "))]
    Dimension(String),
    #[error("`{0}` is asked for twice")]
    Twice(String),
    #[error("at most {MOST_DIMENSIONS} dimensions may be asked for")]
    TooMany,
    #[error("`{0}` is not the `next` of an answer")]
    Cursor(String),
    #[error("`{0}` is no time; write 30d, 12h, 2026-11-25 or 2026-11-25T10:00:00Z")]
    Time(String),
}

/// What may stand in `by`.
const KNOWN: [&str; 7] = [
    "key", "model", "provider", "backend", "route", "day", "tag:NAME",
];

/// Reads `key,day,tag:team`; nothing is one line with everything.
///
/// # Errors
/// If one is not known or stands twice.
pub fn dimensions(text: &str) -> Result<Vec<Dimension>, AskedError> {
    let mut found = Vec::new();
    for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
        let dimension = match (word, word.strip_prefix("tag:")) {
            ("key", _) => Dimension::Key,
            ("model", _) => Dimension::Model,
            ("provider", _) => Dimension::Provider,
            ("backend", _) => Dimension::Backend,
            ("route", _) => Dimension::Route,
            ("day", _) => Dimension::Day,
            (_, Some(name)) if tags::check_name(name).is_ok() => Dimension::Tag(name.to_owned()),
            _ => return Err(AskedError::Dimension(word.chars().take(80).collect())),
        };
        if found.contains(&dimension) {
            return Err(AskedError::Twice(word.to_owned()));
        }
        found.push(dimension);
    }
    if found.len() > MOST_DIMENSIONS {
        return Err(AskedError::TooMany);
    }
    Ok(found)
}

/// Reads a moment, or how long before `now` it was; in milliseconds since 1970.
///
/// # Errors
/// If it is neither.
pub fn moment(text: &str, now: Timestamp) -> Result<i64, AskedError> {
    let wrong = || AskedError::Time(text.chars().take(80).collect());
    if let Some(back) = back(text) {
        let then = now.checked_sub(back).map_err(|_| wrong())?;
        return Ok(then.as_millisecond());
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment.as_millisecond());
    }
    let day: Date = text.parse().map_err(|_| wrong())?;
    let midnight = day.to_zoned(TimeZone::UTC).map_err(|_| wrong())?;
    Ok(midnight.timestamp().as_millisecond())
}

/// `30d`, `12h` or `15m`.
fn back(text: &str) -> Option<SignedDuration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: i64 = number.parse().ok().filter(|number| *number >= 0)?;
    let hours = match unit {
        "d" => number.checked_mul(24)?,
        "h" => number,
        "m" => return SignedDuration::try_from_mins(number),
        _ => return None,
    };
    SignedDuration::try_from_hours(hours)
}

/// The answer in the shape of the operator's API.
#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    pub rows: Vec<Named<'a>>,
    /// What to send as `after` to read on; `null`: this is the end.
    pub next: Option<String>,
}

/// A line with the names of its dimensions.
#[derive(Debug)]
pub struct Named<'a> {
    pub by: &'a [Dimension],
    pub line: &'a Line,
}

impl<'a> Answer<'a> {
    /// Lines of an answer to a question.
    #[must_use]
    pub fn of(by: &'a [Dimension], lines: &'a [Line], next: Option<String>) -> Self {
        let rows = lines.iter().map(|line| Named { by, line }).collect();
        Self { rows, next }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Tokens<'a>(&'a Line);
        impl Serialize for Tokens<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(TOKEN_TYPES.iter().zip(self.0.tokens))
            }
        }
        let mut map = serializer.serialize_map(None)?;
        for (dimension, value) in self.by.iter().zip(&self.line.by) {
            map.serialize_entry(&*dimension.name(), value)?;
        }
        map.serialize_entry("requests", &self.line.requests)?;
        map.serialize_entry("attempts", &self.line.attempts)?;
        map.serialize_entry("tokens", &Tokens(self.line))?;
        map.serialize_entry("cost_usd", &self.line.cost)?;
        map.serialize_entry("unpriced_attempts", &self.line.unpriced)?;
        map.serialize_entry("saved_usd", &self.line.saved)?;
        map.serialize_entry("amortised_usd", &self.line.amortised)?;
        map.serialize_entry("idle_usd", &self.line.idle)?;
        map.end()
    }
}

/// As CSV (RFC 4180) with a line of names; texts that a spreadsheet would run as a formula begin
/// with an apostrophe.
#[must_use]
pub fn csv(by: &[Dimension], lines: &[Line]) -> String {
    let names = by.iter().map(Dimension::name);
    let names = names.chain(["requests", "attempts"].map(Cow::from));
    let names = names.chain(TOKEN_TYPES.map(Cow::from));
    let names = names.chain(MONEY.map(Cow::from));
    let cells: Vec<String> = names.map(|name| cell(&name)).collect();
    let mut text = cells.join(",") + "\r\n";
    for line in lines {
        for value in &line.by {
            let _ = write!(text, "{},", cell(value.as_deref().unwrap_or_default()));
        }
        let _ = write!(text, "{},{},", line.requests, line.attempts);
        for tokens in line.tokens {
            let _ = write!(text, "{tokens},");
        }
        let _ = write!(text, "{},{},{}", line.cost, line.unpriced, line.saved);
        for amount in [line.amortised, line.idle] {
            let _ = write!(
                text,
                ",{}",
                amount.map_or_else(String::new, |it| it.to_string())
            );
        }
        text.push_str("\r\n");
    }
    text
}

fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        Cow::from(format!("'{text}"))
    } else {
        Cow::from(text)
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Total;

    fn line(by: &[Option<&str>]) -> Line {
        Line {
            by: by.iter().map(|value| value.map(str::to_owned)).collect(),
            requests: 2,
            attempts: 3,
            tokens: [10, 0, 0, 5, 0, 0, 0],
            cost: Total::from_pico(1_500_000_000_001),
            unpriced: 1,
            saved: Total::from_pico(-3),
            amortised: Some(Total::from_pico(2_000_000_000_000)),
            idle: None,
        }
    }

    #[test]
    fn dimensions_are_read_by_their_names() {
        let by = dimensions("key, day,tag:team.x").unwrap();
        let names: Vec<_> = by.iter().map(Dimension::name).collect();
        assert_eq!(names, ["key", "day", "tag:team.x"]);
        assert_eq!(dimensions("").unwrap(), []);
        for (text, error) in [
            ("keys", AskedError::Dimension("keys".into())),
            ("tag:", AskedError::Dimension("tag:".into())),
            ("tag:a=b", AskedError::Dimension("tag:a=b".into())),
            ("day,day", AskedError::Twice("day".into())),
            (
                "key,day,tag:a,tag:b,tag:c,tag:d,tag:e,tag:f,tag:g",
                AskedError::TooMany,
            ),
        ] {
            assert_eq!(dimensions(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_moment_is_a_time_or_how_long_ago_it_was() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
        for (text, then) in [
            ("30d", "2026-10-26T12:00:00Z"),
            ("12h", "2026-11-25T00:00:00Z"),
            ("15m", "2026-11-25T11:45:00Z"),
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T10:00:00+02:00", "2026-11-01T08:00:00Z"),
        ] {
            let then: Timestamp = then.parse().unwrap();
            assert_eq!(moment(text, now), Ok(then.as_millisecond()), "{text}");
        }
        for text in [
            "",
            "d",
            "-1d",
            "1w",
            "1.5h",
            "yesterday",
            "99999999999999d",
            "é",
        ] {
            assert_eq!(moment(text, now), Err(AskedError::Time(text.into())));
        }
    }

    #[test]
    fn json_has_the_shape_of_the_operators_api() {
        let by = dimensions("key,tag:team").unwrap();
        let lines = [line(&[Some("a"), None])];
        assert_eq!(
            Answer::of(&by, &lines, None).to_json(),
            r#"{"rows":[{"key":"a","tag:team":null,"requests":2,"attempts":3,"tokens":{"input":10,"cache_read":0,"cache_write":0,"output":5,"reasoning":0,"audio_in":0,"audio_out":0},"cost_usd":"1.500000000001","unpriced_attempts":1,"saved_usd":"-0.000000000003","amortised_usd":"2","idle_usd":null}],"next":null}"#
        );
    }

    #[test]
    fn csv_runs_no_formula_and_breaks_no_line() {
        let by = dimensions("tag:a").unwrap();
        let odd = ["=1+1", "a,b", "say \"x\"", "@x", "-1", "a\nb", "plain"];
        let lines: Vec<Line> = odd.iter().map(|text| line(&[Some(text)])).collect();
        let text = csv(&by, &lines);
        let rest = ",2,3,10,0,0,5,0,0,0,1.500000000001,1,-0.000000000003,2,\r\n";
        let expected = [
            "'=1+1",
            "\"a,b\"",
            "\"say \"\"x\"\"\"",
            "'@x",
            "'-1",
            "\"a\nb\"",
            "plain",
        ];
        let mut whole = "tag:a,requests,attempts,input,cache_read,cache_write,output,reasoning,\
                         audio_in,audio_out,cost_usd,unpriced_attempts,saved_usd,\
                         amortised_usd,idle_usd\r\n"
            .to_owned();
        for cell in expected {
            whole.push_str(cell);
            whole.push_str(rest);
        }
        assert_eq!(text, whole);
    }
}
