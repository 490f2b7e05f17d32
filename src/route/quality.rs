//! The quality floor: who is good enough for this request.
//!
//! The chance of an acceptable answer is for now the configured one of the request's domain;
//! this is the seat where a prediction per request will sit.

use super::{Candidate, Question, Refusal, Refused, RouteError, names::Target};
use crate::config::OnUncertain;

/// Who is left, and by which rule if no known quality decided it.
pub(super) struct Floored {
    pub(super) candidates: Vec<Candidate>,
    pub(super) uncertain: Option<OnUncertain>,
}

/// Leaves out whoever is below the floor. A quality that is not known never meets a floor; where
/// nobody's is known to meet it and somebody's is not known, the route says whom to ask.
///
/// # Errors
/// If everybody's quality is known and below the floor.
pub(super) fn above_floor(
    question: &Question<'_>,
    target: Target,
    able: Vec<Candidate>,
    refused: &mut Vec<Refused>,
) -> Result<Floored, RouteError> {
    let route = match target {
        Target::Route(route) => question.config.routes.get(route),
        Target::Model(_) | Target::Backend { .. } => None,
    };
    let of_route = route.and_then(|route| route.min_quality);
    let Some(floor) = of_route.max(question.narrow.min_quality) else {
        return Ok(Floored {
            candidates: able,
            uncertain: None,
        });
    };
    let meets = |candidate: &Candidate| candidate.quality.is_some_and(|quality| quality >= floor);
    if !able.iter().any(meets) && able.iter().any(|c| c.quality.is_none()) {
        let uncertain = route.map_or(OnUncertain::Strongest, |route| route.on_uncertain);
        return Ok(Floored {
            candidates: able,
            uncertain: Some(uncertain),
        });
    }
    let (candidates, below): (Vec<_>, Vec<_>) = able.into_iter().partition(meets);
    refused.extend(below.iter().map(|c| Refused {
        model: c.model,
        backend: c.backend,
        why: Refusal::Quality {
            floor,
            has: c.quality,
        },
    }));
    if candidates.is_empty() {
        return Err(RouteError::NoneCapable {
            refused: std::mem::take(refused),
        });
    }
    Ok(Floored {
        candidates,
        uncertain: None,
    })
}
