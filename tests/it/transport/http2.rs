//! HTTP/2 with clients: many requests on one connection, each with an end of its own.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{
    Call, SOON, Setup, eventually,
    gateway::{ask, stream},
    http2::{Many, bare, chat, whole},
    simulator,
};

/// The preface and empty settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread")]
async fn one_port_answers_both_versions_and_many_requests_share_a_connection() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=3+gap=20ms"])
        .start()
        .await;
    assert_eq!(gateway.ask("m").await.status, 200);
    let client = Many::to(gateway.client).await;
    let mut asked = JoinSet::new();
    let started = Instant::now();
    for number in 0..60 {
        let body = if number % 2 == 0 {
            ask("m")
        } else {
            stream("m")
        };
        let opening = client.open(chat(&body)).await.unwrap();
        asked.spawn(whole(opening));
    }
    for reply in asked.join_all().await {
        assert_eq!(reply.status, 200);
        assert!(reply.has("x-request-id") && !reply.has("connection"));
        let text = reply.text();
        assert!(text.ends_with("data: [DONE]\n\n") || reply.json()["choices"].is_array());
    }
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    assert!(client.is_open());
    let metrics = gateway.metrics().await;
    assert_eq!(metrics.count("requests_total", &[("outcome", "ok")]), 61);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_arrives_whole_through_the_windows_of_a_client() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("m", &["a/x+out=90000"])
        .start()
        .await;
    let client = Many::to(gateway.client).await;
    let plain = gateway.ask("m").await;
    let reply = client.ask(&ask("m")).await;
    let text = |reply: &crate::support::Reply| {
        let content = &reply.json()["choices"][0]["message"]["content"];
        content.as_str().unwrap().len()
    };
    assert!(reply.body.len() > 200_000, "{}", reply.body.len());
    assert_eq!(text(&reply), text(&plain));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_reset_is_cancelled_alone() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("left", &["a/x+out=100+gap=100ms"])
        .model("kept", &["a/y+out=10+gap=100ms"])
        .start()
        .await;
    let client = Many::to(gateway.client).await;
    let left = client.open(chat(&stream("left"))).await.unwrap();
    let kept = client.open(chat(&stream("kept"))).await.unwrap();
    drop(left);
    eventually("the backend is told", async || {
        sim.account().model("x+out=100+gap=100ms").in_flight == 0
    })
    .await;
    assert_eq!(sim.account().model("y+out=10+gap=100ms").in_flight, 1);
    let reply = whole(kept).await;
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
    let metrics = gateway.metrics().await;
    let count = |outcome| metrics.count("requests_total", &[("outcome", outcome)]);
    assert_eq!((count("cancelled"), count("ok")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_go_gets_goaway_and_the_rest_of_its_streams() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("drain_delay: 500ms")
        .server("drain_timeout: 20s")
        .model("m", &["a/x+out=20+gap=100ms"])
        .start()
        .await;
    let address = gateway.client;
    let mut client = Many::to(address).await;
    let open = client.open(chat(&stream("m"))).await.unwrap();
    let mut idle = Many::to(address).await;
    assert_eq!(
        whole(
            idle.open(bare(Method::GET, "http://localhost/healthz"))
                .await
                .unwrap()
        )
        .await
        .status,
        200
    );
    let mut stopping = JoinSet::new();
    stopping.spawn(gateway.stop());
    eventually("not ready", async || {
        let probe = Call::new(address, Method::GET, "/readyz");
        probe.send().await.status == 503
    })
    .await;
    // accepting goes on, and an answer is followed by GOAWAY
    let mut late = Many::to(address).await;
    let probe = late
        .open(bare(Method::GET, "http://localhost/healthz"))
        .await;
    assert_eq!(whole(probe.unwrap()).await.status, 200);
    late.closed().await;
    idle.closed().await;
    let reply = whole(open).await;
    assert!(reply.text().ends_with("data: [DONE]\n\n"), "cut");
    client.closed().await;
    stopping.join_next().await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_end_in_time_is_told_so_on_each_stream() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("drain_timeout: 300ms")
        .model("m", &["a/x+fault=stall:2"])
        .model("silent", &["a/y+fault=hang"])
        .start()
        .await;
    let client = Many::to(gateway.client).await;
    let open = client.open(chat(&stream("m"))).await.unwrap();
    let mut asking = JoinSet::new();
    asking.spawn(async move { (client.ask(&ask("silent")).await, client) });
    eventually("it is under way", async || {
        sim.account().model("y+fault=hang").in_flight == 1
    })
    .await;
    gateway.stop().await;
    let (reply, _client) = asking.join_next().await.unwrap().unwrap();
    assert_eq!(reply.refusal(), "503 server_error overloaded null");
    let text = whole(open).await;
    assert!(
        text.text().contains("the gateway is being stopped"),
        "{}",
        text.text()
    );
    eventually("the backends are told", async || {
        let account = sim.account();
        account.model("x+fault=stall:2").in_flight + account.model("y+fault=hang").in_flight == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_requests_is_closed_and_one_with_a_stream_is_kept() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("keep_alive: 200ms")
        .model("m", &["a/x+out=15+gap=100ms"])
        .start()
        .await;
    let mut client = Many::to(gateway.client).await;
    let reply = client.ask(&stream("m")).await;
    assert!(reply.text().ends_with("data: [DONE]\n\n"), "closed on it");
    assert!(client.is_open());
    client.closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_and_too_large_headers_are_refused_on_their_stream() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=1"]).start().await;
    let client = Many::to(gateway.client).await;
    let mut many = bare(Method::GET, "http://localhost/healthz");
    for number in 0..120 {
        let name: http::HeaderName = format!("x-h{number}").parse().unwrap();
        many.headers_mut().insert(name, 1.into());
    }
    let answer = client.open(many).await.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let mut large = bare(Method::GET, "http://localhost/healthz");
    let value = "x".repeat(200_000).parse().unwrap();
    large.headers_mut().insert("x-large", value);
    // the client may see the limit itself, as it was told of it
    if let Ok(answer) = client.open(large).await {
        assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    assert_eq!(
        Many::to(gateway.client).await.ask(&ask("m")).await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .server("max_body: 1KiB")
        .model("m", &["a/x+out=1"])
        .start()
        .await;
    let client = Many::to(gateway.client).await;
    for _ in 0..4 {
        // more than the window of the connection
        let mut body = ask("m");
        body["user"] = "x".repeat(2 << 20).into();
        let answer = client.open(chat(&body)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert_eq!(client.ask(&ask("m")).await.status, 200);
}

/// A frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The head of a chat request whose body does not come (RFC 7541: two indexed fields, and three
/// literals without indexing).
fn head() -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(0x04, "/v1/chat/completions"), (0x01, "localhost")] {
        block.push(name);
        block.push(u8::try_from(value.len()).unwrap());
        block.extend(value.as_bytes());
    }
    block.push(0);
    for text in ["content-type", "application/json"] {
        block.push(u8::try_from(text.len()).unwrap());
        block.extend(text.as_bytes());
    }
    block
}

#[tokio::test(flavor = "multi_thread")]
async fn who_opens_streams_only_to_reset_them_is_cut_off() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=1"]).start().await;
    let stream = TcpStream::connect(gateway.client).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let mut reader = JoinSet::new();
    reader.spawn(async move {
        let mut waste = vec![0; 64 * 1024];
        while let Ok(1..) = reading.read(&mut waste).await {}
    });
    writing.write_all(HELLO).await.unwrap();
    let mut sent = 0;
    // each is long enough open to be looked at, so that no other limit counts it
    while sent < 5_000 {
        let streams = (0..10).map(|n| 2 * (sent + n) + 1);
        let opened: Vec<u8> = streams
            .clone()
            .flat_map(|id| frame(1, 4, id, &head()))
            .collect();
        let reset: Vec<u8> = streams
            .flat_map(|id| frame(3, 0, id, &[0, 0, 0, 8]))
            .collect();
        let ok = async {
            writing.write_all(&opened).await?;
            tokio::time::sleep(Duration::from_millis(2)).await;
            writing.write_all(&reset).await
        };
        if ok.await.is_err() {
            break;
        }
        sent += 10;
    }
    assert!(sent < 2_000, "{sent} streams were let through");
    tokio::time::timeout(SOON, reader.join_next())
        .await
        .unwrap();
    eventually("nothing is left of them", async || {
        gateway.metrics().await.count("inflight_requests", &[]) == 0
    })
    .await;
    assert_eq!(gateway.ask("m").await.status, 200);
    assert_eq!(
        Many::to(gateway.client).await.ask(&ask("m")).await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_holds_up_its_own_stream_only() {
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .model("long", &["a/x+out=200000"])
        .model("m", &["a/y+out=2"])
        .start()
        .await;
    let client = Many::to(gateway.client).await;
    // some megabytes, of which two windows are taken
    let mut unread = client.open(chat(&stream("long"))).await.unwrap();
    for _ in 0..3 {
        assert_eq!(client.ask(&ask("m")).await.status, 200);
    }
    assert_eq!(sim.account().model("x+out=200000").in_flight, 1, "it waits");
    assert!(unread.body_mut().frame().await.unwrap().is_ok());
    drop(unread);
    eventually("the backend is told", async || {
        sim.account().model("x+out=200000").in_flight == 0
    })
    .await;
}
