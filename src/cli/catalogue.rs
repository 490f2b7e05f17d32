//! A price catalogue in a folder: its files are read here, and understood in `catalog`.

use std::{borrow::Cow, fs, io, path::Path};

use super::CliError;
use crate::{
    catalog::{self, Catalog},
    config::load::{self, ProcessEnvironment},
};

/// Bytes of one file; the largest of the built-in ones has 90 kB.
const MOST: u64 = 16 << 20;

/// The catalogue of a folder, or the one that is built in, with the files of a configuration over
/// it; `None`: the one that is built in.
pub(super) fn asked(
    folder: Option<&Path>,
    config: Option<&Path>,
) -> Result<Option<Catalog>, CliError> {
    let own = folder.map(read).transpose()?;
    let Some(config) = config else {
        return Ok(own);
    };
    let under = own.as_ref().unwrap_or_else(|| catalog::builtin());
    let over = load::catalogue(config, &ProcessEnvironment, under).map_err(CliError::Config)?;
    Ok(over.or(own))
}

/// The catalogue of a folder: `_fx.toml`, `_schedules.toml`, and a file for each provider.
pub(super) fn read(folder: &Path) -> Result<Catalog, CliError> {
    let shared = ["_fx.toml", "_schedules.toml"].map(|name| text(&folder.join(name)));
    let [exchange, schedules] = shared;
    let mut providers = Vec::new();
    let refused = |error: io::Error| CliError::Usage(format!("{}: {error}", folder.display()));
    for entry in fs::read_dir(folder).map_err(refused)? {
        let path = entry.map_err(refused)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let named = path.extension().is_some_and(|end| end == "toml");
        if let Some(stem) = stem.filter(|stem| named && !stem.starts_with('_')) {
            providers.push((Cow::from(stem.to_owned()), Cow::from(text(&path)?)));
        }
    }
    if providers.is_empty() {
        let message = "holds no catalogue: a file for each provider is expected, `openai.toml`";
        return Err(CliError::Usage(format!("{}: {message}", folder.display())));
    }
    providers.sort();
    Catalog::from_texts(exchange?, schedules?, providers)
        .map_err(|error| CliError::Usage(format!("{}: {error}", folder.display())))
}

pub(super) fn text(path: &Path) -> Result<String, CliError> {
    load::bounded(path, MOST)
        .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}
