//! Too many at once: with wrong keys, without reading, beyond the limit.

use std::time::{Duration, Instant};

use http::{Method, Request};
use tokio::task::JoinSet;

use super::{Day, after_a_bad_day};
use crate::support::{
    eventually,
    gateway::{ask, stream},
    http::{Line, Pieces},
    program::Program,
};

/// Kibibytes that a storm may add to the memory of the program: buffers of its connections, and
/// what the allocator keeps.
const FEW: u64 = 48 * 1024;

impl Program {
    /// Kibibytes of memory in use.
    fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.unwrap().parse().unwrap()
    }
}

/// One connection that sends so many requests with wrong keys.
async fn guess(client: std::net::SocketAddr, connection: usize, number: usize) {
    let mut line = Line::to(client).await.unwrap();
    for guess in 0..number {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/chat/completions")
            .header("host", "localhost")
            .header(
                "authorization",
                format!("Bearer sk-wrong-{connection:08}-{guess:08}"),
            )
            .body(Pieces::default())
            .unwrap();
        assert_eq!(line.send(request).await.unwrap().status(), 401);
    }
}

/// Requests with the good key, one after the other, that are answered within a second or so.
async fn answered(day: &Day, time: Duration) -> f64 {
    let started = Instant::now();
    let mut number = 0.0;
    while started.elapsed() < time {
        assert_eq!(day.post(&ask("m")).send().await.status, 200);
        number += 1.0;
    }
    number / started.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_wrong_keys_takes_neither_memory_nor_log_and_the_good_key_is_served() {
    const CONNECTIONS: usize = 64;
    const GUESSES: usize = 20_000;
    let day = Day::begin(|setup| setup.model("m", &["a/m+out=1"])).await;
    let calm = answered(&day, Duration::from_millis(500)).await;
    let (memory, lines) = (day.program.resident(), day.program.text().lines().count());
    let started = Instant::now();
    let mut storm = JoinSet::new();
    for connection in 0..CONNECTIONS {
        storm.spawn(guess(day.program.client, connection, GUESSES / CONNECTIONS));
    }
    let busy = answered(&day, Duration::from_millis(500)).await;
    storm.join_all().await;
    let took = started.elapsed();
    println!("the good key: {calm:.0} requests a second, {busy:.0} in the storm of {took:.1?}");
    let grown = day.program.resident().saturating_sub(memory);
    assert!(grown < FEW, "{grown} KiB");

    let metrics = day.metrics().await;
    let refused = [("key", "none"), ("outcome", "client_error")];
    let guesses = (GUESSES / CONNECTIONS * CONNECTIONS) as u64;
    assert_eq!(metrics.count("key_requests_total", &refused), guesses);
    let log = day.program.log();
    let strangers: Vec<_> = log.iter().filter(|line| line["status"] == 401).collect();
    let most = 20 * (took.as_secs() as usize + 2);
    assert!(
        !strangers.is_empty() && strangers.len() <= most,
        "{}",
        strangers.len()
    );
    let served = metrics.count("requests_total", &[("outcome", "ok")]) as usize;
    assert!(log.len() <= lines + served + most, "{} lines", log.len());
    // what is not in the log is counted there, but for what came after the last line
    let left_out: u64 = strangers
        .iter()
        .filter_map(|line| line["left_out"].as_u64())
        .sum();
    assert!(left_out > 0 && left_out + strangers.len() as u64 <= guesses);
    after_a_bad_day(&day).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_read_take_bounded_memory_and_hold_their_backends_back() {
    const CLIENTS: usize = 8;
    // 40 MB each, of which nobody reads anything
    let script = "slow+out=200000+chunk=50";
    let day = Day::begin(|setup| setup.model("slow", &[&format!("a/{script}")])).await;
    let memory = day.program.resident();
    let mut held = Vec::new();
    for _ in 0..CLIENTS {
        held.push(day.post(&stream("slow")).open().await);
    }
    let sent = || day.sim.account().model(script).completion_tokens;
    let mut before = 0;
    eventually("backends are held back", async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = sent();
        std::mem::replace(&mut before, now) == now && now > 0
    })
    .await;
    let grown = day.program.resident().saturating_sub(memory);
    assert!(grown < FEW, "{grown} KiB");
    drop(held);
    let rows = after_a_bad_day(&day).await;
    assert_eq!(rows.len(), CLIENTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_beyond_the_limit_is_refused_at_once_and_what_was_let_in_is_served() {
    const BURST: usize = 400;
    const PLACES: usize = 50;
    let day = Day::with_places(PLACES, |setup| setup.model("m", &["a/m+head=1s+out=3"])).await;
    let mut calls = JoinSet::new();
    for _ in 0..BURST {
        calls.spawn(day.post(&ask("m")).send());
    }
    let replies = calls.join_all().await;
    let served = replies.iter().filter(|reply| reply.status == 200).count();
    for refused in replies.iter().filter(|reply| reply.status != 200) {
        assert_eq!(
            refused.refusal(),
            "429 requests too_many_concurrent_requests null"
        );
    }
    assert!((PLACES..BURST).contains(&served), "{served}");
    let rows = after_a_bad_day(&day).await;
    assert_eq!(rows.len(), served);
}
