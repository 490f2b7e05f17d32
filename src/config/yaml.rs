//! YAML text as a tree that knows where everything stands.
//!
//! Built on a parser's events because a mistake must name line and column, also the second one of
//! a file. Given text, it decides nothing about meaning. It promises bounded work: depth and the
//! number of copies that aliases make are limited.

use std::{collections::BTreeMap, fmt};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::mistake::{Mark, Mistake, Path, Step, shorten};

/// How deep lists and mappings may be nested; a configuration needs seven.
const MAX_DEPTH: usize = 32;
/// How many nodes anchors and aliases may copy, against alias bombs.
const MAX_COPIES: usize = 100_000;

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
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder::default();
    builder.read(&mut parser).map_err(|mistake| vec![mistake])?;
    let root = builder
        .root
        .unwrap_or_else(|| Node::map(Mark { line: 1, column: 1 }));
    match root.value {
        Value::Map(_) if builder.mistakes.is_empty() => Ok(root),
        Value::Map(_) => Err(builder.mistakes),
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
            Typed::Bool(_) => "true or false",
            Typed::Integer(_) | Typed::Number(_) => "a number",
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

// === building ===

/// A list or mapping whose end has not come yet.
#[derive(Debug)]
struct Open {
    at: Mark,
    anchor: usize,
    value: Value,
    /// The key whose value comes next.
    key: Option<(String, Mark)>,
}

#[derive(Debug, Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    copies: usize,
    root: Option<Node>,
    mistakes: Vec<Mistake>,
}

impl Builder {
    fn read(&mut self, parser: &mut Parser<'_, StrInput<'_>>) -> Result<(), Mistake> {
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.not_yaml(&error))?;
            self.take(event, span)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Mistake> {
        let at = mark(&span.start);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                let message = "the file holds more than one document";
                Err(Mistake::new(at, &Path::root(), message).hint("remove what follows `---`"))
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
            Event::Alias(id) => {
                let node = self.copy_of(id, at)?;
                self.add(node, 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted = self.tagged_as_text(tag.as_deref(), at)?;
                let plain = style == ScalarStyle::Plain && !quoted;
                // an absent value is reported where its key stands
                let key = self.open.last().and_then(|open| open.key.as_ref());
                let at = key.filter(|_| span.is_empty()).map_or(at, |(_, at)| *at);
                let scalar = Scalar::new(text.into_owned(), plain);
                self.add(
                    Node {
                        at,
                        value: Value::Scalar(scalar),
                    },
                    anchor,
                )
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(at, anchor, tag.as_deref(), Value::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(at, anchor, tag.as_deref(), Value::Map(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn begin(
        &mut self,
        at: Mark,
        anchor: usize,
        tag: Option<&Tag>,
        value: Value,
    ) -> Result<(), Mistake> {
        if tag.is_some() {
            return Err(self.unknown_tag(at));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.mistake(at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        if self.expects_key() {
            return Err(self.mistake(at, "a key must be text".to_owned()));
        }
        self.open.push(Open {
            at,
            anchor,
            value,
            key: None,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Mistake> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        if let Value::Map(entries) = &open.value {
            self.find_repeated(entries);
        }
        self.add(
            Node {
                at: open.at,
                value: open.value,
            },
            open.anchor,
        )
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Mistake> {
        if anchor > 0 {
            self.spend(&node)?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.value, open.key.take(), node.value) {
            (Value::List(items), _, value) => items.push(Node { at: node.at, value }),
            (Value::Map(entries), Some((key, at)), value) => {
                entries.push(Entry {
                    key,
                    at,
                    value: Node { at: node.at, value },
                });
            }
            (Value::Map(_), None, Value::Scalar(key)) => {
                open.key = Some((key.text, node.at));
            }
            (Value::Map(_) | Value::Scalar(_), _, _) => {
                return Err(self.mistake(node.at, "a key must be text".to_owned()));
            }
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        self.open
            .last()
            .is_some_and(|o| matches!(o.value, Value::Map(_)) && o.key.is_none())
    }

    fn copy_of(&mut self, id: usize, at: Mark) -> Result<Node, Mistake> {
        let Some(node) = self.anchors.get(&id).cloned() else {
            return Err(self.mistake(at, "an alias inside of what it stands for".to_owned()));
        };
        self.spend(&node)?;
        let depth = self.open.len() + depth(&node);
        if depth > MAX_DEPTH {
            return Err(self.mistake(at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(node)
    }

    /// Counts the nodes of a copy against the limit.
    fn spend(&mut self, node: &Node) -> Result<(), Mistake> {
        self.copies = self.copies.saturating_add(node.count());
        if self.copies > MAX_COPIES {
            let message = format!("anchors and aliases copy more than {MAX_COPIES} values");
            return Err(self.mistake(node.at, message));
        }
        Ok(())
    }

    fn tagged_as_text(&self, tag: Option<&Tag>, at: Mark) -> Result<bool, Mistake> {
        match tag {
            None => Ok(false),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(true),
            Some(_) => Err(self.unknown_tag(at)),
        }
    }

    fn find_repeated(&mut self, entries: &[Entry]) {
        let mut first = BTreeMap::new();
        for entry in entries {
            let Some(earlier) = first.insert(&entry.key, entry.at) else {
                continue;
            };
            first.insert(&entry.key, earlier);
            let path = self.path().key(&entry.key);
            let Mark { line, column } = earlier;
            let message = format!("written twice, first at line {line}, column {column}");
            self.mistakes.push(Mistake::new(entry.at, &path, message));
        }
    }

    /// Where the builder is.
    fn path(&self) -> Path {
        let mut path = Path::root();
        for open in &self.open {
            match (&open.value, &open.key) {
                (Value::List(items), _) => path.push_index(items.len()),
                (Value::Map(_), Some((key, _))) => path.push_key(key),
                (Value::Map(_) | Value::Scalar(_), _) => {}
            }
        }
        path
    }

    fn mistake(&self, at: Mark, message: String) -> Mistake {
        Mistake::new(at, &self.path(), message)
    }

    fn unknown_tag(&self, at: Mark) -> Mistake {
        self.mistake(at, "YAML tags are not used here".to_owned())
            .hint("remove the `!…`")
    }

    fn not_yaml(&self, error: &ScanError) -> Mistake {
        Mistake::new(
            mark(error.marker()),
            &Path::root(),
            format!("not YAML: {}", error.info()),
        )
    }
}

fn mark(marker: &Marker) -> Mark {
    // the parser counts columns from 0
    Mark {
        line: marker.line().max(1),
        column: marker.col() + 1,
    }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) => 0,
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests;
