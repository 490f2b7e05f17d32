//! A JSON object whose members stay slices of the bytes that were received.
//!
//! Only the top level is taken apart. What is not edited leaves byte for byte as it came, white
//! space and order included; an edit replaces one value, and the body is then sent as slices of
//! the original around it, so that a message with a large image is never copied. Duplicate keys
//! are refused: with them a gateway could price one `model` while the backend runs another.

mod read;

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;
use bytestring::ByteString;

/// An object over the bytes it was read from.
#[derive(Clone, Debug)]
pub struct Object {
    text: ByteString,
    /// Just after the opening brace.
    open: usize,
    members: Vec<Member>,
    appended: Vec<(&'static str, Bytes)>,
}

#[derive(Clone, Debug)]
struct Member {
    key: Key,
    /// The value in `Object::text`.
    value: Range<usize>,
    edit: Edit,
}

impl Member {
    fn kept(key: Key, value: Range<usize>) -> Self {
        Self {
            key,
            value,
            edit: Edit::Keep,
        }
    }

    /// Its key, of the text that it was read from.
    fn key<'a>(&'a self, text: &'a str) -> &'a str {
        match &self.key {
            Key::Plain(range) => text.get(range.clone()).unwrap_or_default(),
            Key::Escaped(key) => key,
        }
    }

    /// Has it this key? Asked for every member that something looks for.
    fn is(&self, text: &str, key: &str) -> bool {
        match &self.key {
            Key::Plain(range) => {
                range.len() == key.len()
                    && text.as_bytes().get(range.clone()) == Some(key.as_bytes())
            }
            Key::Escaped(own) => **own == *key,
        }
    }
}

#[derive(Clone, Debug)]
enum Key {
    /// Written without escapes: the bytes between the quotes.
    Plain(Range<usize>),
    /// Written with escapes: its meaning.
    Escaped(Box<str>),
}

#[derive(Clone, Debug)]
enum Edit {
    Keep,
    Replace(Bytes),
    Remove,
}

/// Why bytes are not a usable object. Positions are `serde_json`'s: line and column.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// Not JSON at all, or not an object.
    #[error("{0}")]
    Syntax(serde_json::Error),
    /// A key that stands twice.
    #[error("duplicate key `{0}`")]
    Duplicate(String),
}

impl Object {
    /// Takes the top level apart.
    ///
    /// # Errors
    /// If the bytes are not one JSON object in UTF-8, or a key stands in it twice (escapes in the
    /// key make no difference).
    pub fn parse(bytes: Bytes) -> Result<Self, ObjectError> {
        let text = ByteString::try_from(bytes.clone()).map_err(|_| read::not_text(&bytes))?;
        drop(bytes);
        let members = read::members(&text)?;
        let open = memchr::memchr(b'{', text.as_bytes()).map_or(0, |at| at + 1);
        Ok(Self {
            text,
            open,
            members,
            appended: Vec::new(),
        })
    }

    /// The value of a member as it stands now, as JSON text.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        if let Some((_, value)) = self.appended.iter().find(|(k, _)| *k == key) {
            return std::str::from_utf8(value).ok();
        }
        let member = self.members.iter().find(|m| m.is(&self.text, key))?;
        match &member.edit {
            Edit::Keep => self.text.get(member.value.clone()),
            Edit::Replace(value) => std::str::from_utf8(value).ok(),
            Edit::Remove => None,
        }
    }

    /// A part of what [`Self::get`] lent, to be kept without being copied; `None`: it is of another
    /// text.
    #[must_use]
    pub fn share(&self, part: &str) -> Option<ByteString> {
        let start = part
            .as_ptr()
            .addr()
            .checked_sub(self.text.as_ptr().addr())?;
        let inside = self.text.get(start..start + part.len())?;
        (inside.as_ptr() == part.as_ptr()).then(|| self.text.slice_ref(inside))
    }

    /// Every original member with its original value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|m| {
            let value = self.text.get(m.value.clone()).unwrap_or_default();
            (m.key(&self.text), value)
        })
    }

    /// Sets a member to a JSON value: in its place if it stands there, else at the end.
    pub fn set(&mut self, key: &'static str, json: impl Into<Bytes>) {
        let json = json.into();
        if let Some(at) = self.position(key) {
            if let Some(member) = self.members.get_mut(at) {
                member.edit = Edit::Replace(json);
            }
        } else if let Some((_, value)) = self.appended.iter_mut().find(|(k, _)| *k == key) {
            *value = json;
        } else {
            self.appended.push((key, json));
        }
    }

    /// Takes a member out, if it is there.
    pub fn remove(&mut self, key: &str) {
        if let Some(member) = self.position(key).and_then(|at| self.members.get_mut(at)) {
            member.edit = Edit::Remove;
        }
        self.appended.retain(|(k, _)| *k != key);
    }

    /// Has nothing been set or removed?
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.appended.is_empty() && self.members.iter().all(|m| matches!(m.edit, Edit::Keep))
    }

    /// The object as slices of the original around the edits; their concatenation is the text.
    #[must_use]
    pub fn slices(&self) -> VecDeque<Bytes> {
        let mut out = Slices {
            bytes: self.text.as_bytes(),
            parts: VecDeque::new(),
            pending: 0..0,
        };
        out.original(0..self.open);
        let mut before = self.open;
        let mut gap_is_whole = true;
        let mut first = true;
        for member in &self.members {
            let Range { start, end } = member.value.clone();
            if matches!(member.edit, Edit::Remove) {
                gap_is_whole = false;
                before = end;
                continue;
            }
            if gap_is_whole {
                out.original(before..start);
            } else {
                if !first {
                    out.own(Bytes::from_static(b","));
                }
                out.original(self.key_start(before)..start);
            }
            match &member.edit {
                Edit::Replace(value) => out.own(value.clone()),
                _ => out.original(start..end),
            }
            (before, gap_is_whole, first) = (end, true, false);
        }
        for (key, value) in &self.appended {
            let comma = if first { "" } else { "," };
            out.own(Bytes::from(format!("{comma}\"{key}\":")));
            out.own(value.clone());
            first = false;
        }
        let close = self.members.last().map_or(self.open, |m| m.value.end);
        out.original(close..self.text.len());
        out.finish()
    }

    /// The object in one piece; without edits, the original bytes themselves.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        if self.is_untouched() {
            return self.text.clone().into_bytes();
        }
        let slices = self.slices();
        let mut whole = Vec::with_capacity(slices.iter().map(Bytes::len).sum());
        for slice in slices {
            whole.extend_from_slice(&slice);
        }
        whole.into()
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.members.iter().position(|m| m.is(&self.text, key))
    }

    /// Where the next key begins: the first quote after `from`, as only commas and white space
    /// stand between a value and the next key.
    fn key_start(&self, from: usize) -> usize {
        let rest = self.text.as_bytes().get(from..).unwrap_or_default();
        from + memchr::memchr(b'"', rest).unwrap_or(0)
    }
}

/// Collects slices, joining neighbours of the original.
struct Slices<'a> {
    bytes: &'a Bytes,
    parts: VecDeque<Bytes>,
    pending: Range<usize>,
}

impl Slices<'_> {
    fn original(&mut self, range: Range<usize>) {
        if self.pending.is_empty() {
            self.pending = range;
        } else if self.pending.end == range.start {
            self.pending.end = range.end;
        } else {
            self.flush();
            self.pending = range;
        }
    }

    fn own(&mut self, bytes: Bytes) {
        self.flush();
        if !bytes.is_empty() {
            self.parts.push_back(bytes);
        }
    }

    fn flush(&mut self) {
        let range = std::mem::take(&mut self.pending);
        if !range.is_empty() && range.end <= self.bytes.len() {
            self.parts.push_back(self.bytes.slice(range));
        }
    }

    fn finish(mut self) -> VecDeque<Bytes> {
        self.flush();
        self.parts
    }
}

#[cfg(test)]
mod tests;
