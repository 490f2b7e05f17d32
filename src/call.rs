//! Call: asks the planned backends in turn until one's answer can be delivered.
//!
//! `attempt` makes one call, `failure` says what a failed one means, `judge` what is done about
//! it; this file only obeys. After the first byte of an answer has gone to the client nothing is
//! repeated: `relay` and `large` then carry the answer to its end.

mod attempt;
pub mod client;
pub mod failure;
pub mod judge;
pub mod large;
pub mod relay;
pub mod upstream;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;
use tower::retry::budget::{Budget, TpsBudget};

use self::{
    client::Client,
    failure::{Class, Failure, Phase},
    judge::{Step, Turn},
    large::Large,
    relay::Relay,
    upstream::Upstream,
};
use crate::{
    admit::{
        limits::Denied,
        purse::{NoMoney, Overdrawn},
    },
    caps::Cap,
    config::{Backend, Config, Provider},
    learn::Lengths,
    money::Usd,
    route::{
        Candidate, Plan, Reason,
        health::{Change, DownReason, Pass, Standing, Verdict},
        live::Live,
    },
    understand::Ask,
    wire::openai::error::ErrorBody,
};

/// How long a stream may take to its first event, unless the configuration says otherwise.
pub const FIRST_EVENT: Duration = Duration::from_secs(120);
/// The longest pause before the same backend is asked once more.
const LONGEST_PAUSE_MS: u32 = 500;
/// Retries a second that are allowed whatever the load.
const FREE_RETRIES: u32 = 10;

/// Nobody is on the list.
const NO_BACKEND: CallError = CallError::Failed {
    status: None,
    detail: "no backend is left",
    sent: false,
};

/// What calls are made with; one for each loaded configuration.
#[derive(Debug)]
pub struct Means {
    pub config: Arc<Config>,
    pub client: Client,
    /// In the order of `config.providers`.
    pub upstreams: Vec<Upstream>,
    /// In the order of `config.backends`.
    pub live: Vec<Arc<Live>>,
    /// In the order of `config.models`.
    pub lengths: Vec<Arc<Lengths>>,
    /// Keeps retries from multiplying the load of a failing backend.
    pub budget: TpsBudget,
    /// Where the clock of `live` begins.
    pub epoch: Instant,
}

/// One request to be served.
#[derive(Debug)]
pub struct Job {
    pub means: Arc<Means>,
    pub plan: Plan,
    pub ask: Ask,
    /// Headers of the client that are passed on.
    pub forwarded: HeaderMap,
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
    /// The attempt failed.
    fn failed(&mut self, candidate: &Candidate, failure: &Failure);
    /// Another attempt will be made: of the same backend, or of the next one.
    fn retry(&mut self, same: bool);
    /// The first event, or the first byte of a whole answer, has come.
    fn first_event(&mut self);
    /// So many bytes of generated text have come.
    fn output(&mut self, bytes: u64);
    /// Usage has come; the price of it, as a JSON value for the client.
    fn usage(&mut self, raw: &str, service_tier: Option<&str>) -> String;
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
    #[error(
        "what the key `{key}` has spent is not known yet, as the ledger can't be read; try again"
    )]
    SpendingUnknown { key: Arc<str> },
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

impl Means {
    /// Milliseconds on the clock of `live`.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A call has ended: what that says of its backend's health.
    fn end(&self, backend: usize, pass: Option<Pass<'_>>, verdict: Verdict) {
        let change = pass.and_then(|pass| pass.end(verdict, self.now_ms(), &self.config.breaker));
        self.tell(backend, change);
    }

    /// An answer broke off after it had begun, on a call that was begun at `began_ms`.
    pub fn broke(&self, backend: usize, began_ms: u64, failure: &Failure) {
        let live = self.live.get(backend);
        let Some(live) = live.filter(|_| failure.verdict(false) == Verdict::Failed) else {
            return;
        };
        let change = live
            .health
            .broke(began_ms, self.now_ms(), &self.config.breaker);
        self.tell(backend, change);
    }

    fn tell(&self, backend: usize, change: Option<Change>) {
        let backend = self.config.backends.get(backend).map_or("", |b| &*b.name);
        match change {
            None => {}
            Some(Change::Opened { failures, for_ms }) => {
                tracing::warn!(
                    backend,
                    failures,
                    for_ms,
                    "backend failed too often: left alone"
                );
            }
            Some(Change::Down(reason)) => {
                tracing::error!(backend, reason = reason.as_str(), "backend is down");
            }
            Some(Change::Back) => tracing::info!(backend, "backend is back"),
        }
    }

    /// The retry budget of a configuration.
    #[must_use]
    pub fn budget(config: &Config) -> TpsBudget {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share of at most 1000 permille"
        )]
        let share = config.retries.budget_permille.min(1_000) as f32 / 1_000.0;
        TpsBudget::new(Duration::from_secs(1), FREE_RETRIES, share)
    }
}

/// Serves a request.
///
/// # Errors
/// If no attempt led to an answer, or the request itself is at fault.
pub async fn run(job: &Job, watch: &mut dyn Watch) -> Result<Delivery, CallError> {
    job.means.budget.deposit();
    let mut next = 0;
    let mut attempts = 0;
    let mut last_replica = None;
    let mut waited = false;
    let mut last: Option<Failure> = None;
    let mut sent = false;
    let mut barred = None;
    while let Some((candidate, _, backend)) = job.candidate(next) {
        let (entered, allowance) = match job.enter(next, waited, watch) {
            Ok(entered) => entered,
            // passed over, as if it had not been on the list
            Err(why) => {
                barred = told(barred, why);
                match job.after(next, None) {
                    Some((onward, _)) => {
                        (next, last_replica, waited) = (onward, None, false);
                        continue;
                    }
                    None => return Err(nobody(last, barred, sent)),
                }
            }
        };
        attempts += 1;
        let (replica, outcome) = job
            .attempt(&candidate, last_replica, allowance, watch)
            .await;
        let failure = match outcome {
            Ok(delivery) => {
                job.means
                    .end(candidate.backend, entered, Verdict::Succeeded);
                return Ok(delivery);
            }
            Err(failure) => failure,
        };
        sent |= failure.class != Class::Unreachable;
        watch.failed(&candidate, &failure);
        let verdict = failure.verdict(attempts == 1);
        job.means.end(candidate.backend, entered, verdict);
        let retries = &job.means.config.retries;
        let turn = Turn {
            attempts,
            same_tried: last_replica.is_some(),
            max_attempts: retries.attempts,
            max_wait: retries.max_wait,
            after_send: retries.after_send,
        };
        let step = match judge::judge(&failure, &turn) {
            // this failure was one too many
            Step::SameSoon if job.gives_up(next) => Step::Next,
            step => step,
        };
        waited = matches!(step, Step::SameAfter(_));
        let onward = match step {
            Step::SameSoon => Some((next, pause())),
            Step::SameAfter(wait) => Some((next, wait)),
            Step::Next => job.after(next, None),
            Step::NextLarger => job.after(next, backend.context),
            Step::Fail => None,
        };
        let Some((onward, wait)) = onward.filter(|_| job.means.budget.withdraw()) else {
            return Err(given_up(failure, sent));
        };
        let same = onward == next;
        watch.retry(same);
        if tokio::time::timeout_at(job.deadline, tokio::time::sleep(wait))
            .await
            .is_err()
        {
            return Err(CallError::TimedOut {
                phase: Phase::Whole,
            });
        }
        last_replica = same.then_some(replica);
        last = Some(failure);
        next = onward;
    }
    Err(NO_BACKEND)
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
    ) -> Result<(Option<Pass<'_>>, Allowance), Option<Barred>> {
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
        Ok((pass, allowance))
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

    async fn attempt(
        &self,
        candidate: &Candidate,
        avoid: Option<usize>,
        allowance: Allowance,
        watch: &mut dyn Watch,
    ) -> (usize, Result<Delivery, Failure>) {
        let broken = || Failure::without_answer(Class::Unreachable, "the provider has no address");
        let config = &self.means.config;
        let backend = config.backends.get(candidate.backend);
        let found = backend.and_then(|b| Some((b, config.providers.get(b.provider)?)));
        let Some((backend, provider)) = found else {
            return (0, Err(broken()));
        };
        let upstream = self.means.upstreams.get(backend.provider);
        let Some((upstream, busy)) = upstream.and_then(|u| Some((u, u.least_busy(avoid)?))) else {
            return (0, Err(broken()));
        };
        let replica = busy.replica;
        let body = upstream::body_for(&self.ask, provider, backend, allowance.max_output);
        let Some(request) = upstream.prepare(&busy, &self.ask, &self.forwarded, &body) else {
            return (replica, Err(broken()));
        };
        watch.begin(candidate);
        (replica, attempt::attempt(self, &request, busy, watch).await)
    }
}

/// What the client is told of two reasons to pass over: a limit is over soon, a budget is not.
fn told(before: Option<Barred>, now: Option<Barred>) -> Option<Barred> {
    match (before, now) {
        (Some(Barred::Unaffordable(_)) | None, Some(Barred::Limited(denied))) => {
            Some(Barred::Limited(denied))
        }
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
        (None, Some(Barred::Unaffordable(NoMoney::Unknown { key }))) => {
            CallError::SpendingUnknown { key }
        }
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
    cost.map_or_else(|| "null".to_owned(), |cost| format!("\"{cost}\""))
}
