//! What the contract promises and this version does not enforce yet.
//!
//! Written in a file, each of them is a mistake that says so: accepted and ignored, a limit or a
//! policy would be believed in. When a part is built, its line leaves the table and its type
//! enters `raw`.

use super::mistake::{Path, Step};

/// Keys, and values of keys (`path: value`), by path: `[]` is any item of a list and `*` any key
/// of a mapping.
const PENDING: [&str; 9] = [
    "auth.jwt",
    "auth.mode: jwt",
    "auth.mode[]: jwt",
    "keys[].expose",
    "providers.*.protocol: anthropic",
    "providers.*.protocol: azure",
    "providers.*.protocol: bedrock",
    "providers.*.protocol: gemini",
    "store.shared",
];

/// The message for all of them; people look for exactly this text.
pub(super) const NOT_YET: &str = "not supported yet";

/// Is this key, whatever its value, promised but not built?
pub(super) fn key(path: &Path) -> bool {
    PENDING
        .iter()
        .any(|pattern| !pattern.contains(':') && matches(pattern, path))
}

/// Is this value of this key promised but not built?
pub(super) fn value(path: &Path, text: &str) -> bool {
    PENDING
        .iter()
        .filter_map(|pattern| pattern.split_once(": "))
        .any(|(pattern, value)| value == text && matches(pattern, path))
}

fn matches(pattern: &str, path: &Path) -> bool {
    let mut steps = path.steps().iter();
    for part in pattern.split('.') {
        let (key, in_list) = part
            .strip_suffix("[]")
            .map_or((part, false), |key| (key, true));
        match steps.next() {
            Some(Step::Key(found)) if key == "*" || **found == *key => {}
            _ => return false,
        }
        if in_list && !matches!(steps.next(), Some(Step::Index(_))) {
            return false;
        }
    }
    steps.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_its_own_level_only() {
        let expose = Path::root().key("keys").index(2).key("expose");
        assert!(key(&expose));
        assert!(!key(&expose.key("cost")));
        assert!(!key(&Path::root().key("keys").key("expose")));
        let protocol = Path::root().key("providers").key("gpu").key("protocol");
        assert!(value(&protocol, "azure") && !value(&protocol, "openai"));
        assert!(!value(
            &Path::root().key("providers").key("protocol"),
            "azure"
        ));
    }

    #[test]
    fn a_value_is_pending_without_its_key_being_so() {
        let mode = Path::root().key("auth").key("mode");
        assert!(value(&mode, "jwt") && !value(&mode, "none"));
        assert!(!key(&mode));
    }
}
