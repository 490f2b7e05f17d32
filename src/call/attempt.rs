//! One attempt: a request to one backend, until it is known whether its answer can be delivered.

use std::{collections::VecDeque, future::Future, pin::Pin};

use bytes::{Bytes, BytesMut};
use futures_util::TryFutureExt as _;
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::{
    Answer, Delivery, Head, Job, Served, Watch,
    client::{Received, SendError},
    failure::{Class, Failure, Phase},
    large::Large,
    relay::{Events, Patience, Relay},
    upstream::Busy,
};
use crate::{
    caps::Caps,
    understand::endpoint::Shape,
    wire::openai::{
        answer,
        chunk::{self, Shape as Choices},
        error,
    },
};

/// Bytes of an error body that are read.
const MAX_ERROR: usize = 64 * 1024;
/// Headers that an answer leaves with, about.
const ANSWERED: usize = 20;
/// Headers of an answer that are passed on.
const PASSED: [header::HeaderName; 2] = [header::CONTENT_TYPE, header::CONTENT_LANGUAGE];

/// When an attempt must have got how far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    first_byte: Instant,
    idle: std::time::Duration,
    whole: Instant,
}

impl Limits {
    pub(super) fn of(job: &Job, now: Instant) -> Self {
        let server = &job.means.config.server;
        let default = if job.ask.stream {
            super::FIRST_EVENT
        } else {
            server.request_timeout
        };
        let first_byte = now + server.first_byte_timeout.unwrap_or(default);
        Self {
            first_byte,
            idle: server.idle_timeout,
            whole: job.deadline,
        }
    }

    /// Waits for something, at most until `limit` and the end of the whole request.
    ///
    /// No `async fn`, nor the next two: each would hold what it waits for twice.
    fn wait<F: Future>(
        &self,
        limit: Instant,
        phase: Phase,
        it: F,
    ) -> impl Future<Output = Result<F::Output, Failure>> + use<F> {
        let (limit, phase) = if self.whole <= limit {
            (self.whole, Phase::Whole)
        } else {
            (limit, phase)
        };
        timeout_at(limit, it).map_err(move |_| Failure::timed_out(phase))
    }

    fn first_byte<F: Future>(
        &self,
        it: F,
    ) -> impl Future<Output = Result<F::Output, Failure>> + use<F> {
        self.wait(self.first_byte, Phase::FirstByte, it)
    }

    fn next_byte<F: Future>(
        &self,
        it: F,
    ) -> impl Future<Output = Result<F::Output, Failure>> + use<F> {
        self.wait(Instant::now() + self.idle, Phase::Idle, it)
    }
}

/// Sends a request and waits until its answer can be delivered.
pub(super) async fn attempt(
    job: &Job,
    sending: Pin<&mut impl Future<Output = Result<Response<Received>, SendError>>>,
    (busy, most): (Busy, u64),
    watch: &mut dyn Watch,
) -> Result<Delivery, Failure> {
    let limits = Limits::of(job, Instant::now());
    let sent = limits.first_byte(sending).await?;
    let answer = sent.map_err(|error| match error {
        SendError::ConnectTimeout => Failure::timed_out(Phase::Connect),
        SendError::Connect(cause) => {
            Failure::without_answer(Class::Unreachable, "no connection").because(cause)
        }
        SendError::Dropped(cause) => {
            let detail = "the connection ended without an answer";
            Failure::without_answer(Class::Dropped, detail).because(cause)
        }
    })?;
    if answer.status() != StatusCode::OK {
        return Err(refusal(job, answer, &limits).await);
    }
    let encoded = answer.headers().get(header::CONTENT_ENCODING);
    if encoded.is_some_and(|encoding| encoding != "identity") {
        // none was asked for
        return Err(Failure::without_answer(
            Class::Nonsense,
            "the answer is compressed",
        ));
    }
    if job.ask.stream {
        stream(job, answer, busy, &limits, watch).await
    } else {
        whole(job, answer, (busy, most), &limits, watch).await
    }
}

/// An answer that is not a success.
async fn refusal(job: &Job, answer: Response<Received>, limits: &Limits) -> Failure {
    let (head, mut body) = answer.into_parts();
    let mut bytes = BytesMut::new();
    while bytes.len() < MAX_ERROR {
        match limits.next_byte(body.frame()).await {
            Ok(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                let room = MAX_ERROR - bytes.len();
                bytes.extend_from_slice(data.get(..room).unwrap_or(&data));
            }
            // an error whose text does not come is still an error
            _ => break,
        }
    }
    Failure::from_answer(head.status, &head.headers, &bytes, needs(job))
}

async fn stream(
    job: &Job,
    answer: Response<Received>,
    busy: Busy,
    limits: &Limits,
    watch: &mut dyn Watch,
) -> Result<Delivery, Failure> {
    let (head, body) = answer.into_parts();
    if !is(&head.headers, "text/event-stream") {
        return Err(not_a_stream(job, body, limits).await);
    }
    let patience = Patience {
        first_event: limits.first_byte,
        idle: limits.idle,
        keep_alive: job.means.config.server.sse_keep_alive,
        whole: limits.whole,
    };
    let events = match job.ask.endpoint.traits().answer {
        Shape::Choices => Events::Chunks {
            wants_usage: job.ask.wants_usage,
        },
        Shape::Members(_) | Shape::Text | Shape::Bytes => Events::Typed,
    };
    let mut relay = Relay::new(body, busy, events, needs(job), patience);
    relay.first(watch).await?;
    Ok(Delivery {
        head: passed(&head.headers),
        answer: Answer::Stream(Box::new(relay)),
    })
}

/// A stream was asked for, and something else came: an error with status 200, or nonsense.
async fn not_a_stream(job: &Job, mut body: Received, limits: &Limits) -> Failure {
    let nonsense =
        Failure::without_answer(Class::Nonsense, "a stream was asked for, and none came");
    match collect(&mut body, MAX_ERROR as u64, limits).await {
        Ok(Collected::All(bytes)) => {
            error::in_answer(&bytes).map_or(nonsense, |body| Failure::from_error(body, needs(job)))
        }
        Ok(Collected::More(_)) => nonsense,
        Err(failure) => failure,
    }
}

async fn whole(
    job: &Job,
    answer: Response<Received>,
    (busy, most): (Busy, u64),
    limits: &Limits,
    watch: &mut dyn Watch,
) -> Result<Delivery, Failure> {
    let (head, mut body) = answer.into_parts();
    let traits = job.ask.endpoint.traits();
    let most = match traits.answer {
        // a player may begin with the first bytes; an error in their place is JSON
        Shape::Bytes if !is(&head.headers, "application/json") => 0,
        _ => most,
    };
    let head = passed(&head.headers);
    match collect(&mut body, most, limits).await? {
        Collected::All(bytes) => {
            check(job, &bytes, watch)?;
            watch.complete();
            Ok(Delivery {
                head,
                answer: Answer::Whole(bytes),
            })
        }
        Collected::More(begun) => {
            watch.first_event();
            let large = Large::new(begun, body, busy, limits.idle, limits.whole);
            let large = large.looking_for(traits.usage);
            Ok(Delivery {
                head,
                answer: Answer::Large(Box::new(large)),
            })
        }
    }
}

/// Is it an answer? Reads its usage on the way.
fn check(job: &Job, bytes: &[u8], watch: &mut dyn Watch) -> Result<(), Failure> {
    let nonsense = |detail| Failure::without_answer(Class::Nonsense, detail);
    let traits = job.ask.endpoint.traits();
    let refused = |otherwise| match error::in_answer(bytes) {
        Some(body) => Failure::from_error(body, needs(job)),
        None => nonsense(otherwise),
    };
    if traits.answer == Shape::Choices {
        let answer = chunk::read(bytes).ok_or(nonsense("the answer is not a JSON object"))?;
        if answer.error.is_some() || answer.choices.shape == Choices::Missing {
            return Err(refused("the answer has no choices"));
        }
        watch.first_event();
        watch.choices(&answer.choices, bytes);
        if let Some(usage) = answer.usage.filter(|usage| *usage != "null") {
            let served = Served {
                tier: answer.service_tier,
                model: answer.model,
            };
            watch.usage(usage, served);
        }
        return Ok(());
    }
    let found = answer::read(bytes, traits.usage);
    match (traits.answer, &found) {
        (_, Some(found)) if found.error => return Err(refused("the answer is an error")),
        (Shape::Members(members), found) => {
            let has = |found: &answer::Found<'_>| found.members.iter().any(|m| members.contains(m));
            if !found.as_ref().is_some_and(has) {
                return Err(refused("the answer has not what was asked for"));
            }
        }
        (Shape::Bytes, _) => return Err(refused("audio was asked for, and none came")),
        // a transcript may be any text
        (Shape::Text | Shape::Choices, _) => {}
    }
    watch.first_event();
    let Some(found) = found else {
        return Ok(());
    };
    watch.items(found.items);
    if let Some(usage) = found.usage {
        watch.usage(&usage, Served::default());
    }
    Ok(())
}

/// The abilities that a request needs, and what the model must be for.
fn needs(job: &Job) -> Caps {
    let needs = &job.ask.needs;
    needs.caps.with(needs.purpose)
}

/// A body, or the beginning of one that is too large to be held.
enum Collected {
    All(Bytes),
    More(VecDeque<Bytes>),
}

async fn collect(body: &mut Received, most: u64, limits: &Limits) -> Result<Collected, Failure> {
    let mut frames: VecDeque<Bytes> = VecDeque::new();
    let mut length = 0_u64;
    loop {
        let frame = if frames.is_empty() {
            limits.first_byte(body.frame()).await?
        } else {
            limits.next_byte(body.frame()).await?
        };
        match frame {
            None => return Ok(Collected::All(joined(frames, length))),
            Some(Err(_)) => {
                return Err(Failure::without_answer(
                    Class::Dropped,
                    "the answer broke off",
                ));
            }
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                length += data.len() as u64;
                frames.push_back(data);
                if length > most {
                    return Ok(Collected::More(frames));
                }
            }
        }
    }
}

/// One piece of several; a single one is not copied.
fn joined(mut frames: VecDeque<Bytes>, length: u64) -> Bytes {
    if frames.len() == 1 {
        return frames.pop_front().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(usize::try_from(length).unwrap_or(0));
    for frame in frames {
        all.extend_from_slice(&frame);
    }
    all.freeze()
}

fn is(headers: &HeaderMap, content_type: &str) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    value.is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case(content_type)
    })
}

fn passed(headers: &HeaderMap) -> Head {
    let mut kept = HeaderMap::with_capacity(ANSWERED);
    for name in PASSED {
        if let Some(value) = headers.get(&name) {
            kept.insert(name, value.clone());
        }
    }
    Head { headers: kept }
}
