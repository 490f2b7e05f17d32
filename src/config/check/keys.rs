//! Keys of clients: only digests go on from here.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::{Findings, budgets, models::Models, policy::policy, server::limits};
use crate::config::{Admin, Key, May, Tags, mistake::Path, pattern_matches, raw};

/// More keys than this belong in a store.
const MAX_KEYS: usize = 10_000;

/// Checks all of them.
pub(super) fn check(
    keys: Vec<raw::Key>,
    models: &Models<'_, '_>,
    findings: &mut Findings<'_>,
) -> Vec<Key> {
    let root = Path::root().key("keys");
    findings.at_most(MAX_KEYS, keys.len(), &root, "keys");
    let mut ids = HashMap::new();
    let mut digests = HashMap::new();
    let mut checked = Vec::new();
    for (index, raw) in keys.into_iter().enumerate() {
        let path = root.index(index);
        findings.own_id(&mut ids, &raw.id.0, &root, index);
        let Some(sha256) = digest(&raw, &path, findings) else {
            continue;
        };
        if let Some(first) = digests.insert(sha256, index) {
            let first = findings.line(&root.index(first));
            findings.mistake(&path, format!("the same secret as the key at {first}"));
        }
        if let Some(patterns) = &raw.models {
            warn_unmatched(patterns, models, &path.key("models"), findings);
        }
        let tags = tags(raw.tags.as_ref(), &path.key("tags"), findings);
        let budget = raw
            .budget
            .and_then(|budget| budgets::amounts(budget, &path.key("budget"), findings));
        let policy = raw
            .policy
            .map(|raw| Arc::new(policy(raw, &path.key("policy"), findings)));
        checked.push(Key {
            tags,
            policy,
            may: May {
                objective: raw
                    .may
                    .iter()
                    .flatten()
                    .any(|may| *may == raw::May::Objective),
            },
            id: raw.id.0.into(),
            sha256,
            models: raw
                .models
                .map(|list| list.into_iter().map(|name| name.0.into()).collect()),
            limits: limits(raw.limits),
            budget,
            expires: raw.expires.map(|moment| moment.0),
        });
    }
    checked
}

/// A client whose key is also the operator's would be an operator.
pub(super) fn apart_from_admin(keys: &[Key], admin: &Admin, findings: &mut Findings<'_>) {
    let Some(secret) = &admin.key else { return };
    let digest = hash(secret.expose_secret());
    if keys.iter().any(|key| key.sha256 == digest) {
        let path = Path::root().key("admin").key("key");
        findings.mistake(&path, "is also the key of a client");
    }
}

fn digest(raw: &raw::Key, path: &Path, findings: &mut Findings<'_>) -> Option<[u8; 32]> {
    match (&raw.key, &raw.sha256) {
        (Some(key), None) => Some(hash(key.0.expose_secret())),
        (None, Some(digest)) => Some(digest.0),
        (Some(_), Some(_)) => {
            let message = "`key` and `sha256` are two ways to say the same";
            findings.mistake(&path.key("sha256"), message);
            None
        }
        (None, None) => {
            findings.mistake_with(path, "has no secret", "write `key` or `sha256`");
            None
        }
    }
}

fn tags(
    written: Option<&BTreeMap<String, raw::TagValue>>,
    path: &Path,
    findings: &mut Findings<'_>,
) -> Option<Arc<Tags>> {
    let pairs = written?.iter().map(|(name, value)| (&**name, &*value.0));
    match Tags::of(pairs) {
        Ok(tags) => (!tags.is_empty()).then(|| Arc::new(tags)),
        Err(error) => {
            findings.mistake(path, error.to_string());
            None
        }
    }
}

fn warn_unmatched(
    patterns: &[raw::Pattern],
    models: &Models<'_, '_>,
    path: &Path,
    findings: &mut Findings<'_>,
) {
    if patterns.is_empty() {
        findings.warning(path, "empty: this key may ask for nothing", None);
    }
    for (index, pattern) in patterns.iter().enumerate() {
        // a wildcard model serves names that a pattern may mean without matching its own
        let matched = models.callable().any(|name| {
            let wildcard = name.ends_with('*') && pattern_matches(name, &pattern.0);
            wildcard || pattern_matches(&pattern.0, name)
        });
        if !matched {
            let path = path.index(index);
            let message = format!(
                "`{}` matches nothing that can be asked for",
                findings.shown(&path)
            );
            findings.warning(&path, message, None);
        }
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}
