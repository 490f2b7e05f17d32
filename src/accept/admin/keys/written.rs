//! Bodies of the operator's requests about keys. Values follow the rules of the configuration file;
//! an unknown member is a mistake.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::{
    accept::admin::refusal::Refusal,
    config::{Budget, Limits, Tags, raw},
    store::keys::Patch,
};

/// How long a secret that is replaced is accepted, unless it is said.
pub(super) const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// A new key.
#[derive(Debug, Deserialize)]
#[serde(from = "CreateMembers")]
pub(super) struct Create {
    pub(super) id: Option<raw::Name>,
    pub(super) change: Change,
}

/// As it is written: what a new key allows stands beside its id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateMembers {
    id: Option<raw::Name>,
    models: Option<Vec<raw::Pattern>>,
    limits: Option<raw::Limits>,
    budget: Option<raw::Budget>,
    expires: Option<raw::Moment>,
    tags: Option<BTreeMap<String, raw::TagValue>>,
}

/// What is to be changed of a key: a member that is missing stays, `null` is taken away.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    #[serde(default, deserialize_with = "given")]
    models: Option<Option<Vec<raw::Pattern>>>,
    #[serde(default, deserialize_with = "given")]
    limits: Option<Option<raw::Limits>>,
    #[serde(default, deserialize_with = "given")]
    budget: Option<Option<raw::Budget>>,
    #[serde(default, deserialize_with = "given")]
    expires: Option<Option<raw::Moment>>,
    #[serde(default, deserialize_with = "given")]
    tags: Option<Option<BTreeMap<String, raw::TagValue>>>,
}

/// How a secret is replaced.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    pub(super) overlap: Option<raw::TimeSpan>,
}

/// Nothing can be said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

impl From<CreateMembers> for Create {
    fn from(members: CreateMembers) -> Self {
        Self {
            id: members.id,
            change: Change {
                models: members.models.map(Some),
                limits: members.limits.map(Some),
                budget: members.budget.map(Some),
                expires: members.expires.map(Some),
                tags: members.tags.map(Some),
            },
        }
    }
}

impl TryFrom<Change> for Patch {
    type Error = Refusal;

    fn try_from(change: Change) -> Result<Self, Refusal> {
        let limits = change.limits;
        let limits = limits.map(|limits| limits.map_or_else(Limits::default, Into::into));
        let names = |models: Vec<raw::Pattern>| models.into_iter().map(|m| m.0.into()).collect();
        Ok(Self {
            models: change.models.map(|models| models.map(names)),
            rpm: limits.map(|limits| limits.rpm),
            tpm: limits.map(|limits| limits.tpm),
            max_concurrent: limits.map(|limits| limits.max_concurrent),
            budget: match change.budget {
                None => None,
                Some(None) => Some(None),
                Some(Some(budget)) => Some(Some(amounts(budget)?)),
            },
            expires: change.expires.map(later).transpose()?,
            tags: match change.tags {
                None => None,
                Some(None) => Some(None),
                Some(Some(list)) => Some(tags(&list)?),
            },
        })
    }
}

/// A soft limit above the hard one is a mistake here as in the file.
fn amounts(budget: raw::Budget) -> Result<Budget, Refusal> {
    let wrong = |error| Refusal::Form(format!("budget.soft: {error}"));
    budget.checked().map_err(wrong)
}

/// A moment that is still to come: a key that is over when it is made is a mistake, and one that is
/// to end now is revoked.
fn later(expires: Option<raw::Moment>) -> Result<Option<Timestamp>, Refusal> {
    let moment = expires.map(|moment| moment.0);
    match moment.filter(|moment| *moment <= Timestamp::now()) {
        None => Ok(moment),
        Some(past) => Err(Refusal::Form(format!(
            "expires: {past} is over; revoke a key to end it now"
        ))),
    }
}

fn tags(list: &BTreeMap<String, raw::TagValue>) -> Result<Option<Arc<Tags>>, Refusal> {
    let pairs = list.iter().map(|(name, value)| (&**name, &*value.0));
    let tags = Tags::of(pairs).map_err(|error| Refusal::Form(format!("tags: {error}")))?;
    Ok((!tags.is_empty()).then(|| Arc::new(tags)))
}

/// A member that is there, though it may be `null`.
fn given<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
