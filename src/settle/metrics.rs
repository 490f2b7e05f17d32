//! The metrics of the contract. Every label comes from a closed set: names of the configuration
//! and words of this program, never what a client sent. The number of series is bounded, whatever
//! the configuration names: the first keys of the file have their own, and a `family` takes so
//! many and no more. Nothing is left uncounted: what has no series of its own is `other`.

mod budgets;
pub mod family;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use arc_swap::ArcSwap;
use foldhash::quality::FixedState;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
    core::{Collector, Desc},
    proto::{self, MetricFamily},
};

use self::family::{Family, Maker, Most};
use crate::{
    config::{Config, Series},
    money::PICO_PER_USD,
};

/// Seconds of a whole request.
const DURATION: [f64; 14] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];
/// Seconds to the first token.
const FIRST_TOKEN: [f64; 15] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
];
/// Seconds in tollgate.
const OVERHEAD: [f64; 11] = [
    25e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3,
];
/// Seconds a token.
const PER_TOKEN: [f64; 9] = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.5];

/// How a key of several can stand: it takes its turns, it is over its limit, it does not work.
pub const KEY_STATES: [&str; 3] = ["up", "cooling", "down"];

/// Of a second.
const NANOSECONDS: f64 = 1e9;

/// The label of what a key has alone.
const KEY: &[&str] = &["key"];
/// The labels of shared budgets.
const SHARED: &[&str] = &["budget", "value"];

/// One series of a gauge.
pub type Gauge = IntGauge;

/// The lines of a histogram beside its buckets: that without end, the sum and the count.
const HISTOGRAM_LINES: usize = 3;

/// Every family, in the order of the contract.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The ids that are labels.
    named: ArcSwap<HashSet<Arc<str>, FixedState>>,
    /// The values of tags that are labels, by their names.
    values: ArcSwap<HashSet<(Arc<str>, Arc<str>)>>,
    most: Most,
    /// endpoint, route, model, backend, code, outcome
    pub requests: Family<IntCounterVec>,
    /// key, outcome
    pub key_requests: Family<IntCounterVec>,
    /// endpoint, backend
    pub duration: Family<HistogramVec>,
    /// endpoint, backend
    pub first_token: Family<HistogramVec>,
    /// endpoint
    pub overhead: Family<HistogramVec>,
    /// backend
    pub per_token: Family<HistogramVec>,
    /// backend, key, type
    pub tokens: Family<IntCounterVec>,
    /// backend, key; in pico-dollars, shown in dollars
    pub cost: Family<IntCounterVec>,
    /// route; in pico-dollars, shown in dollars
    pub savings: Family<IntCounterVec>,
    /// route; in pico-dollars, shown in dollars
    pub overspent: Family<IntCounterVec>,
    /// backend
    pub unpriced: Family<IntCounterVec>,
    /// backend
    pub estimated: Family<IntCounterVec>,
    /// backend
    pub inconsistent: Family<IntCounterVec>,
    /// backend, reason
    pub price_doubts: Family<IntCounterVec>,
    /// provider; in nanoseconds, shown in seconds
    pub gpu_busy: Family<IntCounterVec>,
    /// provider
    pub gpus: Family<IntGaugeVec>,
    /// provider
    pub marginal_share: Family<GaugeVec>,
    /// backend; in pico-dollars, shown in dollars
    pub charged: Family<IntCounterVec>,
    /// backend; in pico-dollars, shown in dollars
    pub charged_listed: Family<IntCounterVec>,
    /// backend, result
    pub attempts: Family<IntCounterVec>,
    /// backend, kind
    pub retries: Family<IntCounterVec>,
    /// backend, result
    pub verified: Family<IntCounterVec>,
    pub unverified: IntCounter,
    /// result
    pub feedback: Family<IntCounterVec>,
    /// route, model, reason
    pub decisions: Family<IntCounterVec>,
    /// route, backend, reason
    pub refusals: Family<IntCounterVec>,
    /// backend, need
    pub capability_misses: Family<IntCounterVec>,
    /// key, limit
    pub rate_limited: Family<IntCounterVec>,
    pub client_retries: IntCounter,
    /// backend
    pub inflight: Family<IntGaugeVec>,
    /// backend
    pub backend_up: Family<IntGaugeVec>,
    /// backend; 0 closed, 1 half-open, 2 open
    pub breaker_state: Family<IntGaugeVec>,
    /// key
    pub budget_limit: Family<GaugeVec>,
    /// key
    pub budget_spent: Family<GaugeVec>,
    /// key
    pub budget_held: Family<GaugeVec>,
    /// key
    pub budget_soft: Family<GaugeVec>,
    /// key
    pub soft_exceeded: Family<IntCounterVec>,
    /// budget, value
    pub shared_limit: Family<GaugeVec>,
    /// budget, value
    pub shared_soft: Family<GaugeVec>,
    /// budget, value
    pub shared_spent: Family<GaugeVec>,
    /// budget, value
    pub shared_held: Family<GaugeVec>,
    /// budget, value
    pub shared_soft_exceeded: Family<IntCounterVec>,
    /// provider, state
    pub provider_keys: Family<IntGaugeVec>,
    /// result
    pub reloads: Family<IntCounterVec>,
    pub ledger_pending: IntGauge,
    pub ledger_written: IntCounter,
    pub ledger_lost: IntCounter,
    pub series_dropped: IntCounter,
}

/// A counter of small units, such as pico-dollars, that is shown in large ones: the sum is exact,
/// and a float is made of it only here.
struct Scaled {
    family: Family<IntCounterVec>,
    /// Small units of a large one.
    unit: f64,
}

impl Collector for Scaled {
    fn desc(&self) -> Vec<&Desc> {
        self.family.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.family.collect();
        for family in &mut families {
            for metric in family.mut_metric() {
                let shown = metric.get_counter().get_value() / self.unit;
                let mut counter = proto::Counter::default();
                counter.set_value(shown);
                metric.set_counter(counter);
            }
        }
        families
    }
}

impl Metrics {
    /// Registers every family.
    ///
    /// # Errors
    /// If two families share a name, which a test rules out.
    pub fn new(commit: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("tollgate".into()), None)?;
        let most = Most::new(AtomicUsize::new(Series::default().max_series));
        let series_dropped = dropped(&registry)?;
        let to = Families {
            registry: &registry,
            most: &most,
            dropped: &series_dropped,
        };
        to.build_info(commit)?;
        Ok(Self {
            requests: to.counter("requests_total", "Requests that were answered, refused or given up.", &["endpoint", "route", "model", "backend", "code", "outcome"])?,
            key_requests: to.counter("key_requests_total", "The same, by key.", &["key", "outcome"])?,
            duration: to.histogram(
                ("request_duration_seconds", "From the head of a request to the end of its answer."),
                &["endpoint", "backend"],
                &DURATION,
            )?,
            first_token: to.histogram(
                ("time_to_first_token_seconds", "From the head of a request to the first event of its stream."),
                &["endpoint", "backend"],
                &FIRST_TOKEN,
            )?,
            overhead: to.histogram(
                ("overhead_seconds", "Time in tollgate until the head of the answer, not waiting for client or backend."),
                &["endpoint"],
                &OVERHEAD,
            )?,
            per_token: to.histogram(("time_per_output_token_seconds", "Between two tokens of a stream, on average."), &["backend"], &PER_TOKEN)?,
            tokens: to.counter("tokens_total", "Tokens used, in disjoint types.", &["backend", "key", "type"])?,
            cost: to.money("cost_usd_total", "What calls cost, in US dollars; the sum of the rows of the ledger.", &["backend", "key"])?,
            savings: to.money("savings_usd_total", "What calls cost less than the route's baseline would have.", &["route"])?,
            overspent: to.money("overspent_usd_total", "What calls cost more than the route's baseline would have.", &["route"])?,
            unpriced: to.counter("unpriced_requests_total", "Calls that no price applies to.", &["backend"])?,
            estimated: to.counter("estimated_usage_total", "Calls whose usage had to be estimated.", &["backend"])?,
            inconsistent: to.counter("usage_inconsistent_total", "Usage reports that contradict themselves.", &["backend"])?,
            price_doubts: to.counter("price_doubts_total", "Prices that are not known, or that something is odd about.", &["backend", "reason"])?,
            gpu_busy: to.scaled(("self_hosted_busy_gpu_seconds_total", "GPU-seconds that calls kept own hardware busy, at the configured speeds."), &["provider"], NANOSECONDS)?,
            gpus: to.gauge("self_hosted_gpus", "GPUs that are paid for by the hour.", &["provider"])?,
            marginal_share: to.ratio("self_hosted_marginal_share_ratio", "What part of its cost one more call adds at the present load.")?,
            charged: to.money("charged_usd_total", "What providers that say so charged for calls.", &["backend"])?,
            charged_listed: to.money("charged_list_usd_total", "What the price cards say of the same calls.", &["backend"])?,
            attempts: to.counter("attempts_total", "Calls to backends.", &["backend", "result"])?,
            retries: to.counter("retries_total", "Repeated calls: of the same backend, or of the next.", &["backend", "kind"])?,
            verified: to.counter("answers_verified_total", "Answers that were looked at, by what they show.", &["backend", "result"])?,
            unverified: to.plain("answers_unverified_total", "Answers whose form was not looked at, as too many waited.")?,
            feedback: to.counter("feedback_total", "What clients said of answers, by what became of it.", &["result"])?,
            decisions: to.counter("route_decisions_total", "Which model was put first, and by what.", &["route", "model", "reason"])?,
            refusals: to.counter("route_refusals_total", "Backends that were not put on the list.", &["route", "backend", "reason"])?,
            capability_misses: to.counter("capability_misses_total", "Requests that a backend turned out to be unable to serve.", &["backend", "need"])?,
            rate_limited: to.counter("rate_limited_total", "Requests that a limit refused, or that it passed on to another backend.", &["key", "limit"])?,
            client_retries: to.plain("client_retries_total", "Requests that a client says it repeats.")?,
            inflight: to.gauge("inflight_requests", "Calls that are under way.", &["backend"])?,
            backend_up: to.gauge("backend_up", "1 if the backend is asked, 0 if it is left alone.", &["backend"])?,
            breaker_state: to.gauge("breaker_state", "0 while the backend is asked, 1 while one call tries it, 2 while it is left alone.", &["backend"])?,
            budget_limit: to.dollars("budget_limit_usd", "What a key may spend in the window of its budget.", KEY)?,
            budget_spent: to.dollars("budget_spent_usd", "What it has spent in this window.", KEY)?,
            budget_held: to.dollars("budget_held_usd", "What is held of it for requests under way.", KEY)?,
            budget_soft: to.dollars("budget_soft_usd", "What a key may spend before it is told.", KEY)?,
            soft_exceeded: to.counter("budget_soft_exceeded_total", "Times that a key came to exceed the soft limit of its budget.", KEY)?,
            shared_limit: to.dollars("shared_budget_limit_usd", "What may be spent together in the window of a shared budget.", SHARED)?,
            shared_soft: to.dollars("shared_budget_soft_usd", "What may be spent of it before it is told.", SHARED)?,
            shared_spent: to.dollars("shared_budget_spent_usd", "What is spent of it in this window.", SHARED)?,
            shared_held: to.dollars("shared_budget_held_usd", "What is held of it for requests under way.", SHARED)?,
            shared_soft_exceeded: to.counter("shared_budget_soft_exceeded_total", "Times that the soft limit of a shared budget came to be exceeded.", SHARED)?,
            provider_keys: to.gauge("provider_keys", "Keys of providers that have several, by how they stand.", &["provider", "state"])?,
            reloads: to.counter("config_reloads_total", "Times that the configuration was read again.", &["result"])?,
            ledger_pending: to.level("ledger_pending_rows", "Rows that are settled and not in the ledger yet.")?,
            ledger_written: to.plain("ledger_written_total", "Rows that were written to the ledger.")?,
            ledger_lost: to.plain("ledger_lost_total", "Rows that found room neither in the ledger nor beside it.")?,
            series_dropped,
            named: ArcSwap::default(),
            values: ArcSwap::default(),
            most,
            registry,
        })
    }

    /// Takes the bounds and the names of a configuration. Series that are there stay.
    pub fn follow(&self, config: &Config) {
        let Series {
            max_keys,
            max_series,
        } = config.metrics;
        let first = config.keys.iter().take(max_keys);
        let named = first.map(|key| Arc::clone(&key.id)).collect();
        self.named.store(Arc::new(named));
        self.values.store(Arc::new(budgets::values(config)));
        self.most.store(max_series, Relaxed);
    }

    /// Is a key of that id a label of its own? Else it is [`family::OTHER`].
    #[must_use]
    pub fn names_key(&self, id: &str) -> bool {
        self.named.load().contains(id)
    }

    /// A backend left the configuration: how it stands is not to be shown any more. What was
    /// counted of it stays.
    pub fn forget_backend(&self, name: &str) {
        for gauges in [&self.backend_up, &self.breaker_state] {
            gauges.remove(&[name]);
        }
    }

    /// Hardware of one's own left the configuration: what it is is not to be shown any more.
    pub fn forget_hosted(&self, provider: &str) {
        self.gpus.remove(&[provider]);
        self.marginal_share.remove(&[provider]);
    }

    /// A provider has no longer several keys.
    pub fn forget_keys(&self, provider: &str) {
        for state in KEY_STATES {
            self.provider_keys.remove(&[provider, state]);
        }
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn text(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .unwrap_or_default()
    }
}

/// Counts what finds no room in a family.
fn dropped(registry: &Registry) -> Result<IntCounter, prometheus::Error> {
    let dropped = IntCounter::new(
        "metrics_series_dropped_total",
        "Times that something was counted under `other` as its family has too many series.",
    )?;
    registry.register(Box::new(dropped.clone()))?;
    Ok(dropped)
}

/// Makes and registers families.
struct Families<'a> {
    registry: &'a Registry,
    most: &'a Most,
    dropped: &'a IntCounter,
}

impl Families<'_> {
    /// What runs.
    fn build_info(&self, commit: &str) -> Result<(), prometheus::Error> {
        let info = self.gauge("build_info", "Always 1.", &["version", "commit"])?;
        let version = env!("CARGO_PKG_VERSION");
        info.with_label_values(&[version, commit]).set(1);
        Ok(())
    }

    fn counter(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Family<IntCounterVec>, prometheus::Error> {
        self.registered(IntCounterVec::new(Opts::new(name, help), labels)?, 1)
    }

    /// A counter of pico-dollars.
    fn money(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Family<IntCounterVec>, prometheus::Error> {
        #[expect(clippy::cast_precision_loss, reason = "10^12 is exact in a double")]
        let unit = PICO_PER_USD as f64;
        self.scaled((name, help), labels, unit)
    }

    fn scaled(
        &self,
        (name, help): (&str, &str),
        labels: &[&str],
        unit: f64,
    ) -> Result<Family<IntCounterVec>, prometheus::Error> {
        let family = self.bounded(IntCounterVec::new(Opts::new(name, help), labels)?, 1)?;
        let shown = Scaled {
            family: family.clone(),
            unit,
        };
        self.registry.register(Box::new(shown))?;
        Ok(family)
    }

    /// A part of a provider's whole.
    fn ratio(&self, name: &str, help: &str) -> Result<Family<GaugeVec>, prometheus::Error> {
        self.registered(GaugeVec::new(Opts::new(name, help), &["provider"])?, 1)
    }

    fn plain(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let counter = IntCounter::new(name, help)?;
        self.registry.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn level(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let level = IntGauge::new(name, help)?;
        self.registry.register(Box::new(level.clone()))?;
        Ok(level)
    }

    fn gauge(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Family<IntGaugeVec>, prometheus::Error> {
        self.registered(IntGaugeVec::new(Opts::new(name, help), labels)?, 1)
    }

    fn dollars(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Family<GaugeVec>, prometheus::Error> {
        self.registered(GaugeVec::new(Opts::new(name, help), labels)?, 1)
    }

    fn histogram(
        &self,
        (name, help): (&str, &str),
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<Family<HistogramVec>, prometheus::Error> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        let lines = buckets.len() + HISTOGRAM_LINES;
        self.registered(HistogramVec::new(opts, labels)?, lines)
    }

    fn registered<V: Maker + 'static>(
        &self,
        maker: V,
        lines: usize,
    ) -> Result<Family<V>, prometheus::Error> {
        let family = self.bounded(maker, lines)?;
        self.registry.register(Box::new(family.clone()))?;
        Ok(family)
    }

    fn bounded<V: Maker>(&self, maker: V, lines: usize) -> Result<Family<V>, prometheus::Error> {
        Family::new(maker, lines, Arc::clone(self.most), self.dropped.clone())
    }
}
