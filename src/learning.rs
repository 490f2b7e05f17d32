//! What outcomes teach while the program runs: answers whose form is looked at by a thread of its
//! own, what clients say of answers, and both on their way to the store.
//!
//! What is learned counts at once. It is handed to the store every few seconds and at the end, so a
//! process that is killed forgets the last seconds of what answers showed; what a client said stands
//! in the store before it is told so.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    learn::outcomes::{NOBODY, Outcomes, Place},
    quality::{Chance, Lessons},
    settle::{
        ledger::Prediction,
        lessons::{Exam, Exams},
    },
    store::{Feedback, FeedbackError, Judged, Store},
};

/// Answers that may wait to be looked at; with more, some teach nothing.
const QUEUE: usize = 256;
/// How often answers are looked at: a thread that is woken for each costs the request that wakes it
/// more than the whole look.
const ROUND: Duration = Duration::from_millis(20);
/// How often what was learned is handed to the store.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// Feedback that is taken at once: it goes through the ledger, which must not wait for it.
const AT_ONCE: usize = 32;
/// How long a ledger may take for feedback.
const PATIENCE: Duration = Duration::from_secs(5);

/// What teaches, and where what was taught goes.
#[derive(Debug)]
pub struct Learning {
    outcomes: Arc<Outcomes>,
    store: Option<Arc<Store>>,
    /// `None`: nobody looks at answers.
    exams: Option<Exams>,
    feedback: Semaphore,
}

impl Learning {
    /// Learns where `outcomes` are, and begins with what the store has kept of them.
    #[must_use]
    pub fn start(outcomes: Arc<Outcomes>, store: Option<Arc<Store>>) -> Self {
        if let Some(store) = &store {
            match store.learned() {
                Ok(learned) => outcomes.restore(learned),
                Err(error) => tracing::error!(%error, "what outcomes had taught can't be read"),
            }
        }
        let (exams, waiting) = sync_channel(QUEUE);
        let examiner = std::thread::Builder::new().name("outcomes".into());
        let started = examiner.spawn(move || examine(&waiting));
        if let Err(error) = &started {
            tracing::error!(%error, "the form of answers is not looked at: no thread for it");
        }
        Self {
            outcomes,
            store,
            exams: started.is_ok().then_some(exams),
            feedback: Semaphore::new(AT_ONCE),
        }
    }

    /// Where answers go whose form is to be looked at.
    #[must_use]
    pub fn exams(&self) -> Option<Exams> {
        self.exams.clone()
    }

    /// A client says how good an answer was.
    ///
    /// # Errors
    /// If it is not the first word on an answer that this client got lately, or it can't be kept.
    pub async fn feedback(&self, feedback: Feedback) -> Result<Judged, FeedbackError> {
        let store = self.store.as_ref().ok_or(FeedbackError::Off)?;
        let room = self.feedback.try_acquire();
        let _room = room.map_err(|_| FeedbackError::Unwritten)?;
        let (key, score, at_ms) = (feedback.key.clone(), feedback.score, feedback.at_ms);
        let given = tokio::time::timeout(PATIENCE, store.feedback(feedback)).await;
        let judged = given.unwrap_or(Err(FeedbackError::Unwritten))?;
        if let Some(Prediction { domain, predicted }) = judged.prediction {
            let place = Place {
                key: key.unwrap_or_else(|| NOBODY.into()),
                model: Arc::clone(&judged.model),
                domain,
            };
            let predicted = Chance::certain(f64::from(predicted) / 10_000.0).logit;
            let tell = |lessons: &mut Lessons| lessons.tell(predicted, score);
            self.outcomes.learn(&place, at_ms, tell);
            self.keep();
        }
        Ok(judged)
    }

    /// Forgets what was learned of a model, or of all, from one key's outcomes or everybody's; says
    /// of how many domains it was.
    pub fn forget(&self, key: Option<&str>, model: Option<&str>) -> usize {
        // what has changed before goes to the store first, so that it is not written afterwards
        self.keep();
        let forgotten = self.outcomes.forget(key, model);
        let store = self.store.as_ref();
        if store.is_some_and(|store| !store.forget_learned(key, model)) {
            tracing::error!(
                "what was learned is forgotten until the next start only: the ledger's queue is full"
            );
        }
        forgotten
    }

    /// Hands what has changed to the store.
    pub fn keep(&self) {
        let Some(store) = &self.store else { return };
        let changed = self.outcomes.take_changed();
        if changed.is_empty() {
            return;
        }
        let again: Vec<Place> = changed
            .iter()
            .map(|learned| learned.place.clone())
            .collect();
        if !store.keep_learned(changed) {
            self.outcomes.mark(again);
        }
    }

    /// Does so now and then, until the end.
    pub async fn keep_regularly(self: Arc<Self>, close: CancellationToken) {
        let mut ticks = tokio::time::interval(KEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = close.cancelled() => return,
                _ = ticks.tick() => self.keep(),
            }
        }
    }
}

/// Looks at answers until nobody can send any more.
#[expect(
    clippy::disallowed_methods,
    reason = "this thread is the examiner's own, and no worker of the runtime"
)]
fn examine(waiting: &Receiver<Exam>) {
    while let Ok(first) = waiting.recv() {
        let rest = std::iter::from_fn(|| waiting.try_recv().ok());
        for exam in std::iter::once(first).chain(rest) {
            let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                exam.hold(Timestamp::now());
            }));
            if held.is_err() {
                tracing::error!("an answer could not be looked at");
            }
        }
        std::thread::sleep(ROUND);
    }
}
