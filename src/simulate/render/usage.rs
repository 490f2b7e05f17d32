//! The usage object: OpenAI's, and what other providers make of it.

use serde::Serialize;

use serde_json::value::RawValue;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    audio_tokens: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cache_write_tokens: u64,
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
    pub(super) fn of(counts: Counts, style: UsageStyle, cost: Option<&str>) -> Self {
        let Counts {
            prompt,
            mut cached,
            mut written,
            mut completion,
            mut reasoning,
        } = counts;
        let mut total = prompt.saturating_add(completion);
        let mut prompt_tokens = prompt;
        match style {
            UsageStyle::Zero => {
                (prompt_tokens, cached, written) = (0, 0, 0);
                (completion, reasoning, total) = (0, 0, 0);
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
                cache_write_tokens: written,
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: reasoning,
                audio_tokens: 0,
                accepted_prediction_tokens: 0,
                rejected_prediction_tokens: 0,
            },
            prompt_cache_hit_tokens: deepseek.then_some(cached),
            prompt_cache_miss_tokens: deepseek.then(|| prompt.saturating_sub(cached)),
            cost: cost.and_then(|cost| RawValue::from_string(cost.to_owned()).ok()),
        }
    }
}

/// Providers without a price for writes do not mention them.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}
