//! The text of the operator's files with what a refresh changes. What else stands in them, his
//! comments too, stays as it is.

use toml::{Table, Value};
use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, value};

use super::{Added, Changed};
use crate::catalog::{
    Card, CatalogError, Currency, When, file,
    overlay::{PROVIDER, merged},
};

/// The lists of exchange rates, with the key by which one is known.
pub(super) const RATES: [(&str, &str); 1] = [("rate", "from")];
/// The lists of hours and calendars.
pub(super) const CALENDARS: [(&str, &str); 2] = [("window", "id"), ("holidays", "id")];

/// A provider's file with changed and added models. `existing` is the operator's file, if he has
/// one; `head` the provider as a newer catalogue has it, if he does not know it yet.
///
/// # Errors
/// His file is no TOML.
pub(super) fn merge<'a>(
    provider: &str,
    existing: Option<&str>,
    head: Option<&str>,
    changed: impl Iterator<Item = &'a Changed>,
    added: impl Iterator<Item = &'a Added>,
) -> Result<String, CatalogError> {
    let mut document = match existing {
        Some(text) => document(provider, text)?,
        None => document(provider, &begin(provider, head)?)?,
    };
    let models = tables(&mut document, provider, "model")?;
    for one in changed {
        let cards: ArrayOfTables = one.cards.iter().map(written).collect();
        let same = |model: &&mut toml_edit::Table| {
            model.get("id").and_then(Item::as_str) == Some(&*one.model)
        };
        if let Some(model) = models.iter_mut().find(same) {
            model.insert("card", Item::ArrayOfTables(cards));
            continue;
        }
        let mut model = toml_edit::Table::new();
        model.insert("id", value(&*one.model));
        model.insert("card", Item::ArrayOfTables(cards));
        models.push(model);
    }
    for one in added {
        models.push(edited(provider, &one.table)?);
    }
    Ok(document.to_string())
}

/// A shared file with what a newer one has more or otherwise; `None`: nothing.
///
/// # Errors
/// One of them is no TOML.
pub(super) fn shared(
    (name, schema): (&str, &str),
    existing: Option<String>,
    (known, newer): (&str, &str),
    lists: &[(&str, &str)],
) -> Result<Option<String>, CatalogError> {
    let (known, newer): (Table, Table) = (file::parse(name, known)?, file::parse(name, newer)?);
    let mut more = Table::new();
    for (list, id) in lists {
        let of = |table: &Table| -> Vec<Value> {
            let list = table.get(*list).and_then(Value::as_array);
            list.cloned().unwrap_or_default()
        };
        let known = of(&known);
        let items: Vec<Value> = of(&newer)
            .into_iter()
            .filter(|item| item.get(id).is_some() && !known.contains(item))
            .collect();
        if !items.is_empty() {
            more.insert((*list).to_owned(), Value::Array(items));
        }
    }
    if more.is_empty() {
        return Ok(None);
    }
    let start = existing.unwrap_or_else(|| format!("schema = \"{schema}\"\n"));
    merged(name, &start, more, lists).map(Some)
}

/// The beginning of a file that does not exist yet.
fn begin(provider: &str, head: Option<&str>) -> Result<String, CatalogError> {
    let mut table = Table::new();
    if let Some(text) = head {
        table = file::parse(provider, text)?;
        table.remove("model");
    } else {
        let mut own = Table::new();
        own.insert("id".to_owned(), provider.into());
        table.insert("schema".to_owned(), PROVIDER.into());
        table.insert("provider".to_owned(), own.into());
    }
    let refuse = |error: toml::ser::Error| file::refusal(provider, "the file", error.to_string());
    toml::to_string(&table).map_err(refuse)
}

/// A card as files have it.
fn written(card: &Card) -> toml_edit::Table {
    let mut table = toml_edit::Table::new();
    let mut insert = |key: &str, item: Item| table.insert(key, item);
    insert("tier", value(&*card.tier));
    if let Some(over) = card.over.and_then(|over| i64::try_from(over).ok()) {
        insert("over", value(over));
    }
    if let Some(window) = &card.window {
        insert("window", value(&*window.id));
    }
    if let Some(when) = card.when {
        let when = match when {
            When::Reasoning => "reasoning",
            When::NonReasoning => "non_reasoning",
        };
        insert("when", value(when));
    }
    for (key, moment) in [("from", card.from), ("until", card.until)] {
        if let Some(moment) = moment {
            insert(key, value(moment.to_string()));
        }
    }
    if card.currency == Currency::Cny {
        insert("currency", value("CNY"));
    }
    let rates = card.rates.named();
    let rates: InlineTable = rates.map(|(name, rate)| (name, rate.to_string())).collect();
    insert("rates", value(rates));
    if card.min_audio_seconds > 0 {
        insert(
            "min_audio_seconds",
            value(i64::from(card.min_audio_seconds)),
        );
    }
    insert("source", value(&*card.source));
    insert("basis", value(&*card.basis));
    table
}

fn document(name: &str, text: &str) -> Result<DocumentMut, CatalogError> {
    text.parse()
        .map_err(|error: toml_edit::TomlError| file::refusal(name, "the file", error.to_string()))
}

/// A model as a document holds it; rates stand on one line.
fn edited(name: &str, table: &Table) -> Result<toml_edit::Table, CatalogError> {
    let refuse = |error: toml::ser::Error| file::refusal(name, "a model", error.to_string());
    let mut model = document(name, &toml::to_string(table).map_err(refuse)?)?
        .as_table()
        .clone();
    // where it stood in the other document must not decide where it stands in this one
    model.set_position(None);
    let cards = model.get_mut("card").and_then(Item::as_array_of_tables_mut);
    for card in cards.into_iter().flat_map(ArrayOfTables::iter_mut) {
        card.set_position(None);
        if let Some(Ok(rates)) = card.remove("rates").map(Item::into_value) {
            card.insert("rates", Item::Value(rates));
        }
    }
    Ok(model)
}

fn tables<'a>(
    document: &'a mut DocumentMut,
    name: &str,
    key: &str,
) -> Result<&'a mut ArrayOfTables, CatalogError> {
    let item = document
        .entry(key)
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    item.as_array_of_tables_mut()
        .ok_or_else(|| file::refusal(name, key, "must be written as `[[model]]`".to_owned()))
}
