use http::header::HOST;
use http_body_util::BodyExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{catalog, config::load};

/// Ends of chunks that a backend says in one write.
const CHUNKS: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
    1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n";
const SOON: Duration = Duration::from_secs(10);

/// A client, and a request to a listener.
async fn setup() -> (TcpListener, Client, Prepared) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    let yaml = format!(
        "providers: {{ p: {{ protocol: openai, base_url: '{base}', api_key: k }} }}\n\
         models: [{{ name: m, backends: [{{ provider: p, model: x }}] }}]\n"
    );
    let none = |_: &str| None;
    let checked = load::from_str("t.yaml", &yaml, &none, catalog::builtin());
    let config = checked.unwrap().config;
    let client = Client::of_each(&config, None).remove(0);
    let request = Prepared {
        uri: format!("{base}/chat/completions?x=1").parse().unwrap(),
        headers: [(
            HOST,
            listener.local_addr().unwrap().to_string().parse().unwrap(),
        )]
        .into_iter()
        .collect(),
        body: VecDeque::from([Bytes::from_static(b"{"), Bytes::from_static(b"}")]),
    };
    (listener, client, request)
}

/// Reads a request, whose body is `{}`.
async fn asked(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n{}") {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0, "it left");
    }
    String::from_utf8(bytes).unwrap()
}

async fn text(answer: Response<Received>) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_connection_whose_answer_was_read_takes_the_next_request() {
    let (listener, client, request) = setup().await;
    let backend = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let host = listener.local_addr().unwrap();
        for answer in [CHUNKS, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"] {
            let head = asked(&mut stream).await;
            assert!(head.starts_with("POST /v1/chat/completions?x=1 HTTP/1.1\r\n"));
            assert!(head.contains(&format!("host: {host}\r\n")), "{head}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    };
    let asking = async {
        for _ in 0..2 {
            assert_eq!(text(client.send(&request).await.unwrap()).await, "abc");
        }
    };
    tokio::time::timeout(SOON, async { tokio::join!(backend, asking) })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_that_is_dropped_ends_its_connection() {
    let (listener, client, request) = setup().await;
    let asking = client.send(&request);
    let backend = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        asked(&mut stream).await;
        let (begun, _) = CHUNKS.split_once("1\r\nc").unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        stream
    };
    let (answer, mut stream) = tokio::join!(asking, backend);
    let mut body = answer.unwrap().into_body();
    assert_eq!(
        body.frame().await.unwrap().unwrap().into_data().unwrap(),
        "a"
    );
    drop(body);
    let closed = tokio::time::timeout(SOON, stream.read_u8()).await;
    assert!(closed.unwrap().is_err());
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_not_taken() {
    let (listener, client, request) = setup().await;
    let backend = async {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            asked(&mut stream).await;
            stream.write_all(CHUNKS.as_bytes()).await.unwrap();
        }
    };
    let asking = async {
        text(client.send(&request).await.unwrap()).await;
        // until the end of the connection has been seen
        let idle = Arc::clone(client.here(false));
        let host = request.uri.authority().unwrap();
        while let Some((line, _)) = idle.take(host) {
            idle.put(host.clone(), line);
            tokio::task::yield_now().await;
        }
        assert_eq!(text(client.send(&request).await.unwrap()).await, "abc");
    };
    tokio::time::timeout(SOON, async { tokio::join!(backend, asking) })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_idle_connection_is_ended_after_a_while() {
    let (listener, client, request) = setup().await;
    let idle = Idle::new(Duration::from_millis(20));
    let host = request.uri.authority().unwrap().clone();
    let (line, accepted) = tokio::join!(client.open(&request.uri), listener.accept());
    let (mut line, (mut stream, _)) = (line.unwrap(), accepted.unwrap());
    let (answer, ()) = tokio::join!(line.ask(request.to_http(None)), async {
        asked(&mut stream).await;
        stream.write_all(CHUNKS.as_bytes()).await.unwrap();
    });
    let way = Way {
        line,
        host,
        idle: Arc::clone(&idle),
    };
    let body = Received::new(answer.unwrap().into_body(), way);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    let closed = tokio::time::timeout(SOON, stream.read_u8()).await;
    assert!(closed.unwrap().is_err());
}
