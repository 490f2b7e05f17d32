//! One test for each known trap, named after it: OpenAI, Anthropic, and what any may send.

use serde_json::{Value, json};

use super::*;

mod flavours;
mod properties;

const ADAPTERS: [Adapter; 10] = [
    Adapter::OpenAi,
    Adapter::DeepSeek,
    Adapter::Anthropic,
    Adapter::Gemini,
    Adapter::Bedrock,
    Adapter::Xai,
    Adapter::DashScope,
    Adapter::Moonshot,
    Adapter::Perplexity,
    Adapter::Cohere,
];

fn read_as(adapter: Adapter, usage: &Value) -> Reading {
    read(adapter, &usage.to_string())
}

/// Reads what raises no flag.
fn clean(adapter: Adapter, usage: &Value) -> Usage {
    let reading = read_as(adapter, usage);
    assert!(
        reading.flags.is_empty(),
        "{usage}: {:?}",
        reading.flags.names().collect::<Vec<_>>()
    );
    reading.usage
}

const NONE: Usage = Usage {
    input: 0,
    cache_read: 0,
    cache_write: 0,
    cache_write_1h: 0,
    input_audio: 0,
    cache_read_audio: 0,
    input_image: 0,
    output: 0,
    reasoning: 0,
    output_audio: 0,
    output_image: 0,
    searches: 0,
    requests: 0,
    milliseconds: 0,
    chars: 0,
    images: 0,
    pages: 0,
};

#[test]
fn openai_has_cache_audio_and_reasoning_inside() {
    let chat = json!({"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500,
        "prompt_tokens_details": {"cached_tokens": 300, "audio_tokens": 100, "cache_write_tokens": 50},
        "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 30,
            "accepted_prediction_tokens": 10, "rejected_prediction_tokens": 20}});
    let expected = Usage {
        input: 550,
        cache_read: 300,
        cache_write: 50,
        input_audio: 100,
        output: 270,
        reasoning: 200,
        output_audio: 30,
        ..NONE
    };
    assert_eq!(clean(Adapter::OpenAi, &chat), expected);
    let responses = json!({"input_tokens": 1000, "output_tokens": 500, "total_tokens": 1500,
        "input_tokens_details": {"cached_tokens": 300, "audio_tokens": 100, "cache_write_tokens": 50},
        "output_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 30}});
    assert_eq!(clean(Adapter::OpenAi, &responses), expected);
}

#[test]
fn rejected_predictions_are_output_that_is_billed() {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 90, "total_tokens": 100,
        "completion_tokens_details": {"accepted_prediction_tokens": 30,
            "rejected_prediction_tokens": 40}});
    assert_eq!(clean(Adapter::OpenAi, &usage).output_total(), 90);
}

#[test]
fn cached_audio_is_neither_text_nor_billed_twice() {
    let usage = json!({"prompt_tokens": 1000, "completion_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 400, "audio_tokens": 300,
            "cached_tokens_details": {"audio_tokens": 100, "text_tokens": 300}}});
    assert_eq!(
        clean(Adapter::OpenAi, &usage),
        Usage {
            input: 400,
            cache_read: 300,
            cache_read_audio: 100,
            input_audio: 200,
            ..NONE
        }
    );
}

#[test]
fn anthropic_has_cache_beside_and_splits_writes_by_their_life() {
    let usage = json!({"input_tokens": 3, "cache_creation_input_tokens": 12304,
        "cache_read_input_tokens": 7, "output_tokens": 50,
        "cache_creation": {"ephemeral_5m_input_tokens": 300, "ephemeral_1h_input_tokens": 12000},
        "server_tool_use": {"web_search_requests": 3}});
    let read = clean(Adapter::Anthropic, &usage);
    assert_eq!(
        read,
        Usage {
            input: 3,
            cache_read: 7,
            cache_write: 304,
            cache_write_1h: 12000,
            output: 50,
            searches: 3,
            ..NONE
        }
    );
    assert_eq!(read.prompt_total(), 12314);
    let old = json!({"input_tokens": 3, "cache_creation_input_tokens": 9, "output_tokens": 1});
    assert_eq!(
        clean(Adapter::Anthropic, &old).cache_write,
        9,
        "unsplit is the short class"
    );
    let parts = json!({"input_tokens": 3, "cache_creation": {"ephemeral_1h_input_tokens": 9}});
    assert_eq!(
        clean(Adapter::Anthropic, &parts).cache_write_1h,
        9,
        "the parts without the sum"
    );
}

#[test]
fn anthropic_passes_of_one_call_are_summed_instead_of_the_top_level() {
    let usage = json!({"input_tokens": 10, "output_tokens": 5, "iterations": [
        {"type": "compaction", "input_tokens": 1000, "output_tokens": 100, "cache_read_input_tokens": 1},
        {"type": "message", "input_tokens": 10, "output_tokens": 5}]});
    assert_eq!(
        clean(Adapter::Anthropic, &usage),
        Usage {
            input: 1010,
            cache_read: 1,
            output: 105,
            ..NONE
        }
    );
    let none = json!({"input_tokens": 10, "output_tokens": 5, "iterations": null});
    assert_eq!(
        clean(Adapter::Anthropic, &none),
        Usage {
            input: 10,
            output: 5,
            ..NONE
        }
    );
}

#[test]
fn the_served_tier_is_read_from_the_answer() {
    for (usage, tier) in [
        (
            json!({"input_tokens": 1, "service_tier": "batch"}),
            Some("batch"),
        ),
        (
            json!({"input_tokens": 1, "service_tier": "standard", "speed": "fast"}),
            Some("fast"),
        ),
        (
            json!({"input_tokens": 1, "service_tier": "priority", "speed": "standard"}),
            Some("priority"),
        ),
        (json!({"input_tokens": 1}), None),
    ] {
        assert_eq!(
            read_as(Adapter::Anthropic, &usage).service_tier,
            tier,
            "{usage}"
        );
    }
    let flex = json!({"promptTokenCount": 1, "trafficType": "ON_DEMAND_FLEX"});
    assert_eq!(read_as(Adapter::Gemini, &flex).service_tier, Some("flex"));
    assert_eq!(tier("default"), Some("standard"));
    let odd = read_as(
        Adapter::Anthropic,
        &json!({"input_tokens": 1, "service_tier": "gold"}),
    );
    assert!(odd.flags.has(Inconsistencies::UNKNOWN_TIER));
    let us = read_as(
        Adapter::Anthropic,
        &json!({"input_tokens": 1, "inference_geo": "us"}),
    );
    assert!(us.flags.has(Inconsistencies::REGIONAL));
}

fn stream(adapter: Adapter, usages: &[Value]) -> Usage {
    let mut tally = Tally::new(adapter);
    for usage in usages {
        tally.see(&usage.to_string());
    }
    tally.reading().unwrap().usage
}

#[test]
fn anthropic_streams_are_cumulative_and_the_split_of_the_start_stays() {
    let usage = stream(
        Adapter::Anthropic,
        &[
            json!({"input_tokens": 100, "cache_creation_input_tokens": 50, "output_tokens": 1,
                "cache_creation": {"ephemeral_1h_input_tokens": 50}}),
            json!({"output_tokens": 112}),
            json!({"input_tokens": 100, "cache_creation_input_tokens": 50, "output_tokens": 1320}),
        ],
    );
    assert_eq!(
        usage,
        Usage {
            input: 100,
            cache_write_1h: 50,
            output: 1320,
            ..NONE
        }
    );
}

#[test]
fn a_later_input_replaces_a_provisional_one_and_zeros_replace_nothing() {
    let full_then_split = [
        json!({"input_tokens": 12000, "output_tokens": 0}),
        json!({"input_tokens": 0, "cache_read_input_tokens": 12000, "output_tokens": 40}),
    ];
    assert_eq!(
        stream(Adapter::Anthropic, &full_then_split),
        Usage {
            cache_read: 12000,
            output: 40,
            ..NONE
        }
    );
    let zeros_around = [
        json!({"input_tokens": 0, "output_tokens": 0}),
        json!({"input_tokens": 9, "output_tokens": 4}),
        json!({"input_tokens": 0, "output_tokens": 0}),
    ];
    assert_eq!(
        stream(Adapter::Anthropic, &zeros_around),
        Usage {
            input: 9,
            output: 4,
            ..NONE
        }
    );
    let emptied = [
        json!({"prompt_tokens": 9, "completion_tokens": 4}),
        json!({"prompt_tokens": 0, "completion_tokens": 0}),
    ];
    assert_eq!(
        stream(Adapter::Xai, &emptied),
        Usage {
            input: 9,
            output: 4,
            ..NONE
        }
    );
}

#[test]
fn a_usage_is_found_where_each_flavour_puts_it_and_null_is_none() {
    for (event, usage) in [
        (
            r#"{"choices":[],"usage":{"prompt_tokens":1}}"#,
            Some(r#"{"prompt_tokens":1}"#),
        ),
        (r#"{"choices":[{}],"usage":null}"#, None),
        (
            r#"{"type":"message_start","message":{"usage":{"input_tokens":1}}}"#,
            Some(r#"{"input_tokens":1}"#),
        ),
        (
            r#"{"type":"response.completed","response":{"usage":{"a":1}}}"#,
            Some(r#"{"a":1}"#),
        ),
        (
            r#"{"usageMetadata":{"promptTokenCount":1}}"#,
            Some(r#"{"promptTokenCount":1}"#),
        ),
        (
            r#"{"choices":[],"x_groq":{"usage":{"a":1}}}"#,
            Some(r#"{"a":1}"#),
        ),
        ("[DONE]", None),
        ("", None),
    ] {
        assert_eq!(find(event), usage, "{event}");
    }
}

#[test]
fn null_details_are_absent_ones() {
    let usage = json!({"prompt_tokens": 900, "completion_tokens": 30, "total_tokens": 930,
        "prompt_tokens_details": null, "completion_tokens_details": null});
    assert_eq!(
        clean(Adapter::OpenAi, &usage),
        Usage {
            input: 900,
            output: 30,
            ..NONE
        }
    );
}

#[test]
fn a_part_larger_than_its_whole_is_cut_and_never_makes_a_negative_rest() {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 900},
        "completion_tokens_details": {"reasoning_tokens": 70}});
    let reading = read_as(Adapter::OpenAi, &usage);
    assert_eq!(reading.flags, Inconsistencies::PART_ABOVE_WHOLE);
    assert_eq!(
        reading.usage,
        Usage {
            cache_read: 10,
            reasoning: 5,
            ..NONE
        }
    );
}

#[test]
fn a_total_tells_that_the_cache_stands_beside_the_prompt() {
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 12312,
        "prompt_tokens_details": {"cached_tokens": 12304}});
    let reading = read_as(Adapter::OpenAi, &usage);
    assert_eq!(reading.flags, Inconsistencies::CACHE_BESIDE);
    assert_eq!(
        reading.usage,
        Usage {
            input: 3,
            cache_read: 12304,
            output: 5,
            ..NONE
        }
    );
}

#[test]
fn a_total_above_the_sum_is_hidden_reasoning() {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40});
    let reading = read_as(Adapter::OpenAi, &usage);
    assert_eq!(reading.flags, Inconsistencies::HIDDEN_REASONING);
    assert_eq!(
        reading.usage,
        Usage {
            input: 10,
            output: 5,
            reasoning: 25,
            ..NONE
        }
    );
    let beside = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40,
        "completion_tokens_details": {"reasoning_tokens": 25}});
    let reading = read_as(Adapter::OpenAi, &beside);
    assert_eq!(reading.flags, Inconsistencies::REASONING_BESIDE);
    assert_eq!(
        reading.usage,
        Usage {
            input: 10,
            output: 5,
            reasoning: 25,
            ..NONE
        }
    );
}

#[test]
fn a_total_below_the_sum_changes_nothing_and_is_said() {
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 3});
    let reading = read_as(Adapter::OpenAi, &usage);
    assert_eq!(reading.flags, Inconsistencies::TOTAL_BELOW_SUM);
    assert_eq!(
        reading.usage,
        Usage {
            input: 10,
            output: 5,
            ..NONE
        }
    );
}

#[test]
fn an_embedding_may_have_no_total_and_no_completion() {
    for usage in [
        json!({"prompt_tokens": 524, "completion_tokens": 0, "total_tokens": 0}),
        json!({"prompt_tokens": 524, "total_tokens": 524}),
    ] {
        assert_eq!(clean(Adapter::OpenAi, &usage), Usage { input: 524, ..NONE });
    }
}

#[test]
fn a_transcription_is_billed_by_its_seconds_and_a_document_by_its_pages() {
    let seconds = json!({"type": "duration", "seconds": 11.5});
    assert_eq!(
        clean(Adapter::OpenAi, &seconds),
        Usage {
            milliseconds: 11_500,
            ..NONE
        }
    );
    let tokens = json!({"type": "tokens", "input_tokens": 14, "output_tokens": 45,
        "total_tokens": 59, "input_token_details": {"text_tokens": 0, "audio_tokens": 14}});
    assert_eq!(
        clean(Adapter::OpenAi, &tokens),
        Usage {
            input_audio: 14,
            output: 45,
            ..NONE
        }
    );
    assert_eq!(
        clean(Adapter::OpenAi, &json!({"pages_processed": 3})),
        Usage { pages: 3, ..NONE }
    );
}

#[test]
fn a_name_that_stands_twice_counts_once_and_both_spellings_are_one() {
    let twice = r#"{"prompt_tokens":5,"prompt_tokens":6,"completion_tokens":1}"#;
    assert_eq!(
        read(Adapter::OpenAi, twice).usage,
        Usage {
            input: 6,
            output: 1,
            ..NONE
        }
    );
    let both = json!({"prompt_tokens": 6, "input_tokens": 0, "completion_tokens": 1,
        "output_tokens": 0});
    assert_eq!(
        clean(Adapter::OpenAi, &both),
        Usage {
            input: 6,
            output: 1,
            ..NONE
        }
    );
}

#[test]
fn what_says_nothing_is_zero_and_says_so() {
    for adapter in ADAPTERS {
        for usage in ["{}", "null", "{\"x\":1}", "[]", "7", "", "{\"", "\u{0}"] {
            let reading = read(adapter, usage);
            assert!(
                reading.flags.has(Inconsistencies::NOTHING_READ),
                "{adapter:?} {usage}"
            );
            assert_eq!(reading.usage, NONE, "{adapter:?} {usage}");
        }
        assert!(
            read(adapter, "{\"x\":")
                .flags
                .has(Inconsistencies::UNREADABLE),
            "{adapter:?}"
        );
    }
}
