//! Published scores and a team's own evaluations, as levels of models by domain.
//!
//! Three kinds of table are known by their heads: scores, one a row (`model`, `model_key`, `variant`,
//! `benchmark`, `score`); the summary that OpenCompass writes (`dataset`, `version`, `metric`, `mode`,
//! then a column for each model); and which benchmark speaks of which domain (`benchmark`, `domain`,
//! `unit`, `reference`), whose rows go over those that are built in.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use super::{
    correction::{CorrectionError, Corrections},
    reading::{Chance, logit},
};
use crate::domain::Domain;

/// Which benchmark speaks of which domain, unless a file says otherwise.
const BENCHMARKS: &str = include_str!("benchmarks.csv");
/// The standard error of a published level, in logits: its questions are not yours.
const ERROR: f64 = 0.5;
/// The same of a level that is known in other domains only.
const ELSEWHERE: f64 = 1.0;
/// What 400 points of Elo are in logits is the natural logarithm of 10.
const ELO: f64 = 400.0 / std::f64::consts::LN_10;

/// Why a table can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScoresError {
    #[error("line {line}: {why}")]
    Line { line: u64, why: String },
    #[error(
        "its head is none that is known: `model,model_key,variant,benchmark,score,…`, \
         `dataset,version,metric,mode,…` of OpenCompass, `benchmark,domain,unit,reference`, or \
         `model,domain,offset,error,…` of `tollgate calibrate`"
    )]
    Head,
    #[error("none of its rows is of a benchmark that is mapped to a domain")]
    Nothing,
    #[error(transparent)]
    Correction(#[from] CorrectionError),
}

/// A file that was read, by name and text.
#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    pub text: String,
}

/// What is known of models, by their keys.
#[derive(Clone, Default)]
pub struct Scores {
    levels: HashMap<String, Levels>,
    pub corrections: Corrections,
}

/// A model's level in each domain.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Levels([Option<Chance>; Domain::ALL.len()]);

impl Levels {
    /// The level in a domain; where nothing is known of it, that in all others, with a larger error.
    #[must_use]
    pub fn at(&self, domain: Domain) -> Option<Chance> {
        let own = self.0.get(domain as usize).copied().flatten();
        own.or_else(|| {
            let known = self.0.iter().flatten();
            let (sum, n) = known.fold((0.0, 0.0), |(sum, n), level| (sum + level.logit, n + 1.0));
            (n > 0.0).then(|| Chance {
                logit: sum / n,
                error: ELSEWHERE,
            })
        })
    }
}

/// The name by which a model is looked up: without its maker, in small letters, dots and underscores
/// as dashes.
#[must_use]
pub(super) fn key(model: &str) -> String {
    let name = model.rsplit('/').next().unwrap_or(model);
    name.to_ascii_lowercase().replace(['.', '_', ' '], "-")
}

/// What a benchmark says.
#[derive(Debug, Clone)]
struct Benchmark {
    domain: Domain,
    unit: Unit,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    /// Of 100.
    Percent,
    /// Of 1.
    Fraction,
    /// Elo, with what is an even chance.
    Elo(f64),
}

impl Unit {
    /// In logits; `None`: it can't be one.
    fn logit(self, score: f64) -> Option<f64> {
        let part = |p: f64| (0.0..=1.0).contains(&p).then(|| logit(p.clamp(0.01, 0.99)));
        match self {
            Self::Percent => part(score / 100.0),
            Self::Fraction => part(score),
            Self::Elo(even) => score.is_finite().then_some((score - even) / ELO),
        }
    }
}

/// Benchmarks by name; one that ends in `*` means all that begin so, and the longest counts.
#[derive(Debug, Default)]
struct Mapping(BTreeMap<String, Benchmark>);

impl Mapping {
    fn find(&self, name: &str) -> Option<&Benchmark> {
        let name = name.to_ascii_lowercase();
        let begins = |pattern: &str| {
            pattern
                .strip_suffix('*')
                .is_some_and(|begin| name.starts_with(begin))
        };
        self.0.get(&name).or_else(|| {
            let fitting = self.0.iter().filter(|(pattern, _)| begins(pattern));
            fitting
                .max_by_key(|(pattern, _)| pattern.len())
                .map(|(_, benchmark)| benchmark)
        })
    }

    fn read(&mut self, text: &str) -> Result<(), ScoresError> {
        each(text, |row, wrong| {
            let domain = row.get("domain");
            let known = Domain::named(domain);
            let domain = known.ok_or_else(|| wrong(format!("a domain `{domain}` is not known")))?;
            let unit = match row.get("unit") {
                "percent" => Unit::Percent,
                "fraction" => Unit::Fraction,
                "elo" => {
                    let even = row.get("reference").parse();
                    Unit::Elo(even.map_err(|_| {
                        wrong("`elo` needs a `reference`, the Elo of an even chance".to_owned())
                    })?)
                }
                other => {
                    return Err(wrong(format!(
                        "a unit `{other}` is not known: percent, fraction or elo"
                    )));
                }
            };
            let name = row.get("benchmark").to_ascii_lowercase();
            self.0.insert(name, Benchmark { domain, unit });
            Ok(())
        })
    }
}

/// A row by the names of its columns.
struct Row<'a> {
    head: &'a csv::StringRecord,
    cells: &'a csv::StringRecord,
}

impl<'a> Row<'a> {
    /// The cell of a column; empty if there is none.
    fn get(&self, column: &str) -> &'a str {
        let at = self.head.iter().position(|name| name == column);
        at.and_then(|at| self.cells.get(at))
            .unwrap_or_default()
            .trim()
    }
}

/// Hands out every row, with what makes an error of its line.
fn each(
    text: &str,
    mut of: impl FnMut(&Row<'_>, &dyn Fn(String) -> ScoresError) -> Result<(), ScoresError>,
) -> Result<(), ScoresError> {
    let mut reader = csv::ReaderBuilder::new();
    let mut reader = reader.flexible(true).from_reader(text.as_bytes());
    let at = |line: u64, why: String| ScoresError::Line { line, why };
    let head = reader.headers().map_err(|e| at(1, e.to_string()))?.clone();
    for cells in reader.records() {
        let cells =
            cells.map_err(|e| at(e.position().map_or(0, csv::Position::line), e.to_string()))?;
        let line = cells.position().map_or(0, csv::Position::line);
        let row = Row {
            head: &head,
            cells: &cells,
        };
        of(&row, &|why| at(line, why))?;
    }
    Ok(())
}

/// What kind of table it is.
enum Kind {
    Scores,
    OpenCompass,
    Benchmarks,
    Corrections,
}

impl Kind {
    fn of(text: &str) -> Option<Self> {
        let head = text.trim_start_matches('\u{feff}').lines().next()?;
        let has = |names: &[&str]| {
            names
                .iter()
                .all(|n| head.split(',').any(|cell| cell.trim() == *n))
        };
        if has(&["model", "model_key", "benchmark", "score"]) {
            Some(Self::Scores)
        } else if has(&["dataset", "version", "metric", "mode"]) {
            Some(Self::OpenCompass)
        } else if has(&["benchmark", "domain", "unit"]) {
            Some(Self::Benchmarks)
        } else if has(&["model", "domain", "offset", "error"]) {
            Some(Self::Corrections)
        } else {
            None
        }
    }
}

/// Scores in logits: by model, then by domain, then by benchmark.
type Found = BTreeMap<String, [BTreeMap<String, f64>; Domain::ALL.len()]>;

/// How much there is: all of it is too much for any log.
impl fmt::Debug for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            levels,
            corrections,
        } = self;
        write!(
            f,
            "Scores({} models, {} corrections)",
            levels.len(),
            corrections.len()
        )
    }
}

impl Scores {
    /// Reads tables; later ones go over earlier ones.
    ///
    /// # Errors
    /// Which table makes no sense, and why.
    pub fn read(tables: &[Table]) -> Result<Self, (usize, ScoresError)> {
        let mut mapping = Mapping::default();
        // a test rules out that the table which is built in is wrong
        mapping.read(BENCHMARKS).map_err(|error| (0, error))?;
        let kinds: Vec<Kind> = tables
            .iter()
            .enumerate()
            .map(|(at, table)| Kind::of(&table.text).ok_or((at, ScoresError::Head)))
            .collect::<Result<_, _>>()?;
        for (at, (table, kind)) in tables.iter().zip(&kinds).enumerate() {
            if matches!(kind, Kind::Benchmarks) {
                mapping.read(&table.text).map_err(|error| (at, error))?;
            }
        }
        let mut found = Found::new();
        let mut corrections = Corrections::default();
        for (at, (table, kind)) in tables.iter().zip(&kinds).enumerate() {
            let read = match kind {
                Kind::Scores => scores(&table.text, &mapping, &mut found),
                Kind::OpenCompass => opencompass(&table.text, &mapping, &mut found),
                Kind::Benchmarks => Ok(()),
                Kind::Corrections => corrections.read(&table.text).map_err(Into::into),
            };
            read.map_err(|error| (at, error))?;
        }
        let levels = found.into_iter().map(|(model, domains)| {
            let level = domains.map(|scores| level(scores.values().copied()));
            (model, Levels(level))
        });
        Ok(Self {
            levels: levels.collect(),
            corrections,
        })
    }

    /// What is known of a model, by the first of its names that is known.
    #[must_use]
    pub fn of<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Option<Levels> {
        let mut names = names.into_iter();
        names.find_map(|name| self.levels.get(&key(name)).copied())
    }
}

/// The mean of what benchmarks say; they differ more than their own errors would explain.
fn level(scores: impl Iterator<Item = f64> + Clone) -> Option<Chance> {
    let n = scores.clone().fold(0.0, |n, _| n + 1.0);
    if n == 0.0 {
        return None;
    }
    let mean = scores.clone().sum::<f64>() / n;
    let spread = scores.map(|score| (score - mean).powi(2)).sum::<f64>() / n;
    Some(Chance {
        logit: mean,
        error: ERROR.hypot((spread / n).sqrt()),
    })
}

/// Takes a score of a model in; of several under one name (a model that thinks more or less), the
/// lowest counts.
fn take(found: &mut Found, model: &str, benchmark: (&str, &Benchmark), score: f64, lowest: bool) {
    let (name, about) = benchmark;
    let Some(logit) = about.unit.logit(score) else {
        return;
    };
    let of = found.entry(key(model)).or_default();
    if let Some(domain) = of.get_mut(about.domain as usize) {
        let known = domain.entry(name.to_owned()).or_insert(logit);
        *known = if lowest { known.min(logit) } else { logit };
    }
}

fn scores(text: &str, mapping: &Mapping, found: &mut Found) -> Result<(), ScoresError> {
    // what this table says goes over what earlier ones said
    let mut own = Found::new();
    each(text, |row, wrong| {
        let name = row.get("benchmark");
        let Some(benchmark) = mapping.find(name) else {
            return Ok(());
        };
        let score = row.get("score");
        let score = score
            .parse()
            .map_err(|_| wrong(format!("the score `{score}` is not a number")))?;
        let (model, general) = (row.get("model"), row.get("model_key"));
        take(&mut own, model, (name, benchmark), score, true);
        if key(general) != key(model) {
            take(&mut own, general, (name, benchmark), score, true);
        }
        Ok(())
    })?;
    merge(found, own)
}

fn opencompass(text: &str, mapping: &Mapping, found: &mut Found) -> Result<(), ScoresError> {
    const ABOUT: [&str; 4] = ["dataset", "version", "metric", "mode"];
    let mut own = Found::new();
    each(text, |row, wrong| {
        let name = format!("opencompass/{}", row.get("dataset").to_ascii_lowercase());
        let Some(benchmark) = mapping.find(&name) else {
            return Ok(());
        };
        for (model, cell) in row.head.iter().zip(row.cells) {
            let cell = cell.trim();
            if ABOUT.contains(&model) || cell.is_empty() || cell == "-" {
                continue;
            }
            let score = cell
                .parse()
                .map_err(|_| wrong(format!("`{cell}` of `{model}` is not a number")))?;
            take(&mut own, model, (&name, benchmark), score, false);
        }
        Ok(())
    })?;
    merge(found, own)
}

fn merge(found: &mut Found, own: Found) -> Result<(), ScoresError> {
    if own.is_empty() {
        return Err(ScoresError::Nothing);
    }
    for (model, domains) in own {
        let of = found.entry(model).or_default();
        for (of, new) in of.iter_mut().zip(domains) {
            of.extend(new);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "model,model_key,variant,benchmark,score,unit,date,source,licence\n";

    fn read(texts: &[&str]) -> Result<Scores, (usize, ScoresError)> {
        let tables: Vec<Table> = texts
            .iter()
            .map(|text| Table {
                name: "t.csv".to_owned(),
                text: (*text).to_owned(),
            })
            .collect();
        Scores::read(&tables)
    }

    fn percent(levels: Levels, domain: Domain) -> f64 {
        (levels.at(domain).unwrap().p() * 1_000.0).round() / 10.0
    }

    #[test]
    fn scores_are_found_by_the_model_and_by_its_key_of_which_the_lowest_counts() {
        let table = format!(
            "{HEAD}m-1-high,m-1,high,livebench/coding,80,percent,,,\n\
             m-1-low,m-1,low,livebench/coding,60,percent,,,\n\
             m-1-low,m-1,low,livebench/nothing,1,percent,,,\n"
        );
        let scores = read(&[&table]).unwrap();
        let at = |name| percent(scores.of([name]).unwrap(), Domain::Code);
        assert!((at("m-1-high") - 80.0).abs() < 0.05);
        assert!((at("maker/M_1") - 60.0).abs() < 0.05);
        assert!(scores.of(["m-2"]).is_none());
        assert!(scores.of(["m-2", "m-1-low"]).is_some());
    }

    #[test]
    fn a_domain_that_nothing_is_known_of_takes_the_others_with_a_larger_error() {
        let table = format!(
            "{HEAD}m,m,,livebench/coding,50,percent,,,\nm,m,,llm-stats/math,0.5,fraction,,,\n"
        );
        let levels = read(&[&table]).unwrap().of(["m"]).unwrap();
        assert!((levels.at(Domain::Code).unwrap().error - 0.5).abs() < 1e-9);
        let other = levels.at(Domain::Tools).unwrap();
        assert!((other.p() - 0.5).abs() < 1e-9 && (other.error - 1.0).abs() < 1e-9);
        assert_eq!(Levels::default().at(Domain::Chat), None);
    }

    #[test]
    fn elo_is_a_chance_against_the_reference() {
        let table = format!("{HEAD}m,m,,arena/text_style_english_elo,1650,elo,,,\n");
        let levels = read(&[&table]).unwrap().of(["m"]).unwrap();
        // 400 points are ten to one
        assert!((levels.at(Domain::Chat).unwrap().p() - 10.0 / 11.0).abs() < 1e-9);
    }

    #[test]
    fn a_summary_of_opencompass_is_read_by_its_columns() {
        let summary = "dataset,version,metric,mode,qwen3-8b,own-7b\n\
                       gsm8k,1d7fe4,accuracy,gen,90.00,-\n\
                       mmlu-humanities,d6e15e,naive_average,gen,70.5,40.5\n\
                       unheard_of,1,accuracy,gen,1,1\n";
        let scores = read(&[summary]).unwrap();
        let qwen = scores.of(["Qwen/Qwen3-8B"]).unwrap();
        assert!((percent(qwen, Domain::Math) - 90.0).abs() < 0.05);
        assert!((percent(qwen, Domain::Knowledge) - 70.5).abs() < 0.05);
        let own = scores.of(["own-7b"]).unwrap();
        assert!((percent(own, Domain::Knowledge) - 40.5).abs() < 0.05);
        assert!((own.at(Domain::Math).unwrap().error - 1.0).abs() < 1e-9);
    }

    #[test]
    fn later_tables_go_over_earlier_ones_and_benchmarks_can_be_mapped_anew() {
        let first = format!("{HEAD}m,m,,livebench/coding,50,percent,,,\n");
        let second = format!("{HEAD}m,m,,livebench/coding,70,percent,,,\n");
        let mapping = "benchmark,domain,unit,reference\nlivebench/coding,tools,percent,\n";
        let scores = read(&[&first, &second, mapping]).unwrap();
        let levels = scores.of(["m"]).unwrap();
        assert!((percent(levels, Domain::Tools) - 70.0).abs() < 0.05);
        assert!((levels.at(Domain::Code).unwrap().error - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_table_and_line() {
        let why = |texts: &[&str]| {
            let (at, error) = read(texts).unwrap_err();
            format!("{at}: {error}")
        };
        assert!(why(&["a,b\n1,2\n"]).starts_with("0: its head is none that is known"));
        let nothing = format!("{HEAD}m,m,,some/thing,1,percent,,,\n");
        let good = format!("{HEAD}m,m,,livebench/coding,50,percent,,,\n");
        assert!(why(&[&good, &nothing]).starts_with("1: none of its rows"));
        let word = format!("{HEAD}m,m,,livebench/coding,good,percent,,,\n");
        assert_eq!(why(&[&word]), "0: line 2: the score `good` is not a number");
        let unit = "benchmark,domain,unit,reference\nx,code,elo,\n";
        assert!(why(&[unit]).contains("line 2: `elo` needs a `reference`"));
        let domain = "benchmark,domain,unit,reference\nx,poetry,percent,\n";
        assert!(why(&[domain]).contains("a domain `poetry` is not known"));
    }

    #[test]
    fn impossible_scores_are_left_out_and_perfect_ones_are_not_certain() {
        let table = format!(
            "{HEAD}m,m,,livebench/coding,150,percent,,,\nm,m,,livebench/mathematics,100,percent,,,\n"
        );
        let levels = read(&[&table]).unwrap().of(["m"]).unwrap();
        assert!((levels.at(Domain::Math).unwrap().p() - 0.99).abs() < 1e-9);
        assert!((levels.at(Domain::Code).unwrap().error - 1.0).abs() < 1e-9);
    }
}
