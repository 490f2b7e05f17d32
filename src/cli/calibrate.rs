//! `tollgate calibrate`: corrections of predictions by outcomes of one's own.
//!
//! Every fifth request (by its text) is held out: corrections are fitted on the others and measured
//! on those, before and after. What is written is fitted on all of them.

use std::{collections::BTreeMap, fs, io, io::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{
    CliError, ConfigArg,
    lines::{self, Lines, Read},
    predict, source,
    table::Table,
};
use crate::{
    config::Config,
    quality::{Chance, Correction, Corrections, Odds, Placed, Reading, Scores, Stated, builtin},
    route::{
        names::{Names, Target},
        quality::Judge,
    },
};

/// One of so many requests is held out.
const HELD_OUT: u8 = 5;
/// A model needs so many outcomes in a domain to be corrected there.
const FEWEST: usize = 5;

/// Options of `calibrate`.
#[derive(Debug, Args)]
pub(super) struct CalibrateArgs {
    /// Lines with `prompt` or `messages`, `model`, and `score` from 0 to 1; `-` is standard input
    #[arg(long, value_name = "FILE.jsonl")]
    data: PathBuf,
    /// Write the corrections here, for `calibration:` of the configuration
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Deserialize)]
struct Line {
    model: String,
    score: f64,
}

/// One outcome, and what was predicted of it.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    /// In logits; an even chance where nothing is known.
    logit: f64,
    score: f64,
    held_out: bool,
}

/// Outcomes by model and domain.
type Found = BTreeMap<(String, &'static str), Vec<Outcome>>;

/// Fits, prints, and writes.
pub(super) fn run(args: &CalibrateArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let config = match source::file(&args.config) {
        Some(_) => Some(source::checked(&args.config)?.config),
        None => None,
    };
    let found = read(args, config.as_ref())?;
    let outcomes: usize = found.values().map(Vec::len).sum();
    let mut corrections = Corrections::default();
    let mut table = Table::new(&[
        "MODEL",
        "DOMAIN",
        "OUTCOMES",
        "SCORE",
        "PREDICTED",
        "CORRECTED",
        "INTERVAL",
    ]);
    let (mut before, mut after) = (Error::default(), Error::default());
    let mut few = 0;
    for ((model, domain), all) in &found {
        if all.len() < FEWEST {
            few += 1;
            continue;
        }
        let pairs = |held: Option<bool>| -> Vec<(f64, f64)> {
            let part = all
                .iter()
                .filter(|o| held.is_none_or(|held| o.held_out == held));
            part.map(|o| (o.logit, o.score)).collect()
        };
        let fitted = Correction::fit(&pairs(Some(false)));
        for (logit, score) in pairs(Some(true)) {
            before.add(Chance { logit, error: 0.0 }.p(), score);
            let logit = logit + fitted.offset;
            after.add(Chance { logit, error: 0.0 }.p(), score);
        }
        let correction = Correction::fit(&pairs(None));
        corrections.insert(model, domain, correction);
        table.row(line((model, domain), all, correction));
    }
    table.write(out)?;
    if few > 0 {
        writeln!(
            out,
            "\n{few} of them have fewer than {FEWEST} outcomes and are left as they are"
        )?;
    }
    writeln!(
        out,
        "\nheld out: {} of {outcomes} outcomes; mean squared error {} before and {} after, \
         mean prediction {} before and {} after, mean score {}",
        before.n,
        Error::text(before.squared()),
        Error::text(after.squared()),
        Error::text(before.mean()),
        Error::text(after.mean()),
        Error::text(before.score()),
    )?;
    if corrections.is_empty() {
        return Err(CliError::Failed(format!(
            "no model has {FEWEST} outcomes in a domain, so there is nothing to correct"
        )));
    }
    if let Some(file) = &args.out {
        fs::write(file, corrections.write())
            .map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
        writeln!(
            out,
            "written; name it in the configuration: `calibration: {}`",
            file.display()
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

fn line((model, domain): (&str, &str), all: &[Outcome], correction: Correction) -> Vec<String> {
    let (mut score, mut predicted, mut corrected, mut n) = (0.0, 0.0, 0.0, 0.0);
    for outcome in all {
        let logit = outcome.logit;
        score += outcome.score;
        predicted += Chance { logit, error: 0.0 }.p();
        corrected += Chance {
            logit: logit + correction.offset,
            error: 0.0,
        }
        .p();
        n += 1.0;
    }
    // of the usual request: the interval of the mean
    let usual = Chance {
        logit: Chance::certain(corrected / n).logit,
        error: correction.error,
    };
    let odds = Odds::from(usual);
    let text = |of_10_000: u16| format!("{:.3}", f64::from(of_10_000) / 10_000.0);
    vec![
        model.to_owned(),
        domain.to_owned(),
        all.len().to_string(),
        format!("{:.3}", score / n),
        format!("{:.3}", predicted / n),
        format!("{:.3}", corrected / n),
        format!("{} to {}", text(odds.low), text(odds.high)),
    ]
}

/// How far predictions are off.
#[derive(Debug, Default)]
struct Error {
    n: u32,
    squares: f64,
    predicted: f64,
    scores: f64,
}

impl Error {
    fn add(&mut self, p: f64, score: f64) {
        self.n += 1;
        self.squares += (p - score).powi(2);
        self.predicted += p;
        self.scores += score;
    }

    fn squared(&self) -> f64 {
        self.squares / f64::from(self.n)
    }

    fn mean(&self) -> f64 {
        self.predicted / f64::from(self.n)
    }

    fn score(&self) -> f64 {
        self.scores / f64::from(self.n)
    }

    fn text(value: f64) -> String {
        if value.is_nan() {
            "-".to_owned()
        } else {
            format!("{value:.3}")
        }
    }
}

/// Reads every line, and predicts what was outcome.
fn read(args: &CalibrateArgs, config: Option<&Config>) -> Result<Found, CliError> {
    let artifact = builtin().ok_or_else(|| {
        CliError::Failed("the predictor that is built in can't be used".to_owned())
    })?;
    let served = config.map(|config| (config, Names::of(config), Judge::of(config)));
    let refused = |error: io::Error| CliError::Usage(format!("{}: {error}", args.data.display()));
    let mut lines = Lines::open(&args.data).map_err(refused)?;
    let (mut found, mut placed, mut number) = (Found::new(), BTreeMap::new(), 0_u64);
    while let Some(read) = lines.next().map_err(refused)? {
        number += 1;
        let wrong =
            |why: String| CliError::Usage(format!("{}, line {number}: {why}", args.data.display()));
        let text = match read {
            Read::Blank => continue,
            Read::TooLong => return Err(wrong(format!("longer than {} bytes", lines::MOST))),
            Read::Line(text) => text,
        };
        let line: Line = serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))?;
        if !(0.0..=1.0).contains(&line.score) {
            return Err(wrong(format!(
                "`score` is {}, and must be from 0 to 1",
                line.score
            )));
        }
        let (_, ask): (Option<Box<RawValue>>, _) = predict::understood(&text);
        let ask = ask.map_err(wrong)?;
        let words = ask.words().unwrap_or_default();
        let reading = Reading::of(artifact, &words);
        let domain = reading.domain(artifact, ask.domain);
        let known = placed
            .entry(line.model.clone())
            .or_insert_with(|| place(served.as_ref(), &line.model));
        // before corrections: what is fitted now replaces those
        let chance = known.chance(Some((artifact, &reading)), domain);
        let digest = Sha256::digest(words.as_bytes());
        let outcome = Outcome {
            logit: chance.map_or(0.0, |chance| chance.logit),
            score: line.score,
            held_out: digest.first().is_some_and(|byte| byte % HELD_OUT == 0),
        };
        let key = (line.model, domain.as_str());
        found.entry(key).or_default().push(outcome);
    }
    if found.is_empty() {
        return Err(CliError::Usage(format!("{}: no line", args.data.display())));
    }
    Ok(found)
}

/// What is known of a model: what serving knows, where the configuration has it.
fn place(served: Option<&(&Config, Names, Judge)>, model: &str) -> Placed {
    let known = served.and_then(|(config, names, judge)| {
        let backend = match names.find(model)? {
            Target::Backend { backend, .. } => backend,
            Target::Model(model) => *config.models.get(model)?.backends.first()?,
            Target::Route(_) => return None,
        };
        judge.placed(backend).cloned()
    });
    known.unwrap_or_else(|| {
        let nothing = Scores::default();
        let scores = served.map_or(&nothing, |(config, ..)| &config.scored.scores);
        Placed::find(builtin(), scores, Stated::default(), &[model])
    })
}
