//! Files of an operator over a catalogue: providers and models of his own, and his word on those
//! that are known.
//!
//! Merged as tables, before anything is understood, so that a file of the operator has the format
//! of the built-in ones and may leave out what they say. It reads no file.

use std::borrow::Cow;

use toml::{Table, Value};

use super::{Catalog, CatalogError, file};

/// What a file is, by its `schema`.
pub(super) const PROVIDER: &str = "tollgate.catalog/1";
pub(super) const EXCHANGE: &str = "tollgate.fx/1";
pub(super) const SCHEDULES: &str = "tollgate.schedules/1";

/// A file, by the name that messages give it.
#[derive(Debug, Clone)]
pub struct File {
    pub name: String,
    pub text: String,
}

/// A catalogue with files over it.
#[derive(Debug)]
pub struct Overlaid {
    pub catalog: Catalog,
    /// The providers that the files speak of.
    pub touched: Vec<Touched>,
}

/// A provider that files speak of.
#[derive(Debug, PartialEq, Eq)]
pub struct Touched {
    pub provider: String,
    /// Its models that they name.
    pub models: Vec<String>,
    /// The last of the files.
    file: usize,
}

impl Catalog {
    /// This catalogue with files over it, later ones over earlier ones. What a file says of a
    /// provider or a model replaces what was said, member by member; all cards of a model are one
    /// member. Exchange rates are added, and replace those of the same day; windows and holidays
    /// those of the same id.
    ///
    /// # Errors
    /// A file can't be read, with the place in it; or makes no sense over the catalogue.
    pub fn overlaid(&self, files: &[File]) -> Result<Overlaid, (usize, CatalogError)> {
        let mut parts = Parts::of(self);
        for (at, file) in files.iter().enumerate() {
            parts.lay(at, file).map_err(|error| (at, error))?;
        }
        let last = files.len().saturating_sub(1);
        let catalog = parts.catalog().map_err(|error| (last, error))?;
        for touched in &parts.touched {
            if let Some(Err(error)) = catalog.provider(&touched.provider) {
                return Err((touched.file, error.clone()));
            }
        }
        let touched = parts.touched;
        Ok(Overlaid { catalog, touched })
    }
}

impl Catalog {
    /// A catalogue of one provider, whose file is `text`, with the exchange rates and windows of
    /// this one.
    ///
    /// # Errors
    /// The text can't be read.
    pub fn alone(&self, text: &str) -> Result<Self, CatalogError> {
        let table: Table = file::parse("the file", text)?;
        let id = table
            .get("provider")
            .and_then(|provider| provider.get("id"))
            .and_then(Value::as_str)
            .ok_or_else(|| file::refusal("the file", "provider", "needs an `id`".to_owned()))?;
        let provider = (Cow::from(id.to_owned()), Cow::from(text.to_owned()));
        let one = Self::from_texts(self.exchange.clone(), self.schedules.clone(), [provider])?;
        match one.provider(id) {
            Some(Err(error)) => Err(error.clone()),
            _ => Ok(one),
        }
    }
}

/// A catalogue in the making, as texts.
struct Parts {
    exchange: String,
    schedules: String,
    providers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    touched: Vec<Touched>,
}

impl Parts {
    fn of(catalog: &Catalog) -> Self {
        let entries = catalog.entries.iter();
        Self {
            exchange: catalog.exchange.to_string(),
            schedules: catalog.schedules.to_string(),
            providers: entries
                .map(|entry| (entry.name.clone(), entry.text.clone()))
                .collect(),
            touched: Vec::new(),
        }
    }

    fn lay(&mut self, at: usize, over: &File) -> Result<(), CatalogError> {
        let refuse = |place: &str, what: &str| file::refusal(&over.name, place, what.to_owned());
        let table: Table = file::parse(&over.name, &over.text)?;
        match table.get("schema").and_then(Value::as_str) {
            Some(PROVIDER) => self.lay_provider(at, over, table),
            Some(EXCHANGE) => {
                self.exchange = merged(&over.name, &self.exchange, table, &[("rate", "from")])?;
                Ok(())
            }
            Some(SCHEDULES) => {
                let lists = [("window", "id"), ("holidays", "id")];
                self.schedules = merged(&over.name, &self.schedules, table, &lists)?;
                Ok(())
            }
            Some(_) | None => Err(refuse(
                "schema",
                "must be \"tollgate.catalog/1\", \"tollgate.fx/1\" or \"tollgate.schedules/1\"",
            )),
        }
    }

    fn lay_provider(&mut self, file: usize, over: &File, table: Table) -> Result<(), CatalogError> {
        let refuse = |place: &str, what: &str| file::refusal(&over.name, place, what.to_owned());
        let id = table
            .get("provider")
            .and_then(|provider| provider.get("id"));
        let Some(id) = id.and_then(Value::as_str).map(str::to_owned) else {
            return Err(refuse("provider", "needs an `id`"));
        };
        let models = table.get("model").and_then(Value::as_array);
        let named = models.into_iter().flatten().map(|model| model.get("id"));
        let named: Option<Vec<String>> = named.map(|id| Some(id?.as_str()?.to_owned())).collect();
        let Some(named) = named else {
            return Err(refuse("model", "each needs an `id`"));
        };
        match self.providers.iter_mut().find(|(name, _)| *name == id) {
            Some((_, text)) => {
                *text = merged(&over.name, text, table, &[("model", "id")])?.into();
            }
            None => self
                .providers
                .push((id.clone().into(), over.text.clone().into())),
        }
        match self.touched.iter_mut().find(|t| t.provider == id) {
            Some(touched) => {
                touched.models.extend(named);
                touched.file = file;
            }
            None => self.touched.push(Touched {
                provider: id,
                models: named,
                file,
            }),
        }
        Ok(())
    }

    fn catalog(&self) -> Result<Catalog, CatalogError> {
        let providers = self.providers.iter().cloned();
        Catalog::from_texts(self.exchange.clone(), self.schedules.clone(), providers)
    }
}

/// One table over another. In these lists an item replaces, member by member, the one that has the
/// same value under this key, or is added; everything else is replaced as a whole.
pub(super) fn merged(
    name: &str,
    under: &str,
    over: Table,
    lists: &[(&str, &str)],
) -> Result<String, CatalogError> {
    let mut table: Table = file::parse(name, under)?;
    for (key, value) in over {
        let list = lists.iter().find(|(list, _)| *list == key);
        match (table.get_mut(&key), value, list) {
            (Some(Value::Array(old)), Value::Array(new), Some((_, id))) => lay_list(old, new, id),
            (Some(Value::Table(old)), Value::Table(new), _) => old.extend(new),
            (_, value, _) => {
                table.insert(key, value);
            }
        }
    }
    toml::to_string(&table).map_err(|error| file::refusal(name, "the file", error.to_string()))
}

fn lay_list(old: &mut Vec<Value>, new: Vec<Value>, id: &str) {
    for item in new {
        let same = |known: &&mut Value| known.get(id).is_some() && known.get(id) == item.get(id);
        match (old.iter_mut().find(same), item) {
            (Some(Value::Table(known)), Value::Table(item)) => known.extend(item),
            (_, item) => old.push(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{builtin, check};

    fn over(texts: &[&str]) -> Result<Overlaid, String> {
        let files: Vec<File> = texts
            .iter()
            .enumerate()
            .map(|(at, text)| File {
                name: format!("{at}.toml"),
                text: (*text).to_owned(),
            })
            .collect();
        builtin()
            .overlaid(&files)
            .map_err(|(at, error)| format!("{at}: {error}"))
    }

    const CARD: &str = "[[model.card]]\ntier = \"standard\"\nsource = \"contract\"\n\
                        basis = \"contract\"\nrates = { input = \"9\", output = \"18\" }\n";

    fn provider(id: &str, models: &str) -> String {
        format!("schema = \"{PROVIDER}\"\n[provider]\nid = \"{id}\"\n{models}")
    }

    fn model(id: &str, more: &str) -> String {
        format!("[[model]]\nid = \"{id}\"\n{more}")
    }

    #[test]
    fn cards_of_a_known_model_replace_its_own_and_the_rest_stays() {
        let file = provider("openai", &model("gpt-5.4", CARD));
        let over = over(&[&file]).unwrap();
        let known = builtin().provider("openai").unwrap().unwrap();
        let laid = over.catalog.provider("openai").unwrap().unwrap();
        assert_eq!(laid.models.len(), known.models.len());
        let (before, after) = (
            known.model("gpt-5.4").unwrap(),
            laid.model("gpt-5.4").unwrap(),
        );
        assert_eq!(after.context, before.context);
        assert_eq!(after.cards.len(), 1);
        assert_eq!(&*after.cards[0].source, "contract");
        let other = "gpt-5.4-mini";
        assert_eq!(laid.model(other), known.model(other));
        let touched = Touched {
            provider: "openai".to_owned(),
            models: vec!["gpt-5.4".to_owned()],
            file: 0,
        };
        assert_eq!(over.touched, [touched]);
        assert_eq!(
            check::check(&over.catalog, "2026-11-25T12:00:00Z".parse().unwrap()).len(),
            check::check(builtin(), "2026-11-25T12:00:00Z".parse().unwrap()).len()
        );
    }

    #[test]
    fn a_provider_may_be_added_or_moved_and_models_given_to_it() {
        let more = format!("model_key = \"m\"\nmode = \"chat\"\n{CARD}");
        let own = provider("mine", "").replace(
            "id = \"mine\"",
            "id = \"mine\"\nname = \"Mine\"\norigin = \"DE\"\nusage_adapter = \"openai\"\n\
             protocol = \"openai\"\nenv = []\naddress_basis = \"own\"\nregions = [\"eu\"]\n\
             tier_boundary = \"gt\"",
        );
        let own = own.replace("[provider]", "generated = \"2026-11-25\"\n[provider]");
        let own = own + &model("m", &more);
        let moved = "schema = \"tollgate.catalog/1\"\n[provider]\nid = \"groq\"\n\
                     base_url = \"https://eu.example/v1\"\n";
        let moved = format!("{moved}{}", model("new", &more));
        let over = over(&[&own, &moved]).unwrap();
        let mine = over.catalog.provider("mine").unwrap().unwrap();
        assert_eq!(&*mine.models[0].id, "m");
        let groq = over.catalog.provider("groq").unwrap().unwrap();
        assert_eq!(groq.base_url.as_deref(), Some("https://eu.example/v1"));
        assert!(groq.model("new").is_some() && groq.models.len() > 1);
    }

    #[test]
    fn a_rate_of_the_bank_and_a_window_are_added_and_replace_those_of_the_same_name() {
        let bank = "schema = \"tollgate.fx/1\"\n[[rate]]\npair = \"CNY/USD\"\n\
                    from = \"2026-11-01\"\nnum = 1000\nden = 7123\nsource = \"bank\"\n";
        let hours = "schema = \"tollgate.schedules/1\"\n[[window]]\nid = \"alibaba-idle-2026\"\n\
                     hours_utc = [[\"01:00\", \"02:00\"]]\nsource = \"own\"\n";
        let over = over(&[bank, hours]).unwrap();
        let shared = over.catalog.shared();
        assert_eq!((shared.exchange[0].den, shared.exchange.len()), (7123, 2));
        assert_eq!(shared.windows.len(), builtin().shared().windows.len());
        let idle = shared
            .windows
            .iter()
            .find(|window| &*window.id == "alibaba-idle-2026");
        assert_eq!(idle.unwrap().hours.len(), 1);
    }

    #[test]
    fn a_later_file_lies_over_an_earlier_one() {
        let first = provider("openai", &model("gpt-5.4", CARD));
        let second = first.replace("\"9\"", "\"7\"");
        let over = over(&[&first, &second]).unwrap();
        let openai = over.catalog.provider("openai").unwrap().unwrap();
        let input = openai.model("gpt-5.4").unwrap().cards[0].rates.input;
        assert_eq!(input.unwrap().to_string(), "7");
    }

    #[test]
    fn a_file_that_makes_no_sense_is_refused_by_its_name() {
        for (text, says) in [
            ("schema = ", "0: 0.toml: TOML parse error"),
            ("schema = \"other\"", "0: 0.toml: schema: must be"),
            (
                "schema = \"tollgate.catalog/1\"",
                "0: 0.toml: provider: needs an `id`",
            ),
            (
                &provider("openai", "[[model]]\nmode = \"chat\"\n"),
                "model: each needs an `id`",
            ),
            (
                &provider("openai", &model("gpt-5.4", "kontext = 7\n")),
                "unknown field `kontext`",
            ),
            (&provider("nobody", ""), "missing field"),
        ] {
            let error = over(&[text]).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
