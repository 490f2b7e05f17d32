//! How a request narrows the choice of backends: headers `x-tollgate-*`, or the object `tollgate`
//! in the body. A request may only narrow; both at once must agree.

use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    config::{Objective, Tags, tags::TagError},
    money::Usd,
    wire::json::{Object, ObjectError},
};

/// Candidates that one request may name.
const MAX_NAMES: usize = 64;

/// What a request adds to the rules of its key and route.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narrow {
    /// The floor for this request, in 1/10,000.
    pub min_quality: Option<u16>,
    /// The most that it may cost, all calls together.
    pub max_cost: Option<Usd>,
    /// Only these candidates.
    pub models: Option<Vec<String>>,
    /// Only providers in these regions.
    pub regions: Option<Vec<String>>,
    /// What is minimised in place of what its route says, if its key may say so; narrows nothing.
    pub objective: Option<Objective>,
    /// What its spend is told apart by; narrows nothing.
    #[serde(skip)]
    pub tags: Option<Tags>,
}

/// Why the narrowing of a request can't be followed.
#[derive(Debug, thiserror::Error)]
pub enum NarrowError {
    #[error("`tollgate` must be an object: {0}")]
    Object(String),
    #[error("duplicate key `tollgate.{0}`")]
    Duplicate(String),
    #[error("unknown member `tollgate.{name}`; known are {known}", known = KNOWN.join(", "))]
    Unknown { name: String },
    #[error("unknown header `{name}`; known are {known}", known = HEADERS.join(", "))]
    UnknownHeader { name: String },
    #[error("`{name}` must be {expected}")]
    Value {
        name: &'static str,
        expected: &'static str,
    },
    #[error("`{name}`: {error}")]
    Tags { name: &'static str, error: TagError },
    #[error("`{header}` and `tollgate.{member}` are both given and differ; send one of them")]
    Conflict {
        header: &'static str,
        member: &'static str,
    },
}

/// Members of `tollgate`.
const KNOWN: [&str; 6] = [
    "min_quality",
    "max_cost",
    "objective",
    "regions",
    "tags",
    "models",
];
/// Headers of a request.
const HEADERS: [&str; 5] = [
    "x-tollgate-min-quality",
    MAX_COST,
    OBJECTIVE,
    "x-tollgate-regions",
    TAGS,
];
/// May stand several times, like any header that is a list.
const TAGS: &str = "x-tollgate-tags";
/// The header for what is minimised.
const OBJECTIVE: &str = "x-tollgate-objective";
/// The header for the most that a request may cost.
const MAX_COST: &str = "x-tollgate-max-cost";

impl NarrowError {
    /// The error code for clients.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Object(_) | Self::Value { .. } | Self::Tags { .. } => "invalid_type",
            Self::Duplicate(_) => "invalid_json",
            Self::Unknown { .. } | Self::UnknownHeader { .. } => "unknown_parameter",
            Self::Conflict { .. } => "conflicting_parameters",
        }
    }
}

impl Narrow {
    /// Reads headers and body together.
    ///
    /// # Errors
    /// If one is unknown, malformed, or contradicts the other.
    pub(super) fn read(tollgate: Option<&str>, headers: &HeaderMap) -> Result<Self, NarrowError> {
        let in_headers = Self::from_headers(headers)?;
        let in_body = match tollgate {
            Some(raw) => Self::from_body(raw)?,
            None => Self::default(),
        };
        Ok(Self {
            min_quality: same(
                in_headers.min_quality,
                in_body.min_quality,
                ("x-tollgate-min-quality", "min_quality"),
            )?,
            max_cost: same(
                in_headers.max_cost,
                in_body.max_cost,
                (MAX_COST, "max_cost"),
            )?,
            objective: same(
                in_headers.objective,
                in_body.objective,
                (OBJECTIVE, "objective"),
            )?,
            models: in_body.models,
            regions: same(
                in_headers.regions,
                in_body.regions,
                ("x-tollgate-regions", "regions"),
            )?,
            tags: same(in_headers.tags, in_body.tags, (TAGS, "tags"))?,
        })
    }

    fn from_headers(headers: &HeaderMap) -> Result<Self, NarrowError> {
        let mut narrow = Self::default();
        for (name, value) in headers
            .iter()
            .filter(|(n, _)| n.as_str().starts_with("x-tollgate-"))
        {
            let text = value.to_str().unwrap_or_default();
            match name.as_str() {
                "x-tollgate-min-quality" => narrow.min_quality = Some(quality(text)?),
                MAX_COST => narrow.max_cost = Some(dollars(text, MAX_COST)?),
                "x-tollgate-regions" => {
                    narrow.regions =
                        Some(names(text.split(',').map(str::trim), "x-tollgate-regions")?);
                }
                OBJECTIVE => narrow.objective = Some(objective(text, OBJECTIVE)?),
                TAGS => narrow.tags = Some(tags_of_header(headers)?),
                other => {
                    return Err(NarrowError::UnknownHeader {
                        name: other.to_owned(),
                    });
                }
            }
        }
        Ok(narrow)
    }

    fn from_body(raw: &str) -> Result<Self, NarrowError> {
        let object = Object::parse(bytes::Bytes::copy_from_slice(raw.as_bytes()));
        let object = object.map_err(|error| match error {
            ObjectError::Duplicate(key) => NarrowError::Duplicate(key),
            ObjectError::Syntax(error) => NarrowError::Object(error.to_string()),
        })?;
        let members: Map<String, Value> = serde_json::from_slice(&object.to_bytes())
            .map_err(|e| NarrowError::Object(e.to_string()))?;
        let mut narrow = Self::default();
        for (name, value) in members {
            match name.as_str() {
                "min_quality" => narrow.min_quality = Some(quality(&plain(&value))?),
                "max_cost" => {
                    // the text that was written: a number would be read as a binary float
                    let raw = object.get("max_cost").unwrap_or_default();
                    let text = value.as_str().unwrap_or(raw);
                    narrow.max_cost = Some(dollars(text, "tollgate.max_cost")?);
                }
                "models" => narrow.models = Some(list(&value, "tollgate.models")?),
                "regions" => narrow.regions = Some(list(&value, "tollgate.regions")?),
                "tags" => narrow.tags = Some(tags_of_object(&object)?),
                "objective" => {
                    let text = value.as_str().unwrap_or_default();
                    narrow.objective = Some(objective(text, "tollgate.objective")?);
                }
                _ => return Err(NarrowError::Unknown { name }),
            }
        }
        Ok(narrow)
    }
}

fn tags_of_header(headers: &HeaderMap) -> Result<Tags, NarrowError> {
    let lines = headers.get_all(TAGS).iter();
    let lines: Vec<_> = lines
        .map(|line| line.to_str().unwrap_or_default())
        .collect();
    let wrong = |error| NarrowError::Tags { name: TAGS, error };
    Tags::from_header(&lines.join(",")).map_err(wrong)
}

/// The member `tags` of the object `tollgate`.
fn tags_of_object(tollgate: &Object) -> Result<Tags, NarrowError> {
    let name = "tollgate.tags";
    let raw = tollgate.get("tags").unwrap_or_default().to_owned();
    let tags = Object::parse(raw.into()).map_err(|error| match error {
        ObjectError::Duplicate(key) => NarrowError::Duplicate(format!("tags.{key}")),
        ObjectError::Syntax(_) => NarrowError::Value {
            name,
            expected: "an object of texts",
        },
    })?;
    let texts = tags
        .iter()
        .map(|(tag, raw)| match serde_json::from_str::<String>(raw) {
            Ok(text) => Ok((tag, text)),
            Err(_) => Err(NarrowError::Value {
                name,
                expected: "an object of texts",
            }),
        });
    let texts: Vec<(&str, String)> = texts.collect::<Result<_, _>>()?;
    let pairs = texts.iter().map(|(tag, text)| (*tag, text.as_str()));
    Tags::of(pairs).map_err(|error| NarrowError::Tags { name, error })
}

/// What is minimised: a request has no list whose order could count.
fn objective(text: &str, name: &'static str) -> Result<Objective, NarrowError> {
    match text {
        "cost" => Ok(Objective::Cost),
        "latency" => Ok(Objective::Latency),
        "quality" => Ok(Objective::Quality),
        _ => Err(NarrowError::Value {
            name,
            expected: "`cost`, `latency` or `quality`",
        }),
    }
}

/// One value from two places.
fn same<T: PartialEq>(
    header: Option<T>,
    body: Option<T>,
    (name, member): (&'static str, &'static str),
) -> Result<Option<T>, NarrowError> {
    match (header, body) {
        (Some(a), Some(b)) if a != b => Err(NarrowError::Conflict {
            header: name,
            member,
        }),
        (a, b) => Ok(a.or(b)),
    }
}

/// A chance between 0 and 1, in 1/10,000; more digits round down, which widens the choice by less
/// than any estimate is worth.
fn quality(text: &str) -> Result<u16, NarrowError> {
    let wrong = NarrowError::Value {
        name: "min_quality",
        expected: "a number between 0 and 1",
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |s: &str| s.len() <= 18 && s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return Err(wrong);
    }
    let four = fraction.bytes().chain(std::iter::repeat(b'0')).take(4);
    let parts = four.fold(0_u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let whole: u64 = whole.parse().unwrap_or(u64::MAX);
    let value = whole.saturating_mul(10_000).saturating_add(parts);
    u16::try_from(value)
        .ok()
        .filter(|value| *value <= 10_000)
        .ok_or(wrong)
}

/// Dollars as a decimal number; a JSON number may have an exponent. What is finer than money is
/// kept rounds down, which allows less and never more.
fn dollars(text: &str, name: &'static str) -> Result<Usd, NarrowError> {
    let wrong = NarrowError::Value {
        name,
        expected: "an amount of USD such as \"0.05\"",
    };
    Usd::at_most(text).ok_or(wrong)
}

/// A JSON number or string as text.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn list(value: &Value, name: &'static str) -> Result<Vec<String>, NarrowError> {
    let wrong = NarrowError::Value {
        name,
        expected: "a list of 1 to 64 names",
    };
    let Some(members) = value.as_array() else {
        return Err(wrong);
    };
    if !members.iter().all(Value::is_string) {
        return Err(wrong);
    }
    names(members.iter().filter_map(Value::as_str), name)
}

fn names<'a>(
    list: impl Iterator<Item = &'a str>,
    name: &'static str,
) -> Result<Vec<String>, NarrowError> {
    let names: Vec<String> = list.take(MAX_NAMES + 1).map(str::to_owned).collect();
    let fits = !names.is_empty() && names.len() <= MAX_NAMES && !names.iter().any(String::is_empty);
    fits.then_some(names).ok_or(NarrowError::Value {
        name,
        expected: "a list of 1 to 64 names",
    })
}
