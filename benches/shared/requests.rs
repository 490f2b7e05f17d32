//! What the benchmarks of functions share: the configuration, and requests to it.

use bytes::Bytes;
use serde_json::json;
use tollgate::{
    catalog,
    config::load::{self, Environment},
    state::World,
};

/// System prompt and question, of so many bytes; each `text` is another.
pub(crate) fn chat_request(bytes: usize, text: u32) -> Bytes {
    let system = "You are a careful assistant of the finance department. Answer in full sentences.";
    request(&json!([
        { "role": "system", "content": system },
        { "role": "user", "content": prose(bytes.saturating_sub(300), text) },
    ]))
}

/// A request with these messages.
pub(crate) fn request(messages: &serde_json::Value) -> Bytes {
    let body = json!({
        "model": "auto",
        "messages": messages,
        "temperature": 0.2,
        "max_tokens": 512,
        "stream": true,
        "user": "user-4711",
    });
    body.to_string().into()
}

/// Words in an order that does not repeat, so that no branch is learned by heart; each `text` has another.
pub(crate) fn prose(bytes: usize, text: u32) -> String {
    const WORDS: [&str; 24] = [
        "the",
        "committee",
        "met",
        "on",
        "Tuesday,",
        "and",
        "discussed",
        "a",
        "budget",
        "of",
        "2026",
        "for",
        "northern",
        "office;\n",
        "its",
        "\"delayed\"",
        "equipment",
        "(12",
        "of",
        "40",
        "pieces)",
        "is",
        "expected",
        "in",
    ];
    let mut seed = text.wrapping_mul(0x9e37_79b1);
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(WORDS[(seed >> 16) as usize % WORDS.len()]);
        text.push(' ');
    }
    text
}

/// The configuration of `fleet.yaml`, and what is added to it.
pub(crate) fn world(more: &str) -> World {
    struct Nothing;
    impl Environment for Nothing {
        fn var(&self, _: &str) -> Option<String> {
            None
        }
    }
    let text = format!("{}{more}", include_str!("../fleet.yaml"));
    let checked = load::from_str("benches/fleet.yaml", &text, &Nothing, catalog::builtin());
    World::of(checked.expect("a configuration").config, None)
}
