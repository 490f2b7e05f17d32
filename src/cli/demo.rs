//! `tollgate demo`: the gateway at work with nothing else installed.
//!
//! The simulator plays five providers, the real gateway stands in front, and a dozen requests go
//! through it over HTTP, as a client would send them. What is shown is read from the answers.

mod report;
mod requests;
mod send;

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
    net::SocketAddr,
    process::ExitCode,
};

use secrecy::ExposeSecret;

use self::report::Report;
use super::{
    CliError,
    run::{Signals, runtime},
};
use crate::{
    catalog,
    config::{
        Config,
        load::{self, Environment, Overrides},
    },
    cores::Cores,
    serve::{Gateway, Listeners, StartError, random_key},
    simulate::{self, Simulator},
};

/// The configuration that is shown, also to be read and copied.
const CONFIGURATION: &str = include_str!("../../config/demo.yaml");
/// How the simulated models behave: the first host of the open model fails, the others take their
/// time as such providers do.
const SCRIPTS: [(&str, &str); 7] = [
    ("pool/Qwen/Qwen3-32B", "out=180+chunk=12+ttft=30ms+gap=4ms"),
    ("nebius/zai-org/GLM-5.2", "fault=status:500"),
    ("together/zai-org/GLM-5.2", "out=220+chunk=16+ttft=60ms"),
    (
        "together/zai-org/GLM-5.3-Flash",
        "out=200+chunk=16+ttft=40ms",
    ),
    (
        "deepseek/deepseek-flash",
        "out=240+reasoning=90+chunk=16+ttft=50ms+usage=deepseek",
    ),
    ("openai/gpt-5.4-mini", "out=210+chunk=16+ttft=40ms"),
    ("openai/gpt-5.4", "out=260+reasoning=120+chunk=16+ttft=80ms"),
];

/// Shows the table, then goes on serving unless `once`.
pub(super) fn run(once: bool, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let runtime = runtime()?;
    let code = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let simulator = Simulator::bind(local(0), options())
            .await
            .map_err(|error| {
                CliError::Failed(format!("the simulator can't be started: {error}"))
            })?;
        let url = format!("http://{}", simulator.addr());
        let gateway = start(&url, once).await?;
        let mut report = Report::new(&gateway.app.world().config);
        for request in requests::all() {
            let answer = send::send(gateway.client_address, &request).await;
            report.add(&request, &answer.map_err(CliError::Failed)?);
        }
        report.write(out)?;
        if once {
            gateway.stop().await;
            return Ok(ExitCode::SUCCESS);
        }
        report::invite(out, &gateway)?;
        out.flush()?;
        let code = signals.until_stopped(gateway).await;
        simulator.stop().await;
        code
    });
    runtime.shutdown_background();
    code
}

/// Starts the gateway on the usual addresses, or on free ones where those are taken or where
/// nobody will look for it afterwards.
async fn start(simulator: &str, once: bool) -> Result<Gateway, CliError> {
    let key = random_key("tg-admin-").map_err(|error| CliError::Failed(error.to_string()))?;
    let usual = if once {
        None
    } else {
        open(simulator, None).await.ok()
    };
    let (config, listeners) = match usual {
        Some(opened) => opened,
        None => open(simulator, Some(local(0))).await?,
    };
    let admin_key = config.admin.key.clone().unwrap_or(key);
    let gateway = Gateway::start(config, &admin_key, listeners, &Cores::default())?;
    if !once {
        eprintln!("admin key of this demo: {}", admin_key.expose_secret());
    }
    Ok(gateway)
}

async fn open(
    simulator: &str,
    address: Option<SocketAddr>,
) -> Result<(Config, Listeners), CliError> {
    let variables = Variables(HashMap::from([("SIMULATOR", simulator.to_owned())]));
    let overrides = Overrides {
        listen: address,
        admin_listen: address,
        ..Overrides::default()
    };
    let checked = load::from_str_with(
        "config/demo.yaml",
        CONFIGURATION,
        &variables,
        catalog::builtin(),
        overrides,
    )
    .map_err(CliError::Config)?;
    let opened: Result<_, StartError> =
        Listeners::open(&checked.config.server, &checked.config.admin).await;
    Ok((checked.config, opened?))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn options() -> simulate::Options {
    let scripts = SCRIPTS
        .iter()
        .map(|(model, script)| ((*model).to_owned(), (*script).to_owned()));
    simulate::Options {
        scripts: scripts.collect::<BTreeMap<_, _>>(),
        ..simulate::Options::default()
    }
}

/// Only what the demo sets: a variable of the user must not change what is shown.
struct Variables(HashMap<&'static str, String>);

impl Environment for Variables {
    fn var(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }
}
