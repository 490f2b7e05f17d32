//! What a model can do beyond plain text chat, as a small set.
//!
//! Configuration, catalogue and routing all speak of capabilities; the words and their one
//! spelling stand here, below all of them.

/// A set of capabilities; see [`Cap`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps(u32);

/// What a backend can do beyond plain text chat.
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
    Embeddings,
    /// Prompt caching; never a need of a request, only a fact about price.
    PromptCache,
}

impl Cap {
    /// Every capability with its spelling in configuration and catalogue, in display order.
    pub const ALL: [(Self, &'static str); 15] = [
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
        (Self::Embeddings, "embeddings"),
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

impl Caps {
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

impl FromIterator<Cap> for Caps {
    fn from_iter<I: IntoIterator<Item = Cap>>(caps: I) -> Self {
        caps.into_iter().fold(Self::default(), Self::with)
    }
}
