//! Writes answers as OpenAI writes them: whole objects, stream chunks, usage in several habits.
//!
//! Pure. Nothing here knows about server-sent events, timing or faults.

mod logprobs;
mod usage;

use serde::Serialize;

use super::answer::{Answer, CREATED, Call, Choice, Counts};
use super::ask::Endpoint;
use super::directive::UsageStyle;
use logprobs::Logprobs;
use usage::Usage;

/// What happens to the `usage` member of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsageField {
    /// No such member.
    Absent,
    /// `"usage":null`.
    Null,
    /// The counts, in a provider's habit.
    Given(Counts, UsageStyle),
}

/// The part of one choice that a chunk carries. Positions are bytes of the choice's texts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delta {
    Role,
    Reasoning(usize, usize),
    Content(usize, usize),
    CallHead(usize),
    CallArguments(usize, usize, usize),
    Finish,
}

#[derive(Serialize)]
struct Object<'a, C: Serialize> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    choices: &'a [C],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

#[derive(Serialize)]
struct BareUsage {
    usage: Usage,
}

#[derive(Serialize)]
struct WholeChoice<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    logprobs: Option<Logprobs>,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reasoning_content: &'a str,
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<CallPart<'a>>,
}

#[derive(Serialize)]
struct ChunkChoice<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    delta: Option<DeltaPart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct DeltaPart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<[CallPart<'a>; 1]>,
}

#[derive(Serialize)]
struct CallPart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    function: FunctionPart<'a>,
}

#[derive(Serialize)]
struct FunctionPart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arguments: &'a str,
}

/// The whole answer as one JSON object.
pub(crate) fn whole(answer: &Answer, style: UsageStyle) -> Vec<u8> {
    let chat = answer.endpoint == Endpoint::Chat;
    let choices: Vec<WholeChoice<'_>> = answer
        .choices
        .iter()
        .enumerate()
        .map(|(index, choice)| WholeChoice {
            index,
            message: chat.then(|| message(choice)),
            text: choice.content.as_deref().filter(|_| !chat),
            logprobs: logprobs::of(answer, choice.content.as_deref().unwrap_or("")),
            finish_reason: choice.finish,
        })
        .collect();
    let usage = match style {
        UsageStyle::Missing => UsageField::Absent,
        UsageStyle::Null => UsageField::Null,
        _ => UsageField::Given(answer.usage, style),
    };
    let kind = if chat {
        "chat.completion"
    } else {
        "text_completion"
    };
    object(answer, kind, &choices, usage)
}

/// One chunk that carries `delta` of the choice at `index`.
pub(crate) fn chunk(answer: &Answer, index: usize, delta: Delta, usage: UsageField) -> Vec<u8> {
    let Some(choice) = answer.choices.get(index) else {
        return Vec::new();
    };
    let chat = answer.endpoint == Endpoint::Chat;
    let text = match delta {
        Delta::Content(from, to) => choice
            .content
            .as_deref()
            .and_then(|text| text.get(from..to)),
        _ => None,
    };
    let part = ChunkChoice {
        index,
        delta: chat.then(|| delta_part(choice, delta)),
        text: (!chat).then(|| text.unwrap_or("")),
        logprobs: text.and_then(|text| logprobs::of(answer, text)),
        finish_reason: matches!(delta, Delta::Finish).then_some(choice.finish),
    };
    object(answer, chunk_kind(answer), &[part], usage)
}

/// The chunk after the last one, which has only usage.
pub(crate) fn usage_chunk(answer: &Answer, style: UsageStyle) -> Vec<u8> {
    if style == UsageStyle::Bare {
        return json(&BareUsage {
            usage: Usage::of(answer.usage, style, answer.cost.as_deref()),
        });
    }
    let none: &[ChunkChoice<'_>] = &[];
    object(
        answer,
        chunk_kind(answer),
        none,
        UsageField::Given(answer.usage, style),
    )
}

fn chunk_kind(answer: &Answer) -> &'static str {
    match answer.endpoint {
        Endpoint::Completions => "text_completion",
        _ => "chat.completion.chunk",
    }
}

fn object<C: Serialize>(
    answer: &Answer,
    object: &'static str,
    choices: &[C],
    field: UsageField,
) -> Vec<u8> {
    json(&Object {
        id: &answer.id,
        object,
        created: CREATED,
        model: &answer.model,
        system_fingerprint: "fp_simulated",
        service_tier: answer.tier.as_deref(),
        choices,
        usage: match field {
            UsageField::Absent => None,
            UsageField::Null => Some(None),
            UsageField::Given(counts, style) => {
                Some(Some(Usage::of(counts, style, answer.cost.as_deref())))
            }
        },
    })
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    // strings and numbers alone, written to memory: this cannot fail
    let written = serde_json::to_writer(&mut bytes, value);
    debug_assert!(written.is_ok());
    bytes
}

fn message(choice: &Choice) -> Message<'_> {
    Message {
        role: "assistant",
        content: choice.content.as_deref(),
        reasoning_content: &choice.reasoning,
        refusal: None,
        tool_calls: choice.calls.iter().map(whole_call).collect(),
    }
}

fn whole_call(call: &Call) -> CallPart<'_> {
    CallPart {
        index: None,
        id: Some(&call.id),
        r#type: Some("function"),
        function: FunctionPart {
            name: Some(&call.name),
            arguments: &call.arguments,
        },
    }
}

fn delta_part(choice: &Choice, delta: Delta) -> DeltaPart<'_> {
    let mut part = DeltaPart::default();
    match delta {
        Delta::Role => {
            part.role = Some("assistant");
            part.content = choice.content.is_some().then_some("");
        }
        Delta::Reasoning(from, to) => part.reasoning_content = choice.reasoning.get(from..to),
        Delta::Content(from, to) => {
            part.content = choice
                .content
                .as_deref()
                .and_then(|text| text.get(from..to));
        }
        Delta::CallHead(index) => {
            part.tool_calls = choice.calls.get(index).map(|call| {
                let function = FunctionPart {
                    name: Some(&call.name),
                    arguments: "",
                };
                let (id, kind) = (Some(call.id.as_str()), Some("function"));
                [CallPart {
                    index: Some(index),
                    id,
                    r#type: kind,
                    function,
                }]
            });
        }
        Delta::CallArguments(index, from, to) => {
            let arguments = choice
                .calls
                .get(index)
                .and_then(|call| call.arguments.get(from..to));
            part.tool_calls = arguments.map(|arguments| {
                let function = FunctionPart {
                    name: None,
                    arguments,
                };
                [CallPart {
                    index: Some(index),
                    id: None,
                    r#type: None,
                    function,
                }]
            });
        }
        Delta::Finish => {}
    }
    part
}
