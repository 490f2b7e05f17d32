//! `tollgate health`: for HEALTHCHECK in a container.

use std::{process::ExitCode, time::Duration};

use super::{CliError, run::runtime, zero::probe};

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks once; 0 if the answer is 200, else 1.
pub(super) fn run(url: &str) -> Result<ExitCode, CliError> {
    let uri = url
        .parse()
        .map_err(|_| CliError::Usage(format!("`{url}` is not a URL")))?;
    let answer = runtime()?.block_on(probe::get(uri, PATIENCE));
    match answer {
        Some(_) => Ok(ExitCode::SUCCESS),
        None => Err(CliError::Failed(format!("{url} does not answer with 200"))),
    }
}
