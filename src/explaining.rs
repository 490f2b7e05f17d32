//! Explains a request without calling anyone: what `tollgate explain` and the admin address share.

use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;

use crate::{
    authenticate::Principal,
    offer,
    route::{self, Question, explain},
    state::World,
    understand::{self, AskError, Endpoint},
};

/// The decision on one request, as JSON.
///
/// # Errors
/// If the request can't be understood; a request that nobody can serve is explained as well.
pub fn explain(
    world: &World,
    principal: &Principal,
    endpoint: Endpoint,
    body: Bytes,
    headers: &HeaderMap,
    at: Timestamp,
) -> Result<String, AskError> {
    let ask = understand::read(endpoint, body, headers)?;
    let target = world.names.find(&ask.model);
    let question = Question {
        config: &world.config,
        names: &world.names,
        principal,
        model: &ask.model,
        needs: &ask.needs,
        domain: ask.domain,
        narrow: &ask.narrow,
        budgeted: offer::is_budgeted(&world.config, principal, target),
        tier: ask.tier,
        at,
    };
    let now_ms = world.means.now_ms();
    let facts = |model, backend| world.facts(model, backend, now_ms, ask.needs.prompt_tokens);
    let outcome = route::plan(&question, &facts);
    let explanation = explain::explain(&question, &outcome);
    Ok(serde_json::to_string_pretty(&explanation).unwrap_or_default())
}
