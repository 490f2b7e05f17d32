//! What a request costs beside its decision: limits and money are taken and settled, and what it
//! used is written down in metrics and the ledger. Nothing here touches a socket.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that can't be set up has nothing to measure"
)]

#[path = "shared/requests.rs"]
mod requests;

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, criterion_group, criterion_main};
use http::HeaderMap;
use jiff::Timestamp;
use tollgate::{
    admit::{holders::Holder, limits, purse::Hold},
    authenticate::Principal,
    call::{Served, Watch},
    config::OnFailure,
    domain::Domain,
    money::{Total, Usd},
    route::{Plan, Question},
    settle::{
        Account, Opening, Outcome, Strangers,
        ledger::{Basis, Prediction, Row, Sink},
        metrics::Metrics,
    },
    state::World,
    store::Store,
    understand::{self, Ask, Endpoint},
    usage::Usage,
};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A key that is held to everything, and the gateway itself.
const HELD: &str = "
limits: { rpm: 4000000000, max_concurrent: 1000000 }
keys:
  - id: team-a
    key: tg-bench-0123456789abcdef0123456789abcdef
    limits: { rpm: 4000000000, tpm: 1000000000000000, max_concurrent: 1000000 }
    budget: { usd: \"1000000\", per: month }
";
/// What the answer says of its usage.
const USAGE: &str = r#"{"prompt_tokens":632,"completion_tokens":212,"total_tokens":844}"#;
/// Rows that are recorded before it is waited until they are written: what a queue takes.
const ROWS: u64 = 50_000;

criterion_group!(benches, admission, account, ledger);
criterion_main!(benches);

/// Limits and money, taken and settled.
fn admission(c: &mut Criterion) {
    let world = world();
    let holder = holder(&world);
    let mut group = c.benchmark_group("admit");
    group.bench_function("limits", |b| {
        b.iter(|| {
            let now_ms = world.means.now_ms();
            let all = world.limits.of_caller(Some(&holder));
            let mut grants = Vec::new();
            limits::enter_all(&mut grants, all, 1_000, now_ms).expect("room");
            grants.into_iter().for_each(|g| g.settle(800, now_ms));
        });
    });
    let (worst, cost) = (Usd::from_pico(9_000_000), Usd::from_pico(2_000_000));
    group.bench_function("purse", |b| {
        let now = Timestamp::now();
        b.iter(|| {
            let hold = Hold::of(holder.purses.iter(), black_box(worst), now).expect("money");
            hold.expect("a budget").settle(cost, now);
        });
    });
    group.finish();
}

/// The whole account of a request that goes well: opened, told everything, closed.
fn account(c: &mut Criterion) {
    let world = world();
    let holder = holder(&world);
    let principal = Principal::new(Arc::from("team-a"), None);
    let metrics = Arc::new(Metrics::new("").expect("metrics"));
    metrics.follow(&world.config);
    let strangers = Arc::new(Strangers::default());
    let ask = ask();
    let plan = Arc::new(plan(&world, &principal, &ask));
    c.bench_function("account", |b| {
        b.iter(|| {
            let opening = Opening {
                request_id: Arc::from("req-0123456789abcdef"),
                endpoint: Endpoint::ChatCompletions,
                started: tokio::time::Instant::now(),
                exams: None,
                ledger: None,
                strangers: Arc::clone(&strangers),
            };
            let (means, limits) = (Arc::clone(&world.means), Arc::clone(&world.limits));
            let mut account = Account::open(Arc::clone(&metrics), means, limits, opening);
            account.caller(&principal, Some(Arc::clone(&holder)));
            account.enter().expect("room");
            account.asked(&ask);
            let target = world.names.find(&ask.model);
            account.aims(target);
            account.pays(world.paying(Some(&holder), target));
            account.planned(&plan);
            account.hold(&plan).expect("room");
            let first = &plan.candidates[0];
            Watch::enter(&mut *account, first).expect("room");
            account.begin(first);
            account.first_event();
            account.output(900);
            account.usage(USAGE, Served::default());
            account.complete();
            account.head_leaves();
            account.close(200, Outcome::Ok, "");
        });
    });
}

/// A row on its way into the database: the time until all of many are written, for each.
fn ledger(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let metrics = Arc::new(Metrics::new("").expect("metrics"));
    let mut group = c.benchmark_group("ledger");
    group.sample_size(10);
    group.bench_function("row", |b| {
        b.iter_custom(|rows| {
            let path = folder.path().join("ledger.db");
            let mut spent = Duration::ZERO;
            let mut left = rows;
            while left > 0 {
                let number = left.min(ROWS);
                let store = Store::open(&path, OnFailure::Serve, Arc::clone(&metrics));
                let store = store.expect("a ledger");
                let row = row();
                let started = Instant::now();
                (0..number).for_each(|_| store.record(row.clone()));
                runtime.block_on(store.stop(Duration::from_secs(60)));
                spent += started.elapsed();
                left -= number;
            }
            spent
        });
    });
    group.finish();
}

fn world() -> World {
    requests::world(HELD)
}

/// The holder of the key; it is known that nothing was spent.
fn holder(world: &World) -> Arc<Holder> {
    let holder = world.holders.find("team-a").expect("the key");
    let since = holder.purse.ask(Timestamp::now()).expect("a budget");
    holder.purse.learn(since, Total::from_pico(0));
    holder
}

fn ask() -> Ask {
    let body = requests::chat_request(2_048, 1);
    understand::read(Endpoint::ChatCompletions, body, &HeaderMap::new()).expect("a request")
}

fn plan(world: &World, principal: &Principal, ask: &Ask) -> Plan {
    let target = world.names.find(&ask.model);
    let reading = world.judge.reading(&world.config, target, ask);
    let question = Question {
        config: &world.config,
        names: &world.names,
        principal,
        model: &ask.model,
        needs: &ask.needs,
        schemas: &ask.schemas,
        recount: &ask.recount,
        domain: world.judge.domain(ask.domain, reading.as_ref()),
        judge: &world.judge,
        reading: reading.as_ref(),
        learned: None,
        pin: None,
        narrow: &ask.narrow,
        budgeted: true,
        tier: ask.tier,
        at: Timestamp::now(),
    };
    world.plan(&question, 0).expect("a plan")
}

fn row() -> Row {
    Row {
        request_id: Arc::from("req-0123456789abcdef"),
        attempt: 1,
        completed_ms: Timestamp::now().as_millisecond(),
        key: Some(Arc::from("team-a")),
        tags: None,
        key_tags: None,
        user: Some([7; 8]),
        endpoint: Endpoint::ChatCompletions.as_str(),
        route: Some(Arc::from("auto")),
        model: Arc::from("deepseek-flash"),
        backend: Arc::from("deepseek/deepseek-flash"),
        card: None,
        usage: Usage {
            input: 632,
            output: 212,
            ..Usage::default()
        },
        tier: "standard",
        cost: Some(Usd::from_pico(147_840_000)),
        basis: Basis::Exact,
        list_cost: Some(Usd::from_pico(147_840_000)),
        reported_cost: None,
        baseline_cost: None,
        gpu_ns: None,
        prediction: Some(Prediction {
            domain: Domain::Chat,
            predicted: 8_000,
        }),
        raw_usage: None,
        latency_ms: 812,
        first_token_ms: None,
        status: Some(200),
        outcome: "ok",
    }
}
