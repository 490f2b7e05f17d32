//! The hallway: the path of one request, a line for each stage.

mod headers;
mod limits;
pub mod stream;
mod warning;

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, uri::Authority};
use jiff::Timestamp;
use tokio::{sync::Notify, time::Instant};

use self::stream::{Link, StreamBody};
use crate::{
    admit::room::Held,
    authenticate::Principal,
    call::{self, Answer, CallError, Delivery, Job, upstream},
    error::{BodyError, GatewayError},
    route::{Plan, Question, explain},
    settle::{Account, Opening, Outcome},
    spending,
    state::{self, App, World},
    understand::{self, Endpoint},
};

/// A request whose body has not been read yet.
#[derive(Debug)]
pub struct Incoming<B> {
    pub request_id: Arc<str>,
    pub endpoint: Endpoint,
    /// Who calls, where that is known already; `None`: the headers say it.
    pub caller: Option<Arc<Principal>>,
    pub method: Method,
    /// Of the request's URI, if it has one.
    pub authority: Option<Authority>,
    pub headers: HeaderMap,
    /// Reads the body; the memory it takes is given back with `Held`.
    pub body: B,
    /// When the head had come.
    pub started: Instant,
    /// Told when the client's connection must end after this answer.
    pub closer: Arc<Notify>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub headers: HeaderMap,
    pub body: ReplyBody,
}

/// The body of an answer.
#[derive(Debug)]
pub enum ReplyBody {
    Whole(Bytes),
    Stream(Box<StreamBody>),
}

/// An answer that could not be given.
#[derive(Debug)]
pub struct Failed {
    pub error: GatewayError,
    /// What is told of it beside the error.
    pub headers: Box<HeaderMap>,
}

/// Serves one request: authenticate, admit, understand, route, call, settle.
///
/// # Errors
/// If there is no answer; the account of the request is closed either way.
pub async fn serve_one<B>(app: &App, incoming: Incoming<B>) -> Result<Reply, Failed>
where
    B: Future<Output = Result<(Bytes, Held), BodyError>>,
{
    let world = app.world();
    let opening = Opening {
        request_id: Arc::clone(&incoming.request_id),
        endpoint: incoming.endpoint,
        started: incoming.started,
        ledger: app.sink(),
        exams: app.learning.as_ref().and_then(|learning| learning.exams()),
        strangers: Arc::clone(&app.strangers),
    };
    let mut account = Account::open(
        Arc::clone(&app.metrics),
        Arc::clone(&world.means),
        Arc::clone(&world.limits),
        opening,
    )
    .kept_in(&app.decisions);
    let link = Link {
        closer: Arc::clone(&incoming.closer),
        ending: app.ending(),
    };
    match prepare(app, &world, incoming, &mut account).await {
        Ok((job, held)) => deliver(job, held, account, link).await,
        Err(error) => Err(failed(error, account)),
    }
}

/// Everything before the first call: nothing here waits but for the client's body, and once for a key
/// that has not called before and for what was spent of its budgets.
async fn prepare<B>(
    app: &App,
    world: &World,
    incoming: Incoming<B>,
    account: &mut Account,
) -> Result<(Arc<Job>, Held), GatewayError>
where
    B: Future<Output = Result<(Bytes, Held), BodyError>>,
{
    let Incoming {
        caller,
        method,
        authority,
        headers,
        endpoint,
        started,
        body,
        ..
    } = incoming;
    let principal = match caller {
        Some(known) => known,
        None => {
            let authority = authority.as_ref();
            app.identify(world, &method, authority, &headers).await?
        }
    };
    let holder = world.holder(&principal, Timestamp::now());
    account.caller(&principal, holder.clone());
    account.recordable()?;
    account.enter()?;
    account.wait();
    let (body, held) = body.await?;
    account.resume();
    let ask = understand::read(endpoint, body, &headers)?;
    account.asked(&ask);
    let target = world.names.find(&ask.model);
    account.aims(target);
    let paying = world.paying(holder.as_deref(), target);
    spending::know(app, paying.iter()).await;
    let reading = world.judge.reading(&world.config, target, &ask);
    let now_ms = world.means.now_ms();
    let conversation = state::conversation(&principal, &ask);
    let pin = conversation.and_then(|number| world.means.conversations.find(number, now_ms));
    account.converses(conversation, pin.as_ref());
    let together = world.keeps_together(target);
    let at = Timestamp::now();
    let question = Question {
        config: &world.config,
        names: &world.names,
        principal: &principal,
        model: &ask.model,
        needs: &ask.needs,
        schemas: &ask.schemas,
        recount: &ask.recount,
        domain: world.judge.domain(ask.domain, reading.as_ref()),
        judge: &world.judge,
        reading: reading.as_ref(),
        learned: world.learned(&principal, at),
        pin: pin.as_ref().filter(|_| together),
        narrow: &ask.narrow,
        budgeted: !paying.is_empty(),
        tier: ask.tier,
        at,
    };
    let plan = decide(app, world, &question, now_ms, account)?;
    if plan.weighs_quality && world.config.evidence.verify {
        account.watches(&ask);
    }
    account.pays(paying);
    account.hold(&plan)?;
    let deadline = started + world.config.server.request_timeout;
    let forwarded = upstream::forwarded(&headers);
    let job = Job {
        means: Arc::clone(&world.means),
        plan,
        ask,
        forwarded,
        conversation: conversation.filter(|_| together),
        deadline,
    };
    // it goes from hand to hand, and is too large to be copied
    Ok((Arc::new(job), held))
}

/// Decides whom to ask. One of so many decisions is kept with all that it was taken on.
fn decide(
    app: &App,
    world: &World,
    question: &Question<'_>,
    now_ms: u64,
    account: &mut Account,
) -> Result<Arc<Plan>, GatewayError> {
    let outcome = if app.keeps_decision(world.config.evidence.decisions) {
        let (outcome, record) = world.plan_on_record(question, now_ms);
        account.decided(&record);
        outcome
    } else {
        world.plan(question, now_ms)
    };
    match outcome {
        Ok(plan) => {
            let plan = Arc::new(plan);
            account.planned(&plan);
            Ok(plan)
        }
        Err(error) => {
            account.unplanned(&error);
            let detail = explain::refusals(&world.config, error.refused());
            Err(GatewayError::Route { error, detail })
        }
    }
}

/// Calls, and answers with what comes.
async fn deliver(
    job: Arc<Job>,
    held: Held,
    mut account: Box<Account>,
    link: Link,
) -> Result<Reply, Failed> {
    if job.ask.stream && !job.means.config.server.sse_keep_alive.is_zero() {
        return deliver_in_time(job, held, account, link).await;
    }
    let outcome = {
        let call = pin!(call::run(&job, &mut *account));
        Link::unless_ending(&link.ending, call).await
    };
    drop(held);
    answer(&job, outcome, account, link)
}

/// The same for a stream. One whose first event is late is answered before it is there, so that
/// nothing between us and the client takes the silence for a dead connection.
async fn deliver_in_time(
    job: Arc<Job>,
    held: Held,
    mut account: Box<Account>,
    link: Link,
) -> Result<Reply, Failed> {
    let keep_alive = job.means.config.server.sse_keep_alive;
    let running = {
        let (job, ending) = (Arc::clone(&job), Arc::clone(&link.ending));
        async move {
            let outcome = {
                let call = pin!(call::run(&job, &mut *account));
                Link::unless_ending(&ending, call).await
            };
            drop(held);
            (outcome, account)
        }
    };
    let mut running: stream::Running = Box::pin(running);
    match tokio::time::timeout(keep_alive, &mut running).await {
        Ok((outcome, account)) => answer(&job, outcome, account, link),
        Err(_) => Ok(early(&job, running, keep_alive, link)),
    }
}

/// The reply to what the call led to.
fn answer(
    job: &Job,
    outcome: Result<Delivery, CallError>,
    mut account: Box<Account>,
    link: Link,
) -> Result<Reply, Failed> {
    let Delivery { head, answer } = match outcome {
        Ok(delivery) => delivery,
        Err(error) => return Err(failed(error.into(), account)),
    };
    let mut headers = head.headers;
    let whole = matches!(answer, Answer::Whole(_));
    headers::describe(&mut headers, job, &account, whole);
    account.head_leaves();
    let body = match answer {
        Answer::Whole(bytes) => {
            account.close(200, Outcome::Ok, "");
            ReplyBody::Whole(bytes)
        }
        Answer::Stream(relay) => {
            headers::stream(&mut headers);
            ReplyBody::Stream(Box::new(StreamBody::relaying(relay, account, link)))
        }
        Answer::Large(large) => {
            ReplyBody::Stream(Box::new(StreamBody::large(large, account, link)))
        }
    };
    Ok(Reply { headers, body })
}

/// The reply to a stream whose first event has not come yet.
fn early(job: &Arc<Job>, running: stream::Running, keep_alive: Duration, link: Link) -> Reply {
    let mut headers = HeaderMap::new();
    headers::stream(&mut headers);
    headers::expect(&mut headers, job);
    let body = StreamBody::waiting(running, Arc::clone(job), keep_alive, link);
    Reply {
        headers,
        body: ReplyBody::Stream(Box::new(body)),
    }
}

/// Closes the account of a request that gets no answer.
fn failed(error: GatewayError, mut account: Box<Account>) -> Failed {
    account.head_leaves();
    let mut headers = HeaderMap::new();
    if account.attempts() > 0 {
        headers::attempts(&mut headers, account.attempts());
    }
    if error.is_of_limits() {
        account.give_back();
    }
    limits::describe(&mut headers, account.levels());
    let status = error.public().status.as_u16();
    account.close(status, error.outcome(), &error.to_string());
    Failed {
        error,
        headers: Box::new(headers),
    }
}
