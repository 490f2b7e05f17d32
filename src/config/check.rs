//! From what was written to what will run, or every mistake of meaning at once.
//!
//! Pure: given the raw configuration, the tree that says where things stand, the catalogue, and an
//! environment that hands it the certificates which the configuration names.
//! A mistake never stops the search for more; a section that is wrong is checked on with a
//! stand-in that is thrown away in the end.

use std::{collections::HashMap, path::Path as FilePath, sync::Arc};

use jiff::tz::TimeZone;

use crate::{
    catalog::{
        self, CatalogError, Shared,
        overlay::{File, Overlaid},
    },
    config::{
        Config,
        load::{self, Environment, Source},
        mistake::{self, Mistake, Mistakes, Note, Path},
        raw::Raw,
        yaml::Value,
    },
};

mod backends;
mod budgets;
mod catalogue;
mod keys;
mod models;
mod names;
mod offers;
mod policy;
mod providers;
mod routes;
mod scores;
mod server;
mod unintended;

/// The facts about providers that need not be written down.
pub trait Catalog {
    /// The provider of that id.
    fn provider(&self, name: &str) -> Option<&catalog::Provider>;

    /// The ids of all providers.
    fn names(&self) -> Vec<&str>;

    /// What price cards refer to.
    fn shared(&self) -> Arc<Shared>;

    /// The same with files over it.
    ///
    /// # Errors
    /// Which file makes no sense, and why.
    fn overlaid(&self, files: &[File]) -> Result<Overlaid, (usize, CatalogError)>;
}

/// A configuration that can run, and what may still be unintended.
#[derive(Debug)]
pub struct Checked {
    pub config: Config,
    pub warnings: Vec<Note>,
}

/// Checks the meaning.
///
/// # Errors
/// Every mistake, in the order of the file.
pub(super) fn check(
    raw: Raw,
    source: &Source,
    catalog: &dyn Catalog,
    env: &dyn Environment,
    offer_all: bool,
) -> Result<Checked, Mistakes> {
    let mut findings = Findings::of(source, env);
    let own = catalogue::over(raw.catalog.unwrap_or_default(), catalog, &mut findings);
    let catalog = own.as_ref().map_or(catalog, |own| own as &dyn Catalog);
    let limits = server::limits(raw.limits);
    let time_zone = raw.time_zone.map_or(TimeZone::UTC, |zone| zone.0);
    let server = server::server(raw.server.unwrap_or_default(), &mut findings);
    let admin = server::admin(raw.admin.unwrap_or_default(), &server, &mut findings);
    let store = server::store(raw.store.unwrap_or_default(), &mut findings);
    let retries = server::retries(&raw.retries.unwrap_or_default());
    let breaker = server::breaker(&raw.breaker.unwrap_or_default(), &mut findings);
    let metrics = server::series(&raw.metrics.unwrap_or_default());
    let evidence = server::evidence(&raw.evidence.unwrap_or_default());
    let scored = scores::check(raw.scores, raw.calibration, &mut findings);
    let providers = providers::check(raw.providers.unwrap_or_default(), catalog, &mut findings);

    let routes = raw.routes.unwrap_or_default();
    let keys = raw.keys.unwrap_or_default();
    let policies = routes.iter().any(|route| route.policy.is_some())
        || keys.iter().any(|key| key.policy.is_some());
    let mut models = models::Models::new(&providers, catalog, policies);
    let all_from_catalogue = offer_all || raw.models.is_none();
    models.add_written(raw.models.unwrap_or_default(), &mut findings);
    models.claim_routes(&routes, &mut findings);
    if all_from_catalogue {
        models.add_all_offers(&mut findings);
    }
    let routes = routes::check(routes, &mut models, &mut findings);

    let keys = keys::check(keys, &models, &mut findings);
    keys::apart_from_admin(&keys, &admin, &mut findings);
    let budgets = raw.budgets.unwrap_or_default();
    let budgets = budgets::check(budgets, &routes, &keys, &mut findings);
    let auth = server::auth(
        &raw.auth.unwrap_or_default(),
        &server,
        (&keys, &store),
        &mut findings,
    );
    models.warn(&routes, &mut findings);
    policy::warn(&routes, &keys, &models, &mut findings);

    let Findings {
        mistakes, warnings, ..
    } = findings;
    if !mistakes.is_empty() {
        return Err(Mistakes::in_file(&source.file, mistakes));
    }
    let (backends, models) = models.finish();
    let providers = providers.finish();
    let config = Config {
        server,
        admin,
        store,
        prices: catalog.shared(),
        scored,
        auth,
        providers,
        backends,
        models,
        routes,
        keys,
        budgets,
        retries,
        breaker,
        limits,
        time_zone,
        metrics,
        evidence,
    };
    Ok(Checked {
        config,
        warnings: mistake::sorted(&source.file, warnings),
    })
}

/// The catalogue that a configuration runs on; `None`: the one that was given.
///
/// # Errors
/// Every mistake in the files of `catalog`.
pub(super) fn catalogue(
    raw: Raw,
    source: &Source,
    catalog: &dyn Catalog,
    env: &dyn Environment,
) -> Result<Option<catalog::Catalog>, Mistakes> {
    let mut findings = Findings::of(source, env);
    let own = catalogue::over(raw.catalog.unwrap_or_default(), catalog, &mut findings);
    if findings.mistakes.is_empty() {
        return Ok(own);
    }
    Err(Mistakes::in_file(&source.file, findings.mistakes))
}

/// What was found so far.
struct Findings<'a> {
    source: &'a Source,
    env: &'a dyn Environment,
    mistakes: Vec<Mistake>,
    warnings: Vec<Note>,
}

impl<'a> Findings<'a> {
    fn of(source: &'a Source, env: &'a dyn Environment) -> Self {
        Self {
            source,
            env,
            mistakes: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Findings<'_> {
    fn mistake(&mut self, path: &Path, message: impl Into<String>) {
        self.mistakes.push(self.at(path, message));
    }

    fn mistake_with(&mut self, path: &Path, message: impl Into<String>, hint: impl Into<String>) {
        self.mistakes.push(self.at(path, message).hint(hint));
    }

    /// What a file holds; one that can't be read is a mistake.
    fn file(&mut self, path: &Path, file: &FilePath) -> Option<String> {
        let content = self.env.file(file);
        content
            .map_err(|error| {
                let message = format!("the file cannot be read: {}", load::reason(&error));
                self.mistake(path, message);
            })
            .ok()
    }

    fn warning(&mut self, path: &Path, message: impl Into<String>, hint: Option<String>) {
        let note = self.at(path, message);
        self.warnings.push(Note { hint, ..note });
    }

    /// The value at a path as a message may show it: variables as they were written.
    fn shown(&self, path: &Path) -> String {
        match &self.source.root.nearest(path).1.value {
            Value::Scalar(scalar) => scalar.shown(),
            Value::List(_) | Value::Map(_) => "…".to_owned(),
        }
    }

    /// A list that is longer than a file may hold is a mistake.
    fn at_most(&mut self, most: usize, count: usize, root: &Path, what: &str) {
        if count > most {
            self.mistake(root, format!("{count} {what}: a file may hold {most}"));
        }
    }

    /// The id of the item at this place of a list; one that stands there already is a mistake.
    fn own_id(&mut self, ids: &mut HashMap<String, usize>, id: &str, root: &Path, index: usize) {
        if let Some(first) = ids.insert(id.to_owned(), index) {
            let first = self.line(&root.index(first));
            let path = root.index(index).key("id");
            let message = format!("the id `{}` is taken, {first}", self.shown(&path));
            self.mistake(&path, message);
        }
    }

    /// `line 3` of the value at a path.
    fn line(&self, path: &Path) -> String {
        format!("line {}", self.source.root.nearest(path).0.line)
    }

    fn at(&self, path: &Path, message: impl Into<String>) -> Mistake {
        Mistake::new(self.source.root.nearest(path).0, path, message)
    }
}

impl Catalog for catalog::Catalog {
    fn provider(&self, name: &str) -> Option<&catalog::Provider> {
        Self::provider(self, name)?.ok()
    }

    fn names(&self) -> Vec<&str> {
        Self::names(self).collect()
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(Self::shared(self))
    }

    fn overlaid(&self, files: &[File]) -> Result<Overlaid, (usize, CatalogError)> {
        Self::overlaid(self, files)
    }
}
