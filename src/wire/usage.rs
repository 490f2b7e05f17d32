//! From what a provider reports to disjoint quantities, each token in exactly one bucket.
//!
//! Every endpoint flavour counts in its own way; [`read`] knows the ten that the catalogue names.
//! It takes whatever comes: what is negative, huge, of the wrong type or larger than the whole it
//! is part of is clamped and said in the flags. It never panics and never invents a token that
//! was not reported. It does not price.

use crate::{catalog::Adapter, money::Usd, usage::Usage};

use self::fields::{Field, members};

mod anthropic;
mod bedrock;
mod cohere;
mod fields;
mod gemini;
mod openai;

/// What a usage object says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    pub usage: Usage,
    pub flags: Inconsistencies,
    /// What the provider says it charges; where it says so, that is the bill.
    pub reported_cost: Option<Usd>,
    /// The tier that served the call, in the catalogue's words; most flavours say it elsewhere in
    /// the answer, see [`tier`].
    pub service_tier: Option<&'static str>,
}

/// What was odd about a usage object; a set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inconsistencies(u16);

impl Inconsistencies {
    /// A count below zero: taken as zero.
    pub const NEGATIVE: Self = Self(1);
    /// A count that no call can have: held at [`MAX_COUNT`].
    pub const HUGE: Self = Self(1 << 1);
    /// A count that is a text, a fraction or something else.
    pub const NOT_A_COUNT: Self = Self(1 << 2);
    /// A part is larger than the whole it belongs to: cut down to it.
    pub const PART_ABOVE_WHOLE: Self = Self(1 << 3);
    /// The same figure stands in two places and differs.
    pub const MIRRORS_DIFFER: Self = Self(1 << 4);
    /// Cached tokens stand beside the prompt where the flavour has them inside.
    pub const CACHE_BESIDE: Self = Self(1 << 5);
    /// Reasoning stands beside the completion where the flavour has it inside.
    pub const REASONING_BESIDE: Self = Self(1 << 6);
    /// The total is above all that is itemised: the rest is billed as reasoning.
    pub const HIDDEN_REASONING: Self = Self(1 << 7);
    /// The total is below what is itemised.
    pub const TOTAL_BELOW_SUM: Self = Self(1 << 8);
    /// A service tier that the catalogue has no word for.
    pub const UNKNOWN_TIER: Self = Self(1 << 9);
    /// Served in a region that costs more, which no card says.
    pub const REGIONAL: Self = Self(1 << 10);
    /// Read from an explicit cache, which may cost less than the card's one rate for reads.
    pub const EXPLICIT_CACHE: Self = Self(1 << 11);
    /// Not a JSON object, or cut off.
    pub const UNREADABLE: Self = Self(1 << 12);
    /// Nothing in it is a known figure.
    pub const NOTHING_READ: Self = Self(1 << 13);

    /// Every one with its spelling.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::NEGATIVE, "negative"),
        (Self::HUGE, "huge"),
        (Self::NOT_A_COUNT, "not_a_count"),
        (Self::PART_ABOVE_WHOLE, "part_above_whole"),
        (Self::MIRRORS_DIFFER, "mirrors_differ"),
        (Self::CACHE_BESIDE, "cache_beside_prompt"),
        (Self::REASONING_BESIDE, "reasoning_beside_completion"),
        (Self::HIDDEN_REASONING, "hidden_reasoning"),
        (Self::TOTAL_BELOW_SUM, "total_below_sum"),
        (Self::UNKNOWN_TIER, "unknown_tier"),
        (Self::REGIONAL, "regional"),
        (Self::EXPLICIT_CACHE, "explicit_cache"),
        (Self::UNREADABLE, "unreadable"),
        (Self::NOTHING_READ, "nothing_read"),
    ];

    /// Adds the members of another set.
    pub fn add(&mut self, other: Self) {
        self.0 |= other.0;
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

/// The largest count that is believed: far above any context, far below where sums overflow.
pub const MAX_COUNT: u64 = 1_000_000_000_000;

/// Reads one whole usage object, as JSON.
#[must_use]
pub fn read(adapter: Adapter, usage: &str) -> Reading {
    match adapter {
        Adapter::Anthropic => anthropic::Counts::read(usage).settle(),
        Adapter::Gemini => gemini::read(usage),
        Adapter::Bedrock => bedrock::read(usage),
        Adapter::Cohere => cohere::read(usage),
        Adapter::OpenAi
        | Adapter::DeepSeek
        | Adapter::Xai
        | Adapter::DashScope
        | Adapter::Moonshot
        | Adapter::Perplexity => openai::read(adapter, usage),
    }
}

/// The usage of a stream, from the usage objects of its events.
///
/// Every flavour repeats cumulative figures, so the last one that says anything counts and none
/// is ever added; Anthropic's come in parts, each of which counts on its own.
#[derive(Debug, Clone)]
pub struct Tally {
    adapter: Adapter,
    parts: anthropic::Counts,
    last: Option<Reading>,
}

impl Tally {
    /// Of a stream of which nothing was seen yet.
    #[must_use]
    pub fn new(adapter: Adapter) -> Self {
        Self {
            adapter,
            parts: anthropic::Counts::default(),
            last: None,
        }
    }

    /// Takes in the next usage object.
    pub fn see(&mut self, usage: &str) {
        if self.adapter == Adapter::Anthropic {
            self.parts.overlay(&anthropic::Counts::read(usage));
            self.last = Some(self.parts.settle());
            return;
        }
        let reading = read(self.adapter, usage);
        // Some send zeros in every event, or once more at the end.
        let says = reading.usage != Usage::default() || reading.reported_cost.is_some();
        if says || self.last.is_none() {
            self.last = Some(reading);
        }
    }

    /// What was used so far; `None`: no event said.
    #[must_use]
    pub fn reading(&self) -> Option<Reading> {
        self.last
    }
}

/// The usage object of an answer or a stream event, if it has one that is not null.
#[must_use]
pub fn find(event: &str) -> Option<&str> {
    let (mut outer, mut inner) = (None, None);
    members(event, |name, value| match name {
        "usage" | "usageMetadata" => outer = outer.or(object(value)),
        // Anthropic's `message_start`, OpenAI's `response.completed`, Bedrock's and Groq's ends.
        "message" | "response" | "metadata" | "x_groq" => {
            members(value, |name, value| {
                if name == "usage" {
                    inner = inner.or(object(value));
                }
            });
        }
        _ => {}
    });
    outer.or(inner)
}

fn object(value: Field<'_>) -> Option<Field<'_>> {
    value.starts_with('{').then_some(value)
}

/// The catalogue's word for a service tier as answers name it; `None`: it has none.
#[must_use]
pub fn tier(served: &str) -> Option<&'static str> {
    Some(match served {
        "standard" | "default" | "auto" | "on_demand" | "ON_DEMAND" | "STANDARD" => "standard",
        "batch" | "BATCH" => "batch",
        "flex" | "FLEX" | "ON_DEMAND_FLEX" => "flex",
        "priority" | "PRIORITY" | "ON_DEMAND_PRIORITY" => "priority",
        "fast" => "fast",
        _ => return None,
    })
}

/// Takes a part out of what is left of a whole; a part that is larger is cut down.
fn take(rest: &mut u64, part: u64) -> u64 {
    let part = part.min(*rest);
    *rest -= part;
    part
}

/// As [`take`], and says so if the part was larger.
fn take_all(rest: &mut u64, part: u64, flags: &mut Inconsistencies) -> u64 {
    if part > *rest {
        flags.add(Inconsistencies::PART_ABOVE_WHOLE);
    }
    take(rest, part)
}

#[cfg(test)]
mod tests;
