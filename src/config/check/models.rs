//! What clients may ask for by a plain name, and which backends serve it.
//!
//! Models come from the file; without `models:` from the catalogue; and one by one from the
//! catalogue where a route names them. It promises that every index it gives is valid.

use std::sync::Arc;

use super::{
    Catalog, Findings,
    backends::{self, Backends, Stated, backend},
    names::{Named, Names},
    offers::{self, Offer},
    policy::{self, Makers},
    providers::Providers,
    server::limits,
};
use crate::{
    caps::Caps,
    catalog::Status,
    config::{About, Backend, Limits, Model, Policy, mistake::Path, raw},
};

/// The models and backends so far.
pub(super) struct Models<'p, 'c> {
    pub(super) providers: &'p Providers<'c>,
    catalog: &'c dyn Catalog,
    pub(super) backends: Backends,
    pub(super) list: Vec<Model>,
    names: Names,
    /// How many are meant by `"*"`: not those that only a route names.
    pub(super) all: usize,
    /// Who made which model, where a policy asks.
    makers: Option<Makers>,
}

impl<'p, 'c> Models<'p, 'c> {
    /// `policies`: does anybody ask who made a model?
    pub(super) fn new(
        providers: &'p Providers<'c>,
        catalog: &'c dyn Catalog,
        policies: bool,
    ) -> Self {
        Self {
            makers: policies.then(|| Makers::of(catalog)),
            providers,
            catalog,
            backends: Backends::default(),
            list: Vec::new(),
            names: Names::default(),
            all: 0,
        }
    }

    /// Adds the models of the file.
    pub(super) fn add_written(&mut self, models: Vec<raw::Model>, findings: &mut Findings<'_>) {
        for (index, raw) in models.into_iter().enumerate() {
            let path = Path::root().key("models").index(index);
            let named = Named::Model(index);
            self.names
                .claim(&raw.name.0, named, &path.key("name"), findings);
            let aliases = raw.aliases.unwrap_or_default();
            for (i, alias) in aliases.iter().enumerate() {
                self.names
                    .claim(&alias.0, named, &path.key("aliases").index(i), findings);
            }
            let stated = Stated {
                context: raw.context,
                max_output: raw.max_output,
                tokenizer: raw.tokenizer.map(backends::family),
                caps: raw.caps.as_deref().map(backends::caps),
                quality: raw
                    .quality
                    .as_ref()
                    .map(backends::quality)
                    .unwrap_or_default(),
                ..Stated::default()
            };
            let about = About {
                developer: raw.developer.as_ref().map(policy::lower),
                country: raw.developer_country.as_ref().map(policy::lower),
                weights: raw.weights.map(policy::weights),
                licence: raw.licence.as_ref().map(policy::lower),
            };
            let stated = (stated, about);
            let backends = self.written_backends(raw.backends, stated, &path, findings);
            self.list.push(Model {
                wildcard: raw.name.0.ends_with('*'),
                name: raw.name.0.into(),
                aliases: aliases.into_iter().map(|alias| alias.0.into()).collect(),
                backends,
                limits: limits(raw.limits),
            });
        }
        self.all = self.list.len();
    }

    /// Does a policy allow a backend, as far as prices are left out?
    pub(super) fn allowed_by(&self, policy: &Policy, backend: usize) -> bool {
        let Some(backend) = self.backends.get(backend) else {
            return false;
        };
        let provider = self.providers.get(backend.provider);
        provider.is_some_and(|(provider, _)| policy.broken(provider, backend).is_none())
    }

    fn written_backends(
        &mut self,
        written: Vec<raw::Backend>,
        (stated, about): (Stated, About),
        path: &Path,
        findings: &mut Findings<'_>,
    ) -> Vec<usize> {
        let path = path.key("backends");
        if written.is_empty() {
            findings.mistake(&path, "must not be empty");
        }
        let mut indices = Vec::new();
        for (i, raw) in written.into_iter().enumerate() {
            let path = path.index(i);
            let at = path.key("provider");
            let Some(index) = self
                .providers
                .find(&raw.provider, &at, self.catalog, findings)
            else {
                continue;
            };
            let Some((provider, facts)) = self.providers.get(index) else {
                continue;
            };
            let price = raw.price.clone();
            let stated = Stated {
                max_batch: raw.max_batch,
                max_tools: raw.max_tools,
                schema_lacks: raw.schema_lacks.map(|all| all.0),
                strict_schema_lacks: raw.strict_schema_lacks.map(|all| all.0),
                ..stated
            };
            if raw.max_batch == Some(0) {
                findings.mistake(&path.key("max_batch"), "must be at least 1");
            }
            let mut backend = backend((index, provider, facts), &raw.model.0, raw.price, stated);
            let made = self.makers.as_ref().and_then(|all| all.find(&raw.model.0));
            let known = policy::over(backend.about, made.cloned().unwrap_or_default());
            backend.about = policy::over(about.clone(), known);
            if let Some(raw::Price::Rates(rates)) = price {
                let serves = backend.serves.unwrap_or(Caps::default().purposes());
                if let Some(lacks) = backends::lacks_rates(&rates, serves) {
                    findings.mistake(&path.key("price"), lacks);
                }
            }
            let index = self.backends.add_written(backend, &path, findings);
            if indices.contains(&index) {
                findings.mistake(&path, "the same backend twice in one model");
            } else {
                indices.push(index);
            }
        }
        indices
    }

    /// Takes the names of the routes before the catalogue gives any.
    pub(super) fn claim_routes(&mut self, routes: &[raw::Route], findings: &mut Findings<'_>) {
        for (index, route) in routes.iter().enumerate() {
            let path = Path::root().key("routes").index(index).key("name");
            self.names
                .claim(&route.name.0, Named::Route, &path, findings);
        }
    }

    /// Adds every current chat model of every configured provider. One whose ids are all taken
    /// can still be asked for as `provider/model`.
    pub(super) fn add_all_offers(&mut self, findings: &mut Findings<'_>) {
        let groups = offers::groups(self.providers);
        let backends: Vec<_> = groups
            .iter()
            .map(|group| self.offered_backends(group.offers()))
            .collect();
        for (group, backends) in groups.iter().zip(backends) {
            let index = self.list.len();
            let mut names = group.ids();
            // at a reseller, `openai/gpt-5` may be the name of what is another backend here
            names.retain(|id| {
                !self.backends.hidden_by(id, &backends)
                    && self.names.claim_free(id, Named::Model(index))
            });
            let mut names = names.into_iter();
            if let Some(name) = names.next() {
                let aliases = names.collect();
                self.list.push(Model {
                    name,
                    wildcard: false,
                    aliases,
                    backends,
                    limits: Limits::default(),
                });
            }
        }
        self.all = self.list.len();
        if self.list.is_empty() {
            let hint = "write `models`, or a provider of the catalogue";
            let message = "no model can be asked for";
            findings.warning(&Path::root(), message, Some(hint.to_owned()));
        }
    }

    fn offered_backends(&mut self, offers: &[Offer<'c>]) -> Vec<usize> {
        let mut indices = Vec::new();
        for offer in offers {
            let Some((provider, facts)) = self.providers.get(offer.provider) else {
                continue;
            };
            let at = (offer.provider, provider, facts);
            let backend = backend(at, &offer.model.id, None, Stated::default());
            let index = self.backends.add_offered(backend);
            if !indices.contains(&index) {
                indices.push(index);
            }
        }
        indices
    }

    /// The model that a route means; an unknown name is a mistake.
    pub(super) fn resolve(
        &mut self,
        name: &str,
        path: &Path,
        findings: &mut Findings<'_>,
    ) -> Option<usize> {
        match self.names.get(name) {
            Some(Named::Model(index)) => return Some(index),
            Some(Named::Route) => {
                let message = format!("`{}` is a route, not a model", findings.shown(path));
                findings.mistake(path, message);
                return None;
            }
            None => {}
        }
        let offers = offers::by_id(self.providers, name);
        if offers.is_empty() {
            let message = format!("no model is named `{}`", findings.shown(path));
            let hint = match self.names.similar(name, findings) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => unknown_model(name, self.catalog),
            };
            findings.mistake_with(path, message, hint);
            return None;
        }
        let backends = self.offered_backends(&offers);
        let index = self.list.len();
        let name: Arc<str> = name.into();
        self.names.claim_free(&name, Named::Model(index));
        self.list.push(Model {
            name,
            wildcard: false,
            aliases: Vec::new(),
            backends,
            limits: Limits::default(),
        });
        Some(index)
    }

    /// What `"*"` means.
    pub(super) fn all(&self) -> std::ops::Range<usize> {
        0..self.all
    }

    /// Every name that a client may ask for, backends included.
    pub(super) fn callable(&self) -> impl Iterator<Item = &str> {
        let backends = self.backends.iter().map(|(backend, _)| &*backend.name);
        self.names.iter().chain(backends)
    }

    pub(super) fn finish(self) -> (Vec<Backend>, Vec<Model>) {
        (self.backends.finish(), self.list)
    }
}

/// Who offers a model that no configured provider has.
fn unknown_model(name: &str, catalog: &dyn Catalog) -> String {
    let offering = catalog.names().into_iter().find(|provider| {
        let models = catalog
            .provider(provider)
            .map_or(&[][..], |provider| &provider.models);
        models
            .iter()
            .any(|model| &*model.id == name && model.status == Status::Current)
    });
    match offering {
        Some(provider) => {
            format!("{provider} offers it: add `{provider}: {{ api_key: … }}` under `providers`")
        }
        None => "write it under `models`".to_owned(),
    }
}
