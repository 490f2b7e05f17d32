//! Every limit of a configuration but those of keys, by whose it is.

use std::{collections::HashMap, sync::Arc};

use super::{
    holders::Holder,
    limits::{Limits, Whose},
};
use crate::config::{self, Config};

/// The limits that are at work.
#[derive(Debug, Default)]
pub struct Table {
    gateway: Option<Arc<Limits>>,
    /// In the order of the configuration.
    routes: Vec<Option<Arc<Limits>>>,
    models: Vec<Option<Arc<Limits>>>,
    providers: Vec<Option<Arc<Limits>>>,
}

impl Table {
    /// The limits of a configuration. Those that have not changed go on as they are, with what was
    /// taken of them.
    #[must_use]
    pub fn of(config: &Config, before: Option<&Self>) -> Self {
        let known: HashMap<&Whose, &Arc<Limits>> = before
            .map(Self::iter)
            .into_iter()
            .flatten()
            .map(|limits| (&limits.whose, limits))
            .collect();
        let at_work = |whose: Whose, stated: config::Limits| match known.get(&whose) {
            Some(limits) if limits.stated == stated => Some(Arc::clone(limits)),
            _ => Limits::of(whose, stated),
        };
        Self {
            gateway: at_work(Whose::Gateway, config.limits),
            routes: config
                .routes
                .iter()
                .map(|r| at_work(Whose::Route(r.name.clone()), r.limits))
                .collect(),
            models: config
                .models
                .iter()
                .map(|m| at_work(Whose::Model(m.name.clone()), m.limits))
                .collect(),
            providers: config
                .providers
                .iter()
                .map(|p| at_work(Whose::Provider(p.name.clone()), p.limits))
                .collect(),
        }
    }

    /// What every request of a caller is held to: the gateway's limits and the key's.
    pub fn of_caller<'a>(
        &'a self,
        holder: Option<&'a Holder>,
    ) -> impl Iterator<Item = &'a Arc<Limits>> + Clone {
        let key = holder.and_then(|holder| holder.limits.as_ref());
        self.gateway.iter().chain(key)
    }

    /// The limits of a route, by its index.
    #[must_use]
    pub fn of_route(&self, route: usize) -> Option<&Arc<Limits>> {
        self.routes.get(route)?.as_ref()
    }

    /// What a call of a model at a provider is held to, by their indices.
    pub fn of_call(
        &self,
        model: usize,
        provider: usize,
    ) -> impl Iterator<Item = &Arc<Limits>> + Clone {
        let model = self.models.get(model).and_then(Option::as_ref);
        let provider = self.providers.get(provider).and_then(Option::as_ref);
        model.into_iter().chain(provider)
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<Limits>> {
        let lists = [&self.routes, &self.models, &self.providers]
            .into_iter()
            .flatten()
            .flatten();
        self.gateway.iter().chain(lists)
    }
}
