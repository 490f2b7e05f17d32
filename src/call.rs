//! Call: asks the planned backends in turn until one's answer can be delivered.
//!
//! `attempt` makes one call, `failure` says what a failed one means, `judge` what is done about
//! it; this file only obeys. After the first byte of an answer has gone to the client nothing is
//! repeated: `relay` and `large` then carry the answer to its end.

mod attempt;
mod batch;
pub mod client;
pub mod failure;
pub mod judge;
pub mod large;
mod means;
pub mod pool;
pub mod relay;
mod send;
pub mod upstream;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use tower::retry::budget::Budget;

use self::{
    failure::{Class, Failure, Phase},
    judge::{Step, Turn},
    large::Large,
    pool::{Taken, Tried},
    relay::Relay,
};
use crate::{
    admit::{
        limits::Denied,
        purse::{NoMoney, Overdrawn, Whose},
    },
    caps::Cap,
    config::{Backend, Provider},
    money::Usd,
    route::{
        Candidate, Plan, Reason,
        health::{DownReason, Pass, Standing, Verdict},
    },
    understand::Ask,
    wire::openai::{chunk::Choices, error::ErrorBody},
};

pub use self::means::Means;

/// How long a stream may take to its first event, unless the configuration says otherwise.
pub const FIRST_EVENT: Duration = Duration::from_secs(120);
/// The longest pause before the same backend is asked once more.
const LONGEST_PAUSE_MS: u32 = 500;

/// Nobody is on the list.
const NO_BACKEND: CallError = CallError::Failed {
    status: None,
    detail: "no backend is left",
    sent: false,
};

/// One request to be served.
#[derive(Debug)]
pub struct Job {
    pub means: Arc<Means>,
    pub plan: Arc<Plan>,
    pub ask: Ask,
    /// Headers of the client that are passed on.
    pub forwarded: HeaderMap,
    /// Its conversation, which goes to the same replica as long as that is not busier than others.
    pub conversation: Option<u64>,
    /// When the request ends.
    pub deadline: Instant,
}

/// An answer that can be delivered.
#[derive(Debug)]
pub struct Delivery {
    pub head: Head,
    pub answer: Answer,
}

/// What the backend's head said that the client may know.
#[derive(Debug)]
pub struct Head {
    pub headers: HeaderMap,
}

/// The answer itself.
#[derive(Debug)]
pub enum Answer {
    Whole(Bytes),
    Large(Box<Large>),
    Stream(Box<Relay>),
}

/// What an attempt may use.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowance {
    /// The longest output that there is money for, of each choice, where that is less than what the
    /// backend could write.
    pub max_output: Option<u64>,
}

/// Why a backend is passed over that could be asked otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Barred {
    #[error(transparent)]
    Limited(#[from] Denied),
    #[error(transparent)]
    Unaffordable(NoMoney),
    /// It may cost more than what is left of the most that the request may cost.
    #[error(transparent)]
    TooDear(TooDear),
}

/// What a call may cost, and what it is allowed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the request may cost {worst} USD, and {left} USD are left of the {most} USD that it is allowed"
)]
pub struct TooDear {
    pub worst: Usd,
    pub left: Usd,
    pub most: Usd,
}

/// What an answer says of how it was served, as JSON texts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Served<'a> {
    pub tier: Option<&'a str>,
    pub model: Option<&'a str>,
}

/// Who keeps account of a request while it is called. Every method only takes note.
pub trait Watch: Send {
    /// Takes the limits of the model and the provider, and the caller's money, for one attempt.
    ///
    /// # Errors
    /// If one of them does not allow it; nothing is taken then.
    fn enter(&mut self, candidate: &Candidate) -> Result<Allowance, Barred>;
    /// An attempt begins.
    fn begin(&mut self, candidate: &Candidate);
    /// The next call is one of several parts: so many inputs of all.
    fn part(&mut self, inputs: u64, of: u64);
    /// A part has been answered, and another one follows.
    fn part_done(&mut self);
    /// The attempt failed.
    fn failed(&mut self, candidate: &Candidate, failure: &Failure);
    /// Another attempt will be made: of the same backend, or of the next one.
    fn retry(&mut self, same: bool);
    /// The first event, or the first byte of a whole answer, has come.
    fn first_event(&mut self);
    /// So many bytes of generated text have come.
    fn output(&mut self, bytes: u64);
    /// A chunk of an answer of choices has come, or a whole one, with what it says of itself.
    fn choices(&mut self, choices: &Choices, json: &[u8]);
    /// A whole answer has so many items: images, vectors, results.
    fn items(&mut self, number: u64);
    /// Usage has come; the price of it, as a JSON value for the client.
    fn usage(&mut self, raw: &str, served: Served<'_>) -> String;
    /// The answer is complete.
    fn complete(&mut self);
}

/// Why no answer can be delivered.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The client's fault: passed on.
    #[error("the backend refused the request")]
    Rejected {
        status: StatusCode,
        body: Box<ErrorBody>,
    },
    #[error("the request is too long for every backend that was asked")]
    ContextTooLong { body: Option<Box<ErrorBody>> },
    #[error("no backend can do what the request needs: {}", lacks.as_str())]
    Incapable {
        lacks: Cap,
        body: Option<Box<ErrorBody>>,
    },
    #[error("the request took too long: {}", phase.as_str())]
    TimedOut { phase: Phase },
    /// The last of several failures.
    #[error("no backend answered: {detail}{}", in_brackets(*status))]
    Failed {
        status: Option<StatusCode>,
        detail: &'static str,
        /// Did a backend get the request?
        sent: bool,
    },
    /// It has waited for this request as long as it may.
    #[error("the gateway is being stopped")]
    Stopping,
    #[error(transparent)]
    Limited(Denied),
    #[error("{0}")]
    OverBudget(Box<Overdrawn>),
    #[error("what {whose} has spent is not known yet, as the ledger can't be read; try again")]
    SpendingUnknown { whose: Whose },
    #[error(transparent)]
    TooDear(TooDear),
    /// After the first byte had gone to the client.
    #[error("the stream broke off: {detail}")]
    Broken {
        body: Option<Box<ErrorBody>>,
        detail: &'static str,
    },
}

fn in_brackets(status: Option<StatusCode>) -> String {
    status.map_or_else(String::new, |status| format!(" ({})", status.as_u16()))
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        let Failure {
            class,
            status,
            body,
            detail,
            cause: _,
        } = failure;
        match class {
            Class::Rejected => Self::Rejected {
                status: status.unwrap_or(StatusCode::BAD_REQUEST),
                body: body.unwrap_or_default(),
            },
            Class::ContextTooLong => Self::ContextTooLong { body },
            Class::Incapable(lacks) => Self::Incapable { lacks, body },
            Class::TimedOut(phase) => Self::TimedOut { phase },
            Class::Refused(reason) => Self::Failed {
                status,
                sent: true,
                detail: match reason {
                    DownReason::KeyRefused => "the last one refuses our key",
                    DownReason::OutOfMoney => "the last one is out of money",
                    DownReason::ModelUnknown => "the last one does not know the model",
                },
            },
            Class::Unreachable
            | Class::Dropped
            | Class::Transient
            | Class::Busy { .. }
            | Class::Nonsense => Self::Failed {
                status,
                detail,
                sent: class != Class::Unreachable,
            },
        }
    }
}

/// How far a request has come.
#[derive(Debug, Default)]
struct Course {
    /// The candidate whose turn it is.
    next: usize,
    attempts: u32,
    /// The replica that has failed, where the same backend is asked once more.
    replica: Option<usize>,
    /// Has it waited for as long as this backend asked?
    waited: bool,
    /// Keys of this backend's provider that have failed.
    tried: Tried,
    /// Answers of this backend to the first parts of a request that is split.
    parts: Vec<Bytes>,
    /// The last failure.
    failure: Option<Failure>,
    /// Did a backend get the request?
    sent: bool,
    /// Why candidates were passed over.
    barred: Option<Barred>,
}

/// A candidate that may be called.
struct Entered<'a> {
    pass: Option<Pass<'a>>,
    allowance: Allowance,
}

/// What a candidate is called with.
struct Called<'a> {
    provider: &'a Provider,
    backend: &'a Backend,
    key: Option<&'a Taken<'a>>,
    allowance: Allowance,
}

/// An attempt that failed.
struct Missed {
    failure: Failure,
    replica: usize,
    /// Was it about one key alone, and is there another?
    other_key: bool,
}

/// Serves a request.
///
/// # Errors
/// If no attempt led to an answer, or the request itself is at fault.
pub async fn run(job: &Job, watch: &mut dyn Watch) -> Result<Delivery, CallError> {
    job.means.budget.deposit();
    let mut course = Course::default();
    while let Some(called) = job.candidate(course.next) {
        let entered = match job.enter(course.next, course.waited, watch) {
            Ok(entered) => entered,
            // passed over, as if it had not been on the list
            Err(why) => {
                course.barred = told(course.barred, why);
                match job.after(course.next, None) {
                    Some((onward, _)) => {
                        course.turn_to(onward);
                        continue;
                    }
                    None => return Err(nobody(course.failure, course.barred, course.sent)),
                }
            }
        };
        let missed = match job.call(called, entered, &mut course, watch).await {
            Ok(delivery) => return Ok(delivery),
            Err(missed) => missed,
        };
        let step = job.step(&course, &missed);
        let onward = match step {
            Step::SameSoon => Some((course.next, pause())),
            Step::SameAfter(wait) => Some((course.next, wait)),
            Step::OtherKey => Some((course.next, Duration::ZERO)),
            Step::Next => job.after(course.next, None),
            Step::NextLarger => job.after(course.next, called.2.context),
            Step::Fail => None,
        };
        // a key that was refused has cost nobody any work, and there are only so many attempts
        let free = step == Step::OtherKey;
        let allowed = |_: &_| free || job.means.budget.withdraw();
        let Some((onward, wait)) = onward.filter(allowed) else {
            return Err(given_up(missed.failure, course.sent));
        };
        watch.retry(onward == course.next);
        if tokio::time::timeout_at(job.deadline, tokio::time::sleep(wait))
            .await
            .is_err()
        {
            return Err(CallError::TimedOut {
                phase: Phase::Whole,
            });
        }
        course.go_on(step, onward, missed);
    }
    Err(NO_BACKEND)
}

impl Course {
    /// The next one is another candidate.
    fn turn_to(&mut self, next: usize) {
        self.next = next;
        self.replica = None;
        self.waited = false;
        self.tried = Tried::default();
        self.parts.clear();
    }

    fn go_on(&mut self, step: Step, next: usize, missed: Missed) {
        match step {
            // as if the attempt with the other key had not been
            Step::OtherKey => {}
            Step::SameSoon | Step::SameAfter(_) => {
                self.replica = Some(missed.replica);
                self.waited = matches!(step, Step::SameAfter(_));
                if self.waited {
                    self.tried = Tried::default();
                }
            }
            Step::Next | Step::NextLarger | Step::Fail => self.turn_to(next),
        }
        self.failure = Some(missed.failure);
    }
}

/// The error after the last attempt; `any_sent`: did a backend get the request in any of them?
fn given_up(failure: Failure, any_sent: bool) -> CallError {
    match CallError::from(failure) {
        CallError::Failed { status, detail, .. } => CallError::Failed {
            status,
            detail,
            sent: any_sent,
        },
        other => other,
    }
}

impl Job {
    fn candidate(&self, index: usize) -> Option<(Candidate, &Provider, &Backend)> {
        let candidate = *self.plan.candidates.get(index)?;
        let backend = self.means.config.backends.get(candidate.backend)?;
        Some((
            candidate,
            self.means.config.providers.get(backend.provider)?,
            backend,
        ))
    }

    /// Begins a call to a candidate, unless it is left alone or has no room since the plan was
    /// made. It is not left alone where that was known when the plan was made, where it said itself
    /// to come back now, or where there is nobody else.
    fn enter(
        &self,
        index: usize,
        waited: bool,
        watch: &mut dyn Watch,
    ) -> Result<Entered<'_>, Option<Barred>> {
        let Some(candidate) = self.plan.candidates.get(index) else {
            return Err(None);
        };
        let pass = match self.means.live.get(candidate.backend) {
            None => None,
            Some(live) => {
                let insists = waited || !self.has_others(index);
                Some(
                    live.health
                        .enter(self.means.now_ms(), insists)
                        .ok_or(None)?,
                )
            }
        };
        let allowance = watch.enter(candidate)?;
        Ok(Entered { pass, allowance })
    }

    /// Makes one attempt, and notes what its end says of the backend and of the key.
    async fn call<'a>(
        &'a self,
        (candidate, provider, backend): (Candidate, &'a Provider, &'a Backend),
        Entered { pass, allowance }: Entered<'a>,
        course: &mut Course,
        watch: &mut dyn Watch,
    ) -> Result<Delivery, Missed> {
        course.attempts += 1;
        let means = &*self.means;
        let key = self.key(backend, course.tried);
        let called = Called {
            provider,
            backend,
            key: key.as_ref(),
            allowance,
        };
        let (replica, outcome) = self.attempt(&candidate, &called, course, watch).await;
        let mut failure = match outcome {
            Ok(delivery) => {
                if let Some(key) = key {
                    means.key_works(provider, key);
                }
                means.end(candidate.backend, pass, Verdict::Succeeded);
                return Ok(delivery);
            }
            Err(failure) => failure,
        };
        course.sent |= failure.class != Class::Unreachable;
        watch.failed(&candidate, &failure);
        let fails = |key| means.key_fails(provider, key, &mut failure, &mut course.tried);
        let other_key = key.is_some_and(fails);
        let verdict = if other_key {
            Verdict::Neither
        } else {
            failure.verdict(course.attempts == 1)
        };
        means.end(candidate.backend, pass, verdict);
        Err(Missed {
            failure,
            replica,
            other_key,
        })
    }

    /// What is done about a failed attempt.
    fn step(&self, course: &Course, missed: &Missed) -> Step {
        let retries = &self.means.config.retries;
        let turn = Turn {
            attempts: course.attempts,
            same_tried: course.replica.is_some(),
            other_key: missed.other_key,
            max_attempts: retries.attempts,
            max_wait: retries.max_wait,
            after_send: retries.after_send,
        };
        match judge::judge(&missed.failure, &turn) {
            // this failure was one too many
            Step::SameSoon if self.gives_up(course.next) => Step::Next,
            Step::OtherKey | Step::SameSoon | Step::SameAfter(_) if self.is_kept(course) => {
                Step::Next
            }
            step => step,
        }
    }

    /// Is the one attempt that is left kept for the next candidate? It is where keys have failed:
    /// those of one account often share their limit.
    fn is_kept(&self, course: &Course) -> bool {
        let one_left = course.attempts.saturating_add(1) == self.means.config.retries.attempts;
        one_left && course.tried != Tried::default() && self.has_others(course.next)
    }

    /// The key for the next call, where the provider has several.
    fn key(&self, backend: &Backend, tried: Tried) -> Option<Taken<'_>> {
        let pool = self.means.upstreams.get(backend.provider)?.pool()?;
        pool.take(tried, self.means.now_ms())
    }

    /// Is a candidate left alone now, and another one to be asked instead?
    fn gives_up(&self, index: usize) -> bool {
        let candidate = self.plan.candidates.get(index);
        let live = candidate.and_then(|candidate| self.means.live.get(candidate.backend));
        let standing = live.map(|live| live.standing(self.means.now_ms()));
        let left_alone = |standing| !matches!(standing, Standing::Up | Standing::Trial);
        standing.is_some_and(left_alone) && self.has_others(index)
    }

    /// Is there another candidate, and one that was known to be up?
    fn has_others(&self, index: usize) -> bool {
        self.plan.reason != Reason::LastResort && self.after(index, None).is_some()
    }

    /// The candidate after `index`, with a context larger than `than` where one is given.
    fn after(&self, index: usize, than: Option<u64>) -> Option<(usize, Duration)> {
        let larger = |index: &usize| match (than, self.candidate(*index)) {
            (Some(than), Some((_, _, backend))) => backend.context.is_none_or(|has| has > than),
            (_, found) => found.is_some(),
        };
        let mut rest = index + 1..self.plan.candidates.len();
        rest.find(larger).map(|index| (index, Duration::ZERO))
    }
}

/// What the client is told of two reasons to pass over: a limit is over soon, a budget is not.
fn told(before: Option<Barred>, now: Option<Barred>) -> Option<Barred> {
    match (before, now) {
        (
            Some(Barred::Unaffordable(_) | Barred::TooDear(_)) | None,
            Some(Barred::Limited(denied)),
        ) => Some(Barred::Limited(denied)),
        (before, now) => before.or(now),
    }
}

/// Why nobody is left to be asked.
fn nobody(last: Option<Failure>, barred: Option<Barred>, any_sent: bool) -> CallError {
    match (last, barred) {
        (Some(failure), _) => given_up(failure, any_sent),
        (None, Some(Barred::Limited(denied))) => CallError::Limited(denied),
        (None, Some(Barred::Unaffordable(NoMoney::Overdrawn(overdrawn)))) => {
            CallError::OverBudget(overdrawn)
        }
        (None, Some(Barred::Unaffordable(NoMoney::Unknown { whose }))) => {
            CallError::SpendingUnknown { whose }
        }
        (None, Some(Barred::TooDear(dear))) => CallError::TooDear(dear),
        (None, None) => NO_BACKEND,
    }
}

/// A random pause, so that clients of a backend that stumbled do not all come back at once.
fn pause() -> Duration {
    let random = getrandom::u32().unwrap_or_default();
    Duration::from_millis(u64::from(random % LONGEST_PAUSE_MS))
}

/// The price of nothing, as the client sees it.
#[must_use]
pub fn as_json(cost: Option<Usd>) -> String {
    match cost {
        Some(cost) => ["\"", &cost.text(), "\""].concat(),
        None => "null".to_owned(),
    }
}
