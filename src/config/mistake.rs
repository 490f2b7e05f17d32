//! What is wrong with a configuration, and where: mistakes and warnings as data.
//!
//! A mistake names file, line, column and path, so that an editor can jump to it. It promises
//! never to hold a value that came from a variable or a secret file.

use std::{fmt, sync::Arc};

use serde::Serialize;

/// How much of a value is repeated in a message, in characters.
const SHOWN: usize = 60;

/// A place in a file; both count from 1, columns in characters. Zero: no place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub line: usize,
    pub column: usize,
}

/// The way from the root to a value: `models[0].backends[1].price.input`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Path(Vec<Step>);

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Key(Arc<str>),
    Index(usize),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mistake {
    pub file: String,
    /// From 1; 0: the file as a whole.
    pub line: usize,
    /// In characters, from 1; 0: the file as a whole.
    pub column: usize,
    /// Empty: the root.
    pub path: String,
    pub message: String,
    /// How to mend it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A warning: the same facts as a mistake, but the configuration can run.
pub type Note = Mistake;

/// Every mistake of a configuration, in the order of the file; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Mistakes(Vec<Mistake>);

// === impl Path ===

impl Path {
    /// The document itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// One step into a mapping.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut path = self.clone();
        path.push_key(key);
        path
    }

    /// One step into a list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        path.0.push(Step::Index(index));
        path
    }

    pub(super) fn push_key(&mut self, key: &str) {
        self.0.push(Step::Key(key.into()));
    }

    pub(super) fn push_index(&mut self, index: usize) {
        self.0.push(Step::Index(index));
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
    }

    /// The steps from the root.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |key: &str| {
            !key.is_empty()
                && key
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if !plain(key) => write!(f, "[\"{}\"]", shorten(key))?,
                Step::Key(key) if i == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

// === impl Mistake ===

impl Mistake {
    /// At a place, without a hint; the file's name is filled in by [`Mistakes::in_file`].
    pub(super) fn new(at: Mark, path: &Path, message: impl Into<String>) -> Self {
        Self {
            file: String::new(),
            line: at.line,
            column: at.column,
            path: path.to_string(),
            message: message.into(),
            hint: None,
        }
    }

    /// With how to mend it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Mistake {
    /// `file:line:column: path: message (hint)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

// === impl Mistakes ===

impl Mistakes {
    /// All mistakes of one file, sorted by place.
    pub(super) fn in_file(file: &str, mistakes: Vec<Mistake>) -> Self {
        Self(sorted(file, mistakes))
    }

    /// The mistakes in the order of the file.
    #[must_use]
    pub fn as_slice(&self) -> &[Mistake] {
        &self.0
    }
}

impl fmt::Display for Mistakes {
    /// One mistake a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(f, "{end}{mistake}")?;
        }
        Ok(())
    }
}

impl<'a> IntoIterator for &'a Mistakes {
    type Item = &'a Mistake;
    type IntoIter = std::slice::Iter<'a, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

// === helpers ===

/// Names the file in each and sorts by place.
pub(super) fn sorted(file: &str, mut notes: Vec<Mistake>) -> Vec<Mistake> {
    for note in &mut notes {
        file.clone_into(&mut note.file);
    }
    notes.sort_by(|a, b| (a.line, a.column, &a.path).cmp(&(b.line, b.column, &b.path)));
    notes
}

/// A text as a message may repeat it: one line, not endless.
pub(super) fn shorten(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    // a quotation mark in a message is read more easily bare
    shown = shown.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().count() > SHOWN {
        shown.push('…');
    }
    shown
}

/// The most similar of some names, if one is similar enough to be meant.
pub(super) fn similar<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = name.chars().count();
    let tolerance = (length / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| (1..=tolerance).contains(distance) && *distance < length)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_one_would_write_it() {
        let path = Path::root()
            .key("models")
            .index(0)
            .key("price")
            .key("input");
        assert_eq!(path.to_string(), "models[0].price.input");
        assert_eq!(
            Path::root().key("providers").key("a b\n").to_string(),
            "providers[\"a b\\n\"]"
        );
        assert_eq!(Path::root().to_string(), "");
    }

    #[test]
    fn a_mistake_shows_place_path_message_and_hint() {
        let at = Mark { line: 3, column: 5 };
        let mistake = Mistake::new(at, &Path::root().key("admin"), "is wrong").hint("mend it");
        let all = Mistakes::in_file("t.yaml", vec![mistake]);
        assert_eq!(all.to_string(), "t.yaml:3:5: admin: is wrong (mend it)");
        let whole = Mistake::new(Mark::default(), &Path::root(), "cannot be read");
        let all = Mistakes::in_file("t.yaml", vec![whole]);
        assert_eq!(all.to_string(), "t.yaml: cannot be read");
    }

    #[test]
    fn only_a_close_name_is_suggested() {
        let known = ["base_url", "base_urls", "api_key", "region"];
        assert_eq!(similar("baseurl", known), Some("base_url"));
        assert_eq!(similar("api-key", known), Some("api_key"));
        assert_eq!(similar("weights", known), None);
        assert_eq!(similar("", known), None);
        assert_eq!(similar("x", ["y"]), None);
    }
}
