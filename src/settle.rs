//! Settle: the account of one request, closed exactly once on every way out.
//!
//! It is opened before anything is known of a request, travels with it into the body of a stream,
//! and is closed at the end, at an error, or when it is dropped because the client left. What it
//! closes: usage and its price, metrics, what is learned of the backend, one line in the log.

pub mod metrics;

use std::{
    fmt::{self, Write as _},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::time::{Duration, Instant};

use self::metrics::Metrics;
use crate::{
    authenticate::Principal,
    call::{
        self, Means, Watch,
        failure::{Class, Failure},
    },
    caps::Cap,
    config::{Backend, Config},
    money::Usd,
    route::{Candidate, Plan, Refused, cost, names::Target},
    understand::{Ask, Endpoint},
    usage::Usage,
    wire::usage,
};

/// The label of whatever has no name in the configuration.
const UNKNOWN: &str = "unknown";
/// The label of callers without a key.
const NO_KEY: &str = "none";
/// Bytes of generated text that make about one token, where a backend reports no usage.
const OUTPUT_BYTES_PER_TOKEN: u64 = 4;

/// Characters of a model's name that are logged.
const MAX_ASKED: usize = 128;
/// Characters of a reason that are logged.
const MAX_DETAIL: usize = 512;

/// How a request ended; the label in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    ClientError,
    Refused,
    UpstreamError,
    Timeout,
    Cut,
    Cancelled,
}

impl Outcome {
    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::Refused => "refused",
            Self::UpstreamError => "upstream_error",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
            Self::Cancelled => "cancelled",
        }
    }

    /// The label of the attempt that was under way at that end.
    fn of_attempt(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError | Self::Refused => "refused",
            Self::UpstreamError | Self::Cut => "error",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Who is asked for, as far as it is known when a request is opened.
#[derive(Debug, Clone)]
pub struct Opening {
    pub request_id: String,
    pub endpoint: Endpoint,
    pub started: Instant,
}

/// The account of one request.
#[derive(Debug)]
pub struct Account {
    metrics: Arc<Metrics>,
    means: Arc<Means>,
    opening: Opening,
    key: Option<Arc<str>>,
    /// The model as the client wrote it: for the log only.
    asked: String,
    route: Option<Arc<str>>,
    stream: bool,
    reasoning: bool,
    estimated_prompt: u64,
    choices: u64,
    attempts: u32,
    /// The backend that is being called or has answered.
    serving: Option<Candidate>,
    /// Is `serving` counted as in flight?
    inflight: bool,
    waited: Duration,
    waiting_since: Option<Instant>,
    first_event: Option<Instant>,
    output_bytes: u64,
    usage: Option<Usage>,
    inconsistent: bool,
    cost: Option<Usd>,
    complete: bool,
    closed: bool,
}

impl Account {
    /// Opens the account of a request.
    #[must_use]
    pub fn open(metrics: Arc<Metrics>, means: Arc<Means>, opening: Opening) -> Self {
        Self {
            metrics,
            means,
            opening,
            key: None,
            asked: String::new(),
            route: None,
            stream: false,
            reasoning: false,
            estimated_prompt: 0,
            choices: 1,
            attempts: 0,
            serving: None,
            inflight: false,
            waited: Duration::ZERO,
            waiting_since: None,
            first_event: None,
            output_bytes: 0,
            usage: None,
            inconsistent: false,
            cost: None,
            complete: false,
            closed: false,
        }
    }

    /// The caller is known.
    pub fn caller(&mut self, principal: &Principal) {
        self.key.clone_from(&principal.id);
    }

    /// The client is waited for, until `resume`.
    pub fn wait(&mut self) {
        self.waiting_since.get_or_insert_with(Instant::now);
    }

    /// The waiting is over.
    pub fn resume(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// The request is understood.
    pub fn asked(&mut self, ask: &Ask) {
        self.asked.clone_from(&ask.model);
        self.stream = ask.stream;
        self.reasoning = ask.needs.caps.has(Cap::Reasoning);
        self.estimated_prompt = ask.needs.prompt_tokens;
        self.choices = ask.needs.choices;
    }

    /// The backends are chosen.
    pub fn planned(&mut self, plan: &Plan) {
        let config = &self.means.config;
        if let Target::Route(route) = plan.target {
            self.route = config.routes.get(route).map(|route| route.name.clone());
        }
        let route = self.route.as_deref().unwrap_or_default();
        let first = plan
            .candidates
            .first()
            .and_then(|c| config.models.get(c.model));
        let model = first.map_or(UNKNOWN, |model| &model.name);
        self.metrics
            .decisions
            .with_label_values(&[route, model, plan.reason.label()])
            .inc();
        self.refused(&plan.refused);
    }

    /// Backends that were not put on the list.
    pub fn refused(&self, refused: &[Refused]) {
        let route = self.route.as_deref().unwrap_or_default();
        for refusal in refused {
            let backend = self
                .means
                .config
                .backends
                .get(refusal.backend)
                .map_or(UNKNOWN, |b| &b.name);
            self.metrics
                .refusals
                .with_label_values(&[route, backend, refusal.why.label()])
                .inc();
        }
    }

    /// The head of the answer leaves now.
    pub fn head_leaves(&mut self) {
        self.resume();
        let overhead = self.opening.started.elapsed().saturating_sub(self.waited);
        let endpoint = self.opening.endpoint.as_str();
        self.metrics
            .overhead
            .with_label_values(&[endpoint])
            .observe(overhead.as_secs_f64());
    }

    /// Calls to backends so far.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Who is being called or has answered.
    #[must_use]
    pub fn serving(&self) -> Option<&Candidate> {
        self.serving.as_ref()
    }

    /// The exact price of the answer, once its usage has come and if it is priced.
    #[must_use]
    pub fn cost(&self) -> Option<Usd> {
        self.usage.and(self.cost)
    }

    /// Milliseconds since the request came.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        millis(self.opening.started.elapsed())
    }

    /// Closes the account; only the first call counts.
    pub fn close(&mut self, status: u16, outcome: Outcome, detail: &str) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        if self.inflight {
            let labels = [self.backend_name(), outcome.of_attempt()];
            self.metrics.attempts.with_label_values(&labels).inc();
        }
        self.leave();
        if self.first_event.is_some() {
            self.bill();
        }
        self.count(status, outcome);
        self.log(status, outcome, detail);
    }

    /// The backend is no longer being called.
    fn leave(&mut self) {
        if std::mem::take(&mut self.inflight) {
            self.metrics
                .inflight
                .with_label_values(&[self.backend_name()])
                .dec();
        }
    }

    /// Books what was used: as reported, or else estimated from what was delivered.
    fn bill(&mut self) {
        let Some((candidate, backend)) = self.backend() else {
            return;
        };
        let (name, key) = (&*backend.name, self.key.as_deref().unwrap_or(NO_KEY));
        let metrics = &self.metrics;
        let usage = self.usage.unwrap_or_else(|| {
            metrics.estimated.with_label_values(&[name]).inc();
            let output = self.output_bytes.div_ceil(OUTPUT_BYTES_PER_TOKEN);
            Usage {
                input: candidate.prompt_tokens,
                output,
                ..Usage::default()
            }
        });
        let cost = if self.usage.is_some() {
            self.cost
        } else {
            self.price(&usage, cost::STANDARD)
        };
        for (kind, tokens) in by_type(&usage)
            .into_iter()
            .filter(|(_, tokens)| *tokens > 0)
        {
            metrics
                .tokens
                .with_label_values(&[name, key, kind])
                .inc_by(tokens);
        }
        match cost.map(|cost| u64::try_from(cost.pico())) {
            Some(Ok(pico)) => metrics.cost.with_label_values(&[name, key]).inc_by(pico),
            Some(Err(_)) | None => metrics.unpriced.with_label_values(&[name]).inc(),
        }
        if self.inconsistent {
            metrics.inconsistent.with_label_values(&[name]).inc();
        }
        if let Some(usage) = self.usage {
            self.learn(&candidate, &usage);
        }
        self.cost = cost;
    }

    /// What a reported usage teaches.
    fn learn(&self, candidate: &Candidate, usage: &Usage) {
        if let Some(live) = self.means.live.get(candidate.backend) {
            live.learned
                .observe_prompt(self.estimated_prompt, usage.prompt_total());
        }
        if let Some(lengths) = self.means.lengths.get(candidate.model) {
            lengths.observe(usage.output_total() / self.choices.max(1));
        }
    }

    fn count(&self, status: u16, outcome: Outcome) {
        let (endpoint, outcome) = (self.opening.endpoint.as_str(), outcome.as_str());
        let backend = self.backend().map_or("", |(_, backend)| &*backend.name);
        let route = self.route.as_deref().unwrap_or_default();
        let code = status.to_string();
        let labels = [endpoint, route, self.model_name(), backend, &code, outcome];
        self.metrics.requests.with_label_values(&labels).inc();
        let key = self.key.as_deref().unwrap_or(NO_KEY);
        self.metrics
            .key_requests
            .with_label_values(&[key, outcome])
            .inc();
        let seconds = self.opening.started.elapsed().as_secs_f64();
        self.metrics
            .duration
            .with_label_values(&[endpoint, backend])
            .observe(seconds);
        if let (true, Some(first), Some(usage)) =
            (self.stream && self.complete, self.first_event, self.usage)
        {
            let intervals = u32::try_from(usage.output_total())
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

    fn log(&self, status: u16, outcome: Outcome, detail: &str) {
        let usage = self.usage.unwrap_or_default();
        let since =
            |moment: Instant| millis(moment.saturating_duration_since(self.opening.started));
        tracing::info!(
            target: "tollgate::access",
            request_id = self.opening.request_id,
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
            cost_usd = self.cost.map(|cost| cost.to_string()),
            first_token_ms = self.first_event.map(since),
            duration_ms = self.elapsed_ms(),
            "request"
        );
    }

    fn price(&self, usage: &Usage, tier: &str) -> Option<Usd> {
        let (_, backend) = self.backend()?;
        let asked = cost::asked_at(Timestamp::now(), tier, self.reasoning);
        cost::of(&self.means.config, backend, usage, &asked)
    }

    fn backend(&self) -> Option<(Candidate, &Backend)> {
        let candidate = self.serving?;
        Some((
            candidate,
            self.means.config.backends.get(candidate.backend)?,
        ))
    }

    fn backend_name(&self) -> &str {
        self.backend().map_or(UNKNOWN, |(_, backend)| &backend.name)
    }

    fn model_name(&self) -> &str {
        let model = self
            .serving
            .and_then(|c| self.means.config.models.get(c.model));
        model.map_or(UNKNOWN, |model| &model.name)
    }
}

impl Watch for Account {
    fn begin(&mut self, candidate: &Candidate) {
        self.attempts += 1;
        self.serving = Some(*candidate);
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
        // nothing of it was delivered, so nothing of it belongs to the answer
        (self.usage, self.cost, self.output_bytes) = (None, None, 0);
        self.inconsistent = false;
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

impl Drop for Account {
    fn drop(&mut self) {
        // 499 is what nginx writes where the client left; nobody receives it
        self.close(499, Outcome::Cancelled, "the client left");
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A text in which a client may have had a hand, for a line of a log: at most so many characters,
/// and none that ends the line, colours it or turns it around.
struct Shown<'a>(&'a str, usize);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, most) = *self;
        for c in text.chars().take(most) {
            match c {
                '"' | '\'' | '\\' => f.write_char(c)?,
                _ => write!(f, "{}", c.escape_debug())?,
            }
        }
        Ok(())
    }
}
