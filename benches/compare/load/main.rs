//! The load of `benches/compare`: asks one address in one way, and prints what it saw as one line
//! of JSON. It knows nothing of who answers.

mod client;

use std::{
    io::Read as _,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use clap::{Parser, Subcommand};
use http::{HeaderName, HeaderValue, Uri};
use serde_json::json;
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinSet,
    time::{MissedTickBehavior, timeout},
};

use self::client::{Connection, Question, Seen};

/// Streams that are being opened at once.
const OPENING: usize = 64;
/// How long one of them may take to its first event.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all of them are kept, even if nobody says that it is enough.
const HELD: Duration = Duration::from_secs(45);

#[derive(Parser)]
struct Arguments {
    /// Whom to ask.
    #[arg(long)]
    url: Uri,
    /// What to ask.
    #[arg(long)]
    body: String,
    /// `name: value`, sent with each request.
    #[arg(long = "header")]
    headers: Vec<String>,
    #[command(subcommand)]
    way: Way,
}

#[derive(Subcommand)]
enum Way {
    /// Each connection asks, reads the whole answer, and asks again, for so long.
    Lasting { connections: usize, seconds: f64 },
    /// Each connection does so a number of times.
    Each { connections: usize, requests: usize },
    /// Asks at fixed moments, however long answers take.
    Rate { per_second: f64, seconds: f64 },
    /// Opens streams, says so once each has brought an event, and keeps them until its input ends,
    /// or for 45 seconds.
    Hold { streams: usize },
}

/// What all connections of a load saw.
#[derive(Default)]
struct Sum {
    latencies: Vec<Duration>,
    events: u64,
    bytes: u64,
    failed: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let headers = arguments.headers.iter().map(|line| header(line));
    let question = Question {
        uri: arguments.url,
        body: Bytes::from(arguments.body),
        headers: headers.collect::<anyhow::Result<_>>()?,
    };
    let started = Instant::now();
    let sum = match arguments.way {
        Way::Lasting {
            connections,
            seconds,
        } => {
            let end = started + Duration::from_secs_f64(seconds);
            closed(question, connections, move |_| Instant::now() < end).await
        }
        Way::Each {
            connections,
            requests,
        } => closed(question, connections, move |asked| asked < requests).await,
        Way::Rate {
            per_second,
            seconds,
        } => rate(question, per_second, seconds).await,
        Way::Hold { streams } => return hold(question, streams).await,
    };
    sum.print(started.elapsed());
    Ok(())
}

/// A load whose connections each wait for their answer.
async fn closed(
    question: Question,
    connections: usize,
    goes_on: impl Fn(usize) -> bool + Clone + Send + 'static,
) -> Sum {
    let question = Arc::new(question);
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        let (question, goes_on) = (Arc::clone(&question), goes_on.clone());
        tasks.spawn(async move {
            let (mut sum, mut connection) = (Sum::default(), None);
            let mut asked = 0;
            while goes_on(asked) {
                asked += 1;
                sum.ask(&question, &mut connection, Instant::now()).await;
            }
            sum
        });
    }
    let mut sum = Sum::default();
    while let Some(Ok(other)) = tasks.join_next().await {
        sum.add(other);
    }
    sum
}

/// A load whose requests leave on time. A latency counts from when its request was due, so that a
/// pause is seen by every request that it delayed.
async fn rate(question: Question, per_second: f64, seconds: f64) -> Sum {
    let question = Arc::new(question);
    let idle = Arc::new(std::sync::Mutex::new(Vec::<Connection>::new()));
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(per_second.recip()));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mut tasks = JoinSet::new();
    while Instant::now() < end {
        let due = ticks.tick().await.into_std();
        let (question, idle) = (Arc::clone(&question), Arc::clone(&idle));
        tasks.spawn(async move {
            let mut connection = idle.lock().ok().and_then(|mut idle| idle.pop());
            let mut sum = Sum::default();
            sum.ask(&question, &mut connection, due).await;
            if let (Some(connection), Ok(mut idle)) = (connection, idle.lock()) {
                idle.push(connection);
            }
            sum
        });
    }
    let mut sum = Sum::default();
    while let Some(Ok(other)) = tasks.join_next().await {
        sum.add(other);
    }
    sum
}

/// Streams that stay open.
async fn hold(question: Question, streams: usize) -> anyhow::Result<()> {
    let question = Arc::new(question);
    let opening = Arc::new(Semaphore::new(OPENING));
    let failed = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let (question, opening) = (Arc::clone(&question), Arc::clone(&opening));
        let failed = Arc::clone(&failed);
        tasks.spawn(async move {
            let permit = opening.acquire_owned().await;
            let stream = async {
                let mut connection = Connection::open(&question.uri).await?;
                let open = connection.first_event(&question).await?;
                anyhow::Ok((connection, open))
            };
            let stream = timeout(PATIENCE, stream).await;
            drop(permit);
            let stream = stream.map_err(Into::into).flatten();
            stream.inspect_err(|_| {
                failed.fetch_add(1, Relaxed);
            })
        });
    }
    let mut open = Vec::new();
    while let Some(stream) = tasks.join_next().await {
        open.extend(stream?.ok());
    }
    println!(
        "{}",
        json!({ "open": open.len(), "failed": failed.load(Relaxed) })
    );
    // a thread that reads can't be given up, and must not keep the program
    let (told, enough) = oneshot::channel();
    thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told.send(())
    });
    let _ = timeout(HELD, enough).await;
    Ok(())
}

fn header(line: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':').context("a header is `name: value`")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}

impl Sum {
    /// Asks on a connection, which is opened where there is none, and left away where it broke.
    async fn ask(&mut self, question: &Question, kept: &mut Option<Connection>, due: Instant) {
        let answer = async {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => Connection::open(&question.uri).await?,
            };
            let seen = connection.ask(question).await?;
            anyhow::Ok((connection, seen))
        };
        match answer.await {
            Ok((connection, Seen { events, bytes })) => {
                *kept = Some(connection);
                self.latencies.push(due.elapsed());
                self.events += events;
                self.bytes += bytes;
            }
            Err(_) => self.failed += 1,
        }
    }

    fn add(&mut self, mut other: Self) {
        self.latencies.append(&mut other.latencies);
        self.events += other.events;
        self.bytes += other.bytes;
        self.failed += other.failed;
    }

    fn print(mut self, lasted: Duration) {
        self.latencies.sort_unstable();
        let percentile = |percent: usize| {
            let last = self.latencies.len().saturating_sub(1);
            let at = (self.latencies.len() * percent / 100).min(last);
            self.latencies.get(at).map(|l| l.as_secs_f64() * 1e6)
        };
        println!(
            "{}",
            json!({
                "requests": self.latencies.len(),
                "failed": self.failed,
                "events": self.events,
                "bytes": self.bytes,
                "seconds": lasted.as_secs_f64(),
                "p50_us": percentile(50),
                "p99_us": percentile(99),
            })
        );
    }
}
