//! The graceful end: no longer ready at once, nobody cut off who ends in time.

use std::time::{Duration, Instant};

use http::{Method, Request};
use tokio::{net::TcpStream, task::JoinSet};

use crate::support::{
    Setup, Stream, eventually,
    gateway::{ask, stream},
    http::{Line, Pieces},
    simulator,
};

#[tokio::test(flavor = "multi_thread")]
async fn readiness_ends_at_once_and_serving_goes_on_for_the_delay() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("drain_delay: 700ms")
        .server("drain_timeout: 5s")
        .model("m", &["a/x+out=1"])
        .start()
        .await;
    let (client, admin) = (gateway.client, gateway.admin);
    let call = |address, path: &str| crate::support::Call::new(address, Method::GET, path);
    let asking = gateway.post(&ask("m"));
    let before = gateway.get("/readyz").send().await;
    assert_eq!((before.status, before.header("connection")), (200, ""));

    let started = Instant::now();
    let mut stopping = JoinSet::new();
    stopping.spawn(gateway.stop());
    eventually("not ready", async || {
        call(client, "/readyz").send().await.status == 503
    })
    .await;
    assert!(started.elapsed() < Duration::from_millis(500));
    assert_eq!(call(admin, "/readyz").send().await.status, 503);
    assert_eq!(call(client, "/health/readiness").send().await.status, 503);
    assert_eq!(call(client, "/healthz").send().await.status, 200);
    // new connections are still served, and told to go
    let mut open = asking.clone().open().await;
    assert_eq!((open.status, open.header("connection")), (200, "close"));
    open.line.closed().await;
    assert_eq!(asking.send().await.status, 200);

    stopping.join_next().await.unwrap().unwrap();
    let took = started.elapsed();
    assert!(
        (Duration::from_millis(700)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
    for address in [client, admin] {
        assert!(
            TcpStream::connect(address).await.is_err(),
            "still listening"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_and_an_open_answer_are_finished() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("drain_timeout: 20s")
        .model("m", &["a/x+out=10+gap=100ms"])
        .start()
        .await;
    let (address, plain) = (gateway.client, gateway.post(&ask("m")));
    let streaming = gateway.post(&stream("m")).open().await;
    let mut answering = JoinSet::new();
    answering.spawn(plain.send());
    eventually("both are under way", async || {
        sim.account().model("x+out=10+gap=100ms").in_flight == 2
    })
    .await;
    let mut stopping = JoinSet::new();
    stopping.spawn(gateway.stop());
    eventually("the listener is closed", async || {
        TcpStream::connect(address).await.is_err()
    })
    .await;
    let stream = Stream::read(streaming).await;
    assert!(stream.is_done() && stream.ended, "{}", stream.text);
    assert_eq!(stream.data().len(), 12);
    let reply = answering.join_next().await.unwrap().unwrap();
    assert_eq!((reply.status, reply.header("connection")), (200, "close"));
    stopping.join_next().await.unwrap().unwrap();
    assert_eq!(sim.account().model("x+out=10+gap=100ms").ok, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_end_in_time_is_told_so_and_so_is_the_backend() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("drain_timeout: 300ms")
        .server("sse_keep_alive: 100ms")
        .model("m", &["a/x+fault=stall:2"])
        .model("silent", &["a/x+fault=hang"])
        .start()
        .await;
    let open = gateway.post(&stream("m")).open().await;
    let mut plain = JoinSet::new();
    plain.spawn(gateway.post(&ask("silent")).send());
    let early = gateway.post(&stream("silent")).open().await;
    eventually("they are under way", async || {
        sim.account().model("x+fault=hang").in_flight == 2
    })
    .await;
    let started = Instant::now();
    gateway.stop().await;
    let took = started.elapsed();
    assert!(
        (Duration::from_millis(300)..Duration::from_secs(3)).contains(&took),
        "{took:?}"
    );
    let reply = plain.join_next().await.unwrap().unwrap();
    assert_eq!(reply.refusal(), "503 server_error overloaded null");
    let early = Stream::read(early).await;
    assert_eq!(early.error().message, "the gateway is being stopped");
    let mut stream = Stream::read(open).await;
    assert_eq!(stream.error().message, "the gateway is being stopped");
    stream.line.closed().await;
    eventually("the backend is told", async || {
        sim.account().model("x+fault=stall:2").in_flight == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=1"]).start().await;
    let silent = TcpStream::connect(gateway.client).await.unwrap();
    let mut used = Line::to(gateway.client).await.unwrap();
    let request = Request::get("/healthz")
        .header("host", "localhost")
        .body(Pieces::default())
        .unwrap();
    assert_eq!(used.send(request).await.unwrap().status(), 200);
    let started = Instant::now();
    gateway.stop().await;
    // far less than the drain timeout of 30 s
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    used.closed().await;
    drop(silent);
}
