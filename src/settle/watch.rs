//! What an account takes note of while backends are called.

use tokio::time::Instant;

use super::{
    account::{Account, micros},
    book::Ended,
    figures::Figures,
};
use crate::{
    call::{
        self, Allowance, Barred, Served, Watch,
        failure::{Class, Failure},
    },
    caps::Cap,
    catalog::meter,
    config::Config,
    money::Usd,
    route::Candidate,
    wire::{openai::chunk::Choices, usage},
};

impl Watch for Account {
    fn enter(&mut self, candidate: &Candidate) -> Result<Allowance, Barred> {
        self.enter_call(candidate)
    }

    fn part(&mut self, inputs: u64, of: u64) {
        self.share = (inputs, of.max(1));
    }

    fn part_done(&mut self) {
        self.resume();
        let cost = self.exact().zip(self.parts.1);
        self.parts = (self.parts.0 + 1, cost.and_then(|(a, b)| a.checked_add(b)));
        if self.leave() {
            self.book(Ended {
                result: "ok",
                status: Some(200),
                billed: true,
                more: true,
            });
        }
        (self.figures, self.first_event, self.output_bytes) = (None, None, 0);
    }

    fn begin(&mut self, candidate: &Candidate) {
        let before = self.serving.map(|serving| serving.backend);
        if before != Some(candidate.backend) {
            // parts of another backend belong to no answer
            self.parts = (0, Some(Usd::ZERO));
        }
        self.attempts += 1;
        self.serving = Some(*candidate);
        self.began_ms = self.means.now_ms();
        self.began = Some(Instant::now());
        let inflight = &self.metrics.inflight;
        let inflight = inflight.with_label_values(&[self.backend_name()]);
        inflight.inc();
        self.inflight = Some(inflight);
        let hosted = self.means.hosted(candidate.backend);
        self.seat = hosted.map(|(_, pace)| pace.join());
        self.wait();
    }

    fn failed(&mut self, _: &Candidate, failure: &Failure) {
        self.resume();
        if self.leave() {
            self.book(Ended {
                result: failure.result(),
                status: failure.status.map(|status| status.as_u16()),
                billed: failure.may_be_billed(),
                more: false,
            });
        }
        // nothing of it was delivered, so nothing of it belongs to the answer
        (self.figures, self.first_event, self.output_bytes) = (None, None, 0);
        if let Some(witness) = &mut self.witness {
            witness.forget();
        }
        let name = self.backend_name();
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
            request_id = &*self.opening.request_id,
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
            live.learned.observe_first_token(micros(waited));
        }
    }

    fn output(&mut self, bytes: u64) {
        self.output_bytes = self.output_bytes.saturating_add(bytes);
    }

    fn choices(&mut self, choices: &Choices, json: &[u8]) {
        self.output(choices.output_bytes);
        if let Some(witness) = &mut self.witness {
            witness.hear(choices, json);
        }
    }

    fn items(&mut self, number: u64) {
        if self.purpose == Cap::Images && number > 0 {
            self.units.images = number;
        }
    }

    fn usage(&mut self, raw: &str, served: Served<'_>) -> String {
        let config: &Config = &self.means.config;
        let found = self
            .backend()
            .and_then(|(_, backend)| Some((backend, config.providers.get(backend.provider)?)));
        let Some((backend, provider)) = found else {
            return call::as_json(None);
        };
        let mut reading = usage::read(provider.adapter, raw);
        meter::place(self.purpose, &mut reading.usage);
        if reading.usage.prompt_total() == 0
            && reading.usage.output_total() == 0
            && let Some(figures) = self.figures.as_ref().filter(|figures| !figures.estimated)
        {
            // xAI sends an empty one after the real one
            return call::as_json(figures.cost);
        }
        let tier = served.tier.map(|tier| tier.trim_matches('"'));
        let tier = reading.service_tier.or(tier.and_then(usage::tier));
        let mut estimated = false;
        if !self.purpose.writes_text() {
            let metered = self.metered(backend, Some(&reading.usage));
            (reading.usage, estimated) = (metered.usage, metered.estimated);
        }
        let asked = self.asks_price(backend).served_by(served.model);
        // a charge is what counts, whatever the tokens say
        let charged = reading.reported_cost.is_some();
        let mended = self.mended(&reading.usage).filter(|_| !charged);
        let figures = match mended {
            Some(usage) => Figures::doubtful(&asked, usage, raw),
            None if estimated => Figures::estimated(&asked, reading.usage),
            None => Figures::reported(&asked, &reading, tier, raw),
        };
        let cost = figures.cost;
        self.figures = Some(figures);
        call::as_json(cost)
    }

    fn complete(&mut self) {
        self.complete = true;
        self.count_units();
    }
}
