//! How good an answer is expected to be, and the floor: who is good enough for this request.

use super::{Candidate, Question, Refusal, Refused, RouteError, names::Target};
use crate::{
    config::{Backend, Config, Model, Objective, OnUncertain, Route},
    domain::Domain,
    quality::{self, Artifact, Judged, Placed, Reading},
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
        let matters = weighs_quality(config, target?, &ask.narrow);
        matters.then(|| self.read(ask)).flatten()
    }

    /// Reads what the user says; `None`: nothing that is text.
    #[must_use]
    pub fn read(&self, ask: &Ask) -> Option<Reading> {
        Some(Reading::of(self.artifact?, &ask.words()?))
    }

    /// The domain of a request by its cues, or by its text where those say nothing.
    #[must_use]
    pub fn domain(&self, cues: Domain, reading: Option<&Reading>) -> Domain {
        let read = self.artifact.zip(reading);
        read.map_or(cues, |(artifact, reading)| reading.domain(artifact, cues))
    }

    /// What is known of a backend.
    #[must_use]
    pub fn placed(&self, backend: usize) -> Option<&Placed> {
        self.placed.get(backend)
    }

    /// How long an answer of a backend will be, in tokens, as far as recorded outcomes tell.
    pub(super) fn length(&self, backend: usize, reading: Option<&Reading>) -> Option<u64> {
        let (artifact, reading) = self.artifact.zip(reading)?;
        self.placed(backend)?.length(artifact, reading)
    }
}

impl<'a> Question<'a> {
    /// How likely a backend of a model answers acceptably; `None`: not known.
    pub(super) fn judged(&self, model: &Model, backend: usize) -> Option<Judged> {
        let placed = self.judge.placed(backend)?;
        let lessons = self
            .learned
            .and_then(|view| view.of(&model.name, self.domain));
        let reading = self.judge.artifact.zip(self.reading);
        placed.judged(reading, self.domain, lessons)
    }

    /// The floor that answers are to meet, in 1/10,000; `None`: there is none.
    #[must_use]
    pub fn floor(&self, target: Target) -> Option<u16> {
        let of_route = self.route(target).and_then(|route| route.min_quality);
        of_route.max(self.narrow.min_quality)
    }

    pub(super) fn route(&self, target: Target) -> Option<&'a Route> {
        match target {
            Target::Route(route) => self.config.routes.get(route),
            Target::Model(_) | Target::Backend { .. } => None,
        }
    }
}

/// Does it matter for the choice how good answers are?
pub(super) fn weighs_quality(config: &Config, target: Target, narrow: &Narrow) -> bool {
    let route = match target {
        Target::Route(route) => config.routes.get(route),
        Target::Model(_) | Target::Backend { .. } => None,
    };
    let floor = narrow
        .min_quality
        .or(route.and_then(|route| route.min_quality));
    let objective = narrow.objective.or(route.map(|route| route.objective));
    floor.is_some() || objective == Some(Objective::Quality)
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
    let route = question.route(target);
    let Some(floor) = question.floor(target) else {
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
    let below = |c: &Candidate| Refused {
        model: c.model,
        backend: c.backend,
        why: Refusal::Quality {
            floor,
            has: c.quality,
        },
    };
    let mut candidates = able;
    candidates.retain(|candidate| {
        let stays = meets(candidate);
        refused.extend((!stays).then(|| below(candidate)));
        stays
    });
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
