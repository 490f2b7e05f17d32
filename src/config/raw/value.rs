//! Values of the file that are written as text or as a fraction, each with its schema.
//!
//! Reading is `text`'s; a type here ties one of its functions to one `format` name. None of them
//! repeats its text in an error.

use std::{borrow::Cow, net::SocketAddr, path::PathBuf, time::Duration};

use http::{HeaderValue, Uri};
use jiff::{Timestamp, tz::TimeZone};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Value, json};

use super::Provider;
use crate::{
    config::{Ledger, Proxy, text},
    keywords::{self, Keywords},
    money::{Rate, Usd},
};

/// A type that is read from text by one function and has a `format` in the schema.
macro_rules! written {
    ($($(#[$doc:meta])* $name:ident($inner:ty), $format:literal, $read:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(pub $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $read(text.as_str()).map(Self).map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    )*};
}

written! {
    /// IP address and port.
    Address(SocketAddr), "socket-address", text::address;
    /// Where an API stands.
    HttpUrl(Uri), "http-url", text::url;
    /// A proxy that a provider is reached through.
    ProxyUrl(Proxy), "proxy-url", text::proxy;
    /// A file that is read with the configuration.
    FilePath(PathBuf), "file-path", text::file;
    /// What a browser sends as `Origin`.
    Origin(HeaderValue), "web-origin", text::origin;
    /// The value of a header, marked sensitive.
    HeaderText(HeaderValue), "header-value", text::header_value;
    /// A name without `*`.
    Name(String), "public-name", checked("public-name");
    /// A name that may end in `*`.
    Pattern(String), "name-pattern", checked("name-pattern");
    /// A model as its provider spells it.
    UpstreamModel(String), "upstream-model", checked("upstream-model");
    /// A secret of any length.
    SecretText(SecretString), "secret-text", hidden("secret-text");
    /// A client's secret.
    ClientKey(SecretString), "client-key", hidden("client-key");
    /// Where the ledger is kept.
    LedgerText(Ledger), "ledger-address", text::ledger;
    /// The value of a tag.
    TagValue(String), "tag-value", checked("tag-value");
    /// The name of a tag, with or without a value.
    TagMatch((String, Option<String>)), "tag-match", text::tag_match;
    /// A moment.
    Moment(Timestamp), "moment", text::moment;
    /// A time zone.
    Zone(TimeZone), "time-zone", text::time_zone;
    /// A SHA-256 digest.
    DigestText([u8; 32]), "sha256-hex", text::sha256;
}

/// Dollars.
#[derive(Debug, Clone, Copy)]
pub struct Money(pub Usd);

/// Dollars per 1,000,000 units.
#[derive(Debug, Clone, Copy)]
pub struct PriceText(pub Rate);

/// Bytes; a plain number is bytes too.
#[derive(Debug, Clone, Copy)]
pub struct ByteSize(pub u64);

/// A duration; of plain numbers only 0 needs no unit.
#[derive(Debug, Clone, Copy)]
pub struct TimeSpan(pub Duration);

/// A number from 0 to 1, kept in 1/10,000.
#[derive(Debug, Clone, Copy)]
pub struct Fraction(pub u16);

/// Text, or a whole number read as its text.
#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(u64),
}

impl TextOrNumber {
    fn read<T>(self, read: fn(&str) -> Result<T, text::TextError>) -> Result<T, text::TextError> {
        match self {
            Self::Text(text) => read(&text),
            Self::Number(number) => read(&number.to_string()),
        }
    }
}

/// Reading through [`TextOrNumber`], and a given schema.
macro_rules! read_as {
    ($($name:ident, $read:path, $schema:tt;)*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = TextOrNumber::deserialize(deserializer)?;
                text.read($read).map(Self).map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

read_as! {
    // a YAML number would be read as a binary float: money is text only
    Money, text::money, { "type": "string", "format": "usd" };
    PriceText, text::price, { "type": "string", "format": "usd-per-million" };
    ByteSize, text::size, { "type": ["string", "integer"], "format": "byte-size", "minimum": 0 };
    TimeSpan, text::duration, {
        "type": ["string", "integer"], "format": "time-span", "minimum": 0, "maximum": 0
    };
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(deserializer)?;
        if !(0.0..=1.0).contains(&number) {
            return Err(de::Error::custom("must be from 0 to 1"));
        }
        // at most 10,000, so it fits; the cast rounds a non-negative number to itself
        Ok(Self((number * 10_000.0).round() as u16))
    }
}

impl JsonSchema for Fraction {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Fraction".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 1 })
    }
}

/// Keywords of JSON Schema.
#[derive(Debug, Clone, Copy)]
pub struct KeywordList(pub Keywords);

impl<'de> Deserialize<'de> for KeywordList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Keywords::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for KeywordList {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "KeywordList".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = keywords::ALL.as_slice();
        json_schema!({ "type": "array", "items": { "type": "string", "enum": names } })
    }
}

/// A mapping from names of providers.
pub(super) fn providers(generator: &mut SchemaGenerator) -> Schema {
    mapping("provider-name", &generator.subschema_for::<Provider>())
}

/// A mapping from names of headers.
pub(super) fn headers(generator: &mut SchemaGenerator) -> Schema {
    mapping("header-name", &generator.subschema_for::<HeaderText>())
}

/// A mapping from names of tags.
pub(super) fn tags(generator: &mut SchemaGenerator) -> Schema {
    mapping("tag-name", &generator.subschema_for::<TagValue>())
}

fn mapping(key_format: &str, values: &Schema) -> Schema {
    let values: Value = values.as_value().clone();
    json_schema!({
        "type": "object",
        "propertyNames": json!({ "format": key_format }),
        "additionalProperties": values,
    })
}

/// A reader that keeps the text if it has the format.
fn checked(format: &'static str) -> impl Fn(&str) -> Result<String, text::TextError> {
    move |text| {
        let check = text::Format::find(format).map_or(Ok(()), |format| (format.check)(text));
        check.map(|()| text.to_owned())
    }
}

/// The same for a secret.
fn hidden(format: &'static str) -> impl Fn(&str) -> Result<SecretString, text::TextError> {
    move |text| checked(format)(text).map(SecretString::from)
}
