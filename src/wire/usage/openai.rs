//! OpenAI's shape and its relatives: chat, completions, embeddings, Responses, transcriptions;
//! DeepSeek, xAI, DashScope, Moonshot, Perplexity and whoever calls himself compatible.
//!
//! The prompt includes cached, written, audio and image tokens, the completion includes reasoning
//! and audio; where a relative counts beside instead of inside, its rule or the total tells.

use crate::{catalog::Adapter, money::Usd, usage::Usage};

use super::{
    Inconsistencies, Reading,
    fields::{Field, count, dollars, members, thousandths, ticks, tier_word},
    take, take_all,
};

/// The figures as they were reported. Zero: absent, or zero.
#[derive(Debug, Default)]
struct Counts {
    /// Chat's name and that of the Responses API; some servers send both, one of them zero.
    prompt: [u64; 2],
    completion: [u64; 2],
    total: u64,
    /// DeepSeek's, the details' and Moonshot's places for the same figure.
    cached: [u64; 3],
    missed: u64,
    cached_audio: u64,
    cached_image: u64,
    cache_write: u64,
    cache_write_1h: u64,
    audio_in: u64,
    image_in: u64,
    reasoning: u64,
    audio_out: u64,
    image_out: u64,
    citations: u64,
    searches: u64,
    milliseconds: u64,
    chars: u64,
    pages: u64,
    cost: Option<Usd>,
    /// What a key of one's own was charged elsewhere.
    upstream_cost: Option<Usd>,
    own_key: bool,
    tier: Option<&'static str>,
    known: bool,
    flags: Inconsistencies,
}

/// Reads a usage object of this family.
pub(super) fn read(adapter: Adapter, usage: &str) -> Reading {
    let mut counts = Counts::default();
    let complete = members(usage, |name, value| counts.member(name, value));
    if !complete {
        counts.flags.add(Inconsistencies::UNREADABLE);
    }
    if !counts.known {
        counts.flags.add(Inconsistencies::NOTHING_READ);
    }
    let mut usage = Usage {
        searches: counts.searches,
        milliseconds: counts.milliseconds,
        chars: counts.chars,
        pages: counts.pages,
        ..Usage::default()
    };
    counts.input(&mut usage);
    if adapter == Adapter::Perplexity {
        usage.input += counts.citations;
        usage.requests = u64::from(counts.known);
    }
    counts.output(adapter, &mut usage);
    Reading {
        usage,
        flags: counts.flags,
        reported_cost: counts.reported_cost(),
        service_tier: counts.tier,
    }
}

impl Counts {
    fn member(&mut self, name: &str, value: Field<'_>) {
        let flags = &mut self.flags;
        let slot = match name {
            "prompt_tokens" => &mut self.prompt[0],
            "input_tokens" => &mut self.prompt[1],
            "completion_tokens" => &mut self.completion[0],
            "output_tokens" => &mut self.completion[1],
            "total_tokens" => &mut self.total,
            "prompt_cache_hit_tokens" => &mut self.cached[0],
            "cached_tokens" => &mut self.cached[2],
            "prompt_cache_miss_tokens" => &mut self.missed,
            "reasoning_tokens" => &mut self.reasoning,
            "citation_tokens" => &mut self.citations,
            "num_search_queries" => &mut self.searches,
            "characters" => &mut self.chars,
            "pages_processed" => &mut self.pages,
            "seconds" => {
                self.milliseconds = thousandths(value, flags);
                self.known = true;
                return;
            }
            _ => return self.other(name, value),
        };
        put(slot, value, flags);
        self.known = true;
    }

    fn other(&mut self, name: &str, value: Field<'_>) {
        let flags = &mut self.flags;
        match name {
            "prompt_tokens_details" | "input_tokens_details" | "input_token_details" => {
                members(value, |name, value| self.input_detail(name, value));
            }
            "completion_tokens_details" | "output_tokens_details" | "output_token_details" => {
                members(value, |name, value| match name {
                    "reasoning_tokens" => put(&mut self.reasoning, value, flags),
                    "audio_tokens" => put(&mut self.audio_out, value, flags),
                    "image_tokens" => put(&mut self.image_out, value, flags),
                    _ => {}
                });
            }
            "server_tool_use" => {
                members(value, |name, value| {
                    if name == "web_search_requests" {
                        put(&mut self.searches, value, flags);
                    }
                });
            }
            // A number of OpenRouter, an object of Perplexity.
            "cost" if value.starts_with('{') => {
                members(value, |name, value| {
                    if name == "total_cost" {
                        self.cost = dollars(value, flags);
                    }
                });
            }
            "cost" => self.cost = dollars(value, flags),
            "cost_in_usd_ticks" => self.cost = ticks(value, flags),
            "cost_details" => {
                members(value, |name, value| {
                    if name == "upstream_inference_cost" {
                        self.upstream_cost = dollars(value, flags);
                    }
                });
            }
            "is_byok" => self.own_key = value == "true",
            "service_tier" => self.tier = tier_word(value, flags),
            _ => {}
        }
    }

    fn input_detail(&mut self, name: &str, value: Field<'_>) {
        let flags = &mut self.flags;
        match name {
            "cached_tokens" => put(&mut self.cached[1], value, flags),
            "audio_tokens" => put(&mut self.audio_in, value, flags),
            "image_tokens" => put(&mut self.image_in, value, flags),
            "cache_write_tokens" | "cache_creation_input_tokens" | "cache_creation_tokens" => {
                put(&mut self.cache_write, value, flags);
            }
            "cached_tokens_details" => {
                members(value, |name, value| match name {
                    "audio_tokens" => put(&mut self.cached_audio, value, flags),
                    "image_tokens" => put(&mut self.cached_image, value, flags),
                    _ => {}
                });
            }
            "cache_creation" => {
                members(value, |name, value| {
                    if name == "ephemeral_1h_input_tokens" {
                        put(&mut self.cache_write_1h, value, flags);
                    }
                });
            }
            "cache_type" if value == "\"ephemeral\"" => flags.add(Inconsistencies::EXPLICIT_CACHE),
            _ => {}
        }
    }

    /// Every input token into one bucket.
    fn input(&mut self, usage: &mut Usage) {
        let cached = self.cached_once();
        let [chat, responses] = self.prompt;
        let mut rest = if chat > 0 { chat } else { responses };
        if rest == 0 {
            rest = self.cached[0] + self.missed;
        }
        let one_hour = self.cache_write_1h.min(self.cache_write);
        let inside = cached + self.cache_write;
        if inside > rest && self.total > 0 && self.total >= rest + inside + self.completion() {
            self.flags.add(Inconsistencies::CACHE_BESIDE);
            rest += inside;
        }
        let read = take_all(&mut rest, cached, &mut self.flags);
        usage.cache_read_audio = self.cached_audio.min(read);
        usage.cache_read = read - usage.cache_read_audio;
        usage.cache_write_1h = take_all(&mut rest, one_hour, &mut self.flags);
        let five_minutes = self.cache_write - one_hour;
        usage.cache_write = take_all(&mut rest, five_minutes, &mut self.flags);
        // Audio and images may themselves be cached without anybody saying how many: no flag.
        usage.input_audio = take(&mut rest, self.audio_in.saturating_sub(self.cached_audio));
        usage.input_image = take(&mut rest, self.image_in.saturating_sub(self.cached_image));
        usage.input = rest;
    }

    /// The one figure that may stand in three places.
    fn cached_once(&mut self) -> u64 {
        let mut said = self.cached.into_iter().filter(|cached| *cached > 0);
        let cached = said.next().unwrap_or(0);
        if said.any(|other| other != cached) {
            self.flags.add(Inconsistencies::MIRRORS_DIFFER);
        }
        cached
    }

    fn completion(&self) -> u64 {
        let [chat, responses] = self.completion;
        if chat > 0 { chat } else { responses }
    }

    /// Every output token into one bucket.
    fn output(&mut self, adapter: Adapter, usage: &mut Usage) {
        let completion = self.completion();
        let prompt = usage.prompt_total();
        let above = |sum: u64| self.total.saturating_sub(sum);
        let gap = above(prompt + completion);
        let chat = self.prompt[0] > 0 || self.completion[0] > 0;
        let beside = match adapter {
            // The Responses API and a total that leaves no room have it inside.
            Adapter::Xai => chat && (gap > 0 || self.total == 0),
            Adapter::Perplexity => true,
            _ => gap > 0 && gap == self.reasoning,
        };
        let mut rest = completion + if beside { self.reasoning } else { 0 };
        let hidden = if self.total > 0 {
            above(prompt + rest)
        } else {
            0
        };
        if beside && !matches!(adapter, Adapter::Xai | Adapter::Perplexity) {
            self.flags.add(Inconsistencies::REASONING_BESIDE);
        }
        if hidden > 0 {
            self.flags.add(Inconsistencies::HIDDEN_REASONING);
        }
        // Some leave the total at zero; Perplexity's leaves out what it counts beside.
        let itemised = prompt.saturating_sub(self.citations) + completion;
        if self.total > 0 && self.total < itemised {
            self.flags.add(Inconsistencies::TOTAL_BELOW_SUM);
        }
        rest += hidden;
        usage.reasoning = take_all(&mut rest, self.reasoning + hidden, &mut self.flags);
        usage.output_audio = take(&mut rest, self.audio_out);
        usage.output_image = take(&mut rest, self.image_out);
        usage.output = rest;
    }

    /// The bill, if it is said. With a key of one's own the aggregator's fee and the provider's
    /// charge are two amounts; otherwise the second is only how the first came about.
    fn reported_cost(&self) -> Option<Usd> {
        match (self.cost, self.upstream_cost) {
            (Some(fee), Some(upstream)) if self.own_key => fee.checked_add(upstream),
            (cost, _) => cost,
        }
    }
}

/// Keeps a figure; a zero says nothing where another place said something.
fn put(slot: &mut u64, value: Field<'_>, flags: &mut Inconsistencies) {
    let value = count(value, flags);
    if value > 0 {
        *slot = value;
    }
}
