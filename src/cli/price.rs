//! `tollgate price`: what recorded usage objects cost, line by line.
//!
//! A line that can't be understood becomes a line that says why, and the others are priced all the
//! same: nothing that was read is lost. Memory is that of one line.

mod recorded;

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use super::{
    CliError, catalogue,
    lines::{self, Lines, Read},
};
use crate::catalog;

/// Prices every line of a file, or of standard input.
pub(super) fn run(
    (folder, config): (Option<&Path>, Option<&Path>),
    file: &Path,
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let own = catalogue::asked(folder, config)?;
    let catalog = own.as_ref().unwrap_or_else(|| catalog::builtin());
    let refused = |error: io::Error| CliError::Usage(format!("{}: {error}", file.display()));
    let mut lines = Lines::open(file).map_err(refused)?;
    let (mut number, mut failed) = (0_u64, 0_u64);
    while let Some(read) = lines.next().map_err(refused)? {
        number += 1;
        let priced = match read {
            Read::Blank => continue,
            Read::TooLong => Err(recorded::refused(
                None,
                number,
                &format!("longer than {} bytes", lines::MOST),
            )),
            Read::Line(line) => recorded::price(catalog, number, line),
        };
        failed += u64::from(priced.is_err());
        let (Ok(text) | Err(text)) = priced;
        writeln!(out, "{text}")?;
    }
    if failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    out.flush()?;
    Err(CliError::Failed(format!(
        "{failed} of {number} lines can't be priced; `error` in their place says why"
    )))
}
