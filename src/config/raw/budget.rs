//! Budgets as they are written: of a key, and those that many share.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Money, Name, TagMatch};
use crate::config;

/// What may be spent in a window of time.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The most that may be spent in each window, in USD.
    pub usd: Money,
    /// Where more than this is spent, metrics, log and a header of answers tell it; nothing is
    /// refused. Absent: never.
    pub soft: Option<Money>,
    /// The window: days, weeks (from Monday) and months of `time_zone`; `total` never ends.
    pub per: Period,
}

/// What may be spent together in a window of time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SharedBudget {
    /// Its name in metrics, log and messages.
    pub id: Name,
    /// Counts keys with this tag, `team=a`; with the name alone, `team`, each value has a budget of
    /// its own of this size. Only tags that are set on the key count.
    pub tag: Option<TagMatch>,
    /// Counts what asks for this route. Without `tag` and `route` every request counts.
    pub route: Option<Name>,
    /// The most that may be spent in each window, in USD.
    pub usd: Money,
    /// Where more than this is spent, metrics, log and a header of answers tell it; nothing is
    /// refused. Absent: never.
    pub soft: Option<Money>,
    /// The window: days, weeks (from Monday) and months of `time_zone`; `total` never ends.
    pub per: Period,
    /// May callers see how much of it is spent? It is what others have spent as well.
    #[schemars(extend("default" = false))]
    pub show_spent: Option<bool>,
}

/// How long a window of a budget is.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Period {
    Day,
    Week,
    Month,
    Total,
}

/// The soft limit of a budget lies above its hard one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is more than `usd`: it would never be told before requests are refused")]
pub struct SoftAboveHard;

impl Budget {
    /// As it counts.
    ///
    /// # Errors
    /// If its soft limit lies above the hard one.
    pub fn checked(self) -> Result<config::Budget, SoftAboveHard> {
        let Self { usd, soft, per } = self;
        let soft = soft.map(|soft| soft.0);
        if soft.is_some_and(|soft| soft > usd.0) {
            return Err(SoftAboveHard);
        }
        Ok(config::Budget {
            usd: usd.0,
            soft,
            per: per.into(),
        })
    }
}

impl From<Period> for config::Period {
    fn from(raw: Period) -> Self {
        match raw {
            Period::Day => Self::Day,
            Period::Week => Self::Week,
            Period::Month => Self::Month,
            Period::Total => Self::Total,
        }
    }
}
