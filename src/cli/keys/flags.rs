//! What a key allows, as options of the command line. They are read by the rules of the
//! configuration file; `none` takes away what was set.

use std::{str::FromStr, sync::Arc};

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, de::IntoDeserializer, de::value::Error};

use crate::{
    cli::CliError,
    config::{Budget, Tags, raw},
    store::keys::Patch,
};

/// Takes a value away.
const NONE: &str = "none";

/// Options of `create` and `update`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Flags {
    /// What it may ask for, such as `auto,qwen*`; without: everything
    #[arg(long, value_name = "LIST")]
    models: Option<String>,
    /// Requests a minute
    #[arg(long, value_name = "N")]
    rpm: Option<String>,
    /// Tokens a minute
    #[arg(long, value_name = "N")]
    tpm: Option<String>,
    /// Requests at once
    #[arg(long, value_name = "N")]
    max_concurrent: Option<String>,
    /// What it may spend in each window, in USD
    #[arg(long, value_name = "USD")]
    budget: Option<String>,
    /// Where more than this is spent in a window, it is told, in USD
    #[arg(long, value_name = "USD")]
    soft: Option<String>,
    /// The window: day, week, month or total
    #[arg(long, value_name = "PERIOD")]
    per: Option<String>,
    /// From when on it is not accepted: 2027-01-31, 2027-01-31T18:00:00Z, or in 30d or 12h
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// What its spend is told apart by; may be given up to ten times, and is set as a whole
    #[arg(long = "tag", value_name = "NAME=VALUE")]
    tags: Vec<String>,
}

impl Flags {
    /// What is to be changed.
    pub(super) fn patch(&self, now: Timestamp) -> Result<Patch, CliError> {
        Ok(Patch {
            models: change("--models", self.models.as_deref(), models)?,
            rpm: change("--rpm", self.rpm.as_deref(), number)?,
            tpm: change("--tpm", self.tpm.as_deref(), number)?,
            max_concurrent: change("--max-concurrent", self.max_concurrent.as_deref(), number)?,
            budget: self.budget()?,
            expires: change("--expires", self.expires.as_deref(), |flag, text| {
                moment(flag, text, now)
            })?,
            tags: self.tags()?,
        })
    }

    fn budget(&self) -> Result<Option<Option<Budget>>, CliError> {
        let soft = self.soft.as_deref();
        let (usd, per) = match (self.budget.as_deref(), self.per.as_deref()) {
            (None, None) if soft.is_some() => return Err(wrong("--soft", "needs `--budget`")),
            (None, None) => return Ok(None),
            (Some(NONE), None) if soft.is_none() => return Ok(Some(None)),
            (Some(usd), Some(per)) => (usd, per),
            (Some(_), None) => return Err(wrong("--budget", "needs `--per`")),
            (None, Some(_)) => return Err(wrong("--per", "needs `--budget`")),
        };
        let soft = soft.map(|soft| read::<raw::Money>("--soft", soft));
        let budget = raw::Budget {
            usd: read("--budget", usd)?,
            soft: soft.transpose()?,
            per: read("--per", per)?,
        };
        let budget = budget.checked().map_err(|error| wrong("--soft", error))?;
        Ok(Some(Some(budget)))
    }

    fn tags(&self) -> Result<Option<Option<Arc<Tags>>>, CliError> {
        let pair = |tag: &str| {
            tag.split_once('=')
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
        };
        match self.tags.as_slice() {
            [] => Ok(None),
            [none] if none == NONE => Ok(Some(None)),
            tags => {
                let pairs: Option<Vec<_>> = tags.iter().map(|tag| pair(tag)).collect();
                let pairs = pairs.ok_or_else(|| wrong("--tag", "is written as `name=value`"))?;
                let tags = Tags::of(pairs.iter().map(|(n, v)| (&**n, &**v)));
                let tags = tags.map_err(|error| wrong("--tag", error))?;
                Ok(Some(Some(Arc::new(tags))))
            }
        }
    }
}

/// Reads a value as the configuration file would.
pub(super) fn read<'a, T: Deserialize<'a>>(flag: &str, text: &'a str) -> Result<T, CliError> {
    T::deserialize(IntoDeserializer::<Error>::into_deserializer(text))
        .map_err(|error| wrong(flag, error))
}

fn change<T>(
    flag: &str,
    text: Option<&str>,
    read: impl Fn(&str, &str) -> Result<T, CliError>,
) -> Result<Option<Option<T>>, CliError> {
    match text {
        None => Ok(None),
        Some(NONE) => Ok(Some(None)),
        Some(text) => Ok(Some(Some(read(flag, text)?))),
    }
}

fn models(flag: &str, text: &str) -> Result<Vec<Arc<str>>, CliError> {
    let names = text.split(',').map(str::trim);
    names
        .map(|name| Ok(read::<raw::Pattern>(flag, name)?.0.into()))
        .collect()
}

fn number<T: FromStr>(flag: &str, text: &str) -> Result<T, CliError> {
    let positive = "must be a whole number, at least 1, or `none`";
    text.parse().map_err(|_| wrong(flag, positive))
}

/// A moment, or how long from now it is.
fn moment(flag: &str, text: &str, now: Timestamp) -> Result<Timestamp, CliError> {
    let moment = match ahead(text) {
        Some(ahead) => now.checked_add(ahead).ok(),
        None => Some(read::<raw::Moment>(flag, text)?.0),
    };
    match moment {
        Some(moment) if moment > now => Ok(moment),
        Some(_) => Err(wrong(flag, "lies in the past")),
        None => Err(wrong(flag, "lies too far in the future")),
    }
}

/// `30d` or `12h`.
fn ahead(text: &str) -> Option<SignedDuration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: i64 = number.parse().ok().filter(|number| *number >= 0)?;
    let hours = match unit {
        "d" => number.checked_mul(24)?,
        "h" => number,
        _ => return None,
    };
    SignedDuration::try_from_hours(hours)
}

fn wrong(flag: &str, why: impl std::fmt::Display) -> CliError {
    CliError::Usage(format!("{flag}: {why}"))
}
