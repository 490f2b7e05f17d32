//! A plain HTTP/1.1 client on a blocking socket, which sees every byte and every kind of end.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tollgate::simulate::account::{ModelCounts, Snapshot};
use tollgate::simulate::{Handle, Options, Simulator};

/// Longer than anything here takes; only a hanging test waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A simulator on a runtime of its own.
pub(crate) struct Sim {
    // before the runtime, so that it is dropped first
    pub(crate) handle: Handle,
    pub(crate) runtime: Runtime,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As its head announced.
    Whole,
    /// The connection was closed too early.
    Closed,
    /// The connection was reset.
    Reset,
    /// Nothing came for the time that the test waits.
    Silent,
}

#[derive(Debug)]
pub(crate) struct Answer {
    /// 0 when no head came.
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
    /// Sizes of the reads, head included.
    pub(crate) reads: Vec<usize>,
}

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) addr: SocketAddr,
    rest: Vec<u8>,
}

impl Sim {
    pub(crate) fn start() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let addr = "127.0.0.1:0".parse().unwrap();
        let handle = runtime.block_on(Simulator::bind(addr, options)).unwrap();
        Self { handle, runtime }
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::to(self.handle.addr())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.connect().post(path, &body.to_string())
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        let mut connection = self.connect();
        connection.send("GET", path, &[], "");
        connection.answer()
    }

    /// A small chat with this model.
    pub(crate) fn chat(&self, model: &str) -> Answer {
        self.post(CHAT, &hello(model))
    }

    /// The same as a stream.
    pub(crate) fn stream(&self, model: &str) -> Answer {
        self.post(CHAT, &streamed(model))
    }

    pub(crate) fn model(&self, model: &str) -> ModelCounts {
        self.handle.account().model(model)
    }

    /// Waits until the account says so; panics after a second, the time in which it must.
    pub(crate) fn within_a_second(&self, what: &str, holds: impl Fn(&Snapshot) -> bool) {
        let start = Instant::now();
        while !holds(&self.handle.account()) {
            let account = self.handle.account();
            assert!(
                start.elapsed() < Duration::from_secs(1),
                "not {what}: {account:?}"
            );
            std::thread::yield_now();
        }
    }
}

pub(crate) fn hello(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "hello there" }] })
}

pub(crate) fn streamed(model: &str) -> Value {
    let mut body = hello(model);
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    body
}

impl Connection {
    pub(crate) fn to(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            addr,
            rest: Vec::new(),
        }
    }

    pub(crate) fn post(&mut self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body);
        self.answer()
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head += &format!("host: {}\r\n", self.addr);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        self.stream.write_all(head.as_bytes()).unwrap();
        self.stream.write_all(body.as_bytes()).unwrap();
    }

    /// Reads the head and nothing after it, and waits for `bytes` of the body.
    pub(crate) fn answer_until(&mut self, bytes: usize) -> Vec<u8> {
        let mut seen = std::mem::take(&mut self.rest);
        let mut chunk = [0; 16 * 1024];
        loop {
            if let Some(head) = find(&seen, b"\r\n\r\n")
                && seen.len() >= head + 4 + bytes
            {
                return seen;
            }
            let read = self.stream.read(&mut chunk).unwrap();
            assert!(read > 0, "closed: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&chunk[..read]);
        }
    }

    /// What the peer does next on an idle connection.
    pub(crate) fn next_end(&mut self) -> End {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => End::Closed,
            Ok(_) => panic!("more bytes"),
            Err(error) => end_of(error.kind()),
        }
    }

    pub(crate) fn close(self) {
        self.stream.shutdown(Shutdown::Both).ok();
    }

    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = Answer {
            status: 0,
            headers: Vec::new(),
            body: Vec::new(),
            end: End::Whole,
            reads: Vec::new(),
        };
        let mut raw = std::mem::take(&mut self.rest);
        let head = loop {
            if let Some(at) = find(&raw, b"\r\n\r\n") {
                break at;
            }
            if let Err(end) = self.more(&mut raw, &mut answer.reads) {
                answer.end = end;
                return answer;
            }
        };
        let mut body = raw.split_off(head + 4);
        answer.read_head(&String::from_utf8(raw).unwrap());
        answer.end = if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().unwrap();
            loop {
                if body.len() >= length {
                    self.rest = body.split_off(length);
                    break End::Whole;
                }
                if let Err(end) = self.more(&mut body, &mut answer.reads) {
                    break end;
                }
            }
        } else {
            assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
            loop {
                if let Some((whole, used)) = dechunk(&body) {
                    self.rest = body.split_off(used);
                    body = whole;
                    break End::Whole;
                }
                if let Err(end) = self.more(&mut body, &mut answer.reads) {
                    body = partly_dechunk(&body).0;
                    break end;
                }
            }
        };
        answer.body = body;
        answer
    }

    fn more(&mut self, into: &mut Vec<u8>, reads: &mut Vec<usize>) -> Result<(), End> {
        let mut chunk = [0; 64 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => Err(End::Closed),
            Ok(read) => {
                reads.push(read);
                into.extend_from_slice(&chunk[..read]);
                Ok(())
            }
            Err(error) => Err(end_of(error.kind())),
        }
    }
}

impl Answer {
    fn read_head(&mut self, head: &str) {
        let mut lines = head.split("\r\n").filter(|line| !line.is_empty());
        self.status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            self.headers
                .push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    /// `error.param` of a refusal.
    pub(crate) fn param(&self) -> String {
        self.json()["error"]["param"]
            .as_str()
            .unwrap_or("")
            .to_owned()
    }

    /// The data of all events, by the rules of event streams: any line end, several data lines,
    /// comments, a byte order mark.
    pub(crate) fn data(&self) -> Vec<String> {
        let text = self.text();
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let events = text.split("\n\n").map(|event| {
            let lines = event.lines().filter_map(|line| line.strip_prefix("data:"));
            let lines: Vec<&str> = lines.map(|l| l.strip_prefix(' ').unwrap_or(l)).collect();
            lines.join("\n")
        });
        events.filter(|data| !data.is_empty()).collect()
    }

    /// All events that are JSON.
    pub(crate) fn events(&self) -> Vec<Value> {
        let data = self.data();
        data.iter()
            .filter_map(|data| serde_json::from_str(data).ok())
            .collect()
    }

    /// The text of choice `index`, from an answer or a stream.
    pub(crate) fn content(&self, index: u64) -> String {
        let of = |value: &Value| -> String {
            let choices = value["choices"].as_array().cloned().unwrap_or_default();
            let mine = choices.iter().filter(|choice| choice["index"] == index);
            mine.filter_map(|choice| {
                let delta = choice["delta"]["content"].as_str();
                delta
                    .or(choice["message"]["content"].as_str())
                    .or(choice["text"].as_str())
            })
            .collect()
        };
        if self
            .header("content-type")
            .unwrap()
            .starts_with("text/event-stream")
        {
            self.events().iter().map(of).collect()
        } else {
            of(&self.json())
        }
    }
}

fn end_of(kind: ErrorKind) -> End {
    match kind {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => End::Reset,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => End::Silent,
        other => panic!("unexpected: {other:?}"),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A whole chunked body and how many bytes it took.
fn dechunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (body, used, done) = partly_dechunk(bytes);
    done.then_some((body, used))
}

fn partly_dechunk(bytes: &[u8]) -> (Vec<u8>, usize, bool) {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else {
            return (body, at, false);
        };
        let size = std::str::from_utf8(&bytes[at..at + line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let from = at + line + 2;
        if bytes.len() < from + size + 2 {
            return (body, at, false);
        }
        body.extend_from_slice(&bytes[from..from + size]);
        at = from + size + 2;
        if size == 0 {
            return (body, at, true);
        }
    }
}
