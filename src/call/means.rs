//! What calls are made with, and how their ends become known: to the health of backends and keys,
//! and to the log.
//!
//! It promises that a failure which is about one key of several does not reach the backend's
//! health while another key is left.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tower::retry::budget::TpsBudget;

use super::{
    client::Client,
    failure::Failure,
    pool::{Taken, Tried},
    upstream::Upstream,
};
use crate::{
    catalog::SelfHosted,
    config::{Config, Provider},
    learn::{conversations::Conversations, lengths::Lengths, outcomes::Outcomes, pace::Pace},
    route::{
        health::{Change, Pass, Verdict},
        live::Live,
    },
};

/// Retries a second that are allowed whatever the load.
const FREE_RETRIES: u32 = 10;

/// What calls are made with; one for each loaded configuration.
#[derive(Debug)]
pub struct Means {
    pub config: Arc<Config>,
    /// In the order of `config.providers`.
    pub clients: Vec<Client>,
    /// In the order of `config.providers`.
    pub upstreams: Vec<Upstream>,
    /// In the order of `config.backends`.
    pub live: Vec<Arc<Live>>,
    /// In the order of `config.models`.
    pub lengths: Vec<Arc<Lengths>>,
    /// In the order of `config.providers`; `None`: none of one's own.
    pub paces: Vec<Option<Arc<Pace>>>,
    /// Which backends have which conversations in their caches.
    pub conversations: Arc<Conversations>,
    /// What outcomes taught of the quality of models.
    pub outcomes: Arc<Outcomes>,
    /// Keeps retries from multiplying the load of a failing backend.
    pub budget: TpsBudget,
    /// Where the clock of `live` begins.
    pub epoch: Instant,
}

impl Means {
    /// Milliseconds on the clock of `live`.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The hardware that a backend runs on, and how fast it is known to be; `None`: none of one's
    /// own.
    #[must_use]
    pub fn hosted(&self, backend: usize) -> Option<(&SelfHosted, &Arc<Pace>)> {
        let provider = self.config.backends.get(backend)?.provider;
        let pace = self.paces.get(provider)?.as_ref()?;
        let hardware = self.config.providers.get(provider)?.self_hosted.as_ref()?;
        Some((hardware, pace))
    }

    /// A call has ended: what that says of its backend's health.
    pub(super) fn end(&self, backend: usize, pass: Option<Pass<'_>>, verdict: Verdict) {
        let change = pass.and_then(|pass| pass.end(verdict, self.now_ms(), &self.config.breaker));
        self.tell(backend, change);
    }

    /// An answer broke off after it had begun, on a call that was begun at `began_ms`.
    pub fn broke(&self, backend: usize, began_ms: u64, failure: &Failure) {
        let live = self.live.get(backend);
        let Some(live) = live.filter(|_| failure.verdict(false) == Verdict::Failed) else {
            return;
        };
        let change = live
            .health
            .broke(began_ms, self.now_ms(), &self.config.breaker);
        self.tell(backend, change);
    }

    /// A call with a key of several has succeeded.
    pub(super) fn key_works(&self, provider: &Provider, taken: Taken<'_>) {
        let fingerprint = taken.fingerprint();
        let change = taken.succeeded(self.now_ms(), &self.config.breaker);
        tell_of_key(provider, fingerprint, change);
    }

    /// A call with a key of several has failed. Where that is about the key, it is left alone; is
    /// there another one? Where there is none, the failure becomes what it means for the backend.
    pub(super) fn key_fails(
        &self,
        provider: &Provider,
        taken: Taken<'_>,
        failure: &mut Failure,
        tried: &mut Tried,
    ) -> bool {
        let Some(verdict) = failure.of_key() else {
            return false;
        };
        let fingerprint = taken.fingerprint();
        let said = (verdict, failure.class);
        let ended = taken.failed(said, tried, self.now_ms(), &self.config.breaker);
        tell_of_key(provider, fingerprint, ended.change);
        if let Some(for_ms) = ended.cools_ms {
            let provider = &*provider.name;
            tracing::warn!(
                provider,
                api_key = fingerprint,
                for_ms,
                "a key of the provider is over its limit: left alone"
            );
        }
        match ended.class {
            None => true,
            Some(class) => {
                failure.class = class;
                false
            }
        }
    }

    fn tell(&self, backend: usize, change: Option<Change>) {
        let backend = self.config.backends.get(backend).map_or("", |b| &*b.name);
        match change {
            None => {}
            Some(Change::Opened { failures, for_ms }) => {
                tracing::warn!(
                    backend,
                    failures,
                    for_ms,
                    "backend failed too often: left alone"
                );
            }
            Some(Change::Down(reason)) => {
                tracing::error!(backend, reason = reason.as_str(), "backend is down");
            }
            Some(Change::Back) => tracing::info!(backend, "backend is back"),
        }
    }

    /// The retry budget of a configuration.
    #[must_use]
    pub fn budget(config: &Config) -> TpsBudget {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share of at most 1000 permille"
        )]
        let share = config.retries.budget_permille.min(1_000) as f32 / 1_000.0;
        TpsBudget::new(Duration::from_secs(1), FREE_RETRIES, share)
    }
}

/// What changed about a key of several.
fn tell_of_key(provider: &Provider, fingerprint: &str, change: Option<Change>) {
    let provider = &*provider.name;
    match change {
        Some(Change::Down(reason)) => tracing::error!(
            provider,
            api_key = fingerprint,
            reason = reason.of_key(),
            "a key of the provider is down"
        ),
        Some(Change::Back) => tracing::info!(
            provider,
            api_key = fingerprint,
            "a key of the provider is back"
        ),
        // a key fails in no other way
        Some(Change::Opened { .. }) | None => {}
    }
}
