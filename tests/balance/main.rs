//! The books balance: a mixed load through the real program against the simulator, and then the
//! ledger, `/metrics`, what clients were shown and what the simulator says that it served are
//! compared, to the pico-dollar; also when the program is killed in the middle.
//!
//! ```text
//! cargo nextest run --test balance --no-capture
//! TOLLGATE_BALANCE_REQUESTS=100000 cargo nextest run --release --test balance --no-capture
//! ```
//!
//! The mix is the same at each run. A table is printed, and below it every figure that is off.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests: a panic is how they fail"
)]

mod books;
mod client;
mod fleet;
mod ledger;
mod load;
mod mix;
mod table;

#[expect(
    dead_code,
    unused_imports,
    reason = "what other tests need of it is not needed here"
)]
#[path = "../it/support"]
mod support {
    pub(crate) mod common;
    pub(crate) mod gateway;
    pub(crate) mod http;
    pub(crate) mod metrics;
    pub(crate) mod program;
    pub(crate) mod setup;
    pub(crate) mod sse;

    pub(crate) use self::{
        common::{ANY_PORT, SOON, eventually, pico, simulator},
        gateway::Gateway,
        http::{Call, Reply},
        metrics::Metrics,
        program::Program,
        setup::Setup,
        sse::Stream,
    };
}

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    books::Books,
    client::{End, Seen},
    ledger::Row,
    load::Stage,
    mix::Ask,
    support::{Program, eventually},
};

/// Requests of a run, unless `TOLLGATE_BALANCE_REQUESTS` says otherwise.
const REQUESTS: usize = 10_000;
/// What may be lost when the program is killed.
const MAY_BE_LOST: Duration = Duration::from_millis(100);
/// Calls that one request may lead to.
const MOST_ATTEMPTS: u64 = 3;

/// All requests, or a part of as many.
fn mix(part: usize) -> Arc<[Ask]> {
    let stated = std::env::var("TOLLGATE_BALANCE_REQUESTS");
    let number = stated.map_or(REQUESTS, |number| number.parse().expect("a number"));
    mix::of(number / part).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_after_a_mixed_load() {
    let mix = mix(1);
    let sim = Arc::new(fleet::simulator().await);
    let mut program = Program::start(&fleet::yaml(&sim, mix.len())).await;
    let stage = Stage::new(&program, &sim);
    let started = Instant::now();
    let seen = load::run(&stage, &mix).await;
    println!("{} requests in {:.1?}\n", mix.len(), started.elapsed());
    Books::close(&program, &sim, seen, &[]).await.check();
    load::no_place_is_held(&stage).await;
    program.signal("TERM");
    assert_eq!(program.end().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_after_a_kill_in_the_middle() {
    let mix = mix(4);
    let sim = Arc::new(fleet::simulator().await);
    let program = Program::start(&fleet::yaml(&sim, mix.len())).await;
    let stage = Stage::new(&program, &sim);
    let killing = async {
        stage.until(mix.len() / 2).await;
        let at = Instant::now();
        program.signal("KILL");
        at
    };
    let (seen, killed) = tokio::join!(load::run(&stage, &mix), killing);
    eventually("the simulator is idle", async || {
        sim.account()
            .models
            .iter()
            .all(|model| model.in_flight == 0)
    })
    .await;
    let too_many = seen.iter().filter(|one| one.end == End::Refused(429));
    assert!(too_many.count() > 0, "no limit was ever reached");
    let mut program = program.start_again().await;
    let kept = ledger::rows(&program.file("tollgate.db"));
    println!("{}", compare(&seen, &kept, killed, sim.account().requests));

    // the rest is for the next life, which begins with limits as at the first day
    sim.reset();
    let rest = mix[seen.len()..].into();
    let stage = Stage::new(&program, &sim);
    let first = load::first(&stage).await;
    let mut seen = load::run(&stage, &rest).await;
    seen.push(first);
    Books::close(&program, &sim, seen, &kept).await.check();
    load::no_place_is_held(&stage).await;
    program.signal("TERM");
    assert_eq!(program.end().await.code(), Some(0));
}

/// Asserts that a killed program lost nothing but what it had settled right before, and wrote
/// nothing that clients were not shown; says what is lost.
fn compare(seen: &[Seen], kept: &[Row], killed: Instant, served: u64) -> String {
    let rows: BTreeSet<(&str, u64)> = kept
        .iter()
        .map(|row| (&*row.request, row.attempt))
        .collect();
    assert_eq!(rows.len(), kept.len(), "a call has two rows");
    let last: BTreeMap<&str, &Row> = kept.iter().map(|row| (&*row.request, row)).collect();
    let (mut shown, mut written, mut lost) = (0, 0, 0);
    for one in seen {
        let Some((told, id)) = one.told.zip(one.id.as_deref()) else {
            continue;
        };
        shown += told;
        match last.get(id) {
            Some(row) if row.is_used() && row.basis == "exact" => {
                assert_eq!(row.cost, Some(told), "{one:?}");
                written += told;
            }
            _ => {
                let before = killed.saturating_duration_since(one.at);
                assert!(
                    before <= MAY_BE_LOST,
                    "lost {before:?} before the end: {one:?}"
                );
                lost += told;
            }
        }
    }
    assert_eq!(shown, written + lost);
    let late = seen
        .iter()
        .filter(|one| one.end == End::Gone || one.at + MAY_BE_LOST >= killed);
    let late = late.count() as u64;
    let unwritten = served - kept.len() as u64;
    assert!(
        unwritten <= late * MOST_ATTEMPTS,
        "{unwritten} calls without a row, {late} requests at the end"
    );
    format!(
        "killed after {} requests: {} rows kept, {unwritten} calls of {late} late requests without \
         one, {lost} of {shown} pico-dollars shown lost",
        seen.len(),
        kept.len()
    )
}
