//! Events that name their type, as streams of images, speech and transcripts have them.
//!
//! `image_generation.partial_image`, then `image_generation.completed`; `speech.audio.delta`, then
//! `speech.audio.done`; `transcript.text.delta`, then `transcript.text.done`. The last one has the
//! usage.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What one event says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// Is it an error?
    pub error: bool,
    /// Does the stream end with it?
    pub ends: bool,
    /// Bytes of text that it carries.
    pub output_bytes: u64,
    /// A JSON object.
    pub usage: Option<&'a str>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    delta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    usage: Option<&'a RawValue>,
}

/// Reads one event; `None` if it is not a JSON object.
#[must_use]
pub fn read(json: &[u8]) -> Option<Event<'_>> {
    json.trim_ascii_start().starts_with(b"{").then_some(())?;
    let wire: Wire<'_> = serde_json::from_slice(json).ok()?;
    let kind = wire.kind.as_deref().unwrap_or_default();
    Some(Event {
        error: wire.error.is_some() || kind == "error",
        ends: kind.ends_with(".done") || kind.ends_with(".completed"),
        output_bytes: wire
            .delta
            .map_or(0, |raw| raw.get().len().saturating_sub(2) as u64),
        usage: wire
            .usage
            .map(RawValue::get)
            .filter(|raw| raw.starts_with('{')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_ends_the_stream_and_has_the_usage() {
        let event = read(br#"{"type":"transcript.text.delta","delta":"abc"}"#).unwrap();
        let want = Event {
            output_bytes: 3,
            ..Event::default()
        };
        assert_eq!(event, want);
        for kind in ["transcript.text.done", "image_generation.completed"] {
            let json = format!(r#"{{"type":"{kind}","usage":{{"input_tokens":1}}}}"#);
            let event = read(json.as_bytes()).unwrap();
            assert!(event.ends, "{kind}");
            assert_eq!(event.usage, Some(r#"{"input_tokens":1}"#));
        }
    }

    #[test]
    fn an_error_is_seen_however_it_is_written() {
        for json in [
            r#"{"error":{"message":"x"}}"#,
            r#"{"type":"error","message":"x"}"#,
        ] {
            assert!(read(json.as_bytes()).unwrap().error, "{json}");
        }
        assert!(read(b"[1]").is_none());
        assert!(read(b"x").is_none());
    }
}
