//! TLS with clients: versions by ALPN, certificates that change, mistakes that are found before.

use std::{
    fs,
    time::{Duration, Instant},
};

use http::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use tollgate::{catalog, config::load};

use crate::{
    operate::files::{Files, text},
    support::{
        Gateway, Setup, eventually,
        gateway::ask,
        http::raw,
        http2::{Many, bare, whole},
        simulator,
        tls::{Authority, Pair},
    },
};

/// A folder with a configuration that serves with this certificate.
fn files(setup: Setup, pair: &Pair) -> Files {
    let files = Files::new(&setup);
    put(&files, pair);
    let tls = format!(
        "tls: {{ cert: '{}', key: '{}' }}",
        files.path("tls.crt").display(),
        files.path("tls.key").display()
    );
    fs::write(files.file(), text(&setup.server(&tls))).unwrap();
    files
}

fn put(files: &Files, pair: &Pair) {
    fs::write(files.path("tls.crt"), &pair.cert).unwrap();
    fs::write(files.path("tls.key"), &pair.key).unwrap();
}

async fn reloads(gateway: &Gateway, result: &str) -> u64 {
    let metrics = gateway.metrics().await;
    metrics.count("config_reloads_total", &[("result", result)])
}

/// The certificate that a new client sees.
async fn shown(authority: &Authority, gateway: &Gateway) -> Vec<u8> {
    let stream = authority.connect(gateway.client, &[]).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_choose_the_version_and_nothing_else_is_spoken() {
    let (sim, authority) = (simulator().await, Authority::new());
    let setup = Setup::new(&sim).model("m", &["a/x+out=1"]);
    let files = files(setup, &authority.signs("localhost", 2099));
    let gateway = files.start().await;
    let stream = authority.connect(gateway.client, &["h2", "http/1.1"]).await;
    let stream = stream.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(Many::over(stream).await.ask(&ask("m")).await.status, 200);
    for alpn in [&["http/1.1"][..], &[]] {
        let mut stream = authority.connect(gateway.client, alpn).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let answer = raw(gateway.client, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("tls_required"),
        "{answer}"
    );
    // the operator's address stays as it was
    assert_eq!(
        gateway
            .operator(Method::GET, "/healthz")
            .send()
            .await
            .status,
        200
    );
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_new_clients_and_open_connections_go_on() {
    let (sim, authority) = (simulator().await, Authority::new());
    let (old, new) = (
        authority.signs("localhost", 2098),
        authority.signs("localhost", 2099),
    );
    let files = files(Setup::new(&sim).model("m", &["a/x+out=1"]), &old);
    let gateway = files.start().await;
    let before = authority.connect(gateway.client, &["h2"]).await.unwrap();
    let before = Many::over(before).await;
    assert_eq!(before.ask(&ask("m")).await.status, 200);
    assert_eq!(shown(&authority, &gateway).await, old.der().to_vec());

    // half of a change: a key of another certificate
    fs::write(files.path("tls.key"), &new.key).unwrap();
    eventually("the mistake was found", async || {
        reloads(&gateway, "failed").await == 1
    })
    .await;
    assert_eq!(shown(&authority, &gateway).await, old.der().to_vec());

    put(&files, &new);
    eventually("the change took effect", async || {
        reloads(&gateway, "ok").await == 1
    })
    .await;
    assert_eq!(shown(&authority, &gateway).await, new.der().to_vec());
    assert_eq!(before.ask(&ask("m")).await.status, 200);
    let probe = before
        .open(bare(Method::GET, "https://localhost/healthz"))
        .await;
    assert_eq!(whole(probe.unwrap()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let (sim, authority) = (simulator().await, Authority::new());
    let setup = Setup::new(&sim).model("m", &["a/x+out=1"]);
    let files = files(setup, &authority.signs("localhost", 2099));
    let gateway = files.start().await;
    let mut waiting = JoinSet::new();
    // nothing at all, and the beginning of a record
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let address = gateway.client;
        waiting.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(begun).await.unwrap();
            let started = Instant::now();
            let mut waste = [0; 100];
            while let Ok(1..) = stream.read(&mut waste).await {}
            started.elapsed()
        });
    }
    for took in waiting.join_all().await {
        assert!(
            (Duration::from_secs(5)..Duration::from_secs(20)).contains(&took),
            "{took:?}"
        );
    }
}

#[test]
fn mistakes_in_certificates_are_found_by_a_check() {
    let authority = Authority::new();
    let (good, old) = (
        authority.signs("localhost", 2099),
        authority.signs("localhost", 2021),
    );
    let folder = tempfile::tempdir().unwrap();
    let check = |cert: &str, key: &str| {
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("crt"), cert).unwrap();
        fs::write(path("key"), key).unwrap();
        let yaml = format!(
            "server:\n  tls:\n    cert: {}\n    key: {}\nproviders: {{ openai: {{ api_key: x }} }}\n",
            path("crt"),
            path("key")
        );
        let none = |_: &str| None;
        match load::from_str("t.yaml", &yaml, &none, catalog::builtin()) {
            Ok(checked) => {
                let notes = checked.warnings.iter().map(ToString::to_string);
                notes.collect::<Vec<_>>().join("\n")
            }
            Err(mistakes) => mistakes.to_string(),
        }
    };
    assert_eq!(check(&good.cert, &good.key), "");
    let said = check(&good.cert, &old.key);
    assert!(
        said.starts_with("t.yaml:4:10: server.tls.key: the private key does not belong"),
        "{said}"
    );
    let said = check(&good.key, &good.key);
    assert!(
        said.starts_with("t.yaml:3:11: server.tls.cert: holds no certificate"),
        "{said}"
    );
    assert!(!said.contains("PRIVATE"), "{said}");
    let said = check(&old.cert, &old.key);
    assert!(
        said.contains("server.tls.cert: the certificate expired on 2021-12-31"),
        "{said}"
    );
}
