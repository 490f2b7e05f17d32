//! What clients may ask for by name: models, their aliases and routes share one set of names.
//!
//! It remembers where each name was written, so that a second use can point at the first.

use std::{collections::BTreeMap, sync::Arc};

use super::Findings;
use crate::config::mistake::{Path, similar};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// Index into the models.
    Model(usize),
    Route,
}

/// Every name that is taken.
#[derive(Debug, Default)]
pub(super) struct Names(BTreeMap<Arc<str>, (Named, Option<Path>)>);

impl Names {
    /// Takes a written name; a name that is taken already is a mistake.
    pub(super) fn claim(
        &mut self,
        name: &str,
        named: Named,
        path: &Path,
        findings: &mut Findings<'_>,
    ) {
        match self.0.get(name) {
            Some((_, Some(first))) => {
                let first = findings.line(first);
                let message = format!("the name `{}` is taken, {first}", findings.shown(path));
                let hint = "models, aliases and routes share their names";
                findings.mistake_with(path, message, hint);
            }
            Some((_, None)) | None => {
                self.0.insert(name.into(), (named, Some(path.clone())));
            }
        }
    }

    /// Takes a name from the catalogue, if it is free.
    pub(super) fn claim_free(&mut self, name: &Arc<str>, named: Named) -> bool {
        let free = !self.0.contains_key(name);
        if free {
            self.0.insert(Arc::clone(name), (named, None));
        }
        free
    }

    pub(super) fn get(&self, name: &str) -> Option<Named> {
        self.0.get(name).map(|(named, _)| *named)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// The name of a model that was probably meant, as it was written.
    pub(super) fn similar(&self, name: &str, findings: &Findings<'_>) -> Option<String> {
        let models = self
            .0
            .iter()
            .filter(|(_, (named, _))| *named != Named::Route);
        let found = similar(name, models.map(|(name, _)| &**name))?;
        let path = self.0.get(found).and_then(|(_, path)| path.as_ref());
        Some(path.map_or_else(|| found.to_owned(), |path| findings.shown(path)))
    }
}
