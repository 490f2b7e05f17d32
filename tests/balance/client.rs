//! One request as a client makes it, and everything that it saw of the answer.

use std::time::Instant;

use http::Method;
use serde_json::Value;

use crate::{
    fleet::{self, FREE, KEY, TIGHT},
    load::Stage,
    mix::{Ask, Kind},
    support::{Call, http::Open, pico, sse::Reader},
};

/// How a request ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With a whole answer.
    Answered,
    /// With an error event.
    Broke,
    /// With this status.
    Refused(u16),
    /// The client left.
    Left,
    /// The connection broke: there is no gateway any more.
    Gone,
}

/// What a client saw.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) kind: Kind,
    pub(crate) end: End,
    /// `x-request-id`, where a head came.
    pub(crate) id: Option<String>,
    /// What it was shown as the exact cost, in pico-dollars.
    pub(crate) told: Option<u128>,
    /// Was it told that no price applies?
    pub(crate) told_unpriced: bool,
    /// Tokens of its prompt, by the simulator's rule.
    pub(crate) prompt: u64,
    /// Bytes of generated text that reached it.
    pub(crate) text: u64,
    /// What is left of its key's requests a minute, where it was told.
    pub(crate) requests_left: Option<u64>,
    /// When it was over.
    pub(crate) at: Instant,
}

/// Makes one request; `worker` is whose it is.
pub(crate) async fn make(stage: &Stage, ask: &Ask, worker: usize) -> Seen {
    let mut seen = Seen {
        kind: ask.kind,
        end: End::Gone,
        id: None,
        told: None,
        told_unpriced: false,
        prompt: ask.prompt_tokens(),
        text: 0,
        requests_left: None,
        at: Instant::now(),
    };
    let call = call(stage, ask, worker);
    if ask.kind == Kind::Early {
        leave_early(stage, call, worker, &mut seen).await;
    } else if let Ok(open) = call.try_open().await {
        seen.id = Some(open.header("x-request-id").to_owned());
        seen.requests_left = open.header("x-ratelimit-remaining-requests").parse().ok();
        let end = match (open.status, ask.stream) {
            (200, true) => stream(open, ask, &mut seen).await,
            (200, false) => whole(open, &mut seen).await,
            (status, _) => whole(open, &mut seen).await.map(|_| End::Refused(status)),
        };
        seen.end = end.unwrap_or(End::Gone);
    }
    seen.at = Instant::now();
    seen
}

fn call(stage: &Stage, ask: &Ask, worker: usize) -> Call {
    let model = match ask.kind {
        Kind::Early => fleet::early(worker),
        Kind::Malformed | Kind::Stranger => Kind::Plain.model().to_owned(),
        kind => kind.model().to_owned(),
    };
    let key = match ask.kind {
        Kind::Tight => TIGHT,
        // long prompts would use up the tokens of the other key
        Kind::Unpriced | Kind::Long => FREE,
        Kind::Stranger => "sk-wrong-0123456789abcdef",
        _ => KEY,
    };
    Call::new(stage.gateway, Method::POST, "/v1/chat/completions")
        .key(key)
        .json(&ask.body(&model))
}

/// Leaves as soon as the backend has the request.
async fn leave_early(stage: &Stage, call: Call, worker: usize, seen: &mut Seen) {
    let model = fleet::early_backend(worker);
    let before = stage.sim.account().at("", &model).requests;
    seen.end = tokio::select! {
        opened = call.try_open() => match opened {
            Ok(open) => {
                seen.id = Some(open.header("x-request-id").to_owned());
                End::Refused(open.status)
            }
            Err(_) => End::Gone,
        },
        () = stage.asked(&model, before) => End::Left,
    };
}

/// Reads a whole answer; `None`: it broke off.
async fn whole(mut open: Open, seen: &mut Seen) -> Option<End> {
    let shown = open.header("x-tollgate-cost-usd");
    seen.told = (!shown.is_empty()).then(|| pico(shown));
    let mut body = Vec::new();
    while let Some(piece) = open.frame().await {
        body.extend_from_slice(&piece.ok()?);
    }
    let answer: Value = serde_json::from_slice(&body).ok()?;
    seen.text += text(&answer["choices"][0]["message"]);
    Some(End::Answered)
}

/// Reads a stream as far as its client does; `None`: it broke off without an error event.
async fn stream(mut open: Open, ask: &Ask, seen: &mut Seen) -> Option<End> {
    let mut reader = Reader::default();
    let (mut events, mut done) = (0, false);
    while let Some(piece) = open.frame().await {
        for data in reader.push(&piece.ok()?) {
            if data == "[DONE]" {
                done = true;
                continue;
            }
            let event: Value = serde_json::from_str(&data).expect("an event is JSON");
            if event.get("error").is_some() {
                return Some(End::Broke);
            }
            let bytes = text(&event["choices"][0]["delta"]);
            seen.text += bytes;
            events += u64::from(bytes > 0);
            let usage = &event["usage"];
            if usage.is_object() {
                match usage["cost_usd"].as_str() {
                    Some(cost) => seen.told = Some(pico(cost)),
                    None => seen.told_unpriced = usage["cost_usd"].is_null(),
                }
            }
        }
        let leaves = match ask.kind {
            Kind::After => done,
            Kind::Mid => events >= ask.reads,
            _ => false,
        };
        if leaves {
            return Some(End::Left);
        }
    }
    done.then_some(End::Answered)
}

/// Bytes of generated text.
fn text(message: &Value) -> u64 {
    let of = |name: &str| message[name].as_str().map_or(0, str::len) as u64;
    of("content") + of("reasoning_content")
}
