//! The trained predictor: a file of known form, checked whole before anything of it is used.
//!
//! `TGROUTER`, `u32` version, `u32` length of the description, the description (JSON, whole numbers
//! only: millionths where nothing else is said), rows × width of `i8`, cue rows × width of `i32` in
//! millionths, SHA-256 of all that; little-endian. `tools/router/artifact.py` is its twin.

use std::{borrow::Cow, collections::HashMap};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::features::CUE_ROWS;
use crate::domain::Domain;

const MAGIC: &[u8; 8] = b"TGROUTER";
const VERSION: u32 = 1;
/// The largest file that is read, in bytes.
pub const LARGEST: usize = 16 * 1024 * 1024;
/// The most heads that a table has.
pub(super) const MOST_HEADS: usize = 64;
/// Tables have from 2^8 to 2^20 rows.
const BITS: std::ops::RangeInclusive<u32> = 8..=20;

/// The one that is built in.
static SHIPPED: &[u8] = include_bytes!("shipped.bin");

/// Why a file is not an artifact that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    #[error("is not an artifact of tollgate: it begins otherwise")]
    Foreign,
    #[error("is of version {0}, and this program reads version {VERSION}")]
    Version(u32),
    #[error("is damaged: its checksum does not fit")]
    Damaged,
    #[error("is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("has a description that can't be used: {0}")]
    Description(String),
}

/// A trained predictor.
#[derive(Debug)]
pub struct Artifact {
    /// What it calls itself.
    pub name: String,
    /// The data sets that it was trained on.
    pub sets: Vec<String>,
    /// The first eight digits of its checksum.
    pub digest: String,
    pub(super) bits: u32,
    pub(super) width: usize,
    pub(super) heads: Vec<Head>,
    pub(super) kinds: Vec<Kind>,
    pub(super) unlike: Unlike,
    models: Vec<Known>,
    by_id: HashMap<String, usize>,
    /// Rows of `width` weights.
    pub(super) table: Cow<'static, [u8]>,
    pub(super) cue_table: Vec<i32>,
}

/// A linear reading of a text.
#[derive(Debug)]
pub(super) struct Head {
    /// What one step of the table is worth.
    pub(super) scale: f64,
    pub(super) bias: f64,
}

/// A kind of text that it was trained on.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) domain: Domain,
    /// The head that knows it.
    pub(super) head: usize,
    /// The head of the length of its answers.
    pub(super) length: Option<usize>,
    /// From where to where a text becomes like it.
    pub(super) likeness: (f64, f64),
    /// How much easier than usual, in logits, for models of which only the level is known.
    pub(super) shift: Linear,
}

/// A constant and weights of heads.
#[derive(Debug)]
pub(super) struct Linear {
    constant: f64,
    weights: Vec<(usize, f64)>,
}

impl Linear {
    pub(super) fn of(&self, heads: &[f64]) -> f64 {
        let terms = self.weights.iter();
        terms.fold(self.constant, |sum, (head, weight)| {
            sum + weight * heads.get(*head).copied().unwrap_or_default()
        })
    }
}

/// What is said of a model where the text is unlike all that it was trained on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unlike {
    /// How much of the model's level counts.
    pub(super) pull: f64,
    pub(super) shift: f64,
    /// The standard error, in logits.
    pub(super) error: f64,
}

/// A model whose outcomes it was trained on, or whose published means it knows.
#[derive(Debug)]
pub struct Known {
    pub id: String,
    /// Its level over all that is known of it, in logits.
    pub(super) general: f64,
    records: Vec<Record>,
}

/// A model on one kind of text.
#[derive(Debug)]
pub(super) struct Record {
    kind: usize,
    pub(super) logit: Linear,
    /// The standard error, in logits.
    pub(super) error: f64,
    /// The mean length of its answers, in tokens.
    pub(super) tokens: f64,
}

impl Known {
    pub(super) fn record(&self, kind: usize) -> Option<&Record> {
        self.records.iter().find(|record| record.kind == kind)
    }
}

impl Artifact {
    /// The one that is built in.
    ///
    /// # Errors
    /// If it can't be used, which a test rules out.
    pub fn shipped() -> Result<Self, ArtifactError> {
        Self::parse(Cow::Borrowed(SHIPPED))
    }

    /// Reads and checks a file's bytes.
    ///
    /// # Errors
    /// If it is not an artifact, of another version, damaged, or says something impossible.
    pub fn parse(bytes: Cow<'static, [u8]>) -> Result<Self, ArtifactError> {
        if bytes.len() > LARGEST {
            return Err(ArtifactError::TooLarge);
        }
        let version = bytes
            .strip_prefix(MAGIC)
            .and_then(|rest| rest.first_chunk())
            .ok_or(ArtifactError::Foreign)?;
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(ArtifactError::Version(version));
        }
        let (body, digest) = bytes
            .split_last_chunk::<32>()
            .ok_or(ArtifactError::Damaged)?;
        if *Sha256::digest(body) != digest[..] {
            return Err(ArtifactError::Damaged);
        }
        let short: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
        let rest = body.get(12..).ok_or(ArtifactError::Damaged)?;
        let (length, rest) = rest.split_first_chunk().ok_or(ArtifactError::Damaged)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (text, tables) = rest
            .split_at_checked(length)
            .ok_or(ArtifactError::Damaged)?;
        let file: File = serde_json::from_slice(text).map_err(|e| wrong(e.to_string()))?;
        let (cells, cues) = file.sizes()?;
        if tables.len() != cells + cues * 4 {
            return Err(wrong(
                "the tables have another size than it says".to_owned(),
            ));
        }
        let begin = bytes.len() - 32 - tables.len();
        let cue_table = tables.get(cells..).unwrap_or_default();
        let cue_table = cue_table
            .as_chunks()
            .0
            .iter()
            .map(|b| i32::from_le_bytes(*b));
        let cue_table = cue_table.collect();
        let table = match bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(begin..begin + cells).unwrap_or(&[])),
            Cow::Owned(mut bytes) => {
                bytes.truncate(begin + cells);
                Cow::Owned(bytes.split_off(begin))
            }
        };
        file.build(table, cue_table, short)
    }

    /// The models that it knows, by their ids in order.
    pub fn models(&self) -> impl Iterator<Item = &Known> {
        self.models.iter()
    }

    /// The model of this id.
    #[must_use]
    pub fn model(&self, id: &str) -> Option<&Known> {
        self.models.get(*self.by_id.get(id)?)
    }

    /// Where a model of this name stands: its id, in any case, with or without its maker.
    #[must_use]
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        let name = name.rsplit('/').next()?.to_ascii_lowercase();
        self.by_id.get(&name).copied()
    }

    pub(super) fn known(&self, place: usize) -> Option<&Known> {
        self.models.get(place)
    }
}

fn wrong(why: String) -> ArtifactError {
    ArtifactError::Description(why)
}

// ---------------------------------------------------------------- the description as written

#[derive(Deserialize)]
struct File {
    name: String,
    sets: Vec<String>,
    bits: u32,
    width: usize,
    heads: Vec<RawHead>,
    kinds: Vec<RawKind>,
    unlike: RawUnlike,
    models: Vec<RawModel>,
}

#[derive(Deserialize)]
struct RawHead {
    /// In 1/10^12.
    scale: i64,
    bias: i64,
}

#[derive(Deserialize)]
struct RawKind {
    name: String,
    domain: String,
    head: usize,
    length: Option<usize>,
    likeness: [i64; 2],
    shift: RawLinear,
}

#[derive(Deserialize)]
struct RawLinear {
    constant: i64,
    weights: Vec<(usize, i64)>,
}

#[derive(Deserialize)]
struct RawUnlike {
    pull: i64,
    shift: i64,
    error: i64,
}

#[derive(Deserialize)]
struct RawModel {
    id: String,
    general: i64,
    kinds: Vec<RawRecord>,
}

#[derive(Deserialize)]
struct RawRecord {
    kind: usize,
    intercept: i64,
    weights: Vec<(usize, i64)>,
    error: i64,
    tokens: i64,
}

/// Millionths. Whole numbers of a file are far below 2^53, so nothing is lost.
#[expect(
    clippy::cast_precision_loss,
    reason = "whole numbers of a file are far below 2^53"
)]
fn micro(millionths: i64) -> f64 {
    millionths as f64 / 1e6
}

impl File {
    /// Cells of the two tables.
    fn sizes(&self) -> Result<(usize, usize), ArtifactError> {
        if !BITS.contains(&self.bits) {
            return Err(wrong(format!("`bits` is {}", self.bits)));
        }
        let fits = self.heads.len() <= self.width && self.width <= MOST_HEADS;
        if !fits || !self.width.is_multiple_of(8) || self.kinds.is_empty() {
            return Err(wrong(format!(
                "{} heads in a width of {}, {} kinds",
                self.heads.len(),
                self.width,
                self.kinds.len()
            )));
        }
        Ok((self.width << self.bits, self.width * CUE_ROWS))
    }

    fn linear(&self, constant: i64, weights: &[(usize, i64)]) -> Result<Linear, ArtifactError> {
        let weights = weights.iter().map(|(head, weight)| {
            self.head(*head)?;
            Ok((*head, micro(*weight)))
        });
        Ok(Linear {
            constant: micro(constant),
            weights: weights.collect::<Result<_, _>>()?,
        })
    }

    fn head(&self, head: usize) -> Result<usize, ArtifactError> {
        (head < self.heads.len())
            .then_some(head)
            .ok_or_else(|| wrong(format!("there is no head {head}")))
    }

    fn kind(&self, raw: &RawKind) -> Result<Kind, ArtifactError> {
        let domain = Domain::named(&raw.domain);
        let domain = domain.ok_or_else(|| wrong(format!("a domain `{}`", raw.domain)))?;
        let [begins, whole] = raw.likeness;
        if begins >= whole {
            return Err(wrong(format!(
                "the likeness of `{}` has no length",
                raw.name
            )));
        }
        Ok(Kind {
            domain,
            head: self.head(raw.head)?,
            length: raw.length.map(|head| self.head(head)).transpose()?,
            likeness: (micro(begins), micro(whole)),
            shift: self.linear(raw.shift.constant, &raw.shift.weights)?,
        })
    }

    fn model(&self, raw: &RawModel) -> Result<Known, ArtifactError> {
        let records = raw.kinds.iter().map(|record| {
            if record.kind >= self.kinds.len() {
                return Err(wrong(format!(
                    "`{}` speaks of kind {}",
                    raw.id, record.kind
                )));
            }
            Ok(Record {
                kind: record.kind,
                logit: self.linear(record.intercept, &record.weights)?,
                error: micro(record.error.max(0)),
                tokens: micro(record.tokens.max(0)),
            })
        });
        Ok(Known {
            id: raw.id.clone(),
            general: micro(raw.general),
            records: records.collect::<Result<_, _>>()?,
        })
    }

    fn build(
        self,
        table: Cow<'static, [u8]>,
        cue_table: Vec<i32>,
        digest: String,
    ) -> Result<Artifact, ArtifactError> {
        let kinds = self.kinds.iter().map(|kind| self.kind(kind));
        let kinds = kinds.collect::<Result<_, _>>()?;
        let models = self.models.iter().map(|model| self.model(model));
        let models: Vec<_> = models.collect::<Result<_, _>>()?;
        let by_id = models.iter().enumerate();
        let by_id = by_id.map(|(at, model)| (model.id.clone(), at)).collect();
        let heads = self.heads.iter().map(|head| Head {
            scale: micro(head.scale) / 1e6,
            bias: micro(head.bias),
        });
        Ok(Artifact {
            heads: heads.collect(),
            name: self.name,
            sets: self.sets,
            digest,
            bits: self.bits,
            width: self.width,
            kinds,
            unlike: Unlike {
                pull: micro(self.unlike.pull),
                shift: micro(self.unlike.shift),
                error: micro(self.unlike.error.max(0)),
            },
            models,
            by_id,
            table,
            cue_table,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_one_can_be_used_and_is_at_most_two_megabytes() {
        let artifact = Artifact::shipped().unwrap();
        assert_eq!(artifact.name, "shipped");
        assert!(SHIPPED.len() <= 2 * 1024 * 1024);
        assert!(
            !artifact
                .sets
                .iter()
                .any(|set| set == "bfcl" || set == "alpaca_eval")
        );
        assert!(artifact.model("gpt-4-1106-preview").is_some());
        assert!(artifact.model("nobody").is_none());
    }

    #[test]
    fn whatever_is_not_one_is_refused() {
        let error = |bytes: Vec<u8>| Artifact::parse(Cow::Owned(bytes)).unwrap_err();
        assert_eq!(error(Vec::new()), ArtifactError::Foreign);
        assert_eq!(error(b"TGROUTER".to_vec()), ArtifactError::Foreign);
        assert_eq!(
            error(b"PNG and more of it".to_vec()),
            ArtifactError::Foreign
        );
        let mut newer = SHIPPED.to_vec();
        newer[8] = 2;
        assert_eq!(error(newer), ArtifactError::Version(2));
        for at in [20, SHIPPED.len() / 2, SHIPPED.len() - 1] {
            let mut damaged = SHIPPED.to_vec();
            damaged[at] ^= 1;
            assert_eq!(error(damaged), ArtifactError::Damaged, "byte {at}");
        }
        assert_eq!(
            error(SHIPPED[..SHIPPED.len() - 1].to_vec()),
            ArtifactError::Damaged
        );
        assert_eq!(error(vec![0; LARGEST + 1]), ArtifactError::TooLarge);
    }

    /// The shipped one with another description, and a checksum that fits.
    fn described(change: impl Fn(&mut serde_json::Value)) -> Result<Artifact, ArtifactError> {
        let length = u32::from_le_bytes(SHIPPED[12..16].try_into().unwrap()) as usize;
        let mut about = serde_json::from_slice(&SHIPPED[16..16 + length]).unwrap();
        change(&mut about);
        let about = serde_json::to_vec(&about).unwrap();
        let mut bytes = SHIPPED[..12].to_vec();
        bytes.extend(u32::try_from(about.len()).unwrap().to_le_bytes());
        bytes.extend(about);
        bytes.extend(&SHIPPED[16 + length..SHIPPED.len() - 32]);
        let digest = Sha256::digest(&bytes);
        bytes.extend(&digest[..]);
        Artifact::parse(Cow::Owned(bytes))
    }

    #[test]
    fn a_description_that_points_nowhere_is_refused() {
        assert!(described(|_| ()).is_ok());
        let changes: [fn(&mut serde_json::Value); 8] = [
            |about| about["bits"] = 30.into(),
            |about| about["bits"] = 13.into(),
            |about| about["width"] = 4.into(),
            |about| about["kinds"][0]["head"] = 64.into(),
            |about| about["kinds"][0]["domain"] = "poetry".into(),
            |about| about["kinds"][0]["likeness"] = serde_json::json!([5, 5]),
            |about| about["models"][0]["kinds"] = serde_json::json!([{"kind": 9, "intercept": 0, "weights": [], "error": 0, "tokens": 0}]),
            |about| about["kinds"][0]["shift"]["weights"][0][0] = 99.into(),
        ];
        for (number, change) in changes.iter().enumerate() {
            let refused = described(change);
            let why = matches!(refused, Err(ArtifactError::Description(_)));
            assert!(why, "change {number}");
        }
    }
}
