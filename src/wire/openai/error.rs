//! Error bodies, in all the shapes that backends send them, and the one shape that leaves.
//!
//! OpenAI's own is `{"error":{message,type,param,code}}`; others send the code as a number, the
//! error as a string, the object in an array, the message at the top, or a status inside a 200.

use serde::Serialize;
use serde_json::{Map, Value};

/// What an error body says. Every text is as sent; nothing here is safe to show to a client yet.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ErrorBody {
    pub message: String,
    pub kind: Option<String>,
    pub param: Option<String>,
    /// A number is given as its digits.
    pub code: Option<String>,
    /// The status that the error says it stands for, where it says so beside its code.
    pub status: Option<u16>,
}

/// The body that clients get: OpenAI's error object.
#[derive(Debug, Serialize)]
pub struct Envelope<'a> {
    pub error: Inner<'a>,
}

/// The object inside an [`Envelope`].
#[derive(Debug, Serialize)]
pub struct Inner<'a> {
    pub message: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub param: Option<&'a str>,
    pub code: Option<&'a str>,
}

/// Reads an error body; `None` if nothing in it looks like an error.
#[must_use]
pub fn read(body: &[u8]) -> Option<ErrorBody> {
    match serde_json::from_slice(body).ok()? {
        Value::Object(object) => from_object(&object),
        // Gemini's compatible endpoint puts the object in an array
        Value::Array(list) => list
            .first()
            .and_then(Value::as_object)
            .and_then(from_object),
        _ => None,
    }
}

/// Does the body of a 200 hold an error instead of an answer?
#[must_use]
pub fn in_answer(body: &[u8]) -> Option<ErrorBody> {
    let Value::Object(object) = serde_json::from_slice(body).ok()? else {
        return None;
    };
    let wrong = object.get("error").is_some_and(|e| !e.is_null())
        || failed_base_resp(&object)
        || (object.contains_key("error_code") && !object.contains_key("choices"));
    wrong.then(|| from_object(&object)).flatten()
}

/// MiniMax reports failures in a 200: a status other than 0 and no answer.
fn failed_base_resp(object: &Map<String, Value>) -> bool {
    let status = object
        .get("base_resp")
        .and_then(|base| base.get("status_code"));
    let no_choices = object
        .get("choices")
        .is_none_or(|choices| choices.is_null());
    no_choices
        && status
            .and_then(Value::as_i64)
            .is_some_and(|status| status != 0)
}

fn from_object(object: &Map<String, Value>) -> Option<ErrorBody> {
    match object.get("error") {
        Some(Value::Object(inner)) => return Some(members(inner)),
        Some(Value::String(message)) => {
            return Some(ErrorBody {
                message: message.clone(),
                ..members(object)
            });
        }
        _ => {}
    }
    if let Some(Value::Object(base)) = object.get("base_resp") {
        return Some(members(base));
    }
    let flat = members(object);
    (!flat.message.is_empty()).then_some(flat)
}

fn members(object: &Map<String, Value>) -> ErrorBody {
    let first = |names: &[&str]| names.iter().find_map(|name| text(object.get(*name)?));
    ErrorBody {
        message: first(&["message", "msg", "status_msg", "detail", "error_msg"])
            .unwrap_or_default(),
        // Azure's filter has a number as its status
        kind: ["type", "status"]
            .iter()
            .find_map(|name| object.get(*name)?.as_str().map(str::to_owned)),
        param: first(&["param"]),
        code: first(&["code", "error_code", "status_code"]),
        // Azure has a number, MiniMax a text
        status: first(&["status", "http_code"]).and_then(|status| status.parse().ok()),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Hides what looks like a key or an id in a text that a backend wrote: words with one of the
/// usual prefixes, and long words of mixed letters and digits.
#[must_use]
pub fn mask(text: &str) -> String {
    const PREFIXES: [&str; 6] = ["sk-", "org-", "proj_", "req_", "key-", "acct_"];
    const LONG: usize = 20;
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            rest.find(is_word).unwrap_or(rest.len())
        };
        let (word, after) = rest.split_at(end);
        let mixed = word.bytes().any(|b| b.is_ascii_digit())
            && word.bytes().any(|b| b.is_ascii_alphabetic());
        let secret =
            PREFIXES.iter().any(|prefix| word.starts_with(prefix)) || (word.len() >= LONG && mixed);
        masked.push_str(if secret { "***" } else { word });
        rest = after;
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(body: &str) -> (String, Option<String>) {
        let read = read(body.as_bytes()).unwrap();
        (read.message, read.code)
    }

    #[test]
    fn every_known_shape_gives_its_message_and_code() {
        for (body, message, code) in [
            (
                r#"{"error":{"message":"m","type":"t","param":null,"code":"c"}}"#,
                "m",
                Some("c"),
            ),
            (
                r#"{"error":{"message":"m","type":"BadRequestError","code":400}}"#,
                "m",
                Some("400"),
            ),
            (
                r#"{"object":"error","message":"m","code":400}"#,
                "m",
                Some("400"),
            ),
            (
                r#"[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]"#,
                "m",
                Some("400"),
            ),
            (
                r#"{"code":"Client specified an invalid argument","error":"m"}"#,
                "m",
                Some("Client specified an invalid argument"),
            ),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
                "m",
                None,
            ),
            (
                r#"{"base_resp":{"status_code":1008,"status_msg":"m"}}"#,
                "m",
                Some("1008"),
            ),
            (r#"{"error_code":"X","message":"m"}"#, "m", Some("X")),
            (r#"{"detail":"m"}"#, "m", None),
            (
                r#"{"error":{"message":"m","type":null,"code":"content_filter","status":400}}"#,
                "m",
                Some("content_filter"),
            ),
        ] {
            assert_eq!(
                parts(body),
                (message.to_owned(), code.map(str::to_owned)),
                "{body}"
            );
        }
    }

    #[test]
    fn a_number_is_no_type() {
        let azure = br#"{"error":{"message":"m","type":null,"status":400}}"#;
        assert_eq!(read(azure).unwrap().kind, None);
    }

    #[test]
    fn what_is_no_error_body_is_none() {
        for body in ["", "<html>", "[]", "{}", "3", r#"{"choices":[]}"#] {
            assert_eq!(read(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn an_error_inside_a_success_is_seen_and_an_answer_is_not() {
        for body in [
            r#"{"error":{"message":"overloaded"}}"#,
            r#"{"choices":null,"base_resp":{"status_code":1004,"status_msg":"login fail"}}"#,
        ] {
            assert!(in_answer(body.as_bytes()).is_some(), "{body}");
        }
        for body in [
            r#"{"choices":[{}],"error":null}"#,
            r#"{"choices":[{}],"base_resp":{"status_code":0,"status_msg":"warning"}}"#,
        ] {
            assert_eq!(in_answer(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn what_looks_like_a_key_or_an_id_is_hidden() {
        for (text, masked) in [
            (
                "Incorrect key: sk-proj-abc_DEF123. See docs",
                "Incorrect key: ***. See docs",
            ),
            (
                "in organization org-Ab12 on tokens per min",
                "in organization *** on tokens per min",
            ),
            ("request 0190f1e2a3b4c5d6e7f8 failed", "request *** failed"),
            (
                "max_tokens must be at most 4096, got 100000",
                "max_tokens must be at most 4096, got 100000",
            ),
            (
                "context_length_exceeded: 余额 for gpt-4o-mini",
                "context_length_exceeded: 余额 for gpt-4o-mini",
            ),
        ] {
            assert_eq!(mask(text), masked);
        }
    }
}
