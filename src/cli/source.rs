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

/// Where a file is looked for if none is named, in this order; the second place is that of
/// container images and packages.
const USUAL: [&str; 2] = ["tollgate.yaml", "/etc/tollgate/tollgate.yaml"];

/// The file to read; `None`: start without one.
pub(super) fn file(arg: &ConfigArg) -> Option<PathBuf> {
    arg.config.clone().or_else(|| {
        let mut usual = USUAL.iter().map(Path::new);
        usual.find(|path| path.exists()).map(Path::to_owned)
    })
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
