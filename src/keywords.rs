//! Keywords of JSON Schema, as a small set: what a schema uses, and what a backend is known not to
//! take.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Every keyword that is told apart: those that some backend is known to refuse or to ignore.
pub const ALL: [&str; 29] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
    "minProperties",
    "maxProperties",
    "pattern",
    "format",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "prefixItems",
    "$ref",
];

/// A set of keywords.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keywords(u32);

impl Keywords {
    /// Those of these spellings.
    ///
    /// # Errors
    /// The first that is none.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, &'a str> {
        let mut all = Self::default();
        for name in names {
            let bit = bit(name).ok_or(name)?;
            all.0 |= bit;
        }
        Ok(all)
    }

    /// Takes one in, if it is one.
    pub fn add(&mut self, name: &str) {
        self.0 |= bit(name).unwrap_or_default();
    }

    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The first that is in both.
    #[must_use]
    pub fn first_of_both(self, other: Self) -> Option<&'static str> {
        let both = self.0 & other.0;
        // of none, that is past the end
        ALL.get(both.trailing_zeros() as usize).copied()
    }

    /// Their spellings, in the order of [`ALL`].
    pub fn iter(self) -> impl Iterator<Item = &'static str> {
        let has = move |at: usize| self.0 >> at & 1 == 1;
        let all = ALL.into_iter().enumerate();
        all.filter_map(move |(at, name)| has(at).then_some(name))
    }
}

fn bit(name: &str) -> Option<u32> {
    let at = ALL.iter().position(|known| *known == name)?;
    Some(1 << at)
}

impl Serialize for Keywords {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Keywords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Self::of(names.iter().map(String::as_str))
            .map_err(|name| D::Error::custom(format!("no keyword `{name}`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_is_written_in_words() {
        let mut set = Keywords::of(["not", "$ref"]).unwrap();
        set.add("allOf");
        set.add("title");
        assert_eq!(set.iter().collect::<Vec<_>>(), ["allOf", "not", "$ref"]);
        assert_eq!(Keywords::of(["not", "nut"]), Err("nut"));
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(json, r#"["allOf","not","$ref"]"#);
        assert_eq!(serde_json::from_str::<Keywords>(&json).unwrap(), set);
        assert_eq!(
            set.first_of_both(Keywords::of(["$ref", "if"]).unwrap()),
            Some("$ref")
        );
        assert_eq!(set.first_of_both(Keywords::default()), None);
    }
}
