//! What can run but is probably not meant: warnings about models, their backends and routes.

use std::collections::BTreeMap;

use super::{Findings, backends, models::Models};
use crate::{
    catalog::Status,
    config::{
        Backend, Price, Quality, Route,
        mistake::{Path, similar},
    },
};

/// How many names a message lists.
const LISTED: usize = 3;

impl Models<'_, '_> {
    /// What may be unintended about models that are used.
    pub(super) fn warn(&self, routes: &[Route], findings: &mut Findings<'_>) {
        let mut unpriced = BTreeMap::<usize, Vec<&str>>::new();
        for (backend, written) in self.backends.iter() {
            let unknown = matches!(backend.price, Price::Unpriced);
            match written {
                Some(path) => self.warn_written(backend, path, findings),
                None if unknown => {
                    unpriced
                        .entry(backend.provider)
                        .or_default()
                        .push(&backend.upstream_model);
                }
                None => {}
            }
        }
        for (provider, models) in unpriced {
            let Some((provider, _)) = self.providers.get(provider) else {
                continue;
            };
            let path = Path::root().key("providers").key(&provider.name);
            let more = if models.len() > LISTED { ", …" } else { "" };
            let listed: Vec<_> = models.iter().take(LISTED).copied().collect();
            let message = format!("no price is known for {}{more}", listed.join(", "));
            findings.warning(&path, message, None);
        }
        self.warn_hidden(findings);
        self.warn_unrated(routes, findings);
    }

    fn warn_written(&self, backend: &Backend, path: &Path, findings: &mut Findings<'_>) {
        let Some((_, facts)) = self.providers.get(backend.provider) else {
            return;
        };
        let known = backends::known(facts, &backend.upstream_model);
        let gone = known.and_then(|model| match model.status {
            Status::Current => None,
            Status::Deprecated => Some("the catalogue says that this model is deprecated"),
            Status::Removed => Some("the catalogue says that this model was removed"),
        });
        if let Some(message) = gone {
            findings.warning(&path.key("model"), message, None);
        }
        if matches!(backend.price, Price::Unpriced) {
            let ids = facts
                .catalog
                .into_iter()
                .flat_map(|catalog| &catalog.models);
            let hint = match similar(&backend.upstream_model, ids.map(|model| &*model.id)) {
                Some(id) if known.is_none() => format!("did you mean `{id}`?"),
                _ => "write a `price`, or `price: free`".to_owned(),
            };
            let message = "has no price: it comes last, and its cost is not known";
            findings.warning(path, message, Some(hint));
        }
    }

    /// A model's name that is also the name of a backend takes its place.
    fn warn_hidden(&self, findings: &mut Findings<'_>) {
        for (index, model) in self.list.iter().enumerate().take(self.all) {
            if self.backends.hidden_by(&model.name, &model.backends) {
                let path = Path::root().key("models").index(index).key("name");
                let message = "is also the name of a backend, which it hides";
                findings.warning(&path, message, None);
            }
        }
    }

    /// A floor that no candidate is known to reach.
    fn warn_unrated(&self, routes: &[Route], findings: &mut Findings<'_>) {
        let backends: Vec<_> = self.backends.iter().map(|(backend, _)| backend).collect();
        for (index, route) in routes.iter().enumerate() {
            let candidates = route
                .candidates
                .iter()
                .filter_map(|model| self.list.get(*model));
            let mut served = candidates.flat_map(|model| &model.backends);
            let rated = served.any(|backend| {
                backends
                    .get(*backend)
                    .is_some_and(|b| b.quality != Quality::default())
            });
            if route.min_quality.is_some() && !rated {
                let path = Path::root().key("routes").index(index).key("min_quality");
                let message = "no candidate has a `quality`: `on_uncertain` decides";
                findings.warning(&path, message, None);
            }
        }
    }
}
