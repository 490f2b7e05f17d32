//! What holds for any JSON at all.

use proptest::prelude::*;

use super::*;

/// Every name that any flavour knows, so that random objects mean something.
const NAMES: [&str; 34] = [
    "prompt_tokens",
    "input_tokens",
    "completion_tokens",
    "output_tokens",
    "total_tokens",
    "prompt_cache_hit_tokens",
    "prompt_cache_miss_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "citation_tokens",
    "audio_tokens",
    "image_tokens",
    "cache_write_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "cached_tokens_details",
    "cache_creation",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "ephemeral_5m_input_tokens",
    "ephemeral_1h_input_tokens",
    "iterations",
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "cachedContentTokenCount",
    "totalTokenCount",
    "promptTokensDetails",
    "inputTokens",
    "outputTokens",
    "totalTokens",
    "billed_units",
    "cost",
];

fn any_usage() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => (0_u64..5_000).prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => "[0-9a-z-]{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 12, |inner| {
        prop_oneof![
            4 => prop::collection::hash_map(prop::sample::select(&NAMES[..]), inner.clone(), 0..12)
                .prop_map(|map| map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            1 => prop::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}

/// All numbers in it, each as large as it could be read.
fn reported(value: &Value) -> u128 {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(number) if number > 0.0 => (number.min(1e12) as u128) + 1,
            _ => 0,
        },
        Value::String(text) => text.parse().unwrap_or(0),
        Value::Array(items) => items.iter().map(reported).sum(),
        Value::Object(items) => items.values().map(reported).sum(),
        Value::Null | Value::Bool(_) => 0,
    }
}

proptest! {
    #[test]
    fn buckets_never_hold_more_than_was_reported(usage in any_usage()) {
        let reported = reported(&usage);
        for adapter in ADAPTERS {
            let read = read_as(adapter, &usage).usage;
            let held = u128::from(read.prompt_total()) + u128::from(read.output_total());
            prop_assert!(held <= reported, "{:?} {} of {}", adapter, held, reported);
        }
    }

    #[test]
    fn reading_any_text_never_panics(text in "\\PC*") {
        for adapter in ADAPTERS {
            let _ = read(adapter, &text);
        }
        let _ = find(&text);
    }

    #[test]
    fn a_plain_usage_is_split_without_loss(prompt in 0_u64..1_000_000, completion in 0_u64..1_000_000, cached in 0_u64..1_000_000, reasoning in 0_u64..1_000_000) {
        let (cached, reasoning) = (cached.min(prompt), reasoning.min(completion));
        let usage = json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached}, "completion_tokens_details": {"reasoning_tokens": reasoning}});
        for adapter in [Adapter::OpenAi, Adapter::DeepSeek, Adapter::DashScope, Adapter::Moonshot, Adapter::Xai] {
            let read = clean(adapter, &usage);
            prop_assert_eq!(read.prompt_total(), prompt);
            prop_assert_eq!(read.output_total(), completion);
            prop_assert_eq!((read.cache_read, read.reasoning), (cached, reasoning));
        }
    }

    #[test]
    fn a_stream_seen_again_reads_the_same(usages in prop::collection::vec(any_usage(), 1..4)) {
        for adapter in ADAPTERS {
            let mut tally = Tally::new(adapter);
            for usage in &usages {
                tally.see(&usage.to_string());
            }
            let once = tally.reading().unwrap().usage;
            tally.see(&usages.last().unwrap().to_string());
            prop_assert_eq!(tally.reading().unwrap().usage, once, "{:?}", adapter);
        }
    }
}
