//! Recorded outcomes: which model answered which question how well, and for how much.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

/// A question.
#[derive(Debug, Deserialize)]
pub(super) struct Question {
    pub(super) qid: String,
    pub(super) suite: String,
    pub(super) dataset: String,
    pub(super) prompt: String,
}

/// What a model made of a question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// From 0 to 1.
    pub(super) score: f64,
    /// In US dollars: recorded figures, for ratios only.
    pub(super) cost: f64,
}

/// Questions of one suite and every model's outcomes of all of them.
#[derive(Debug, Default)]
pub(super) struct Pool {
    pub(super) name: String,
    /// Indices into the questions.
    pub(super) questions: Vec<usize>,
    pub(super) models: Vec<String>,
    /// Questions × models.
    pub(super) outcomes: Vec<Vec<Outcome>>,
}

/// All that a folder holds.
#[derive(Debug)]
pub(super) struct Recorded {
    pub(super) questions: Vec<Question>,
    by_question: HashMap<String, BTreeMap<String, Outcome>>,
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DataError {
    #[error("{0}: neither this nor the file without `.gz` can be read: {1}")]
    Missing(PathBuf, io::Error),
    #[error("{file}, line {line}: {why}")]
    Line {
        file: PathBuf,
        line: u64,
        why: String,
    },
}

#[derive(Debug, Deserialize)]
struct Row {
    qid: String,
    model: String,
    score: f64,
    cost: f64,
}

/// A file that may be compressed.
fn open(folder: &Path, name: &str) -> Result<(PathBuf, Box<dyn Read>), DataError> {
    let packed = folder.join(format!("{name}.gz"));
    match File::open(&packed) {
        Ok(file) => Ok((packed, Box::new(MultiGzDecoder::new(BufReader::new(file))))),
        Err(error) => {
            let plain = folder.join(name);
            let file = File::open(&plain).map_err(|_| DataError::Missing(packed, error))?;
            Ok((plain, Box::new(file)))
        }
    }
}

impl Recorded {
    /// Reads `queries.jsonl[.gz]` and `outcomes.csv[.gz]`.
    pub(super) fn read(folder: &Path) -> Result<Self, DataError> {
        let (file, text) = open(folder, "queries.jsonl")?;
        let mut questions = Vec::new();
        for (line, text) in (1..).zip(BufReader::new(text).lines()) {
            let wrong = |why: String| DataError::Line {
                file: file.clone(),
                line,
                why,
            };
            let text = text.map_err(|error| wrong(error.to_string()))?;
            questions.push(serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?);
        }
        let (file, text) = open(folder, "outcomes.csv")?;
        let mut by_question: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        for row in csv::Reader::from_reader(BufReader::new(text)).deserialize() {
            let row: Row = row.map_err(|error| DataError::Line {
                file: file.clone(),
                line: error.position().map_or(0, csv::Position::line),
                why: error.to_string(),
            })?;
            let Row {
                qid,
                model,
                score,
                cost,
            } = row;
            let of = by_question.entry(qid).or_default();
            of.insert(model, Outcome { score, cost });
        }
        Ok(Self {
            questions,
            by_question,
        })
    }

    /// The questions that are asked for, with the models that have outcomes of all of them and that
    /// `knows` accepts.
    pub(super) fn pool(
        &self,
        name: &str,
        asked: impl Fn(&Question) -> bool,
        knows: impl Fn(&str) -> bool,
    ) -> Pool {
        let rows: Vec<(usize, &BTreeMap<String, Outcome>)> = self
            .questions
            .iter()
            .enumerate()
            .filter(|(_, question)| asked(question))
            .filter_map(|(at, question)| Some((at, self.by_question.get(&question.qid)?)))
            .collect();
        let Some((_, first)) = rows.first() else {
            return Pool::default();
        };
        let complete = |model: &&String| rows.iter().all(|(_, of)| of.contains_key(*model));
        let models = first.keys().filter(|model| knows(model)).filter(complete);
        let models: Vec<String> = models.cloned().collect();
        let outcomes = rows.iter().map(|(_, of)| {
            let each = models.iter().filter_map(|model| of.get(model).copied());
            each.collect()
        });
        Pool {
            name: name.to_owned(),
            questions: rows.iter().map(|(at, _)| *at).collect(),
            outcomes: outcomes.collect(),
            models,
        }
    }
}
