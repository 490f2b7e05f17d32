//! What headers a request may have: its key, and nothing that a gateway should have kept.

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap};

use super::refusal::Refusal;

/// Names of headers that belong to the gateway or to its client, never to a provider.
const LEAKS: [&str; 3] = ["cookie", "proxy-authorization", "x-api-key"];

/// Refuses leaked headers, a foreign host (`hosts` empty: any host will do) and headers that
/// stand twice.
pub(crate) fn check(headers: &HeaderMap, hosts: &[String]) -> Result<(), Refusal> {
    let leak = headers
        .keys()
        .map(http::HeaderName::as_str)
        .find(|name| name.starts_with("x-tollgate-") || LEAKS.contains(name));
    if let Some(name) = leak {
        let message = format!("header '{name}' is not for a provider");
        return Err(Refusal::invalid(name, "unexpected_header", message));
    }
    for name in [HOST, AUTHORIZATION, CONTENT_TYPE] {
        if headers.get_all(&name).iter().nth(1).is_some() {
            let message = format!("header '{name}' is given twice");
            return Err(Refusal::invalid(name.as_str(), "invalid_header", message));
        }
    }
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("");
    if hosts.is_empty() || hosts.iter().any(|own| own.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    let message = format!("host '{host}' is not served here: {}", hosts.join(", "));
    Err(Refusal::invalid("host", "invalid_header", message))
}

/// Refuses a body that is not declared as JSON.
pub(crate) fn json(headers: &HeaderMap) -> Result<(), Refusal> {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let media = value.split(';').next().unwrap_or("").trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("expected content-type application/json, not '{value}'");
    Err(Refusal::invalid("content-type", "invalid_header", message))
}

/// The API key that a request carries.
pub(crate) fn api_key(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ")
}

/// Asks for one of `keys`; no keys: anyone may come.
pub(crate) fn key(headers: &HeaderMap, keys: &[String]) -> Result<(), Refusal> {
    if keys.is_empty() {
        return Ok(());
    }
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let message = match given.map(|value| value.strip_prefix("Bearer ")) {
        Some(Some(key)) if keys.iter().any(|known| known == key) => return Ok(()),
        Some(Some(_)) => "incorrect API key provided",
        Some(None) => "the authorization header must be 'Bearer KEY'",
        None => "you didn't provide an API key",
    };
    Err(Refusal::plain(
        StatusCode::UNAUTHORIZED,
        Some("invalid_api_key"),
        message,
    ))
}
