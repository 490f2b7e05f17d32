//! The life of an account: opened, told what becomes known, closed.

use std::{borrow::Cow, sync::Arc};

use sha2::{Digest, Sha256};
use tokio::time::{Duration, Instant};

use super::{
    Outcome, UNKNOWN,
    book::{Ended, NO_KEY},
    decisions::{Draft, Thought},
    figures::Figures,
    holds::{Holds, Levels},
    ledger::{Sink, Unrecorded},
    lessons::{Exams, Witness},
    metrics::{Gauge, Metrics, family::OTHER},
    strangers::Strangers,
};
use crate::{
    admit::{budgets::Paying, holders::Holder, limits::Denied, purse::Exceeded, table::Table},
    authenticate::Principal,
    call::{Allowance, Barred, Means, failure::Failure},
    caps::Cap,
    config::{Backend, Tags},
    learn::{conversations::Pin, lengths::Kind, pace::Seat},
    money::Usd,
    route::{Candidate, Plan, Refused, names::Target},
    understand::{Ask, Endpoint},
    usage::Usage,
};

/// Who is asked for, as far as it is known when a request is opened.
#[derive(Debug, Clone)]
pub struct Opening {
    pub request_id: Arc<str>,
    pub endpoint: Endpoint,
    pub started: Instant,
    /// Who takes the rows; `None`: nobody.
    pub ledger: Option<Arc<dyn Sink>>,
    /// Where answers go whose form is to be looked at; `None`: nobody does.
    pub exams: Option<Exams>,
    /// Says whether it is logged where it turns out that nobody knows the caller.
    pub strangers: Arc<Strangers>,
}

/// The account of one request.
#[derive(Debug)]
pub struct Account {
    pub(super) metrics: Arc<Metrics>,
    pub(super) means: Arc<Means>,
    pub(super) opening: Opening,
    pub(super) key: Option<Arc<str>>,
    /// What the key is held to.
    pub(super) holder: Option<Arc<Holder>>,
    /// The budgets that it is paid from.
    pub(super) paying: Paying,
    /// Is the key's id a label in metrics?
    key_is_named: bool,
    key_tags: Option<Arc<Tags>>,
    /// The names of the key's, where the request has others.
    pub(super) counted_tags: Option<Arc<str>>,
    /// Has the caller been let in?
    pub(super) let_in: bool,
    /// The key's tags and the request's, for the ledger.
    pub(super) tags: Option<Arc<str>>,
    /// The beginning of the digest of the request's `user`, for the ledger.
    pub(super) user: Option<[u8; 8]>,
    /// The model as the client wrote it: for the log only.
    pub(super) asked: String,
    pub(super) route: Option<Arc<str>>,
    /// The model that the route's savings are measured against.
    pub(super) baseline: Option<usize>,
    /// The model that was named, where it was none of a route.
    pub(super) named: Option<Arc<str>>,
    pub(super) draft: Draft,
    pub(super) stream: bool,
    pub(super) reasoning: bool,
    /// What the length of the answer was expected by; `None`: nothing was planned.
    pub(super) kind: Option<Kind>,
    /// Does it matter how good the answer is?
    pub(super) weighs_quality: bool,
    /// The service tier that the request asks for, where we know it.
    pub(super) tier: Option<&'static str>,
    /// The output limit that the client set, for each choice.
    pub(super) max_output: Option<u64>,
    /// The most that it may cost, all calls together.
    pub(super) max_cost: Option<Usd>,
    /// What calls that are over have cost, at most.
    pub(super) paid: Usd,
    /// The most that the call under way can cost, where that matters.
    pub(super) at_stake: Usd,
    pub(super) estimated_prompt: u64,
    pub(super) choices: u64,
    /// What the model must be for.
    pub(super) purpose: Cap,
    /// What is known of the quantities, other than tokens, that a call may be billed by.
    pub(super) units: Usage,
    pub(super) attempts: u32,
    /// The backend that is being called or has answered.
    pub(super) serving: Option<Candidate>,
    /// Its conversation.
    pub(super) conversation: Option<u64>,
    /// Tokens that were read and written in the turn before, whoever served it.
    pub(super) said_before: u64,
    /// When the call to it began, on the clock of health.
    pub(super) began_ms: u64,
    /// Where `serving` is counted as in flight.
    pub(super) inflight: Option<Gauge>,
    /// Its place on hardware of one's own.
    pub(super) seat: Option<Seat>,
    /// When the call under way began.
    pub(super) began: Option<Instant>,
    pub(super) waited: Duration,
    pub(super) waiting_since: Option<Instant>,
    pub(super) first_event: Option<Instant>,
    pub(super) output_bytes: u64,
    /// Tokens of all calls that are booked.
    pub(super) used_tokens: u64,
    /// What is known of the usage of the call under way.
    pub(super) figures: Option<Figures>,
    pub(super) complete: bool,
    /// What is noticed of the answer; `None`: quality does not matter.
    pub(super) witness: Option<Box<Witness>>,
    /// Of a request that is split: what the call under way is of all inputs.
    pub(super) share: (u64, u64),
    /// Parts of the answer that are there, and what they cost; `None`: not all are priced exactly.
    pub(super) parts: (u32, Option<Usd>),
    /// Tokens and money of them that are booked and not settled.
    pub(super) unsettled: (u64, Option<Usd>),
    pub(super) holds: Holds,
    limits: Arc<Table>,
    pub(super) closed: bool,
}

impl Account {
    /// Opens the account of a request. It goes from hand to hand, and is too large to be copied.
    #[must_use]
    pub fn open(
        metrics: Arc<Metrics>,
        means: Arc<Means>,
        limits: Arc<Table>,
        opening: Opening,
    ) -> Box<Self> {
        Box::new(Self {
            metrics,
            means,
            opening,
            key: None,
            holder: None,
            paying: Paying::default(),
            key_is_named: false,
            key_tags: None,
            counted_tags: None,
            let_in: false,
            tags: None,
            user: None,
            asked: String::new(),
            route: None,
            baseline: None,
            named: None,
            draft: Draft::default(),
            stream: false,
            reasoning: false,
            kind: None,
            weighs_quality: false,
            tier: None,
            max_output: None,
            max_cost: None,
            paid: Usd::ZERO,
            at_stake: Usd::ZERO,
            estimated_prompt: 0,
            choices: 1,
            purpose: Cap::Chat,
            units: Usage::default(),
            attempts: 0,
            conversation: None,
            said_before: 0,
            serving: None,
            began_ms: 0,
            inflight: None,
            seat: None,
            began: None,
            waited: Duration::ZERO,
            waiting_since: None,
            first_event: None,
            output_bytes: 0,
            used_tokens: 0,
            figures: None,
            complete: false,
            witness: None,
            share: (1, 1),
            parts: (0, Some(Usd::ZERO)),
            unsettled: (0, Some(Usd::ZERO)),
            holds: Holds::default(),
            limits,
            closed: false,
        })
    }

    /// The caller is known, and what they are held to.
    pub fn caller(&mut self, principal: &Principal, holder: Option<Arc<Holder>>) {
        self.let_in = true;
        self.key.clone_from(&principal.id);
        self.holder = holder;
        let id = self.key.as_deref();
        self.key_is_named = id.is_some_and(|id| self.metrics.names_key(id));
        self.key_tags.clone_from(&principal.tags);
        self.tags = self.key_tags.as_ref().map(|tags| Arc::clone(tags.json()));
    }

    /// It is known from which budgets it is paid.
    pub fn pays(&mut self, paying: Paying) {
        self.paying = paying;
    }

    /// May it be served now, although its rows could get lost?
    ///
    /// # Errors
    /// If the ledger can't be written and nothing is to be served without it.
    pub fn recordable(&self) -> Result<(), Unrecorded> {
        let accepts = self
            .opening
            .ledger
            .as_ref()
            .is_none_or(|ledger| ledger.accepts());
        if accepts { Ok(()) } else { Err(Unrecorded) }
    }

    /// Takes one request of the gateway's limits and the caller's, before anything is read.
    ///
    /// # Errors
    /// If one of them is reached; nothing is taken then.
    pub fn enter(&mut self) -> Result<(), Denied> {
        let table = Arc::clone(&self.limits);
        let entered = self.holds.enter(
            table.of_caller(self.holder.as_deref()),
            0,
            self.means.now_ms(),
        );
        entered.inspect_err(|denied| self.denied(denied))
    }

    /// Takes the tokens of the first candidate's worst case of the same limits, and the route's.
    ///
    /// # Errors
    /// If one of them is reached; everything that was taken is given back then.
    pub fn hold(&mut self, plan: &Plan) -> Result<(), Denied> {
        let now = self.now_ms();
        let tokens = plan.candidates.first().map_or(0, worst_tokens);
        let table = Arc::clone(&self.limits);
        let route = match plan.target {
            Target::Route(route) => table.of_route(route),
            Target::Model(_) | Target::Backend { .. } => None,
        };
        let held = self
            .holds
            .take_tokens(tokens, now)
            .and_then(|()| self.holds.enter(route.into_iter(), tokens, now));
        held.inspect_err(|denied| {
            self.holds.give_back(now);
            self.denied(denied);
        })
    }

    /// Takes the limits of a model and its provider, and money, for one call; or nothing.
    pub(super) fn enter_call(&mut self, candidate: &Candidate) -> Result<Allowance, Barred> {
        let now = self.now_ms();
        let provider = self
            .means
            .config
            .backends
            .get(candidate.backend)
            .map_or(0, |b| b.provider);
        let call = (candidate.model, provider);
        let table = Arc::clone(&self.limits);
        let entered = self
            .holds
            .enter_call(&table, call, worst_tokens(candidate), now);
        entered.inspect_err(|denied| self.denied(denied))?;
        let held = self.hold_money(candidate);
        held.inspect_err(|_| self.holds.settle_call(0, now))
    }

    /// Nothing was used of the limits: another one refused.
    pub fn give_back(&mut self) {
        self.holds.give_back(self.means.now_ms());
    }

    fn denied(&self, denied: &Denied) {
        self.metrics
            .rate_limited
            .with_label_values(&[self.key_label(), denied.label()])
            .inc();
    }

    /// The tightest limits that this request is held to.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.holds.levels(self.now_ms())
    }

    /// The budgets that it is paid from and whose soft limits are exceeded.
    #[must_use]
    pub fn exceeded(&self) -> &[Exceeded] {
        self.holds.exceeded()
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.means.now_ms()
    }

    /// The client is waited for, until `resume`.
    pub fn wait(&mut self) {
        self.waiting_since.get_or_insert_with(Instant::now);
    }

    /// The waiting is over.
    pub fn resume(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// The request is understood.
    pub fn asked(&mut self, ask: &Ask) {
        self.asked.clone_from(&ask.model);
        self.stream = ask.stream;
        self.reasoning = ask.needs.caps.has(Cap::Reasoning);
        self.estimated_prompt = ask.needs.prompt_tokens;
        self.choices = ask.needs.choices;
        self.purpose = ask.needs.purpose;
        self.units = ask.needs.units;
        self.max_output = ask.needs.max_output;
        self.max_cost = ask.narrow.max_cost;
        self.tier = ask.tier;
        if self.opening.ledger.is_some() {
            self.user = ask.body.get("user").and_then(user);
            if let Some(sent) = ask.narrow.tags.as_ref().filter(|tags| !tags.is_empty()) {
                let own = self.key_tags.iter().flat_map(|own| own.iter());
                let names: Vec<&str> = own.map(|(name, _)| name).collect();
                self.counted_tags = Some(names.join(",").into());
                let both = self.key_tags.as_ref().map(|own| own.with_others(sent));
                self.tags = Some(Arc::clone(both.as_ref().unwrap_or(sent).json()));
            }
        }
    }

    /// It is known what the name means that the client asked for.
    pub fn aims(&mut self, target: Option<Target>) {
        let config = &self.means.config;
        self.draft.model = target.and_then(|target| target.name(config).cloned());
        match target {
            None => {}
            Some(Target::Route(route)) => {
                let route = config.routes.get(route);
                self.route = route.map(|route| route.name.clone());
                self.baseline = route.and_then(|route| route.baseline);
            }
            Some(Target::Model(model) | Target::Backend { model, .. }) => {
                self.named = config.models.get(model).map(|model| model.name.clone());
            }
        }
    }

    /// Its conversation is known, and where that was.
    pub fn converses(&mut self, conversation: Option<u64>, pin: Option<&Pin>) {
        self.conversation = conversation;
        self.said_before = pin.map_or(0, |pin| pin.tokens);
    }

    /// The backends are chosen.
    pub fn planned(&mut self, plan: &Arc<Plan>) {
        let config = &self.means.config;
        let route = self.route.as_deref().unwrap_or_default();
        let first = plan
            .candidates
            .first()
            .and_then(|c| config.models.get(c.model));
        let model = first.map_or(UNKNOWN, |model| &model.name);
        self.metrics
            .decisions
            .with_label_values(&[route, model, plan.reason.label()])
            .inc();
        self.refused(&plan.refused);
        self.kind = Some(plan.kind);
        self.weighs_quality = plan.weighs_quality;
        self.draft.thought = Some(Thought::Planned(Arc::clone(plan)));
    }

    /// Backends that were not put on the list.
    pub(super) fn refused(&self, refused: &[Refused]) {
        let route = self.route.as_deref().unwrap_or_default();
        for refusal in refused {
            let backend = self
                .means
                .config
                .backends
                .get(refusal.backend)
                .map_or(UNKNOWN, |b| &b.name);
            self.metrics
                .refusals
                .with_label_values(&[route, backend, refusal.why.label()])
                .inc();
        }
    }

    /// The head of the answer leaves now.
    pub fn head_leaves(&mut self) {
        self.resume();
        let overhead = self.opening.started.elapsed().saturating_sub(self.waited);
        let endpoint = self.opening.endpoint.as_str();
        self.metrics
            .overhead
            .with_label_values(&[endpoint])
            .observe(overhead.as_secs_f64());
    }

    /// Calls to backends so far.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Who is being called or has answered.
    #[must_use]
    pub fn serving(&self) -> Option<&Candidate> {
        self.serving.as_ref()
    }

    /// The exact price of the answer, once its usage has come and if it is priced.
    #[must_use]
    pub fn cost(&self) -> Option<Usd> {
        self.parts.1?.checked_add(self.exact()?)
    }

    /// The exact price of the call under way.
    pub(super) fn exact(&self) -> Option<Usd> {
        let reported = self.figures.as_ref().filter(|figures| !figures.estimated);
        reported.and_then(|figures| figures.cost)
    }

    /// Calls that were answered with a part of the answer, beside the last one.
    #[must_use]
    pub fn parts(&self) -> u32 {
        self.parts.0
    }

    /// Milliseconds since the request came.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        millis(self.opening.started.elapsed())
    }

    /// The answer broke off after it had begun; later requests should know.
    pub fn broke(&self, failure: &Failure) {
        if let Some(candidate) = self.serving {
            self.means.broke(candidate.backend, self.began_ms, failure);
        }
    }

    /// Closes the account; only the first call counts.
    pub fn close(&mut self, status: u16, outcome: Outcome, detail: &str) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        if self.leave() {
            self.learn();
            self.teach(outcome);
            self.book(Ended {
                result: outcome.of_attempt(),
                status: self.first_event.map(|_| 200),
                // it was sent, as far as anybody knows
                billed: true,
                more: false,
            });
        }
        self.holds.settle(self.used_tokens, self.means.now_ms());
        let lasted = self.opening.started.elapsed();
        self.count(status, outcome, lasted);
        self.log((status, outcome), lasted, detail);
        self.keep_decision(status, outcome);
    }

    /// The backend is no longer being called; was it?
    pub(super) fn leave(&mut self) -> bool {
        let counted = self.inflight.take();
        counted.inspect(Gauge::dec).is_some()
    }

    /// The label of the key in metrics.
    pub(super) fn key_label(&self) -> &str {
        match &self.key {
            None => NO_KEY,
            Some(id) if self.key_is_named => id,
            Some(_) => OTHER,
        }
    }

    pub(super) fn backend(&self) -> Option<(Candidate, &Backend)> {
        let candidate = self.serving?;
        Some((
            candidate,
            self.means.config.backends.get(candidate.backend)?,
        ))
    }

    pub(super) fn backend_name(&self) -> &str {
        self.backend().map_or(UNKNOWN, |(_, backend)| &backend.name)
    }

    /// The model that serves, else the one that was named; empty where a route found none.
    pub(super) fn model_name(&self) -> &str {
        let serving = self
            .serving
            .and_then(|c| self.means.config.models.get(c.model));
        match (serving, &self.named, &self.route) {
            (Some(model), _, _) => &model.name,
            (None, Some(named), _) => named,
            (None, None, Some(_)) => "",
            (None, None, None) => UNKNOWN,
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // 499 is what nginx writes where the client left; nobody receives it
        self.close(499, Outcome::Cancelled, "the client left");
    }
}

/// The beginning of the SHA-256 of a member `user`, if it is a text: enough to tell users apart.
fn user(raw: &str) -> Option<[u8; 8]> {
    let name: Cow<'_, str> = serde_json::from_str(raw).ok()?;
    let digest = Sha256::digest(name.as_bytes());
    digest.first_chunk().copied()
}

/// What a candidate takes of a token limit: its prompt, and the longest output.
fn worst_tokens(candidate: &Candidate) -> u64 {
    candidate
        .prompt_tokens
        .saturating_add(candidate.worst_output)
}

/// Whole microseconds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
