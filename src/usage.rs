//! What a call used, in disjoint buckets: each token stands in exactly one of them.
//!
//! Providers count in overlapping ways (cached tokens inside the prompt or beside it, reasoning
//! inside the completion or beside it). `wire::usage` turns each way into this one; everything
//! after it (prices, limits, metrics) sees only this.

use serde::{Deserialize, Serialize};

/// Disjoint quantities of one upstream attempt. Units: tokens, unless the name says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Fresh text input: not cached, not audio, not image.
    pub input: u64,
    /// Input read from a prompt cache.
    pub cache_read: u64,
    /// Input written to a prompt cache (five-minute class, or the only class).
    pub cache_write: u64,
    /// Input written to the one-hour cache class.
    pub cache_write_1h: u64,
    /// Fresh audio input.
    pub input_audio: u64,
    /// Audio input read from a prompt cache.
    pub cache_read_audio: u64,
    /// Image input where a provider counts it apart.
    pub input_image: u64,
    /// Visible text output.
    pub output: u64,
    /// Hidden reasoning output.
    pub reasoning: u64,
    /// Audio output.
    pub output_audio: u64,
    /// Image output.
    pub output_image: u64,
    /// Web searches (a count).
    pub searches: u64,
    /// Billed requests (a count).
    pub requests: u64,
    /// Billed audio in milliseconds.
    pub milliseconds: u64,
    /// Billed characters (a count).
    pub chars: u64,
    /// Billed images (a count), where they are not billed as tokens.
    pub images: u64,
    /// Billed pages (a count).
    pub pages: u64,
}

impl Usage {
    /// Was nothing used?
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Every input token, cached or not: what context tiers are chosen by.
    #[must_use]
    pub fn prompt_total(&self) -> u64 {
        [
            self.input,
            self.cache_read,
            self.cache_write,
            self.cache_write_1h,
            self.input_audio,
            self.cache_read_audio,
            self.input_image,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }

    /// Every output token, hidden or not.
    #[must_use]
    pub fn output_total(&self) -> u64 {
        [
            self.output,
            self.reasoning,
            self.output_audio,
            self.output_image,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}
