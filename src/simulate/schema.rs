//! A JSON document that satisfies a JSON Schema, for structured answers and tool arguments.
//!
//! Pure and deterministic. Understands what structured outputs use: types, required properties,
//! enums, const, nested objects and arrays, unions, `$ref` within the document, bounds and common
//! formats. `pattern` and `not` are beyond it: such a schema is refused rather than violated.

use serde_json::{Map, Number, Value};

use super::count::nth;
use super::text;

/// Nesting at which a recursive branch is given up for another.
const MAX_DEPTH: usize = 64;
/// Nesting from which a union prefers null: where recursive documents end.
const PREFER_NULL: usize = 6;
/// Values that one document may take: keeps a hostile schema from costing more than a moment.
const MAX_VALUES: usize = 20_000;

/// A document for `schema`, or `None` where none is found.
pub(crate) fn instance(schema: &Value, seed: u64) -> Option<Value> {
    Maker {
        root: schema,
        seed,
        made: 0,
    }
    .make(schema, 0)
}

struct Maker<'a> {
    root: &'a Value,
    seed: u64,
    made: usize,
}

impl Maker<'_> {
    fn make(&mut self, schema: &Value, depth: usize) -> Option<Value> {
        self.made += 1;
        if depth > MAX_DEPTH || self.made > MAX_VALUES {
            return None;
        }
        let schema = match schema {
            Value::Bool(true) => return Some(Value::String(self.string(2))),
            Value::Object(members) => members,
            _ => return None,
        };
        if schema.contains_key("pattern") || schema.contains_key("not") {
            return None;
        }
        if let Some(Value::String(target)) = schema.get("$ref") {
            let root = self.root;
            return self.make(root.pointer(target.strip_prefix('#')?)?, depth + 1);
        }
        if let Some(fixed) = schema.get("const") {
            return Some(fixed.clone());
        }
        if let Some(Value::Array(choices)) = schema.get("enum") {
            let pick = self.number() % (choices.len().max(1) as u64);
            return choices.get(usize::try_from(pick).ok()?).cloned();
        }
        for union in ["anyOf", "oneOf"] {
            if let Some(Value::Array(branches)) = schema.get(union) {
                let null = |branch: &&Value| branch.get("type").is_some_and(|kind| kind == "null");
                if depth > PREFER_NULL && branches.iter().any(|branch| null(&branch)) {
                    return Some(Value::Null);
                }
                return branches
                    .iter()
                    .find_map(|branch| self.make(branch, depth + 1));
            }
        }
        if let Some(Value::Array(parts)) = schema.get("allOf") {
            return self.make(&merged(self.root, schema, parts)?, depth + 1);
        }
        match kind(schema) {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, depth),
            "string" => self.text(schema),
            "integer" => self.numeric(schema, true),
            "number" => self.numeric(schema, false),
            "boolean" => Some(Value::Bool(self.number() & 1 == 0)),
            "null" => Some(Value::Null),
            _ => None,
        }
    }

    fn object(&mut self, schema: &Map<String, Value>, depth: usize) -> Option<Value> {
        let empty = Map::new();
        let properties = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&empty);
        let mut object = Map::new();
        match schema.get("required").and_then(Value::as_array) {
            Some(required) => {
                for name in required.iter().filter_map(Value::as_str) {
                    let value = properties.get(name).unwrap_or(&Value::Bool(true));
                    object.insert(name.to_owned(), self.make(value, depth + 1)?);
                }
            }
            // nothing is required: the outermost properties still make a telling answer
            None if depth == 0 => {
                for (name, value) in properties {
                    if let Some(value) = self.make(value, depth + 1) {
                        object.insert(name.clone(), value);
                    }
                }
            }
            None => {}
        }
        Some(Value::Object(object))
    }

    fn array(&mut self, schema: &Map<String, Value>, depth: usize) -> Option<Value> {
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        let fixed = schema.get("prefixItems").and_then(Value::as_array);
        let least = bound("minItems").unwrap_or(0);
        let wanted = least.max(1).min(bound("maxItems").unwrap_or(u64::MAX));
        let mut items = Vec::new();
        for prefix in fixed.into_iter().flatten() {
            items.push(self.make(prefix, depth + 1)?);
        }
        let item = schema.get("items").unwrap_or(&Value::Bool(true));
        while (items.len() as u64) < wanted {
            match self.make(item, depth + 1) {
                Some(value) => items.push(value),
                None if items.len() as u64 >= least => break,
                None => return None,
            }
        }
        let unique = schema.get("uniqueItems") == Some(&Value::Bool(true));
        let repeats = |(at, item)| {
            items
                .get(..at)
                .is_some_and(|before: &[Value]| before.contains(item))
        };
        if unique && items.iter().enumerate().any(repeats) {
            return None;
        }
        Some(Value::Array(items))
    }

    fn text(&mut self, schema: &Map<String, Value>) -> Option<Value> {
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        if let Some(format) = schema.get("format").and_then(Value::as_str)
            && let Some(example) = formatted(format)
        {
            return Some(Value::String(example.to_owned()));
        }
        let least = bound("minLength").unwrap_or(0);
        if least > MAX_VALUES as u64 {
            return None;
        }
        let mut text = self.string(3.max(least.div_ceil(4) + 1));
        let most = bound("maxLength").and_then(|most| usize::try_from(most).ok());
        text.truncate(most.unwrap_or(usize::MAX));
        Some(Value::String(text))
    }

    /// Numbers are whole where they can be: nothing is lost in printing them.
    fn numeric(&mut self, schema: &Map<String, Value>, whole: bool) -> Option<Value> {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let step = bound("multipleOf").filter(|step| *step > 0.0);
        let unit = if whole {
            step.unwrap_or(1.0).max(1.0)
        } else {
            step.unwrap_or(0.5)
        };
        let low = match (bound("minimum"), bound("exclusiveMinimum")) {
            (_, Some(above)) => Some((above / unit).floor() * unit + unit),
            (low, None) => low.map(|low| (low / unit).ceil() * unit),
        };
        let high = match (bound("maximum"), bound("exclusiveMaximum")) {
            (_, Some(below)) => Some((below / unit).ceil() * unit - unit),
            (high, None) => high.map(|high| (high / unit).floor() * unit),
        };
        let spread = unit * f64::from(u8::try_from(self.number() % 10).unwrap_or(0));
        let value = match (low, high) {
            (Some(low), Some(high)) if low > high => return None,
            (Some(low), Some(high)) => (low + spread).min(high),
            (Some(low), None) => low + spread,
            (None, Some(high)) => high - spread,
            (None, None) => spread,
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to be whole and small"
        )]
        let number = if value.fract() == 0.0 && value.abs() < 9e15 {
            Number::from(value as i64)
        } else {
            Number::from_f64(value)?
        };
        Some(Value::Number(number))
    }

    fn string(&mut self, words: u64) -> String {
        text::words(self.number(), words)
    }

    fn number(&mut self) -> u64 {
        nth(self.seed, self.made as u64)
    }
}

/// The type of a schema; a list of types means its first that is not null.
fn kind(schema: &Map<String, Value>) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            let mut names = kinds.iter().filter_map(Value::as_str);
            names
                .clone()
                .find(|kind| *kind != "null")
                .or_else(|| names.next())
                .unwrap_or("")
        }
        Some(_) => "",
        None if schema.contains_key("properties") || schema.contains_key("required") => "object",
        None if schema.contains_key("items") => "array",
        None => "string",
    }
}

/// One schema from `allOf`: members are joined, properties and required names added up.
fn merged(root: &Value, outer: &Map<String, Value>, parts: &[Value]) -> Option<Value> {
    let mut whole = outer.clone();
    whole.remove("allOf");
    for part in parts {
        let part = match part.get("$ref").and_then(Value::as_str) {
            Some(target) => root.pointer(target.strip_prefix('#')?)?,
            None => part,
        };
        for (name, value) in part.as_object()? {
            match (whole.get_mut(name), value) {
                (Some(Value::Object(have)), Value::Object(more)) => {
                    have.extend(more.iter().map(|(key, value)| (key.clone(), value.clone())));
                }
                (Some(Value::Array(have)), Value::Array(more)) if name == "required" => {
                    have.extend(more.iter().cloned());
                }
                _ => {
                    whole.insert(name.clone(), value.clone());
                }
            }
        }
    }
    Some(Value::Object(whole))
}

fn formatted(format: &str) -> Option<&'static str> {
    Some(match format {
        "date" => "2026-01-02",
        "time" => "03:04:05Z",
        "date-time" => "2026-01-02T03:04:05Z",
        "duration" => "PT1H",
        "email" => "sim@example.com",
        "hostname" => "sim.example.com",
        "uri" => "https://example.com/sim",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_satisfy_their_schemas() {
        for schema in [
            json!({"type": "object", "required": ["a", "b"], "additionalProperties": false,
                "properties": {"a": {"type": "string", "minLength": 40, "maxLength": 41},
                               "b": {"type": "integer", "minimum": 3, "exclusiveMaximum": 5}}}),
            json!({"type": "object", "required": ["tree"], "properties": {"tree": {"$ref": "#/$defs/node"}},
                "$defs": {"node": {"type": "object", "required": ["value", "next"], "properties": {
                    "value": {"enum": ["x", "y"]},
                    "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}}}),
            json!({"type": "array", "minItems": 3, "uniqueItems": true, "items": {"type": "string"}}),
            json!({"type": "array", "prefixItems": [{"type": "boolean"}], "items": {"type": "number"}}),
            json!({"type": ["null", "number"], "multipleOf": 0.25, "exclusiveMinimum": 1}),
            json!({"allOf": [{"$ref": "#/$defs/a"}, {"required": ["b"], "properties": {"b": {"const": 4}}}],
                "$defs": {"a": {"type": "object", "required": ["a"], "properties": {"a": {"type": "null"}}}}}),
            json!({"type": "string", "format": "date-time"}),
            json!({"oneOf": [{"type": "boolean"}]}),
            json!({"properties": {"free": {"type": "array", "items": {}}}}),
            json!({"type": "number", "maximum": -2.5}),
            json!(true),
        ] {
            for seed in 0..20 {
                let document = instance(&schema, seed).unwrap_or_else(|| panic!("{schema}"));
                let valid = jsonschema::is_valid(&schema, &document);
                assert!(valid, "{schema} does not allow {document}");
                assert_eq!(instance(&schema, seed), Some(document));
            }
        }
    }

    #[test]
    fn what_cannot_be_satisfied_is_refused_quickly() {
        for schema in [
            json!({"$ref": "#/$defs/missing"}),
            json!({"$ref": "#"}),
            json!({"type": "string", "pattern": "^a+$"}),
            json!({"type": "integer", "minimum": 5, "maximum": 4}),
            json!({"type": "array", "minItems": 1_000_000}),
            json!({"type": "object", "required": ["a", "b"], "properties": {
                "a": {"$ref": "#"}, "b": {"$ref": "#"}}}),
            json!(false),
        ] {
            assert_eq!(instance(&schema, 1), None, "{schema}");
        }
    }
}
