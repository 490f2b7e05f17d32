//! `tollgate price`: what recorded usage objects cost, line by line.
//!
//! A line that can't be understood becomes a line that says why, and the others are priced all the
//! same: nothing that was read is lost. Memory is that of one line.

mod lines;
mod recorded;

use std::{
    fs::File,
    io::{self, BufReader, Write},
    path::Path,
    process::ExitCode,
};

use self::lines::{Lines, Read};
use super::{CliError, catalogue};
use crate::catalog;

/// Prices every line of a file, or of standard input.
pub(super) fn run(
    folder: Option<&Path>,
    file: &Path,
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let own = folder.map(catalogue::read).transpose()?;
    let catalog = own.as_ref().unwrap_or_else(|| catalog::builtin());
    let refused = |error: io::Error| CliError::Usage(format!("{}: {error}", file.display()));
    let mut lines = if file == Path::new("-") {
        Lines::of(Box::new(io::stdin().lock()))
    } else {
        Lines::of(Box::new(BufReader::new(File::open(file).map_err(refused)?)))
    };
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
