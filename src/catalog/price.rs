//! What a usage costs on the cards of a model, in exact integers.
//!
//! Given the cards, the moment, the served tier and the disjoint quantities, it answers with the
//! amount, the card it was taken from and what was odd about it. It never guesses: what cannot be
//! priced is `None`, not zero. Called for every attempt, so it allocates nothing.

use jiff::Timestamp;

use crate::{
    money::{Rate, Usd, div_half_even},
    usage::Usage,
};

use super::{
    Boundary, Card, Currency, Rates, SelfHosted, Shared,
    pick::{Assume, Found, Pick, pick},
};

/// A rate is pico-dollars a unit at a price per 1,000,000; these turn it into pico-dollars for
/// the units that other prices are quoted in.
const PER_UNIT: i128 = 1_000_000;
const PER_THOUSAND: i128 = PER_UNIT / 1_000;
const MILLISECONDS_AN_HOUR: i128 = 3_600_000;
const SECONDS_AN_HOUR: i128 = 3_600;

/// What decides about the card, beyond the usage.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// When the call was completed: providers bill by that.
    pub at: Timestamp,
    /// The tier that served it, which may not be the one asked for.
    pub tier: &'a str,
    /// Was the model thinking? Some charge all of the output more when it was.
    pub reasoning: bool,
}

/// The price of a usage.
#[derive(Debug, Clone, Copy)]
pub struct Priced<'a> {
    /// `None`: not known.
    pub cost: Option<Usd>,
    /// In whole pico-units of the card's currency, before it was converted.
    pub listed: Option<i64>,
    /// The card it was taken from.
    pub card: Option<&'a Card>,
    pub flags: Flags,
}

/// What was odd about a price; a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// No card applies: unpriced.
    pub const NO_CARD: Self = Self(1);
    /// Several cards apply equally well: unpriced.
    pub const AMBIGUOUS: Self = Self(1 << 1);
    /// The card has no price for tokens that were used: unpriced.
    pub const NO_RATE: Self = Self(1 << 2);
    /// The card is in yuan and no exchange rate is known for that day: unpriced.
    pub const NO_EXCHANGE_RATE: Self = Self(1 << 3);
    /// More than can be held: unpriced.
    pub const TOO_LARGE: Self = Self(1 << 4);
    /// The tier has no card: priced on the standard one.
    pub const STANDARD_TIER: Self = Self(1 << 5);
    /// The calendar of holidays ends before that day: the dearer hours were billed.
    pub const BEYOND_CALENDAR: Self = Self(1 << 6);
    /// Searches, requests or the like were used that the card has no price for: left out.
    pub const FEE_LEFT_OUT: Self = Self(1 << 7);

    /// Every flag with its spelling.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::NO_CARD, "no_card"),
        (Self::AMBIGUOUS, "ambiguous_cards"),
        (Self::NO_RATE, "no_rate"),
        (Self::NO_EXCHANGE_RATE, "no_exchange_rate"),
        (Self::TOO_LARGE, "too_large"),
        (Self::STANDARD_TIER, "standard_tier"),
        (Self::BEYOND_CALENDAR, "beyond_calendar"),
        (Self::FEE_LEFT_OUT, "fee_left_out"),
    ];

    /// Members of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Are all members of `other` in the set?
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// No member?
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Spellings of the members.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL
            .into_iter()
            .filter(move |(flag, _)| self.has(*flag))
            .map(|(_, name)| name)
    }
}

/// Prices a usage on the one card that applies.
///
/// Where a holiday is not known yet, the dearer of the two possible cards is taken.
#[must_use]
pub fn cost<'a>(
    cards: &'a [Card],
    asked: &Asked<'_>,
    usage: &Usage,
    boundary: Boundary,
    shared: &Shared,
) -> Priced<'a> {
    let prompt = usage.prompt_total();
    let on = |assume| {
        on(
            pick(cards, asked, prompt, boundary, assume),
            asked.at,
            usage,
            shared,
        )
    };
    let (closed, uncertain) = on(Assume::Closed);
    if !uncertain {
        return closed;
    }
    let (open, _) = on(Assume::Open);
    let dearer = if open.cost >= closed.cost {
        open
    } else {
        closed
    };
    Priced {
        flags: dearer.flags.with(Flags::BEYOND_CALENDAR),
        ..dearer
    }
}

/// The cost of a call on one's own hardware: the share of the GPU-seconds that it keeps busy.
///
/// `gpu_hour × gpus ÷ 3600 × (prompt ÷ prefill_tps + output ÷ decode_tps)`, divided once.
/// `None`: a speed of zero, or more than can be held.
#[must_use]
pub fn cost_self_hosted(hardware: &SelfHosted, prompt: u64, output: u64) -> Option<Usd> {
    let (busy, unit) = hardware.busy(prompt, output)?;
    let pico = i128::from(hardware.gpu_hour.pico())
        .checked_mul(i128::from(hardware.gpus))?
        .checked_mul(busy)?;
    Usd::from_pico_wide(div_half_even(pico, unit.checked_mul(SECONDS_AN_HOUR)?)?)
}

/// The price on what was picked, and whether the pick depended on an assumption.
fn on<'a>(pick: Pick<'a>, at: Timestamp, usage: &Usage, shared: &Shared) -> (Priced<'a>, bool) {
    let tier = if pick.fell_back {
        Flags::STANDARD_TIER
    } else {
        Flags::default()
    };
    let unpriced = |card, flag| Priced {
        cost: None,
        listed: None,
        card,
        flags: tier.with(flag),
    };
    let priced = match pick.found {
        Found::None => unpriced(None, Flags::NO_CARD),
        Found::Several => unpriced(None, Flags::AMBIGUOUS),
        Found::One(card) => match listed(card, usage) {
            Err(flag) => unpriced(Some(card), flag),
            Ok((listed, flags)) => match convert(listed, card.currency, at, shared) {
                Err(flag) => unpriced(Some(card), flag),
                Ok(cost) => Priced {
                    cost: Some(cost),
                    listed: i64::try_from(listed).ok(),
                    card: Some(card),
                    flags: tier.with(flags),
                },
            },
        },
    };
    (priced, pick.uncertain)
}

/// The sum in the card's currency.
fn listed(card: &Card, usage: &Usage) -> Result<(i128, Flags), Flags> {
    if let Some(hardware) = &card.self_hosted {
        let cost = cost_self_hosted(hardware, usage.prompt_total(), usage.output_total());
        let cost = cost.ok_or(Flags::TOO_LARGE)?;
        return Ok((i128::from(cost.pico()), Flags::default()));
    }
    let mut sum = tokens(&card.rates, usage)?;
    let mut flags = Flags::default();
    let mut priced = usage.prompt_total() > 0 || usage.output_total() > 0;
    for (units, rate, scale, divisor) in fees(card, usage) {
        match rate {
            _ if units == 0 => {}
            None => flags = Flags::FEE_LEFT_OUT,
            Some(rate) => {
                priced = true;
                let fee = rate.times(units).checked_mul(scale);
                let fee = fee.and_then(|fee| div_half_even(fee, divisor));
                sum = fee
                    .and_then(|fee| sum.checked_add(fee))
                    .ok_or(Flags::TOO_LARGE)?;
            }
        }
    }
    if flags.has(Flags::FEE_LEFT_OUT) && !priced {
        // nothing of it has a price: that is not known, and not zero
        return Err(Flags::NO_RATE);
    }
    Ok((sum, flags))
}

/// The exact sum over all tokens; each bucket at its own rate or the one it falls back to.
fn tokens(rates: &Rates, usage: &Usage) -> Result<i128, Flags> {
    let (input, output) = (rates.input, rates.output);
    let cache_write = rates.cache_write.or(input);
    // Cached audio without its own rate: with a rate for audio it is not known to be cheaper than
    // that; without one audio is text.
    let cached_audio = rates
        .cache_read_audio
        .or(rates.input_audio)
        .or(rates.cache_read);
    [
        (usage.input, input),
        (usage.cache_read, rates.cache_read.or(input)),
        (usage.cache_write, cache_write),
        (usage.cache_write_1h, rates.cache_write_1h.or(cache_write)),
        (usage.input_audio, rates.input_audio.or(input)),
        (usage.cache_read_audio, cached_audio.or(input)),
        (usage.input_image, rates.input_image.or(input)),
        (usage.output, output),
        (usage.reasoning, rates.output_reasoning.or(output)),
        (usage.output_audio, rates.output_audio.or(output)),
        (usage.output_image, rates.output_image.or(output)),
    ]
    .into_iter()
    .filter(|(units, _)| *units > 0)
    .try_fold(0_i128, |sum, (units, rate)| {
        let rate: Rate = rate.ok_or(Flags::NO_RATE)?;
        sum.checked_add(rate.times(units)).ok_or(Flags::TOO_LARGE)
    })
}

/// `(units, rate, multiply, then divide)` of everything that is not a token.
fn fees(card: &Card, usage: &Usage) -> [(u64, Option<Rate>, i128, i128); 6] {
    let rates = &card.rates;
    let least = match usage.milliseconds {
        0 => 0,
        _ => u64::from(card.min_audio_seconds) * 1_000,
    };
    [
        (usage.searches, rates.web_search_k, PER_THOUSAND, 1),
        (usage.requests, rates.request_k, PER_THOUSAND, 1),
        (
            usage.milliseconds.max(least),
            rates.audio_hour,
            PER_UNIT,
            MILLISECONDS_AN_HOUR,
        ),
        (usage.chars, rates.char_m, 1, 1),
        (usage.images, rates.image_each, PER_UNIT, 1),
        (usage.pages, rates.page_k, PER_THOUSAND, 1),
    ]
}

/// To dollars, at the rate of the day, rounded once.
fn convert(listed: i128, from: Currency, at: Timestamp, shared: &Shared) -> Result<Usd, Flags> {
    let pico = match from {
        Currency::Usd => Some(listed),
        Currency::Cny => {
            let rate = shared.exchange.iter().find(|rate| rate.from <= at);
            let rate = rate.ok_or(Flags::NO_EXCHANGE_RATE)?;
            let dividend = listed.checked_mul(i128::from(rate.num));
            dividend.and_then(|dividend| div_half_even(dividend, i128::from(rate.den)))
        }
    };
    pico.and_then(Usd::from_pico_wide).ok_or(Flags::TOO_LARGE)
}

#[cfg(test)]
mod tests;
