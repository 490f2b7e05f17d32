//! The JSON Schema of the configuration, from the types of `raw`.
//!
//! It is both what editors complete by (`config/schema.json`) and what `shape` checks by. Given
//! nothing, it is the same at every call.

use std::sync::LazyLock;

use schemars::{Schema, generate::SchemaSettings, transform::transform_subschemas};
use serde_json::Value;

use super::raw::Raw;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::draft2020_12().with_transform(without_null);
    settings
        .into_generator()
        .into_root_schema_for::<Raw>()
        .to_value()
});

/// The schema as a value.
pub(super) fn value() -> &'static Value {
    &SCHEMA
}

/// The schema as pretty JSON (draft 2020-12) with a final line break.
#[must_use]
pub fn schema() -> String {
    format!("{:#}\n", *SCHEMA)
}

/// Optional means that a key may be left out, not that it may hold nothing.
fn without_null(schema: &mut Schema) {
    transform_subschemas(&mut without_null, schema);
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(branches)) = object.get_mut("anyOf") else {
        return;
    };
    branches.retain(|branch| branch.get("type").is_none_or(|kind| kind != "null"));
    if let [Value::Object(only)] = branches.as_slice() {
        let mut only = only.clone();
        object.remove("anyOf");
        // what the field says beats what its type says
        only.append(object);
        *object = only;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::text::Format;

    /// Calls `see` with every object of the schema.
    fn walk(value: &Value, see: &mut impl FnMut(&serde_json::Map<String, Value>)) {
        match value {
            Value::Object(object) => {
                see(object);
                object.values().for_each(|value| walk(value, see));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, see)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_format_of_the_schema_has_its_function() {
        let mut seen = 0;
        walk(value(), &mut |object| {
            if let Some(Value::String(format)) = object.get("format")
                && !["uint8", "uint16", "uint32", "uint64"].contains(&format.as_str())
            {
                seen += 1;
                assert!(Format::find(format).is_some(), "{format}");
            }
        });
        assert!(seen > 20);
    }

    #[test]
    fn nothing_may_be_null_and_nothing_has_an_id() {
        let text = schema();
        assert!(!text.contains("null"), "{text}");
        assert!(!text.contains("\"$id\""));
        assert!(text.contains("https://json-schema.org/draft/2020-12/schema"));
    }
}
