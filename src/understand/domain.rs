//! What kind of work a request is, from cheap cues. Only the quality floor reads it.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::{
    caps::{Cap, Caps},
    config::Domain,
    tokens::Counter,
    wire::openai::chat::Messages,
};

/// How much of the last message is looked at, in bytes.
const WINDOW: usize = 4096;
/// Words that stand in requests about code and hardly elsewhere.
const CODE: [&str; 12] = [
    "```",
    "def ",
    "fn ",
    "import ",
    "#include",
    "class ",
    "SELECT ",
    "function",
    "stack trace",
    "refactor",
    "unit test",
    "regex",
];
/// Words that stand in mathematical requests.
const MATH: [&str; 10] = [
    "\\\\frac",
    "\\\\int",
    "equation",
    "integral",
    "derivative",
    "prove that",
    "probability",
    "solve for",
    "polynomial",
    "theorem",
];

/// Both, those of code first. No word overlaps another, so that none hides one.
static WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let built = AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::DFA))
        .build(CODE.iter().chain(&MATH));
    built.ok()
});

/// The domain of a request: tools and schemas first, then script, then words.
pub(super) fn of(messages: &Messages<'_>, count: &Counter, caps: Caps) -> Domain {
    if caps.has(Cap::Tools) {
        return Domain::Tools;
    }
    if caps.has(Cap::JsonSchema) {
        return Domain::Extraction;
    }
    if count.foreign * 4 > count.chars {
        return Domain::Multilingual;
    }
    let last = messages.last_user.unwrap_or_default();
    let mut end = last.len().min(WINDOW);
    while !last.is_char_boundary(end) {
        end -= 1;
    }
    let text = last.get(..end).unwrap_or_default();
    let mut domain = Domain::Chat;
    for found in WORDS.iter().flat_map(|words| words.find_iter(text)) {
        if found.pattern().as_usize() < CODE.len() {
            return Domain::Code;
        }
        domain = Domain::Math;
    }
    domain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_text(text: &str) -> Domain {
        let messages = Messages {
            last_user: Some(text),
            ..Messages::default()
        };
        of(&messages, &Counter::default(), Caps::default())
    }

    #[test]
    fn every_word_tells_its_domain_and_code_counts_more() {
        for (words, domain) in [(&CODE[..], Domain::Code), (&MATH, Domain::Math)] {
            for word in words {
                assert_eq!(of_text(&format!("a {word}b")), domain, "{word}");
            }
        }
        for word in CODE {
            assert_eq!(of_text(&format!("theorem {word}theorem")), Domain::Code);
        }
        assert_eq!(of_text("nothing of the kind"), Domain::Chat);
    }

    #[test]
    fn what_stands_behind_the_window_is_not_looked_at() {
        let far = format!("{}人 theorem", " ".repeat(WINDOW - 2));
        assert_eq!(of_text(&far), Domain::Chat);
        assert_eq!(of_text(&far[9..]), Domain::Math);
    }
}
