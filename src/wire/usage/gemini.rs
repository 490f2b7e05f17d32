//! Gemini's own shape: the prompt includes cached tokens, thoughts stand beside the candidates,
//! what tools put into the prompt stands on top of it.
//!
//! The Live API names the answer `response…` instead of `candidates…`.

use crate::usage::Usage;

use super::{
    Inconsistencies, Reading,
    fields::{Field, count, elements, members, tier_word},
    take, take_all,
};

/// The figures as they were reported. Zero: absent, or zero.
#[derive(Debug, Default)]
struct Counts {
    prompt: u64,
    tools: u64,
    cached: u64,
    answer: u64,
    thoughts: u64,
    total: u64,
    prompt_parts: Parts,
    cached_parts: Parts,
    answer_parts: Parts,
    tier: Option<&'static str>,
    known: bool,
    flags: Inconsistencies,
}

/// Tokens by modality, of those that may cost differently. Documents and video count as text.
#[derive(Debug, Default)]
struct Parts {
    audio: u64,
    image: u64,
}

/// Reads a `usageMetadata` object.
pub(super) fn read(usage: &str) -> Reading {
    let mut counts = Counts::default();
    if !members(usage, |name, value| counts.member(name, value)) {
        counts.flags.add(Inconsistencies::UNREADABLE);
    }
    if !counts.known {
        counts.flags.add(Inconsistencies::NOTHING_READ);
    }
    let usage = counts.settle();
    Reading {
        usage,
        flags: counts.flags,
        reported_cost: None,
        service_tier: counts.tier,
    }
}

impl Counts {
    fn member(&mut self, name: &str, value: Field<'_>) {
        let flags = &mut self.flags;
        let slot = match name {
            "promptTokenCount" => &mut self.prompt,
            "toolUsePromptTokenCount" => &mut self.tools,
            "cachedContentTokenCount" => &mut self.cached,
            "candidatesTokenCount" | "responseTokenCount" => &mut self.answer,
            "thoughtsTokenCount" => &mut self.thoughts,
            "totalTokenCount" => &mut self.total,
            "promptTokensDetails" => return self.prompt_parts.read(value, flags),
            "cacheTokensDetails" => return self.cached_parts.read(value, flags),
            "candidatesTokensDetails" | "responseTokensDetails" => {
                return self.answer_parts.read(value, flags);
            }
            "trafficType" | "serviceTier" => {
                self.tier = tier_word(value, flags);
                return;
            }
            _ => return,
        };
        *slot = count(value, flags);
        self.known = true;
    }

    /// Every token into one bucket.
    fn settle(&mut self) -> Usage {
        let mut usage = Usage::default();
        let mut rest = self.prompt;
        let read = take_all(&mut rest, self.cached, &mut self.flags);
        usage.cache_read_audio = self.cached_parts.audio.min(read);
        usage.cache_read = read - usage.cache_read_audio;
        let fresh = |all: u64, cached: u64| all.saturating_sub(cached);
        let audio = fresh(self.prompt_parts.audio, self.cached_parts.audio);
        usage.input_audio = take(&mut rest, audio);
        let image = fresh(self.prompt_parts.image, self.cached_parts.image);
        usage.input_image = take(&mut rest, image);
        usage.input = rest + self.tools;

        let prompt = self.prompt + self.tools;
        // Once it was inside; a total that leaves no room for it tells.
        let inside =
            self.total > 0 && self.total == prompt + self.answer && self.thoughts <= self.answer;
        let mut rest = if inside {
            self.answer - self.thoughts
        } else {
            self.answer
        };
        let sum = prompt + rest + self.thoughts;
        let hidden = self.total.saturating_sub(sum);
        if hidden > 0 {
            self.flags.add(Inconsistencies::HIDDEN_REASONING);
        }
        if self.total > 0 && self.total < sum {
            self.flags.add(Inconsistencies::TOTAL_BELOW_SUM);
        }
        usage.reasoning = self.thoughts + hidden;
        usage.output_audio = take(&mut rest, self.answer_parts.audio);
        usage.output_image = take(&mut rest, self.answer_parts.image);
        usage.output = rest;
        usage
    }
}

impl Parts {
    fn read(&mut self, value: Field<'_>, flags: &mut Inconsistencies) {
        elements(value, |part| {
            let (mut modality, mut tokens) = ("", 0);
            members(part, |name, value| match name {
                "modality" => modality = value.trim_matches('"'),
                "tokenCount" => tokens = count(value, flags),
                _ => {}
            });
            match modality {
                "AUDIO" => self.audio = self.audio.saturating_add(tokens),
                "IMAGE" => self.image = self.image.saturating_add(tokens),
                _ => {}
            }
        });
    }
}
