//! What is known of a backend while it runs; outlives a change of the configuration.

use super::{Facts, health::Health};
use crate::learn::{Learned, Lengths};

/// One backend's state; shared, without a lock.
#[derive(Debug, Default)]
pub struct Live {
    pub health: Health,
    pub learned: Learned,
}

impl Live {
    /// What routing may know at `now_ms` for a prompt of so many estimated tokens, to a model
    /// whose answers are that long.
    #[must_use]
    pub fn facts(&self, lengths: &Lengths, now_ms: u64, estimate: u64) -> Facts {
        Facts {
            standing: self.health.standing(now_ms),
            prompt_tokens: self.learned.prompt_tokens(estimate),
            output_tokens: lengths.output_tokens(),
            first_token_us: self.learned.first_token_us(),
            full_ms: None,
        }
    }
}
