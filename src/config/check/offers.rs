//! What the configured providers offer by the catalogue, grouped into models.
//!
//! The same model at several providers is one group. Which names are free is not known here; a
//! group gives its ids in order of preference.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use super::providers::Providers;
use crate::catalog::{self, Mode, Status};

/// A current chat model at a configured provider.
#[derive(Clone, Copy)]
pub(super) struct Offer<'c> {
    /// Index into the providers.
    pub(super) provider: usize,
    pub(super) model: &'c catalog::Model,
}

/// The same model at one or several providers, in the order of the providers; never empty.
pub(super) struct Group<'c>(Vec<Offer<'c>>);

impl<'c> Group<'c> {
    pub(super) fn offers(&self) -> &[Offer<'c>] {
        &self.0
    }

    /// The ids: the most common first, then the shortest, then by alphabet.
    pub(super) fn ids(&self) -> Vec<Arc<str>> {
        let mut counts = BTreeMap::<&Arc<str>, usize>::new();
        for offer in &self.0 {
            *counts.entry(&offer.model.id).or_default() += 1;
        }
        let mut ids: Vec<_> = counts.into_iter().collect();
        ids.sort_by_key(|(id, count)| (Reverse(*count), id.len()));
        ids.into_iter().map(|(id, _)| Arc::clone(id)).collect()
    }
}

/// Every group, by model key.
pub(super) fn groups<'c>(providers: &Providers<'c>) -> Vec<Group<'c>> {
    let mut groups = BTreeMap::<&'c str, Vec<Offer<'c>>>::new();
    for (provider, _, facts) in providers.iter() {
        for model in facts
            .catalog
            .into_iter()
            .flat_map(|catalog| &catalog.models)
        {
            if model.mode == Mode::Chat && model.status == Status::Current {
                groups
                    .entry(&model.model_key)
                    .or_default()
                    .push(Offer { provider, model });
            }
        }
    }
    groups.into_values().map(Group).collect()
}

/// Everything offered under that id: its whole group, or several if providers disagree about what
/// it is.
pub(super) fn by_id<'c>(providers: &Providers<'c>, id: &str) -> Vec<Offer<'c>> {
    let named = |group: &Group<'_>| group.0.iter().any(|offer| &*offer.model.id == id);
    groups(providers)
        .into_iter()
        .filter(named)
        .flat_map(|group| group.0)
        .collect()
}
