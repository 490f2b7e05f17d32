//! One request in the account, from its model being known to the end of its answer.
//!
//! Dropped before it is told of an end, it records that the client has gone: futures and bodies
//! are dropped exactly when their connection breaks.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::{Model, Phase};
use crate::simulate::answer::Counts;
use crate::simulate::line::Line;

/// The guard of one request.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) model: Arc<Model>,
    pub(crate) line: Arc<Line>,
    /// The simulator is being stopped: what breaks now is not the client's doing.
    stopping: CancellationToken,
    started: Instant,
    phase: Option<Phase>,
    events: u64,
    /// Is the model's fault for other API keys?
    pub(crate) spared: bool,
}

impl Visit {
    /// A request for `model` has come on `line`, the first one there if `fresh`.
    pub(crate) fn begin(
        model: Arc<Model>,
        line: Arc<Line>,
        stopping: CancellationToken,
        fresh: bool,
    ) -> Self {
        model.counters.requests.fetch_add(1, Relaxed);
        model.counters.in_flight.fetch_add(1, Relaxed);
        if fresh {
            model.counters.connections.fetch_add(1, Relaxed);
        }
        let (started, phase) = (Instant::now(), Some(Phase::BeforeHead));
        Self {
            model,
            line,
            stopping,
            started,
            phase,
            events: 0,
            spared: false,
        }
    }

    /// The head is on its way.
    pub(crate) fn head_sent(&mut self) {
        self.phase = Some(Phase::MidBody);
    }

    /// The answer has begun: from here a real provider bills the prompt.
    pub(crate) fn bill_prompt(&mut self, usage: Counts) {
        let counters = &self.model.counters;
        counters.prompt.fetch_add(usage.prompt, Relaxed);
        counters.cached.fetch_add(usage.cached, Relaxed);
        counters.written.fetch_add(usage.written, Relaxed);
    }

    /// Output has been handed to the connection; `completion` includes `reasoning`.
    pub(crate) fn bill_output(&mut self, completion: u64, reasoning: u64) {
        self.events += 1;
        self.model
            .counters
            .completion
            .fetch_add(completion, Relaxed);
        self.model.counters.reasoning.fetch_add(reasoning, Relaxed);
    }

    /// The answer fails as the script says; the client may still be seen to go.
    pub(crate) fn fail(&mut self, kind: &'static str) {
        self.model.fail(kind);
    }

    /// The end of the answer, good or bad, by the simulator's own doing.
    pub(crate) fn end(&mut self) {
        self.phase = None;
    }

    /// The end of a good answer.
    pub(crate) fn succeed(&mut self) {
        self.end();
        self.model.counters.ok.fetch_add(1, Relaxed);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(phase) = self.phase
            && !self.stopping.is_cancelled()
        {
            self.model.left(phase, self.started.elapsed(), self.events);
        }
        self.model.counters.in_flight.fetch_sub(1, Relaxed);
        self.line
            .remember(self.phase.is_none().then_some(&self.model));
        self.line.finish();
    }
}
