//! Policy: which backends a key or a route allows, by where and whose they are.
//!
//! Every part that is written must hold. What nobody knows of a backend holds no part that asks
//! for it: a policy is a promise, and a guess would break it. Names are compared without regard to
//! case; they are kept in lower case.

use std::sync::Arc;

use super::{Backend, Provider};
use crate::money::Rate;

/// What a key or a route allows. Lists: `None` allows everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Where the provider stands.
    pub regions: Option<Vec<Arc<str>>>,
    pub hosting: Option<Hosting>,
    pub weights: Option<Weights>,
    pub licences: Option<Vec<Arc<str>>>,
    pub developers: Lists,
    /// ISO 3166 countries of developers.
    pub countries: Lists,
    pub providers: Lists,
    /// Dollars per 1,000,000 tokens, at most.
    pub max_price: MaxPrice,
    /// Days for which the provider keeps what it was sent, at most.
    pub max_retention_days: Option<u32>,
}

/// Who is allowed, and who is not even then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    /// `None`: everybody.
    pub only: Option<Vec<Arc<str>>>,
    /// `None`: nobody is denied. One who is not known is denied where somebody is.
    pub deny: Option<Vec<Arc<str>>>,
}

/// The most that tokens may cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MaxPrice {
    pub input: Option<Rate>,
    pub output: Option<Rate>,
}

/// Whose hardware it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosting {
    /// One's own.
    Own,
    /// A vendor's.
    Vendor,
}

/// Can the weights of a model be had?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    Open,
    Closed,
}

/// What is known of a model beside what it can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    pub developer: Option<Arc<str>>,
    /// ISO 3166 country of the developer.
    pub country: Option<Arc<str>>,
    pub weights: Option<Weights>,
    pub licence: Option<Arc<str>>,
}

/// What a policy asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    Provider,
    Region,
    Hosting,
    Retention,
    Developer,
    Country,
    Weights,
    Licence,
    /// The price of the prompt or of the answer.
    Price,
}

impl Rule {
    /// The label in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Provider => "policy_provider",
            Self::Region => "policy_region",
            Self::Hosting => "policy_hosting",
            Self::Retention => "policy_retention",
            Self::Developer => "policy_developer",
            Self::Country => "policy_country",
            Self::Weights => "policy_weights",
            Self::Licence => "policy_licence",
            Self::Price => "policy_price",
        }
    }

    /// What is asked of a backend, in words.
    #[must_use]
    pub fn asks(self) -> &'static str {
        match self {
            Self::Provider => "other providers",
            Self::Region => "another region",
            Self::Hosting => "other hosting",
            Self::Retention => "a shorter retention of data",
            Self::Developer => "another developer",
            Self::Country => "a developer of another country",
            Self::Weights => "other weights (open or closed)",
            Self::Licence => "another licence",
            Self::Price => "a lower price",
        }
    }
}

impl Policy {
    /// The first rule that a backend breaks; of prices, which depend on the request, nothing is
    /// said.
    #[must_use]
    pub fn broken(&self, provider: &Provider, backend: &Backend) -> Option<Rule> {
        let Self {
            regions,
            hosting,
            weights,
            licences,
            developers,
            countries,
            providers,
            max_price: _,
            max_retention_days: most,
        } = self;
        let in_list = |list: &Option<Vec<_>>, known: Option<&str>| match (list, known) {
            (None, _) => true,
            (Some(list), Some(known)) => has(list, known),
            (Some(_), None) => false,
        };
        let about = &backend.about;
        let keeps = provider.retention_days;
        let kept = most.is_none_or(|most| keeps.is_some_and(|keeps| keeps <= most));
        [
            (Rule::Provider, providers.allow(Some(&provider.name))),
            (Rule::Region, in_list(regions, provider.region.as_deref())),
            (
                Rule::Hosting,
                hosting.is_none() || *hosting == provider.hosting,
            ),
            (Rule::Retention, kept),
            (
                Rule::Developer,
                developers.allow(about.developer.as_deref()),
            ),
            (Rule::Country, countries.allow(about.country.as_deref())),
            (
                Rule::Weights,
                weights.is_none() || *weights == about.weights,
            ),
            (Rule::Licence, in_list(licences, about.licence.as_deref())),
        ]
        .into_iter()
        .find_map(|(rule, holds)| (!holds).then_some(rule))
    }
}

impl Lists {
    /// Does it allow everybody?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.only.is_none() && self.deny.is_none()
    }

    /// Is this one allowed? `None`: who it is is not known.
    #[must_use]
    pub fn allow(&self, name: Option<&str>) -> bool {
        let Some(name) = name else {
            return self.is_open();
        };
        self.only.as_ref().is_none_or(|only| has(only, name))
            && self.deny.as_ref().is_none_or(|deny| !has(deny, name))
    }
}

/// Is it in the list, whatever its case?
#[must_use]
pub fn has(list: &[Arc<str>], name: &str) -> bool {
    list.iter().any(|one| one.eq_ignore_ascii_case(name))
}

impl Hosting {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Vendor => "vendor",
        }
    }
}

impl Weights {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }

    /// From what a file says.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Open, Self::Closed]
            .into_iter()
            .find(|weights| weights.as_str() == name)
    }
}
