//! The body of a request, however it is written: members of a JSON object, or fields of a form.
//!
//! Numbers and the words `true` and `false` read the same in both; a text is quoted in the one and
//! bare in the other.

use std::{borrow::Cow, collections::VecDeque};

use bytes::Bytes;
use bytestring::ByteString;

use super::{form::Form, json::Object, scan::is_text};

/// A body.
#[derive(Clone, Debug)]
pub enum Body {
    Json(Object),
    Form(Form),
}

impl Body {
    /// A member as it is written; `None` where it is absent or null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        match self {
            Self::Json(object) => object.get(name).filter(|raw| *raw != "null"),
            Self::Form(form) => form.get(name),
        }
    }

    /// A part of what [`Self::get`] lent, to be kept without being copied; forms lend none.
    #[must_use]
    pub fn share(&self, part: &str) -> Option<ByteString> {
        match self {
            Self::Json(object) => object.share(part),
            Self::Form(_) => None,
        }
    }

    /// A member that is a text; `Some(None)` where it is there and something else.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Option<Cow<'_, str>>> {
        let raw = self.get(name)?;
        Some(match self {
            Self::Json(_) => serde_json::from_str::<Text<'_>>(raw)
                .ok()
                .map(|text| text.0),
            Self::Form(_) => Some(Cow::Borrowed(raw)),
        })
    }

    /// Replaces a text, or adds it to a JSON object.
    pub fn set_text(&mut self, name: &'static str, text: &str) {
        match self {
            Self::Json(object) => object.set(name, quoted(text)),
            Self::Form(form) => form.set(name, Bytes::copy_from_slice(text.as_bytes())),
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, name: &str) {
        match self {
            Self::Json(object) => object.remove(name),
            Self::Form(form) => form.remove(name),
        }
    }

    /// The body as it is sent.
    #[must_use]
    pub fn slices(&self) -> VecDeque<Bytes> {
        match self {
            Self::Json(object) => object.slices(),
            Self::Form(form) => form.slices(),
        }
    }

    /// The same in one piece, which is a copy where something was edited.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Json(object) => object.to_bytes(),
            Self::Form(form) => form.slices().iter().flatten().copied().collect(),
        }
    }
}

#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
/// A text as JSON.
fn quoted(text: &str) -> String {
    if is_text(text.as_bytes()) && !text.contains('\\') {
        return ["\"", text, "\""].concat();
    }
    serde_json::Value::from(text).to_string()
}
