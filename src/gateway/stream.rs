//! The body of an answer that leaves while it comes. It owns the account of its request: the end,
//! an error and a client that leaves all close it here.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::{
    sync::Notify,
    time::{Instant, Sleep},
};

use crate::{
    call::{
        Answer, CallError, Delivery, Job, Watch,
        failure::{Class, Failure},
        large::Large,
        relay::Relay,
    },
    error::GatewayError,
    settle::{Account, Outcome},
    wire::sse,
};

/// A call that is still under way, with the account of its request.
pub type Running =
    Pin<Box<dyn Future<Output = (Result<Delivery, CallError>, Box<Account>)> + Send>>;

/// The body of a stream or of a large answer.
pub struct StreamBody {
    state: State,
    link: Link,
}

/// A body's side of its client's connection.
#[derive(Debug)]
pub struct Link {
    /// Told when the connection must end after this body.
    pub closer: Arc<Notify>,
    /// Set when all answers must end: the program stops, and has waited long enough. Whoever sets
    /// it has everything that belongs to the connection polled once more.
    pub ending: Arc<AtomicBool>,
}

enum State {
    /// The head has left; the first event has not come.
    Waiting {
        running: Running,
        job: Arc<Job>,
        keep_alive: Duration,
        ticker: Pin<Box<Sleep>>,
    },
    Relaying {
        relay: Box<Relay>,
        account: Box<Account>,
    },
    Large {
        large: Box<Large>,
        account: Box<Account>,
    },
    /// The transfer must be broken off, once what came before has been written.
    Breaking,
    Ended,
}

impl Link {
    fn is_ending(&self) -> bool {
        self.ending.load(Relaxed)
    }

    /// Makes a call, unless the program stops meanwhile.
    ///
    /// # Errors
    /// Those of the call, or that it was given up.
    pub(super) async fn unless_ending<F>(
        ending: &AtomicBool,
        mut call: Pin<&mut F>,
    ) -> Result<Delivery, CallError>
    where
        F: Future<Output = Result<Delivery, CallError>>,
    {
        std::future::poll_fn(|cx| match call.as_mut().poll(cx) {
            Poll::Pending if ending.load(Relaxed) => Poll::Ready(Err(CallError::Stopping)),
            outcome => outcome,
        })
        .await
    }
}

impl StreamBody {
    /// The body of a stream whose first event has not come.
    pub(super) fn waiting(
        running: Running,
        job: Arc<Job>,
        keep_alive: Duration,
        link: Link,
    ) -> Self {
        // the silence was already as long as it may be
        let ticker = Box::pin(tokio::time::sleep(Duration::ZERO));
        Self {
            state: State::Waiting {
                running,
                job,
                keep_alive,
                ticker,
            },
            link,
        }
    }

    /// The body of a stream that has begun.
    pub(super) fn relaying(relay: Box<Relay>, account: Box<Account>, link: Link) -> Self {
        Self {
            state: State::Relaying { relay, account },
            link,
        }
    }

    /// The body of a large answer.
    pub(super) fn large(large: Box<Large>, account: Box<Account>, link: Link) -> Self {
        Self {
            state: State::Large { large, account },
            link,
        }
    }

    /// Ends with one error event; official clients raise it as an error of the API.
    fn error_event(&mut self, error: &GatewayError) -> Bytes {
        self.link.closer.notify_one();
        self.state = State::Ended;
        sse::event(error.public().to_json().as_bytes())
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let State::Waiting {
            running,
            job,
            keep_alive,
            ticker,
        } = &mut self.state
        else {
            return Poll::Ready(None);
        };
        if let Poll::Ready((outcome, account)) = running.as_mut().poll(cx) {
            let bytes = match outcome {
                Ok(Delivery {
                    answer: Answer::Stream(relay),
                    ..
                }) => {
                    let note = late_backend(job, &account);
                    self.state = State::Relaying { relay, account };
                    match note {
                        Some(note) => note,
                        None => return self.poll_bytes(cx),
                    }
                }
                Ok(_) => self.close(
                    account,
                    CallError::Failed {
                        status: None,
                        detail: "no stream came",
                        sent: true,
                    },
                ),
                Err(error) => self.close(account, error),
            };
            return Poll::Ready(Some(Ok(bytes)));
        }
        if ticker.as_mut().poll(cx).is_ready() {
            ticker.as_mut().reset(Instant::now() + *keep_alive);
            // registers the waker for the next tick
            let _ = ticker.as_mut().poll(cx);
            return Poll::Ready(Some(Ok(sse::comment("keep-alive"))));
        }
        Poll::Pending
    }

    fn close(&mut self, mut account: Box<Account>, error: CallError) -> Bytes {
        let error = GatewayError::from(error);
        account.close(200, error.outcome(), &error.to_string());
        self.error_event(&error)
    }

    /// Has a stream been handed on, the end marker too?
    fn is_done(&self) -> bool {
        matches!(&self.state, State::Relaying { relay, .. } if relay.is_done())
    }

    /// The program stops: the answer is given up, and its client told so. A call that is still
    /// running notices by itself.
    fn give_up(&mut self) -> Option<Result<Bytes, Broken>> {
        if !matches!(self.state, State::Relaying { .. } | State::Large { .. }) {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Relaying { account, .. } => Some(Ok(self.close(account, CallError::Stopping))),
            State::Large { mut account, .. } => {
                let error = GatewayError::from(CallError::Stopping);
                account.close(200, error.outcome(), &error.to_string());
                Some(Err(Broken))
            }
            State::Waiting { .. } | State::Breaking | State::Ended => None,
        }
    }

    fn poll_bytes(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        if self.link.is_ending() && !self.is_done() {
            let last = self.give_up();
            if last.is_some() {
                return Poll::Ready(last);
            }
        }
        match &mut self.state {
            State::Ended => Poll::Ready(None),
            State::Breaking => {
                self.state = State::Ended;
                Poll::Ready(Some(Err(Broken)))
            }
            State::Waiting { .. } => self.poll_waiting(cx),
            State::Relaying { relay, account } => match relay.poll_next(cx, &mut **account) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok(bytes))) => Poll::Ready(Some(Ok(bytes))),
                Poll::Ready(Some(Err(failure))) => {
                    account.broke(&failure);
                    account.close(200, cut(&failure), failure.detail);
                    let event = self.error_event(&broken(failure));
                    Poll::Ready(Some(Ok(event)))
                }
                Poll::Ready(None) => {
                    account.complete();
                    account.close(200, Outcome::Ok, "");
                    self.state = State::Ended;
                    Poll::Ready(None)
                }
            },
            State::Large { large, account } => match large.poll_next(cx, &mut **account) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Some(Ok(bytes))) => Poll::Ready(Some(Ok(bytes))),
                Poll::Ready(Some(Err(failure))) => {
                    // half a JSON answer: only the broken transfer can say so
                    account.broke(&failure);
                    account.close(200, cut(&failure), failure.detail);
                    self.state = State::Breaking;
                    // hyper writes what it has when a body waits, and throws it away when one fails
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Ready(None) => {
                    account.complete();
                    account.close(200, Outcome::Ok, "");
                    self.state = State::Ended;
                    Poll::Ready(None)
                }
            },
        }
    }
}

/// The transfer to the client ends broken, as the one from the backend did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the backend's answer broke off")]
pub struct Broken;

impl Body for StreamBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.poll_bytes(cx)
            .map(|bytes| bytes.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        // many clients close at the end marker, before the transfer has ended: they were served
        if self.is_done()
            && let State::Relaying { account, .. } = &mut self.state
        {
            account.complete();
            account.close(200, Outcome::Ok, "");
        }
    }
}

impl std::fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match self.state {
            State::Waiting { .. } => "waiting",
            State::Relaying { .. } => "relaying",
            State::Large { .. } => "large",
            State::Breaking => "breaking",
            State::Ended => "ended",
        };
        f.debug_struct("StreamBody")
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

/// The head named the first candidate before it had answered; where another one served, a comment
/// says so.
fn late_backend(job: &Job, account: &Account) -> Option<Bytes> {
    let served = account.serving()?.backend;
    if job.plan.candidates.first()?.backend == served {
        return None;
    }
    let backend = job.means.config.backends.get(served)?;
    Some(sse::comment(&format!(
        "x-tollgate-backend: {}",
        backend.name
    )))
}

fn cut(failure: &Failure) -> Outcome {
    match failure.class {
        Class::TimedOut(_) => Outcome::Timeout,
        _ => Outcome::Cut,
    }
}

/// What a client is told of a stream that broke in the middle: always the backend's failure, as
/// the request had been accepted.
fn broken(failure: Failure) -> GatewayError {
    match failure.class {
        Class::TimedOut(phase) => CallError::TimedOut { phase }.into(),
        _ => CallError::Broken {
            body: failure.body,
            detail: failure.detail,
        }
        .into(),
    }
}
