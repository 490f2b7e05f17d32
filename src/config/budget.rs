//! What may be spent: the budget of a key, and budgets that many share.
//!
//! A key's budget is the key's alone. A shared one counts what everybody spends to whom its scope
//! applies; all budgets of a request must cover it. Checked data, and nothing else.

use std::sync::Arc;

use super::Tags;
use crate::money::Usd;

/// `budget:` of a key, and the amounts of one of `budgets:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The most that may be spent in each window.
    pub usd: Usd,
    /// Where more than this is spent, it is told, and nothing refused; at most `usd`. `None`: never.
    pub soft: Option<Usd>,
    pub per: Period,
}

/// One of `budgets:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedBudget {
    /// Unique; the label in metrics.
    pub id: Arc<str>,
    pub scope: Scope,
    pub budget: Budget,
    /// May callers see what others have spent of it?
    pub show_spent: bool,
}

/// What a shared budget counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Every request.
    Everything,
    /// What asks for a route.
    Route(Arc<str>),
    /// Keys that have this tag.
    Tag { name: Arc<str>, value: Arc<str> },
    /// Keys that have a tag of this name: each value has a budget of its own, of that size.
    EachTag(Arc<str>),
}

/// How long a window of a budget is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    Day,
    /// Begins on a Monday.
    Week,
    Month,
    /// One window, which never ends.
    Total,
}

impl Period {
    /// Every period with its spelling.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Day, "day"),
        (Self::Week, "week"),
        (Self::Month, "month"),
        (Self::Total, "total"),
    ];

    /// The spelling in configuration and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let mut all = Self::ALL.iter();
        all.find(|(period, _)| *period == self)
            .map_or("", |(_, name)| name)
    }
}

impl Period {
    /// As the rest of an amount: ` a month`; empty for a total.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Day => " a day",
            Self::Week => " a week",
            Self::Month => " a month",
            Self::Total => "",
        }
    }
}

impl std::fmt::Display for Scope {
    /// As it is written in the file: `tag: team=a`; empty for everything.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Everything => Ok(()),
            Self::Route(route) => write!(f, "route: {route}"),
            Self::Tag { name, value } => write!(f, "tag: {name}={value}"),
            Self::EachTag(name) => write!(f, "tag: {name}"),
        }
    }
}

impl Scope {
    /// Does it count a request for this route, of a key with these tags?
    #[must_use]
    pub fn counts(&self, tags: Option<&Tags>, route: Option<&str>) -> bool {
        match self {
            Self::Everything => true,
            Self::Route(name) => route == Some(&**name),
            Self::Tag { name, value } => tags.and_then(|tags| tags.get(name)) == Some(&**value),
            Self::EachTag(name) => tags.is_some_and(|tags| tags.get(name).is_some()),
        }
    }
}
