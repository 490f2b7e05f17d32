//! Explains a request without calling anyone: what `tollgate explain` and the admin address share.

use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    authenticate::Principal,
    offer,
    route::{
        Candidate, Plan, Question,
        explain::{self, Explanation},
    },
    state::{self, World, hosted},
    understand::{self, AskError, Endpoint},
};

/// A decision, and what it was taken on.
#[derive(Debug, Serialize)]
struct Explained<'a> {
    #[serde(flatten)]
    explanation: Explanation<'a>,
    /// Hardware of one's own that candidates run on.
    self_hosted: Vec<hosted::View<'a>>,
}

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
    let reading = world.judge.read(&ask);
    let now_ms = world.means.now_ms();
    let conversation =
        state::conversation(principal, &ask).filter(|_| world.keeps_together(target));
    let pin = conversation.and_then(|number| world.means.conversations.find(number, now_ms));
    let question = Question {
        config: &world.config,
        names: &world.names,
        principal,
        model: &ask.model,
        needs: &ask.needs,
        schemas: &ask.schemas,
        recount: &ask.recount,
        domain: world.judge.domain(ask.domain, reading.as_ref()),
        judge: &world.judge,
        reading: reading.as_ref(),
        learned: world.learned(principal, at),
        pin: pin.as_ref(),
        narrow: &ask.narrow,
        budgeted: offer::is_budgeted(&world.config, principal, target),
        tier: ask.tier,
        at,
    };
    let outcome = world.plan(&question, now_ms);
    let explanation = explain::explain(&question, &outcome);
    let explained = Explained {
        self_hosted: of_candidates(world, outcome.as_ref().ok()),
        explanation,
    };
    Ok(serde_json::to_string_pretty(&explained).unwrap_or_default())
}

/// The hardware that candidates run on.
fn of_candidates<'a>(world: &'a World, plan: Option<&Plan>) -> Vec<hosted::View<'a>> {
    let runs_on = |candidate: &Candidate, name: &str| {
        let backend = world.config.backends.get(candidate.backend);
        let provider = backend.and_then(|backend| world.config.providers.get(backend.provider));
        provider.is_some_and(|provider| *provider.name == *name)
    };
    let candidates = plan.map_or(&[][..], |plan| &plan.candidates);
    let is_asked = |view: &hosted::View<'_>| candidates.iter().any(|c| runs_on(c, view.provider));
    world.hosted_views().filter(is_asked).collect()
}
