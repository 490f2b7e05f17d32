//! Reads `tools`, `tool_choice` and `response_format`: what kind of answer a chat wants.
//!
//! Counts their JSON text into the prompt.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Shape;
use super::fields::{Fields, Text};
use crate::simulate::count::Tally;
use crate::simulate::refusal::Refusal;

#[derive(Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    // only their types matter
    #[serde(borrow, rename = "description")]
    _description: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

enum Choice {
    None,
    Auto,
    Required,
    Named(String),
}

/// What the answer has to be. After a tool's result the answer is text unless a call is demanded,
/// so that an agent's loop ends.
pub(super) fn shape(
    fields: &Fields<'_>,
    after_tool: bool,
    tally: &mut Tally,
) -> Result<Shape, Refusal> {
    let tools = read_tools(fields, tally)?;
    let choice = read_choice(fields)?;
    let format = response_format(fields, tally)?;
    let Some(tools) = tools else {
        return match choice {
            None | Some(Choice::None) => Ok(format),
            Some(_) => {
                let text = "'tool_choice' is only allowed when 'tools' are specified";
                Err(Refusal::invalid("tool_choice", "invalid_value", text))
            }
        };
    };
    let wanted = match &choice {
        Some(Choice::None) => return Ok(format),
        None | Some(Choice::Auto) if after_tool => return Ok(format),
        None | Some(Choice::Auto | Choice::Required) => tools.into_iter().next(),
        Some(Choice::Named(name)) => tools.into_iter().find(|(tool, _)| tool == name),
    };
    match wanted {
        Some((name, schema)) => Ok(Shape::Tool(name, schema)),
        None => {
            let text = "the named tool is not among 'tools'";
            Err(Refusal::invalid(
                "tool_choice.function.name",
                "invalid_value",
                text,
            ))
        }
    }
}

fn read_tools(
    fields: &Fields<'_>,
    tally: &mut Tally,
) -> Result<Option<Vec<(String, Value)>>, Refusal> {
    let Some(raw) = fields.optional::<Vec<&RawValue>>("tools")? else {
        return Ok(None);
    };
    if raw.is_empty() {
        return Err(Refusal::invalid("tools", "empty_array", "'tools' is empty"));
    }
    let mut tools = Vec::with_capacity(raw.len());
    for (index, raw) in raw.iter().enumerate() {
        tally.text(raw.get());
        let at = format!("tools[{index}]");
        let tool: Tool<'_> = serde_json::from_str(raw.get()).map_err(|error| {
            Refusal::invalid(
                at.as_str(),
                "invalid_type",
                format!("invalid '{at}': {error}"),
            )
        })?;
        let Some(function) = tool.function.filter(|_| tool.r#type.0 == "function") else {
            let text = "a tool has type 'function' and a member 'function'";
            return Err(Refusal::invalid(
                format!("{at}.type"),
                "invalid_value",
                text,
            ));
        };
        let Function {
            name: Text(name),
            parameters,
            ..
        } = function;
        let well_named = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(well_named) {
            let param = format!("{at}.function.name");
            return Err(Refusal::invalid(
                param,
                "invalid_value",
                "expected [a-zA-Z0-9_-]{1,64}",
            ));
        }
        let schema = match parameters {
            None => Value::Object(serde_json::Map::new()),
            Some(parameters) => object(parameters, &format!("{at}.function.parameters"))?,
        };
        tools.push((name.into_owned(), typed(schema)));
    }
    Ok(Some(tools))
}

fn read_choice(fields: &Fields<'_>) -> Result<Option<Choice>, Refusal> {
    let choice = match fields.optional::<Value>("tool_choice")? {
        None => return Ok(None),
        Some(Value::String(word)) => match word.as_str() {
            "none" => Choice::None,
            "auto" => Choice::Auto,
            "required" => Choice::Required,
            _ => {
                let text = format!("invalid value: '{word}', use none, auto or required");
                return Err(Refusal::invalid("tool_choice", "invalid_value", text));
            }
        },
        Some(value) => match value.pointer("/function/name").and_then(Value::as_str) {
            Some(name) if value.get("type").is_some_and(|kind| kind == "function") => {
                Choice::Named(name.to_owned())
            }
            _ => return Err(fields.mistyped("tool_choice", "a word or a named function")),
        },
    };
    Ok(Some(choice))
}

fn response_format(fields: &Fields<'_>, tally: &mut Tally) -> Result<Shape, Refusal> {
    let Some(raw) = fields.optional::<&RawValue>("response_format")? else {
        return Ok(Shape::Text);
    };
    let format = Fields::read(raw.get().as_bytes(), "response_format")?;
    format.required::<Text<'_>>("type")?;
    match format.choice("type", &["text", "json_object", "json_schema"])? {
        Some("json_schema") => {}
        Some("json_object") => return Ok(Shape::JsonObject),
        _ => return Ok(Shape::Text),
    }
    let raw: &RawValue = format.required("json_schema")?;
    let named = Fields::read(raw.get().as_bytes(), "response_format.json_schema")?;
    named.required::<Text<'_>>("name")?;
    named.optional::<bool>("strict")?;
    let schema: &RawValue = named.required("schema")?;
    tally.text(schema.get());
    Ok(Shape::Schema(object(
        schema,
        "response_format.json_schema.schema",
    )?))
}

fn object(raw: &RawValue, param: &str) -> Result<Value, Refusal> {
    match serde_json::from_str::<Value>(raw.get()) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ => Err(Refusal::invalid(
            param,
            "invalid_type",
            format!("'{param}' is not an object"),
        )),
    }
}

/// Arguments are an object whatever their schema leaves unsaid.
fn typed(mut schema: Value) -> Value {
    if let Value::Object(members) = &mut schema {
        members
            .entry("type")
            .or_insert_with(|| Value::from("object"));
    }
    schema
}
