//! Logs: to standard error, JSON lines for machines, plain lines for a terminal.

mod line;

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// The variable that says what is logged, in tracing's syntax.
pub const FILTER: &str = "TOLLGATE_LOG";

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    Text,
    Json,
}

/// Begins to log, from `level` up unless the variable says otherwise. A second call changes
/// nothing.
pub fn start(format: Format, level: &str) {
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new(level));
    let terminal = io::stderr().is_terminal();
    let json = match format {
        Format::Auto => !terminal,
        Format::Text => false,
        Format::Json => true,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // a full disk under the log is told to standard error, which is the log: that would panic
        .log_internal_errors(false)
        .with_writer(io::stderr);
    let started = if json {
        lines.event_format(line::JsonLines).try_init()
    } else {
        lines.compact().with_ansi(terminal).try_init()
    };
    drop(started);
}
