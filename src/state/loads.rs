//! Where the configuration came from, and what came of reading it again: what the operator can ask
//! about it.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use crate::config::{
    Config, Mistake, Note,
    load::{Overrides, Seen},
    view::Change,
};

/// Where a configuration comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// It was put together at the start: there is nothing to read again.
    Made,
    /// A file, with what the command line says instead of it.
    File { path: PathBuf, overrides: Overrides },
}

/// A configuration, with where it came from.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    pub origin: Origin,
    pub seen: Seen,
}

impl From<Config> for Loaded {
    fn from(config: Config) -> Self {
        Self {
            config,
            origin: Origin::Made,
            seen: Seen::default(),
        }
    }
}

/// Why it was read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The file, or a secret file that it names, changed.
    Change,
    /// SIGHUP.
    Signal,
    /// `POST /admin/v1/reload`.
    Operator,
}

/// A configuration that took effect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub changed: Vec<Change>,
    /// What the file says and only a restart brings about.
    pub needs_restart: Vec<&'static str>,
    pub warnings: Vec<Note>,
}

/// The last time that it was read again.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub at: Timestamp,
    pub cause: Cause,
    /// What took effect, or why nothing did.
    pub outcome: Result<Report, Vec<Mistake>>,
}

/// What is known of loading.
#[derive(Debug, Clone)]
pub struct Loads {
    /// When the configuration in effect was read.
    pub loaded_at: Timestamp,
    pub last: Option<Attempt>,
}
