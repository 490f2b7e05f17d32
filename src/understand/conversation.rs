//! Which conversation a request goes on with.
//!
//! Clients that know say it: by `prompt_cache_key`, or by a header that coding agents send. Else the
//! beginning tells: what was said before the user's first message, and that message, come back with
//! every turn.

use std::hash::{BuildHasher as _, Hash, Hasher};

use foldhash::quality::{FixedState, FoldHasher};
use http::{HeaderMap, HeaderName};

use crate::wire::{body::Body, openai::chat::Messages};

/// Headers by which coding agents tell their sessions apart.
static SESSIONS: [HeaderName; 3] = [
    HeaderName::from_static("x-claude-code-session-id"),
    HeaderName::from_static("session_id"),
    HeaderName::from_static("x-session-affinity"),
];
/// Bytes of a beginning that are looked at, from its start and from its end: a long one is told by these
/// and its length.
const START: usize = 1_024;
const END: usize = 256;

/// Says the same number in every gateway, so that all send a conversation to the same replica.
fn hasher() -> FoldHasher<'static> {
    FixedState::default().build_hasher()
}

/// A number for the conversation; `None`: there is nothing to tell it by.
///
/// Each caller's conversations are its own: whoever uses the number adds who calls.
pub(super) fn of(body: &Body, headers: &HeaderMap, opening: Opening) -> Option<u64> {
    let mut hasher = hasher();
    let key = body.text("prompt_cache_key").flatten();
    let session = || SESSIONS.iter().find_map(|name| headers.get(name));
    if let Some(key) = key.filter(|key| !key.is_empty()) {
        (0_u8, &*key).hash(&mut hasher);
    } else if let Some(session) = session().filter(|value| !value.is_empty()) {
        (1_u8, session.as_bytes()).hash(&mut hasher);
    } else {
        (2_u8, opening.0?).hash(&mut hasher);
    }
    Some(hasher.finish())
}

/// How messages begin, as a number; `None`: no user speaks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Opening(Option<u64>);

impl Opening {
    pub(super) fn of(messages: &Messages<'_>) -> Self {
        let [before, first] = messages.opening;
        let number = first.map(|first| {
            let mut hasher = hasher();
            for text in [before.unwrap_or_default(), first] {
                let bytes = text.as_bytes();
                let rest = bytes.split_at(bytes.len().min(START)).1;
                let end = rest.split_at(rest.len().saturating_sub(END)).1;
                let start = bytes.get(..START).unwrap_or(bytes);
                (bytes.len(), start, end).hash(&mut hasher);
            }
            hasher.finish()
        });
        Self(number)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use crate::understand::{self, Endpoint};

    fn conversation(body: &str, headers: &[(&'static str, &str)]) -> Option<u64> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        understand::read(Endpoint::ChatCompletions, body, &map)
            .unwrap()
            .conversation
    }

    fn messages(list: &str) -> String {
        format!(r#"{{"model":"m","messages":[{list}]}}"#)
    }

    const SYSTEM: &str = r#"{"role":"system","content":"be brief"}"#;
    const FIRST: &str = r#"{"role":"user","content":"one"}"#;
    const LATER: &str = r#"{"role":"assistant","content":"two"},{"role":"user","content":"three"}"#;

    #[test]
    fn turns_of_one_conversation_begin_alike_and_others_do_not() {
        let of = |list: String| conversation(&messages(&list), &[]);
        let first = of(format!("{SYSTEM},{FIRST}"));
        assert!(first.is_some());
        assert_eq!(of(format!("{SYSTEM},{FIRST},{LATER}")), first);
        assert_ne!(of(FIRST.to_owned()), first);
        assert_ne!(
            of(format!("{SYSTEM},{}", FIRST.replace("one", "won"))),
            first
        );
        assert_eq!(of(SYSTEM.to_owned()), None);
        let long = |end: &str| of(FIRST.replace("one", &format!("{}{end}", "x".repeat(9_000))));
        assert_ne!(long("a"), long("b"));
    }

    #[test]
    fn who_says_what_a_conversation_is_counts_more_than_how_it_begins() {
        let body = messages(FIRST);
        let keyed = body.replace("{\"model\"", "{\"prompt_cache_key\":\"k\",\"model\"");
        let other = body.replace("one", "other");
        let session = [("session_id", "s")];
        assert_eq!(
            conversation(&body, &session),
            conversation(&other, &session)
        );
        assert_ne!(conversation(&body, &session), conversation(&body, &[]));
        assert_ne!(
            conversation(&body, &session),
            conversation(&body, &[("session_id", "t")])
        );
        let claude = [("x-claude-code-session-id", "s")];
        assert_eq!(conversation(&body, &claude), conversation(&body, &session));
        assert_eq!(conversation(&keyed, &session), conversation(&keyed, &[]));
        assert_ne!(conversation(&keyed, &[]), conversation(&body, &session));
    }
}
