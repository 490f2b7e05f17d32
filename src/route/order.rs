//! The order in which candidates are asked.

use std::cmp::Reverse;

use super::{Candidate, Question, Reason, names::Target};
use crate::{
    config::{Objective, OnUncertain},
    money::Usd,
    quality::Odds,
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
fn strongest(candidate: &Candidate) -> (Reverse<Option<Odds>>, Reverse<Option<Usd>>) {
    (Reverse(candidate.quality), Reverse(candidate.expected))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::health::Standing;

    fn candidate(expected: Option<i64>, marginal: Option<i64>) -> Candidate {
        Candidate {
            model: 0,
            backend: 0,
            prompt_tokens: 0,
            warm_tokens: 0,
            cached_tokens: 0,
            output_tokens: 0,
            worst_output: 0,
            max_output: None,
            expected: expected.map(Usd::from_pico),
            fresh: None,
            marginal: marginal.map(Usd::from_pico),
            quality: None,
            predicted: None,
            first_token_us: None,
            standing: Standing::Up,
            full_ms: None,
        }
    }

    #[test]
    fn own_hardware_is_compared_by_what_the_request_adds() {
        let sorted = [
            candidate(Some(40), Some(0)),
            candidate(Some(90), Some(0)),
            candidate(Some(10), None),
            candidate(Some(20), Some(20)),
            candidate(None, None),
        ];
        let mut keys: Vec<_> = sorted.iter().map(cheapest).collect();
        keys.sort_unstable();
        assert_eq!(keys, sorted.iter().map(cheapest).collect::<Vec<_>>());
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
