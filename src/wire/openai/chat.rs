//! The messages of a chat request: counted and looked through, never copied.
//!
//! Everything is read in one pass without a list of messages, so that a hostile body of a million
//! tiny messages costs no memory beyond its own bytes.

use std::{borrow::Cow, fmt, marker::PhantomData};

use memchr::memmem;
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    caps::{Cap, Caps},
    tokens::{Counter, Family, PER_IMAGE, PER_IMAGE_LOW, PER_MESSAGE, PER_PROMPT},
    wire::scan::{DEPTH, Scan, Seen, not_null},
};

/// Bytes of base64 audio that make about one token: ten tokens a second of compressed speech.
const AUDIO_BYTES_PER_TOKEN: u64 = 1_600;
/// Bytes of a base64 document that make about one token.
const FILE_BYTES_PER_TOKEN: u64 = 64;

/// What the messages of a request hold.
#[derive(Debug, Default)]
pub struct Messages<'a> {
    /// Estimated tokens, and characters by script.
    pub count: Counter,
    /// What the content parts demand of a backend.
    pub needs: Caps,
    /// How many messages there are.
    pub number: u64,
    /// The content of the last message of the user, as JSON text.
    pub last_user: Option<&'a str>,
    /// The contents of the message before the user's first one, if any, and of that one.
    pub opening: [Option<&'a str>; 2],
}

/// The text of a value that is not null.
struct Raw<'a>(&'a str);

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a RawValue>::deserialize(deserializer).map(|raw| Self(raw.get()))
    }
}

#[derive(Default, Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<Raw<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<Raw<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<Raw<'a>>,
}

#[derive(Default, Deserialize)]
struct Part<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<Raw<'a>>,
    #[serde(borrow, default)]
    image_url: Option<Raw<'a>>,
    #[serde(borrow, default)]
    input_audio: Option<Raw<'a>>,
    #[serde(borrow, default)]
    file: Option<Raw<'a>>,
}

impl<'a> Usual<'a> for Message<'a> {
    fn usual(scan: &mut Scan<'a>) -> Option<Self> {
        let mut message = Self::default();
        let values = [
            ("content", &mut message.content),
            ("reasoning_content", &mut message.reasoning_content),
            ("tool_calls", &mut message.tool_calls),
        ];
        members(scan, ("role", &mut message.role), values)?;
        Some(message)
    }
}

impl<'a> Usual<'a> for Part<'a> {
    fn usual(scan: &mut Scan<'a>) -> Option<Self> {
        let mut part = Self::default();
        let values = [
            ("text", &mut part.text),
            ("image_url", &mut part.image_url),
            ("input_audio", &mut part.input_audio),
            ("file", &mut part.file),
        ];
        members(scan, ("type", &mut part.kind), values)?;
        Some(part)
    }
}

/// Reads a word without escapes and some values of an object, by their names.
fn members<'a, const N: usize>(
    scan: &mut Scan<'a>,
    (word, said): (&str, &mut Option<Cow<'a, str>>),
    mut values: [(&str, &mut Option<Raw<'a>>); N],
) -> Option<()> {
    let mut seen = Seen::default();
    scan.object(|scan, key| {
        if key == word {
            seen.first(0)?;
            *said = Some(Cow::Borrowed(scan.plain()?));
            return Some(());
        }
        for (member, (name, value)) in (1..).zip(&mut values) {
            if key == *name {
                seen.first(member)?;
                **value = not_null(scan.value(DEPTH)?).map(Raw);
                return Some(());
            }
        }
        scan.skip(DEPTH)
    })
}

/// Looks through the value of `messages`.
///
/// # Errors
/// If it is not an array of objects with the types of the API.
pub fn messages(raw: &str) -> Result<Messages<'_>, serde_json::Error> {
    messages_as(None, raw)
}

/// The same, with tokens as a family of tokenizers counts.
///
/// # Errors
/// If it is not an array of objects with the types of the API.
pub fn messages_as(family: Option<Family>, raw: &str) -> Result<Messages<'_>, serde_json::Error> {
    let mut found = Messages {
        count: Counter::of(family),
        ..Messages::default()
    };
    found.count.add_tokens(PER_PROMPT);
    each_of("an array of messages", raw, |message: Message<'_>| {
        found.add(&message);
    })?;
    Ok(found)
}

/// The text of a message's content, which is a string or an array of parts; empty if it has none.
#[must_use]
pub fn text_of(content: &str) -> Cow<'_, str> {
    if !content.starts_with('[') {
        return unescaped(content);
    }
    let mut all = String::new();
    let parts = each_of("an array of parts", content, |part: Part<'_>| {
        let Some(text) = part.text else { return };
        if !all.is_empty() {
            all.push('\n');
        }
        all.push_str(&unescaped(text.0));
    });
    // an odd part is the backend's to judge; the text before it counts
    drop(parts);
    Cow::Owned(all)
}

/// What a JSON string says; empty if it is none.
fn unescaped(json: &str) -> Cow<'_, str> {
    match json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        None => Cow::Borrowed(""),
        Some(plain) if memchr::memchr(b'\\', plain.as_bytes()).is_none() => Cow::Borrowed(plain),
        Some(text) => {
            let said = simply_unescaped(text);
            Cow::Owned(said.unwrap_or_else(|| serde_json::from_str(json).unwrap_or_default()))
        }
    }
}

/// What a text with escapes of one letter says; `None`: it has others.
fn simply_unescaped(text: &str) -> Option<String> {
    let mut said = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (before, escape) = rest.split_at_checked(at)?;
        said.push_str(before);
        said.push(match escape.as_bytes().get(1)? {
            mark @ (b'"' | b'\\' | b'/') => char::from(*mark),
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            _ => return None,
        });
        rest = escape.get(2..)?;
    }
    said.push_str(rest);
    Some(said)
}

impl<'a> Messages<'a> {
    fn add(&mut self, message: &Message<'a>) {
        self.number += 1;
        self.count.add_tokens(PER_MESSAGE);
        let content = message.content.as_ref().map(|raw| raw.0);
        let [before, first] = &mut self.opening;
        if message.role.as_deref() == Some("user") {
            self.last_user = content;
            first.get_or_insert(content.unwrap_or_default());
        } else if first.is_none() {
            *before = content;
        }
        for raw in [&message.reasoning_content, &message.tool_calls]
            .into_iter()
            .flatten()
        {
            self.count.add_json(raw.0);
        }
        let Some(content) = content else {
            return;
        };
        if !content.starts_with('[') {
            self.count.add_json(unquoted(content));
            return;
        }
        let parts = each_of("an array of parts", content, |part: Part<'_>| {
            self.part(&part);
        });
        if parts.is_err() {
            // an odd part is the backend's to judge; its text still counts
            self.count.add_json(content);
        }
    }

    fn part(&mut self, part: &Part<'_>) {
        if let Some(text) = &part.text {
            self.count.add_json(unquoted(text.0));
        }
        let need = match part.kind.as_deref() {
            Some("image_url" | "image" | "input_image") => Cap::Vision,
            Some("input_audio" | "audio_url") => Cap::AudioIn,
            Some("video_url" | "video") => Cap::Video,
            Some("file" | "input_file") => Cap::Pdf,
            _ => return,
        };
        self.needs = self.needs.with(need);
        self.count.add_tokens(match need {
            Cap::AudioIn => bytes(part.input_audio.as_ref()) / AUDIO_BYTES_PER_TOKEN,
            Cap::Pdf => bytes(part.file.as_ref()) / FILE_BYTES_PER_TOKEN,
            _ if part
                .image_url
                .as_ref()
                .is_some_and(|image| low_detail(image.0)) =>
            {
                PER_IMAGE_LOW
            }
            _ => PER_IMAGE,
        });
    }
}

/// A JSON string without its quotes.
pub(super) fn unquoted(raw: &str) -> &str {
    raw.strip_prefix('"')
        .and_then(|raw| raw.strip_suffix('"'))
        .unwrap_or(raw)
}

fn bytes(raw: Option<&Raw<'_>>) -> u64 {
    raw.map_or(0, |raw| raw.0.len() as u64)
}

/// Does an `image_url` ask for low detail? It stands behind a URL of megabytes or before it; in
/// the URL itself quotes are escaped, so that it need not be parsed once more.
fn low_detail(image: &str) -> bool {
    const DETAIL: &str = "\"detail\"";
    memmem::find(image.as_bytes(), DETAIL.as_bytes())
        .and_then(|at| {
            image
                .get(at + DETAIL.len()..)?
                .trim_start()
                .strip_prefix(':')
        })
        .is_some_and(|value| value.trim_start().starts_with("\"low\""))
}

/// What is read in one pass over its bytes where it is usual.
trait Usual<'a>: Deserialize<'a> {
    /// `None`: it is unusual, or wrong.
    fn usual(scan: &mut Scan<'a>) -> Option<Self>;
}

/// Gives each member of an array to a function, keeping none.
fn each_of<'a, T: Usual<'a>>(
    expected: &'static str,
    json: &'a str,
    mut see: impl FnMut(T),
) -> Result<(), serde_json::Error> {
    let mut seen = 0_usize;
    let mut scan = Scan::of(json);
    let usual = scan.array(|scan| {
        see(T::usual(scan)?);
        seen += 1;
        Some(())
    });
    if usual.and_then(|()| scan.end()).is_some() {
        return Ok(());
    }
    let mut number = 0_usize;
    let rest = each(expected, |member: T| {
        number += 1;
        if number > seen {
            see(member);
        }
    });
    rest.deserialize(&mut serde_json::Deserializer::from_str(json))
}

/// Gives each member of an array to a function, keeping none.
pub(super) struct Each<T, F> {
    expected: &'static str,
    each: F,
    member: PhantomData<fn(T)>,
}

pub(super) fn each<T, F: FnMut(T)>(expected: &'static str, each: F) -> Each<T, F> {
    Each {
        expected,
        each,
        member: PhantomData,
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T)> DeserializeSeed<'de> for Each<T, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T)> Visitor<'de> for Each<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        while let Some(member) = members.next_element()? {
            (self.each)(member);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Messages<'_> {
        messages(raw).unwrap()
    }

    #[test]
    fn the_text_of_a_content_is_what_it_says() {
        assert_eq!(text_of(r#""plain ä""#), "plain ä");
        assert_eq!(text_of(r#""a\n\"b\u00e9\\""#), "a\n\"b\u{e9}\\");
        let parts = r#"[{"type":"text","text":"one"},{"type":"image_url","image_url":{"url":"x"}},{"text":"t\two"}]"#;
        assert_eq!(text_of(parts), "one\nt\two");
        for nothing in ["null", "[]", "7", r#"{"text":"x"}"#, "[7"] {
            assert_eq!(text_of(nothing), "", "{nothing}");
        }
    }

    #[test]
    fn content_parts_say_what_a_backend_must_be_able_to_take() {
        for (part, need) in [
            (
                r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}"#,
                Some(Cap::Vision),
            ),
            (
                r#"{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}"#,
                Some(Cap::AudioIn),
            ),
            (
                r#"{"type":"file","file":{"file_data":"AAAA"}}"#,
                Some(Cap::Pdf),
            ),
            (
                r#"{"type":"video_url","video_url":{"url":"https://example.org/v"}}"#,
                Some(Cap::Video),
            ),
            (r#"{"type":"text","text":"an image_url"}"#, None),
            (r#"{"type":"unheard_of","x":1}"#, None),
        ] {
            let raw =
                format!(r#"[{{"role":"user","content":[{{"type":"text","text":"a"}},{part}]}}]"#);
            assert_eq!(read(&raw).needs, need.into_iter().collect(), "{part}");
        }
    }

    #[test]
    fn an_image_counts_by_its_detail_and_not_by_its_bytes() {
        let with = |image: &str| {
            let raw = format!(
                r#"[{{"role":"user","content":[{{"type":"image_url","image_url":{{"url":"data:{}"{image}}}}}]}}]"#,
                "A".repeat(1_000_000)
            );
            read(&raw).count.tokens()
        };
        let low = with(r#", "detail" : "low""#);
        assert_eq!(with(r#","detail":"high""#), with(""));
        assert_eq!(with("") - low, PER_IMAGE - PER_IMAGE_LOW);
        assert!(low < 200, "{low}");
    }

    #[test]
    fn tool_calls_and_reasoning_of_earlier_turns_count() {
        let plain = read(r#"[{"role":"assistant","content":null}]"#)
            .count
            .tokens();
        let full = read(
            r#"[{"role":"assistant","content":null,"reasoning_content":"one two three",
                "tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}]"#,
        );
        assert!(full.count.tokens() > plain + 10);
    }

    #[test]
    fn the_last_message_of_the_user_is_kept_as_it_stands() {
        let raw = r#"[{"role":"user","content":"a"},{"role":"user","content":"b\n"},{"role":"assistant","content":"c"}]"#;
        assert_eq!(read(raw).last_user, Some(r#""b\n""#));
    }

    #[test]
    fn what_is_not_an_array_of_messages_is_refused() {
        let twice = r#"[{"role":"user","content":null,"content":"x"}]"#;
        for raw in [
            "{}",
            "null",
            "\"x\"",
            "[1]",
            r#"[{"role":1}]"#,
            r#"["x"]"#,
            twice,
        ] {
            assert!(messages(raw).is_err(), "{raw}");
        }
    }
}
