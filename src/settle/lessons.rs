//! What an answer teaches of the quality of models: what it shows of itself is held against what was
//! predicted.
//!
//! Only of requests for which quality matters. What can be told by a glance is learned when the
//! account closes; whether an answer is of the form that was asked for is found out elsewhere
//! (`learning`), so that no request waits for it.

use std::sync::{Arc, mpsc::SyncSender};

use jiff::Timestamp;

use super::{Account, Outcome, metrics::Metrics};
use crate::{
    learn::outcomes::{NOBODY, Outcomes, Place},
    quality::{Chance, Lessons},
    understand::Ask,
    verify::{Finding, Said, Signs, Wanted},
    wire::openai::chunk::Choices,
};

/// An answer whose form is to be looked at.
#[derive(Debug)]
pub struct Exam {
    lesson: Lesson,
    wanted: Wanted,
    said: Said,
}

/// What an answer is held against.
#[derive(Debug)]
struct Lesson {
    outcomes: Arc<Outcomes>,
    metrics: Arc<Metrics>,
    backend: Arc<str>,
    place: Place,
    /// The chance that was predicted, in logits; `None`: none was known.
    logit: Option<f64>,
}

impl Exam {
    /// Looks at it, and learns from what it shows at that moment.
    pub fn hold(self, at: Timestamp) {
        let found = self.wanted.check(&self.said);
        let finding = found.unwrap_or(Finding::Fine { checked: false });
        self.lesson.learn(finding, at);
    }
}

impl Lesson {
    fn learn(&self, finding: Finding, at: Timestamp) {
        let labels = [&*self.backend, finding.as_str()];
        self.metrics.verified.with_label_values(&labels).inc();
        if let Some(logit) = self.logit {
            let show = |lessons: &mut Lessons| {
                lessons.show(logit, finding.is_bad(), finding.seen());
            };
            self.outcomes.learn(&self.place, at.as_millisecond(), show);
        }
    }
}

/// What is noticed of an answer for which quality matters.
#[derive(Debug, Default)]
pub(super) struct Witness {
    /// The form that the answer must have; `None`: any.
    wanted: Option<Wanted>,
    said: Said,
    /// `None`: no answer of choices has come.
    signs: Option<Signs>,
}

impl Witness {
    fn of(ask: &Ask) -> Self {
        Self {
            wanted: Wanted::of(&ask.body),
            ..Self::default()
        }
    }

    /// A chunk has come, or a whole answer.
    pub(super) fn hear(&mut self, choices: &Choices, json: &[u8]) {
        let signs = self.signs.get_or_insert_default();
        signs.answered += choices.output_bytes.saturating_sub(choices.thought_bytes);
        signs.cut_short |= choices.cut_short;
        signs.refused |= choices.refused;
        if self.wanted.is_some() {
            self.said.hear(json);
        }
    }

    /// Nothing of what came is part of the answer.
    pub(super) fn forget(&mut self) {
        (self.said, self.signs) = (Said::default(), None);
    }
}

impl Account {
    /// Whoever answers will be looked at, as quality matters for this request. Not where an answer may
    /// be something else than text and calls of tools: it would look empty.
    pub fn watches(&mut self, ask: &Ask) {
        let others = ["functions", "modalities"];
        if others.iter().all(|member| ask.body.get(member).is_none()) {
            self.witness = Some(Box::new(Witness::of(ask)));
        }
    }

    /// What the answer shows is learned.
    pub(super) fn teach(&mut self, outcome: Outcome) {
        let Some(witness) = self.witness.take().filter(|_| outcome == Outcome::Ok) else {
            return;
        };
        let limited = self.max_output.is_some();
        let finding = witness.signs.and_then(|signs| signs.finding(limited));
        let (Some(finding), Some(lesson)) = (finding, self.lesson()) else {
            return;
        };
        match (finding, witness.wanted, &self.opening.exams) {
            (Finding::Fine { .. }, Some(wanted), Some(exams)) => {
                let exam = Exam {
                    lesson,
                    wanted,
                    said: witness.said,
                };
                // where too many wait, this one teaches nothing
                if exams.try_send(exam).is_err() {
                    self.metrics.unverified.inc();
                }
            }
            (finding, _, _) => lesson.learn(finding, Timestamp::now()),
        }
    }

    fn lesson(&self) -> Option<Lesson> {
        let (candidate, backend) = self.backend()?;
        let model = self.means.config.models.get(candidate.model)?;
        let certain = |p: u16| Chance::certain(f64::from(p) / 10_000.0).logit;
        Some(Lesson {
            outcomes: Arc::clone(&self.means.outcomes),
            metrics: Arc::clone(&self.metrics),
            backend: Arc::clone(&backend.name),
            place: Place {
                key: self.key.clone().unwrap_or_else(|| NOBODY.into()),
                model: Arc::clone(&model.name),
                domain: self.kind?.domain,
            },
            logit: candidate.predicted.map(certain),
        })
    }
}

/// Takes answers whose form is to be looked at.
pub type Exams = SyncSender<Exam>;
