//! From a text to the members of an object: in one pass where it is usual, else by serde, whose word
//! counts.

use std::{borrow::Cow, collections::HashSet, fmt, ops::Range};

use serde::{
    Deserialize,
    de::{self, Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Key, Member, ObjectError};
use crate::wire::scan::{DEPTH, Scan};

/// Members that are compared pairwise for duplicates; more go through a set.
const PAIRWISE: usize = 16;
/// Members that an object may have: each costs memory beyond its bytes, and the longest known
/// request has about fifty.
const MAX_MEMBERS: usize = 1024;

/// The members of an object, in order.
pub(super) fn members(text: &str) -> Result<Vec<Member>, ObjectError> {
    let members = match usual(text) {
        Some(members) => members,
        None => unusual(text)?,
    };
    match duplicate(text, &members) {
        Some(twice) => Err(ObjectError::Duplicate(twice.to_owned())),
        None => Ok(members),
    }
}

/// Of an object whose keys are written without escapes, and whose values are not deep.
fn usual(text: &str) -> Option<Vec<Member>> {
    let mut scan = Scan::of(text);
    let mut members = Vec::with_capacity(PAIRWISE);
    scan.space();
    let place = |part: &str| place(text, part);
    scan.object(|scan, key| {
        if members.len() == MAX_MEMBERS {
            return None;
        }
        let key = Key::Plain(place(key));
        let value = place(scan.value(DEPTH)?);
        members.push(Member::kept(key, value));
        Some(())
    })?;
    scan.end()?;
    Some(members)
}

/// Of any object, or why it is none.
fn unusual(text: &str) -> Result<Vec<Member>, ObjectError> {
    let Borrowed(found) = serde_json::from_str(text).map_err(ObjectError::Syntax)?;
    let member = |(key, value): (Cow<'_, str>, &RawValue)| {
        let key = match key {
            Cow::Borrowed(key) => Key::Plain(place(text, key)),
            Cow::Owned(key) => Key::Escaped(key.into_boxed_str()),
        };
        Member::kept(key, place(text, value.get()))
    };
    Ok(found.into_iter().map(member).collect())
}

/// Where bytes stop to be text, in the words of the parser.
pub(super) fn not_text(bytes: &[u8]) -> ObjectError {
    let error = serde_json::from_slice::<Borrowed<'_>>(bytes).err();
    ObjectError::Syntax(error.unwrap_or_else(|| de::Error::custom("the text is not UTF-8")))
}

/// Where a part of a text stands in it.
fn place(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr().addr()).saturating_sub(text.as_ptr().addr());
    start..start + part.len()
}

/// The members as `serde_json` lends them.
struct Borrowed<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Borrowed<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Borrowed<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Borrowed<'de>, A::Error> {
        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        let mut members = Vec::with_capacity(PAIRWISE);
        while let Some(Name(key)) = map.next_key()? {
            if members.len() == MAX_MEMBERS {
                return Err(de::Error::custom(format_args!(
                    "more than {MAX_MEMBERS} members"
                )));
            }
            members.push((key, map.next_value()?));
        }
        Ok(Borrowed(members))
    }
}

/// A key that stands twice.
fn duplicate<'a>(text: &'a str, members: &'a [Member]) -> Option<&'a str> {
    let key = |member: &'a Member| member.key(text);
    if members.len() <= PAIRWISE {
        let twice = members.iter().enumerate().find(|(at, member)| {
            let mut before = members.iter().take(*at);
            before.any(|other| key(other) == key(member))
        });
        return twice.map(|(_, member)| key(member));
    }
    let mut seen = HashSet::with_capacity(members.len());
    members.iter().map(key).find(|key| !seen.insert(*key))
}
