//! What an account takes note of while backends are called.

use tokio::time::Instant;

use super::account::Account;
use crate::{
    admit::limits::Denied,
    call::{
        self, Watch,
        failure::{Class, Failure},
    },
    config::Config,
    route::{Candidate, cost},
    wire::usage,
};

impl Watch for Account {
    fn enter(&mut self, candidate: &Candidate) -> Result<(), Denied> {
        self.enter_call(candidate)
    }

    fn begin(&mut self, candidate: &Candidate) {
        self.attempts += 1;
        self.serving = Some(*candidate);
        self.began_ms = self.means.now_ms();
        self.inflight = true;
        self.metrics
            .inflight
            .with_label_values(&[self.backend_name()])
            .inc();
        self.wait();
    }

    fn failed(&mut self, _: &Candidate, failure: &Failure) {
        self.resume();
        self.leave();
        let now = self.now_ms();
        self.holds.settle_call(0, now);
        // nothing of it was delivered, so nothing of it belongs to the answer
        (self.usage, self.cost, self.output_bytes) = (None, None, 0);
        (self.first_event, self.inconsistent) = (None, false);
        let name = self.backend_name();
        self.metrics
            .attempts
            .with_label_values(&[name, failure.result()])
            .inc();
        let miss = match failure.class {
            Class::Incapable(cap) => Some(cap.as_str()),
            Class::ContextTooLong => Some("context"),
            _ => None,
        };
        if let Some(need) = miss {
            self.metrics
                .capability_misses
                .with_label_values(&[name, need])
                .inc();
        }
        tracing::warn!(
            request_id = self.opening.request_id,
            backend = name,
            attempt = self.attempts,
            result = failure.result(),
            status = failure.status.map(|status| status.as_u16()),
            detail = failure.detail,
            cause = failure.for_log(),
            "attempt failed"
        );
    }

    fn retry(&mut self, same: bool) {
        let kind = if same { "same" } else { "fallback" };
        self.metrics
            .retries
            .with_label_values(&[self.backend_name(), kind])
            .inc();
        self.wait();
    }

    fn first_event(&mut self) {
        if self.first_event.is_some() {
            return;
        }
        self.resume();
        self.first_event = Some(Instant::now());
        let name = self.backend_name();
        let waited = self.opening.started.elapsed();
        if self.stream {
            let labels = [self.opening.endpoint.as_str(), name];
            self.metrics
                .first_token
                .with_label_values(&labels)
                .observe(waited.as_secs_f64());
        }
        if let Some(live) = self.serving.and_then(|c| self.means.live.get(c.backend)) {
            live.learned
                .observe_first_token(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX));
        }
    }

    fn output(&mut self, bytes: u64) {
        self.output_bytes = self.output_bytes.saturating_add(bytes);
    }

    fn usage(&mut self, raw: &str, service_tier: Option<&str>) -> String {
        let config: &Config = &self.means.config;
        let provider = self
            .backend()
            .and_then(|(_, backend)| config.providers.get(backend.provider));
        let Some(provider) = provider else {
            return call::as_json(None);
        };
        let reading = usage::read(provider.adapter, raw);
        if reading.usage.prompt_total() == 0
            && reading.usage.output_total() == 0
            && self.usage.is_some()
        {
            // xAI sends an empty one after the real one
            return call::as_json(self.cost);
        }
        let served = service_tier
            .map(|tier| tier.trim_matches('"'))
            .and_then(usage::tier);
        let tier = reading.service_tier.or(served).unwrap_or(cost::STANDARD);
        let price = self.price(&reading.usage, tier);
        self.usage = Some(reading.usage);
        self.inconsistent = !reading.flags.is_empty();
        self.cost = price;
        call::as_json(price)
    }

    fn complete(&mut self) {
        self.complete = true;
    }
}
