//! The order in which candidates are asked.

use std::cmp::Reverse;

use super::{Candidate, Question, Reason, names::Target};
use crate::{
    config::{Objective, OnUncertain},
    money::Usd,
};

/// Sorts the candidates, best first, and says by what. Equals stay in the order written.
pub(super) fn sort(
    question: &Question<'_>,
    target: Target,
    uncertain: Option<OnUncertain>,
    candidates: &mut [Candidate],
) -> Reason {
    let reason = match (uncertain, question.objective(target)) {
        (Some(OnUncertain::Strongest), _) => {
            candidates.sort_by_key(strongest);
            Reason::UncertainStrongest
        }
        (Some(OnUncertain::Cheapest), _) => {
            candidates.sort_by_key(cheapest);
            Reason::UncertainCheapest
        }
        (None, Objective::Cost) => {
            candidates.sort_by_key(cheapest);
            Reason::Cheapest
        }
        (None, Objective::Latency) => {
            // one that was never called is tried first: else its latency would never be known
            candidates.sort_by_key(|c| (c.first_token_us.unwrap_or(0), cheapest(c)));
            Reason::Fastest
        }
        (None, Objective::Quality) => {
            candidates.sort_by_key(|c| (Reverse(c.quality), cheapest(c)));
            Reason::Best
        }
        (None, Objective::Order) => Reason::Order,
    };
    match (target, candidates) {
        (Target::Backend { .. }, _) => Reason::Pinned,
        (_, [_]) => Reason::Only,
        _ => reason,
    }
}

/// Priced before unpriced, then by what the request adds: an unknown price is never ranked as a
/// number. Among those of one's own that add equally little, the one that costs less.
fn cheapest(candidate: &Candidate) -> (bool, Usd, Usd) {
    let expected = candidate.expected.unwrap_or_default();
    (
        candidate.expected.is_none(),
        candidate.marginal.unwrap_or(expected),
        expected,
    )
}

/// Known quality before unknown, the higher the sooner; among equals the dearer first, as price
/// is all that is left to go by.
fn strongest(candidate: &Candidate) -> (Reverse<Option<u16>>, Reverse<Option<Usd>>) {
    (Reverse(candidate.quality), Reverse(candidate.expected))
}
