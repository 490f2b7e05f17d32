//! `tollgate serve`, `demo` and `simulate`: the commands that go on running.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use secrecy::{ExposeSecret, SecretString};
use tokio::{
    runtime::Runtime,
    signal::unix::{Signal, SignalKind, signal},
};

use super::{CliError, ServeArgs, source, zero};
use crate::{
    catalog,
    config::{
        Config,
        load::{self, Overrides, ProcessEnvironment, Reading},
    },
    cores::Cores,
    serve::{Gateway, Listeners, random_key},
    simulate::{self, Simulator},
    state::loads::{Loaded, Origin},
};

/// Threads beside those that serve requests: one may be busy with a reload.
const BESIDE: usize = 2;

/// Runs the gateway until it is told to stop.
pub(super) fn serve(args: &ServeArgs) -> Result<ExitCode, CliError> {
    let overrides = Overrides {
        listen: args.listen,
        admin_listen: args.admin_listen,
        ..Overrides::default()
    };
    let failed = |error| CliError::Failed(format!("the threads can't be started: {error}"));
    // requests are served on threads of their own; this is for the operator and the background
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(BESIDE)
        .enable_all()
        .build()
        .map_err(failed)?;
    let cores = Cores::start().map_err(failed)?;
    let code = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let (loaded, listeners) = match source::file(&args.config) {
            Some(path) => {
                let loaded = from_file(path, overrides)?;
                let config = &loaded.config;
                let listeners = Listeners::open(&config.server, &config.admin).await?;
                (loaded, listeners)
            }
            None => {
                let (config, listeners) = zero::start(overrides).await?;
                (config.into(), listeners)
            }
        };
        let admin_key = admin_key(&loaded.config)?;
        let gateway = Gateway::start(loaded, &admin_key, listeners, &cores)?;
        tracing::info!(
            clients = %gateway.client_address,
            admin = %gateway.admin_address,
            version = env!("CARGO_PKG_VERSION"),
            "listening"
        );
        signals.until_stopped(gateway).await
    });
    // a second signal must not wait for tasks that the first one did not end
    runtime.shutdown_background();
    code
}

/// Runs the simulator alone, until it is told to stop.
pub(super) fn simulate(listen: SocketAddr) -> Result<ExitCode, CliError> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let simulator = Simulator::bind(listen, simulate::Options::default())
            .await
            .map_err(|error| CliError::Failed(format!("{error}: {}", cause(&error))))?;
        tracing::info!(address = %simulator.addr(), "simulating providers");
        while signals.next().await != Wish::Stop {
            tracing::info!("the simulator has no configuration to reload");
        }
        simulator.stop().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(String::new, ToString::to_string)
}

/// The threads that everything runs on.
pub(super) fn runtime() -> Result<Runtime, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| CliError::Failed(format!("the threads can't be started: {error}")))
}

/// Reads the file, and shows its warnings.
fn from_file(path: PathBuf, overrides: Overrides) -> Result<Loaded, CliError> {
    let Reading { seen, outcome, .. } =
        load::watched(&path, &ProcessEnvironment, catalog::builtin(), overrides);
    let checked = outcome.map_err(CliError::Config)?;
    for warning in &checked.warnings {
        tracing::warn!(%warning, "configuration");
    }
    tracing::info!(file = %path.display(), "configuration loaded");
    Ok(Loaded {
        config: checked.config,
        origin: Origin::File { path, overrides },
        seen,
    })
}

/// The admin key of the configuration, or a new one, which is printed once.
fn admin_key(config: &Config) -> Result<SecretString, CliError> {
    if let Some(key) = &config.admin.key {
        return Ok(key.clone());
    }
    let key = random_key("tg-admin-").map_err(|error| CliError::Failed(error.to_string()))?;
    eprintln!("admin key, made at this start: {}", key.expose_secret());
    Ok(key)
}

/// The signals of the operator.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(|e| CliError::Failed(format!("signals: {e}")));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Reloads at each SIGHUP until the first other signal, then ends gracefully, and at once on a
    /// second one.
    pub(super) async fn until_stopped(&mut self, gateway: Gateway) -> Result<ExitCode, CliError> {
        while self.next().await != Wish::Stop {
            gateway.reload();
        }
        tracing::info!("stopping: no longer ready, open requests are finished");
        tokio::select! {
            () = gateway.stop() => {
                tracing::info!("stopped");
                Ok(ExitCode::SUCCESS)
            }
            () = self.stop() => {
                tracing::warn!("stopped at once by a second signal");
                Ok(ExitCode::FAILURE)
            }
        }
    }

    async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hang_up.recv() => Wish::Reload,
        }
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Stop,
    Reload,
}
