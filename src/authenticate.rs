//! Authenticate: from the headers of a request to who is calling.
//!
//! Keys are known by their SHA-256 only, looked up by it and compared in constant time, before
//! anything else of a request is read. Where no key is asked for, on loopback, a request must not
//! come from a web page: a page in the user's browser could otherwise spend the user's money.

pub mod format;

use std::{collections::HashSet, fmt, sync::Arc};

use dashmap::DashMap;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN},
    uri::Authority,
};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::{Auth, Budget, Config, Key, Limits, May, Policy, Tags};

/// The header in which Anthropic's clients send their key.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Who is calling, and what they may use.
#[derive(Debug, Default)]
pub struct Principal {
    /// The key's id in configuration, logs and metrics; `None`: nobody was asked for a key.
    pub id: Option<Arc<str>>,
    /// Model names, or patterns with one trailing `*`; `None`: every model.
    models: Option<Vec<Arc<str>>>,
    /// What they may ask for in a minute and at once.
    pub limits: Limits,
    /// What they may spend; `None`: unlimited.
    pub budget: Option<Budget>,
    /// From then on the key is not accepted; `None`: always.
    pub expires: Option<Timestamp>,
    /// What spend is told apart by, whatever a request says.
    pub tags: Option<Arc<Tags>>,
    /// Which backends may serve them; `None`: all.
    pub policy: Option<Arc<Policy>>,
    /// What their requests may say otherwise than their route.
    may: May,
}

/// Who calls, as far as the configuration can tell.
#[derive(Debug)]
pub enum Caller {
    /// Somebody whom the configuration knows.
    Known(Arc<Principal>),
    /// Somebody whose key may stand in the store: its SHA-256.
    Stranger([u8; 32]),
}

/// The keys that the configuration accepts, by digest.
pub struct Keys {
    by_digest: DashMap<[u8; 32], Arc<Principal>>,
    ids: HashSet<Arc<str>>,
    anybody: Arc<Principal>,
    auth: Auth,
    /// Must a request prove that no web page made it?
    guard_pages: bool,
    /// Origins of pages that the operator lets in.
    origins: Vec<HeaderValue>,
}

/// Why a caller is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("no API key was sent; send it as `Authorization: Bearer <key>`")]
    Missing,
    #[error("the API key is not valid")]
    Wrong,
    #[error("the API key has expired")]
    Expired,
    #[error("the API key was revoked")]
    Revoked,
    #[error("the API key was replaced by a newer one of the same holder, and its time is over")]
    Replaced,
    #[error("whether the API key is valid can't be found out now")]
    Unreadable,
    #[error("`authorization` and `x-api-key` hold different keys; send one of them")]
    TwoKeys,
    #[error("without keys, only requests to localhost, 127.0.0.1 or [::1] are answered")]
    ForeignHost,
    #[error("without keys, requests of web pages from other origins are not answered")]
    ForeignOrigin,
    #[error("without keys, a body must be sent as application/json or multipart/form-data")]
    ContentType,
}

impl Principal {
    /// A caller that nobody asked for a key: may use every model.
    #[must_use]
    pub fn anybody() -> Self {
        Self::default()
    }

    /// The holder of a key.
    #[must_use]
    pub fn new(id: Arc<str>, models: Option<Vec<Arc<str>>>) -> Self {
        Self {
            id: Some(id),
            models,
            ..Self::default()
        }
    }

    /// The holder of a key of the configuration.
    #[must_use]
    pub fn of(key: &Key) -> Self {
        Self {
            id: Some(key.id.clone()),
            models: key.models.clone(),
            limits: key.limits,
            budget: key.budget,
            expires: key.expires,
            tags: key.tags.clone(),
            policy: key.policy.clone(),
            may: key.may,
        }
    }

    /// What they may use, as it is written: names, or patterns with one trailing `*`; `None`: every
    /// model.
    #[must_use]
    pub fn models(&self) -> Option<&[Arc<str>]> {
        self.models.as_deref()
    }

    /// Is the key accepted no more?
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// May a request say what is minimised? Whoever is not asked for a key may.
    #[must_use]
    pub fn may_choose_objective(&self) -> bool {
        self.id.is_none() || self.may.objective
    }

    /// May this caller use a model of that name?
    #[must_use]
    pub fn may_use(&self, name: &str) -> bool {
        self.models.as_ref().is_none_or(|models| {
            models
                .iter()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(prefix) => name.starts_with(prefix),
                    None => **pattern == *name,
                })
        })
    }
}

impl Keys {
    /// The keys of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let by_digest = DashMap::with_capacity(config.keys.len());
        for key in &config.keys {
            by_digest.insert(key.sha256, Arc::new(Principal::of(key)));
        }
        let guard_pages = config.auth == Auth::Open && config.server.listen.ip().is_loopback();
        Self {
            by_digest,
            ids: config.keys.iter().map(|key| key.id.clone()).collect(),
            anybody: Arc::new(Principal::anybody()),
            auth: config.auth,
            guard_pages,
            origins: config.server.cors_origins.clone(),
        }
    }

    /// Does the configuration have a key of that id?
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// The caller with that id, for explaining what they would get.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<Arc<Principal>> {
        let mut all = self.by_digest.iter();
        all.find(|entry| entry.id.as_deref() == Some(id))
            .map(|entry| Arc::clone(&entry))
    }

    /// Finds out who is calling at `now`. `authority` is that of the request's URI, if it has one.
    ///
    /// # Errors
    /// If the key is missing, or wrong whatever the store has, or a web page may have made the request.
    pub fn identify(
        &self,
        method: &Method,
        authority: Option<&Authority>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Caller, AuthError> {
        let anybody = || Ok(Caller::Known(Arc::clone(&self.anybody)));
        match self.auth {
            Auth::Open if self.guard_pages => {
                refuse_pages(method, authority, headers, &self.origins)?;
                anybody()
            }
            Auth::Open => anybody(),
            Auth::Keys => self.holder(key(headers)?, now),
        }
    }

    fn holder(&self, secret: &[u8], now: Timestamp) -> Result<Caller, AuthError> {
        let digest: [u8; 32] = Sha256::digest(secret).into();
        let Some(found) = self.by_digest.get(&digest) else {
            let stranger = format::is_whole(secret).then_some(Caller::Stranger(digest));
            return stranger.ok_or(AuthError::Wrong);
        };
        // the map compared by equality, in a time that tells nothing but digests; this one decides
        if !bool::from(found.key().ct_eq(&digest)) {
            Err(AuthError::Wrong)
        } else if found.is_expired(now) {
            Err(AuthError::Expired)
        } else {
            Ok(Caller::Known(Arc::clone(&found)))
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("auth", &self.auth)
            .field("number", &self.by_digest.len())
            .finish()
    }
}

/// The key that a request carries.
fn key(headers: &HeaderMap) -> Result<&[u8], AuthError> {
    let bearer = single(headers, &AUTHORIZATION)?.and_then(bearer);
    let plain = single(headers, &X_API_KEY)?.map(HeaderValue::as_bytes);
    match (bearer, plain) {
        (Some(a), Some(b)) if a != b => Err(AuthError::TwoKeys),
        (a, b) => a
            .or(b)
            .filter(|key| !key.is_empty())
            .ok_or(AuthError::Missing),
    }
}

/// A header that must not stand there twice with different values.
fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a HeaderValue>, AuthError> {
    let mut all = headers.get_all(name).iter();
    let first = all.next();
    if all.any(|other| Some(other) != first) {
        Err(AuthError::TwoKeys)
    } else {
        Ok(first)
    }
}

fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, key) = value.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| key.trim_ascii())
}

/// Turns away what a web page could have sent: pages can't choose `Host`, can't hide `Origin`, and
/// can't send JSON to another origin without asking first.
fn refuse_pages(
    method: &Method,
    authority: Option<&Authority>,
    headers: &HeaderMap,
    origins: &[HeaderValue],
) -> Result<(), AuthError> {
    let from_header = || headers.get(HOST).and_then(|host| host.to_str().ok());
    let host = authority.map(Authority::as_str).or_else(from_header);
    if !host.is_some_and(is_local) {
        return Err(AuthError::ForeignHost);
    }
    let let_in = |origin: &HeaderValue| origins.iter().any(|one| one == "*" || one == origin);
    if let Some(origin) = headers.get(ORIGIN).filter(|origin| !let_in(origin)) {
        let origin = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"));
        if !origin.is_some_and(|(_, host)| is_local(host)) {
            return Err(AuthError::ForeignOrigin);
        }
    }
    let bodiless = method == Method::GET || method == Method::HEAD || method == Method::OPTIONS;
    if !bodiless && !is_json_or_multipart(headers.get(CONTENT_TYPE)) {
        return Err(AuthError::ContentType);
    }
    Ok(())
}

/// Is it this machine by a name that no DNS answer can point elsewhere? With or without port.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]"
}

fn is_json_or_multipart(content_type: Option<&HeaderValue>) -> bool {
    let Some(text) = content_type.and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    let sub = essence.rsplit_once('+').map(|(_, suffix)| suffix);
    essence.eq_ignore_ascii_case("application/json")
        || sub.is_some_and(|suffix| suffix.eq_ignore_ascii_case("json"))
        || essence.eq_ignore_ascii_case("multipart/form-data")
}

#[cfg(test)]
mod tests;
