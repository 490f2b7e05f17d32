//! `tollgate evaluate`: recorded outcomes, replayed through the code that reads and predicts requests.
//!
//! No model is called: what every model made of every question is on record, so what a router would
//! have got and paid can be counted. A router sees the text alone; suite, data set and outcomes are
//! for counting. Expected costs are each model's mean, never that of the question itself, which
//! would tell how long its answer is.

mod metrics;
mod outcomes;
mod plot;

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use self::{
    metrics::{FLOORS, Figure, Sweep, auc, calibration_error, cost_at, mean, with_intervals},
    outcomes::{Outcome, Pool, Recorded},
    plot::Panel,
};
use super::{CliError, predict, table::Table};
use crate::quality::{Artifact, Chance, Known, Reading};

/// The two models of RouteLLM, the weak one first.
const PAIR: [&str; 2] = ["mixtral-8x7b", "gpt-4-1106-preview"];
/// Makers whose models are called by API; the others call tools with models of one's own.
const BY_API: [&str; 6] = [
    "claude-",
    "command-",
    "gemini-",
    "gpt-",
    "mistral-",
    "firefunction-",
];
/// One more of those: its smaller sister is a model of one's own.
const ALSO_BY_API: &str = "mixtral-8x22b";

/// Options of `evaluate`.
#[derive(Debug, Args)]
pub(super) struct EvaluateArgs {
    /// A folder with `queries.jsonl.gz` and `outcomes.csv.gz`
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Another predictor than the one that is built in
    #[arg(long, value_name = "FILE")]
    artifact: Option<PathBuf>,
    /// Only these models, by the ids that the predictor has
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    models: Vec<String>,
    /// Draw cost and quality into this file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// How often rows are drawn again for the intervals
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..))]
    draws: u16,
    #[arg(long)]
    json: bool,
}

/// One line of the result.
#[derive(Debug, Serialize)]
struct Row {
    of: String,
    figure: &'static str,
    value: f64,
    /// 95 of 100 draws lie between these two.
    low: Option<f64>,
    high: Option<f64>,
    rows: usize,
}

/// Replays a folder.
pub(super) fn run(args: &EvaluateArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let artifact = predict::artifact(args.artifact.as_deref())?;
    let recorded =
        Recorded::read(&args.data).map_err(|error| CliError::Usage(error.to_string()))?;
    let readings = readings(&artifact, &recorded)?;
    let bench = Bench {
        artifact: &artifact,
        readings: &readings,
        draws: usize::from(args.draws),
    };
    let (mut rows, mut panels) = (Vec::new(), Vec::new());
    let knows = |model: &str| {
        let asked = args.models.is_empty() || args.models.iter().any(|asked| asked == model);
        asked && artifact.model(model).is_some()
    };
    for pool in pairs(&knows, &recorded) {
        bench.pair(&pool, &mut rows);
    }
    for pool in pools(&knows, &recorded) {
        panels.push(bench.pool(&pool, &mut rows));
    }
    if rows.is_empty() {
        return Err(CliError::Usage(format!(
            "{}: the predictor `{}` knows no two models that have outcomes there",
            args.data.display(),
            artifact.name
        )));
    }
    if let Some(file) = &args.plot {
        fs::write(file, plot::svg(&panels))
            .map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))?;
    }
    write(&artifact, &rows, args.json, out)?;
    Ok(ExitCode::SUCCESS)
}

fn write(
    artifact: &Artifact,
    rows: &[Row],
    as_json: bool,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    if as_json {
        let all = json!({
            "predictor": artifact.name, "digest": artifact.digest, "trained_on": artifact.sets,
            "figures": rows,
        });
        let text = serde_json::to_string_pretty(&all).map_err(io::Error::from)?;
        return Ok(writeln!(out, "{text}")?);
    }
    writeln!(
        out,
        "predictor {} ({}), trained on {}\n",
        artifact.name,
        artifact.digest,
        artifact.sets.join(", ")
    )?;
    let mut table = Table::new(&["OF", "QUESTIONS", "FIGURE", "VALUE", "95 % INTERVAL"]);
    for row in rows {
        let interval = row.low.zip(row.high);
        table.row(vec![
            row.of.clone(),
            row.rows.to_string(),
            row.figure.to_owned(),
            digits(row.value),
            interval.map_or_else(String::new, |(low, high)| {
                format!("{} to {}", digits(low), digits(high))
            }),
        ]);
    }
    Ok(table.write(out)?)
}

fn digits(value: f64) -> String {
    if value.is_infinite() {
        "never".to_owned()
    } else if value.is_nan() {
        "-".to_owned()
    } else {
        format!("{value:.3}")
    }
}

/// Every question, read as a request is.
fn readings(artifact: &Artifact, recorded: &Recorded) -> Result<Vec<Reading>, CliError> {
    let each = recorded.questions.iter().map(|question| {
        let line = json!({ "prompt": question.prompt }).to_string();
        let (_, ask) = predict::understood(line.as_bytes());
        let ask = ask.map_err(|error| CliError::Failed(format!("{}: {error}", question.qid)))?;
        Ok(Reading::of(artifact, &ask.words().unwrap_or_default()))
    });
    each.collect()
}

/// The data sets of two models.
fn pairs(knows: &dyn Fn(&str) -> bool, recorded: &Recorded) -> Vec<Pool> {
    let of_pair = recorded.questions.iter().filter(|q| q.suite == "pair");
    let sets: BTreeSet<&str> = of_pair.map(|q| q.dataset.as_str()).collect();
    let knows = |model: &str| PAIR.contains(&model) && knows(model);
    let pools = sets
        .iter()
        .map(|set| recorded.pool(set, |q| q.dataset == *set, knows));
    pools.filter(|pool| pool.models.len() == 2).collect()
}

/// The suites of many models.
fn pools(knows: &dyn Fn(&str) -> bool, recorded: &Recorded) -> Vec<Pool> {
    let many = recorded.questions.iter().filter(|q| q.suite != "pair");
    let suites: BTreeSet<&str> = many.map(|q| q.suite.as_str()).collect();
    let mut pools = Vec::new();
    for suite in suites {
        pools.push(recorded.pool(suite, |q| q.suite == suite, knows));
        if suite == "tools" {
            let by_api = |model: &str| {
                let made = BY_API.iter().any(|maker| model.starts_with(maker));
                knows(model) && (made || model == ALSO_BY_API)
            };
            pools.push(recorded.pool("tools, by API", |q| q.suite == suite, by_api));
        }
    }
    pools.retain(|pool| pool.models.len() > 1);
    pools
}

/// What a pool is measured with.
struct Bench<'a> {
    artifact: &'a Artifact,
    readings: &'a [Reading],
    draws: usize,
}

impl Bench<'_> {
    /// Questions × models.
    fn chances(&self, pool: &Pool) -> Vec<Vec<Chance>> {
        let known = pool.models.iter().filter_map(|id| self.artifact.model(id));
        let known: Vec<&Known> = known.collect();
        let of = |at: &usize| {
            let reading = self.readings.get(*at)?;
            let each = known
                .iter()
                .map(|known| reading.of_known(self.artifact, known, None));
            Some(each.collect())
        };
        pool.questions.iter().filter_map(of).collect()
    }

    fn pair(&self, pool: &Pool, rows: &mut Vec<Row>) {
        let place = |id: &str| pool.models.iter().position(|model| model == id);
        let (Some(weak), Some(strong)) = (place(PAIR[0]), place(PAIR[1])) else {
            return;
        };
        let chances = self.chances(pool);
        let two = |chances: &Vec<Chance>, outcomes: &Vec<Outcome>| {
            let (weak_p, strong_p) = (chances.get(weak)?.p(), chances.get(strong)?.p());
            let (weak, strong) = (outcomes.get(weak)?.score, outcomes.get(strong)?.score);
            Some((strong_p - weak_p, weak, strong))
        };
        let three: Vec<_> = chances
            .iter()
            .zip(&pool.outcomes)
            .filter_map(|(chances, outcomes)| two(chances, outcomes))
            .collect();
        let figures = with_intervals(three.len(), self.draws, |drawn| {
            metrics::pair(&three, drawn)
        });
        let names = ["APGR", "CPT50", "CPT80"];
        let mut put = Put { pool, rows };
        for (name, figure) in names.into_iter().zip(figures) {
            put.figure(name, figure);
        }
        let flat = flat(&chances, &pool.outcomes);
        put.value("ECE", calibration_error(flat.into_iter()));
    }

    fn pool(&self, pool: &Pool, rows: &mut Vec<Row>) -> Panel {
        let chances = self.chances(pool);
        let p: Vec<Vec<f64>> = chances
            .iter()
            .map(|row| row.iter().map(|c| c.p()).collect())
            .collect();
        let models = 0..pool.models.len();
        let of_model = |model: usize| pool.outcomes.iter().filter_map(move |row| row.get(model));
        let singles: Vec<(f64, f64)> = models
            .map(|m| {
                (
                    mean(of_model(m).map(|o| o.cost)),
                    mean(of_model(m).map(|o| o.score)),
                )
            })
            .collect();
        let costs: Vec<f64> = singles.iter().map(|(cost, _)| *cost).collect();
        // of equally good ones the cheapest, so that nothing is saved by a tie
        let better = |a: &(f64, f64), b: &(f64, f64)| a.1.total_cmp(&b.1).then(b.0.total_cmp(&a.0));
        let best = (0..singles.len()).max_by(|a, b| better(&singles[*a], &singles[*b]));
        let best = best.unwrap_or_default();
        let sweep = Sweep::of(&p, &costs);
        let outcome = |row: usize, model: usize| {
            let of = pool.outcomes.get(row).and_then(|row| row.get(model));
            of.map_or((0.0, 0.0), |outcome| (outcome.cost, outcome.score))
        };
        let ratios = |drawn: &[usize]| {
            let points = sweep.points(drawn, outcome);
            let single = |model| {
                let each = drawn.iter().map(move |row| outcome(*row, model));
                (mean(each.clone().map(|o| o.0)), mean(each.map(|o| o.1)))
            };
            let (cost, quality) = single(best);
            [0.95, 0.99, 1.0].map(|part| cost_at(&points, part * quality) / cost)
        };
        let figures = with_intervals(pool.outcomes.len(), self.draws, ratios);
        let mut put = Put { pool, rows };
        for (name, figure) in ["cost at 95 %", "cost at 99 %", "cost at 100 %"]
            .into_iter()
            .zip(figures)
        {
            put.figure(name, figure);
        }
        let flat = flat(&chances, &pool.outcomes);
        put.value("AUC", auc(flat.iter().copied()));
        put.value("ECE", calibration_error(flat.into_iter()));
        self.floors(&chances, &costs, &mut put);
        Panel {
            title: pool.name.clone(),
            models: pool.models.iter().cloned().zip(singles).collect(),
            curve: sweep.points(&(0..pool.outcomes.len()).collect::<Vec<_>>(), outcome),
        }
    }

    /// The cheapest model that is sure enough to meet a floor: on how many questions there is one,
    /// and how good its answers are there.
    fn floors(&self, chances: &[Vec<Chance>], costs: &[f64], put: &mut Put<'_>) {
        const NAMES: [(&str, &str); 4] = [
            ("floor 0.6: promised", "floor 0.6: kept"),
            ("floor 0.7: promised", "floor 0.7: kept"),
            ("floor 0.8: promised", "floor 0.8: kept"),
            ("floor 0.9: promised", "floor 0.9: kept"),
        ];
        for (floor, (promised, kept)) in FLOORS.into_iter().zip(NAMES) {
            let cheapest = |row: &Vec<Chance>| {
                let able = row
                    .iter()
                    .zip(costs)
                    .enumerate()
                    .filter(|(_, (c, _))| c.meets(floor));
                able.min_by(|a, b| a.1.1.total_cmp(b.1.1))
                    .map(|(model, _)| model)
            };
            let served: Vec<Option<f64>> = chances
                .iter()
                .zip(&put.pool.outcomes)
                .map(|(row, outcomes)| Some(outcomes.get(cheapest(row)?)?.score))
                .collect();
            let share = mean(served.iter().map(|s| f64::from(u8::from(s.is_some()))));
            put.value(promised, share);
            if share > 0.0 {
                let figures = with_intervals(served.len(), self.draws, |drawn| {
                    let each = drawn
                        .iter()
                        .filter_map(|row| served.get(*row).copied().flatten());
                    [mean(each)]
                });
                put.figure(kept, figures[0]);
            }
        }
    }
}

/// Every chance with its outcome.
fn flat(chances: &[Vec<Chance>], outcomes: &[Vec<Outcome>]) -> Vec<(f64, f64)> {
    let rows = chances.iter().zip(outcomes);
    let each = rows.flat_map(|(chances, outcomes)| {
        let cells = chances.iter().zip(outcomes);
        cells.map(|(chance, outcome)| (chance.p(), f64::from(u8::from(outcome.score >= 0.5))))
    });
    each.collect()
}

/// Where a pool's figures go.
struct Put<'a> {
    pool: &'a Pool,
    rows: &'a mut Vec<Row>,
}

impl Put<'_> {
    fn figure(&mut self, figure: &'static str, of: Figure) {
        self.push(figure, of.value, Some((of.low, of.high)));
    }

    fn value(&mut self, figure: &'static str, value: f64) {
        self.push(figure, value, None);
    }

    fn push(&mut self, figure: &'static str, value: f64, interval: Option<(f64, f64)>) {
        let models = self.pool.models.len();
        self.rows.push(Row {
            of: format!("{} ({models} models)", self.pool.name),
            figure,
            value,
            low: interval.map(|(low, _)| low),
            high: interval.map(|(_, high)| high),
            rows: self.pool.outcomes.len(),
        });
    }
}
