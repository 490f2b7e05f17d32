//! Where the configuration comes from: a file that is named, a file that lies here, or neither.

use std::path::{Path, PathBuf};

use super::{CliError, ConfigArg, zero};
use crate::{
    catalog,
    config::{
        Checked,
        load::{self, Overrides, ProcessEnvironment},
    },
};

/// The file that is used where none is named.
const HERE: &str = "tollgate.yaml";

/// The file to read; `None`: start without one.
pub(super) fn file(arg: &ConfigArg) -> Option<PathBuf> {
    arg.config
        .clone()
        .or_else(|| Path::new(HERE).exists().then(|| PathBuf::from(HERE)))
}

/// The configuration as `serve` would run it, but without asking local servers.
pub(super) fn checked(arg: &ConfigArg) -> Result<Checked, CliError> {
    match file(arg) {
        Some(path) => from_file(&path, Overrides::default()),
        None => zero::from_environment(Overrides::default()),
    }
}

/// Reads a file.
pub(super) fn from_file(path: &Path, overrides: Overrides) -> Result<Checked, CliError> {
    load::from_path_with(path, &ProcessEnvironment, catalog::builtin(), overrides)
        .map_err(CliError::Config)
}
