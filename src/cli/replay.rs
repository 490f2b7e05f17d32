//! `tollgate replay`: takes decisions again that the ledger keeps, by the rules of a configuration.
//!
//! With the configuration that they were taken by, it proves that each follows from what was known;
//! with another one, it shows what that would have done.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{CliError, ConfigArg, source, table::Table};
use crate::{
    config::Ledger,
    money::{Total, Usd},
    route::record::{Chosen, Decided, Record},
    state::World,
    store::{self, Kept, report},
};

/// Decisions that are taken again, unless more are asked for.
const MOST: u32 = 10_000;
/// Differences that are listed for people.
const LISTED: usize = 50;

/// Options of `replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The rules; the ledger is the one that it names, unless another one is given
    #[command(flatten)]
    config: ConfigArg,
    /// The ledger
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// From when on: 30d, 12h, 2026-11-25 or 2026-11-25T10:00:00Z
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: String,
    /// The latest so many
    #[arg(long, value_name = "N", default_value_t = MOST)]
    limit: u32,
    /// A line of JSON for each decision
    #[arg(long)]
    json: bool,
}

/// One decision, as it was taken and as it would be.
#[derive(Debug, Serialize)]
struct Replayed<'a> {
    request_id: &'a str,
    at: Timestamp,
    model: &'a str,
    /// To the last digit of every cost and chance.
    same: bool,
    was: &'a Decided,
    now: Decided,
}

/// What came of all of them.
#[derive(Debug, Default)]
struct Sums {
    same: usize,
    /// The same backend is asked first, and something else differs.
    same_first: usize,
    other_first: usize,
    was: i128,
    now: i128,
}

pub(super) fn run(args: &ReplayArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let config = source::checked(&args.config)?.config;
    let path = match (&args.ledger, &config.store.ledger) {
        (Some(path), _) | (None, Ledger::Sqlite(path)) => path.clone(),
        (None, Ledger::None) => {
            let message = "no ledger is kept: `store.ledger` is `none`; name one with --ledger";
            return Err(CliError::Usage(message.into()));
        }
    };
    let since = report::moment(&args.since, Timestamp::now())
        .map_err(|error| CliError::Usage(error.to_string()))?;
    let kept = store::decisions(&path, since, args.limit)
        .map_err(|error| CliError::Failed(error.to_string()))?;
    let world = World::of(config, None);
    let mut sums = Sums::default();
    let mut table = Table::new(&["TIME", "MODEL", "WAS", "NOW", "WAS USD", "NOW USD"]);
    for Kept {
        request_id,
        decision,
        ..
    } in &kept
    {
        let record: Record = serde_json::from_str(decision).map_err(|error| {
            CliError::Failed(format!("{request_id}: the decision can't be read: {error}"))
        })?;
        let now = record.again(&world.config, &world.names, &world.judge);
        let listed = sums.same_first + sums.other_first < LISTED;
        if !sums.add(&record.decision, &now) && listed {
            table.row(row(&record, &now));
        }
        if args.json {
            let replayed = Replayed {
                request_id,
                at: record.at,
                model: &record.model,
                same: record.decision == now,
                was: &record.decision,
                now,
            };
            let line = serde_json::to_string(&replayed).unwrap_or_default();
            writeln!(out, "{line}")?;
        }
    }
    if !args.json {
        sums.write(kept.len(), out)?;
        if sums.same < kept.len() {
            writeln!(out)?;
            table.write(out)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(record: &Record, now: &Decided) -> Vec<String> {
    let usd = |chosen: Option<&Chosen>| {
        let expected = chosen.and_then(|chosen| chosen.expected);
        expected.map_or_else(|| "-".to_owned(), |usd| usd.to_string())
    };
    let was = &record.decision;
    vec![
        record.at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        record.model.clone(),
        first(was),
        first(now),
        usd(was.first()),
        usd(now.first()),
    ]
}

/// Who is asked first, or why nobody is.
fn first(decided: &Decided) -> String {
    match (decided.first(), &decided.error) {
        (Some(chosen), _) => chosen.backend.clone(),
        (None, Some(error)) => format!("nobody: {error}"),
        (None, None) => "nobody".to_owned(),
    }
}

impl Sums {
    /// Adds a decision; is it the same?
    fn add(&mut self, was: &Decided, now: &Decided) -> bool {
        let pico = |decided: &Decided| {
            let expected = decided.first().and_then(|chosen| chosen.expected);
            i128::from(expected.map_or(0, Usd::pico))
        };
        self.was += pico(was);
        self.now += pico(now);
        let name = |decided: &Decided| decided.first().map(|chosen| chosen.backend.clone());
        let counted = match was == now {
            true => &mut self.same,
            false if name(was) == name(now) => &mut self.same_first,
            false => &mut self.other_first,
        };
        *counted += 1;
        was == now
    }

    fn write(&self, all: usize, out: &mut dyn Write) -> std::io::Result<()> {
        writeln!(out, "{all} decisions, {} of them the same", self.same)?;
        if self.same < all {
            let (first, other) = (self.same_first, self.other_first);
            writeln!(
                out,
                "{other} ask another backend first, {first} the same one with other costs, chances or \
                 backends after it"
            )?;
        }
        let [was, now] = [self.was, self.now].map(Total::from_pico);
        writeln!(
            out,
            "expected of the first: {was} USD as taken, {now} USD now"
        )
    }
}
