//! `/v1/key`: what the caller's key may do, has spent, and has left.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    budgets::{self, Shared},
    models::caller,
    respond::{self, Shared as App},
};
use crate::{
    admit::{
        holders::Holder,
        purse::{Purse, Standing},
        rate::Level,
    },
    authenticate::Principal,
    config,
    money::{Total, Usd},
    spending,
    state::World,
};

/// One key, as its holder may see it.
#[derive(Debug, Serialize)]
struct Key<'a> {
    object: &'static str,
    /// `null`: nobody was asked for a key.
    id: Option<&'a str>,
    /// Names, or patterns with one trailing `*`; `null`: everything.
    models: Option<Vec<&'a str>>,
    expires: Option<Timestamp>,
    tags: std::collections::BTreeMap<&'a str, &'a str>,
    limits: Limits,
    /// Its own; `null`: unlimited.
    budget: Option<Budget>,
    /// Those that it shares with others. One of a route counts only what asks for the route.
    budgets: Vec<Shared>,
}

/// Each limit with what is left of it now; `null`: unlimited.
#[derive(Debug, Default, Serialize)]
struct Limits {
    rpm: Option<Left>,
    tpm: Option<Left>,
    max_concurrent: Option<Left>,
}

#[derive(Debug, Serialize)]
struct Left {
    limit: u64,
    remaining: u64,
}

#[derive(Debug, Serialize)]
struct Budget {
    usd: Usd,
    soft: Option<Usd>,
    /// Is more spent than the soft limit?
    over_soft: bool,
    per: &'static str,
    spent_usd: Total,
    /// Held for requests under way.
    held_usd: Total,
    remaining_usd: Total,
    /// When it begins anew; `null`: never.
    resets_at: Option<Timestamp>,
}

pub(super) async fn show(State(app): State<App>, request: Request) -> Response {
    let world = app.world();
    let (head, _) = request.into_parts();
    let principal = match caller(&app, &world, &head).await {
        Ok(principal) => principal,
        Err(error) => return respond::error(&error.into()),
    };
    let holder = world.holder(&principal, Timestamp::now());
    let purses = purses(&world, &principal, holder.as_deref());
    spending::know(&app, purses.iter()).await;
    let shown = Key {
        budgets: shared(&purses),
        ..view(&principal, holder.as_deref(), world.means.now_ms())
    };
    respond::json(
        StatusCode::OK,
        serde_json::to_vec(&shown).unwrap_or_default(),
    )
}

/// Every budget that a request of the caller may be paid from.
fn purses(world: &World, principal: &Principal, holder: Option<&Holder>) -> Vec<Arc<Purse>> {
    let caller = world.paying(holder, None);
    let own: Vec<_> = caller.iter().cloned().collect();
    let routes = budgets::routes(&world.config).filter(|index| {
        let route = world.config.routes.get(*index);
        route.is_some_and(|route| principal.may_use(&route.name))
    });
    let of_routes = routes.filter_map(|index| world.budgets.of_route(index));
    let of_routes = of_routes.flat_map(|purses| purses.iter().cloned());
    own.into_iter().chain(of_routes).collect()
}

fn shared(purses: &[Arc<Purse>]) -> Vec<Shared> {
    let now = Timestamp::now();
    let shown = purses.iter();
    shown
        .filter_map(|purse| Shared::of_caller(purse, now))
        .collect()
}

fn view<'a>(principal: &'a Principal, holder: Option<&Holder>, now_ms: u64) -> Key<'a> {
    let models = principal.models();
    let standing = holder.and_then(|holder| holder.purse.standing(Timestamp::now()));
    Key {
        object: "key",
        id: principal.id.as_deref(),
        models: models.map(|models| models.iter().map(|model| &**model).collect()),
        expires: principal.expires,
        tags: principal
            .tags
            .as_ref()
            .map_or_else(Default::default, |tags| tags.iter().collect()),
        limits: holder.map_or_else(Limits::default, |holder| {
            limits(principal.limits, holder, now_ms)
        }),
        budget: standing.map(budget),
        budgets: Vec::new(),
    }
}

fn limits(stated: config::Limits, holder: &Holder, now_ms: u64) -> Limits {
    let Some(at_work) = &holder.limits else {
        return Limits::default();
    };
    let (requests, tokens) = at_work.levels(now_ms);
    let left = |level: Level| Left {
        limit: level.limit,
        remaining: level.remaining,
    };
    Limits {
        rpm: requests.map(left),
        tpm: tokens.map(left),
        max_concurrent: stated.max_concurrent.map(|limit| Left {
            limit: limit.get().into(),
            remaining: limit
                .get()
                .saturating_sub(at_work.inside().unwrap_or(0))
                .into(),
        }),
    }
}

fn budget(standing: Standing) -> Budget {
    Budget {
        usd: standing.budget.usd,
        soft: standing.budget.soft,
        over_soft: standing.is_over(),
        per: standing.budget.per.as_str(),
        spent_usd: standing.spent,
        held_usd: standing.held,
        remaining_usd: standing.free(),
        resets_at: standing.resets_at,
    }
}
