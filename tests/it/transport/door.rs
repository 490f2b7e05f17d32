//! What the door does not take: slow heads, large heads, and other protocols.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::support::{Gateway, Setup, gateway::ask, http::raw, simulator};

async fn gateway() -> (tollgate::simulate::Handle, Gateway) {
    let sim = simulator().await;
    let gateway = Setup::new(&sim).model("m", &["a/x+out=1"]).start().await;
    (sim, gateway)
}

/// Sends this byte by byte, as slowly as a patient attacker, and says when it was cut off.
async fn drips(address: std::net::SocketAddr, begun: Vec<u8>, drip: &'static [u8]) -> Duration {
    let started = Instant::now();
    let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
    let mut dripping = JoinSet::new();
    dripping.spawn(async move {
        writing.write_all(&begun).await.unwrap();
        for byte in drip.iter().cycle() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
        // one that sends nothing more stays open all the same
        std::future::pending::<()>().await;
    });
    let mut waste = [0; 1024];
    while let Ok(1..) = reading.read(&mut waste).await {}
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_come_to_the_point_is_gone_within_thirty_seconds() {
    let (_sim, gateway) = gateway().await;
    let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // a head of 16,000 bytes that stays without its last ones
    let half_head = [&hello[..], b"\0\x3e\x80\x01\0\0\0\0\x01\x82\x86"].concat();
    let kept = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\n".to_vec();
    let mut waiting = JoinSet::new();
    for (begun, drip) in [
        (Vec::new(), &b""[..]),
        (
            b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ".to_vec(),
            b"y",
        ),
        (b"PRI * HTT".to_vec(), b""),
        (hello, b""),
        (half_head, b"\x82"),
    ] {
        waiting.spawn(drips(gateway.client, begun, drip));
    }
    waiting.spawn(drips(gateway.client, kept, b"y"));
    for took in waiting.join_all().await {
        assert!(took < Duration::from_secs(30), "{took:?}");
        assert!(took > Duration::from_secs(10), "{took:?}: too strict");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_too_many_or_too_large_headers_is_431() {
    let (_sim, gateway) = gateway().await;
    let many: String = (0..120).map(|n| format!("x-{n}: y\r\n")).collect();
    let large = format!("x-large: {}\r\n", "y".repeat(200_000));
    for headers in [many, large] {
        let request = format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        let answer = raw(gateway.client, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert_eq!(gateway.ask("m").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn websocket_and_connect_are_refused_with_an_error() {
    let (_sim, gateway) = gateway().await;
    let upgrade = gateway
        .get("/v1/realtime")
        .header("connection", "Upgrade")
        .header("upgrade", "h2c, WebSocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let reply = upgrade.send().await;
    assert_eq!(
        reply.refusal(),
        "400 invalid_request_error upgrade_refused null"
    );
    assert!(reply.has("x-request-id"));
    let answer = raw(
        gateway.client,
        b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\nconnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("method_not_allowed"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_of_h2c_is_declined_and_the_request_answered() {
    let (_sim, gateway) = gateway().await;
    let reply = gateway
        .post(&ask("m"))
        .header("connection", "Upgrade, HTTP2-Settings")
        .header("upgrade", "h2c")
        .header(
            "http2-settings",
            "AAEAABAAAAIAAAABAAN_____AAQAAP__AAUAAEAAAAYABgAA",
        )
        .send()
        .await;
    assert_eq!(reply.status, 200);
    assert!(!reply.has("upgrade"));
    // what follows is read as HTTP/1.1, not as the HTTP/2 that was offered
    let smuggled = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\n\
                    upgrade: h2c\r\nhttp2-settings: \r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let answer = raw(gateway.client, smuggled.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_are_open_at_once_than_allowed_and_the_next_one_waits() {
    let sim = simulator().await;
    let setup = Setup::new(&sim).model("m", &["a/x+out=1"]);
    let gateway = setup.server("max_connections: 1").start().await;
    let ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut first = TcpStream::connect(gateway.client).await.unwrap();
    first.write_all(ask).await.unwrap();
    assert!(first.read(&mut [0; 256]).await.unwrap() > 0);
    let mut second = TcpStream::connect(gateway.client).await.unwrap();
    second.write_all(ask).await.unwrap();
    let mut answer = [0; 256];
    let early = tokio::time::timeout(Duration::from_millis(300), second.read(&mut answer));
    assert!(early.await.is_err(), "it was served beside the first one");
    drop(first);
    assert!(second.read(&mut answer).await.unwrap() > 0);
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}
