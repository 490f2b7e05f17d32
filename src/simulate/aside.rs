//! Answers that no model gives: lists, health, the account, unknown paths.
//!
//! Nothing here waits or fails by script.

use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};

use super::answer::CREATED;
use super::body::SimBody;
use super::refusal::Refusal;
use super::route::Route;
use super::server::Server;
use super::{deliver, headers, received};

/// Everything that is no answer of a model.
pub(crate) fn answer(server: &Server, route: Route<'_>, head: &Parts) -> Response<SimBody> {
    match route {
        Route::Models | Route::Model(_) => match models(server, route, head) {
            Ok(bytes) => deliver::json(StatusCode::OK, bytes),
            Err(refusal) => deliver::refusal(&refusal),
        },
        Route::Health => deliver::json(StatusCode::OK, r#"{"status":"ok","simulated":true}"#),
        Route::Account => {
            // strings and numbers alone: this cannot fail
            let json = serde_json::to_vec(&server.account.snapshot()).unwrap_or_default();
            deliver::json(StatusCode::OK, json)
        }
        Route::Requests => {
            let query = head.uri.query().unwrap_or("");
            let last = query.split('&').find_map(|pair| pair.strip_prefix("last="));
            let last = last
                .and_then(|count| count.parse().ok())
                .unwrap_or(usize::MAX);
            deliver::json(StatusCode::OK, received::to_json(&server.ring.last(last)))
        }
        Route::Reset => {
            server.account.reset();
            server.ring.clear();
            deliver::json(StatusCode::OK, r#"{"status":"reset","simulated":true}"#)
        }
        Route::WrongMethod { allow } => {
            let message = format!("not allowed to {} on {}", head.method, head.uri.path());
            let refusal = Refusal::plain(
                StatusCode::METHOD_NOT_ALLOWED,
                Some("method_not_allowed"),
                message,
            );
            let mut response = deliver::refusal(&refusal);
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static(allow));
            response
        }
        Route::Answer { .. } | Route::Unknown => {
            let message = format!("invalid URL ({} {})", head.method, head.uri.path());
            let refusal = Refusal::plain(StatusCode::NOT_FOUND, Some("unknown_url"), message);
            deliver::refusal(&refusal)
        }
    }
}

fn models(server: &Server, route: Route<'_>, head: &Parts) -> Result<Vec<u8>, Refusal> {
    headers::check(&head.headers, &server.hosts)?;
    headers::key(&head.headers, &server.options.keys)?;
    let describe = |id: &str| {
        serde_json::json!({
            "id": id,
            "object": "model",
            "created": CREATED,
            "owned_by": "tollgate-simulator",
        })
    };
    let value = match route {
        Route::Model(name) => describe(name),
        _ => {
            let list: Vec<_> = server
                .options
                .models
                .iter()
                .map(|name| describe(name))
                .collect();
            serde_json::json!({ "object": "list", "data": list })
        }
    };
    Ok(value.to_string().into_bytes())
}
