//! A tree from the events of the parser, within limits of depth and copies.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{Entry, Node, Scalar, Value};
use crate::config::mistake::{Mark, Mistake, Path};

/// How deep lists and mappings may be nested; a configuration needs seven.
const MAX_DEPTH: usize = 32;
/// How many nodes anchors and aliases may copy, against alias bombs.
const MAX_COPIES: usize = 100_000;

/// The tree of a text's only document; `None` if there is no document.
pub(super) fn tree(text: &str) -> Result<Option<Node>, Vec<Mistake>> {
    let mut builder = Builder::default();
    builder
        .read(&mut Parser::new_from_str(text))
        .map_err(|mistake| vec![mistake])?;
    if builder.mistakes.is_empty() {
        Ok(builder.root)
    } else {
        Err(builder.mistakes)
    }
}

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
