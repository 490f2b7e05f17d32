//! The four deadlines: each fires, on whole answers and on streams, within generous bounds.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::net::{TcpSocket, TcpStream};

use crate::support::{
    ANY_PORT, Gateway, Setup,
    gateway::{ask, stream},
    simulator,
};

/// How long a deadline is in these tests.
const LIMIT: Duration = Duration::from_millis(300);
/// How late an answer may be on a busy machine.
const LATE: Duration = Duration::from_secs(5);

/// Asks and asserts a 504 that came when the deadline passed.
async fn times_out(gateway: &Gateway, streamed: bool, limit: Duration) {
    let body = if streamed { stream("m") } else { ask("m") };
    let started = Instant::now();
    let reply = gateway.post(&body).send().await;
    let took = started.elapsed();
    assert_eq!(
        reply.refusal(),
        "504 server_error upstream_timeout null",
        "{streamed}"
    );
    assert_eq!(reply.header("x-should-retry"), "false");
    assert!(
        (limit..limit + LATE).contains(&took),
        "{streamed}: {took:?}"
    );
    let metrics = gateway.metrics().await;
    assert!(metrics.count("requests_total", &[("outcome", "timeout"), ("code", "504")]) >= 1);
    assert!(metrics.count("attempts_total", &[("result", "timeout")]) >= 1);
    assert_eq!(metrics.count("inflight_requests", &[]), 0);
}

/// A listener that accepts nobody and whose queue is full, so that connecting hangs; with what
/// fills it.
async fn black_hole() -> (SocketAddr, impl Sized) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(ANY_PORT).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    loop {
        let connecting = TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(200), connecting).await {
            Ok(connected) => queued.push(connected.unwrap()),
            Err(_) => return (address, (listener, queued)),
        }
        assert!(queued.len() < 100, "the queue is endless");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_has_a_deadline() {
    let sim = simulator().await;
    let (address, _queue) = black_hole().await;
    let gateway = Setup::new(&sim)
        .server("connect_timeout: 300ms")
        .provider("hole", &format!("base_url: 'http://{address}/v1'"))
        .model("m", &["hole/x"])
        .model("two", &["hole/y", "b/spare+out=1"])
        .start()
        .await;
    for streamed in [false, true] {
        times_out(&gateway, streamed, LIMIT).await;
    }
    let reply = gateway.ask("two").await;
    assert_eq!(reply.header("x-tollgate-backend"), "b/spare+out=1");
    assert_eq!(reply.header("x-tollgate-attempts"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_byte_has_a_deadline_and_a_head_does_not_count() {
    for script in [
        "fault=hang",
        "fault=hang_head",
        "ttft=20s",
        "ttft=20s+keepalive=50ms",
    ] {
        for streamed in [false, true] {
            // a blank line before JSON is a byte of the body
            let blank = script.contains("keepalive") && !streamed;
            if blank {
                continue;
            }
            let sim = simulator().await;
            let gateway = Setup::new(&sim)
                .server("first_byte_timeout: 300ms")
                .model("m", &[&format!("a/x+{script}")])
                .start()
                .await;
            times_out(&gateway, streamed, LIMIT).await;
            assert_eq!(sim.account().requests, 1, "{script}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_in_a_whole_answer_has_a_deadline() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("idle_timeout: 300ms")
        .model("m", &["a/x+out=50+fault=stall:2"])
        .start()
        .await;
    times_out(&gateway, false, LIMIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_in_a_stream_has_a_deadline_and_ends_it_with_an_error() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("idle_timeout: 300ms")
        .server("sse_keep_alive: 50ms")
        .model("m", &["a/x+out=9+fault=stall:3"])
        .start()
        .await;
    let started = Instant::now();
    let mut stream = gateway.stream("m").await;
    assert!((LIMIT..LIMIT + LATE).contains(&started.elapsed()));
    assert_eq!(stream.status, 200);
    assert_eq!(stream.error().code.as_deref(), Some("upstream_timeout"));
    stream.line.closed().await;
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.count("requests_total", &[("outcome", "timeout")]),
        1
    );
    assert_eq!(metrics.count("inflight_requests", &[]), 0);
    assert_eq!(
        sim.account().requests,
        1,
        "never again after the first byte"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_request_has_a_deadline_however_lively_the_backend() {
    for (script, streamed) in [
        ("out=3000+gap=20ms", true),
        ("fault=slow_body+gap=20ms+out=500", false),
        ("fault=hang", false),
        ("fault=hang", true),
    ] {
        let sim = simulator().await;
        let gateway = Setup::new(&sim)
            .server("request_timeout: 500ms")
            .model("m", &[&format!("a/x+{script}"), "b/spare+head=20s"])
            .start()
            .await;
        let limit = Duration::from_millis(500);
        if streamed && script.starts_with("out") {
            let started = Instant::now();
            let stream = gateway.stream("m").await;
            assert!((limit..limit + LATE).contains(&started.elapsed()));
            assert_eq!(stream.error().code.as_deref(), Some("upstream_timeout"));
        } else {
            times_out(&gateway, streamed, limit).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_attempts_together_fit_into_the_whole_deadline() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("request_timeout: 700ms")
        .server("first_byte_timeout: 400ms")
        .model("m", &["a/x+fault=hang", "b/x+fault=hang", "c/x+fault=hang"])
        .start()
        .await;
    let started = Instant::now();
    let reply = gateway.ask("m").await;
    assert_eq!(reply.status, 504);
    assert!(
        started.elapsed() < Duration::from_millis(1_100),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(reply.header("x-tollgate-attempts"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_busy_backend_ends_with_the_request() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("request_timeout: 500ms")
        .model("m", &["a/x+fault=status:429+retry_after=2"])
        .start()
        .await;
    let started = Instant::now();
    let reply = gateway.ask("m").await;
    assert_eq!(reply.refusal(), "504 server_error upstream_timeout null");
    assert!(started.elapsed() < Duration::from_millis(1_500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_backend_within_the_limits_is_served_to_its_end() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("first_byte_timeout: 2s")
        .server("idle_timeout: 1s")
        .model("m", &["a/x+out=8+ttft=200ms+gap=100ms"])
        .start()
        .await;
    assert!(gateway.stream("m").await.is_done());
    assert_eq!(gateway.ask("m").await.status, 200);
}
