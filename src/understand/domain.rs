//! What kind of work a request is, from cheap cues. Only the quality floor reads it.

use std::sync::LazyLock;

use memchr::memmem::Finder;

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

/// The words, prepared once: without, looking for them takes longer than all else in a request.
static CODE_FINDERS: LazyLock<[Finder<'static>; 12]> = LazyLock::new(|| CODE.map(Finder::new));
static MATH_FINDERS: LazyLock<[Finder<'static>; 10]> = LazyLock::new(|| MATH.map(Finder::new));

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
    let has = |words: &[Finder<'_>]| {
        words
            .iter()
            .any(|word| word.find(text.as_bytes()).is_some())
    };
    if has(&*CODE_FINDERS) {
        Domain::Code
    } else if has(&*MATH_FINDERS) {
        Domain::Math
    } else {
        Domain::Chat
    }
}
