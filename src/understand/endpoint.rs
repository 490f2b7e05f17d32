//! The endpoints that clients call models by, and everything in which they differ.
//!
//! `TABLE` is the one place: what a model must be for, how a request is written and
//! may ask for a stream, what an answer looks like, where it says what was used. The rest of the
//! program asks the table, and treats all endpoints alike. Only how a request is measured stands
//! elsewhere (`measure`), as it is code.

use crate::caps::Cap;

/// Which API a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    ChatCompletions,
    Completions,
    Embeddings,
    Moderations,
    Rerank,
    ImageGenerations,
    Speech,
    Transcriptions,
    Translations,
}

/// What an endpoint is.
#[derive(Debug)]
pub struct Traits {
    /// The name in metrics, logs and the ledger.
    pub name: &'static str,
    /// The path for clients behind `/v1`, and behind a provider's base URL.
    pub path: &'static str,
    /// What a model must be for to serve it.
    pub purpose: Cap,
    pub request: Written,
    pub stream: AsksStream,
    pub answer: Shape,
    /// Members of an answer that say what was used; the first that is there counts.
    pub usage: &'static [&'static str],
}

/// How a request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Json,
    /// `multipart/form-data`, as it carries a file.
    Form,
}

/// How a request asks for a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsksStream {
    Never,
    /// `stream` is true.
    Flag,
    /// `stream_format` is `sse`.
    Format,
}

/// What an answer looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A JSON object with `choices`; streams in chunks of the same.
    Choices,
    /// A JSON object that has one of these members; streams in events that name their type.
    Members(&'static [&'static str]),
    /// A JSON object with `text`, or any text; streams in events that name their type.
    Text,
    /// Bytes that leave as they come; streams in events that name their type.
    Bytes,
}

/// What most of them are.
const PLAIN: Traits = Traits {
    name: "",
    path: "",
    purpose: Cap::Chat,
    request: Written::Json,
    stream: AsksStream::Never,
    answer: Shape::Choices,
    usage: &["usage"],
};

/// Every endpoint, in the order of [`Endpoint`].
static TABLE: [(Endpoint, Traits); 9] = [
    (
        Endpoint::ChatCompletions,
        Traits {
            name: "chat_completions",
            path: "/chat/completions",
            purpose: Cap::Chat,
            stream: AsksStream::Flag,
            answer: Shape::Choices,
            ..PLAIN
        },
    ),
    (
        Endpoint::Completions,
        Traits {
            name: "completions",
            path: "/completions",
            purpose: Cap::Completions,
            stream: AsksStream::Flag,
            answer: Shape::Choices,
            ..PLAIN
        },
    ),
    (
        Endpoint::Embeddings,
        Traits {
            name: "embeddings",
            path: "/embeddings",
            purpose: Cap::Embeddings,
            answer: Shape::Members(&["data"]),
            ..PLAIN
        },
    ),
    (
        Endpoint::Moderations,
        Traits {
            name: "moderations",
            path: "/moderations",
            purpose: Cap::Moderation,
            answer: Shape::Members(&["results"]),
            ..PLAIN
        },
    ),
    (
        Endpoint::Rerank,
        Traits {
            name: "rerank",
            path: "/rerank",
            purpose: Cap::Rerank,
            answer: Shape::Members(&["results", "data"]),
            // Cohere says it in `meta`
            usage: &["usage", "meta"],
            ..PLAIN
        },
    ),
    (
        Endpoint::ImageGenerations,
        Traits {
            name: "images_generations",
            path: "/images/generations",
            purpose: Cap::Images,
            stream: AsksStream::Flag,
            answer: Shape::Members(&["data"]),
            ..PLAIN
        },
    ),
    (
        Endpoint::Speech,
        Traits {
            name: "audio_speech",
            path: "/audio/speech",
            purpose: Cap::Speech,
            stream: AsksStream::Format,
            answer: Shape::Bytes,
            ..PLAIN
        },
    ),
    (
        Endpoint::Transcriptions,
        Traits {
            name: "audio_transcriptions",
            path: "/audio/transcriptions",
            purpose: Cap::Transcription,
            request: Written::Form,
            stream: AsksStream::Flag,
            answer: Shape::Text,
            ..PLAIN
        },
    ),
    (
        Endpoint::Translations,
        Traits {
            name: "audio_translations",
            path: "/audio/translations",
            purpose: Cap::Transcription,
            request: Written::Form,
            answer: Shape::Text,
            ..PLAIN
        },
    ),
];

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 9] = [
        Self::ChatCompletions,
        Self::Completions,
        Self::Embeddings,
        Self::Moderations,
        Self::Rerank,
        Self::ImageGenerations,
        Self::Speech,
        Self::Transcriptions,
        Self::Translations,
    ];

    /// The endpoint of that name, or of that path with or without `/v1`.
    #[must_use]
    pub fn from_name(text: &str) -> Option<Self> {
        let path = text.strip_prefix("/v1").unwrap_or(text);
        Self::ALL.into_iter().find(|endpoint| {
            let traits = endpoint.traits();
            text == traits.name || path == traits.path
        })
    }

    /// What it is.
    #[must_use]
    pub fn traits(self) -> &'static Traits {
        let row = TABLE.iter().find(|(endpoint, _)| *endpoint == self);
        row.map_or(&PLAIN, |(_, traits)| traits)
    }

    /// The name in metrics, logs and the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.traits().name
    }

    /// The path behind a provider's base URL.
    #[must_use]
    pub fn upstream_path(self) -> &'static str {
        self.traits().path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_listed_once_in_its_own_place() {
        for (index, endpoint) in Endpoint::ALL.into_iter().enumerate() {
            assert_eq!(endpoint as usize, index, "{endpoint:?}");
            assert_eq!(TABLE[index].0, endpoint);
            assert!(endpoint.traits().path.starts_with('/'), "{endpoint:?}");
            assert!(endpoint.traits().purpose.is_purpose(), "{endpoint:?}");
            for name in [
                endpoint.as_str().to_owned(),
                endpoint.upstream_path().to_owned(),
                format!("/v1{}", endpoint.upstream_path()),
            ] {
                assert_eq!(Endpoint::from_name(&name), Some(endpoint), "{name}");
            }
        }
    }

    #[test]
    fn no_other_text_is_an_endpoint() {
        for other in [
            "",
            "/v1",
            "/",
            "/v1/v1/embeddings",
            "Embeddings",
            "/models",
            "chat",
        ] {
            assert_eq!(Endpoint::from_name(other), None, "{other}");
        }
    }
}
