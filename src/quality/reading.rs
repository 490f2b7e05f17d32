//! A text as the predictor reads it, and what that says of a model.

use serde::{Deserialize, Serialize};

use super::{
    artifact::{Artifact, Known, MOST_HEADS},
    features::Features,
};
use crate::domain::Domain;

/// The 90th percentile of the normal distribution: `low` and `high` enclose four of five.
const Z: f64 = 1.281_552;
/// How unsure it is how much harder than usual a text is for a model of which the level alone is
/// known, in logits: the spread of slopes over models of known outcomes.
const SHIFT: f64 = 0.3;
/// Answers are predicted to be at most twice as long as usual, and no shorter than half.
const LENGTH: f64 = 0.7;

/// What every head says of a text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Reading {
    heads: [f64; MOST_HEADS],
    /// The kind that it is most like.
    kind: usize,
    /// How like that it is, from 0 to 1.
    like: f64,
}

/// A reading as it is written: without heads that no artifact has.
#[derive(Serialize, Deserialize)]
struct Written {
    heads: Vec<f64>,
    kind: usize,
    like: f64,
}

impl From<Reading> for Written {
    fn from(reading: Reading) -> Self {
        let said = reading.heads.iter().rposition(|head| *head != 0.0);
        let said = said.map_or(0, |last| last + 1);
        Self {
            heads: reading.heads.into_iter().take(said).collect(),
            kind: reading.kind,
            like: reading.like,
        }
    }
}

impl From<Written> for Reading {
    fn from(written: Written) -> Self {
        let mut heads = [0.0; MOST_HEADS];
        for (head, said) in heads.iter_mut().zip(written.heads) {
            *head = said;
        }
        Self {
            heads,
            kind: written.kind,
            like: written.like,
        }
    }
}

/// The chance of an acceptable answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chance {
    /// In logits.
    pub logit: f64,
    /// Its standard error, in logits.
    pub error: f64,
}

impl Chance {
    /// A chance that somebody vouches for.
    #[must_use]
    pub fn certain(p: f64) -> Self {
        Self {
            logit: logit(p),
            error: 0.0,
        }
    }

    #[must_use]
    pub fn p(self) -> f64 {
        logistic(self.logit)
    }

    /// What it is in nine of ten cases at least.
    #[must_use]
    pub fn low(self) -> f64 {
        logistic(self.logit - Z * self.error)
    }

    /// What it is in nine of ten cases at most.
    #[must_use]
    pub fn high(self) -> f64 {
        logistic(self.logit + Z * self.error)
    }

    /// Is it sure enough to be at least this?
    #[must_use]
    pub fn meets(self, floor: f64) -> bool {
        self.low() >= floor
    }
}

pub(super) fn logistic(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Of a chance; one of 0 or 1 is taken for nearly that.
pub(super) fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-4, 1.0 - 1e-4);
    (p / (1.0 - p)).ln()
}

impl Reading {
    /// Reads a text.
    #[must_use]
    pub fn of(artifact: &Artifact, text: &str) -> Self {
        let features = Features::of(text.as_bytes(), artifact.bits);
        let mut small = [0_i64; MOST_HEADS];
        let width = artifact.width;
        let sums = match width {
            // of the one that is built in: a width that is known leaves the sums in registers
            24 => sums_of_width::<24>(artifact, &features.rows),
            _ => sums(artifact, &features.rows),
        };
        for row in features.cues {
            let begin = row as usize * width;
            let weights = artifact.cue_table.get(begin..begin + width);
            for (sum, weight) in small.iter_mut().zip(weights.unwrap_or_default()) {
                *sum += i64::from(*weight);
            }
        }
        let norm = norm(features.squares);
        let mut heads = [0.0; MOST_HEADS];
        let said = artifact.heads.iter().zip(sums).zip(small);
        for (out, ((head, sum), small)) in heads.iter_mut().zip(said) {
            *out = f64::from(sum) * head.scale / norm + (head.bias + millionths(small));
        }
        let mut reading = Self {
            heads,
            kind: 0,
            like: 0.0,
        };
        reading.find_kind(artifact);
        reading
    }

    fn find_kind(&mut self, artifact: &Artifact) {
        let mut best = f64::NEG_INFINITY;
        for (at, kind) in artifact.kinds.iter().enumerate() {
            let score = self.heads.get(kind.head).copied().unwrap_or_default();
            if score > best {
                best = score;
                self.kind = at;
                let (begins, whole) = kind.likeness;
                self.like = ((score - begins) / (whole - begins)).clamp(0.0, 1.0);
            }
        }
    }

    /// How unlike it is to all that the predictor was trained on, from 0 to 1.
    #[must_use]
    pub fn novelty(&self) -> f64 {
        1.0 - self.like
    }

    /// The domain of a request whose text this is, given what its other cues say: they count more
    /// where they say anything.
    #[must_use]
    pub fn domain(&self, artifact: &Artifact, cues: Domain) -> Domain {
        let kind = artifact.kinds.get(self.kind).filter(|_| self.like > 0.0);
        match (cues, kind) {
            (Domain::Chat, Some(kind)) => kind.domain,
            _ => cues,
        }
    }

    /// A model that the predictor knows. `level`: what is known of it elsewhere, which counts where
    /// the text is unlike what the predictor was trained on.
    #[must_use]
    pub fn of_known(&self, artifact: &Artifact, model: &Known, level: Option<Chance>) -> Chance {
        let unlike = artifact.unlike;
        let outside = level.unwrap_or(Chance {
            logit: model.general * unlike.pull + unlike.shift,
            error: unlike.error,
        });
        let Some(record) = model.record(self.kind) else {
            return outside;
        };
        let inside = record.logit.of(&self.heads);
        let (like, novel) = (self.like, 1.0 - self.like);
        Chance {
            logit: like * inside + novel * outside.logit,
            error: (like * record.error).hypot(novel * outside.error),
        }
    }

    /// A model of which a level for texts of this domain is known: harder or easier than that, as
    /// far as the text is like what the predictor was trained on.
    #[must_use]
    pub fn of_level(&self, artifact: &Artifact, level: Chance) -> Chance {
        let shift = artifact
            .kinds
            .get(self.kind)
            .map_or(0.0, |kind| kind.shift.of(&self.heads));
        Chance {
            logit: level.logit + self.like * shift,
            error: level.error.hypot(self.like * SHIFT),
        }
    }

    /// How long an answer of a model that the predictor knows will be, in tokens.
    #[must_use]
    pub fn tokens(&self, artifact: &Artifact, model: &Known) -> Option<u64> {
        let record = model.record(self.kind).filter(|_| self.like > 0.0)?;
        let length = artifact.kinds.get(self.kind).and_then(|kind| kind.length);
        let length = length.and_then(|head| self.heads.get(head)).copied();
        let tokens = record.tokens * length.unwrap_or_default().clamp(-LENGTH, LENGTH).exp();
        Some(whole(tokens))
    }
}

/// What the rows of a text add up to, for each head.
fn sums(artifact: &Artifact, rows: &[(u32, i16)]) -> [i32; MOST_HEADS] {
    let mut sums = [0_i32; MOST_HEADS];
    let width = artifact.width;
    for (row, value) in rows {
        let begin = *row as usize * width;
        let weights = artifact.table.get(begin..begin + width);
        for (sum, weight) in sums.iter_mut().zip(weights.unwrap_or_default()) {
            *sum += product(*value, *weight);
        }
    }
    sums
}

/// The same for a table of a width that is known beforehand.
fn sums_of_width<const WIDTH: usize>(
    artifact: &Artifact,
    rows: &[(u32, i16)],
) -> [i32; MOST_HEADS] {
    let (table, _) = artifact.table.as_chunks::<WIDTH>();
    let mut sums = [0_i32; WIDTH];
    for (row, value) in rows {
        let Some(weights) = table.get(*row as usize) else {
            continue;
        };
        for (sum, weight) in sums.iter_mut().zip(weights) {
            *sum += product(*value, *weight);
        }
    }
    let mut all = [0; MOST_HEADS];
    for (all, sum) in all.iter_mut().zip(sums) {
        *all = sum;
    }
    all
}

/// Of two numbers of sixteen bits, which processors multiply many at a time.
fn product(value: i16, weight: u8) -> i32 {
    i32::from(value) * i32::from(i16::from(weight.cast_signed()))
}

#[expect(clippy::cast_precision_loss, reason = "a sum of squares below 2^53")]
fn norm(squares: u64) -> f64 {
    if squares == 0 {
        return 1.0;
    }
    (squares as f64).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "a sum of eleven i32")]
fn millionths(sum: i64) -> f64 {
    sum as f64 / 1e6
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the mean length of an answer, which is a positive number of few digits"
)]
fn whole(tokens: f64) -> u64 {
    tokens.round() as u64
}
