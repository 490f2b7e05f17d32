//! Whole answers of endpoints other than chat: which members they have, how many items, and what
//! they say was used. Nothing but the top level is taken apart.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer as _,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::input;

/// Members that hold the items of an answer.
const LISTS: [&str; 2] = ["data", "results"];

/// What was found in an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found<'a> {
    /// Is it an error?
    pub error: bool,
    /// The lists that are there.
    pub members: Vec<&'static str>,
    /// How many items they have.
    pub items: u64,
    /// A JSON object; made of the length of a recording, where that is all that is said.
    pub usage: Option<Cow<'a, str>>,
}

/// Reads an answer whose usage stands in one of these members; `None` if it is not a JSON object.
#[must_use]
pub fn read<'a>(json: &'a [u8], usage: &'static [&'static str]) -> Option<Found<'a>> {
    let mut source = serde_json::Deserializer::from_slice(json);
    let found = source.deserialize_map(Members(usage)).ok()?;
    source.end().ok()?;
    Some(found)
}

struct Members(&'static [&'static str]);

impl<'de> Visitor<'de> for Members {
    type Value = Found<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let mut found = Found::default();
        let mut best = self.0.len();
        let mut seconds = None;
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            let raw = map.next_value::<&'de RawValue>()?.get();
            if let Some(list) = LISTS.into_iter().find(|list| *list == name) {
                found.items += input::length(raw);
                found.members.push(list);
            }
            found.error |= name == "error" && raw != "null";
            if name == "duration" {
                // OpenAI once wrote it as a text
                seconds = Some(raw.trim_matches('"'));
            }
            let place = self.0.iter().position(|member| *member == name);
            if let Some(place) = place.filter(|place| *place < best && raw.starts_with('{')) {
                best = place;
                found.usage = Some(Cow::Borrowed(raw));
            }
        }
        if let (None, Some(seconds)) = (&found.usage, seconds.and_then(whole)) {
            found.usage = Some(format!(r#"{{"type":"duration","seconds":{seconds}}}"#).into());
        }
        Ok(found)
    }
}

/// Whole seconds of a length, as they are billed.
fn whole(seconds: &str) -> Option<u64> {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let more = fraction.bytes().any(|b| (b'1'..=b'9').contains(&b));
    let whole: u64 = whole.parse().ok()?;
    whole.checked_add(u64::from(more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_and_usage_are_found() {
        let json = br#"{"usage":{"a":1},"data":[{"x":[1,2]},{}],"meta":{"b":2}}"#;
        let found = read(json, &["usage", "meta"]).unwrap();
        assert_eq!((found.items, found.error), (2, false));
        assert_eq!(found.usage.as_deref(), Some(r#"{"a":1}"#));
        let json = br#"{"meta":{"b":2},"results":[],"usage":null}"#;
        let found = read(json, &["usage", "meta"]).unwrap();
        assert_eq!(found.members, ["results"]);
        assert_eq!(found.usage.as_deref(), Some(r#"{"b":2}"#));
    }

    #[test]
    fn the_length_of_a_recording_counts_where_nothing_else_is_said() {
        let of = |json: &str| {
            let found = read(json.as_bytes(), &["usage"]).unwrap();
            found.usage.map(Cow::into_owned)
        };
        let seconds = |n: u64| Some(format!(r#"{{"type":"duration","seconds":{n}}}"#));
        assert_eq!(of(r#"{"text":"x","duration":8.47}"#), seconds(9));
        assert_eq!(of(r#"{"text":"x","duration":"8.0"}"#), seconds(8));
        assert_eq!(of(r#"{"text":"x","duration":-1}"#), None);
        let both = r#"{"duration":8.47,"usage":{"type":"duration","seconds":9}}"#;
        assert_eq!(of(both), seconds(9));
    }

    #[test]
    fn an_error_is_seen_and_what_is_no_object_is_none() {
        assert!(
            read(br#"{"error":{"message":"x"},"data":[]}"#, &[])
                .unwrap()
                .error
        );
        assert!(!read(br#"{"error":null}"#, &[]).unwrap().error);
        for text in ["", "text", "[1]", "{}x", "1\n00:00"] {
            assert!(read(text.as_bytes(), &[]).is_none(), "{text}");
        }
    }
}
