//! What a request costs before it is sent, and what each event of its answer costs: the pure path
//! of `gateway`, with the configuration of `fleet.yaml`. Nothing here touches a socket.

#![expect(
    clippy::expect_used,
    reason = "a benchmark that can't be set up has nothing to measure"
)]

#[path = "shared/requests.rs"]
mod requests;

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::HeaderMap;
use jiff::Timestamp;
use serde_json::json;
use tollgate::{
    authenticate::Principal,
    call::{relay::edit, upstream},
    catalog::Adapter,
    route::{Candidate, Plan, Question, cost},
    state::World,
    tokens::Counter,
    understand::{self, Ask, Endpoint},
    usage::Usage,
    wire::{
        json::Object,
        openai::{chat, chunk},
        sse::Splitter,
        usage,
    },
};

use self::requests::{chat_request, prose, request, world};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// About 200 bytes, as an event of a stream is.
const EVENT: &str = "data: {\"id\":\"chatcmpl-9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d\",\
    \"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"zai-org/GLM-5.2\",\
    \"choices\":[{\"index\":0,\"delta\":{\"content\":\" tokens\"},\"finish_reason\":null}]}\n\n";
/// The same as most servers write it once usage is asked for.
const EVENT_NULL: &str = "data: {\"id\":\"chatcmpl-9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d\",\
    \"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"zai-org/GLM-5.2\",\
    \"choices\":[{\"index\":0,\"delta\":{\"content\":\" tokens\"},\"finish_reason\":null}],\
    \"usage\":null}\n\n";
/// As DeepSeek reports it.
const USAGE: &str = r#"{"prompt_tokens":1832,"completion_tokens":412,"total_tokens":2244,
    "prompt_tokens_details":{"cached_tokens":1024},
    "completion_tokens_details":{"reasoning_tokens":180},
    "prompt_cache_hit_tokens":1024,"prompt_cache_miss_tokens":808}"#;

criterion_group!(benches, decision, stages, stream, spread);
criterion_main!(benches);

/// Decisions that are timed one by one.
const TIMED: usize = 20_000;
/// Texts that are read in turn, where one by itself would be learned by heart: the processor foresees its
/// branches after some dozens of times.
const TEXTS: u32 = 499;
/// Bytes of the longest and the shortest of their requests.
const LENGTHS: (usize, usize) = (2_048, 400);

/// How the decisions on requests of up to 2 KB are spread: what criterion's means do not tell. Each is
/// timed by itself, so a clock's reading (about 30 ns) is in it, and whatever else the machine does.
fn spread(_: &mut Criterion) {
    let world = world("");
    let (most, least) = LENGTHS;
    let bodies: Vec<Bytes> = (0..TEXTS)
        .map(|n| chat_request(least + n as usize * 31 % (most - least), n))
        .collect();
    let mut taken: Vec<Duration> = (0..TIMED)
        .filter_map(|n| {
            let body = bodies.get(n % bodies.len())?.clone();
            let begun = Instant::now();
            black_box(decide(&world, black_box(body)));
            Some(begun.elapsed())
        })
        .collect();
    taken.sort_unstable();
    let at = |part: usize| taken.get(TIMED * part / 1_000).copied().unwrap_or_default();
    println!(
        "decision/spread         {} decisions of up to 2 KB: p50 {:?}, p90 {:?}, p99 {:?}, p99.9 {:?}",
        taken.len(),
        at(500),
        at(900),
        at(990),
        at(999)
    );
}

/// The whole decision: understand, route, price, and the body for the first choice.
fn decision(c: &mut Criterion) {
    let world = world("");
    let mut group = c.benchmark_group("decision");
    for (name, body) in requests() {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), &body, |b, body| {
            b.iter(|| decide(&world, black_box(body.clone())));
        });
    }
    group.finish();
}

/// The stages of the decision on the small request, each by itself.
fn stages(c: &mut Criterion) {
    let world = world("");
    let body = chat_request(2_048, 1);
    let ask = read(body.clone());
    let messages = ask.body.get("messages").expect("messages").to_owned();
    let first = plan(&world, &ask).candidates.remove(0);
    let backend = &world.config.backends[first.backend];
    let used = Usage {
        input: 808,
        cache_read: 1_024,
        output: 412,
        ..Usage::default()
    };
    let asked = cost::asked_at(Timestamp::now(), cost::STANDARD, false);

    let mut group = c.benchmark_group("stage");
    group.bench_function("parse", |b| {
        b.iter(|| Object::parse(black_box(body.clone())));
    });
    group.bench_function("messages", |b| {
        b.iter(|| chat::messages(black_box(&messages)).map(|found| found.number));
    });
    group.bench_function("count", |b| {
        b.iter(|| {
            let mut counter = Counter::default();
            counter.add_json(black_box(&messages));
            counter.tokens()
        });
    });
    group.bench_function("understand", |b| b.iter(|| read(black_box(body.clone()))));
    let asks: Vec<_> = (0..TEXTS).map(|n| read(chat_request(2_048, n))).collect();
    let mut others = asks.iter().cycle();
    group.bench_function("read", |b| {
        b.iter(|| world.judge.read(black_box(others.next()?)));
    });
    group.bench_function("plan", |b| b.iter(|| plan(&world, black_box(&ask))));
    group.bench_function("price", |b| {
        b.iter(|| cost::of(&world.config, backend, black_box(&used), &asked));
    });
    group.bench_function("body", |b| {
        b.iter(|| body_for(&world, black_box(&ask), &first));
    });
    group.finish();
}

/// One event of a stream, for a client that did not ask for usage; and the usage at its end.
fn stream(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream");
    for (name, event) in [("event", EVENT), ("event with null usage", EVENT_NULL)] {
        let frame = Bytes::from_static(event.as_bytes());
        let mut splitter = Splitter::new(1 << 20);
        group.throughput(Throughput::Bytes(event.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let block = splitter.push(black_box(&frame)).expect("a short event");
                let data = block.events[0].data(&block.bytes).expect("data");
                let chunk = chunk::read(data).expect("an object");
                edit::edit(data, &chunk, false, None)
            });
        });
    }
    group.throughput(Throughput::Bytes(USAGE.len() as u64));
    group.bench_function("usage", |b| {
        b.iter(|| usage::read(Adapter::DeepSeek, black_box(USAGE)));
    });
    group.finish();
}

/// What the gateway does with a request before it calls anyone.
fn decide(world: &World, body: Bytes) -> usize {
    let ask = read(body);
    let plan = plan(world, &ask);
    plan.candidates
        .first()
        .map_or(0, |first| body_for(world, &ask, first))
}

fn read(body: Bytes) -> Ask {
    understand::read(Endpoint::ChatCompletions, body, &HeaderMap::new()).expect("a request")
}

fn plan(world: &World, ask: &Ask) -> Plan {
    let target = world.names.find(&ask.model);
    let reading = world.judge.reading(&world.config, target, ask);
    let question = Question {
        config: &world.config,
        names: &world.names,
        principal: &Principal::anybody(),
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
        budgeted: false,
        tier: ask.tier,
        at: Timestamp::now(),
    };
    let now_ms = world.means.now_ms();
    world.plan(&question, now_ms).expect("a plan")
}

/// The body as it is sent; how many slices it has.
fn body_for(world: &World, ask: &Ask, candidate: &Candidate) -> usize {
    let backend = &world.config.backends[candidate.backend];
    let provider = &world.config.providers[backend.provider];
    black_box(upstream::body_for(ask, provider, backend, None).slices()).len()
}

/// A small request, a long conversation and a large image.
fn requests() -> [(&'static str, Bytes); 3] {
    [
        ("2 KB", chat_request(2_048, 1)),
        ("62 KB conversation", conversation(62 * 1024)),
        ("5 MB image", image(5 << 20)),
    ]
}

/// Turns of about a kilobyte.
fn conversation(bytes: usize) -> Bytes {
    let turns = (0..bytes as u32 / 1_024).map(|turn| {
        let role = if turn % 2 == 0 { "user" } else { "assistant" };
        json!({ "role": role, "content": prose(980, turn) })
    });
    request(&turns.collect::<Vec<_>>().into())
}

fn image(bytes: usize) -> Bytes {
    let url = format!("data:image/png;base64,{}", "iVBORw0K".repeat(bytes / 8));
    request(&json!([{ "role": "user", "content": [
        { "type": "text", "text": "What is on this picture?" },
        { "type": "image_url", "image_url": { "url": url } },
    ]}]))
}
