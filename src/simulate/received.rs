//! The latest requests as they came in, byte for byte, for tests of what a gateway sends.
//!
//! A ring of slots, each behind its own lock: recording takes an atomic and an uncontended lock.
//! Bodies over a limit are kept as length and digest only, so that the ring's memory is bounded.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, Uri};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::embedding::base64;

/// Bodies up to this are copied out of the connection's read buffer, which can then be used again.
const COPY_UP_TO: usize = 16 * 1024;
/// Hex digits of a digest that are shown.
const DIGEST_DIGITS: usize = 16;

/// A request as it was received.
#[derive(Debug)]
pub struct Received {
    /// Counts from 0 in the order of arrival.
    pub number: u64,
    /// The connection it came on, counted from 0 in the order of acceptance.
    pub connection: u64,
    /// The method.
    pub method: Method,
    /// Path and query as they were sent.
    pub uri: Uri,
    /// All headers; values of `authorization` are marked sensitive.
    pub headers: HeaderMap,
    /// The body; `None` where it was larger than `Options::keep_body`.
    pub body: Option<Bytes>,
    /// Bytes of the body.
    pub body_length: usize,
    /// SHA-256 of a body that was not kept, in hex.
    pub body_sha256: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    number: u64,
    connection: u64,
    method: &'a str,
    uri: String,
    headers: Vec<(&'a str, String)>,
    body_length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_sha256: Option<&'a str>,
}

/// The latest requests.
#[derive(Debug)]
pub(crate) struct Ring {
    slots: Box<[Mutex<Option<Arc<Received>>>]>,
    next: AtomicU64,
    keep_body: usize,
}

impl Ring {
    /// Keeps `requests` requests, and of each a body of up to `keep_body` bytes.
    pub(crate) fn new(requests: usize, keep_body: usize) -> Self {
        let slots = (0..requests).map(|_| Mutex::default()).collect();
        Self {
            slots,
            next: AtomicU64::new(0),
            keep_body,
        }
    }

    /// Records a request and gives it back.
    pub(crate) fn record(
        &self,
        head: http::request::Parts,
        connection: u64,
        body: &Bytes,
    ) -> Arc<Received> {
        let number = self.next.fetch_add(1, Relaxed);
        let keep = body.len() <= self.keep_body;
        let mut headers = head.headers;
        for (name, value) in headers.iter_mut() {
            if name == AUTHORIZATION {
                value.set_sensitive(true);
            }
        }
        let kept = || match body.len() {
            0..=COPY_UP_TO => Bytes::copy_from_slice(body),
            _ => body.clone(),
        };
        let received = Arc::new(Received {
            number,
            connection,
            method: head.method,
            uri: head.uri,
            headers,
            body: keep.then(kept),
            body_length: body.len(),
            body_sha256: (!keep).then(|| digest(body)),
        });
        if let Some(slot) = self.slot(number) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&received));
        }
        received
    }

    /// The last `count` requests, oldest first.
    pub(crate) fn last(&self, count: usize) -> Vec<Arc<Received>> {
        let mut all: Vec<Arc<Received>> = self
            .slots
            .iter()
            .filter_map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .collect();
        all.sort_by_key(|received| received.number);
        let surplus = all.len().saturating_sub(count);
        all.split_off(surplus)
    }

    /// Forgets all requests; numbers go on.
    pub(crate) fn clear(&self) {
        for slot in &self.slots {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn slot(&self, number: u64) -> Option<&Mutex<Option<Arc<Received>>>> {
        let slots = u64::try_from(self.slots.len()).ok()?;
        self.slots
            .get(usize::try_from(number.checked_rem(slots)?).ok()?)
    }
}

/// The JSON of `/sim/requests`.
pub(crate) fn to_json(received: &[Arc<Received>]) -> Vec<u8> {
    let shown: Vec<Shown<'_>> = received.iter().map(|received| shown(received)).collect();
    // strings and numbers alone: this cannot fail
    serde_json::to_vec(&serde_json::json!({ "simulated": true, "requests": shown }))
        .unwrap_or_default()
}

fn shown(received: &Received) -> Shown<'_> {
    let headers = received.headers.iter().map(|(name, value)| {
        let text = if name == AUTHORIZATION {
            let digest = digest(value.as_bytes());
            format!("sha256:{}", digest.get(..DIGEST_DIGITS).unwrap_or(&digest))
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        (name.as_str(), text)
    });
    let text = received.body.as_ref().map(|body| std::str::from_utf8(body));
    Shown {
        number: received.number,
        connection: received.connection,
        method: received.method.as_str(),
        uri: received.uri.to_string(),
        headers: headers.collect(),
        body_length: received.body_length,
        body: text.and_then(Result::ok),
        body_base64: match (text, &received.body) {
            (Some(Err(_)), Some(body)) => Some(base64(body)),
            _ => None,
        },
        body_sha256: received.body_sha256.as_deref(),
    }
}

/// SHA-256 in lower-case hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
