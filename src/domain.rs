//! What kind of work a request is: the unit in which the quality of a model is known.

use serde::{Deserialize, Serialize};

/// What kind of work a request is; `quality:` may say how good a model is at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Domain {
    Chat,
    Code,
    Math,
    Reasoning,
    Knowledge,
    Tools,
    Extraction,
    Multilingual,
}

impl Domain {
    /// Every domain with its spelling.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::Chat, "chat"),
        (Self::Code, "code"),
        (Self::Math, "math"),
        (Self::Reasoning, "reasoning"),
        (Self::Knowledge, "knowledge"),
        (Self::Tools, "tools"),
        (Self::Extraction, "extraction"),
        (Self::Multilingual, "multilingual"),
    ];

    /// The domain of this spelling.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(_, known)| *known == name)
            .map(|(domain, _)| *domain)
    }

    /// The spelling in configuration and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(domain, _)| *domain == self)
            .map_or("", |(_, name)| name)
    }
}
