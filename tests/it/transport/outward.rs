//! The way to backends: authorities of one's own, and proxies.

use std::{
    collections::VecDeque,
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use http::{HeaderMap, Method};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tollgate::{
    call::client::{Client, Prepared, SendError},
    catalog,
    config::load,
    simulate::{Handle, Options},
};

use crate::{
    operate::files::{Files, text},
    support::{
        ANY_PORT, Scripted, Setup, eventually,
        gateway::ADMIN_KEY,
        scripted, simulator, simulator_with,
        tls::{Authority, Fence, Pair},
    },
};

/// A simulator behind TLS: it, where it stands, and what must be kept.
async fn fenced(pair: &Pair) -> (Handle, String, JoinSet<()>) {
    let fence = Fence::new().await;
    let host = fence.host();
    let sim = simulator_with(Options {
        hosts: vec![host.clone()],
        ..Options::default()
    })
    .await;
    let kept = fence.before(sim.addr(), pair);
    (sim, format!("https://{host}/v1"), kept)
}

/// A proxy that connects with anyone, and says whom it was asked for.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind(ANY_PORT).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen, mut tasks) = (Arc::clone(&heads), JoinSet::new());
        tasks.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                tunnels.spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(near.read_u8().await.unwrap());
                    }
                    let head = String::from_utf8(head).unwrap();
                    let target = head.split(' ').nth(1).unwrap().to_owned();
                    seen.lock().unwrap().push(head);
                    let mut far = TcpStream::connect(target).await.unwrap();
                    near.write_all(b"HTTP/1.1 200 Fine\r\nx-via: me\r\n\r\n")
                        .await
                        .unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self {
            address,
            heads,
            _tasks: tasks,
        }
    }
}

/// Why a request to this provider gets no answer.
async fn refused(fields: &str) -> String {
    let yaml = format!(
        "providers: {{ p: {{ {fields} }} }}\n\
         models: [{{ name: m, backends: [{{ provider: p, model: m, price: free }}] }}]\n"
    );
    let none = |_: &str| None;
    let checked = load::from_str("t.yaml", &yaml, &none, catalog::builtin());
    let config = checked
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
        .config;
    let provider = &config.providers[0];
    let request = Prepared {
        uri: provider.base_urls[0].clone(),
        headers: HeaderMap::new(),
        body: VecDeque::new(),
    };
    let sent = Client::new(config.server.connect_timeout, provider)
        .send(&request)
        .await;
    match sent {
        Err(SendError::Connect(why)) => why,
        Err(other) => panic!("{other:?}"),
        Ok(answer) => panic!("answered with {}", answer.status()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_of_ones_own_is_trusted_for_its_provider_alone() {
    let authority = Authority::new();
    let (_sim, url, _kept) = fenced(&authority.signs("localhost", 2099)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, authority.pem()).unwrap();
    let gateway = Setup::new(&simulator().await)
        .provider(
            "own",
            &format!("base_url: '{url}', ca_file: '{}'", file.display()),
        )
        .provider("other", &format!("base_url: '{url}'"))
        .model("m", &["own/x+out=1"])
        .model("n", &["other/x+out=1"])
        .start()
        .await;
    let reply = gateway.ask("m").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(
        gateway.ask("n").await.refusal(),
        "502 server_error upstream_error null"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_certificate_is_said() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let file = folder.path().join("ca.pem");
    fs::write(&file, authority.pem()).unwrap();
    let trusting = |url: &str| format!("base_url: '{url}', ca_file: '{}'", file.display());
    let (_sim, url, _kept) = fenced(&authority.signs("localhost", 2099)).await;
    let why = refused(&format!("base_url: '{url}'")).await;
    assert!(why.contains("UnknownIssuer"), "{why}");
    let (_sim, url, _kept) = fenced(&authority.signs("localhost", 2021)).await;
    let why = refused(&trusting(&url)).await;
    assert!(why.contains("expired"), "{why}");
    let (_sim, url, _kept) = fenced(&authority.signs("example.com", 2099)).await;
    let why = refused(&trusting(&url)).await;
    assert!(
        why.contains("not valid for name") && why.contains("localhost"),
        "{why}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn https_goes_through_a_tunnel_and_the_credentials_stay_at_the_proxy() {
    let authority = Authority::new();
    let (sim, url, _kept) = fenced(&authority.signs("localhost", 2099)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, authority.pem()).unwrap();
    let proxy = Proxy::start().await;
    let gateway = Setup::new(&sim)
        .provider(
            "own",
            &format!(
                "base_url: '{url}', ca_file: '{}', proxy: 'http://us:p%40ss-word@{}'",
                file.display(),
                proxy.address
            ),
        )
        .model("m", &["own/x+out=1"])
        .start()
        .await;
    for _ in 0..3 {
        assert_eq!(gateway.ask("m").await.status, 200);
    }
    let heads = proxy.heads.lock().unwrap().clone();
    assert_eq!(heads.len(), 1, "a tunnel is kept: {heads:?}");
    let host = url.trim_start_matches("https://").trim_end_matches("/v1");
    assert!(
        heads[0].starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")),
        "{heads:?}"
    );
    // us:p@ss-word
    assert!(
        heads[0].contains("proxy-authorization: Basic dXM6cEBzcy13b3Jk\r\n"),
        "{heads:?}"
    );
    for request in sim.requests(3) {
        assert!(!format!("{request:?}").contains("dXM6cEBzcy13b3Jk"));
    }
    let config = gateway
        .operator(Method::GET, "/admin/v1/config")
        .key(ADMIN_KEY);
    let config = config.send().await;
    let shown = config.text();
    assert!(
        shown.contains(&format!("http://***@{}", proxy.address)),
        "{shown}"
    );
    assert!(
        !shown.contains("ss-word") && !shown.contains("dXM6"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_the_proxys_to_pass_on() {
    let body = r#"{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}]}"#;
    let proxy = Scripted::saying(scripted::json(body)).await;
    let gateway = Setup::new(&simulator().await)
        .provider(
            "far",
            &format!(
                "base_url: 'http://far.invalid:8000/v1', proxy: 'http://us:pw@{}/'",
                proxy.address
            ),
        )
        .model("m", &["far/x"])
        .start()
        .await;
    assert_eq!(gateway.ask("m").await.status, 200);
    let requests = proxy.requests();
    let line = "POST http://far.invalid:8000/v1/chat/completions HTTP/1.1\r\n";
    assert!(requests[0].starts_with(line), "{requests:?}");
    assert!(
        requests[0].contains("proxy-authorization: Basic dXM6cHc=\r\n"),
        "{requests:?}"
    );
    let wary = Scripted::saying("HTTP/1.1 407 Who\r\ncontent-length: 0\r\n\r\n").await;
    let far = "base_url: 'http://far.invalid:8000/v1'";
    let why = refused(&format!("{far}, proxy: 'http://{}'", wary.address)).await;
    assert!(why.contains("the proxy wants other credentials"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_proxy_did_wrong_is_told_apart_and_the_next_backend_serves() {
    let through =
        |proxy: SocketAddr| format!("base_url: 'https://far.invalid/v1', proxy: 'http://{proxy}'");
    let mut gone = Vec::new();
    for (answer, said) in [
        (
            "HTTP/1.1 407 Who\r\ncontent-length: 3\r\n\r\nno!",
            "status 407",
        ),
        (
            "HTTP/1.1 403 No\r\n\r\n",
            "refused a tunnel with status 403",
        ),
        ("SSH-2.0-OpenSSH\r\n", "does not speak HTTP"),
        ("", "ended the connection without an answer"),
    ] {
        let proxy = if answer.is_empty() {
            Scripted::start(vec![crate::support::Act::Close]).await
        } else {
            Scripted::saying(answer).await
        };
        let why = refused(&through(proxy.address)).await;
        assert!(why.contains(said), "{why}");
        gone.push(proxy.address);
    }
    // nobody listens there any more
    eventually("the port is closed", async || {
        TcpStream::connect(gone[0]).await.is_err()
    })
    .await;
    let why = refused(&through(gone[0])).await;
    assert!(why.contains("the proxy can't be reached"), "{why}");
    let sim = simulator().await;
    let gateway = Setup::new(&sim)
        .provider("far", &through(gone[0]))
        .model("m", &["far/x", "near/x+out=1"])
        .start()
        .await;
    assert_eq!(gateway.ask("m").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_the_connections_of_whoever_is_reached_as_before() {
    let (sim, proxied) = (simulator().await, simulator().await);
    let setup = |more: &str| {
        Setup::new(&sim)
            .provider("b", &format!("base_url: '{}'{more}", proxied.base_url("")))
            .model("m", &["a/x+out=1"])
            .model("n", &["b/x+out=1"])
    };
    let files = Files::new(&setup(""));
    let gateway = files.start().await;
    let ask_both = async || {
        assert_eq!(gateway.ask("m").await.status, 200);
        assert_eq!(gateway.ask("n").await.status, 200);
    };
    ask_both().await;
    // the proxy is the simulator itself: to it, the whole URL is one as well
    let way = format!(", proxy: 'http://{}'", proxied.addr());
    fs::write(files.file(), text(&setup(&way))).unwrap();
    eventually("the change took effect", async || {
        let metrics = gateway.metrics().await;
        metrics.count("config_reloads_total", &[("result", "ok")]) == 1
    })
    .await;
    ask_both().await;
    assert_eq!(
        sim.account().connections_opened,
        1,
        "nothing changed for it"
    );
    assert_eq!(
        proxied.account().connections_opened,
        2,
        "another way, another connection"
    );
}
