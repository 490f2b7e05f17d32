//! The console: a page for the operator, built into the program.
//!
//! It holds no data. What it shows it asks for like anybody else, with the admin key, so it is
//! served without one. Its headers let it load nothing from elsewhere, run nothing that is not in
//! these files, and stand in nobody's frame.

use axum::{
    Router,
    body::{Body, Bytes},
    response::Response,
    routing::get,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use sha2::{Digest, Sha256};

use crate::accept::respond::Shared;

/// A file of the console.
#[derive(Debug)]
struct Asset {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// Scripts and styles from this address only, no inline ones, and no text that becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// What stands on every file beside its type and tag.
const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    // asked for each time, so that a new version is never mixed with files of the old one
    (CACHE_CONTROL, "no-cache"),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! asset {
    ($path:literal, $kind:expr, $file:literal) => {
        Asset {
            path: $path,
            kind: $kind,
            bytes: include_bytes!(concat!("console/", $file)),
        }
    };
}

static ASSETS: [Asset; 20] = [
    asset!("/", HTML, "index.html"),
    asset!("/console/style.css", CSS, "style.css"),
    asset!("/console/icon.svg", SVG, "icon.svg"),
    asset!("/console/app.js", SCRIPT, "app.js"),
    asset!("/console/api.js", SCRIPT, "api.js"),
    asset!("/console/dom.js", SCRIPT, "dom.js"),
    asset!("/console/chart.js", SCRIPT, "chart.js"),
    asset!("/console/money.js", SCRIPT, "money.js"),
    asset!("/console/format.js", SCRIPT, "format.js"),
    asset!("/console/prometheus.js", SCRIPT, "prometheus.js"),
    asset!("/console/live.js", SCRIPT, "live.js"),
    asset!("/console/overview.js", SCRIPT, "overview.js"),
    asset!("/console/backends.js", SCRIPT, "backends.js"),
    asset!("/console/models.js", SCRIPT, "models.js"),
    asset!("/console/budgets.js", SCRIPT, "budgets.js"),
    asset!("/console/keys.js", SCRIPT, "keys.js"),
    asset!("/console/decisions.js", SCRIPT, "decisions.js"),
    asset!("/console/playground.js", SCRIPT, "playground.js"),
    asset!("/console/explain.js", SCRIPT, "explain.js"),
    asset!("/console/config.js", SCRIPT, "config.js"),
];

/// The page at `/`, and its files under `/console/`.
pub(super) fn paths(paths: Router<Shared>) -> Router<Shared> {
    ASSETS.iter().fold(paths, |paths, asset| {
        let tag = tag(asset.bytes);
        let answer = move |headers: HeaderMap| {
            let answer = answer(asset, &tag, &headers);
            async move { answer }
        };
        paths.route(asset.path, get(answer))
    })
}

/// A file, or that the browser has it already.
fn answer(asset: &'static Asset, tag: &HeaderValue, asked: &HeaderMap) -> Response {
    let known = asked.get_all(IF_NONE_MATCH).iter().any(|sent| sent == tag);
    let (status, body) = if known {
        (StatusCode::NOT_MODIFIED, Body::empty())
    } else {
        (StatusCode::OK, Bytes::from_static(asset.bytes).into())
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(ETAG, tag.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Tells one content from another.
fn tag(bytes: &[u8]) -> HeaderValue {
    let digest = Sha256::digest(bytes);
    let digits = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
    let text = format!("\"{}\"", digits.collect::<String>());
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"\""))
}
