//! Virtual models: which models they choose among, and how.

use super::{Findings, models::Models, policy::policy, server::limits};
use crate::config::{
    Objective, OnUncertain, Route,
    mistake::Path,
    raw::{self, Candidates, Pattern},
};

/// Checks all of them; models of the catalogue that they name are added.
pub(super) fn check(
    routes: Vec<raw::Route>,
    models: &mut Models<'_, '_>,
    findings: &mut Findings<'_>,
) -> Vec<Route> {
    let mut checked = Vec::new();
    for (index, raw) in routes.into_iter().enumerate() {
        let path = Path::root().key("routes").index(index);
        let at = path.key("candidates");
        let candidates = candidates(&raw.candidates, models, &at, findings);
        let baseline = raw
            .baseline
            .and_then(|name| models.resolve(&name.0, &path.key("baseline"), findings));
        checked.push(Route {
            name: raw.name.0.into(),
            candidates,
            objective: match raw.objective {
                Some(raw::Objective::Latency) => Objective::Latency,
                Some(raw::Objective::Quality) => Objective::Quality,
                Some(raw::Objective::Order) => Objective::Order,
                Some(raw::Objective::Cost) | None => Objective::Cost,
            },
            min_quality: raw.min_quality.map(|fraction| fraction.0),
            on_uncertain: match raw.on_uncertain {
                Some(raw::OnUncertain::Cheapest) => OnUncertain::Cheapest,
                Some(raw::OnUncertain::Strongest) | None => OnUncertain::Strongest,
            },
            affinity: !matches!(raw.affinity, Some(raw::Affinity::None)),
            fallback: raw.fallback.unwrap_or(true),
            baseline,
            limits: limits(raw.limits),
            policy: raw
                .policy
                .map(|raw| policy(raw, &path.key("policy"), findings)),
        });
    }
    checked
}

fn candidates(
    written: &Candidates,
    models: &mut Models<'_, '_>,
    path: &Path,
    findings: &mut Findings<'_>,
) -> Vec<usize> {
    let named = match written {
        Candidates::All(raw::Star::Star) => &[][..],
        Candidates::Named(names) => names,
    };
    let star = named.iter().position(|Pattern(name)| name == "*");
    match (written, star) {
        (Candidates::Named(_), None) if named.is_empty() => {
            findings.mistake_with(path, "must not be empty", "names of models, or `\"*\"`");
            return Vec::new();
        }
        (Candidates::Named(_), Some(index)) if named.len() > 1 => {
            let path = path.index(index);
            findings.mistake(
                &path,
                "`*` is every model and cannot be combined with others",
            );
            return Vec::new();
        }
        (Candidates::Named(_), None) => {}
        (Candidates::All(_), _) | (Candidates::Named(_), Some(_)) => {
            if models.all().is_empty() {
                findings.mistake(path, "there is no model to choose among");
            }
            return models.all().collect();
        }
    }
    let mut candidates = Vec::new();
    for (index, Pattern(name)) in named.iter().enumerate() {
        let path = path.index(index);
        let Some(model) = models.resolve(name, &path, findings) else {
            continue;
        };
        if candidates.contains(&model) {
            findings.mistake(&path, "the same model twice");
        } else {
            candidates.push(model);
        }
    }
    candidates
}
