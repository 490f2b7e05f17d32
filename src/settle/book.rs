//! What a closed account leaves behind: money and tokens, metrics, lessons, a line in the log.

use std::{
    fmt::{self, Write as _},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::time::{Duration, Instant};

use super::{
    Outcome, UNKNOWN,
    account::{Account, micros, millis},
    figures::{Asked, Figures},
    ledger::{Prediction, Row},
};
use crate::{
    caps::Cap,
    catalog::{
        Card,
        meter::{self, Metered},
    },
    config::{Backend, Price},
    learn::{conversations::cached_if_stayed, pace::Done},
    money::Usd,
    route::{Candidate, cost},
    usage::Usage,
    wire::usage::Reading,
};

/// The label of callers without a key.
pub(super) const NO_KEY: &str = "none";
/// Bytes of generated text that make about one token, where a backend reports no usage.
const OUTPUT_BYTES_PER_TOKEN: u64 = 4;

/// A context that no model exceeds, in tokens, where a backend's is not known.
const LARGEST_CONTEXT: u64 = 10_000_000;

/// Characters of a model's name that are logged.
const MAX_ASKED: usize = 128;
/// Characters of a reason that are logged.
const MAX_DETAIL: usize = 512;

/// How the call under way came to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// The label of the result.
    pub(super) result: &'static str,
    /// What the backend answered.
    pub(super) status: Option<u16>,
    /// Is it to be taken that the backend bills it, even if nothing came?
    pub(super) billed: bool,
    /// Does another part of the same answer follow?
    pub(super) more: bool,
}

impl Account {
    /// Books the call under way: its metrics, and its row in the ledger. Both say the same.
    pub(super) fn book(&mut self, ended: Ended) {
        let Some((candidate, backend)) = self.backend() else {
            return;
        };
        let (name, key) = (&*backend.name, self.key_label());
        let metrics = &self.metrics;
        metrics
            .attempts
            .with_label_values(&[name, ended.result])
            .inc();
        let figures = match (&self.figures, self.first_event) {
            (Some(reported), _) => reported.clone(),
            (None, None) if !ended.billed => Figures::unused(Timestamp::now()),
            (None, _) => self.unreported(&candidate, backend),
        };
        if figures.estimated {
            metrics.estimated.with_label_values(&[name]).inc();
        }
        for (kind, tokens) in by_type(&figures.usage)
            .into_iter()
            .filter(|(_, tokens)| *tokens > 0)
        {
            metrics
                .tokens
                .with_label_values(&[name, key, kind])
                .inc_by(tokens);
        }
        match figures.cost.map(|cost| u64::try_from(cost.pico())) {
            Some(Ok(pico)) => metrics.cost.with_label_values(&[name, key]).inc_by(pico),
            Some(Err(_)) | None => metrics.unpriced.with_label_values(&[name]).inc(),
        }
        let baseline = self.baseline_cost(&figures, ended);
        self.count_saved(figures.cost, baseline);
        if figures.inconsistent {
            metrics.inconsistent.with_label_values(&[name]).inc();
        }
        for doubt in figures.doubts.names() {
            metrics.price_doubts.with_label_values(&[name, doubt]).inc();
        }
        self.count_charged(name, &figures);
        let gpu_ns = self.count_busy(backend, &figures.usage);
        if let Some(ledger) = &self.opening.ledger {
            let money = (baseline, gpu_ns);
            ledger.record(self.row((&candidate, backend), &figures, money, ended));
        }
        let usage = &figures.usage;
        let used = usage.prompt_total().saturating_add(usage.output_total());
        let (tokens, money) = self.unsettled;
        let all = money.zip(figures.cost).and_then(|(a, b)| a.checked_add(b));
        self.unsettled = (tokens.saturating_add(used), all);
        if !ended.more {
            // the parts of one answer were let in together
            let (tokens, money) = std::mem::replace(&mut self.unsettled, (0, Some(Usd::ZERO)));
            self.holds.settle_call(tokens, self.means.now_ms());
            self.settle_money(money, figures.at);
        }
        self.used_tokens = self.used_tokens.saturating_add(used);
        self.figures = Some(figures);
        self.seat = None;
    }

    /// Counts how long a call kept hardware of one's own busy, in nanoseconds of a GPU; `None`: it
    /// ran elsewhere.
    fn count_busy(&self, backend: &Backend, usage: &Usage) -> Option<u64> {
        let provider = self.means.config.providers.get(backend.provider)?;
        let hardware = provider.self_hosted.as_ref()?;
        let busy = hardware.busy_gpu_ns(usage.prompt_total(), usage.output_total())?;
        let labels = [&*provider.name];
        self.metrics
            .gpu_busy
            .with_label_values(&labels)
            .inc_by(busy);
        Some(busy)
    }

    /// What the route's baseline would have cost for what came of the call under way, had it served
    /// the whole conversation: what a change of backends loses of caches counts against savings.
    fn baseline_cost(&self, figures: &Figures, ended: Ended) -> Option<Usd> {
        let baseline = self.baseline?;
        figures.cost?;
        if self.first_event.is_none() && ended.result != "ok" {
            // nobody had anything of it
            return Some(Usd::ZERO);
        }
        let reasoning = self.reasoning || figures.usage.reasoning > 0;
        let asked = cost::asked_at(figures.at, cost::STANDARD, reasoning);
        let usage = if_stayed(&figures.usage, self.said_before);
        cost::of_cheapest(&self.means.config, baseline, &usage, &asked)
    }

    /// Counts what the provider says that it charges, and what the card says of the same calls: two
    /// sums that can be compared.
    fn count_charged(&self, backend: &str, figures: &Figures) {
        let (Some(charged), Some(listed)) = (figures.reported, figures.listed) else {
            return;
        };
        for (counter, cost) in [
            (&self.metrics.charged, charged),
            (&self.metrics.charged_listed, listed),
        ] {
            let pico = u64::try_from(cost.pico()).unwrap_or(0);
            counter.with_label_values(&[backend]).inc_by(pico);
        }
    }

    /// Counts the difference to the baseline: counters only rise, so there is one for each sign.
    fn count_saved(&self, cost: Option<Usd>, baseline: Option<Usd>) {
        let (Some(cost), Some(baseline), Some(route)) = (cost, baseline, &self.route) else {
            return;
        };
        let saved = baseline.pico().saturating_sub(cost.pico());
        let counter = if saved < 0 {
            &self.metrics.overspent
        } else {
            &self.metrics.savings
        };
        counter
            .with_label_values(&[route])
            .inc_by(saved.unsigned_abs());
    }

    /// The figures of a call that reported no usage: counted where the price is of what can be
    /// counted, else estimated.
    fn unreported(&self, candidate: &Candidate, backend: &Backend) -> Figures {
        let asked = self.asks_price(backend);
        if self.purpose.writes_text() {
            let usage = Usage {
                input: candidate.prompt_tokens,
                output: self.written(),
                ..Usage::default()
            };
            return Figures::estimated(&asked, usage);
        }
        let metered = self.metered(backend, None);
        if metered.estimated {
            return Figures::estimated(&asked, metered.usage);
        }
        let reading = Reading {
            usage: metered.usage,
            ..Reading::default()
        };
        Figures::reported(&asked, &reading, None, "")
    }

    /// A usage that was reported of a text, with what can't be true of it replaced by estimates;
    /// `None`: all of it can. There is no prompt without tokens, no text without them, and neither
    /// is many times larger than what fits into the model: a figure that a backend got wrong must
    /// not be served for nothing, nor empty a budget.
    pub(super) fn mended(&self, usage: &Usage) -> Option<Usage> {
        let (candidate, backend) = self.backend().filter(|_| self.purpose.writes_text())?;
        let most = backend.context.unwrap_or(LARGEST_CONTEXT).saturating_mul(2);
        let prompt_is_wrong = !(1..=most).contains(&usage.prompt_total());
        let wrote = self.output_bytes > 0;
        let output = usage.output_total();
        let output_is_wrong = output > most.saturating_mul(self.choices) || (output == 0 && wrote);
        if !prompt_is_wrong && !output_is_wrong {
            return None;
        }
        let mut mended = *usage;
        if prompt_is_wrong {
            mended = Usage {
                input: candidate.prompt_tokens,
                output: mended.output,
                reasoning: mended.reasoning,
                output_audio: mended.output_audio,
                output_image: mended.output_image,
                ..Usage::default()
            };
        }
        if output_is_wrong {
            mended.output = self.written();
            (mended.reasoning, mended.output_audio, mended.output_image) = (0, 0, 0);
        }
        Some(mended)
    }

    /// Takes what can be counted exactly for what was used, where nothing was reported.
    pub(super) fn count_units(&mut self) {
        if self.figures.is_some() || self.purpose.writes_text() {
            return;
        }
        let figures = self
            .backend()
            .map(|(candidate, backend)| self.unreported(&candidate, backend));
        self.figures = figures.filter(|figures| !figures.estimated);
    }

    /// What counts of what was reported and of what is known of the request.
    pub(super) fn metered(&self, backend: &Backend, reported: Option<&Usage>) -> Metered {
        let expected = self.serving.map_or(0, |candidate| candidate.prompt_tokens);
        let (part, all) = self.share;
        let expected = expected.saturating_mul(part).div_ceil(all);
        let output = match self.purpose {
            Cap::Transcription => self.written(),
            _ => self.serving.map_or(0, |candidate| candidate.output_tokens),
        };
        let mut measured = Usage {
            input: expected,
            output,
            ..self.units
        };
        meter::place(self.purpose, &mut measured);
        let cards: &[Card] = match &backend.price {
            Price::Cards(cards) => cards,
            Price::Free if reported.is_none() => {
                // a declared zero needs no estimate
                return Metered {
                    usage: Usage::default(),
                    estimated: false,
                };
            }
            Price::Unpriced | Price::Free | Price::SelfHosted(_) => &[],
        };
        meter::meter(cards, reported, &measured)
    }

    /// Tokens of the text that has come.
    fn written(&self) -> u64 {
        self.output_bytes.div_ceil(OUTPUT_BYTES_PER_TOKEN)
    }

    fn row(
        &self,
        (candidate, backend): (&Candidate, &Backend),
        figures: &Figures,
        (baseline_cost, gpu_ns): (Option<Usd>, Option<u64>),
        ended: Ended,
    ) -> Row {
        let model = self.means.config.models.get(candidate.model);
        let began = self.began.unwrap_or(self.opening.started);
        Row {
            request_id: Arc::clone(&self.opening.request_id),
            attempt: self.attempts,
            completed_ms: figures.at.as_millisecond(),
            key: self.key.clone(),
            tags: self.tags.clone(),
            key_tags: self.counted_tags.clone(),
            user: self.user,
            endpoint: self.opening.endpoint.as_str(),
            route: self.route.clone(),
            model: model.map_or_else(|| UNKNOWN.into(), |model| Arc::clone(&model.name)),
            backend: Arc::clone(&backend.name),
            card: figures.card.clone(),
            usage: figures.usage,
            tier: figures.tier,
            cost: figures.cost,
            basis: figures.basis,
            list_cost: figures.listed,
            reported_cost: figures.reported,
            baseline_cost,
            gpu_ns,
            raw_usage: figures.raw.clone(),
            latency_ms: millis(began.elapsed()),
            first_token_ms: self
                .first_event
                .map(|moment| millis(moment.saturating_duration_since(began))),
            status: ended.status,
            outcome: ended.result,
            prediction: self.prediction(candidate),
        }
    }

    fn prediction(&self, candidate: &Candidate) -> Option<Prediction> {
        let matters = self.kind.filter(|_| self.weighs_quality)?;
        Some(Prediction {
            domain: matters.domain,
            predicted: candidate.predicted?,
        })
    }

    /// What a reported usage teaches.
    pub(super) fn learn(&self) {
        let reported = self.figures.as_ref().filter(|figures| !figures.estimated);
        let (Some(candidate), Some(figures)) = (&self.serving, reported) else {
            return;
        };
        if self.parts.0 > 0 {
            // the figures are those of the last part alone
            return;
        }
        let usage = &figures.usage;
        if let Some(live) = self.means.live.get(candidate.backend) {
            live.learned
                .observe_prompt(self.estimated_prompt, usage.prompt_total());
            live.learned
                .observe_cached(candidate.warm_tokens, usage.cache_read);
        }
        let backend = self.means.config.backends.get(candidate.backend);
        if let Some((number, backend)) = self.conversation.zip(backend) {
            let tokens = usage.prompt_total().saturating_add(usage.output_total());
            let now_ms = self.means.now_ms();
            let all = &self.means.conversations;
            all.served(number, &backend.name, tokens, now_ms);
        }
        if let Some((lengths, kind)) = self.means.lengths.get(candidate.model).zip(self.kind) {
            lengths.observe(kind, usage.output_total() / self.choices.max(1));
        }
        self.learn_pace(candidate.backend, usage);
    }

    /// What an answer that came to its end teaches of one's own hardware.
    fn learn_pace(&self, backend: usize, usage: &Usage) {
        let (Some(seat), Some((hardware, _)), Some(began), Some(first), true) = (
            &self.seat,
            self.means.hosted(backend),
            self.began,
            self.first_event,
            self.complete,
        ) else {
            return;
        };
        let cached = usage.cache_read.saturating_add(usage.cache_read_audio);
        let done = Done {
            prompt: usage.prompt_total().saturating_sub(cached),
            output: usage.output_total(),
            first_us: self
                .stream
                .then(|| micros(first.saturating_duration_since(began))),
            whole_us: micros(began.elapsed()),
        };
        seat.learn(&done, hardware);
    }

    pub(super) fn count(&self, status: u16, outcome: Outcome, lasted: Duration) {
        let (endpoint, outcome) = (self.opening.endpoint.as_str(), outcome.as_str());
        let backend = self.backend().map_or("", |(_, backend)| &*backend.name);
        let route = self.route.as_deref().unwrap_or_default();
        let mut code = itoa::Buffer::new();
        let code = code.format(status);
        let labels = [endpoint, route, self.model_name(), backend, code, outcome];
        self.metrics.requests.with_label_values(&labels).inc();
        self.metrics
            .key_requests
            .with_label_values(&[self.key_label(), outcome])
            .inc();
        self.metrics
            .duration
            .with_label_values(&[endpoint, backend])
            .observe(lasted.as_secs_f64());
        let reported = self.figures.as_ref().filter(|figures| !figures.estimated);
        if let (true, Some(first), Some(figures)) =
            (self.stream && self.complete, self.first_event, reported)
        {
            let intervals = u32::try_from(figures.usage.output_total())
                .unwrap_or(u32::MAX)
                .saturating_sub(1);
            if intervals > 0 {
                let mean = first.elapsed().as_secs_f64() / f64::from(intervals);
                self.metrics
                    .per_token
                    .with_label_values(&[backend])
                    .observe(mean);
            }
        }
    }

    pub(super) fn log(&self, (status, outcome): (u16, Outcome), lasted: Duration, detail: &str) {
        let left_out = if self.let_in {
            None
        } else {
            match self.opening.strangers.line(self.now_ms()) {
                None => return,
                Some(left_out) => Some(left_out).filter(|number| *number > 0),
            }
        };
        let figures = self.figures.as_ref();
        let usage = figures.map(|figures| figures.usage).unwrap_or_default();
        let cost = figures.and_then(|figures| figures.cost).map(Usd::text);
        let since =
            |moment: Instant| millis(moment.saturating_duration_since(self.opening.started));
        tracing::info!(
            target: "tollgate::access",
            request_id = &*self.opening.request_id,
            endpoint = self.opening.endpoint.as_str(),
            key = self.key.as_deref().unwrap_or(NO_KEY),
            asked = %Shown(&self.asked, MAX_ASKED),
            route = self.route.as_deref().unwrap_or_default(),
            model = self.model_name(),
            backend = self.backend().map_or("", |(_, backend)| &*backend.name),
            attempts = self.attempts,
            stream = self.stream,
            status,
            outcome = outcome.as_str(),
            detail = %Shown(detail, MAX_DETAIL),
            prompt_tokens = usage.prompt_total(),
            output_tokens = usage.output_total(),
            estimated_prompt_tokens = self.estimated_prompt,
            cost_usd = cost,
            cost_basis = figures.map(|figures| figures.basis.as_str()),
            first_token_ms = self.first_event.map(since),
            duration_ms = millis(lasted),
            left_out,
            "request"
        );
    }

    /// What a price of the call under way depends on, beside its usage.
    pub(super) fn asks_price<'a>(&'a self, backend: &'a Backend) -> Asked<'a> {
        Asked {
            config: &self.means.config,
            backend,
            at: Timestamp::now(),
            reasoning: self.reasoning,
            tier: self.tier,
            swapped: None,
        }
    }
}

/// The usage of whoever has served the conversation all along, where `before` tokens were read and
/// written in the turn before.
fn if_stayed(usage: &Usage, before: u64) -> Usage {
    let cached = cached_if_stayed(before, usage.prompt_total());
    let more = cached.saturating_sub(usage.cache_read).min(usage.input);
    Usage {
        input: usage.input - more,
        cache_read: usage.cache_read.saturating_add(more),
        ..*usage
    }
}

/// Token counts by the types of the metric.
fn by_type(usage: &Usage) -> [(&'static str, u64); 7] {
    [
        ("input", usage.input.saturating_add(usage.input_image)),
        (
            "cache_read",
            usage.cache_read.saturating_add(usage.cache_read_audio),
        ),
        (
            "cache_write",
            usage.cache_write.saturating_add(usage.cache_write_1h),
        ),
        ("output", usage.output.saturating_add(usage.output_image)),
        ("reasoning", usage.reasoning),
        ("audio_in", usage.input_audio),
        ("audio_out", usage.output_audio),
    ]
}

/// A text in which a client may have had a hand, for a line of a log: at most so many characters,
/// and none that ends the line, colours it or turns it around.
struct Shown<'a>(&'a str, usize);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, most) = *self;
        let plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        if text.len() <= most && text.bytes().all(plain) {
            return f.write_str(text);
        }
        for c in text.chars().take(most) {
            match c {
                '"' | '\'' | '\\' => f.write_char(c)?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        Ok(())
    }
}
