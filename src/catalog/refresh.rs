//! What a newer price list changes: differences, rate by rate, and the cards with their history.
//!
//! Given the catalogue, a newer list and the moment, it returns what would be written. Only prices
//! are compared; models that are new in a whole catalogue are taken over as they stand there.
//! It reads and writes no file.

use std::{collections::BTreeSet, sync::Arc};

use jiff::Timestamp;
use toml::{Table, Value};

use self::history::Says;
use super::{
    Card, Catalog, CatalogError, Currency, Model, Provider, When, check, file,
    overlay::{EXCHANGE, File, SCHEDULES},
};
use crate::money::Rate;

mod history;
pub mod litellm;
mod write;

use self::write::{merge, shared};

/// The `basis` of a card that a refresh has written. A card of the operator's own without it is
/// his word, and left alone.
pub const BASIS: &str = "refresh";

/// A newer price list.
#[derive(Debug)]
pub enum Newer<'a> {
    /// A whole catalogue, or some of its providers.
    Catalog(&'a Catalog),
    /// The map that LiteLLM publishes.
    LiteLlm(&'a litellm::Map<'a>),
}

/// What a newer list changes.
#[derive(Debug, Default)]
pub struct Refresh {
    /// By provider and model, in the order of the catalogue.
    pub models: Vec<Changed>,
    /// Models and providers that only the newer list has; it is a whole catalogue.
    pub added: Vec<Added>,
    /// Provider and model that a whole catalogue no longer has. Kept: past calls have a price.
    pub gone: Vec<(Arc<str>, Arc<str>)>,
    /// Provider and model for which the operator wrote cards himself. Kept.
    pub own: Vec<(Arc<str>, Arc<str>)>,
    pub unread: Vec<Unread>,
}

/// A model whose cards change.
#[derive(Debug)]
pub struct Changed {
    pub provider: Arc<str>,
    pub model: Arc<str>,
    /// All cards that it then has.
    pub cards: Vec<Card>,
    /// At least one.
    pub differences: Vec<Difference>,
}

/// A model that is new.
#[derive(Debug)]
pub struct Added {
    pub provider: Arc<str>,
    pub model: Arc<str>,
    /// As the newer catalogue has it.
    table: Table,
}

/// A rate that changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub tier: Arc<str>,
    pub over: Option<u64>,
    pub window: Option<Arc<str>>,
    pub when: Option<When>,
    /// As files call it.
    pub rate: &'static str,
    pub old: Option<Rate>,
    pub new: Option<Rate>,
    /// Of the old one and the new one.
    pub currencies: (Currency, Currency),
    /// When it changes, if that is still to come.
    pub from: Option<Timestamp>,
}

/// What could not be compared, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    pub provider: Arc<str>,
    pub model: Arc<str>,
    pub what: String,
}

/// What a list says of one model.
struct Offer {
    cards: Vec<Card>,
    unread: Vec<Unread>,
}

impl Unread {
    fn of(provider: &Provider, model: &Model, what: String) -> Self {
        Self {
            provider: provider.id.clone(),
            model: model.id.clone(),
            what,
        }
    }
}

impl Difference {
    /// By how much it rises or falls: `+25.0 %`, rounded half away from zero; `None` where one of
    /// the two is missing or nothing, or the currencies are not the same.
    #[must_use]
    pub fn percent(&self) -> Option<String> {
        let (old, new) = (self.old?.pico(), self.new?.pico());
        if old == 0 || self.currencies.0 != self.currencies.1 {
            return None;
        }
        let (old, change) = (i128::from(old), i128::from(new) - i128::from(old));
        let tenths = (change.abs() * 2_000 + old) / (2 * old);
        let sign = if change < 0 { "-" } else { "+" };
        Some(format!("{sign}{}.{} %", tenths / 10, tenths % 10))
    }
}

/// Compares a catalogue with a newer list. `under` is the catalogue without the operator's files:
/// where both differ in the cards of a model and no refresh has written them, they are his own.
///
/// # Errors
/// A provider's file, of either list, is refused.
pub fn compare(
    (catalog, under): (&Catalog, &Catalog),
    newer: &Newer<'_>,
    now: Timestamp,
) -> Result<Refresh, CatalogError> {
    let mut refresh = Refresh::default();
    for name in catalog.names() {
        let provider = read(catalog, name)?;
        let source = match newer {
            Newer::LiteLlm(map) => Source::LiteLlm(map),
            Newer::Catalog(newer) => match newer.provider(name) {
                Some(newer) => Source::Provider(newer.map_err(Clone::clone)?),
                None => continue,
            },
        };
        let before = match under.provider(name) {
            Some(before) => Some(before.map_err(Clone::clone)?),
            None => None,
        };
        for model in &provider.models {
            refresh.model((provider, before), model, &source, now);
        }
    }
    if let Newer::Catalog(newer) = newer {
        refresh.add(catalog, newer)?;
    }
    Ok(refresh)
}

/// Whom a model is compared with.
enum Source<'a> {
    Provider(&'a Provider),
    LiteLlm(&'a litellm::Map<'a>),
}

impl Refresh {
    /// Does the newer list change nothing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty() && self.added.is_empty()
    }

    /// Of this provider alone.
    pub fn keep(&mut self, provider: &str) {
        self.models.retain(|one| &*one.provider == provider);
        self.added.retain(|one| &*one.provider == provider);
        self.gone.retain(|(of, _)| &**of == provider);
        self.own.retain(|(of, _)| &**of == provider);
        self.unread.retain(|one| &*one.provider == provider);
    }

    /// Everyone whose models change or are added.
    #[must_use]
    pub fn providers(&self) -> BTreeSet<Arc<str>> {
        let changed = self.models.iter().map(|one| one.provider.clone());
        let added = self.added.iter().map(|one| one.provider.clone());
        changed.chain(added).collect()
    }

    fn model(
        &mut self,
        (provider, before): (&Provider, Option<&Provider>),
        model: &Model,
        source: &Source<'_>,
        now: Timestamp,
    ) {
        let (offer, says) = match source {
            Source::LiteLlm(map) => match map.offer(provider, model, now) {
                None => return,
                Some(Err(unread)) => return self.unread.push(unread),
                Some(Ok(offer)) => (offer, Says::Some),
            },
            Source::Provider(newer) => match newer.model(&model.id) {
                None => return self.gone.push((provider.id.clone(), model.id.clone())),
                Some(newer) => {
                    let cards = newer.cards.iter().cloned().map(|card| Card {
                        basis: BASIS.into(),
                        ..card
                    });
                    let offer = Offer {
                        cards: cards.collect(),
                        unread: Vec::new(),
                    };
                    (offer, Says::All)
                }
            },
        };
        self.unread.extend(offer.unread);
        let hardware = |card: &Card| card.self_hosted.is_some();
        if model.cards.iter().chain(&offer.cards).any(hardware) {
            return;
        }
        let Some((cards, differences)) = history::lay(&model.cards, &offer.cards, now, says) else {
            return;
        };
        if own(model, before) {
            return self.own.push((provider.id.clone(), model.id.clone()));
        }
        self.models.push(Changed {
            provider: provider.id.clone(),
            model: model.id.clone(),
            cards,
            differences,
        });
    }

    /// Models that only the newer catalogue has.
    fn add(&mut self, catalog: &Catalog, newer: &Catalog) -> Result<(), CatalogError> {
        for name in newer.names() {
            let provider = read(newer, name)?;
            let known = match catalog.provider(name) {
                Some(known) => Some(known.map_err(Clone::clone)?),
                None => None,
            };
            let text: Table = file::parse(name, newer.text(name).unwrap_or_default())?;
            let tables = text.get("model").and_then(Value::as_array);
            let tables = tables.into_iter().flatten().filter_map(Value::as_table);
            for (model, table) in provider.models.iter().zip(tables) {
                if known.is_none_or(|known| known.model(&model.id).is_none()) {
                    self.added.push(Added {
                        provider: provider.id.clone(),
                        model: model.id.clone(),
                        table: table.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    /// The files that these changes make, over those that the operator has; changes after which a
    /// model could not be priced are left out, and said.
    ///
    /// `files` are his files as they are, by provider: `None` where he has none yet.
    ///
    /// # Errors
    /// One of his files, or of the newer list, can't be read.
    pub fn files(
        &mut self,
        catalog: &Catalog,
        newer: &Newer<'_>,
        existing: impl Fn(&str) -> Option<String>,
        now: Timestamp,
    ) -> Result<Vec<File>, CatalogError> {
        let files = self.written(catalog, newer, &existing)?;
        let over = catalog.overlaid(&files).map_err(|(_, error)| error)?;
        let mut wrong = Vec::new();
        for name in self.providers() {
            let found = check::of_provider(&over.catalog, &name, now);
            let mistakes = found.into_iter().filter(|found| found.mistake);
            wrong.extend(mistakes.filter_map(|found| {
                let model: Arc<str> = found.model?.into();
                Some((name.clone(), model, found.what))
            }));
        }
        let count = self.models.len();
        for (provider, model, what) in wrong {
            let of = |one: &Changed| one.provider == provider && one.model == model;
            if self.models.iter().any(of) {
                self.models.retain(|one| !of(one));
                let what = format!("the change would leave it without one clear price: {what}");
                self.unread.push(Unread {
                    provider,
                    model,
                    what,
                });
            }
        }
        if self.models.len() == count {
            return Ok(files);
        }
        self.written(catalog, newer, &existing)
    }

    fn written(
        &self,
        catalog: &Catalog,
        newer: &Newer<'_>,
        existing: &impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<File>, CatalogError> {
        let mut files = Vec::new();
        if let Newer::Catalog(newer) = newer {
            for (name, schema, kinds) in [
                ("_fx", EXCHANGE, write::RATES.as_slice()),
                ("_schedules", SCHEDULES, write::CALENDARS.as_slice()),
            ] {
                let texts = match schema {
                    EXCHANGE => (&*catalog.exchange, &*newer.exchange),
                    _ => (&*catalog.schedules, &*newer.schedules),
                };
                let text = shared((name, schema), existing(name), texts, kinds)?;
                files.extend(text.map(|text| File {
                    name: name.to_owned(),
                    text,
                }));
            }
        }
        for name in self.providers() {
            let head = match newer {
                Newer::Catalog(newer) if catalog.text(&name).is_none() => newer.text(&name),
                _ => None,
            };
            let changed = self.models.iter().filter(|one| one.provider == name);
            let added = self.added.iter().filter(|one| one.provider == name);
            let text = merge(&name, existing(&name).as_deref(), head, changed, added)?;
            files.push(File {
                name: name.to_string(),
                text,
            });
        }
        Ok(files)
    }
}

/// Did the operator write its cards himself?
fn own(model: &Model, before: Option<&Provider>) -> bool {
    let before = before.and_then(|before| before.model(&model.id));
    before.is_none_or(|before| before.cards != model.cards)
        && model.cards.iter().all(|card| &*card.basis != BASIS)
}

fn read<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a Provider, CatalogError> {
    let missing = || file::refusal(name, "provider", "there is none".to_owned());
    let read = catalog.provider(name).ok_or_else(missing)?;
    read.map_err(Clone::clone)
}

#[cfg(test)]
mod tests;
