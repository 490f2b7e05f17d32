//! The usage object: OpenAI's, and what other providers make of it.

use serde::Serialize;

use crate::simulate::answer::Counts;
use crate::simulate::directive::UsageStyle;

#[derive(Serialize)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_hit_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_miss_tokens: Option<u64>,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    audio_tokens: u64,
}

#[derive(Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
    audio_tokens: u64,
    accepted_prediction_tokens: u64,
    rejected_prediction_tokens: u64,
}

impl Usage {
    /// The counts in a provider's habit.
    pub(super) fn of(counts: Counts, style: UsageStyle) -> Self {
        let Counts {
            prompt,
            mut cached,
            mut completion,
            mut reasoning,
        } = counts;
        let mut total = prompt.saturating_add(completion);
        let mut prompt_tokens = prompt;
        match style {
            UsageStyle::Zero => {
                (prompt_tokens, cached, completion, reasoning, total) = (0, 0, 0, 0, 0);
            }
            // parts greater than their wholes, and a sum that is none
            UsageStyle::Bad => {
                cached = prompt.saturating_add(1000);
                reasoning = completion.saturating_add(1000);
                total = prompt / 2;
            }
            // the completion without its reasoning, the total with it
            UsageStyle::Xai => completion = completion.saturating_sub(reasoning),
            _ => {}
        }
        let deepseek = style == UsageStyle::DeepSeek;
        Usage {
            prompt_tokens,
            completion_tokens: completion,
            total_tokens: total,
            prompt_tokens_details: PromptDetails {
                cached_tokens: cached,
                audio_tokens: 0,
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: reasoning,
                audio_tokens: 0,
                accepted_prediction_tokens: 0,
                rejected_prediction_tokens: 0,
            },
            prompt_cache_hit_tokens: deepseek.then_some(cached),
            prompt_cache_miss_tokens: deepseek.then(|| prompt.saturating_sub(cached)),
        }
    }
}
