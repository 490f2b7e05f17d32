//! `tollgate report`: what was spent, read from the ledger of a configuration.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use jiff::Timestamp;

use super::{CliError, ConfigArg, source, table::Table};
use crate::{
    config::{Ledger, Store, load::Overrides},
    money::Total,
    store::{
        self, Dimension, Line, Question,
        report::{self, Answer, AskedError},
    },
};

/// What follows where the ledger knows of hardware of one's own.
const HOSTED: [&str; 2] = ["AMORTISED $", "IDLE $"];

/// How the report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Table,
    Csv,
    Json,
}

/// Shows what was spent since a moment, told apart by some dimensions.
pub(super) fn run(
    arg: &ConfigArg,
    (since, by): (&str, &str),
    format: Format,
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let wrong = |error: AskedError| CliError::Usage(error.to_string());
    let by = report::dimensions(by).map_err(wrong)?;
    let question = Question {
        since_ms: Some(report::moment(since, Timestamp::now()).map_err(wrong)?),
        by: by.clone(),
        ..Question::default()
    };
    let path = ledger(arg)?;
    let page =
        store::spend(&path, &question).map_err(|error| CliError::Failed(error.to_string()))?;
    match format {
        Format::Table => table(&by, &page.lines, out)?,
        Format::Csv => out.write_all(report::csv(&by, &page.lines).as_bytes())?,
        Format::Json => writeln!(out, "{}", Answer::of(&by, &page.lines, None).to_json())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the ledger stands: as the file says, or where it would be without one.
fn ledger(arg: &ConfigArg) -> Result<PathBuf, CliError> {
    let store = match source::file(arg) {
        Some(path) => source::from_file(&path, Overrides::default())?.config.store,
        None => Store::default(),
    };
    match store.ledger {
        Ledger::Sqlite(path) => Ok(path),
        Ledger::None => Err(CliError::Usage(
            "no ledger is kept: `store.ledger` is `none`".into(),
        )),
    }
}

fn table(by: &[Dimension], lines: &[Line], out: &mut dyn Write) -> io::Result<()> {
    let names: Vec<String> = by.iter().map(|d| d.name().to_uppercase()).collect();
    let sums = [
        "REQUESTS", "ATTEMPTS", "INPUT", "CACHED", "OUTPUT", "COST USD", "UNPRICED", "SAVED $",
    ];
    let head: Vec<&str> = names.iter().map(String::as_str).chain(sums).collect();
    // most have no hardware of their own
    let hosted = lines
        .iter()
        .any(|l| l.amortised.is_some() || l.idle.is_some());
    let head: Vec<&str> = head
        .into_iter()
        .chain(HOSTED.into_iter().filter(|_| hosted))
        .collect();
    let mut table = Table::new(&head);
    for line in lines {
        let values = line.by.iter().map(|value| shown(value.as_deref()));
        table.row(values.chain(cells(line, hosted)).collect());
    }
    if lines.len() > 1 && !by.is_empty() {
        let mut row = vec![String::new(); by.len()];
        if let Some(first) = row.first_mut() {
            "total".clone_into(first);
        }
        row.extend(cells(&total(lines), hosted));
        table.row(row);
    }
    table.write(out)
}

/// All lines together. A request that was tried at several backends counts in the line of each,
/// and so more than once here.
fn total(lines: &[Line]) -> Line {
    let mut sum = Line::default();
    let both = |a: Option<Total>, b: Option<Total>| match (a, b) {
        (Some(a), Some(b)) => Some(Total::from_pico(a.pico() + b.pico())),
        (one, None) | (None, one) => one,
    };
    for line in lines {
        sum.requests += line.requests;
        sum.attempts += line.attempts;
        for (sum, tokens) in sum.tokens.iter_mut().zip(line.tokens) {
            *sum += tokens;
        }
        sum.cost = Total::from_pico(sum.cost.pico() + line.cost.pico());
        sum.unpriced += line.unpriced;
        sum.saved = Total::from_pico(sum.saved.pico() + line.saved.pico());
        sum.amortised = both(sum.amortised, line.amortised);
        sum.idle = both(sum.idle, line.idle);
    }
    sum
}

fn cells(line: &Line, hosted: bool) -> Vec<String> {
    let [
        input,
        cached,
        written,
        output,
        reasoning,
        audio_in,
        audio_out,
    ] = line.tokens;
    let mut cells = vec![
        line.requests.to_string(),
        line.attempts.to_string(),
        (input + written + audio_in).to_string(),
        cached.to_string(),
        (output + reasoning + audio_out).to_string(),
        line.cost.to_string(),
        line.unpriced.to_string(),
        line.saved.to_string(),
    ];
    if hosted {
        let amount = |it: Option<Total>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
        cells.extend([line.amortised, line.idle].map(amount));
    }
    cells
}

/// A value for a terminal: a client may have written it.
fn shown(value: Option<&str>) -> String {
    let escaped = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        _ => c.escape_debug().to_string(),
    };
    value.map_or_else(
        || "-".to_owned(),
        |text| text.chars().map(escaped).collect(),
    )
}
