//! The members of a JSON object, each still as it was written, and typed reading of one.
//!
//! Refuses what is not an object and names that stand twice. Reads without copying: a body of tens
//! of megabytes costs a scan, not a tree.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use http::StatusCode;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::simulate::refusal::Refusal;

/// Most members of one object: they are compared with each other.
const MAX_MEMBERS: usize = 1000;

/// A string that is borrowed where it has no escapes.
#[derive(Debug, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// The members of an object in their order.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// Prefix of parameter names: empty for the body itself.
    path: &'a str,
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some(Text(key)) = map.next_key()? {
                    members.push((key, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl<'a> Fields<'a> {
    /// Reads an object; `path` is what parameters inside it are called by, empty for a body.
    pub(crate) fn read(bytes: &'a [u8], path: &'a str) -> Result<Self, Refusal> {
        let Members(members) = serde_json::from_slice(bytes).map_err(|error| Refusal {
            status: StatusCode::BAD_REQUEST,
            message: format!("we could not parse the JSON body of your request: {error}"),
            param: (!path.is_empty()).then(|| path.to_owned()),
            code: Some("invalid_json"),
        })?;
        let fields = Self { members, path };
        if fields.members.len() > MAX_MEMBERS {
            let message = format!("an object has at most {MAX_MEMBERS} members");
            return Err(Refusal::plain(
                StatusCode::BAD_REQUEST,
                Some("invalid_json"),
                message,
            ));
        }
        let mut rest = fields.members.as_slice();
        while let [(name, _), after @ ..] = rest {
            if after.iter().any(|(other, _)| other == name) {
                let message = format!("'{name}' is given twice");
                return Err(Refusal::invalid(
                    fields.param(name),
                    "invalid_json",
                    message,
                ));
            }
            rest = after;
        }
        Ok(fields)
    }

    /// The full name of a member.
    pub(crate) fn param(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Refuses every member that none of the lists has.
    pub(crate) fn only(&self, lists: &[&[&str]]) -> Result<(), Refusal> {
        let known = |name: &str| lists.iter().any(|list| list.contains(&name));
        match self.members.iter().find(|(name, _)| !known(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let message = format!("unrecognized request argument supplied: {name}");
                Err(Refusal::invalid(
                    self.param(name),
                    "unknown_parameter",
                    message,
                ))
            }
        }
    }

    /// Refuses a member that must not be there.
    pub(crate) fn without(&self, name: &str) -> Result<(), Refusal> {
        match self.raw(name) {
            None => Ok(()),
            Some(_) => {
                let message = format!("unrecognized request argument supplied: {name}");
                Err(Refusal::invalid(
                    self.param(name),
                    "unknown_parameter",
                    message,
                ))
            }
        }
    }

    /// A member as it was written.
    pub(crate) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.members
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| *value)
    }

    /// A member of the type asked for; null is as good as absent.
    pub(crate) fn optional<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, Refusal> {
        match self.raw(name) {
            None => Ok(None),
            Some(value) if value.get() == "null" => Ok(None),
            Some(value) => serde_json::from_str(value.get())
                .map(Some)
                .map_err(|error| {
                    let message = format!("invalid type for '{}': {error}", self.param(name));
                    Refusal::invalid(self.param(name), "invalid_type", message)
                }),
        }
    }

    /// A member that must be there.
    pub(crate) fn required<T: Deserialize<'a>>(&self, name: &str) -> Result<T, Refusal> {
        self.optional(name)?.ok_or_else(|| {
            let param = self.param(name);
            let message = format!("missing required parameter: '{param}'");
            Refusal::invalid(param, "missing_required_parameter", message)
        })
    }

    /// A whole number within bounds.
    pub(crate) fn number(
        &self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Refusal> {
        let number = self.optional::<i64>(name)?;
        match number.map(u64::try_from) {
            None => Ok(None),
            Some(Ok(number)) if range.contains(&number) => Ok(Some(number)),
            Some(_) => Err(self.out_of_range(name, &range)),
        }
    }

    /// A number within bounds.
    pub(crate) fn real(&self, name: &str, range: RangeInclusive<f64>) -> Result<(), Refusal> {
        match self.optional::<f64>(name)? {
            Some(number) if !range.contains(&number) => Err(self.out_of_range(name, &range)),
            _ => Ok(()),
        }
    }

    /// One of the given words.
    pub(crate) fn choice<'b>(
        &self,
        name: &str,
        words: &[&'b str],
    ) -> Result<Option<&'b str>, Refusal> {
        let Some(Text(given)) = self.optional(name)? else {
            return Ok(None);
        };
        match words.iter().find(|word| **word == given) {
            Some(word) => Ok(Some(*word)),
            None => {
                let message = format!("invalid value: '{given}', use one of {}", words.join(", "));
                Err(Refusal::invalid(self.param(name), "invalid_value", message))
            }
        }
    }

    /// Checks that a member is an object.
    pub(crate) fn object(&self, name: &str) -> Result<(), Refusal> {
        match self.optional::<&RawValue>(name)? {
            Some(value) if !value.get().starts_with('{') => Err(self.mistyped(name, "an object")),
            _ => Ok(()),
        }
    }

    /// The refusal of a wrong type.
    pub(crate) fn mistyped(&self, name: &str, wanted: &str) -> Refusal {
        let param = self.param(name);
        let message = format!("invalid type for '{param}': expected {wanted}");
        Refusal::invalid(param, "invalid_type", message)
    }

    fn out_of_range<T: fmt::Display>(&self, name: &str, range: &RangeInclusive<T>) -> Refusal {
        let param = self.param(name);
        let (low, high) = (range.start(), range.end());
        let message = format!("invalid '{param}': expected a value from {low} to {high}");
        Refusal::invalid(param, "invalid_value", message)
    }
}
