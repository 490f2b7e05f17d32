//! Bad days: whatever happens, afterwards nothing is under way, nobody holds anything, every row is
//! written, and the ledger says what the simulator says. The real program, as a process of its own.

mod cover;
mod crowds;
mod disk;
mod ends;

use std::collections::BTreeSet;

use http::Method;
use tollgate::simulate::Handle;

use crate::{
    ledger::{Row, dollars, rows, total},
    support::{
        Call, Metrics, Setup, eventually,
        gateway::{ask, stream},
        pico,
        program::Program,
        simulator,
    },
};

/// The key of every request.
const KEY: &str = "sk-bad-day-0123456789abcdef";
/// Requests at once of the key, unless a test says otherwise.
const PLACES: usize = 64;

/// A program, its simulator, and a key with so many places.
#[derive(Debug)]
struct Day {
    sim: Handle,
    program: Program,
    places: usize,
}

impl Day {
    /// Begins with what `setup` makes of the simulator.
    async fn begin(setup: impl FnOnce(Setup) -> Setup) -> Self {
        Self::with_places(PLACES, setup).await
    }

    async fn with_places(places: usize, setup: impl FnOnce(Setup) -> Setup) -> Self {
        let sim = simulator().await;
        let yaml = Self::yaml(&sim, places, setup);
        let program = Program::start(&yaml).await;
        Self {
            sim,
            program,
            places,
        }
    }

    fn yaml(sim: &Handle, places: usize, setup: impl FnOnce(Setup) -> Setup) -> String {
        let limits = format!("limits: {{ max_concurrent: {places} }}");
        let budget = "budget: { usd: '1000000', per: total }";
        setup(Setup::new(sim))
            .model("held", &["h/held+out=100000+gap=100ms"])
            .also(&format!(
                "keys: [{{ id: day, key: {KEY}, {limits}, {budget} }}]"
            ))
            .yaml()
    }

    /// A chat request of the key.
    fn post(&self, body: &serde_json::Value) -> Call {
        Call::new(self.program.client, Method::POST, "/v1/chat/completions")
            .key(KEY)
            .json(body)
    }

    async fn metrics(&self) -> Metrics {
        let call = Call::new(self.program.admin, Method::GET, "/metrics");
        Metrics::parse(call.send().await.text())
    }

    /// Waits until the simulator has so many requests of a model under way.
    async fn under_way(&self, model: &str, number: u64) {
        eventually("they are under way", async || {
            self.sim.account().model(model).in_flight == number
        })
        .await;
    }

    fn rows(&self) -> Vec<Row> {
        rows(&self.program.file("tollgate.db"))
    }
}

/// Asserts that nothing is left of a bad day; its rows.
async fn after_a_bad_day(day: &Day) -> Vec<Row> {
    eventually("nothing is under way, and nothing waits", async || {
        let metrics = day.metrics().await;
        let left = metrics.sum("inflight_requests", &[]);
        let waits = metrics.sum("ledger_pending_rows", &[]);
        left + waits == 0.0 && idle(&day.sim)
    })
    .await;
    let (metrics, rows) = (day.metrics().await, day.rows());
    assert_eq!(metrics.count("ledger_lost_total", &[]), 0);
    assert_eq!(
        metrics.count("attempts_total", &[]),
        rows.len() as u64,
        "a call without a row"
    );
    agrees_with_the_simulator(&day.sim, &rows);
    let backends: BTreeSet<String> = rows.iter().map(|row| row.backend.clone()).collect();
    let backends: Vec<String> = backends.into_iter().collect();
    assert_eq!(dollars(&metrics, &backends), total(&rows));
    let key = Call::new(day.program.client, Method::GET, "/v1/key").key(KEY);
    let budget = key.send().await.json()["budget"].take();
    let told = |name: &str| pico(budget[name].as_str().unwrap());
    assert_eq!((told("spent_usd"), told("held_usd")), (total(&rows), 0));
    no_place_is_held(day).await;
    rows
}

fn idle(sim: &Handle) -> bool {
    sim.account()
        .models
        .iter()
        .all(|model| model.in_flight == 0)
}

/// As many rows as the simulator had calls, and where all of them are exact, just its tokens.
fn agrees_with_the_simulator(sim: &Handle, rows: &[Row]) {
    let served = sim.account();
    assert_eq!(rows.len() as u64, served.requests, "{rows:#?}");
    for model in &served.models {
        let name = format!("{}/{}", model.provider, model.model);
        let own: Vec<&Row> = rows.iter().filter(|row| row.backend == name).collect();
        assert_eq!(own.len() as u64, model.requests, "calls of {name}");
        if own.iter().all(|row| row.basis == "exact") {
            let tokens = own.iter().fold((0, 0), |(input, output), row| {
                (input + row.tokens.0, output + row.tokens.1)
            });
            let served = (model.prompt_tokens as i64, model.completion_tokens as i64);
            assert_eq!(tokens, served, "tokens of {name}");
        }
    }
}

/// All places of the key can be taken at once, and not one more.
async fn no_place_is_held(day: &Day) {
    let mut held = Vec::new();
    for place in 0..day.places {
        let open = day.post(&stream("held")).open().await;
        assert_eq!(open.status, 200, "place {place} of {}", day.places);
        held.push(open);
    }
    let one_more = day.post(&ask("held")).send().await;
    assert_eq!(
        one_more.refusal(),
        "429 requests too_many_concurrent_requests null"
    );
    drop(held);
    eventually("everybody has left", async || idle(&day.sim)).await;
}
