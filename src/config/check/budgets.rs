//! Budgets: what they count, and amounts that make sense together.

use std::{collections::HashMap, sync::Arc};

use super::Findings;
use crate::config::{
    Budget, Key, Route, Scope, SharedBudget,
    mistake::{Path, similar},
    raw,
};

/// More shared budgets than this are refused: a request may be held to many of them.
const MOST: usize = 1_000;

/// Checks those that are shared.
pub(super) fn check(
    budgets: Vec<raw::SharedBudget>,
    routes: &[Route],
    keys: &[Key],
    findings: &mut Findings<'_>,
) -> Vec<SharedBudget> {
    let root = Path::root().key("budgets");
    findings.at_most(MOST, budgets.len(), &root, "budgets");
    let mut ids = HashMap::new();
    let mut scopes = HashMap::new();
    let mut checked = Vec::new();
    for (index, raw) in budgets.into_iter().enumerate() {
        let path = root.index(index);
        findings.own_id(&mut ids, &raw.id.0, &root, index);
        let scope = scope(&raw, routes, &path, findings);
        let written = raw::Budget {
            usd: raw.usd,
            soft: raw.soft,
            per: raw.per,
        };
        let budget = amounts(written, &path, findings);
        let (Some(scope), Some(budget)) = (scope, budget) else {
            continue;
        };
        let same = (scope.clone(), budget.per.as_str());
        if let Some(first) = scopes.insert(same, index) {
            let first = findings.line(&root.index(first));
            let message = format!("counts the same as the budget at {first}");
            let hint =
                "the smaller one alone would matter: leave out one, or give it another `per`";
            findings.mistake_with(&path, message, hint);
        }
        warn_without_keys(&scope, keys, &path, findings);
        checked.push(SharedBudget {
            id: raw.id.0.into(),
            scope,
            budget,
            show_spent: raw.show_spent.unwrap_or(false),
        });
    }
    checked
}

/// The amounts of any budget.
pub(super) fn amounts(
    raw: raw::Budget,
    path: &Path,
    findings: &mut Findings<'_>,
) -> Option<Budget> {
    let checked = raw.checked().map_err(|error| {
        let hint = "a soft limit is at most the hard one, such as four fifths of it";
        findings.mistake_with(&path.key("soft"), error.to_string(), hint);
    });
    checked.ok()
}

fn scope(
    raw: &raw::SharedBudget,
    routes: &[Route],
    path: &Path,
    findings: &mut Findings<'_>,
) -> Option<Scope> {
    match (&raw.tag, &raw.route) {
        (Some(_), Some(_)) => {
            let message = "`tag` and `route` are two budgets";
            findings.mistake_with(&path.key("route"), message, "write one for each");
            None
        }
        (None, None) => Some(Scope::Everything),
        (Some(raw::TagMatch((name, value))), None) => {
            let name: Arc<str> = name.as_str().into();
            Some(match value {
                Some(value) => Scope::Tag {
                    name,
                    value: value.as_str().into(),
                },
                None => Scope::EachTag(name),
            })
        }
        (None, Some(raw::Name(name))) => {
            if let Some(route) = routes.iter().find(|route| *route.name == **name) {
                return Some(Scope::Route(Arc::clone(&route.name)));
            }
            let path = path.key("route");
            let message = format!("there is no route `{}`", findings.shown(&path));
            let meant = similar(name, routes.iter().map(|route| &*route.name));
            let hint = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "a route is an entry of `routes`".to_owned(),
            };
            findings.mistake_with(&path, message, hint);
            None
        }
    }
}

/// A tag that no key of the file has is probably misspelt; where the file has no keys, they stand
/// in the store.
fn warn_without_keys(scope: &Scope, keys: &[Key], path: &Path, findings: &mut Findings<'_>) {
    let (name, wanted) = match scope {
        Scope::Everything | Scope::Route(_) => return,
        Scope::Tag { name, value } => (name, Some(&**value)),
        Scope::EachTag(name) => (name, None),
    };
    let has = |key: &Key| {
        let found = key.tags.as_ref().and_then(|tags| tags.get(name));
        found.is_some_and(|value| wanted.is_none_or(|wanted| wanted == value))
    };
    if !keys.is_empty() && !keys.iter().any(has) {
        let message = "no key of this file has the tag: only keys of the store can count";
        findings.warning(&path.key("tag"), message, None);
    }
}
