//! Addresses, time limits, who is let in, retries and the breaker.
//!
//! Given the written sections, it fills in defaults and finds combinations that cannot work or
//! would serve strangers unasked.

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use super::Findings;
use crate::{
    certificates::Identity,
    config::{
        Admin, Auth, Breaker, Evidence, Key, Ledger, Limits, OnFailure, Retries, Series, Server,
        Store, Tls,
        mistake::Path,
        raw::{self, AuthKind, AuthMode, TimeSpan},
    },
};

/// How to mend a gateway that would serve strangers.
const OPEN_HINT: &str = "write an entry under `keys`, say `auth: { mode: [keys] }` if all keys are \
                         in the store, listen on 127.0.0.1, or say \
                         `auth: { mode: none, allow_open: true }`";

/// `server:` with its defaults.
pub(super) fn server(raw: raw::Server, findings: &mut Findings<'_>) -> Server {
    let path = Path::root().key("server");
    let default = Server::default();
    let server = Server {
        listen: raw.listen.map_or(default.listen, |address| address.0),
        max_body: raw.max_body.map_or(default.max_body, |size| size.0),
        max_connections: raw
            .max_connections
            .map_or(default.max_connections, NonZeroU32::get),
        max_buffered_answer: raw
            .max_buffered_answer
            .map_or(default.max_buffered_answer, |size| size.0),
        connect_timeout: time(raw.connect_timeout, default.connect_timeout),
        first_byte_timeout: raw.first_byte_timeout.map(|time| time.0),
        idle_timeout: time(raw.idle_timeout, default.idle_timeout),
        request_timeout: time(raw.request_timeout, default.request_timeout),
        keep_alive: time(raw.keep_alive, default.keep_alive),
        sse_keep_alive: time(raw.sse_keep_alive, default.sse_keep_alive),
        drain_delay: time(raw.drain_delay, default.drain_delay),
        drain_timeout: time(raw.drain_timeout, default.drain_timeout),
        cors_origins: raw.cors_origins.map_or_else(Vec::new, |list| {
            list.into_iter().map(|origin| origin.0).collect()
        }),
        tls: raw.tls.and_then(|raw| tls(raw, &path.key("tls"), findings)),
    };
    let first_byte = server.first_byte_timeout;
    let nonzero = [
        ("connect_timeout", Some(server.connect_timeout)),
        ("first_byte_timeout", first_byte),
        ("idle_timeout", Some(server.idle_timeout)),
        ("request_timeout", Some(server.request_timeout)),
        ("keep_alive", Some(server.keep_alive)),
    ];
    for (key, value) in nonzero {
        let path = path.key(key);
        match value {
            Some(Duration::ZERO) => findings.mistake(&path, "must be more than 0"),
            Some(value) if value > server.request_timeout && key != "keep_alive" => {
                let message = "longer than `request_timeout`, which ends the request first";
                findings.warning(&path, message, None);
            }
            Some(_) | None => {}
        }
    }
    if server.max_body == 0 {
        findings.mistake(&path.key("max_body"), "must be more than 0");
    }
    server
}

/// `server.tls`; `None` where there is a mistake.
fn tls(raw: raw::Tls, path: &Path, findings: &mut Findings<'_>) -> Option<Tls> {
    let raw::Tls { cert, key } = raw;
    let (cert_path, key_path) = (path.key("cert"), path.key("key"));
    let chain = findings.file(&cert_path, &cert.0);
    let secret = findings.file(&key_path, &key.0);
    let chain = Identity::chain(&chain?);
    let chain = chain.map_err(|error| findings.mistake(&cert_path, error.to_string()));
    let identity = Identity::new(chain.ok()?, &secret?);
    let identity = identity.map_err(|error| findings.mistake(&key_path, error.to_string()));
    let identity = identity.ok()?;
    if let Some(lapse) = identity.lapse(findings.env.now()) {
        findings.warning(&cert_path, format!("the certificate {lapse}"), None);
    }
    Some(Tls {
        cert: cert.0,
        key: key.0,
        identity,
    })
}

/// `admin:` with its defaults.
pub(super) fn admin(raw: raw::Admin, server: &Server, findings: &mut Findings<'_>) -> Admin {
    let admin = Admin {
        listen: raw
            .listen
            .map_or(Admin::default().listen, |address| address.0),
        key: raw.key.map(|key| key.0),
    };
    if collide(server.listen, admin.listen) {
        let path = Path::root().key("admin").key("listen");
        findings.mistake_with(
            &path,
            "the same address as `server.listen`",
            "take another port",
        );
    }
    admin
}

/// `store:` with its defaults.
pub(super) fn store(raw: raw::Store, findings: &mut Findings<'_>) -> Store {
    let default = Store::default();
    let store = Store {
        stated: raw.ledger.is_some(),
        ledger: raw.ledger.map_or(default.ledger, |ledger| ledger.0),
        on_failure: match raw.on_failure {
            None => default.on_failure,
            Some(raw::OnFailure::Serve) => OnFailure::Serve,
            Some(raw::OnFailure::Refuse) => OnFailure::Refuse,
        },
    };
    if store.ledger == Ledger::None && store.on_failure == OnFailure::Refuse {
        let path = Path::root().key("store").key("on_failure");
        findings.mistake(&path, "there is no ledger that could fail");
    }
    store
}

/// Who may call.
pub(super) fn auth(
    raw: &raw::Auth,
    server: &Server,
    (keys, store): (&[Key], &Store),
    findings: &mut Findings<'_>,
) -> Auth {
    let path = Path::root().key("auth");
    let mode = raw
        .mode
        .as_ref()
        .and_then(|mode| kind(mode, &path.key("mode"), findings));
    let allow_open = raw.allow_open.unwrap_or_default();
    let loopback = server.listen.ip().to_canonical().is_loopback();
    match mode {
        Some(AuthKind::None) if !loopback && !allow_open => {
            let message = "asks nobody for a key, and `server.listen` is not loopback";
            let hint = "add `allow_open: true` if strangers may use it, or listen on 127.0.0.1";
            findings.mistake_with(&path.key("mode"), message, hint);
        }
        Some(AuthKind::None) if !keys.is_empty() => {
            let message = "not used: `auth.mode` is `none`";
            findings.warning(&Path::root().key("keys"), message, None);
        }
        Some(AuthKind::None) => {}
        Some(AuthKind::Keys) if keys.is_empty() && store.ledger == Ledger::None => {
            let message = "nobody could call: no keys are written, and no store may have any";
            findings.mistake_with(&path.key("mode"), message, "write an entry under `keys`");
        }
        None if keys.is_empty() && !loopback => {
            let path = Path::root().key("server").key("listen");
            let message = "would serve strangers: not loopback, and no keys are written";
            findings.mistake_with(&path, message, OPEN_HINT);
        }
        Some(AuthKind::Keys) | None => {}
    }
    if allow_open && mode != Some(AuthKind::None) {
        findings.mistake(
            &path.key("allow_open"),
            "means nothing without `mode: none`",
        );
    }
    match mode {
        Some(AuthKind::None) => Auth::Open,
        Some(AuthKind::Keys) => Auth::Keys,
        None if keys.is_empty() => Auth::Open,
        None => Auth::Keys,
    }
}

/// `retries:` with its defaults.
pub(super) fn retries(raw: &raw::Retries) -> Retries {
    let default = Retries::default();
    Retries {
        attempts: raw.attempts.unwrap_or(default.attempts),
        budget_permille: raw
            .budget
            .map_or(default.budget_permille, |f| u32::from(f.0) / 10),
        max_wait: time(raw.max_wait, default.max_wait),
        after_send: raw.after_send.unwrap_or(default.after_send),
    }
}

/// `breaker:` with its defaults.
pub(super) fn breaker(raw: &raw::Breaker, findings: &mut Findings<'_>) -> Breaker {
    let default = Breaker::default();
    let breaker = Breaker {
        failures: raw.failures.unwrap_or(default.failures),
        window: time(raw.window, default.window),
        open: time(raw.open, default.open),
    };
    let path = Path::root().key("breaker");
    for (key, value) in [("window", breaker.window), ("open", breaker.open)] {
        if value.is_zero() {
            findings.mistake(&path.key(key), "must be more than 0");
        }
    }
    breaker
}

/// `metrics:` with its defaults.
pub(super) fn series(raw: &raw::Series) -> Series {
    let or = |written: Option<u32>, default| {
        written.map_or(default, |number| usize::try_from(number).unwrap_or(default))
    };
    let default = Series::default();
    Series {
        max_keys: or(raw.max_keys, default.max_keys),
        max_series: or(raw.max_series, default.max_series),
    }
}

/// `evidence:` with its defaults.
pub(super) fn evidence(raw: &raw::Evidence) -> Evidence {
    let default = Evidence::default();
    Evidence {
        feedback: raw.feedback.unwrap_or(default.feedback),
        verify: raw.verify.unwrap_or(default.verify),
        across_keys: raw.across_keys.unwrap_or(default.across_keys),
        decisions: raw.decisions.unwrap_or(default.decisions),
    }
}

fn time(written: Option<TimeSpan>, default: Duration) -> Duration {
    written.map_or(default, |time| time.0)
}

/// Would the second of two listeners fail? An unspecified address takes all of them.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let overlap = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && overlap
}

fn kind(mode: &AuthMode, path: &Path, findings: &mut Findings<'_>) -> Option<AuthKind> {
    match mode {
        AuthMode::One(kind) => Some(*kind),
        AuthMode::Several(kinds) => {
            let none = kinds.contains(&AuthKind::None);
            if kinds.is_empty() {
                findings.mistake_with(path, "must not be empty", "`[keys]`, or `none`");
            } else if none && kinds.len() > 1 {
                findings.mistake(path, "`none` cannot be combined with others");
            }
            if none {
                Some(AuthKind::None)
            } else {
                kinds.first().copied()
            }
        }
    }
}

/// A `limits:` block, wherever it stands.
pub(super) fn limits(raw: Option<raw::Limits>) -> Limits {
    raw.unwrap_or_default().into()
}

impl From<raw::Limits> for Limits {
    fn from(raw: raw::Limits) -> Self {
        Self {
            rpm: raw.rpm,
            tpm: raw.tpm,
            max_concurrent: raw.max_concurrent,
        }
    }
}
