//! What the gateway costs as a process: how soon it serves, how much memory it takes, and what it
//! adds to a request in time and CPU. Gateway and simulator run as programs of their own, and the
//! same load goes to the simulator directly, so that the figures compare on any machine.

mod client;
mod process;
mod table;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, ensure};
use http::Uri;
use serde_json::json;

use self::{
    client::{Load, Timing},
    process::Process,
};

/// Starts that are timed.
const STARTS: usize = 10;
/// Requests before memory is read again; also the warm-up.
const WARM_UP: usize = 1_000;
/// How often each load is sent to either side, in turns, so that a noisy moment hits both.
const ROUNDS: usize = 3;
/// How long each time.
const LASTING: Duration = Duration::from_secs(1);

/// What is asked for.
struct Scenario {
    name: &'static str,
    /// The model for the gateway, and for the simulator.
    models: [&'static str; 2],
    stream: bool,
    connections: usize,
}

const SCENARIOS: [Scenario; 3] = [
    Scenario {
        name: "1 connection",
        models: ["auto", "sim"],
        stream: false,
        connections: 1,
    },
    Scenario {
        name: "64 connections",
        models: ["auto", "sim"],
        stream: false,
        connections: 64,
    },
    Scenario {
        name: "64 streams of 100 events",
        models: ["long-stream", "sim+out=100"],
        stream: true,
        connections: 64,
    },
];

/// What one side of a scenario showed, medians over all rounds.
struct Figures {
    p50: Duration,
    p99: Duration,
    per_second: f64,
    /// Of the process that was asked, for each request.
    cpu: Duration,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(measure()),
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

async fn measure() -> anyhow::Result<()> {
    let [listen, admin, simulated] = process::free_addresses()?;
    let mut simulator = Process::tollgate(&["simulate", "--listen", &simulated.to_string()], &[])?;
    let base = format!("http://{simulated}");
    simulator
        .answers(&format!("{base}/v1/models").parse()?)
        .await?;

    let fleet = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/fleet.yaml");
    let fleet = fleet
        .to_str()
        .context("the path of fleet.yaml is not UTF-8")?;
    let (listen, admin) = (listen.to_string(), admin.to_string());
    let arguments = [
        "--config",
        fleet,
        "--listen",
        &listen,
        "--admin-listen",
        &admin,
    ];
    let start = || Process::tollgate(&arguments, &[("SIMULATOR", &base)]);
    let ready: Uri = format!("http://{listen}/readyz").parse()?;
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        starts.push(start()?.answers(&ready).await?);
    }

    let mut gateway = start()?;
    gateway.answers(&ready).await?;
    // the first answer is out before every thread has gone to rest
    tokio::time::sleep(Duration::from_millis(200)).await;
    let fresh = gateway.memory()?;
    let sides: [(&Process, Uri); 2] = [
        (
            &gateway,
            format!("http://{listen}/v1/chat/completions").parse()?,
        ),
        (
            &simulator,
            format!("{base}/p/pool/v1/chat/completions").parse()?,
        ),
    ];
    for (side, (_, uri)) in sides.iter().enumerate() {
        SCENARIOS[1].load(side, uri).requests(WARM_UP).await?;
    }
    let warm = gateway.memory()?;
    let mut rows = Vec::new();
    for scenario in &SCENARIOS {
        rows.push((scenario, compare(scenario, &sides).await?));
    }
    table::print(&table::Report {
        start: median(&mut starts),
        fresh,
        warm,
        loaded: gateway.memory()?,
        rows: &rows,
    })?;
    Ok(())
}

/// The same load to both sides, in turns.
async fn compare(
    scenario: &Scenario,
    sides: &[(&Process, Uri); 2],
) -> anyhow::Result<[Figures; 2]> {
    let mut seen: [Vec<(Timing, Duration)>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (side, (process, uri)) in sides.iter().enumerate() {
            let before = process.cpu()?;
            let timing = scenario.load(side, uri).lasting(LASTING).await?;
            let cpu = process.cpu()?.saturating_sub(before);
            ensure!(
                timing.count() > 0,
                "{}: no request was answered",
                scenario.name
            );
            let each = cpu.div_f64(timing.count() as f64);
            seen[side].push((timing, each));
        }
    }
    Ok(seen.map(|rounds| {
        let of = |figure: fn(&(Timing, Duration)) -> Duration| {
            median(&mut rounds.iter().map(figure).collect::<Vec<_>>())
        };
        Figures {
            p50: of(|(timing, _)| timing.percentile(50)),
            p99: of(|(timing, _)| timing.percentile(99)),
            per_second: of(|(timing, _)| timing.interval()).as_secs_f64().recip(),
            cpu: of(|(_, cpu)| *cpu),
        }
    }))
}

impl Scenario {
    fn load(&self, side: usize, uri: &Uri) -> Load {
        let body = json!({
            "model": self.models[side],
            "messages": [
                { "role": "system", "content": "Answer in one sentence." },
                { "role": "user", "content": "What is the capital of France?" },
            ],
            "max_tokens": 200,
            "stream": self.stream,
        });
        Load {
            uri: uri.clone(),
            body: body.to_string().into(),
            connections: self.connections,
        }
    }
}

fn median(values: &mut [Duration]) -> Duration {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
