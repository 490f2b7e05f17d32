//! The functions that read them. None repeats its text in an error.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::TextError;
use crate::{
    config::{Ledger, tags},
    money::{MoneyError, Rate, Usd},
};

/// The longest duration that makes sense anywhere: 30 days.
const MAX_DURATION: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest name of a model, route or key, in characters.
const MAX_NAME: usize = 256;
/// The longest name of a provider, in characters.
const MAX_PROVIDER_NAME: usize = 64;
/// The shortest secret that a client key may be, in characters.
const MIN_CLIENT_KEY: usize = 20;
/// Headers that belong to one connection (RFC 9110, section 7.6.1) or are the gateway's to write.
const RESERVED_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads `5s`, `250ms`, `2m`, `1h` or `0`.
///
/// # Errors
/// No or an unknown unit, a sign, a fraction, or more than 30 days.
pub fn duration(text: &str) -> Result<Duration, TextError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (number, unit) = number_and_unit(text).ok_or(TextError::Duration)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(TextError::Duration),
    };
    let number: u64 = number.parse().map_err(|_| TextError::DurationTooLong)?;
    let millis = number
        .checked_mul(millis)
        .ok_or(TextError::DurationTooLong)?;
    let duration = Duration::from_millis(millis);
    if duration > MAX_DURATION {
        Err(TextError::DurationTooLong)
    } else {
        Ok(duration)
    }
}

/// Reads bytes: `32MiB`, `1MB`, `500KiB`, `1024`.
///
/// # Errors
/// An unknown unit, a sign, a fraction, or more than 64 bits hold.
pub fn size(text: &str) -> Result<u64, TextError> {
    let (number, unit) = number_and_unit(text).ok_or(TextError::Size)?;
    let bytes: u64 = match unit {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(TextError::Size),
    };
    let number: u64 = number.parse().map_err(|_| TextError::TooLarge)?;
    number.checked_mul(bytes).ok_or(TextError::TooLarge)
}

/// Reads dollars.
///
/// # Errors
/// Not a plain decimal, too fine or too large.
pub fn money(text: &str) -> Result<Usd, TextError> {
    text.parse().map_err(|error| money_error(&error))
}

/// Reads dollars per 1,000,000 units.
///
/// # Errors
/// Not a plain decimal, too fine or too large.
pub fn price(text: &str) -> Result<Rate, TextError> {
    text.parse().map_err(|error| money_error(&error))
}

/// Reads a base URL and takes off its trailing slashes.
///
/// # Errors
/// Not http or https, no host, or with user, query, fragment or an endpoint's path.
pub fn url(text: &str) -> Result<Uri, TextError> {
    if text.contains('#') {
        return Err(TextError::UrlQuery);
    }
    let text = text.trim_end_matches('/');
    let uri: Uri = text.parse().map_err(|_| TextError::Url)?;
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(TextError::Url);
    };
    if authority.as_str().contains('@') {
        return Err(TextError::UrlUser);
    }
    let port = authority.as_str().strip_prefix(authority.host());
    let port_ok = port.is_some_and(|port| port.is_empty() || authority.port_u16().is_some());
    if authority.host().is_empty() || !port_ok {
        return Err(TextError::Url);
    }
    if uri.query().is_some() {
        return Err(TextError::UrlQuery);
    }
    for endpoint in [
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/responses",
    ] {
        if uri.path().ends_with(endpoint) {
            return Err(TextError::UrlEndpoint(endpoint));
        }
    }
    Ok(uri)
}

/// Reads the path of a file; a relative one begins at the folder that the program runs in.
///
/// # Errors
/// Empty, or the content of a file in its place.
pub fn file(text: &str) -> Result<PathBuf, TextError> {
    match text {
        "" => Err(TextError::Empty),
        text if text.contains("-----BEGIN") || text.contains('\n') => Err(TextError::FileContent),
        text => Ok(text.into()),
    }
}

/// Reads what a browser sends as `Origin`, or `*`.
///
/// # Errors
/// Anything after the host and port.
pub fn origin(text: &str) -> Result<HeaderValue, TextError> {
    let plain = text == "*" || {
        let uri = url(text).map_err(|_| TextError::Origin)?;
        matches!(uri.path(), "" | "/") && !text.ends_with('/')
    };
    let value = HeaderValue::from_str(text).map_err(|_| TextError::Origin)?;
    if plain {
        Ok(value)
    } else {
        Err(TextError::Origin)
    }
}

/// Reads an IP address with a port.
///
/// # Errors
/// A host name, or no port.
pub fn address(text: &str) -> Result<SocketAddr, TextError> {
    text.parse().map_err(|_| TextError::Address)
}

/// Reads the name of a header that an operator may set.
///
/// # Errors
/// Not a token, or a header that belongs to the connection or to the gateway.
pub fn header_name(text: &str) -> Result<HeaderName, TextError> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| TextError::HeaderName)?;
    let ours = name.as_str().starts_with("x-tollgate-");
    if ours || RESERVED_HEADERS.contains(&name.as_str()) {
        return Err(TextError::HeaderReserved);
    }
    Ok(name)
}

/// Reads the value of a header; it is marked sensitive, because it may hold a secret.
///
/// # Errors
/// Control characters, or not ASCII.
pub fn header_value(text: &str) -> Result<HeaderValue, TextError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| TextError::HeaderValue)?;
    if text.trim() != text {
        return Err(TextError::HeaderValue);
    }
    value.set_sensitive(true);
    Ok(value)
}

/// Reads a digest.
///
/// # Errors
/// Not 64 hexadecimal digits.
pub fn sha256(text: &str) -> Result<[u8; 32], TextError> {
    let mut digest = [0; 32];
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits
        .filter(|digits| digits.len() == 64)
        .ok_or(TextError::Sha256)?;
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().fold(0, |byte, digit| byte << 4 | digit);
    }
    Ok(digest)
}

/// Reads a moment: a time with its offset, or a date, which is its beginning in UTC.
///
/// # Errors
/// Neither.
pub fn moment(text: &str) -> Result<Timestamp, TextError> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    // jiff would also take the date out of a time that has no offset
    let date = text.parse::<Date>().ok().filter(|_| text.len() == 10);
    let midnight = date.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    midnight
        .map(|midnight| midnight.timestamp())
        .ok_or(TextError::Moment)
}

/// Reads the name of a time zone.
///
/// # Errors
/// There is none of that name.
pub fn time_zone(text: &str) -> Result<TimeZone, TextError> {
    if text == "UTC" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(text).map_err(|_| TextError::TimeZone)
}

/// Reads where the ledger is kept: `none`, or `sqlite:` and a path.
///
/// # Errors
/// Another kind, or no path.
pub fn ledger(text: &str) -> Result<Ledger, TextError> {
    let known = |kind: &str| text.split(':').next() == Some(kind);
    if text == "none" {
        return Ok(Ledger::None);
    }
    if known("postgres") || known("postgresql") {
        return Err(TextError::NotYet);
    }
    let path = text.strip_prefix("sqlite:").ok_or(TextError::Ledger)?;
    // `sqlite://path` is how others write it; `:memory:` and `?options` would be no ledger
    let path = path.strip_prefix("//").unwrap_or(path);
    let is_file = !path.is_empty() && !path.ends_with('/') && !path.starts_with(':');
    if is_file && !path.contains(['?', '\0']) {
        Ok(Ledger::Sqlite(path.into()))
    } else {
        Err(TextError::Ledger)
    }
}

pub(super) fn tag_name(text: &str) -> Result<(), TextError> {
    tags::check_name(text).map_err(TextError::Tag)
}

/// The name of a tag, and a value where one stands behind `=`.
///
/// # Errors
/// If either breaks the bounds of tags.
pub fn tag_match(text: &str) -> Result<(String, Option<String>), TextError> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    tag_name(name)?;
    value.map_or(Ok(()), tag_value)?;
    Ok((name.to_owned(), value.map(str::to_owned)))
}

pub(super) fn tag_value(text: &str) -> Result<(), TextError> {
    tags::check_value(text).map_err(TextError::Tag)
}

pub(super) fn provider_name(text: &str) -> Result<(), TextError> {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let begins = text.bytes().next().is_some_and(letter);
    let rest = text.bytes().all(|b| letter(b) || b"._-".contains(&b));
    let fits = begins && rest && text.len() <= MAX_PROVIDER_NAME;
    if fits {
        Ok(())
    } else {
        Err(TextError::ProviderName)
    }
}

pub(super) fn name(text: &str) -> Result<(), TextError> {
    // names are answered in headers: what is not printable ASCII could not be
    let printable = text.bytes().all(|b| b.is_ascii_graphic());
    match text {
        _ if text.is_empty() || text.len() > MAX_NAME || !printable => Err(TextError::Name),
        _ if text.contains('*') => Err(TextError::Star),
        _ => Ok(()),
    }
}

pub(super) fn pattern(text: &str) -> Result<(), TextError> {
    match text.strip_suffix('*').unwrap_or(text) {
        "" if text == "*" => Ok(()),
        prefix => name(prefix).map_err(|error| match error {
            TextError::Star => TextError::StarInside,
            other => other,
        }),
    }
}

pub(super) fn upstream_model(text: &str) -> Result<(), TextError> {
    // some servers name models after files, whose names may hold spaces
    let printable = text.trim() == text && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    name(&text.replace(' ', "_")).and(if printable {
        Ok(())
    } else {
        Err(TextError::Name)
    })
}

pub(super) fn secret(text: &str) -> Result<(), TextError> {
    match text {
        "" => Err(TextError::Empty),
        _ if text.bytes().all(|b| b.is_ascii_graphic()) => Ok(()),
        _ => Err(TextError::Secret),
    }
}

pub(super) fn client_key(text: &str) -> Result<(), TextError> {
    secret(text)?;
    if text.len() < MIN_CLIENT_KEY {
        Err(TextError::ShortKey)
    } else {
        Ok(())
    }
}

fn number_and_unit(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at_checked(end)
        .filter(|(number, _)| !number.is_empty())
}

fn money_error(error: &MoneyError) -> TextError {
    match error {
        MoneyError::Syntax(_) => TextError::Money,
        MoneyError::TooFine { digits, .. } => TextError::TooFine(*digits),
        MoneyError::TooLarge(_) => TextError::TooLarge,
    }
}
