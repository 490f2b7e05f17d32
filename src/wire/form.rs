//! A `multipart/form-data` body whose parts stay slices of the bytes that were received.
//!
//! As with [`Object`](super::json::Object), what is not edited leaves byte for byte as it came: a
//! file is never copied, and the order of the parts is the client's. A field that stands twice is
//! refused, unless its name says that it is a list: with it a gateway could price one `model` while
//! the backend runs another.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;
use memchr::memmem;

/// Parts that one form may have.
const MAX_PARTS: usize = 256;
/// Bytes of the headers of one part.
const MAX_HEADERS: usize = 8 * 1024;
/// Bytes of a boundary, by RFC 2046.
const MAX_BOUNDARY: usize = 70;

/// A form.
#[derive(Clone, Debug)]
pub struct Form {
    /// With the boundary.
    content_type: String,
    bytes: Bytes,
    parts: Vec<Part>,
    /// Where the closing delimiter begins.
    end: usize,
}

#[derive(Clone, Debug)]
struct Part {
    name: String,
    /// Has it a file name?
    is_file: bool,
    /// From its delimiter on.
    start: usize,
    value: Range<usize>,
    edit: Edit,
}

#[derive(Clone, Debug)]
enum Edit {
    Keep,
    Replace(Bytes),
    Remove,
}

/// Why a body is no form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    #[error("`content-type` must be multipart/form-data with a boundary")]
    NoBoundary,
    #[error("the form is cut off, or a part of it is malformed")]
    Malformed,
    #[error("a field stands twice in the form")]
    Duplicate,
}

impl Form {
    /// Takes a body apart.
    ///
    /// # Errors
    /// If the content type names no boundary, the form has no end, a part can't be read, or a
    /// field stands twice.
    pub fn parse(content_type: &str, bytes: Bytes) -> Result<Self, FormError> {
        let boundary = boundary(content_type).ok_or(FormError::NoBoundary)?;
        let delimiter = format!("--{boundary}");
        let finder = memmem::Finder::new(&delimiter);
        let mut parts: Vec<Part> = Vec::new();
        let mut open: Option<Part> = None;
        for at in finder.find_iter(&bytes) {
            if !begins_a_line(&bytes, at) {
                continue;
            }
            let rest = bytes.get(at + delimiter.len()..).unwrap_or_default();
            let kind = delimited(rest);
            if matches!(kind, Delimited::Text) {
                continue;
            }
            if let Some(mut part) = open.take() {
                part.value.end = at.saturating_sub(2).max(part.value.start);
                parts.push(part);
            }
            match kind {
                Delimited::Part(skip) if parts.len() < MAX_PARTS => {
                    open = Some(part(&bytes, at, at + delimiter.len() + skip)?);
                }
                Delimited::End => {
                    return Self::closed(content_type, bytes, parts, at);
                }
                Delimited::Part(_) | Delimited::Text => return Err(FormError::Malformed),
            }
        }
        Err(FormError::Malformed)
    }

    fn closed(
        content_type: &str,
        bytes: Bytes,
        parts: Vec<Part>,
        end: usize,
    ) -> Result<Self, FormError> {
        let twice = |(at, part): (usize, &Part)| {
            let before = parts.get(..at).unwrap_or_default();
            !part.name.ends_with("[]") && before.iter().any(|other| other.name == part.name)
        };
        if parts.iter().enumerate().any(twice) {
            return Err(FormError::Duplicate);
        }
        Ok(Self {
            content_type: content_type.to_owned(),
            bytes,
            parts,
            end,
        })
    }

    /// The content type that it came with.
    #[must_use]
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The text of a field; `None` if there is none of that name, or it is a file or no text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.parts.iter().filter(|part| !part.is_file);
        let part = fields.find(|part| part.name == name)?;
        let value = match &part.edit {
            Edit::Keep => self.bytes.get(part.value.clone())?,
            Edit::Replace(value) => value,
            Edit::Remove => return None,
        };
        std::str::from_utf8(value).ok()
    }

    /// The bytes of a file.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        let mut files = self.parts.iter().filter(|part| part.is_file);
        let part = files.find(|part| part.name == name)?;
        self.bytes.get(part.value.clone())
    }

    /// Replaces the text of a field that is there.
    pub fn set(&mut self, name: &str, value: impl Into<Bytes>) {
        if let Some(part) = self.parts.iter_mut().find(|part| part.name == name) {
            part.edit = Edit::Replace(value.into());
        }
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) {
        if let Some(part) = self.parts.iter_mut().find(|part| part.name == name) {
            part.edit = Edit::Remove;
        }
    }

    /// The form as it is sent, in slices of the original around what was edited.
    #[must_use]
    pub fn slices(&self) -> VecDeque<Bytes> {
        let mut out = VecDeque::new();
        let ends = self.parts.iter().skip(1).map(|part| part.start);
        let mut pending = 0..self.parts.first().map_or(self.end, |part| part.start);
        for (part, end) in self.parts.iter().zip(ends.chain([self.end])) {
            match &part.edit {
                Edit::Keep if pending.end == part.start => pending.end = end,
                Edit::Keep => {
                    self.push(&mut out, std::mem::replace(&mut pending, part.start..end));
                }
                Edit::Remove => {
                    self.push(&mut out, std::mem::replace(&mut pending, end..end));
                }
                Edit::Replace(value) => {
                    self.push(&mut out, pending);
                    self.push(&mut out, part.start..part.value.start);
                    out.push_back(value.clone());
                    pending = part.value.end..end;
                }
            }
        }
        self.push(&mut out, pending);
        self.push(&mut out, self.end..self.bytes.len());
        out
    }

    fn push(&self, out: &mut VecDeque<Bytes>, range: Range<usize>) {
        if !range.is_empty() {
            out.push_back(self.bytes.slice(range));
        }
    }
}

/// What follows the text of a delimiter.
enum Delimited {
    /// A part, after so many bytes.
    Part(usize),
    End,
    /// It is no delimiter: a longer line begins the same.
    Text,
}

fn delimited(rest: &[u8]) -> Delimited {
    if rest.starts_with(b"--") {
        return Delimited::End;
    }
    let blanks = rest.iter().take_while(|b| matches!(b, b' ' | b'\t'));
    let blanks = blanks.count();
    match rest.get(blanks..) {
        Some(rest) if rest.starts_with(b"\r\n") => Delimited::Part(blanks + 2),
        _ => Delimited::Text,
    }
}

fn begins_a_line(bytes: &[u8], at: usize) -> bool {
    at == 0
        || bytes
            .get(..at)
            .is_some_and(|before| before.ends_with(b"\r\n"))
}

/// The part whose delimiter begins at `start` and whose headers at `headers`; its end is not known
/// yet.
fn part(bytes: &[u8], start: usize, headers: usize) -> Result<Part, FormError> {
    let rest = bytes.get(headers..).unwrap_or_default();
    let within = rest.get(..MAX_HEADERS.min(rest.len())).unwrap_or_default();
    let length = memmem::find(within, b"\r\n\r\n").ok_or(FormError::Malformed)?;
    let text = within.get(..length).unwrap_or_default();
    let text = std::str::from_utf8(text).map_err(|_| FormError::Malformed)?;
    let mut dispositions = text.split("\r\n").filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim()
            .eq_ignore_ascii_case("content-disposition")
            .then_some(value)
    });
    let (Some(disposition), None) = (dispositions.next(), dispositions.next()) else {
        return Err(FormError::Malformed);
    };
    let name = parameter(disposition, "name").ok_or(FormError::Malformed)?;
    let named = |parameter_name| parameter(disposition, parameter_name).is_some();
    let value = headers + length + 4;
    Ok(Part {
        name,
        is_file: named("filename") || named("filename*"),
        start,
        value: value..value,
        edit: Edit::Keep,
    })
}

/// The boundary that a content type names.
fn boundary(content_type: &str) -> Option<String> {
    let (essence, _) = content_type.split_once(';')?;
    let is_form = essence.trim().eq_ignore_ascii_case("multipart/form-data");
    let boundary = parameter(content_type, "boundary").filter(|_| is_form)?;
    (1..=MAX_BOUNDARY)
        .contains(&boundary.len())
        .then_some(boundary)
}

/// A parameter of a header: `name=value` or `name="value"` after a semicolon.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after.trim_start())?;
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after.split_once(';')?.1;
    }
}

/// A value, and what comes after it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, after) = text.split_at_checked(end)?;
        return Some((value.trim_end().to_owned(), after));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests;
