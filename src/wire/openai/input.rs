//! The inputs of endpoints other than chat: a text, a list of texts, token numbers, lists of them,
//! or parts of content. Counted in one pass without a list, as chat's messages are.

use std::borrow::Cow;

use serde::{Deserialize, de::DeserializeSeed as _, de::IgnoredAny};
use serde_json::value::RawValue;

use super::chat::{each, unquoted};
use crate::tokens::{Counter, PER_IMAGE};

/// What was found in `prompt`, `input` or `documents`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Inputs {
    /// How many there are; a list of token numbers is one.
    pub number: u64,
    /// Tokens of all; of token numbers exact, else estimated.
    pub tokens: u64,
    /// Tokens of the longest.
    pub longest: u64,
    /// Is there an image among them?
    pub images: bool,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

/// How many items an array has; none if it is no array.
#[must_use]
pub fn items(raw: &str) -> u64 {
    let mut number = 0;
    let mut source = serde_json::Deserializer::from_str(raw);
    let all = each("an array", |_: IgnoredAny| number += 1).deserialize(&mut source);
    all.map_or(0, |()| number)
}

/// Looks through inputs.
///
/// # Errors
/// If they are none of the known shapes.
pub fn inputs(raw: &str) -> Result<Inputs, serde_json::Error> {
    let mut found = Inputs::default();
    if raw.starts_with('"') {
        found.add(text(raw));
        return Ok(found);
    }
    let mut numbers = 0_u64;
    let mut wrong = None;
    let mut source = serde_json::Deserializer::from_str(raw);
    each("a string or an array", |input: &RawValue| {
        match found.input(input.get()) {
            Ok(Found::Number) => numbers += 1,
            Ok(Found::Input) => {}
            Err(error) => wrong = wrong.take().or(Some(error)),
        }
    })
    .deserialize(&mut source)?;
    if numbers > 0 {
        if found.number > 0 {
            wrong = wrong.or(Some(serde::de::Error::custom("texts and numbers mixed")));
        }
        found.add(numbers);
    }
    wrong.map_or(Ok(found), Err)
}

enum Found {
    /// One token of a list.
    Number,
    Input,
}

impl Inputs {
    fn add(&mut self, tokens: u64) {
        self.number += 1;
        self.tokens = self.tokens.saturating_add(tokens);
        self.longest = self.longest.max(tokens);
    }

    fn input(&mut self, raw: &str) -> Result<Found, serde_json::Error> {
        match raw.as_bytes().first() {
            Some(b'"') => self.add(text(raw)),
            Some(b'[') => {
                let mut tokens = 0;
                let mut source = serde_json::Deserializer::from_str(raw);
                each("an array of token numbers", |_: u64| tokens += 1).deserialize(&mut source)?;
                self.add(tokens);
            }
            Some(b'{') => {
                let part: Part<'_> = serde_json::from_str(raw)?;
                let image = part
                    .kind
                    .as_deref()
                    .is_some_and(|kind| kind.contains("image"));
                self.images |= image;
                let said = part.text.map_or(0, |raw| text(raw.get()));
                self.add(said + if image { PER_IMAGE } else { 0 });
            }
            _ => {
                let _: u64 = serde_json::from_str(raw)?;
                return Ok(Found::Number);
            }
        }
        Ok(Found::Input)
    }
}

/// Tokens of one text, as it is written in JSON.
#[must_use]
pub fn text(raw: &str) -> u64 {
    let mut counter = Counter::default();
    counter.add_json(unquoted(raw));
    counter.tokens()
}

/// How many members an array has; 0 if it is none.
#[must_use]
pub fn length(raw: &str) -> u64 {
    let mut number = 0;
    let mut source = serde_json::Deserializer::from_str(raw);
    let counted = each("an array", |_: IgnoredAny| number += 1).deserialize(&mut source);
    counted.map_or(0, |()| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_estimated_and_token_numbers_counted() {
        let of = |raw: &str| inputs(raw).map(|found| (found.number, found.tokens, found.longest));
        assert_eq!(of("[1,2,3]").unwrap(), (1, 3, 3));
        assert_eq!(of("[[1,2,3],[4]]").unwrap(), (2, 4, 3));
        let one = text(r#""The quick brown fox""#);
        assert_eq!(of(r#""The quick brown fox""#).unwrap(), (1, one, one));
        let both = of(r#"["The quick brown fox","a"]"#).unwrap();
        assert_eq!(both, (2, one + 1, one));
        assert_eq!(of("[]").unwrap(), (0, 0, 0));
    }

    #[test]
    fn parts_of_content_count_their_text_and_an_image() {
        let raw = r#"[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}}]"#;
        let found = inputs(raw).unwrap();
        assert_eq!((found.number, found.tokens), (2, 1 + PER_IMAGE));
        assert!(found.images);
    }

    #[test]
    fn other_shapes_are_refused() {
        for raw in [
            "1",
            "{}",
            "[1.5]",
            "[-1]",
            r#"["a",1]"#,
            r#"[["a"]]"#,
            "[true]",
            "true",
        ] {
            assert!(inputs(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn the_length_of_an_array_is_that_of_no_other_value() {
        assert_eq!(length(r#"[{"a":[1,2]},3]"#), 2);
        assert_eq!(length("{}"), 0);
    }
}
