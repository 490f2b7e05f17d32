//! A shared budget as JSON: for the caller who is held to it, and for the operator.

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    admit::purse::{Purse, Spender, Standing, Whose},
    config::{Config, Scope},
    money::{Total, Usd},
};

/// One budget of `budgets:`, or that of one value of its tag.
#[derive(Debug, Serialize)]
pub(super) struct Shared {
    id: String,
    /// Whose spending counts: `team=a`; `null`: not told apart by tags.
    tag: Option<String>,
    /// `null`: whatever is asked for.
    route: Option<String>,
    usd: Usd,
    soft: Option<Usd>,
    per: &'static str,
    /// Is more spent than the soft limit?
    over_soft: bool,
    /// `null`: not told, or not known yet.
    spent_usd: Option<Total>,
    /// Held for requests under way.
    held_usd: Option<Total>,
    remaining_usd: Option<Total>,
    /// When it begins anew; `null`: never.
    resets_at: Option<Timestamp>,
}

impl Shared {
    /// As its operator sees it.
    pub(super) fn of_operator(purse: &Purse, now: Timestamp) -> Option<Self> {
        Self::of(purse, now, |standing| standing.known)
    }

    /// As a caller sees it: what others have spent is theirs, unless the operator shows it.
    pub(super) fn of_caller(purse: &Purse, now: Timestamp) -> Option<Self> {
        Self::of(purse, now, |standing| standing.known && standing.shown)
    }

    /// `None`: it is no shared budget, or none any more.
    fn of(purse: &Purse, now: Timestamp, told: fn(&Standing) -> bool) -> Option<Self> {
        let Whose::Shared { id, .. } = &purse.whose else {
            return None;
        };
        let standing = purse.standing(now)?;
        let (tag, route) = match &purse.spender {
            Spender::Tag { name, value } => (Some(format!("{name}={value}")), None),
            Spender::Route(route) => (None, Some(route.to_string())),
            Spender::Everybody | Spender::Key(_) => (None, None),
        };
        let told = told(&standing);
        Some(Self {
            id: id.to_string(),
            tag,
            route,
            usd: standing.budget.usd,
            soft: standing.budget.soft,
            per: standing.budget.per.as_str(),
            over_soft: standing.is_over(),
            spent_usd: told.then_some(standing.spent),
            held_usd: told.then_some(standing.held),
            remaining_usd: told.then(|| standing.free()),
            resets_at: standing.resets_at,
        })
    }
}

/// The routes that have budgets, by their indices.
pub(super) fn routes(config: &Config) -> impl Iterator<Item = usize> + '_ {
    let named = |name: &str| {
        let mut budgets = config.budgets.iter();
        budgets.any(|budget| matches!(&budget.scope, Scope::Route(route) if **route == *name))
    };
    let routes = config.routes.iter().enumerate();
    routes.filter_map(move |(index, route)| named(&route.name).then_some(index))
}
