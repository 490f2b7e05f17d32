//! What kind of work a request is, from cheap cues. Only the quality floor reads it.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use crate::{
    caps::{Cap, Caps},
    domain::Domain,
    tokens::Counter,
    wire::openai::chat::Messages,
};

/// How much of the last message is looked at, in bytes.
const WINDOW: usize = 4096;
/// Words that stand in requests about code and hardly elsewhere; each with the place of three bytes
/// in it that are rare, by which it is looked for.
const CODE: [(&str, usize); 12] = [
    ("```", 0),
    ("def ", 0),
    ("fn ", 0),
    ("import ", 1),
    ("#include", 0),
    ("class ", 0),
    ("SELECT ", 0),
    ("function", 3),
    ("stack trace", 3),
    ("refactor", 1),
    ("unit test", 1),
    ("regex", 1),
];
/// Words that stand in mathematical requests.
const MATH: [(&str, usize); 10] = [
    ("\\\\frac", 0),
    ("\\\\int", 0),
    ("equation", 0),
    ("integral", 3),
    ("derivative", 4),
    ("prove that", 1),
    ("probability", 3),
    ("solve for", 1),
    ("polynomial", 2),
    ("theorem", 1),
];

/// Finds both, those of code first. No word overlaps another, so that none hides one.
static FINDER: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let rare = CODE.iter().chain(&MATH).map(|(word, at)| &word[*at..]);
    let built = AhoCorasick::builder()
        // finds the words by vectors of bytes, which only this kind of match allows
        .match_kind(MatchKind::LeftmostFirst)
        .build(rare);
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
    for found in FINDER.iter().flat_map(|finder| finder.find_iter(text)) {
        let number = found.pattern().as_usize();
        let Some((word, at)) = CODE.iter().chain(&MATH).nth(number) else {
            continue;
        };
        // what was found is written so; a sentence may begin with the letter before it
        let begins = found.start().checked_sub(*at);
        let there = begins.and_then(|at| text.as_bytes().get(at..at + word.len()));
        if !there.is_some_and(|there| there.eq_ignore_ascii_case(word.as_bytes())) {
            continue;
        }
        if number < CODE.len() {
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
            for (word, _) in words {
                assert_eq!(of_text(&format!("a {word}b")), domain, "{word}");
            }
        }
        for (word, _) in CODE {
            assert_eq!(of_text(&format!("theorem {word}theorem")), Domain::Code);
        }
        assert_eq!(of_text("nothing of the kind"), Domain::Chat);
        assert_eq!(of_text("Prove that it is so"), Domain::Math);
        assert_eq!(of_text("Refactor it"), Domain::Code);
    }

    #[test]
    fn what_stands_behind_the_window_is_not_looked_at() {
        let far = format!("{}人 theorem", " ".repeat(WINDOW - 2));
        assert_eq!(of_text(&far), Domain::Chat);
        assert_eq!(of_text(&far[9..]), Domain::Math);
    }
}
