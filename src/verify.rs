//! Verify: what an answer shows of its own quality, without anybody who reads it.
//!
//! Pure: what a request asked for and what was said go in, a finding comes out. An answer that should
//! be JSON of a schema is that or not; a call of a tool names one that was declared, with arguments
//! that it takes, or does not; an answer may be empty, refused, or cut off. Nothing of this shows that
//! an answer is good.

mod said;

use bytestring::ByteString;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

pub use self::said::Said;
use crate::wire::body::Body;

/// Bytes of schemas and of declared tools that are looked at; a request with more is not verified.
const MOST_ASKED: usize = 256 * 1024;

/// What an answer shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing bad; `checked`: it had to be of some form, and is.
    Fine { checked: bool },
    /// It is not JSON of the schema that was asked for.
    Schema,
    /// It calls a tool that nobody declared, or with arguments that it does not take.
    ToolCall,
    /// It ends in the middle although the request set no limit.
    Length,
    /// The model or its provider refused.
    Refusal,
    /// There is no answer in it.
    Empty,
}

impl Finding {
    /// The label in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fine { .. } => "fine",
            Self::Schema => "schema",
            Self::ToolCall => "tool_call",
            Self::Length => "length",
            Self::Refusal => "refusal",
            Self::Empty => "empty",
        }
    }

    /// Does it show that the answer is not acceptable?
    #[must_use]
    pub fn is_bad(self) -> bool {
        !matches!(self, Self::Fine { .. })
    }

    /// What part of the answers that are not acceptable shows it, in such a place. An assumption:
    /// that form and content go wrong together half of the time, and that of free texts one bad one
    /// in five is empty, refused or cut off. It says how far answers that show nothing take back what
    /// bad ones took.
    #[must_use]
    pub fn seen(self) -> f64 {
        match self {
            Self::Fine { checked: true } | Self::Schema | Self::ToolCall => 0.5,
            Self::Fine { checked: false } | Self::Length | Self::Refusal | Self::Empty => 0.2,
        }
    }
}

/// What the state of a whole answer says, whatever it says in words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Signs {
    /// Bytes of text and calls, without thoughts.
    pub answered: u64,
    /// Did a choice end because it could not be longer?
    pub cut_short: bool,
    pub refused: bool,
}

impl Signs {
    /// What they show; `limited`: the client set how long it may be. `None`: they show nothing, good
    /// or bad.
    #[must_use]
    pub fn finding(self, limited: bool) -> Option<Finding> {
        if self.refused {
            return Some(Finding::Refusal);
        }
        if self.answered == 0 {
            return Some(Finding::Empty);
        }
        match (self.cut_short, limited) {
            // as long as the client wanted it
            (true, true) => None,
            (true, false) => Some(Finding::Length),
            (false, _) => Some(Finding::Fine { checked: false }),
        }
    }
}

/// The forms that an answer may have to have: JSON texts of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `response_format`.
    format: Option<ByteString>,
    /// `tools`.
    tools: Option<ByteString>,
}

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow, default)]
    json_schema: Option<Named<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Tool {
    #[serde(default)]
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    parameters: Option<Value>,
}

impl Wanted {
    /// What a request asks for; `None`: no form, or too much to look at.
    #[must_use]
    pub fn of(body: &Body) -> Option<Self> {
        let share = |name| body.get(name).and_then(|raw| body.share(raw));
        let format = share("response_format").filter(|raw| raw.contains("\"json"));
        let tools = share("tools");
        let bytes = [&format, &tools].into_iter().flatten();
        let bytes: usize = bytes.map(|raw| raw.len()).sum();
        (1..=MOST_ASKED)
            .contains(&bytes)
            .then_some(Self { format, tools })
    }

    /// What an answer shows; `None`: what was asked for can't be understood, so nobody can tell.
    #[must_use]
    pub fn check(&self, said: &Said) -> Option<Finding> {
        let mut checked = false;
        for choice in said.choices()? {
            let finding = match (choice.calls.is_empty(), &self.format) {
                (false, _) => self.calls(choice.calls.values())?,
                (true, Some(format)) => text(format, &choice.content)?,
                (true, None) => continue,
            };
            if finding.is_bad() {
                return Some(finding);
            }
            checked = true;
        }
        Some(Finding::Fine { checked })
    }

    fn calls<'a>(&self, calls: impl Iterator<Item = &'a said::Call>) -> Option<Finding> {
        let tools: Vec<Tool> = serde_json::from_str(self.tools.as_deref().unwrap_or("[]")).ok()?;
        for call in calls {
            let mut declared = tools.iter().filter_map(|tool| tool.function.as_ref());
            let Some(tool) = declared.find(|tool| tool.name == call.name) else {
                return Some(Finding::ToolCall);
            };
            if !takes(tool, &call.arguments)? {
                return Some(Finding::ToolCall);
            }
        }
        Some(Finding::Fine { checked: true })
    }
}

/// Does a tool take these arguments?
fn takes(tool: &Function, arguments: &str) -> Option<bool> {
    // some models write nothing where nothing is needed
    let arguments = if arguments.trim().is_empty() {
        "{}"
    } else {
        arguments
    };
    let Ok(arguments) = serde_json::from_str::<Value>(arguments) else {
        return Some(false);
    };
    if !arguments.is_object() {
        return Some(false);
    }
    match &tool.parameters {
        None | Some(Value::Null) => Some(true),
        Some(schema) => fits(schema, &arguments),
    }
}

/// Is a text what a `response_format` says?
fn text(format: &str, content: &str) -> Option<Finding> {
    let format: Format<'_> = serde_json::from_str(format).ok()?;
    let value = serde_json::from_str::<Value>(content);
    let fits = match (format.kind, &value) {
        ("json_object" | "json_schema", Err(_)) => false,
        ("json_object", Ok(value)) => value.is_object(),
        ("json_schema", Ok(value)) => {
            let schema = format.json_schema?.schema?;
            fits(&serde_json::from_str(schema.get()).ok()?, value)?
        }
        _ => return None,
    };
    Some(if fits {
        Finding::Fine { checked: true }
    } else {
        Finding::Schema
    })
}

/// Does a value fit a schema? `None`: the schema can't be followed, as it is none or refers to
/// another place.
fn fits(schema: &Value, value: &Value) -> Option<bool> {
    let validator = jsonschema::validator_for(schema).ok()?;
    Some(validator.is_valid(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::Object;

    const TOOLS: &str = r#""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object",
        "properties":{"city":{"type":"string"}},"required":["city"]}}},
        {"type":"function","function":{"name":"now"}}]"#;
    const SCHEMA: &str = r#""response_format":{"type":"json_schema","json_schema":{"name":"s","strict":true,
        "schema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}}}"#;

    fn wanted(members: &str) -> Option<Wanted> {
        let object = Object::parse(format!("{{\"model\":\"m\",{members}}}").into()).unwrap();
        Wanted::of(&Body::Json(object))
    }

    fn check(members: &str, answer: &str) -> Option<Finding> {
        let mut said = Said::default();
        said.hear(answer.as_bytes());
        wanted(members).unwrap().check(&said)
    }

    fn call(name: &str, arguments: &str) -> String {
        let arguments = Value::from(arguments);
        format!(
            r#"{{"choices":[{{"index":0,"message":{{"content":null,"tool_calls":[{{"id":"c","type":"function",
            "function":{{"name":"{name}","arguments":{arguments}}}}}]}}}}]}}"#
        )
    }

    fn says(content: &str) -> String {
        let content = Value::from(content);
        format!(r#"{{"choices":[{{"index":0,"message":{{"content":{content}}}}}]}}"#)
    }

    const FINE: Option<Finding> = Some(Finding::Fine { checked: true });

    #[test]
    fn a_call_names_a_declared_tool_and_has_arguments_that_it_takes() {
        assert_eq!(check(TOOLS, &call("f", r#"{"city":"Ulm"}"#)), FINE);
        assert_eq!(check(TOOLS, &call("now", "")), FINE);
        assert_eq!(check(TOOLS, &call("now", r#"{"any":1}"#)), FINE);
        for (name, arguments) in [
            ("g", "{}"),
            ("f", "{}"),
            ("f", r#"{"city":7}"#),
            ("f", r#"{"city":"Ul"#),
            ("f", r#""Ulm""#),
        ] {
            let found = check(TOOLS, &call(name, arguments));
            assert_eq!(found, Some(Finding::ToolCall), "{name} {arguments}");
        }
    }

    #[test]
    fn an_answer_is_json_of_its_schema() {
        assert_eq!(check(SCHEMA, &says(r#"{"n":1}"#)), FINE);
        for content in [
            r#"{"n":"1"}"#,
            r#"{"n":1,"m":2}"#,
            r#"{"n":1"#,
            "```json\n{\"n\":1}\n```",
        ] {
            assert_eq!(
                check(SCHEMA, &says(content)),
                Some(Finding::Schema),
                "{content}"
            );
        }
        let object = r#""response_format":{"type":"json_object"}"#;
        assert_eq!(check(object, &says("{}")), FINE);
        assert_eq!(check(object, &says("[]")), Some(Finding::Schema));
    }

    #[test]
    fn a_text_beside_tools_is_held_to_nothing_and_a_call_beside_a_schema_to_its_tool() {
        let none = Some(Finding::Fine { checked: false });
        assert_eq!(check(TOOLS, &says("hello")), none);
        let both = format!("{TOOLS},{SCHEMA}");
        assert_eq!(check(&both, &call("f", r#"{"city":"Ulm"}"#)), FINE);
        assert_eq!(check(&both, &says("hello")), Some(Finding::Schema));
    }

    #[test]
    fn what_nobody_can_follow_is_not_held_against_an_answer() {
        for schema in [
            r#"{"type":"nonsense"}"#,
            r#"{"$ref":"https://example.com/s.json"}"#,
            "7",
        ] {
            let format = format!(
                r#""response_format":{{"type":"json_schema","json_schema":{{"schema":{schema}}}}}"#
            );
            assert_eq!(check(&format, &says("{}")), None, "{schema}");
        }
        assert_eq!(check(r#""tools":"?""#, &call("f", "{}")), None);
        assert_eq!(wanted(r#""response_format":{"type":"text"}"#), None);
        assert_eq!(wanted(r#""stream":true"#), None);
        let huge = format!(r#""tools":["{}"]"#, "x".repeat(MOST_ASKED));
        assert_eq!(wanted(&huge), None);
    }

    #[test]
    fn every_choice_has_to_hold() {
        let two = r#"{"choices":[{"index":0,"message":{"content":"{\"n\":1}"}},{"index":1,"message":{"content":"no"}}]}"#;
        assert_eq!(check(SCHEMA, two), Some(Finding::Schema));
    }

    #[test]
    fn signs_speak_unless_the_client_wanted_it_short() {
        let signs = |answered, cut_short, refused| Signs {
            answered,
            cut_short,
            refused,
        };
        let fine = Some(Finding::Fine { checked: false });
        assert_eq!(signs(9, false, false).finding(false), fine);
        assert_eq!(signs(9, true, false).finding(false), Some(Finding::Length));
        assert_eq!(signs(9, true, false).finding(true), None);
        assert_eq!(signs(0, true, false).finding(true), Some(Finding::Empty));
        assert_eq!(signs(9, false, true).finding(false), Some(Finding::Refusal));
    }
}
