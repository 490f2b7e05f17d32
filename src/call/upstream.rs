//! What is known of each provider's addresses before a request comes: where it goes, with which
//! headers, and how busy each replica is.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, Entry, HOST, USER_AGENT},
    uri::Scheme,
};
use secrecy::ExposeSecret;

use super::{client::Prepared, pool::Pool};
use crate::{
    config::{Backend, OutputLimitField, Provider},
    understand::{Ask, Endpoint, endpoint::Shape, limits},
    wire::{body::Body, json::Object},
};

/// Headers of a client that are passed on: tracing, and beta features of the same dialect.
static FORWARDED: [HeaderName; 4] = [
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("openai-beta"),
];
/// What most requests hold, and most answers.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What asks a stream for usage.
const INCLUDE_USAGE: &[u8] = br#"{"include_usage":true}"#;

/// One provider, ready to be called.
#[derive(Debug)]
pub struct Upstream {
    replicas: Vec<Replica>,
    /// Several keys.
    pool: Option<Pool>,
    /// Where the search for the least busy replica begins, so that equals take turns.
    turn: AtomicUsize,
}

/// One address.
#[derive(Debug)]
struct Replica {
    /// Of each endpoint, in their order.
    addresses: Vec<Uri>,
    /// Of every request: with the host, and with the key, where there is one alone.
    headers: HeaderMap,
    inflight: Arc<AtomicU32>,
}

/// How much a replica wants a conversation: the one that wants it most is the same for each of its
/// turns, and stays so for most conversations when the last replicas come or go (rendezvous hashing).
fn spread(conversation: u64, replica: usize) -> u64 {
    let mixed = (conversation ^ (replica as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb)
}

/// Counts one call on a replica until it is dropped.
#[derive(Debug)]
pub struct Busy {
    inflight: Arc<AtomicU32>,
    /// Which replica it is.
    pub replica: usize,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.inflight.fetch_sub(1, Relaxed);
    }
}

impl Upstream {
    /// Prepares a provider of the configuration.
    #[must_use]
    pub fn of(provider: &Provider) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, JSON);
        headers.insert(CONTENT_TYPE, JSON);
        let agent = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let pool = Pool::of(&provider.api_keys);
        let only = provider.api_keys.first().filter(|_| pool.is_none());
        if let Some(key) = only {
            let value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()));
            if let Ok(mut value) = value {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        }
        for (name, value) in &provider.headers {
            headers.insert(name.clone(), value.clone());
        }
        let replica = |base| Replica::of(base, headers.clone());
        Self {
            replicas: provider.base_urls.iter().filter_map(replica).collect(),
            pool,
            turn: AtomicUsize::new(0),
        }
    }

    /// The same, with what was known of those of its keys that stood in `before` too.
    #[must_use]
    pub fn knowing(self, before: &Self) -> Self {
        let pool = match (self.pool, &before.pool) {
            (Some(pool), Some(before)) => Some(pool.knowing(before)),
            (pool, _) => pool,
        };
        Self { pool, ..self }
    }

    /// Its keys, where they are several.
    #[must_use]
    pub fn pool(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    /// Takes the replica of a conversation, or else the least busy one; not `avoid`, where there is
    /// another.
    pub fn take(&self, avoid: Option<usize>, conversation: Option<u64>) -> Option<Busy> {
        let number = self.replicas.len();
        let load = |i: usize| self.replicas.get(i).map(|r| r.inflight.load(Relaxed));
        let own = conversation
            .filter(|_| number > 1)
            .and_then(|conversation| {
                let own = (0..number).max_by_key(|replica| spread(conversation, *replica))?;
                let all: u64 = (0..number).filter_map(load).map(u64::from).sum();
                // within a quarter of the mean, and one more so that few calls are no load
                let most = all.saturating_mul(5) / (4 * number as u64) + 1;
                (Some(own) != avoid && u64::from(load(own)?) <= most).then_some(own)
            });
        let turn = self.turn.fetch_add(1, Relaxed);
        let free = own.or_else(|| {
            (0..number)
                .map(|i| turn.wrapping_add(i) % number)
                .filter(|i| number == 1 || Some(*i) != avoid)
                .min_by_key(|i| load(*i))
        })?;
        let inflight = Arc::clone(&self.replicas.get(free)?.inflight);
        inflight.fetch_add(1, Relaxed);
        Some(Busy {
            inflight,
            replica: free,
        })
    }

    /// The request as it goes to a replica.
    pub fn prepare(
        &self,
        busy: &Busy,
        ask: &Ask,
        forwarded: &HeaderMap,
        body: &Body,
    ) -> Option<Prepared> {
        let replica = self.replicas.get(busy.replica)?;
        let uri = replica.addresses.get(ask.endpoint as usize)?.clone();
        let mut headers = replica.headers.clone();
        let accept = match ask.endpoint.traits().answer {
            _ if ask.stream => Some("text/event-stream"),
            Shape::Choices | Shape::Members(_) => None,
            Shape::Text | Shape::Bytes => Some("*/*"),
        };
        if let Some(accept) = accept {
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
        }
        if let Body::Form(form) = body {
            let content_type = HeaderValue::from_str(form.content_type());
            headers.insert(CONTENT_TYPE, content_type.ok()?);
        }
        for (name, value) in forwarded {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        Some(Prepared {
            uri,
            headers,
            body: body.slices(),
        })
    }
}

impl Replica {
    fn of(base: &Uri, mut headers: HeaderMap) -> Option<Self> {
        if let (Entry::Vacant(vacant), Some(host)) = (headers.entry(HOST), host(base)) {
            vacant.insert(host);
        }
        let path = base.path().trim_end_matches('/');
        let address = |endpoint: Endpoint| {
            let mut parts = base.clone().into_parts();
            let path = format!("{path}{}", endpoint.upstream_path());
            parts.path_and_query = Some(path.parse().ok()?);
            Uri::from_parts(parts).ok()
        };
        Some(Self {
            addresses: Endpoint::ALL
                .into_iter()
                .map(address)
                .collect::<Option<_>>()?,
            headers,
            inflight: Arc::default(),
        })
    }
}

/// The value of `Host`: the port stands there unless it is the usual one.
fn host(uri: &Uri) -> Option<HeaderValue> {
    let usual = if uri.scheme() == Some(&Scheme::HTTPS) {
        443
    } else {
        80
    };
    let host = uri.host()?;
    let value = match uri.port_u16().filter(|port| *port != usual) {
        Some(port) => HeaderValue::try_from(format!("{host}:{port}")),
        None => HeaderValue::from_str(host),
    };
    value.ok()
}

/// The headers of a client that are passed on.
#[must_use]
pub fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in &FORWARDED {
        if let Some(value) = headers.get(name) {
            kept.insert(name, value.clone());
        }
    }
    kept
}

/// The body for one backend: its own model name, its spelling of the output limit, and usage asked
/// for in every stream; and the output limit that there is money for, where there is one and the
/// client set none. Everything else stays the client's bytes.
#[must_use]
pub fn body_for(
    ask: &Ask,
    provider: &Provider,
    backend: &Backend,
    max_output: Option<u64>,
) -> Body {
    let mut body = ask.body.clone();
    if ask.model != *backend.upstream_model {
        body.set_text("model", &backend.upstream_model);
    }
    let traits = ask.endpoint.traits();
    let Body::Json(json) = &mut body else {
        return body;
    };
    // only chat has two spellings
    let field = match ask.endpoint {
        Endpoint::ChatCompletions => provider.output_limit_field,
        _ => OutputLimitField::AsSent,
    };
    limits::respell(json, field);
    if let Some(tokens) = max_output.filter(|_| traits.purpose.writes_text()) {
        limits::set(json, field, tokens);
    }
    if ask.stream && !ask.wants_usage && traits.answer == Shape::Choices {
        ask_for_usage(json);
    }
    body
}

/// Asks for usage in a stream.
fn ask_for_usage(body: &mut Object) {
    let options = body.get("stream_options").filter(|raw| *raw != "null");
    let nested = options.map(|raw| Object::parse(Bytes::copy_from_slice(raw.as_bytes())));
    match nested {
        Some(Ok(mut options)) => {
            options.set("include_usage", &b"true"[..]);
            body.set("stream_options", options.to_bytes());
        }
        _ => body.set("stream_options", INCLUDE_USAGE),
    }
}

#[cfg(test)]
mod tests;
