//! The values that are written as text: durations, sizes, money, addresses, names, secrets.
//!
//! One function reads each of them. The shape check finds it by the `format` of the schema and
//! `raw` calls the same one, so they cannot disagree. Errors never repeat the text: it may be a
//! secret.

mod proxy;
mod read;

pub use proxy::proxy;
pub use read::{
    address, duration, file, header_name, header_value, ledger, moment, money, origin, price,
    sha256, size, tag_match, time_zone, url,
};
use read::{client_key, name, pattern, provider_name, secret, tag_name, tag_value, upstream_model};

use super::tags::TagError;

/// A kind of text, found by its name in the schema.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// As `format` in the schema. No standard format has one of these names.
    pub name: &'static str,
    /// What is expected, for messages.
    pub what: &'static str,
    /// May a message repeat such a text?
    pub shown: bool,
    /// Does the text have this format?
    pub check: fn(&str) -> Result<(), TextError>,
}

/// Every format that the schema uses.
pub const FORMATS: [Format; 24] = [
    Format::new("time-span", "a duration such as 5s", |t| {
        duration(t).map(drop)
    }),
    Format::new("byte-size", "a size such as 32MiB", |t| size(t).map(drop)),
    Format::new("usd", "money in quotes such as \"2.40\"", |t| {
        money(t).map(drop)
    }),
    Format::new(
        "usd-per-million",
        "a price in quotes such as \"0.10\"",
        |t| price(t).map(drop),
    ),
    Format::hidden("http-url", "a URL such as http://10.0.0.5:8000/v1", |t| {
        url(t).map(drop)
    }),
    // hidden: it may hold a password
    Format::hidden("proxy-url", "a URL such as http://10.0.0.5:3128", |t| {
        proxy(t).map(drop)
    }),
    // hidden: a key may be written in its place
    Format::hidden("file-path", "the path of a file", |t| file(t).map(drop)),
    Format::new(
        "web-origin",
        "an origin such as https://app.example.com",
        |t| origin(t).map(drop),
    ),
    Format::new("socket-address", "an address such as 127.0.0.1:4100", |t| {
        address(t).map(drop)
    }),
    Format::new("header-name", "the name of a header", |t| {
        header_name(t).map(drop)
    }),
    Format::hidden("header-value", "the value of a header", |t| {
        header_value(t).map(drop)
    }),
    Format::new("provider-name", "the name of a provider", provider_name),
    Format::new("public-name", "a name", name),
    Format::new("name-pattern", "a name, which may end in `*`", pattern),
    Format::new(
        "upstream-model",
        "a model as its provider spells it",
        upstream_model,
    ),
    Format::hidden("secret-text", "a secret", secret),
    Format::hidden(
        "client-key",
        "a secret of at least 20 characters",
        client_key,
    ),
    // hidden: the address of a server would hold its password
    Format::hidden(
        "ledger-address",
        "an address such as sqlite:tollgate.db",
        |t| ledger(t).map(drop),
    ),
    Format::new("tag-name", "the name of a tag", tag_name),
    Format::new("tag-value", "the value of a tag", tag_value),
    Format::new("tag-match", "a tag such as team=a, or its name", |t| {
        tag_match(t).map(drop)
    }),
    Format::new("moment", "a moment such as 2027-01-31T18:00:00Z", |t| {
        moment(t).map(drop)
    }),
    Format::new("time-zone", "a time zone such as Europe/Berlin", |t| {
        time_zone(t).map(drop)
    }),
    Format::hidden("sha256-hex", "64 hexadecimal digits", |t| {
        sha256(t).map(drop)
    }),
];

/// Why a text does not have its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("a duration is a number with a unit, such as 250ms, 5s, 2m or 1h")]
    Duration,
    #[error("a duration is at most 30 days")]
    DurationTooLong,
    #[error("a size is a number with a unit, such as 500KiB, 32MiB or 1MB")]
    Size,
    #[error("the number is too large")]
    TooLarge,
    #[error("money is a decimal number such as \"0.25\", without sign, exponent or currency")]
    Money,
    #[error("at most {0} digits may stand after the point")]
    TooFine(u32),
    #[error("a URL is http:// or https://, a host, and a path")]
    Url,
    #[error("a URL must not hold a user name or password")]
    UrlUser,
    #[error("a base URL must not have a query or fragment")]
    UrlQuery,
    #[error("a base URL ends before the endpoint: leave out `{0}`")]
    UrlEndpoint(&'static str),
    #[error("a proxy is http:// and a host, with a port, a user name and a password where needed")]
    Proxy,
    #[error("a user name or password holds what must be written as `%` and two digits")]
    ProxyUser,
    #[error("the path of a file is expected here, not what it holds")]
    FileContent,
    #[error("an origin is http:// or https:// and a host, nothing after it, or `*`")]
    Origin,
    #[error("an address is an IP address and a port, such as 127.0.0.1:4100 or [::1]:4100")]
    Address,
    #[error("not a valid header name")]
    HeaderName,
    #[error("the gateway writes this header itself")]
    HeaderReserved,
    #[error("a header's value must be printable ASCII on one line")]
    HeaderValue,
    #[error(
        "a provider's name has 1 to 64 of a-z, 0-9, `.`, `_` and `-`, and begins with one of the \
         first two"
    )]
    ProviderName,
    #[error("a name has 1 to 256 printable ASCII characters without spaces")]
    Name,
    #[error("`*` may not stand here")]
    Star,
    #[error("`*` may stand only at the end")]
    StarInside,
    #[error("must not be empty")]
    Empty,
    #[error("a secret must be printable ASCII without spaces")]
    Secret,
    #[error("must have at least 20 characters")]
    ShortKey,
    #[error("a ledger is `none` or `sqlite:` and the path of a file")]
    Ledger,
    #[error("not supported yet")]
    NotYet,
    #[error(transparent)]
    Tag(TagError),
    #[error("a moment is a date such as 2027-01-31, or a time such as 2027-01-31T18:00:00Z")]
    Moment,
    #[error(
        "a time zone has a name of the IANA database, such as UTC, Europe/Berlin or Asia/Shanghai"
    )]
    TimeZone,
    #[error("a SHA-256 digest has 64 hexadecimal digits")]
    Sha256,
}

impl Format {
    const fn new(
        name: &'static str,
        what: &'static str,
        check: fn(&str) -> Result<(), TextError>,
    ) -> Self {
        Self {
            name,
            what,
            shown: true,
            check,
        }
    }

    const fn hidden(
        name: &'static str,
        what: &'static str,
        check: fn(&str) -> Result<(), TextError>,
    ) -> Self {
        Self {
            name,
            what,
            shown: false,
            check,
        }
    }

    /// The format of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        FORMATS.iter().find(|format| format.name == name)
    }
}

#[cfg(test)]
mod tests;
