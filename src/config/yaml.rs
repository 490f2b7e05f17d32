//! YAML text as a tree that knows where everything stands.
//!
//! Built on a parser's events because a mistake must name line and column, also the second one of
//! a file. Given text, it decides nothing about meaning. It promises bounded work: depth and the
//! number of copies that aliases make are limited.

use std::fmt;

use super::mistake::{Mark, Mistake, Path, Step, shorten};

mod build;

/// A value and where it begins.
#[derive(Debug, Clone)]
pub struct Node {
    pub at: Mark,
    pub value: Value,
}

/// The shapes of a value.
#[derive(Debug, Clone)]
pub enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone)]
pub struct Entry {
    pub key: String,
    /// Where the key stands.
    pub at: Mark,
    pub value: Node,
}

/// A text with how it was written.
#[derive(Clone)]
pub struct Scalar {
    /// What it says, variables replaced.
    pub text: String,
    /// Not quoted: it may be a number, a boolean or nothing.
    pub plain: bool,
    /// How it was written, if variables were replaced in it: what messages may show.
    pub written: Option<String>,
    /// A variable in it could not be replaced, which has been said already.
    pub broken: bool,
    /// Its text decides its type, although variables were replaced in it: it stands where no text
    /// may stand.
    pub retyped: bool,
}

/// What a scalar says under YAML's core schema.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Typed {
    Null,
    Bool(bool),
    Integer(i64),
    Number(f64),
    Text,
}

/// Reads one document whose root is a mapping. No content at all is an empty mapping.
///
/// # Errors
/// What is not YAML, has several documents or another root, or repeats a key (each of them).
pub fn parse(text: &str) -> Result<Node, Vec<Mistake>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = build::tree(text)?.unwrap_or_else(|| Node::map(Mark { line: 1, column: 1 }));
    match root.value {
        Value::Map(_) => Ok(root),
        Value::Scalar(ref scalar) if scalar.typed() == Typed::Null => Ok(Node::map(root.at)),
        Value::Scalar(_) | Value::List(_) => {
            let message = format!("the file must hold a mapping, found {}", root.kind());
            Err(vec![
                Mistake::new(root.at, &Path::root(), message).hint("such as `server: …`"),
            ])
        }
    }
}

// === impl Node ===

impl Node {
    fn map(at: Mark) -> Self {
        Self {
            at,
            value: Value::Map(Vec::new()),
        }
    }

    /// What it is, in words for a message.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Scalar(scalar) => scalar.kind(),
        }
    }

    /// The value at a path, or the deepest one on the way that exists, with the place to show:
    /// a scalar's own; for a list or mapping that of its key.
    #[must_use]
    pub fn nearest(&self, path: &Path) -> (Mark, &Self) {
        let (mut at, mut node) = (self.at, self);
        for step in path.steps() {
            let next = match (&node.value, step) {
                (Value::Map(entries), Step::Key(key)) => entries
                    .iter()
                    .find(|entry| *entry.key == **key)
                    .map(|entry| (entry.place(), &entry.value)),
                (Value::List(items), Step::Index(index)) => {
                    items.get(*index).map(|item| (item.at, item))
                }
                (Value::Scalar(_) | Value::List(_) | Value::Map(_), _) => None,
            };
            let Some(next) = next else { return (at, node) };
            (at, node) = next;
        }
        (at, node)
    }

    /// How many nodes it holds, itself included.
    fn count(&self) -> usize {
        match &self.value {
            Value::Scalar(_) => 1,
            Value::List(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            Value::Map(entries) => 1 + entries.iter().map(|e| e.value.count()).sum::<usize>(),
        }
    }
}

// === impl Entry ===

impl Entry {
    fn place(&self) -> Mark {
        if matches!(self.value.value, Value::Scalar(_)) {
            self.value.at
        } else {
            self.at
        }
    }
}

// === impl Scalar ===

impl Scalar {
    fn new(text: String, plain: bool) -> Self {
        Self {
            text,
            plain,
            written: None,
            broken: false,
            retyped: false,
        }
    }

    /// Its type under the core schema. A quoted text is text, and so is one that came from a
    /// variable: what a secret holds decides nothing.
    #[must_use]
    pub fn typed(&self) -> Typed {
        if (self.plain && self.written.is_none()) || self.retyped {
            core_schema(&self.text)
        } else {
            Typed::Text
        }
    }

    /// What it is, in words for a message.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.typed() {
            Typed::Null => "nothing",
            Typed::Bool(_) => "a boolean",
            Typed::Integer(_) => "a number",
            Typed::Number(_) => "a decimal number",
            Typed::Text => "text",
        }
    }

    /// The text as a message may repeat it.
    #[must_use]
    pub fn shown(&self) -> String {
        shorten(self.written.as_ref().unwrap_or(&self.text))
    }
}

impl fmt::Debug for Scalar {
    /// As written: a value that came from a variable may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.shown(), f)
    }
}

/// YAML 1.2's core schema (section 10.3.2 of the specification).
pub(super) fn core_schema(text: &str) -> Typed {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Typed::Null,
        "true" | "True" | "TRUE" => return Typed::Bool(true),
        "false" | "False" | "FALSE" => return Typed::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Typed::Number(f64::NAN),
        _ => {}
    }
    let magnitude = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(magnitude, ".inf" | ".Inf" | ".INF") {
        let negative = text.starts_with('-');
        return Typed::Number(if negative {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        });
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        let digits = text
            .strip_prefix(prefix)
            .filter(|digits| !digits.starts_with('+'));
        if let Some(number) = digits.and_then(|digits| i64::from_str_radix(digits, radix).ok()) {
            return Typed::Integer(number);
        }
    }
    let number_like = magnitude.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && magnitude
            .bytes()
            .all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    if !number_like {
        return Typed::Text;
    }
    if let Ok(number) = text.parse() {
        return Typed::Integer(number);
    }
    text.parse().map_or(Typed::Text, Typed::Number)
}

#[cfg(test)]
mod tests;
