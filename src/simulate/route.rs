//! Which path is what. Pure.

use http::Method;

use super::ask::Endpoint;

/// What a method and path ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// An answer of a model; the provider is empty without a prefix.
    Answer {
        endpoint: Endpoint,
        provider: &'a str,
    },
    Models,
    /// One model's description.
    Model(&'a str),
    Health,
    Account,
    Requests,
    Reset,
    /// The path is known, with another method.
    WrongMethod {
        allow: &'static str,
    },
    Unknown,
}

impl<'a> Route<'a> {
    pub(crate) fn of(method: &Method, path: &'a str) -> Self {
        let (provider, path) = split_provider(path);
        let answer = |endpoint| (Self::Answer { endpoint, provider }, "POST");
        let (route, allow) = match path {
            "/v1/chat/completions" => answer(Endpoint::Chat),
            "/v1/completions" => answer(Endpoint::Completions),
            "/v1/embeddings" => answer(Endpoint::Embeddings),
            "/v1/moderations" => answer(Endpoint::Moderations),
            "/v1/rerank" => answer(Endpoint::Rerank),
            "/v1/images/generations" => answer(Endpoint::Images),
            "/v1/audio/speech" => answer(Endpoint::Speech),
            "/v1/audio/transcriptions" => answer(Endpoint::Transcriptions),
            "/v1/audio/translations" => answer(Endpoint::Translations),
            "/v1/models" => (Self::Models, "GET"),
            "/health" => (Self::Health, "GET"),
            "/sim/account" if provider.is_empty() => (Self::Account, "GET"),
            "/sim/requests" if provider.is_empty() => (Self::Requests, "GET"),
            "/sim/reset" if provider.is_empty() => (Self::Reset, "POST"),
            _ => match path.strip_prefix("/v1/models/") {
                Some(model) if !model.is_empty() => (Self::Model(model), "GET"),
                _ => return Self::Unknown,
            },
        };
        if method.as_str() == allow {
            route
        } else {
            Self::WrongMethod { allow }
        }
    }
}

/// `/p/<provider>/rest` apart.
fn split_provider(path: &str) -> (&str, &str) {
    let Some(rest) = path.strip_prefix("/p/") else {
        return ("", path);
    };
    match rest.find('/').filter(|at| *at > 0) {
        Some(at) => rest.split_at(at),
        None => ("", path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_the_same_under_every_provider() {
        let chat = |provider| Route::Answer {
            endpoint: Endpoint::Chat,
            provider,
        };
        for (method, path, want) in [
            (Method::POST, "/v1/chat/completions", chat("")),
            (
                Method::POST,
                "/p/deepseek/v1/chat/completions",
                chat("deepseek"),
            ),
            (Method::GET, "/p/a/v1/models", Route::Models),
            (
                Method::GET,
                "/v1/models/Qwen/Qwen3",
                Route::Model("Qwen/Qwen3"),
            ),
            (Method::GET, "/p/a/health", Route::Health),
            (
                Method::GET,
                "/v1/chat/completions",
                Route::WrongMethod { allow: "POST" },
            ),
            (Method::POST, "/v1/v1/chat/completions", Route::Unknown),
            (Method::POST, "/p//v1/chat/completions", Route::Unknown),
            (Method::GET, "/p/a/sim/account", Route::Unknown),
        ] {
            assert_eq!(Route::of(&method, path), want, "{method} {path}");
        }
    }
}
