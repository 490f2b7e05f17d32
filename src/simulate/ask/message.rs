//! Reads the messages of a chat: roles, content parts, and that tool results answer tool calls.
//!
//! Counts the prompt on the way. Keeps nothing of the texts.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::Text;
use crate::simulate::count::{AUDIO, FILE, IMAGE, MESSAGE_OVERHEAD, PROMPT_OVERHEAD, Tally};
use crate::simulate::refusal::Refusal;

const ROLES: [&str; 6] = [
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
];

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow, default)]
    content: Content<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow)]
    tool_call_id: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    reasoning_content: Option<Text<'a>>,
}

#[derive(Default)]
enum Content<'a> {
    #[default]
    Missing,
    Text(Cow<'a, str>),
    Parts(Vec<Part<'a>>),
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    image_url: Option<ImageUrl<'a>>,
    #[serde(borrow)]
    input_audio: Option<InputAudio<'a>>,
    #[serde(borrow)]
    file: Option<File<'a>>,
}

#[derive(Deserialize)]
struct ImageUrl<'a> {
    #[serde(borrow)]
    url: Text<'a>,
}

#[derive(Deserialize)]
struct InputAudio<'a> {
    #[serde(borrow)]
    data: Text<'a>,
    #[serde(borrow)]
    format: Text<'a>,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    file_data: Option<Text<'a>>,
    #[serde(borrow)]
    file_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    r#type: Text<'a>,
    #[serde(borrow)]
    function: Called<'a>,
}

#[derive(Deserialize)]
struct Called<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Text<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Content<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of content parts")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Content::Missing)
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// Checks and counts all messages; true when the last one is a tool's result.
pub(super) fn read(messages: &[&RawValue], tally: &mut Tally) -> Result<bool, Refusal> {
    if messages.is_empty() {
        let message = "'messages' is empty: expected at least one message";
        return Err(Refusal::invalid("messages", "empty_array", message));
    }
    tally.add(PROMPT_OVERHEAD);
    // calls that no message has answered yet
    let mut open: Vec<String> = Vec::new();
    let mut after_tool = false;
    for (index, raw) in messages.iter().enumerate() {
        let at = format!("messages[{index}]");
        let message: Message<'_> = serde_json::from_str(raw.get()).map_err(|error| {
            Refusal::invalid(
                at.as_str(),
                "invalid_type",
                format!("invalid '{at}': {error}"),
            )
        })?;
        after_tool = message.role.0 == "tool";
        if after_tool {
            answer(&message, &at, &mut open)?;
        } else {
            settled(&open, &at)?;
        }
        check(&message, &at)?;
        count(&message, tally);
        for call in message.tool_calls.iter().flatten() {
            open.push(call.id.0.as_ref().to_owned());
        }
    }
    settled(&open, "messages")?;
    Ok(after_tool)
}

/// A tool's result must answer an open call.
fn answer(message: &Message<'_>, at: &str, open: &mut Vec<String>) -> Result<(), Refusal> {
    let param = format!("{at}.tool_call_id");
    let Some(Text(id)) = &message.tool_call_id else {
        let text = format!("missing required parameter: '{param}'");
        return Err(Refusal::invalid(param, "missing_required_parameter", text));
    };
    match open.iter().position(|call| call == id) {
        Some(position) => {
            open.swap_remove(position);
            Ok(())
        }
        None => {
            let text = "messages with role 'tool' must be a response to a preceding message with \
                        'tool_calls'";
            Err(Refusal::invalid(param, "invalid_value", text))
        }
    }
}

fn settled(open: &[String], at: &str) -> Result<(), Refusal> {
    if open.is_empty() {
        return Ok(());
    }
    let text = format!(
        "an assistant message with 'tool_calls' must be followed by tool messages responding to \
         each 'tool_call_id'; without an answer: {}",
        open.join(", ")
    );
    Err(Refusal::invalid(at, "invalid_value", text))
}

fn check(message: &Message<'_>, at: &str) -> Result<(), Refusal> {
    let role = message.role.0.as_ref();
    if !ROLES.contains(&role) {
        let text = format!(
            "invalid value: '{role}'; supported values are: {}",
            ROLES.join(", ")
        );
        return Err(Refusal::invalid(
            format!("{at}.role"),
            "invalid_value",
            text,
        ));
    }
    let invalid = |member: &str, text: &str| {
        Err(Refusal::invalid(
            format!("{at}.{member}"),
            "invalid_value",
            text,
        ))
    };
    if message.tool_calls.is_some() && role != "assistant" {
        return invalid("tool_calls", "only assistant messages have 'tool_calls'");
    }
    if message.tool_calls.as_ref().is_some_and(Vec::is_empty) {
        return invalid("tool_calls", "'tool_calls' is empty");
    }
    for call in message.tool_calls.iter().flatten() {
        if call.r#type.0 != "function" || call.function.name.0.is_empty() || call.id.0.is_empty() {
            return invalid("tool_calls", "a call has an id, type 'function' and a name");
        }
    }
    match &message.content {
        Content::Missing if role == "assistant" => {
            if message.tool_calls.is_none() && message.refusal.is_none() {
                return invalid("content", "expected 'content' or 'tool_calls'");
            }
        }
        Content::Missing => return invalid("content", "missing required parameter: 'content'"),
        Content::Text(_) => {}
        Content::Parts(parts) if parts.is_empty() => return invalid("content", "no parts"),
        Content::Parts(parts) => {
            for (index, part) in parts.iter().enumerate() {
                if let Err(text) = check_part(part, role) {
                    return invalid(&format!("content[{index}]"), &text);
                }
            }
        }
    }
    Ok(())
}

fn check_part(part: &Part<'_>, role: &str) -> Result<(), String> {
    let kind = part.r#type.0.as_ref();
    let present = match kind {
        "text" => part.text.is_some(),
        "refusal" => part.refusal.is_some(),
        "image_url" => match &part.image_url {
            Some(ImageUrl { url: Text(url) }) if url.starts_with("data:") => {
                url.contains(";base64,")
            }
            Some(ImageUrl { url: Text(url) }) => {
                url.starts_with("https://") || url.starts_with("http://")
            }
            None => false,
        },
        "input_audio" => part.input_audio.as_ref().is_some_and(|audio| {
            !audio.data.0.is_empty() && matches!(audio.format.0.as_ref(), "wav" | "mp3")
        }),
        "file" => part
            .file
            .as_ref()
            .is_some_and(|file| file.file_data.is_some() || file.file_id.is_some()),
        _ => return Err(format!("unknown content part type '{kind}'")),
    };
    if !present {
        return Err(format!(
            "a part of type '{kind}' needs a proper member '{kind}'"
        ));
    }
    let textual = matches!(kind, "text" | "refusal");
    if textual || role == "user" {
        return Ok(());
    }
    Err(format!(
        "'{kind}' is only allowed in messages of role 'user'"
    ))
}

fn count(message: &Message<'_>, tally: &mut Tally) {
    tally.add(MESSAGE_OVERHEAD);
    tally.mark(&message.role.0);
    for text in [&message.name, &message.reasoning_content]
        .into_iter()
        .flatten()
    {
        tally.text(&text.0);
    }
    match &message.content {
        Content::Missing => {}
        Content::Text(text) => tally.text(text),
        Content::Parts(parts) => parts.iter().for_each(|part| count_part(part, tally)),
    }
    for call in message.tool_calls.iter().flatten() {
        tally.text(&call.function.name.0);
        tally.text(&call.function.arguments.0);
    }
}

fn count_part(part: &Part<'_>, tally: &mut Tally) {
    for text in [&part.text, &part.refusal].into_iter().flatten() {
        tally.text(&text.0);
    }
    if let Some(image) = &part.image_url {
        tally.add(IMAGE);
        tally.mark(&image.url.0);
    }
    if let Some(audio) = &part.input_audio {
        tally.add(AUDIO);
        tally.mark(&audio.data.0);
    }
    if let Some(file) = &part.file {
        tally.add(FILE);
        for text in [&file.file_data, &file.file_id].into_iter().flatten() {
            tally.mark(&text.0);
        }
    }
}
