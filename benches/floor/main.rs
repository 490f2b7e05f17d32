//! The floor: the least that a gateway of hyper can do. It reads the body of a request, sends it to
//! the one upstream over pooled connections, and hands the answer on while it comes. It looks at
//! nothing, so what a gateway costs more than this is what its work costs.
//!
//! `floor LISTEN UPSTREAM` runs one runtime of several threads, as tollgate does; with `--per-core`
//! each core has a runtime, a listener and a pool of its own.

use std::{convert::Infallible, net::SocketAddr, thread};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header, uri};
use http_body_util::{BodyExt, Either, Empty, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::{TcpListener, TcpSocket};

/// The allocator of tollgate.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4_096;

type Body = Either<Incoming, Empty<Bytes>>;

/// Where requests go.
#[derive(Clone)]
struct Upstream {
    client: Client<HttpConnector, Full<Bytes>>,
    authority: uri::Authority,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (listen, upstream, per_core) = match &*arguments {
        [listen, upstream] => (listen, upstream, false),
        [flag, listen, upstream] if flag == "--per-core" => (listen, upstream, true),
        _ => bail!("usage: floor [--per-core] LISTEN UPSTREAM"),
    };
    let listen: SocketAddr = listen.parse().context("LISTEN is no address")?;
    let upstream: uri::Authority = upstream.parse().context("UPSTREAM is no authority")?;
    if !per_core {
        return tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?
            .block_on(serve(listen, upstream));
    }
    let cores = thread::available_parallelism()?.get();
    let threads: Vec<_> = (0..cores)
        .map(|_| {
            let upstream = upstream.clone();
            thread::spawn(move || {
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()?
                    .block_on(serve(listen, upstream))
            })
        })
        .collect();
    for thread in threads {
        thread.join().ok().context("a thread panicked")??;
    }
    Ok(())
}

/// Accepts connections for ever.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing waits for these connections: it is killed"
)]
async fn serve(listen: SocketAddr, authority: uri::Authority) -> anyhow::Result<()> {
    let listener = listener(listen)?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let upstream = Upstream {
        client: Client::builder(TokioExecutor::new()).build(connector),
        authority,
    };
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let upstream = upstream.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let upstream = upstream.clone();
                async move { Ok::<_, Infallible>(upstream.pass(request).await) }
            });
            // a client that leaves is nobody's mistake
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// One of several on the same address, where there is one for each core.
fn listener(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket.listen(BACKLOG)?)
}

impl Upstream {
    async fn pass(&self, request: Request<Incoming>) -> Response<Body> {
        self.ask(request).await.unwrap_or_else(|_| {
            let mut answer = Response::new(Either::Right(Empty::new()));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        })
    }

    async fn ask(&self, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let mut onward = Request::new(Full::new(body));
        *onward.method_mut() = head.method;
        *onward.uri_mut() = self.address(&head.uri)?;
        *onward.headers_mut() = end_to_end(head.headers);
        if onward.method() == Method::GET {
            onward.headers_mut().remove(header::CONTENT_LENGTH);
        }
        let answer = self.client.request(onward).await?;
        let (mut head, body) = answer.into_parts();
        head.headers = end_to_end(head.headers);
        Ok(Response::from_parts(head, Either::Left(body)))
    }

    fn address(&self, uri: &Uri) -> anyhow::Result<Uri> {
        let path = uri.path_and_query().context("a request without a path")?;
        let uri = Uri::builder()
            .scheme(uri::Scheme::HTTP)
            .authority(self.authority.clone())
            .path_and_query(path.clone());
        Ok(uri.build()?)
    }
}

/// Without what belongs to one connection.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}
