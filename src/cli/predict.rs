//! `tollgate predict`: how likely each model is to answer acceptably, line by line.
//!
//! A line becomes a request, and is read by the code that reads requests. One that can't be
//! understood becomes a line that says why, and the others are predicted all the same.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use bytes::Bytes;
use clap::Args;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    CliError,
    lines::{self, Lines, Read},
};
use crate::{
    quality::{Artifact, Chance, Known, LARGEST, Reading},
    understand::{self, Ask, Endpoint},
};

/// Options of `predict`.
#[derive(Debug, Args)]
pub(super) struct PredictArgs {
    /// Another predictor than the one that is built in
    #[arg(long, value_name = "FILE")]
    artifact: Option<PathBuf>,
    /// The models to predict, by the ids that the predictor has; all of them, unless said
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    models: Vec<String>,
    /// Lines with `id` and `prompt` or `messages`; `-` is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
}

/// A line as it is written.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    id: Option<Box<RawValue>>,
    #[serde(default)]
    prompt: Option<Box<RawValue>>,
    #[serde(default)]
    messages: Option<Box<RawValue>>,
    #[serde(default)]
    tools: Option<Box<RawValue>>,
    #[serde(default)]
    response_format: Option<Box<RawValue>>,
}

/// The answer for one model.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    id: Option<&'a RawValue>,
    model: &'a str,
    /// The chance of an acceptable answer; `null`: nothing is known of the model.
    p: Option<f64>,
    /// Four of five times it is between these two.
    low: Option<f64>,
    high: Option<f64>,
    domain: &'static str,
    /// How unlike the text is to all that the predictor was trained on, from 0 to 1.
    novelty: f64,
    output_tokens: Option<u64>,
}

/// The answer to a line that can't be understood.
#[derive(Debug, Serialize)]
struct Refused<'a> {
    id: Option<&'a RawValue>,
    line: u64,
    error: String,
}

/// The predictor of a file, or the one that is built in.
pub(super) fn artifact(file: Option<&Path>) -> Result<Artifact, CliError> {
    let Some(path) = file else {
        return Artifact::shipped().map_err(|e| CliError::Failed(format!("the predictor {e}")));
    };
    let wrong = |why: String| CliError::Usage(format!("{}: {why}", path.display()));
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(LARGEST as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| wrong(error.to_string()))?;
    Artifact::parse(Cow::Owned(bytes)).map_err(|error| wrong(error.to_string()))
}

/// Predicts for every line of a file, or of standard input.
pub(super) fn run(args: &PredictArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let artifact = artifact(args.artifact.as_deref())?;
    let models: Vec<(&str, Option<&Known>)> = if args.models.is_empty() {
        let all = artifact.models();
        all.map(|model| (model.id.as_str(), Some(model))).collect()
    } else {
        let asked = args.models.iter();
        asked.map(|id| (id.as_str(), artifact.model(id))).collect()
    };
    let refused = |error: io::Error| CliError::Usage(format!("{}: {error}", args.file.display()));
    let mut lines = Lines::open(&args.file).map_err(refused)?;
    let (mut number, mut failed) = (0_u64, 0_u64);
    while let Some(read) = lines.next().map_err(refused)? {
        number += 1;
        let (id, ask) = match read {
            Read::Blank => continue,
            Read::TooLong => (None, Err(format!("longer than {} bytes", lines::MOST))),
            Read::Line(line) => understood(&line),
        };
        match ask {
            Ok(ask) => predict(&artifact, &models, id.as_deref(), &ask, out)?,
            Err(error) => {
                failed += 1;
                let id = id.as_deref();
                let line = Refused {
                    id,
                    line: number,
                    error,
                };
                write_line(out, &line)?;
            }
        }
    }
    if failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    out.flush()?;
    Err(CliError::Failed(format!(
        "{failed} of {number} lines can't be predicted; `error` in their place says why"
    )))
}

/// A line as the request that it stands for.
pub(super) fn understood(line: &[u8]) -> (Option<Box<RawValue>>, Result<Ask, String>) {
    let line: Line = match serde_json::from_slice(line) {
        Ok(line) => line,
        Err(error) => {
            return (
                None,
                Err(format!(
                    "not a line of JSON with `id`, and `prompt` or `messages`: {error}"
                )),
            );
        }
    };
    let body = body(&line);
    let ask = body.and_then(|body| {
        let read = understand::read(Endpoint::ChatCompletions, body, &HeaderMap::new());
        read.map_err(|error| error.to_string())
    });
    (line.id, ask)
}

fn body(line: &Line) -> Result<Bytes, String> {
    #[derive(Serialize)]
    struct Body<'a> {
        model: &'static str,
        messages: &'a RawValue,
        #[serde(skip_serializing_if = "Option::is_none")]
        tools: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "Option::is_none")]
        response_format: Option<&'a RawValue>,
    }
    #[derive(Serialize)]
    struct Message<'a> {
        role: &'static str,
        content: &'a RawValue,
    }
    let written;
    let messages = match (line.prompt.as_deref(), line.messages.as_deref()) {
        (Some(content), None) if content.get().starts_with('"') => {
            let role = "user";
            let said = serde_json::value::to_raw_value(&[Message { role, content }]);
            written = said.map_err(|error| error.to_string())?;
            &*written
        }
        (None, Some(messages)) => messages,
        (Some(_), None) => return Err("`prompt` must be a string".to_owned()),
        _ => return Err("either `prompt` or `messages` must be there".to_owned()),
    };
    let body = Body {
        model: "any",
        messages,
        tools: line.tools.as_deref(),
        response_format: line.response_format.as_deref(),
    };
    let body = serde_json::to_vec(&body).map_err(|error| error.to_string())?;
    Ok(body.into())
}

fn predict(
    artifact: &Artifact,
    models: &[(&str, Option<&Known>)],
    id: Option<&RawValue>,
    ask: &Ask,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let reading = Reading::of(artifact, &ask.words().unwrap_or_default());
    for (model, known) in models {
        let chance = known.map(|known| reading.of_known(artifact, known, None));
        let tokens = known.and_then(|known| reading.tokens(artifact, known));
        let answer = Answer {
            id,
            model,
            p: chance.map(|chance| rounded(Chance::p(chance))),
            low: chance.map(|chance| rounded(Chance::low(chance))),
            high: chance.map(|chance| rounded(Chance::high(chance))),
            domain: reading.domain(artifact, ask.domain).as_str(),
            novelty: rounded(reading.novelty()),
            output_tokens: tokens,
        };
        write_line(out, &answer)?;
    }
    Ok(())
}

fn write_line(out: &mut dyn Write, line: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string(line).map_err(io::Error::from)?;
    Ok(writeln!(out, "{text}")?)
}

/// Six digits behind the point: more would be noise.
fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}
