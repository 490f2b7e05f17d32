//! `catalog`: the operator's own files over the catalogue that is built in.

use std::path::PathBuf;

use super::{Catalog, Findings};
use crate::{
    catalog::{
        self, check,
        overlay::{File, Overlaid, Touched},
    },
    config::{load, mistake::Path, raw},
};

/// The catalogue with these files over it; `None` where there are none, or one has a mistake.
pub(super) fn over(
    files: Vec<raw::FilePath>,
    catalog: &dyn Catalog,
    findings: &mut Findings<'_>,
) -> Option<catalog::Catalog> {
    let path = Path::root().key("catalog");
    let mut read = Vec::new();
    // of the list, where each file that was read comes from
    let mut places = Vec::new();
    let mut missing = false;
    for (index, raw::FilePath(file)) in files.into_iter().enumerate() {
        for file in listed(&path.index(index), file, findings) {
            let name = file.display().to_string();
            match findings.file(&path.index(index), &file) {
                Some(text) => {
                    read.push(File { name, text });
                    places.push(index);
                }
                None => missing = true,
            }
        }
    }
    if read.is_empty() || missing {
        return None;
    }
    match catalog.overlaid(&read) {
        Ok(over) => {
            let wrong = wrong(&over, findings);
            wrong
                .iter()
                .for_each(|what| findings.mistake(&path, what.as_str()));
            wrong.is_empty().then_some(over.catalog)
        }
        Err((at, error)) => {
            let at = places.get(at).copied().unwrap_or_default();
            findings.mistake(&path.index(at), error.to_string());
            None
        }
    }
}

/// A file, or those of a folder.
fn listed(path: &Path, file: PathBuf, findings: &mut Findings<'_>) -> Vec<PathBuf> {
    match findings.env.folder(&file, "toml") {
        Ok(None) => vec![file],
        Ok(Some(files)) => files,
        Err(error) => {
            let message = format!("the folder cannot be read: {}", load::reason(&error));
            findings.mistake(path, message);
            Vec::new()
        }
    }
}

/// Mistakes in what the files say: cards that contradict each other, or leave calls unpriced.
fn wrong(over: &Overlaid, findings: &Findings<'_>) -> Vec<String> {
    let now = findings.env.now();
    let mut wrong = Vec::new();
    for Touched {
        provider, models, ..
    } in &over.touched
    {
        let found = check::of_provider(&over.catalog, provider, now).into_iter();
        let own =
            |model: &Option<String>| model.as_ref().is_some_and(|model| models.contains(model));
        for found in found.filter(|found| found.mistake && own(&found.model)) {
            let model = found.model.unwrap_or_default();
            let card = found
                .card
                .map_or_else(String::new, |card| format!(" card {card}"));
            wrong.push(format!("{provider}: {model}{card}: {}", found.what));
        }
    }
    wrong
}
