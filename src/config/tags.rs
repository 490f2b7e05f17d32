//! Tags: names and values by which spend is told apart.
//!
//! They come from a key of the configuration or from a request, and end in the ledger. Given text,
//! it holds the bounds of the contract and a fixed order, so that equal tags are equal text. It
//! decides nothing about whose tags win; that is said by who merges them.

use std::{collections::BTreeMap, sync::Arc};

/// Tags that one holder may have.
pub const MOST: usize = 10;
/// Characters of a name.
pub const LONGEST_NAME: usize = 64;
/// Characters of a value.
pub const LONGEST_VALUE: usize = 256;

/// Names with their values, and the same as a JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    list: BTreeMap<Arc<str>, Arc<str>>,
    json: Arc<str>,
}

/// Why tags are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    #[error("at most {MOST} tags may be given")]
    TooMany,
    #[error("the name of a tag has 1 to {LONGEST_NAME} printable characters without `=` and `,`")]
    Name,
    #[error("the value of a tag has at most {LONGEST_VALUE} printable characters")]
    Value,
    #[error("a tag is given twice")]
    Twice,
    #[error("tags are written as `name=value,name=value`")]
    Form,
}

impl Tags {
    /// Tags from pairs.
    ///
    /// # Errors
    /// If there are too many, one stands twice, or a name or value breaks its bounds.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, TagError> {
        let mut list = BTreeMap::new();
        for (name, value) in pairs {
            check_name(name)?;
            check_value(value)?;
            if list.len() == MOST {
                return Err(TagError::TooMany);
            }
            if list.insert(Arc::from(name), Arc::from(value)).is_some() {
                return Err(TagError::Twice);
            }
        }
        Ok(Self::from(list))
    }

    /// Tags as a header writes them: `feature=chat,run=7`.
    ///
    /// # Errors
    /// As [`Tags::of`], and if it has another form.
    pub fn from_header(text: &str) -> Result<Self, TagError> {
        let pairs: Option<Vec<_>> = text.split(',').map(|pair| pair.split_once('=')).collect();
        let pairs = pairs.ok_or(TagError::Form)?;
        Self::of(
            pairs
                .into_iter()
                .map(|(name, value)| (name.trim(), value.trim())),
        )
    }

    /// These, and those of `others` whose names are not among them.
    #[must_use]
    pub fn with_others(&self, others: &Self) -> Self {
        let mut list = others.list.clone();
        list.extend(self.list.clone());
        Self::from(list)
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.list.get(name).map(|value| &**value)
    }

    /// Names with their values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(name, value)| (&**name, &**value))
    }

    /// No tag?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them as a JSON object of texts, in the order of their names.
    #[must_use]
    pub fn json(&self) -> &Arc<str> {
        &self.json
    }
}

impl From<BTreeMap<Arc<str>, Arc<str>>> for Tags {
    fn from(list: BTreeMap<Arc<str>, Arc<str>>) -> Self {
        let plain: BTreeMap<&str, &str> = list.iter().map(|(n, v)| (&**n, &**v)).collect();
        // a map of texts always has a JSON form
        let json = serde_json::to_string(&plain).unwrap_or_default();
        Self {
            list,
            json: json.into(),
        }
    }
}

/// Is it a name of a tag?
///
/// # Errors
/// If it is empty, too long, or holds what would break its written forms.
pub fn check_name(name: &str) -> Result<(), TagError> {
    let fits = !name.is_empty() && name.chars().count() <= LONGEST_NAME;
    let plain = name.trim() == name && !name.chars().any(|c| c.is_control() || "=,".contains(c));
    if fits && plain {
        Ok(())
    } else {
        Err(TagError::Name)
    }
}

/// Is it a value of a tag?
///
/// # Errors
/// If it is too long or holds control characters.
pub fn check_value(value: &str) -> Result<(), TagError> {
    let fits = value.chars().count() <= LONGEST_VALUE;
    if fits && !value.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(TagError::Value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_and_an_object_of_the_same_tags_are_equal() {
        let header = Tags::from_header("run=7, feature=chat").unwrap();
        let object = Tags::of([("feature", "chat"), ("run", "7")]).unwrap();
        assert_eq!(header, object);
        assert_eq!(&**header.json(), r#"{"feature":"chat","run":"7"}"#);
    }

    #[test]
    fn a_value_may_hold_an_equals_sign_and_may_be_empty() {
        let tags = Tags::from_header("q=a=b,empty=").unwrap();
        assert_eq!((tags.get("q"), tags.get("empty")), (Some("a=b"), Some("")));
    }

    #[test]
    fn what_breaks_a_bound_is_refused_by_name() {
        let long = |n| "x".repeat(n);
        for (text, error) in [
            (String::new(), TagError::Form),
            ("a".to_owned(), TagError::Form),
            ("a=1,".to_owned(), TagError::Form),
            ("=1".to_owned(), TagError::Name),
            ("a\u{1b}=1".to_owned(), TagError::Name),
            (format!("{}=1", long(65)), TagError::Name),
            (format!("a={}", long(257)), TagError::Value),
            ("a=\u{7}b".to_owned(), TagError::Value),
            ("a=1,a=1".to_owned(), TagError::Twice),
            (
                (0..11)
                    .map(|n| format!("{n}=1"))
                    .collect::<Vec<_>>()
                    .join(","),
                TagError::TooMany,
            ),
        ] {
            assert_eq!(Tags::from_header(&text), Err(error), "{text}");
        }
        assert!(Tags::from_header(&format!("{}={}", long(64), long(256))).is_ok());
    }

    #[test]
    fn a_holders_own_tags_win_over_those_of_others() {
        let own = Tags::of([("team", "a")]).unwrap();
        let sent = Tags::of([("team", "b"), ("run", "7")]).unwrap();
        let both = own.with_others(&sent);
        assert_eq!((both.get("team"), both.get("run")), (Some("a"), Some("7")));
    }
}
