//! A key as it is shown: in lists of the command line and of the operator's API. Never its secret,
//! and of the digest no more than tells two keys apart.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{Stored, Terms};
use crate::{
    config::{Key, Limits},
    money::{Total, Usd},
};

/// What is shown of a key.
#[derive(Debug, Serialize)]
pub struct View {
    pub id: String,
    /// `file` or `store`.
    pub source: &'static str,
    pub state: State,
    /// The first 8 hexadecimal digits of the secret's SHA-256.
    pub digest: String,
    pub models: Option<Vec<String>>,
    pub limits: LimitsView,
    pub budget: Option<BudgetView>,
    pub tags: Option<BTreeMap<String, String>>,
    /// `null` for keys of the file.
    pub created: Option<Timestamp>,
    pub expires: Option<Timestamp>,
    pub revoked: Option<Timestamp>,
    /// Until when the secret is accepted that was replaced; `null`: it is not.
    pub former_until: Option<Timestamp>,
}

/// Is a key accepted?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Active,
    Expired,
    Revoked,
    /// The file has a key of the same id, and that one is used.
    Shadowed,
}

/// `limits` of a key; `null` is unlimited.
#[derive(Debug, Serialize)]
pub struct LimitsView {
    pub rpm: Option<u32>,
    pub tpm: Option<u64>,
    pub max_concurrent: Option<u32>,
}

/// `budget` of a key.
#[derive(Debug, Serialize)]
pub struct BudgetView {
    pub usd: Usd,
    pub soft: Option<Usd>,
    pub per: &'static str,
    /// In its window, as far as the ledger has it; `null`: it was not asked.
    pub spent_usd: Option<Total>,
    /// Of it, for requests under way; only a running gateway knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_usd: Option<Total>,
}

impl View {
    /// Of a stored key; `shadowed`: the file has one of the same id.
    #[must_use]
    pub fn of(stored: &Stored, shadowed: bool, now: Timestamp) -> Self {
        let former = stored.former.filter(|former| now < former.until);
        Self {
            state: match stored.revoked {
                Some(_) => State::Revoked,
                None if shadowed => State::Shadowed,
                None => State::until(stored.terms.expires, now),
            },
            created: Some(stored.created),
            revoked: stored.revoked,
            former_until: former.map(|former| former.until),
            ..Self::new(&stored.id, "store", &stored.digest, &stored.terms)
        }
    }

    /// Of a key of the configuration file.
    #[must_use]
    pub fn of_file(key: &Key, now: Timestamp) -> Self {
        let terms = Terms {
            models: key.models.clone(),
            limits: key.limits,
            budget: key.budget,
            expires: key.expires,
            tags: key.tags.clone(),
        };
        Self {
            state: State::until(key.expires, now),
            ..Self::new(&key.id, "file", &key.sha256, &terms)
        }
    }

    /// The same with what was spent of the budget.
    #[must_use]
    pub fn with_spent(mut self, spent: Option<Total>) -> Self {
        if let Some(budget) = &mut self.budget {
            budget.spent_usd = spent;
        }
        self
    }

    /// The same with what is held of the budget.
    #[must_use]
    pub fn with_held(mut self, held: Option<Total>) -> Self {
        if let Some(budget) = &mut self.budget {
            budget.held_usd = held;
        }
        self
    }

    fn new(id: &str, source: &'static str, digest: &[u8; 32], terms: &Terms) -> Self {
        let texts = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let (tags, models) = (terms.tags.as_ref(), terms.models.as_ref());
        Self {
            id: id.to_owned(),
            source,
            state: State::Active,
            digest: digest.iter().take(4).map(|b| format!("{b:02x}")).collect(),
            models: models.map(|models| models.iter().map(|model| model.to_string()).collect()),
            limits: terms.limits.into(),
            budget: terms.budget.map(|budget| BudgetView {
                usd: budget.usd,
                soft: budget.soft,
                per: budget.per.as_str(),
                spent_usd: None,
                held_usd: None,
            }),
            tags: tags.map(|tags| tags.iter().map(texts).collect()),
            created: None,
            expires: terms.expires,
            revoked: None,
            former_until: None,
        }
    }
}

impl State {
    fn until(expires: Option<Timestamp>, now: Timestamp) -> Self {
        match expires {
            Some(expires) if now >= expires => Self::Expired,
            Some(_) | None => Self::Active,
        }
    }

    /// The word that is shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Shadowed => "shadowed",
        }
    }
}

impl From<Limits> for LimitsView {
    fn from(limits: Limits) -> Self {
        Self {
            rpm: limits.rpm.map(Into::into),
            tpm: limits.tpm.map(Into::into),
            max_concurrent: limits.max_concurrent.map(Into::into),
        }
    }
}
