//! Lets through who has the admin key of this moment, and slows down who guesses.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use governor::{DefaultKeyedRateLimiter, Quota};
use http::{HeaderMap, header::AUTHORIZATION};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::refusal::Refusal;
use crate::{accept::respond, authenticate::AuthError, state::App};

/// Wrong admin keys that one address may send in a minute.
const WRONG_KEYS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// Addresses after which those that have been quiet are forgotten.
const MANY_ADDRESSES: usize = 10_000;

/// The address of the client, given by the listener.
#[derive(Clone, Copy, Debug)]
pub(in crate::accept) struct Peer(pub(in crate::accept) SocketAddr);

/// Guards what only the operator may see.
#[derive(Debug)]
pub(super) struct Guard {
    app: Arc<App>,
    wrong: DefaultKeyedRateLimiter<IpAddr>,
}

impl Guard {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self {
            app,
            wrong: DefaultKeyedRateLimiter::keyed(Quota::per_minute(WRONG_KEYS)),
        }
    }

    /// Is it the key of the configuration that is in effect?
    fn knows(&self, sent: &str) -> bool {
        let world = self.app.world();
        let key = world.config.admin.key.as_ref();
        key.is_some_and(|key| {
            // digests have one length, and tell nothing by the time it takes to compare them
            let (key, sent) = (key.expose_secret(), sent.trim());
            let digests = (Sha256::digest(key), Sha256::digest(sent));
            digests.0.as_slice().ct_eq(digests.1.as_slice()).into()
        })
    }
}

/// Lets through who has the admin key; who guesses is soon not even answered.
pub(super) async fn only_operator(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let sent = bearer(request.headers());
    if sent.is_some_and(|sent| guard.knows(sent)) {
        return next.run(request).await;
    }
    let address = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    if guard.wrong.len() > MANY_ADDRESSES {
        guard.wrong.retain_recent();
    }
    if address.is_some_and(|address| guard.wrong.check_key(&address).is_err()) {
        return Refusal::TooManyGuesses.respond();
    }
    let error = if sent.is_some() {
        AuthError::Wrong
    } else {
        AuthError::Missing
    };
    respond::error(&error.into())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key)
}
