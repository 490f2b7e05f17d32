//! Every mistake of form at once: the tree against the JSON Schema.
//!
//! A validator for the keywords that the schema of `raw` uses, because general ones know nothing
//! of lines and explain a union by listing every branch. It promises that what passes here can be
//! read as `Raw`.

use serde_json::{Map, Number, Value as Json};

use super::{
    mistake::{Mark, Mistake, Path, similar},
    pending,
    text::Format,
    yaml::{Entry, Node, Scalar, Typed, Value, core_schema},
};

/// How many known keys a hint may list.
const LISTED: usize = 16;

/// Checks the tree. A value that came from a variable and stands where a number or a boolean is
/// expected becomes one, quoted or not: inside of `{ … }` YAML wants quotes around a variable.
pub(super) fn check(root: &mut Node, schema: &Json) -> Vec<Mistake> {
    let mut walk = Walk {
        schema,
        path: Path::root(),
        mistakes: Vec::new(),
    };
    walk.visit(root, schema);
    walk.mistakes
}

/// The tree as JSON.
#[must_use]
pub fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(entries) => {
            let members = entries.iter().map(|e| (e.key.clone(), to_json(&e.value)));
            Json::Object(members.collect())
        }
        Value::Scalar(scalar) => match scalar.typed() {
            Typed::Null => Json::Null,
            Typed::Bool(value) => Json::Bool(value),
            Typed::Integer(number) => Json::Number(number.into()),
            // infinities are no JSON; no schema of ours takes them
            Typed::Number(number) => Number::from_f64(number).map_or(Json::Null, Json::Number),
            Typed::Text => Json::String(scalar.text.clone()),
        },
    }
}

struct Walk<'s> {
    /// The root, for references.
    schema: &'s Json,
    path: Path,
    mistakes: Vec<Mistake>,
}

impl<'s> Walk<'s> {
    fn visit(&mut self, node: &mut Node, schema: &'s Json) {
        let mut branches = Vec::new();
        self.branches(schema, &mut branches);
        match &mut node.value {
            Value::Map(_) => match branches.iter().find(|branch| takes(branch, "object")) {
                Some(branch) => self.visit_map(node, branch),
                None => self.mismatch(node.at, "a mapping", None, &branches),
            },
            Value::List(items) => match branches.iter().find(|branch| takes(branch, "array")) {
                Some(branch) => {
                    for (index, item) in items.iter_mut().enumerate() {
                        self.path.push_index(index);
                        self.visit(item, branch.get("items").unwrap_or(&Json::Null));
                        self.path.pop();
                    }
                }
                None => self.mismatch(node.at, "a list", None, &branches),
            },
            Value::Scalar(scalar) if scalar.broken => {}
            Value::Scalar(scalar) => {
                let text_fits = branches.iter().any(|branch| takes(branch, "string"));
                let number = !matches!(core_schema(&scalar.text), Typed::Text | Typed::Null);
                scalar.retyped = scalar.written.is_some() && !text_fits && number;
                self.visit_scalar(node.at, scalar, &branches);
            }
        }
    }

    /// The alternatives of a schema, references followed.
    fn branches(&self, schema: &'s Json, found: &mut Vec<&'s Json>) {
        if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
            let target = reference
                .strip_prefix('#')
                .and_then(|at| self.schema.pointer(at));
            if let Some(target) = target {
                self.branches(target, found);
            }
            return;
        }
        let nested = ["anyOf", "oneOf"]
            .into_iter()
            .find_map(|key| schema.get(key)?.as_array());
        match nested {
            Some(nested) => nested
                .iter()
                .for_each(|schema| self.branches(schema, found)),
            None => found.push(schema),
        }
    }

    fn visit_map(&mut self, node: &mut Node, schema: &'s Json) {
        let Value::Map(entries) = &mut node.value else {
            return;
        };
        for key in schema
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
        {
            let key = key.as_str().unwrap_or_default();
            if !entries.iter().any(|entry| entry.key == key) {
                let message = format!("missing required key `{key}`");
                self.mistakes
                    .push(Mistake::new(node.at, &self.path, message));
            }
        }
        for entry in entries {
            self.path.push_key(&entry.key);
            let known = schema
                .get("properties")
                .and_then(|known| known.get(&entry.key));
            let other = schema
                .get("additionalProperties")
                .filter(|other| other.is_object());
            match known.or(other) {
                Some(value) => {
                    self.check_key(entry, schema);
                    self.visit(&mut entry.value, value);
                }
                None => self.unknown_key(entry, schema),
            }
            self.path.pop();
        }
    }

    /// A key that is free to choose but must have a format.
    fn check_key(&mut self, entry: &Entry, schema: &Json) {
        let names = schema.get("propertyNames").unwrap_or(&Json::Null);
        let error = format_of(names).and_then(|format| (format.check)(&entry.key).err());
        if let Some(error) = error {
            self.mistakes
                .push(Mistake::new(entry.at, &self.path, error.to_string()));
        }
    }

    fn unknown_key(&mut self, entry: &Entry, schema: &Json) {
        if pending::key(&self.path) {
            return self
                .mistakes
                .push(Mistake::new(entry.at, &self.path, pending::NOT_YET));
        }
        let mistake = Mistake::new(entry.at, &self.path, "unknown key");
        let properties = schema.get("properties").and_then(Json::as_object);
        let known: Vec<&str> = properties
            .into_iter()
            .flat_map(Map::keys)
            .map(|k| &**k)
            .collect();
        self.mistakes
            .push(match similar(&entry.key, known.iter().copied()) {
                Some(name) => mistake.hint(format!("did you mean `{name}`?")),
                None if entry.key == "<<" => mistake.hint("merge keys are not YAML 1.2"),
                None if known.len() <= LISTED => {
                    mistake.hint(format!("known: {}", known.join(", ")))
                }
                None => mistake,
            });
    }

    fn visit_scalar(&mut self, at: Mark, scalar: &Scalar, branches: &[&'s Json]) {
        let wanted: &[&str] = match scalar.typed() {
            Typed::Text => return self.visit_text(at, scalar, branches),
            Typed::Bool(_) => &["boolean"],
            Typed::Integer(_) => &["integer", "number"],
            Typed::Number(_) => &["number"],
            Typed::Null => &[],
        };
        let fits = |branch: &&&Json| wanted.iter().any(|kind| takes(branch, kind));
        let number = match scalar.typed() {
            // exact for every limit of the schema
            Typed::Integer(number) => number as f64,
            Typed::Number(number) => number,
            Typed::Null | Typed::Bool(_) | Typed::Text => 0.0,
        };
        match branches.iter().find(fits) {
            None => self.mismatch(at, scalar.kind(), Some(scalar), branches),
            Some(branch) if takes(branch, "boolean") => {}
            Some(branch) => match format_of(branch) {
                Some(format) => self.check_text(at, scalar, format),
                None => self.check_range(at, number, branch),
            },
        }
    }

    fn visit_text(&mut self, at: Mark, scalar: &Scalar, branches: &[&'s Json]) {
        let words: Vec<&str> = branches.iter().copied().flat_map(words).collect();
        if words.contains(&scalar.text.as_str()) {
            return;
        }
        if pending::value(&self.path, &scalar.text) {
            let hint = format!("so far only {}", listed(&words));
            return self
                .mistakes
                .push(Mistake::new(at, &self.path, pending::NOT_YET).hint(hint));
        }
        let free = branches
            .iter()
            .find(|branch| takes(branch, "string") && is_free(branch));
        if let Some(branch) = free {
            if let Some(format) = format_of(branch) {
                self.check_text(at, scalar, format);
            }
            return;
        }
        let other = branches.iter().any(|branch| !takes(branch, "string"));
        if words.is_empty() || other {
            return self.mismatch(at, scalar.kind(), Some(scalar), branches);
        }
        let message = format!("`{}` is not one of {}", scalar.shown(), listed(&words));
        let mistake = Mistake::new(at, &self.path, message);
        self.mistakes
            .push(match similar(&scalar.text, words.iter().copied()) {
                Some(word) => mistake.hint(format!("did you mean `{word}`?")),
                None => mistake,
            });
    }

    fn check_text(&mut self, at: Mark, scalar: &Scalar, format: &Format) {
        let Err(error) = (format.check)(&scalar.text) else {
            return;
        };
        let message = if format.shown && !scalar.text.is_empty() {
            format!("`{}`: {error}", scalar.shown())
        } else {
            error.to_string()
        };
        self.mistakes.push(Mistake::new(at, &self.path, message));
    }

    fn check_range(&mut self, at: Mark, number: f64, schema: &Json) {
        let limit = |key| schema.get(key).and_then(Json::as_f64);
        let widest = match schema.get("format").and_then(Json::as_str) {
            Some("uint32") => Some(f64::from(u32::MAX)),
            _ => None,
        };
        let (least, most) = (limit("minimum"), limit("maximum").or(widest));
        let fits = least.is_none_or(|least| number >= least) && most.is_none_or(|m| number <= m);
        if fits {
            return;
        }
        let message = match (least, most) {
            (Some(least), Some(most)) => format!("must be from {least} to {most}"),
            (Some(least), None) => format!("must be at least {least}"),
            (None, Some(most)) => format!("must be at most {most}"),
            (None, None) => return,
        };
        self.mistakes.push(Mistake::new(at, &self.path, message));
    }

    fn mismatch(&mut self, at: Mark, found: &str, scalar: Option<&Scalar>, branches: &[&'s Json]) {
        let mut expected: Vec<String> = branches.iter().copied().flat_map(expectation).collect();
        expected.dedup();
        let message = format!("expected {}, found {found}", expected.join(" or "));
        let mistake = Mistake::new(at, &self.path, message);
        let hint = scalar.and_then(|scalar| mismatch_hint(scalar, branches));
        self.mistakes.push(match hint {
            Some(hint) => mistake.hint(hint),
            None => mistake,
        });
    }
}

// === helpers ===

/// May a value of this JSON type stand here?
fn takes(schema: &Json, kind: &str) -> bool {
    match schema.get("type") {
        Some(Json::String(one)) => one == kind,
        Some(Json::Array(several)) => several.iter().any(|one| one == kind),
        _ => kind == "string" && !is_free(schema),
    }
}

/// Is the text not limited to listed words?
fn is_free(schema: &Json) -> bool {
    schema.get("enum").is_none() && schema.get("const").is_none()
}

/// The words that a schema lists.
fn words(schema: &Json) -> impl Iterator<Item = &str> {
    let listed = schema
        .get("enum")
        .and_then(Json::as_array)
        .into_iter()
        .flatten();
    listed.chain(schema.get("const")).filter_map(Json::as_str)
}

fn listed(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn format_of(schema: &Json) -> Option<&'static Format> {
    Format::find(schema.get("format")?.as_str()?)
}

/// What a schema takes, in words.
fn expectation(schema: &Json) -> Vec<String> {
    let words: Vec<String> = words(schema).map(|word| format!("`{word}`")).collect();
    if !words.is_empty() {
        return words;
    }
    if let Some(format) = format_of(schema) {
        return vec![format.what.to_owned()];
    }
    let kinds = [
        ("object", "a mapping"),
        ("array", "a list"),
        ("string", "text"),
        ("integer", "a whole number"),
        ("number", "a number"),
        ("boolean", "true or false"),
    ];
    let taken = kinds.iter().filter(|(kind, _)| takes(schema, kind));
    taken.map(|(_, words)| (*words).to_owned()).collect()
}

/// How a scalar of the wrong type is most likely mended.
fn mismatch_hint(scalar: &Scalar, branches: &[&Json]) -> Option<String> {
    let any = |kind: &str| branches.iter().any(|branch| takes(branch, kind));
    let meant = similar(&scalar.text, branches.iter().copied().flat_map(words));
    match scalar.typed() {
        Typed::Text if meant.is_some() => meant.map(|word| format!("did you mean `{word}`?")),
        Typed::Null => Some("give it a value or remove the key".to_owned()),
        Typed::Text if any("boolean") => Some("write true or false".to_owned()),
        Typed::Text if any("integer") || any("number") => {
            let number = !matches!(core_schema(&scalar.text), Typed::Text | Typed::Null);
            number.then(|| "write it without quotes".to_owned())
        }
        _ if any("array") => Some("write it as a list: [ … ]".to_owned()),
        Typed::Text => None,
        Typed::Bool(_) | Typed::Integer(_) | Typed::Number(_) => {
            let branch = branches.iter().find(|branch| takes(branch, "string"))?;
            match format_of(branch) {
                Some(format) if (format.check)(&scalar.text).is_err() => None,
                Some(format) if !format.shown => Some("write it in quotes".to_owned()),
                _ if is_free(branch) => Some(format!("write it in quotes: \"{}\"", scalar.shown())),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests;
