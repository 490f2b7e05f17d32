//! What is known of a backend while it runs; outlives a change of the configuration.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::{
    Facts,
    health::{Health, Standing},
};
use crate::learn::{
    Learned,
    lengths::{Kind, Lengths},
};

/// One backend's state; shared by all requests.
#[derive(Debug, Default)]
pub struct Live {
    pub health: Health,
    pub learned: Learned,
    /// Does the operator want no new calls to it?
    drained: AtomicBool,
}

impl Live {
    /// What routing may know at `now_ms` for a prompt of so many estimated tokens and of this kind,
    /// to a model whose answers are that long.
    #[must_use]
    pub fn facts(&self, lengths: &Lengths, now_ms: u64, (estimate, kind): (u64, Kind)) -> Facts {
        Facts {
            standing: self.standing(now_ms),
            prompt_tokens: self.learned.prompt_tokens(estimate),
            output_tokens: lengths.output_tokens(kind),
            cached_micro: self.learned.cached_tokens(1_000_000),
            first_token_us: self.learned.first_token_us(),
            full_ms: None,
            share: None,
        }
    }

    /// How it stands at `now_ms`.
    #[must_use]
    pub fn standing(&self, now_ms: u64) -> Standing {
        if self.is_drained() {
            Standing::Drained
        } else {
            self.health.standing(now_ms)
        }
    }

    /// From now on it gets no new calls, or again.
    pub fn drain(&self, drained: bool) {
        self.drained.store(drained, Relaxed);
    }

    /// Does the operator want no new calls to it?
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.drained.load(Relaxed)
    }
}
