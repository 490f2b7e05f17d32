//! `GET /admin/v1/budgets`: every shared budget, and how it stands. Budgets of keys stand with the
//! keys.

use axum::{extract::State, response::Response};
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    accept::{
        budgets::Shared,
        respond::{self, Shared as App},
    },
    spending,
};

/// In the order of the file; of one with a budget for each value, by value.
#[derive(Serialize)]
struct List {
    budgets: Vec<Shared>,
    /// Are there more than are shown?
    more: bool,
}

/// Budgets of one answer.
const MOST: usize = 10_000;

/// Lists them. Values of a tag are those of keys of the file, and of others that have called.
pub(super) async fn list(State(app): State<App>) -> Response {
    let world = app.world();
    let ids = world.config.budgets.iter().map(|budget| &budget.id);
    let mut purses: Vec<_> = ids.flat_map(|id| world.budgets.purses(id)).collect();
    let more = purses.len() > MOST;
    purses.truncate(MOST);
    spending::know(&app, purses.iter()).await;
    let now = Timestamp::now();
    let shown = purses.iter();
    respond::as_json(&List {
        budgets: shown
            .filter_map(|purse| Shared::of_operator(purse, now))
            .collect(),
        more,
    })
}
