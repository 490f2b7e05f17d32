//! Tools and schemas of a request, as far as a backend may be known not to take them.
//!
//! Looked at only where a backend has such a limit: tools of coding agents are long.

use std::sync::OnceLock;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    keywords::Keywords,
    wire::{body::Body, openai::input},
};

/// Tools and schemas of a request.
#[derive(Debug, Clone, Default)]
pub struct Schemas {
    /// As JSON text.
    tools: Option<ByteString>,
    /// `response_format`, where it has a schema.
    format: Option<ByteString>,
    number: OnceLock<u64>,
    keywords: OnceLock<Keywords>,
    strict: OnceLock<Keywords>,
}

/// The same, looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Tools.
    pub tools: u64,
    /// What their schemas use, and that of the answer.
    pub keywords: Keywords,
    /// The same of those alone that are to be followed strictly.
    pub strict: Keywords,
}

impl Schemas {
    /// Those of a request.
    #[must_use]
    pub(super) fn of(body: &Body) -> Self {
        let share = |name| body.get(name).and_then(|raw| body.share(raw));
        Self {
            tools: share("tools"),
            format: share("response_format").filter(|raw| raw.contains("json_schema")),
            ..Self::default()
        }
    }

    /// Those that were looked at before.
    #[must_use]
    pub fn seen(seen: Seen) -> Self {
        Self {
            number: seen.tools.into(),
            keywords: seen.keywords.into(),
            strict: seen.strict.into(),
            ..Self::default()
        }
    }

    /// Looks at everything.
    #[must_use]
    pub fn look(&self) -> Seen {
        Seen {
            tools: self.tools(),
            keywords: self.keywords(),
            strict: self.strict(),
        }
    }

    /// How many tools there are.
    pub fn tools(&self) -> u64 {
        let count = || self.tools.as_deref().map_or(0, input::items);
        *self.number.get_or_init(count)
    }

    /// Keywords that schemas use.
    pub fn keywords(&self) -> Keywords {
        *self.keywords.get_or_init(|| self.find(false))
    }

    /// Keywords of schemas that are to be followed strictly.
    pub fn strict(&self) -> Keywords {
        let strict = |raw: &&ByteString| raw.contains("\"strict\"");
        let any = [&self.tools, &self.format]
            .into_iter()
            .flatten()
            .any(|raw| strict(&raw));
        let find = || {
            if any {
                self.find(true)
            } else {
                Keywords::default()
            }
        };
        *self.strict.get_or_init(find)
    }

    /// What is no JSON is the backend's to judge.
    fn find(&self, strict: bool) -> Keywords {
        let mut found = Keywords::default();
        let counts = |holder: &Value| !strict || holder["strict"] == true;
        let tools = self.tools.as_deref().unwrap_or("[]");
        let tools: Vec<Value> = serde_json::from_str(tools).unwrap_or_default();
        for tool in &tools {
            let function = &tool["function"];
            if counts(function) {
                walk(&function["parameters"], &mut found);
            }
        }
        let format = self.format.as_deref().unwrap_or("null");
        let format: Value = serde_json::from_str(format).unwrap_or_default();
        let format = &format["json_schema"];
        if counts(format) {
            walk(&format["schema"], &mut found);
        }
        found
    }
}

/// Takes in the keywords of a schema and of those within it.
fn walk(schema: &Value, found: &mut Keywords) {
    let Value::Object(members) = schema else {
        return;
    };
    for (name, value) in members {
        found.add(name);
        match name.as_str() {
            // names are the document's own
            "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => {
                if let Value::Object(named) = value {
                    named.values().for_each(|schema| walk(schema, found));
                }
            }
            // values, and no schemas
            "enum" | "const" | "default" | "examples" | "required" => {}
            _ => match value {
                Value::Array(all) => all.iter().for_each(|schema| walk(schema, found)),
                schema => walk(schema, found),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Object;

    fn look(members: &str) -> Seen {
        let object = Object::parse(format!("{{{members}}}").into()).unwrap();
        Schemas::of(&Body::Json(object)).look()
    }

    fn names(keywords: Keywords) -> Vec<&'static str> {
        keywords.iter().collect()
    }

    #[test]
    fn tools_are_counted_and_their_schemas_looked_through() {
        let seen = look(
            r##""tools":[{"type":"function","function":{"name":"a","parameters":{"type":"object","properties":{
            "not":{"type":"string","maxLength":3,"enum":["allOf"]},"b":{"anyOf":[{"minItems":1},{"$ref":"#/$defs/c"}]}},
            "$defs":{"if":{"pattern":"x"}}}}},{"function":{"name":"b, [c]","strict":true,"parameters":{"not":{}}}}]"##,
        );
        assert_eq!(seen.tools, 2);
        assert_eq!(
            names(seen.keywords),
            ["anyOf", "not", "pattern", "maxLength", "minItems", "$ref"]
        );
        assert_eq!(names(seen.strict), ["not"]);
    }

    #[test]
    fn a_schema_of_the_answer_is_looked_through_as_well() {
        let format = |strict: &str| {
            look(&format!(
                r#""response_format":{{"type":"json_schema","json_schema":{{"name":"s"{strict},"schema":{{"if":{{}}}}}}}}"#
            ))
        };
        let (loose, strict) = (format(""), format(r#","strict":true"#));
        assert_eq!(
            (names(loose.keywords), names(loose.strict)),
            (vec!["if"], vec![])
        );
        assert_eq!(names(strict.strict), ["if"]);
    }

    #[test]
    fn what_is_odd_or_absent_has_nothing() {
        assert_eq!(look(r#""model":"m""#), Seen::default());
        assert_eq!(look(r#""tools":"?","response_format":7"#), Seen::default());
        assert_eq!(look(r#""tools":[]"#), Seen::default());
        let seen = Seen {
            tools: 3,
            ..Seen::default()
        };
        assert_eq!(Schemas::seen(seen).look(), seen);
    }
}
