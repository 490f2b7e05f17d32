//! What a request is expected to cost on a backend, from its card.

use std::time::Duration;

use jiff::Timestamp;

use super::{Facts, Question};
use crate::{
    caps::Cap,
    catalog::{
        self, Boundary, Card, Rates,
        hosted::{Share, WHOLE},
        meter,
        price::{Asked, Flags},
    },
    config::{Backend, Config, Price, STATED},
    learn::conversations::{SHORTEST, cached_if_stayed},
    money::{Rate, Usd},
    tokens::{PER_MESSAGE, PER_PROMPT},
    usage::Usage,
};

/// The tier that is asked for and billed unless an answer says otherwise.
pub const STANDARD: &str = "standard";

/// The expected cost of a prompt, of which so many tokens come from a cache; `None`: unpriced.
pub(super) fn expected(
    question: &Question<'_>,
    backend: &Backend,
    (prompt_tokens, cached_tokens): (u64, u64),
    output_tokens: u64,
) -> Option<Usd> {
    let usage = Usage {
        input: prompt_tokens.saturating_sub(cached_tokens),
        cache_read: cached_tokens,
        output: output_tokens,
        ..question.needs.units
    };
    let usage = metered(&backend.price, question.needs.purpose, &usage);
    let asked = Asked {
        at: question.at,
        tier: STANDARD,
        reasoning: question.needs.caps.has(Cap::Reasoning),
    };
    of(question.config, backend, &usage, &asked)
}

/// What of an expected cost a request adds on hardware of one's own; `None`: it is none. Of what
/// the operator has priced by tokens, nothing is known but that.
pub(super) fn marginal(price: &Price, expected: Option<Usd>, share: Option<Share>) -> Option<Usd> {
    match price {
        Price::SelfHosted(_) => Some(share.unwrap_or(WHOLE).take(expected?)),
        Price::Unpriced | Price::Free | Price::Cards(_) => None,
    }
}

/// The price of a usage, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priced<'a> {
    /// `None`: unpriced.
    pub cost: Option<Usd>,
    /// The source of the card that it was taken from.
    pub card: Option<&'a str>,
    /// Does the operator say so, and not the catalogue?
    pub stated: bool,
    /// What is odd about it.
    pub doubts: Flags,
}

/// The list price of a usage on a backend; `None`: unpriced.
#[must_use]
pub fn of(config: &Config, backend: &Backend, usage: &Usage, asked: &Asked<'_>) -> Option<Usd> {
    priced(config, backend, usage, asked).cost
}

/// The list price of a usage at the cheapest backend of a model, by its index; `None`: unpriced.
#[must_use]
pub fn of_cheapest(config: &Config, model: usize, usage: &Usage, asked: &Asked<'_>) -> Option<Usd> {
    cheapest(config, model, |backend| of(config, backend, usage, asked))
}

/// The least of the prices of a model's backends.
fn cheapest(config: &Config, model: usize, price: impl Fn(&Backend) -> Option<Usd>) -> Option<Usd> {
    let backends = &config.models.get(model)?.backends;
    let backends = backends
        .iter()
        .filter_map(|index| config.backends.get(*index));
    backends.filter_map(price).min()
}

/// The list price of a usage on a backend, and where it is from.
#[must_use]
pub fn priced<'a>(
    config: &Config,
    backend: &'a Backend,
    usage: &Usage,
    asked: &Asked<'_>,
) -> Priced<'a> {
    let stated = |cost: Option<Usd>, card| Priced {
        cost,
        card: Some(card),
        stated: true,
        doubts: Flags::default(),
    };
    match &backend.price {
        Price::Unpriced => Priced {
            cost: None,
            card: None,
            stated: false,
            doubts: Flags::NO_CARD,
        },
        Price::Free => stated(Some(Usd::ZERO), "free"),
        Price::SelfHosted(hosted) => {
            let (prompt, output) = (usage.prompt_total(), usage.output_total());
            let cost = catalog::price::cost_self_hosted(hosted, prompt, output);
            stated(cost, "self_hosted")
        }
        Price::Cards(cards) => on(config, (backend.provider, cards), usage, asked),
    }
}

/// The list price of a usage on cards of a provider, by its index.
#[must_use]
pub fn on<'a>(
    config: &Config,
    (provider, cards): (usize, &'a [Card]),
    usage: &Usage,
    asked: &Asked<'_>,
) -> Priced<'a> {
    let provider = config.providers.get(provider);
    let boundary = provider.map_or(Boundary::Over, |provider| provider.boundary);
    let priced = catalog::price::cost(cards, asked, usage, boundary, &config.prices);
    Priced {
        cost: priced.cost,
        card: priced.card.map(|card| &*card.source),
        stated: priced.card.is_some_and(|card| *card.source == *STATED),
        doubts: priced.flags,
    }
}

/// A call whose worst case is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The most tokens that its prompt can have.
    pub prompt: u64,
    /// The most tokens that its output can have.
    pub output: u64,
    /// The service tier that was asked for, if any.
    pub tier: Option<&'a str>,
    pub at: Timestamp,
    /// How long it may take: it is billed when it is completed.
    pub lasts: Duration,
    /// What the model must be for.
    pub purpose: Cap,
    /// What else is known that it may be billed by.
    pub units: Usage,
}

/// The most tokens that a prompt has whose tokens were estimated: a quarter more, which is how far
/// the estimate may be off, and the frame of a short one.
#[must_use]
pub fn at_most(estimated: u64) -> u64 {
    estimated
        .saturating_add(estimated.div_ceil(4))
        .saturating_add(PER_PROMPT + PER_MESSAGE)
}

/// The most that a call can cost, whatever its tokens turn out to be: read from a cache or written
/// to one, reasoning or not, in the tier that was asked for or the standard one, now or when the
/// time for it is over. `None`: unpriced. Searches and the like come on top: nobody knows how many.
#[must_use]
pub fn worst(config: &Config, backend: &Backend, call: &Call<'_>) -> Option<Usd> {
    let Call { prompt, output, .. } = *call;
    let text = Usage {
        input: prompt,
        output,
        requests: 1,
        ..call.units
    };
    let text = metered(&backend.price, call.purpose, &text);
    let end = call.at.saturating_add(call.lasts).unwrap_or(Timestamp::MAX);
    // most cards depend on nothing of this, and are asked once
    let cards = cards(&backend.price);
    let any = |depends: fn(&Card) -> bool| cards.iter().any(depends);
    let tiers = [Some(STANDARD), call.tier.filter(|tier| *tier != STANDARD)];
    let moments = [Some(call.at), any(Card::depends_on_time).then_some(end)];
    let thinking = [Some(false), any(|card| card.when.is_some()).then_some(true)];
    let mut worst = None;
    for tier in tiers.into_iter().flatten() {
        for at in moments.into_iter().flatten() {
            for reasoning in thinking.into_iter().flatten() {
                let asked = asked_at(at, tier, reasoning);
                let price = |usage: Usage| Some((of(config, backend, &usage, &asked)?, usage));
                let plain = price(text)?;
                let dearer = |a: (Usd, Usage), b: (Usd, Usage)| if b.0 > a.0 { b } else { a };
                let prompt = prompts(text, cards).filter_map(price).fold(plain, dearer);
                let all = outputs(prompt.1, cards).filter_map(price);
                worst = worst.max(Some(all.fold(prompt, dearer).0));
            }
        }
    }
    worst
}

/// Is each search of the web billed?
#[must_use]
pub fn bills_searches(price: &Price) -> bool {
    has(cards(price), |rates| rates.web_search_k)
}

fn cards(price: &Price) -> &[Card] {
    match price {
        Price::Cards(cards) => cards,
        Price::Unpriced | Price::Free | Price::SelfHosted(_) => &[],
    }
}

/// What counts of quantities that were measured, as long as none are reported.
fn metered(price: &Price, purpose: Cap, measured: &Usage) -> Usage {
    let mut measured = *measured;
    meter::place(purpose, &mut measured);
    match price {
        Price::Cards(cards) if !purpose.writes_text() => meter::meter(cards, None, &measured).usage,
        _ => measured,
    }
}

/// The same prompt in every other bucket that has a rate of its own.
fn prompts(text: Usage, cards: &[Card]) -> impl Iterator<Item = Usage> {
    let (tokens, none) = (text.input, Usage { input: 0, ..text });
    let to = |rate: fn(&Rates) -> Option<Rate>, usage: Usage| (has(cards, rate), usage);
    [
        to(
            |r| r.cache_write,
            Usage {
                cache_write: tokens,
                ..none
            },
        ),
        to(
            |r| r.cache_write_1h,
            Usage {
                cache_write_1h: tokens,
                ..none
            },
        ),
        to(
            |r| r.input_audio,
            Usage {
                input_audio: tokens,
                ..none
            },
        ),
        to(
            |r| r.input_image,
            Usage {
                input_image: tokens,
                ..none
            },
        ),
    ]
    .into_iter()
    .filter_map(|(known, usage)| known.then_some(usage))
}

/// The same output in every other bucket that has a rate of its own.
fn outputs(text: Usage, cards: &[Card]) -> impl Iterator<Item = Usage> {
    let (tokens, none) = (text.output, Usage { output: 0, ..text });
    let to = |rate: fn(&Rates) -> Option<Rate>, usage: Usage| (has(cards, rate), usage);
    [
        to(
            |r| r.output_reasoning,
            Usage {
                reasoning: tokens,
                ..none
            },
        ),
        to(
            |r| r.output_audio,
            Usage {
                output_audio: tokens,
                ..none
            },
        ),
    ]
    .into_iter()
    .filter_map(|(known, usage)| known.then_some(usage))
}

fn has(cards: &[Card], rate: fn(&Rates) -> Option<Rate>) -> bool {
    cards.iter().any(|card| rate(&card.rates).is_some())
}

/// How a usage is priced that was completed at `at`, as far as the request alone tells.
#[must_use]
pub fn asked_at(at: Timestamp, tier: &str, reasoning: bool) -> Asked<'_> {
    Asked {
        at,
        tier,
        reasoning,
    }
}

impl Question<'_> {
    /// Tokens of the prompt that a backend has read in the turn before, where it sells those cheaper
    /// and they are enough for any cache.
    pub(super) fn warm_tokens(&self, backend: &Backend, prompt_tokens: u64) -> u64 {
        let here = self.pin.filter(|pin| pin.backend == backend.name);
        let warm = here.map_or(0, |pin| pin.tokens.min(prompt_tokens));
        let sold = || has(cards(&backend.price), |rates| rates.cache_read);
        if warm >= SHORTEST && sold() { warm } else { 0 }
    }

    /// Output tokens to expect of one choice: what the model's answers to such requests teach, else
    /// what recorded outcomes of it say.
    pub(super) fn length(&self, backend: usize, facts: &Facts) -> u64 {
        let recorded = || self.judge.length(backend, self.reading);
        let length = facts.output_tokens.or_else(recorded);
        length.unwrap_or_else(|| self.kind().prior())
    }

    /// What a model is expected to cost for this request, at its cheapest backend, had it served the
    /// conversation all along; no backend's own experience counts, so that savings are measured
    /// against a figure that anyone can repeat.
    #[must_use]
    pub fn baseline_cost(&self, model: usize) -> Option<Usd> {
        let output = self
            .kind()
            .prior()
            .min(self.needs.max_output.unwrap_or(u64::MAX));
        let output = output.saturating_mul(self.needs.choices);
        cheapest(self.config, model, |backend| {
            let prompt = self.needs.prompt_tokens;
            let before = self.pin.map_or(0, |pin| pin.tokens);
            expected(
                self,
                backend,
                (prompt, cached_if_stayed(before, prompt)),
                output,
            )
        })
    }
}
