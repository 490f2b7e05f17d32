//! The requests of the demo: one of each kind that people send.

use serde_json::{Value, json};

/// A request, and what to call it.
#[derive(Debug)]
pub(super) struct DemoRequest {
    pub(super) title: &'static str,
    pub(super) body: Value,
    /// Headers beside the usual ones.
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

/// A 1×1 PNG.
const PIXEL: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
/// A page of a report, repeated to make a long prompt.
const PAGE: &str = "The committee met on Tuesday and discussed the budget of the coming year, the \
    staffing of the northern office, and the delayed delivery of the new equipment. ";

fn ask(title: &'static str, model: &str, content: &Value, more: Value) -> DemoRequest {
    let mut body = json!({ "model": model, "messages": [{ "role": "user", "content": content }] });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    DemoRequest {
        title,
        body,
        headers: Vec::new(),
    }
}

/// All of them, in the order in which they are sent.
pub(super) fn all() -> Vec<DemoRequest> {
    let mut all = plain();
    all.extend(capable());
    all.extend(told());
    all.extend(limited());
    all
}

/// Requests that any model can take.
fn plain() -> Vec<DemoRequest> {
    let long = format!(
        "Summarise this report in five sentences.\n{}",
        PAGE.repeat(1_500)
    );
    vec![
        ask(
            "a short question",
            "auto",
            &json!("Why is the sky blue?"),
            json!({}),
        ),
        ask(
            "a stream",
            "auto",
            &json!("Write a short poem about the sea."),
            json!({ "stream": true, "stream_options": { "include_usage": true } }),
        ),
        ask(
            "in Chinese",
            "auto",
            &json!("请用三句话介绍一下杭州的历史和文化。"),
            json!({ "max_tokens": 200 }),
        ),
        ask("a long report", "auto", &json!(long), json!({})),
    ]
}

/// Requests that need something special.
fn capable() -> Vec<DemoRequest> {
    let tool = json!([{ "type": "function", "function": {
        "name": "get_weather",
        "description": "The weather at a place.",
        "parameters": { "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] },
    } }]);
    let schema = json!({ "type": "json_schema", "json_schema": { "name": "person", "schema": {
        "type": "object",
        "properties": { "name": { "type": "string" }, "age": { "type": "integer" } },
        "required": ["name", "age"],
    } } });
    let picture = json!([
        { "type": "text", "text": "What is in this picture?" },
        { "type": "image_url", "image_url": { "url": PIXEL } },
    ]);
    let sound = json!([
        { "type": "text", "text": "What is said here?" },
        { "type": "input_audio", "input_audio": { "data": "UklGRg==", "format": "wav" } },
    ]);
    vec![
        ask(
            "with a tool",
            "auto",
            &json!("How is the weather in Hangzhou?"),
            json!({ "tools": tool }),
        ),
        ask(
            "two tools at once",
            "auto",
            &json!("And in Shenzhen and Beijing?"),
            json!({ "tools": tool, "parallel_tool_calls": true }),
        ),
        ask(
            "a JSON schema",
            "auto",
            &json!("Extract the person: Ada, 36 years old."),
            json!({ "response_format": schema }),
        ),
        ask("with a picture", "auto", &picture, json!({})),
        ask(
            "thinking hard",
            "auto",
            &json!("Prove that √2 is irrational."),
            json!({ "reasoning_effort": "high" }),
        ),
        ask("with sound", "auto", &sound, json!({})),
    ]
}

/// Two requests where only one a minute is let through.
fn limited() -> Vec<DemoRequest> {
    let one = |title| ask(title, "trial", &json!("Name three rivers."), json!({}));
    vec![one("one a minute is allowed"), one("over that limit")]
}

/// Requests that say more about who should serve them.
fn told() -> Vec<DemoRequest> {
    let mut floor = ask(
        "a quality floor of 0.84",
        "auto",
        &json!("Review this contract clause."),
        json!({}),
    );
    floor.headers.push(("x-tollgate-min-quality", "0.84"));
    let mut home = ask(
        "only on our own machines",
        "auto",
        &json!("Sum up this confidential note."),
        json!({}),
    );
    home.headers.push(("x-tollgate-regions", "on-prem"));
    vec![
        floor,
        home,
        ask(
            "its first backend fails",
            "glm-5.2",
            &json!("Explain Raft in two sentences."),
            json!({}),
        ),
        ask(
            "a backend by name",
            "openai/gpt-5.4",
            &json!("Explain Paxos in two sentences."),
            json!({}),
        ),
    ]
}
