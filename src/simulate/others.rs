//! Answers of the endpoints beside text: moderations, rerank, images, speech, transcripts.
//!
//! Pure. Usage is told as real providers tell it: images and speech say nothing of it, models
//! called `gpt-…` count tokens, Cohere's search units stand in `meta`, Jina has a total alone, a
//! transcript tells seconds, and as plain text nothing.

use http::HeaderValue;
use serde_json::{Map, Value, json};

use super::answer::{CREATED, Counts};
use super::ask::{Endpoint, Fields, Text, inputs};
use super::count::{Tally, nth, tokens};
use super::deliver::{EVENTS, JSON};
use super::directive::{Script, UsageStyle};
use super::embedding::base64;
use super::form::Upload;
use super::refusal::Refusal;
use super::text::words;

/// Bytes of a recording in one second, by the simulator's rule.
const BYTES_PER_SECOND: usize = 16_000;
/// Bytes of speech for one character.
const SPEECH_BYTES: usize = 64;
/// Bytes of an image.
const IMAGE_BYTES: u64 = 96;
/// Output tokens of an image.
const IMAGE_TOKENS: u64 = 272;
/// Documents that one search may have.
const SEARCH: usize = 100;

/// An answer, ready to be delivered.
pub(crate) struct Whole {
    pub(crate) media: HeaderValue,
    pub(crate) bytes: Vec<u8>,
    pub(crate) usage: Counts,
}

/// What is asked, and of whom.
pub(crate) struct Call<'a> {
    pub(crate) endpoint: Endpoint,
    pub(crate) fields: &'a Fields<'a>,
    /// The file, where one was sent.
    pub(crate) upload: Option<&'a Upload>,
    pub(crate) script: &'a Script,
    /// The model's name without directives.
    pub(crate) base: &'a str,
}

/// Answers; for the endpoints of this module alone.
pub(crate) fn answer(call: &Call<'_>) -> Result<Whole, Refusal> {
    match call.endpoint {
        Endpoint::Moderations => moderations(call),
        Endpoint::Rerank => rerank(call),
        Endpoint::Images => images(call),
        Endpoint::Speech => speech(call),
        _ => transcript(call),
    }
}

impl Call<'_> {
    fn model(&self) -> String {
        format!("sim-{}", self.base)
    }

    /// Are usage members to be left out?
    fn is_silent(&self) -> bool {
        matches!(self.script.usage, UsageStyle::Missing | UsageStyle::Null)
    }

    fn counts_tokens(&self) -> bool {
        self.base.starts_with("gpt-") && !self.is_silent()
    }

    fn prompt(&self, counted: u64) -> u64 {
        self.script.prompt.unwrap_or(counted)
    }
}

fn moderations(call: &Call<'_>) -> Result<Whole, Refusal> {
    let mut tally = Tally::new(call.base);
    let parts = call.fields.raw("input").map(|raw| raw.get());
    let count =
        match parts.and_then(|raw| serde_json::from_str::<Vec<Map<String, Value>>>(raw).ok()) {
            // parts of content are one input
            Some(parts) if !parts.is_empty() => 1,
            _ => inputs(call.fields, "input", &mut tally)?,
        };
    let result = json!({
        "flagged": false,
        "categories": {"harassment": false, "violence": false},
        "category_scores": {"harassment": 0.001, "violence": 0.002},
    });
    let results: Vec<&Value> = (0..count).map(|_| &result).collect();
    let body = json!({"id": "modr-sim", "model": call.model(), "results": results});
    Ok(whole(&body, Counts::default()))
}

fn rerank(call: &Call<'_>) -> Result<Whole, Refusal> {
    let query = call.fields.required::<Text<'_>>("query")?.0;
    let documents: Vec<Value> = call.fields.required("documents")?;
    let top = call.fields.number("top_n", 1..=10_000)?;
    let text = |document: &Value| match document {
        Value::String(text) => tokens(text),
        other => tokens(other["text"].as_str().unwrap_or_default()),
    };
    let counted = documents.iter().map(|d| text(d) + tokens(&query)).sum();
    let prompt = call.prompt(counted);
    let keep = usize::try_from(top.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let results: Vec<Value> = (0..documents.len())
        .take(keep)
        .enumerate()
        .map(|(rank, index)| json!({"index": index, "relevance_score": 0.9 / (rank as f64 + 1.0)}))
        .collect();
    let mut body = json!({"id": "rerank-sim", "model": call.model(), "results": results});
    let mut usage = Counts::default();
    if call.is_silent() {
        // neither
    } else if call.base.starts_with("jina") {
        body["usage"] = json!({"total_tokens": prompt});
        usage.prompt = prompt;
    } else {
        let searches = documents.len().div_ceil(SEARCH).max(1);
        body["meta"] = json!({"api_version": {"version": "2"},
            "billed_units": {"search_units": searches}});
    }
    Ok(whole(&body, usage))
}

fn images(call: &Call<'_>) -> Result<Whole, Refusal> {
    let prompt = call.fields.required::<Text<'_>>("prompt")?.0;
    let count = call.fields.number("n", 1..=10)?.unwrap_or(1);
    call.fields.optional::<Text<'_>>("size")?;
    let format = call
        .fields
        .choice("response_format", &["url", "b64_json"])?;
    let mut tally = Tally::new(call.base);
    tally.text(&prompt);
    let gpt = call.base.starts_with("gpt-");
    let size = call.script.out.unwrap_or(IMAGE_BYTES);
    let image = |index: u64| {
        let seed = nth(tally.seed, index);
        let bytes: Vec<u8> = (0..size).map(|at| nth(seed, at).to_le_bytes()[0]).collect();
        base64(&bytes)
    };
    let input = call.prompt(tally.tokens);
    let output = IMAGE_TOKENS.saturating_mul(count);
    let usage = json!({"total_tokens": input + output, "input_tokens": input,
        "output_tokens": output,
        "input_tokens_details": {"text_tokens": input, "image_tokens": 0}});
    let counts = Counts {
        prompt: input,
        completion: output,
        ..Counts::default()
    };
    if gpt && call.fields.optional::<bool>("stream")? == Some(true) {
        let partial = json!({"type": "image_generation.partial_image", "b64_json": image(0),
            "partial_image_index": 0});
        let last = json!({"type": "image_generation.completed", "b64_json": image(0),
            "usage": usage});
        return Ok(events(&[partial, last], counts));
    }
    let data: Vec<Value> = (0..count)
        .map(|index| match format {
            Some("url") => json!({"url": format!("https://sim.example.com/{index}.png")}),
            None if !gpt => json!({"url": format!("https://sim.example.com/{index}.png")}),
            _ => json!({"b64_json": image(index)}),
        })
        .collect();
    let mut body = json!({"created": CREATED, "data": data});
    if call.counts_tokens() {
        body["usage"] = usage;
        return Ok(whole(&body, counts));
    }
    Ok(whole(&body, Counts::default()))
}

fn speech(call: &Call<'_>) -> Result<Whole, Refusal> {
    const FORMATS: [(&str, &str); 6] = [
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
        ("pcm", "audio/pcm"),
    ];
    let input = call.fields.required::<Text<'_>>("input")?.0;
    call.fields.required::<Value>("voice")?;
    let names = FORMATS.map(|(name, _)| name);
    let format = call.fields.choice("response_format", &names)?;
    let chars = input.chars().count();
    let audio: Vec<u8> = (0..chars * SPEECH_BYTES)
        .map(|at| nth(7, at as u64).to_le_bytes()[0])
        .collect();
    if call.fields.choice("stream_format", &["sse", "audio"])? == Some("sse") {
        let (input, output) = (call.prompt(tokens(&input)), chars as u64);
        let delta = json!({"type": "speech.audio.delta", "audio": base64(&audio)});
        let done = json!({"type": "speech.audio.done", "usage": {"input_tokens": input,
            "output_tokens": output, "total_tokens": input + output}});
        let counts = Counts {
            prompt: input,
            completion: output,
            ..Counts::default()
        };
        return Ok(events(&[delta, done], counts));
    }
    let media = FORMATS
        .iter()
        .find(|(name, _)| Some(*name) == format)
        .map_or("audio/mpeg", |(_, media)| *media);
    Ok(Whole {
        media: HeaderValue::from_static(media),
        bytes: audio,
        usage: Counts::default(),
    })
}

fn transcript(call: &Call<'_>) -> Result<Whole, Refusal> {
    let Some(upload) = call.upload.filter(|upload| upload.file > 0) else {
        let message = "missing required parameter: 'file'";
        return Err(Refusal::invalid(
            "file",
            "missing_required_parameter",
            message,
        ));
    };
    let formats = ["json", "text", "srt", "verbose_json", "vtt"];
    let format = call
        .fields
        .choice("response_format", &formats)?
        .unwrap_or("json");
    let seconds = upload.file.div_ceil(BYTES_PER_SECOND);
    let text = words(upload.file as u64, call.script.out.unwrap_or(12));
    let (prompt, completion) = (call.prompt(seconds as u64 * 10), tokens(&text));
    let gpt = call.counts_tokens();
    let usage = if gpt {
        json!({"type": "tokens", "input_tokens": prompt, "output_tokens": completion,
            "total_tokens": prompt + completion,
            "input_token_details": {"text_tokens": 0, "audio_tokens": prompt}})
    } else {
        json!({"type": "duration", "seconds": seconds})
    };
    let counts = if gpt {
        Counts {
            prompt,
            completion,
            ..Counts::default()
        }
    } else {
        Counts::default()
    };
    if gpt
        && call
            .fields
            .optional::<Text<'_>>("stream")?
            .is_some_and(|text| text.0 == "true")
    {
        let delta = json!({"type": "transcript.text.delta", "delta": text});
        let done = json!({"type": "transcript.text.done", "text": text, "usage": usage});
        return Ok(events(&[delta, done], counts));
    }
    let plain = |media, text: String| Whole {
        media: HeaderValue::from_static(media),
        bytes: text.into_bytes(),
        usage: counts,
    };
    let end = format!("00:{:02}:{:02}", seconds / 60 % 60, seconds % 60);
    Ok(match format {
        "text" => plain("text/plain; charset=utf-8", format!("{text}\n")),
        "srt" => plain(
            "text/plain; charset=utf-8",
            format!("1\n00:00:00,000 --> {end},000\n{text}\n"),
        ),
        "vtt" => plain(
            "text/vtt; charset=utf-8",
            format!("WEBVTT\n\n00:00:00.000 --> {end}.000\n{text}\n"),
        ),
        format => {
            let mut body = json!({"text": text});
            if format == "verbose_json" {
                body["task"] = json!("transcribe");
                body["language"] = json!("english");
                body["duration"] = json!(seconds as f64);
                body["segments"] = json!([]);
            }
            if !call.is_silent() {
                body["usage"] = usage;
            }
            whole(&body, counts)
        }
    })
}

fn whole(body: &Value, usage: Counts) -> Whole {
    Whole {
        media: JSON,
        bytes: body.to_string().into_bytes(),
        usage,
    }
}

fn events(list: &[Value], usage: Counts) -> Whole {
    let text: String = list
        .iter()
        .map(|event| {
            let kind = event["type"].as_str().unwrap_or_default();
            format!("event: {kind}\ndata: {event}\n\n")
        })
        .collect();
    Whole {
        media: EVENTS,
        bytes: text.into_bytes(),
        usage,
    }
}
