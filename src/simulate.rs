//! The provider simulator: an OpenAI-shaped upstream that does what the model's name says.
//!
//! It is the upstream of the demo, of integration and fault tests and of load benchmarks. It is
//! strict about what it accepts, deterministic in what it answers, and keeps an account of what it
//! served. Every answer says that it is simulated. It never calls anyone.
//!
//! A model name is `<anything>`, then directives: `qwen3+out=64+gap=20ms+fault=cut:3`. The order
//! is free; an unknown directive is a 400 that lists the known ones. Durations are `200ms`, `2s`,
//! `500us`, or bare milliseconds.
//!
//! | directive | does |
//! | --- | --- |
//! | `out=N` | visible output tokens |
//! | `chunks=N`, `chunk=N` | content events of a stream; tokens in one (1) |
//! | `head=1s`, `ttft=200ms`, `gap=20ms` | delay before the head; from there to the first event; between content events |
//! | `prompt=N`, `cached=N`, `remembers`, `written=N`, `reasoning=N` | tokens that are reported (and, for reasoning, sent) |
//! | `cost=0.01`, `tier=NAME` | what is charged, and the service tier that is said to have served |
//! | `usage=STYLE` | `openai`, `deepseek`, `last`, `continuous`, `bare`, `xai`, `none`, `null`, `zero`, `bad` |
//! | `calls=N` | parallel tool calls |
//! | `bad=KIND` | an answer that is complete and no good |
//! | `sse=lf\|crlf\|cr`, `nospace`, `multiline`, `bom` | the form of events |
//! | `comments=N`, `keepalive=1s` | comments before every event; during `ttft` |
//! | `split=N` | at most N bytes in one TCP write |
//! | `nodone`, `nofinish` | no `[DONE]`; no `finish_reason` |
//! | `strict` | unknown members of the body are refused |
//! | `fault=KIND` | `status[:S]`, `reset`, `close`, `hang`, `hang_head`, `cut:N`, `end:N`, `stall:N`, `garbage:N`, `error_first`, `error:N`, `notjson`, `empty`, `short`, `slow_body` |
//! | `body=NAME`, `retry_after=2` | the error body, as a real provider words it; the header |
//! | `fail=K`, `every=K` | only the first K requests for this name meet the fault; only each K-th |
//! | `only_key=HEX` | only requests whose API key's SHA-256 begins so meet the fault |
//! | `idle_close=50ms` | the server closes the connection after this idle time |
//!
//! `docs/simulator.md` says the same at length, with examples.

pub mod account;
mod answer;
mod aside;
mod ask;
mod body;
mod count;
mod deliver;
mod directive;
mod embedding;
mod events;
mod form;
mod headers;
mod line;
mod memory;
mod others;
mod provider_errors;
pub mod received;
mod refusal;
mod render;
mod route;
mod schema;
mod serve;
mod server;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use account::Snapshot;
use received::Received;
use server::Server;

/// Largest body that is read by default: larger than what providers take.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// Requests that are kept by default.
const KEEP_REQUESTS: usize = 256;
/// Largest body that is kept by default.
const KEEP_BODY: usize = 1024 * 1024;

/// What a simulator is, beyond what model names say.
#[derive(Clone)]
pub struct Options {
    /// Bearer keys that are accepted; empty: no key is asked for.
    pub keys: Vec<String>,
    /// What `GET /v1/models` lists. Every other name is served as well.
    pub models: Vec<String>,
    /// Directives for clean names: by `provider/model` or by `model`, as `ttft=50ms+gap=5ms`.
    /// Directives in a name override these.
    pub scripts: BTreeMap<String, String>,
    /// Values of `host` that are accepted beside the listener's address and `localhost`. On an
    /// unspecified address (`0.0.0.0`) every host is accepted.
    pub hosts: Vec<String>,
    /// Idle time after which kept-alive connections are closed (vLLM: 5 s); `None`: never.
    pub idle_close: Option<Duration>,
    /// Largest body that is read, in bytes; larger ones are a 413.
    pub max_body: usize,
    /// How many requests are kept for inspection.
    pub keep_requests: usize,
    /// Largest body that is kept with them, in bytes; of others there are length and digest.
    pub keep_body: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            models: vec!["sim-model".to_owned()],
            scripts: BTreeMap::new(),
            hosts: Vec::new(),
            idle_close: None,
            max_body: MAX_BODY,
            keep_requests: KEEP_REQUESTS,
            keep_body: KEEP_BODY,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("keys", &self.keys.len())
            .field("models", &self.models)
            .field("scripts", &self.scripts)
            .field("hosts", &self.hosts)
            .field("idle_close", &self.idle_close)
            .field("max_body", &self.max_body)
            .field("keep_requests", &self.keep_requests)
            .field("keep_body", &self.keep_body)
            .finish()
    }
}

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// What was asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A value of `Options::scripts` cannot be read.
    #[error("script of `{model}`: {reason}")]
    Script {
        /// Its key.
        model: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Starts simulators.
#[derive(Debug)]
pub struct Simulator;

/// A running simulator. Dropping it stops it, and all its connections with it.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    server: Arc<Server>,
    tracker: TaskTracker,
}

impl Simulator {
    /// Starts on an address; port 0 picks a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on or a script cannot be read.
    pub async fn bind(addr: SocketAddr, options: Options) -> Result<Handle, SimulateError> {
        let listen = |source| SimulateError::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(listen)?;
        Self::start(listener, options)
    }

    /// Starts on a listener, within a Tokio runtime.
    ///
    /// # Errors
    /// When the listener has no address or a script cannot be read.
    pub fn start(listener: TcpListener, options: Options) -> Result<Handle, SimulateError> {
        for (model, script) in &options.scripts {
            directive::Script::parse(model, script).map_err(|error| SimulateError::Script {
                model: model.clone(),
                reason: error.to_string(),
            })?;
        }
        let addr = listener
            .local_addr()
            .map_err(|source| SimulateError::Listen {
                addr: SocketAddr::from(([0, 0, 0, 0], 0)),
                source,
            })?;
        let server = Arc::new(Server::new(options, addr, CancellationToken::new()));
        let tracker = TaskTracker::new();
        tracker.spawn(server::accept(
            listener,
            Arc::clone(&server),
            tracker.clone(),
        ));
        tracker.close();
        Ok(Handle {
            addr,
            server,
            tracker,
        })
    }
}

impl Handle {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base URL as one provider: `http://127.0.0.1:1234/p/<provider>/v1`; without the prefix
    /// when `provider` is empty.
    #[must_use]
    pub fn base_url(&self, provider: &str) -> String {
        if provider.is_empty() {
            format!("http://{}/v1", self.addr)
        } else {
            format!("http://{}/p/{provider}/v1", self.addr)
        }
    }

    /// What has been served until now.
    #[must_use]
    pub fn account(&self) -> Snapshot {
        self.server.account.snapshot()
    }

    /// The last `count` requests as they came in, oldest first.
    #[must_use]
    pub fn requests(&self, count: usize) -> Vec<Arc<Received>> {
        self.server.ring.last(count)
    }

    /// All counters to zero, `fail` and `every` included, and the kept requests forgotten.
    pub fn reset(&self) {
        self.server.account.reset();
        self.server.ring.clear();
    }

    /// Closes the listener and drops every connection; complete when all of it is gone.
    pub async fn stop(self) {
        self.server.stopping.cancel();
        self.tracker.wait().await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.server.stopping.cancel();
    }
}

/// Runs a simulator until `stop`; `ready` hears the address once it listens.
///
/// # Errors
/// When it cannot start.
pub async fn run(
    addr: SocketAddr,
    options: Options,
    stop: CancellationToken,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), SimulateError> {
    let handle = Simulator::bind(addr, options).await?;
    ready(handle.addr());
    stop.cancelled().await;
    handle.stop().await;
    Ok(())
}
