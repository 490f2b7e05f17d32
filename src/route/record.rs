//! A decision with all that it was taken on, so that it can be taken again: by the same rules, to
//! prove it, or by other ones, to see what they would have done.
//!
//! What the configuration says is not in it, nor what was asked or answered; how the text read is, as
//! the sums that a chance is made of.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Candidate, Facts, Plan, Question, RouteError, names::Names, plan, quality::Judge};
use crate::{
    authenticate::Principal,
    config::Config,
    domain::Domain,
    learn::{
        conversations::Pin,
        outcomes::{Learned, NOBODY, Outcomes, Place},
    },
    money::Usd,
    quality::{Lessons, Reading},
    tokens::Family,
    understand::{Narrow, Needs, Recount, Schemas, Seen},
};

/// A decision, and what it was taken on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub at: Timestamp,
    /// The key's id; `None`: nobody was asked for one.
    pub key: Option<String>,
    /// What the key may use; `None`: everything.
    pub may_use: Option<Vec<String>>,
    /// What was asked for, by the name that it has in the configuration; empty: it has none.
    pub model: String,
    pub needs: Needs,
    pub schemas: Seen,
    /// Tokens of the prompt by families of tokenizers, where a context was near.
    pub counts: Vec<(Family, u64)>,
    pub domain: Domain,
    /// Without names that the configuration does not have.
    pub narrow: Narrow,
    pub tier: Option<String>,
    pub budgeted: bool,
    /// How the text read; `None`: it was not read.
    pub reading: Option<Reading>,
    /// Where the conversation was.
    pub pin: Option<At>,
    /// What was known of each backend that was looked at.
    pub backends: Vec<Known>,
    /// What outcomes had taught of models that have any.
    pub learned: Vec<Taught>,
    pub decision: Decided,
}

/// Where a conversation was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    pub backend: String,
    pub tokens: u64,
}

/// What was known of a backend of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    pub model: String,
    pub backend: String,
    pub facts: Facts,
}

/// What outcomes had taught of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Taught {
    pub model: String,
    pub lessons: Lessons,
}

/// What was decided, in names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// By what the first was put first; `None`: nobody could be asked.
    pub reason: Option<String>,
    /// Why nobody could be asked.
    pub error: Option<String>,
    /// In the order in which they are asked.
    pub order: Vec<Chosen>,
    /// By backend, with the reason.
    pub refused: Vec<(String, String)>,
}

/// A backend that may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chosen {
    pub model: String,
    pub backend: String,
    /// `None`: unpriced.
    pub expected: Option<Usd>,
    /// The chance with its interval, in 1/10,000: low, p, high; `None`: not known.
    pub quality: Option<[u16; 3]>,
}

impl Record {
    /// A decision; `facts`: by model and backend, what was known when it was taken.
    #[must_use]
    pub fn of(
        question: &Question<'_>,
        facts: &[(usize, usize, Facts)],
        outcome: &Result<Plan, RouteError>,
    ) -> Self {
        let config = question.config;
        let model = |index: usize| config.models.get(index).map(|model| &model.name);
        let backend = |index: usize| config.backends.get(index).map(|backend| &*backend.name);
        let known = |(of, by, facts): &(usize, usize, Facts)| {
            Some(Known {
                model: model(*of)?.to_string(),
                backend: backend(*by)?.to_owned(),
                facts: *facts,
            })
        };
        let mut models: Vec<&Arc<str>> = facts.iter().filter_map(|(of, ..)| model(*of)).collect();
        models.dedup();
        let taught = |name: &Arc<str>| {
            Some(Taught {
                model: name.to_string(),
                lessons: question.learned?.of(name, question.domain)?,
            })
        };
        let principal = question.principal;
        let named = |models: &[Arc<str>]| models.iter().map(ToString::to_string).collect();
        Self {
            at: question.at,
            key: principal.id.as_deref().map(str::to_owned),
            may_use: principal.models().map(named),
            model: question
                .names
                .find(question.model)
                .and_then(|target| target.name(config))
                .map_or_else(String::new, ToString::to_string),
            needs: *question.needs,
            schemas: question.schemas.look(),
            counts: question.recount.counts(),
            domain: question.domain,
            narrow: named_only(question),
            tier: question.tier.map(str::to_owned),
            budgeted: question.budgeted,
            reading: question.reading.cloned(),
            pin: question.pin.map(|pin| At {
                backend: pin.backend.to_string(),
                tokens: pin.tokens,
            }),
            backends: facts.iter().filter_map(known).collect(),
            learned: models.into_iter().filter_map(taught).collect(),
            decision: Decided::of(config, outcome),
        }
    }

    /// The same decision by the rules of this configuration. Of a backend that was not there nothing
    /// is known but that it stands well.
    #[must_use]
    pub fn again(&self, config: &Config, names: &Names, judge: &Judge) -> Decided {
        let principal = self.principal(config);
        let outcomes = self.outcomes();
        let schemas = Schemas::seen(self.schemas);
        let recount = Recount::counted(&self.counts);
        let pin = self.pin.as_ref();
        let pin = pin.map(|at| Pin::at(at.backend.as_str().into(), at.tokens));
        let question = Question {
            config,
            names,
            principal: &principal,
            model: &self.model,
            needs: &self.needs,
            schemas: &schemas,
            recount: &recount,
            domain: self.domain,
            judge,
            reading: self.reading.as_ref(),
            learned: outcomes.view(NOBODY, false, 0),
            narrow: &self.narrow,
            pin: pin.as_ref(),
            budgeted: self.budgeted,
            tier: self.tier.as_deref(),
            at: self.at,
        };
        let facts = |model: usize, backend: usize| {
            let model = config.models.get(model).map(|model| &*model.name);
            let backend = config.backends.get(backend).map(|backend| &*backend.name);
            let same =
                |known: &&Known| Some(&*known.model) == model && Some(&*known.backend) == backend;
            let known = self.backends.iter().find(same);
            known.map_or_else(|| Facts::unknown(self.needs.prompt_tokens), |it| it.facts)
        };
        Decided::of(config, &plan(&question, &facts))
    }

    /// Who asked: as the configuration has them, else with what they might use then.
    fn principal(&self, config: &Config) -> Principal {
        let Some(id) = &self.key else {
            return Principal::anybody();
        };
        if let Some(key) = config.keys.iter().find(|key| *key.id == **id) {
            return Principal::of(key);
        }
        let may_use = self.may_use.as_ref();
        let may_use = may_use.map(|names| names.iter().map(|name| name.as_str().into()).collect());
        Principal::new(id.as_str().into(), may_use)
    }

    fn outcomes(&self) -> Outcomes {
        let outcomes = Outcomes::default();
        outcomes.restore(self.learned.iter().map(|taught| Learned {
            place: Place {
                key: NOBODY.into(),
                model: taught.model.as_str().into(),
                domain: self.domain,
            },
            lessons: taught.lessons,
            at_ms: 0,
        }));
        outcomes
    }
}

/// What narrows the choice, in names of the configuration: nothing else that a client wrote is kept.
fn named_only(question: &Question<'_>) -> Narrow {
    let (config, narrow) = (question.config, question.narrow);
    let known = |name: &String| {
        let target = question.names.find(name)?;
        target.name(config).map(ToString::to_string)
    };
    let regions: Vec<&str> = config
        .providers
        .iter()
        .filter_map(|p| p.region.as_deref())
        .collect();
    let is_one = |region: &&String| regions.contains(&region.as_str());
    Narrow {
        models: narrow
            .models
            .as_ref()
            .map(|names| names.iter().filter_map(known).collect()),
        regions: narrow
            .regions
            .as_ref()
            .map(|all| all.iter().filter(is_one).cloned().collect()),
        ..narrow.clone()
    }
}

impl Decided {
    fn of(config: &Config, outcome: &Result<Plan, RouteError>) -> Self {
        let backend = |index: usize| {
            let backend = config.backends.get(index);
            backend.map_or_else(String::new, |backend| backend.name.to_string())
        };
        let chosen = |candidate: &Candidate| Chosen {
            model: config
                .models
                .get(candidate.model)
                .map_or_else(String::new, |model| model.name.to_string()),
            backend: backend(candidate.backend),
            expected: candidate.expected,
            quality: candidate.quality.map(|odds| [odds.low, odds.p, odds.high]),
        };
        let (order, refused) = match outcome {
            Ok(plan) => (&plan.candidates[..], &plan.refused[..]),
            Err(error) => (&[][..], error.refused()),
        };
        let refusals = refused.iter();
        Self {
            reason: outcome
                .as_ref()
                .ok()
                .map(|plan| plan.reason.label().to_owned()),
            error: outcome.as_ref().err().map(RouteError::in_our_words),
            order: order.iter().map(chosen).collect(),
            refused: refusals
                .map(|refused| (backend(refused.backend), refused.why.label().to_owned()))
                .collect(),
        }
    }

    /// Who is asked first.
    #[must_use]
    pub fn first(&self) -> Option<&Chosen> {
        self.order.first()
    }
}
