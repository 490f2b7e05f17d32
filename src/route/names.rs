//! What a model name means: a route, a model, an alias, or one backend pinned by its full name.

use std::{collections::HashMap, sync::Arc};

use crate::config::Config;

/// What a client asked for. Indices point into the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Index into `routes`.
    Route(usize),
    /// Index into `models`.
    Model(usize),
    /// `provider/model`: one backend, and a model that it serves.
    Backend { model: usize, backend: usize },
}

impl Target {
    /// The name that it has in the configuration.
    #[must_use]
    pub fn name(self, config: &Config) -> Option<&Arc<str>> {
        match self {
            Self::Route(route) => Some(&config.routes.get(route)?.name),
            Self::Model(model) => Some(&config.models.get(model)?.name),
            Self::Backend { backend, .. } => Some(&config.backends.get(backend)?.name),
        }
    }
}

/// Every name that may be asked for.
#[derive(Debug, Default)]
pub struct Names {
    exact: HashMap<Arc<str>, Target>,
    /// Prefix and model of each wildcard, the longest prefix first.
    wild: Vec<(Arc<str>, usize)>,
}

impl Names {
    /// Collects the names of a configuration. Where two mean different things, the check of the
    /// configuration has refused them, except that a pinned name gives way to a declared one.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut names = Self::default();
        for (index, model) in config.models.iter().enumerate() {
            for backend in &model.backends {
                if let Some(pinned) = config.backends.get(*backend) {
                    let target = Target::Backend {
                        model: index,
                        backend: *backend,
                    };
                    names.exact.entry(pinned.name.clone()).or_insert(target);
                }
            }
        }
        for (index, model) in config.models.iter().enumerate() {
            for alias in &model.aliases {
                names.exact.insert(alias.clone(), Target::Model(index));
            }
            match model.name.strip_suffix('*').filter(|_| model.wildcard) {
                Some(prefix) => names.wild.push((prefix.into(), index)),
                None => drop(names.exact.insert(model.name.clone(), Target::Model(index))),
            }
        }
        for (index, route) in config.routes.iter().enumerate() {
            names.exact.insert(route.name.clone(), Target::Route(index));
        }
        names
            .wild
            .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        names
    }

    /// What a name means; an exact name beats a wildcard, a longer wildcard a shorter one.
    #[must_use]
    pub fn find(&self, asked: &str) -> Option<Target> {
        self.exact.get(asked).copied().or_else(|| {
            let (_, model) = self
                .wild
                .iter()
                .find(|(prefix, _)| asked.starts_with(&**prefix))?;
            Some(Target::Model(*model))
        })
    }

    /// Every exact name with its meaning, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, Target)> {
        self.exact.iter().map(|(name, target)| (name, *target))
    }
}
