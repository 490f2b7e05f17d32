//! The command line: what each command of the contract does, with its exit code.
//!
//! Tables go to the given writer, mistakes and logs to standard error. Commands that need a later
//! version are known by name and refused.

mod budgets;
mod calibrate;
mod catalogue;
mod check;
mod demo;
mod evaluate;
mod explain;
mod health;
mod keys;
mod lines;
mod models;
mod predict;
mod price;
mod prices;
mod replay;
mod report;
mod run;
mod source;
mod table;
mod zero;

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{config, serve::StartError, telemetry};

/// An OpenAI-compatible gateway that sends each request to the cheapest backend that can handle it.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
    /// How log lines are written
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "auto",
        env = "TOLLGATE_LOG_FORMAT"
    )]
    log_format: telemetry::Format,
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub struct ConfigArg {
    /// The configuration; without it ./tollgate.yaml or /etc/tollgate/tollgate.yaml, if one exists,
    /// else what is found here
    #[arg(long, value_name = "FILE", env = "TOLLGATE_CONFIG")]
    config: Option<PathBuf>,
}

/// Options of `serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The address for clients, in place of `server.listen`
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// The address for the operator, in place of `admin.listen`
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<SocketAddr>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (also without a command)
    Serve(ServeArgs),
    /// Show the gateway at work on simulated providers, with nothing else installed
    Demo {
        /// End after the table
        #[arg(long)]
        once: bool,
    },
    /// Read the configuration as `serve` would, and list every mistake
    Check {
        #[command(flatten)]
        config: ConfigArg,
        #[arg(long)]
        json: bool,
        /// Check a catalogue instead
        #[arg(long, value_name = "DIR")]
        catalog: Option<PathBuf>,
    },
    /// Explain what would be done with a request, without calling anyone
    Explain {
        #[command(flatten)]
        config: ConfigArg,
        /// As the holder of this key
        #[arg(long, value_name = "ID")]
        key: Option<String>,
        /// What the request is sent to, such as `embeddings` or `/v1/embeddings`
        #[arg(long, value_name = "NAME", default_value = "chat_completions")]
        endpoint: String,
        #[arg(long)]
        json: bool,
        /// The body of the request; `-` is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// List what can be asked for, and where it would run
    Models {
        #[command(flatten)]
        config: ConfigArg,
        #[arg(long)]
        json: bool,
    },
    /// Show the price cards that apply, and where they are from
    Prices(prices::PricesArgs),
    /// Price recorded usage objects, exactly: JSON lines in, JSON lines out
    Price {
        /// The catalogue of this folder, in place of the one that is built in
        #[arg(long, value_name = "DIR")]
        catalog: Option<PathBuf>,
        /// With the files under `catalog` of this configuration over it
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Lines with `provider`, `model`, `usage` (or `stream_events`) and `completed_at`, and
        /// maybe `adapter` and `service_tier`; `-` is standard input
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Predict how likely each model is to answer acceptably: JSON lines in, JSON lines out
    Predict(predict::PredictArgs),
    /// Fit corrections of predictions to outcomes of your own
    Calibrate(calibrate::CalibrateArgs),
    /// Replay recorded outcomes through the code that serves, and print how good routing is
    Evaluate(evaluate::EvaluateArgs),
    /// Take decisions again that the ledger keeps, by the rules of a configuration
    Replay(replay::ReplayArgs),
    /// Show what was spent, from the ledger
    Report {
        #[command(flatten)]
        config: ConfigArg,
        /// From when on: 30d, 12h, 2026-11-25 or 2026-11-25T10:00:00Z
        #[arg(long, value_name = "TIME", default_value = "30d")]
        since: String,
        /// Told apart by key, model, provider, backend, route, day, tag:NAME
        #[arg(long, value_name = "LIST", default_value = "backend")]
        by: String,
        #[arg(long, value_enum, default_value = "table")]
        format: report::Format,
    },
    /// Keys of clients that are kept in the store
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Run the provider simulator alone
    Simulate {
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4199")]
        listen: SocketAddr,
    },
    /// Print the JSON Schema of the configuration
    Schema,
    /// Ask a running gateway whether it is alive
    Health {
        #[arg(long, default_value = "http://127.0.0.1:4100/healthz")]
        url: String,
    },
    /// Commands of the contract that this version does not have.
    #[command(external_subcommand)]
    Other(Vec<String>),
}

/// Commands that a later version will have.
const NOT_YET: [&str; 1] = ["import"];

/// Why a command failed; decides the exit code.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration is wrong: 2.
    #[error("{0}")]
    Config(config::Mistakes),
    /// The command line, or what it names, is wrong: 2.
    #[error("{0}")]
    Usage(String),
    /// It failed while running: 1.
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the output can't be written: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Usage(_) => 2,
            Self::Failed(_) | Self::Start(_) | Self::Output(_) => 1,
        }
    }
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    // clap itself exits with 2 on a wrong command line, and with 0 after --help and --version
    let cli = Cli::parse();
    // what fails in the demo fails on purpose
    let level = if matches!(cli.command, Some(Command::Demo { .. })) {
        "error"
    } else {
        "info"
    };
    telemetry::start(cli.log_format, level);
    let mut out = io::stdout().lock();
    match cli
        .run(&mut out)
        .and_then(|code| Ok(out.flush().map(|()| code)?))
    {
        Ok(code) => code,
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.code())
        }
    }
}

impl Cli {
    fn run(self, out: &mut dyn Write) -> Result<ExitCode, CliError> {
        match self.command.unwrap_or(Command::Serve(self.serve)) {
            Command::Serve(args) => run::serve(&args),
            Command::Demo { once } => demo::run(once, out),
            Command::Check {
                catalog: Some(folder),
                json,
                ..
            } => check::catalog(&folder, json, out),
            Command::Check {
                config,
                json,
                catalog: None,
            } => check::run(&config, json, out),
            Command::Explain {
                config,
                key,
                endpoint,
                json,
                file,
            } => explain::run(&config, (key.as_deref(), &endpoint), json, &file, out),
            Command::Models { config, json } => models::run(&config, json, out),
            Command::Prices(args) => prices::run(&args, out),
            Command::Price {
                catalog,
                config,
                file,
            } => price::run((catalog.as_deref(), config.as_deref()), &file, out),
            Command::Predict(args) => predict::run(&args, out),
            Command::Calibrate(args) => calibrate::run(&args, out),
            Command::Evaluate(args) => evaluate::run(&args, out),
            Command::Replay(args) => replay::run(&args, out),
            Command::Report {
                config,
                since,
                by,
                format,
            } => report::run(&config, (&since, &by), format, out),
            Command::Keys(keys) => keys::run(keys, out),
            Command::Simulate { listen } => run::simulate(listen),
            Command::Schema => {
                writeln!(out, "{}", config::schema().trim_end())?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Health { url } => health::run(&url),
            Command::Other(words) => Err(CliError::Usage(unknown(&words))),
        }
    }
}

fn unknown(words: &[String]) -> String {
    let name = words.first().map_or("", String::as_str);
    if NOT_YET.contains(&name) {
        format!("tollgate {name}: not supported yet")
    } else {
        format!("unknown command `{name}`; see tollgate --help")
    }
}
