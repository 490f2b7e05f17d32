//! `policy` of a key or a route, and what is known of models that policies ask for.

use std::{collections::HashMap, sync::Arc};

use super::{Catalog, Findings, models::Models};
use crate::{
    catalog,
    config::{
        About, Hosting, Key, Policy, Route, Weights,
        mistake::Path,
        policy::{Lists, MaxPrice},
        raw,
    },
};

/// What a policy says; a list that names nobody is a mistake, as it would allow nobody.
pub(super) fn policy(raw: raw::Policy, path: &Path, findings: &mut Findings<'_>) -> Policy {
    let mut list = |key: &str, names: Option<Vec<raw::Name>>| -> Option<Vec<Arc<str>>> {
        let names = names?;
        if names.is_empty() {
            findings.mistake_with(
                &path.key(key),
                "must not be empty",
                "leave it out to allow all",
            );
        }
        Some(names.iter().map(lower).collect())
    };
    let price = raw.max_price.unwrap_or_default();
    Policy {
        regions: list("regions", raw.regions),
        hosting: raw.hosting.map(hosting),
        weights: raw.weights.map(weights),
        licences: list("licences", raw.licences),
        developers: Lists {
            only: list("developers", raw.developers),
            deny: list("deny_developers", raw.deny_developers),
        },
        countries: Lists {
            only: list("developer_countries", raw.developer_countries),
            deny: list("deny_developer_countries", raw.deny_developer_countries),
        },
        providers: Lists {
            only: list("providers", raw.providers),
            deny: list("deny_providers", raw.deny_providers),
        },
        max_price: MaxPrice {
            input: price.input.map(|price| price.0),
            output: price.output.map(|price| price.0),
        },
        max_retention_days: raw.max_retention_days,
    }
}

/// Warns of policies that allow nobody, and of providers that they name and that there are not.
pub(super) fn warn(
    routes: &[Route],
    keys: &[Key],
    models: &Models<'_, '_>,
    findings: &mut Findings<'_>,
) {
    let root = Path::root();
    for (index, route) in routes.iter().enumerate() {
        let path = root.key("routes").index(index).key("policy");
        let Some(policy) = &route.policy else {
            continue;
        };
        let of = |model: &usize| models.list.get(*model);
        let candidates = route.candidates.iter().filter_map(of);
        let backends = candidates.flat_map(|model| &model.backends);
        let allowed = backends.filter(|index| models.allowed_by(policy, **index));
        if allowed.count() == 0 {
            findings.warning(&path, "allows none of the route's backends", None);
        }
        unknown(policy, models, &path, findings);
    }
    for (index, key) in keys.iter().enumerate() {
        let path = root.key("keys").index(index).key("policy");
        let Some(policy) = &key.policy else { continue };
        let mut backends = 0..models.backends.len();
        if !backends.any(|index| models.allowed_by(policy, index)) {
            findings.warning(&path, "allows no backend at all", None);
        }
        unknown(policy, models, &path, findings);
    }
}

fn unknown(policy: &Policy, models: &Models<'_, '_>, path: &Path, findings: &mut Findings<'_>) {
    let Lists { only, deny } = &policy.providers;
    for (key, list) in [("providers", only), ("deny_providers", deny)] {
        for (index, name) in list.iter().flatten().enumerate() {
            let mut known = models.providers.iter();
            if !known.any(|(_, known, _)| known.name.eq_ignore_ascii_case(name)) {
                let message = format!("no provider is named `{name}`");
                findings.warning(&path.key(key).index(index), message, None);
            }
        }
    }
}

pub(super) fn hosting(raw: raw::Hosting) -> Hosting {
    match raw {
        raw::Hosting::Own => Hosting::Own,
        raw::Hosting::Vendor => Hosting::Vendor,
    }
}

pub(super) fn weights(raw: raw::Weights) -> Weights {
    match raw {
        raw::Weights::Open => Weights::Open,
        raw::Weights::Closed => Weights::Closed,
    }
}

pub(super) fn lower(name: &raw::Name) -> Arc<str> {
    name.0.to_ascii_lowercase().into()
}

/// Who made which model, by the ids that the catalogue's providers give it.
#[derive(Debug)]
pub(super) struct Makers(HashMap<Arc<str>, About>);

impl Makers {
    /// Of a whole catalogue. In what its providers contradict each other nothing is known.
    pub(super) fn of(catalog: &dyn Catalog) -> Self {
        let mut said = HashMap::<Arc<str>, Vec<About>>::new();
        for name in catalog.names() {
            let models = catalog.provider(name).map(|provider| &provider.models);
            for model in models.into_iter().flatten() {
                let of_id = said.entry(Arc::clone(&model.id)).or_default();
                of_id.push(about(model));
            }
        }
        let agreed = |(id, said): (Arc<str>, Vec<About>)| (id, agreed(&said));
        Self(said.into_iter().map(agreed).collect())
    }

    /// Of a model that its own provider's catalogue does not have.
    pub(super) fn find(&self, id: &str) -> Option<&About> {
        self.0.get(id)
    }
}

/// What the catalogue says of a model.
pub(super) fn about(model: &catalog::Model) -> About {
    let lower = |text: &Option<Arc<str>>| text.as_ref().map(|t| t.to_ascii_lowercase().into());
    About {
        developer: lower(&model.developer),
        country: lower(&model.developer_origin),
        weights: model.weights.as_deref().and_then(Weights::from_name),
        licence: lower(&model.licence),
    }
}

/// What is stated, and where it says nothing what is known.
pub(super) fn over(stated: About, known: About) -> About {
    About {
        developer: stated.developer.or(known.developer),
        country: stated.country.or(known.country),
        weights: stated.weights.or(known.weights),
        licence: stated.licence.or(known.licence),
    }
}

fn agreed(said: &[About]) -> About {
    fn one<T: PartialEq + Clone>(said: &[About], of: fn(&About) -> &Option<T>) -> Option<T> {
        let mut known = said.iter().filter_map(|about| of(about).as_ref());
        let first = known.next()?;
        known.all(|other| other == first).then(|| first.clone())
    }
    About {
        developer: one(said, |about| &about.developer),
        country: one(said, |about| &about.country),
        weights: one(said, |about| &about.weights),
        licence: one(said, |about| &about.licence),
    }
}
