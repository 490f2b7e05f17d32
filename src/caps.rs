//! What a model is for and what it can do beyond that, as a small set.
//!
//! Configuration, catalogue and routing all speak of capabilities; the words and their one
//! spelling stand here, below all of them.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A set of capabilities; see [`Cap`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps(u32);

/// What a backend is for, and what it can do beyond plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cap {
    Streaming,
    Tools,
    ParallelTools,
    JsonSchema,
    Reasoning,
    /// Images in the prompt.
    Vision,
    AudioIn,
    AudioOut,
    Video,
    /// PDF files in the prompt.
    Pdf,
    Logprobs,
    /// `n` above 1.
    N,
    WebSearch,
    /// Purposes from here on, one for each kind of endpoint. Conversations.
    Chat,
    /// Going on with a text: the older way to use a language model.
    Completions,
    Embeddings,
    /// Saying whether a text or an image is harmful.
    Moderation,
    /// Ordering documents by how well they answer a query.
    Rerank,
    /// Making images.
    Images,
    /// Making speech of text.
    Speech,
    /// Making text of speech, translated or not.
    Transcription,
    /// Prompt caching; never a need of a request, only a fact about price.
    PromptCache,
}

impl Cap {
    /// Every capability with its spelling in configuration and catalogue, in display order.
    pub const ALL: [(Self, &'static str); 22] = [
        (Self::Streaming, "streaming"),
        (Self::Tools, "tools"),
        (Self::ParallelTools, "parallel_tools"),
        (Self::JsonSchema, "json_schema"),
        (Self::Reasoning, "reasoning"),
        (Self::Vision, "vision"),
        (Self::AudioIn, "audio_in"),
        (Self::AudioOut, "audio_out"),
        (Self::Video, "video"),
        (Self::Pdf, "pdf"),
        (Self::Logprobs, "logprobs"),
        (Self::N, "n"),
        (Self::WebSearch, "web_search"),
        (Self::Chat, "chat"),
        (Self::Completions, "completions"),
        (Self::Embeddings, "embeddings"),
        (Self::Moderation, "moderation"),
        (Self::Rerank, "rerank"),
        (Self::Images, "images"),
        (Self::Speech, "speech"),
        (Self::Transcription, "transcription"),
        (Self::PromptCache, "prompt_cache"),
    ];

    /// The spelling in configuration, catalogue, metrics and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(cap, _)| *cap == self)
            .map_or("", |(_, name)| name)
    }

    /// The capability of that spelling.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, n)| *n == name)
            .map(|(cap, _)| *cap)
    }
}

impl Cap {
    /// Does it say what a model is for, and not what it can do beside?
    #[must_use]
    pub fn is_purpose(self) -> bool {
        matches!(
            self,
            Self::Chat
                | Self::Completions
                | Self::Embeddings
                | Self::Moderation
                | Self::Rerank
                | Self::Images
                | Self::Speech
                | Self::Transcription
        )
    }

    /// Is it a purpose whose output is text, which takes of the context and of the output limit?
    #[must_use]
    pub fn writes_text(self) -> bool {
        matches!(self, Self::Chat | Self::Completions)
    }
}

impl Caps {
    /// What a model is for that is stated to have these: the purposes among them, or chat where
    /// none is.
    #[must_use]
    pub fn purposes(self) -> Self {
        let stated: Self = self.iter().filter(|cap| cap.is_purpose()).collect();
        if stated.is_empty() {
            Self::default().with(Cap::Chat)
        } else {
            stated
        }
    }

    /// With one more.
    #[must_use]
    pub fn with(self, cap: Cap) -> Self {
        Self(self.0 | 1 << (cap as u8))
    }

    /// Is it in the set?
    #[must_use]
    pub fn has(self, cap: Cap) -> bool {
        self.0 & (1 << (cap as u8)) != 0
    }

    /// The members, in display order.
    pub fn iter(self) -> impl Iterator<Item = Cap> {
        Cap::ALL
            .into_iter()
            .map(|(cap, _)| cap)
            .filter(move |cap| self.has(*cap))
    }

    /// No member?
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Members of `self` that `other` lacks.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Serialize for Cap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Cap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| D::Error::custom(format!("no capability `{name}`")))
    }
}

/// As the list of its members.
impl Serialize for Caps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Caps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Vec::<Cap>::deserialize(deserializer)?;
        Ok(members.into_iter().collect())
    }
}

impl FromIterator<Cap> for Caps {
    fn from_iter<I: IntoIterator<Item = Cap>>(caps: I) -> Self {
        caps.into_iter().fold(Self::default(), Self::with)
    }
}
