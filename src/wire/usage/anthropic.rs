//! Anthropic's Messages: input, cache reads and cache writes stand beside each other, the output
//! includes thinking.
//!
//! Streams report in parts (the input at the start, a growing output later), so the figures are
//! kept as reported and laid over each other before they become quantities.

use crate::usage::Usage;

use super::{
    Inconsistencies, Reading,
    fields::{Field, count, elements, members, tier_word},
};

/// The figures as they were reported. `None`: absent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    tokens: Tokens,
    /// The sum over the passes of one call (compaction, fallback); then the top level is not it.
    passes: Option<Tokens>,
    searches: Option<u64>,
    tier: Option<&'static str>,
    fast: Option<bool>,
    known: bool,
    flags: Inconsistencies,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tokens {
    input: Option<u64>,
    read: Option<u64>,
    /// All writes, and how they split.
    written: Option<u64>,
    written_5m: Option<u64>,
    written_1h: Option<u64>,
    output: Option<u64>,
}

impl Counts {
    /// Reads one usage object.
    pub(super) fn read(usage: &str) -> Self {
        let mut counts = Self::default();
        if !members(usage, |name, value| counts.member(name, value)) {
            counts.flags.add(Inconsistencies::UNREADABLE);
        }
        counts
    }

    fn member(&mut self, name: &str, value: Field<'_>) {
        let flags = &mut self.flags;
        if self.tokens.member(name, value, flags) {
            self.known = true;
            return;
        }
        match name {
            "server_tool_use" => {
                members(value, |name, value| {
                    if name == "web_search_requests" {
                        self.searches = Some(count(value, flags));
                    }
                });
            }
            "iterations" => {
                elements(value, |pass| {
                    let sum = self.passes.get_or_insert_default();
                    members(pass, |name, value| {
                        let mut one = Tokens::default();
                        if one.member(name, value, flags) {
                            sum.add(&one);
                        }
                    });
                });
            }
            "service_tier" => self.tier = tier_word(value, flags),
            "speed" => self.fast = Some(value == "\"fast\""),
            "inference_geo" if value == "\"us\"" => flags.add(Inconsistencies::REGIONAL),
            _ => {}
        }
    }

    /// Lays a later event over: what it says replaces, what it leaves out stays.
    ///
    /// Its input counts only if any of it is above zero: some servers send zeros in every event,
    /// and some a provisional input first, which the whole later one must replace.
    pub(super) fn overlay(&mut self, later: &Self) {
        self.tokens.overlay(&later.tokens);
        self.passes = later.passes.or(self.passes);
        self.searches = later.searches.or(self.searches);
        self.tier = later.tier.or(self.tier);
        self.fast = later.fast.or(self.fast);
        self.known |= later.known;
        self.flags.add(later.flags);
    }

    /// Every token into one bucket.
    pub(super) fn settle(&self) -> Reading {
        let mut flags = self.flags;
        if !self.known {
            flags.add(Inconsistencies::NOTHING_READ);
        }
        let tokens = self.passes.unwrap_or(self.tokens);
        let [five, one] = [tokens.written_5m, tokens.written_1h].map(|part| part.unwrap_or(0));
        // Without the sum the parts are it; without the parts everything is the short class.
        let parts = five.saturating_add(one);
        let written = tokens.written.filter(|sum| *sum > 0).unwrap_or(parts);
        if parts > written {
            flags.add(Inconsistencies::PART_ABOVE_WHOLE);
        }
        let cache_write_1h = one.min(written);
        let usage = Usage {
            input: tokens.input.unwrap_or(0),
            cache_read: tokens.read.unwrap_or(0),
            cache_write: written - cache_write_1h,
            cache_write_1h,
            output: tokens.output.unwrap_or(0),
            searches: self.searches.unwrap_or(0),
            ..Usage::default()
        };
        let service_tier = if self.fast == Some(true) {
            Some("fast")
        } else {
            self.tier
        };
        Reading {
            usage,
            flags,
            reported_cost: None,
            service_tier,
        }
    }
}

impl Tokens {
    /// Takes a member that is a figure; false if it is none.
    fn member(&mut self, name: &str, value: Field<'_>, flags: &mut Inconsistencies) -> bool {
        let slot = match name {
            "input_tokens" => &mut self.input,
            "cache_read_input_tokens" => &mut self.read,
            "cache_creation_input_tokens" => &mut self.written,
            "output_tokens" => &mut self.output,
            "cache_creation" => {
                members(value, |name, value| match name {
                    "ephemeral_5m_input_tokens" => self.written_5m = Some(count(value, flags)),
                    "ephemeral_1h_input_tokens" => self.written_1h = Some(count(value, flags)),
                    _ => {}
                });
                return true;
            }
            _ => return false,
        };
        if value != "null" {
            *slot = Some(count(value, flags));
        }
        true
    }

    fn inputs(&mut self) -> [&mut Option<u64>; 5] {
        [
            &mut self.input,
            &mut self.read,
            &mut self.written,
            &mut self.written_5m,
            &mut self.written_1h,
        ]
    }

    fn overlay(&mut self, later: &Self) {
        let mut later = *later;
        if later
            .inputs()
            .iter()
            .any(|count| count.is_some_and(|count| count > 0))
        {
            for (mine, its) in self.inputs().into_iter().zip(later.inputs()) {
                *mine = its.or(*mine);
            }
        }
        // Cumulative: never added. A zero after something is a server that has lost it.
        if later.output.is_some_and(|output| output > 0) || self.output.is_none() {
            self.output = later.output;
        }
    }

    fn add(&mut self, other: &Self) {
        let mut other = *other;
        let plus = |mine: &mut Option<u64>, its: Option<u64>| {
            *mine = match (*mine, its) {
                (Some(mine), Some(its)) => Some(mine.saturating_add(its)),
                (mine, its) => mine.or(its),
            };
        };
        for (mine, its) in self.inputs().into_iter().zip(other.inputs()) {
            plus(mine, *its);
        }
        plus(&mut self.output, other.output);
    }
}
