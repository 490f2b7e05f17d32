//! How good an answer is expected to be, and the floor: who is good enough for this request.

use super::{Candidate, Question, Refusal, Refused, RouteError, names::Target};
use crate::{
    config::{Backend, Config, Objective, OnUncertain},
    domain::Domain,
    quality::{self, Artifact, Odds, Placed, Reading},
    understand::{Ask, Narrow},
};

/// All that is known of how good the backends of a configuration are.
#[derive(Debug)]
pub struct Judge {
    artifact: Option<&'static Artifact>,
    /// By backend.
    placed: Vec<Placed>,
}

impl Judge {
    /// Looks every backend up: by the name that its provider has for it, then by those that clients
    /// ask for.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let artifact = quality::builtin();
        let mut names: Vec<Vec<&str>> = Vec::with_capacity(config.backends.len());
        names.extend(config.backends.iter().map(|b| vec![&*b.upstream_model]));
        for model in &config.models {
            for backend in &model.backends {
                if let Some(names) = names.get_mut(*backend) {
                    names.push(&*model.name);
                    names.extend(model.aliases.iter().map(|alias| &**alias));
                }
            }
        }
        let place = |(backend, names): (&Backend, Vec<&str>)| {
            let stated = backend.quality.everywhere();
            Placed::find(artifact, &config.scored.scores, stated, &names)
        };
        Self {
            artifact,
            placed: config.backends.iter().zip(names).map(place).collect(),
        }
    }

    /// Reads what the user says, where the answer's quality matters for the choice.
    #[must_use]
    pub fn reading(&self, config: &Config, target: Option<Target>, ask: &Ask) -> Option<Reading> {
        let route = match target? {
            Target::Route(route) => config.routes.get(route),
            Target::Model(_) | Target::Backend { .. } => None,
        };
        let Narrow {
            min_quality,
            objective,
            ..
        } = &ask.narrow;
        let best = |objective| objective == Objective::Quality;
        let matters = min_quality.is_some()
            || objective.is_some_and(best)
            || route.is_some_and(|route| route.min_quality.is_some() || best(route.objective));
        matters.then(|| self.read(ask)).flatten()
    }

    /// Reads what the user says; `None`: nothing that is text.
    #[must_use]
    pub fn read(&self, ask: &Ask) -> Option<Reading> {
        Some(Reading::of(self.artifact?, &ask.words()?))
    }

    /// The domain of a request by its cues, or by its text where those say nothing.
    pub(super) fn domain(&self, cues: Domain, reading: Option<&Reading>) -> Domain {
        let read = self.artifact.zip(reading);
        read.map_or(cues, |(artifact, reading)| reading.domain(artifact, cues))
    }

    /// What is known of a backend.
    #[must_use]
    pub fn placed(&self, backend: usize) -> Option<&Placed> {
        self.placed.get(backend)
    }

    /// How likely a backend answers acceptably; `None`: not known.
    pub(super) fn odds(
        &self,
        backend: usize,
        reading: Option<&Reading>,
        domain: Domain,
    ) -> Option<Odds> {
        let placed = self.placed(backend)?;
        placed.odds(self.artifact.zip(reading), domain)
    }
}

/// Who is left, and by which rule if no known quality decided it.
pub(super) struct Floored {
    pub(super) candidates: Vec<Candidate>,
    pub(super) uncertain: Option<OnUncertain>,
}

/// Leaves out whoever is not sure enough to be at the floor or above it. A quality that is not known
/// never meets one; where nobody surely meets it and somebody might, the route says whom to ask.
///
/// # Errors
/// If everybody is surely below the floor.
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
    let meets = |candidate: &Candidate| candidate.quality.is_some_and(|odds| odds.low >= floor);
    let might = |candidate: &Candidate| candidate.quality.is_none_or(|odds| odds.high >= floor);
    if !able.iter().any(meets) && able.iter().any(might) {
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
