//! Traps of the endpoints that are neither OpenAI's nor Anthropic's.

use super::*;

#[test]
fn bedrock_has_cache_beside_for_every_vendor() {
    let usage = json!({"inputTokens": 10, "outputTokens": 5, "totalTokens": 65,
        "cacheReadInputTokens": 20, "cacheWriteInputTokens": 30,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 12}, {"ttl": "5m", "inputTokens": 18}]});
    assert_eq!(
        clean(Adapter::Bedrock, &usage),
        Usage {
            input: 10,
            cache_read: 20,
            cache_write: 18,
            cache_write_1h: 12,
            output: 5,
            ..NONE
        }
    );
}

#[test]
fn gemini_has_thoughts_and_tool_prompts_beside_and_cache_inside() {
    let usage = json!({"promptTokenCount": 1000, "candidatesTokenCount": 198,
        "thoughtsTokenCount": 405, "toolUsePromptTokenCount": 20, "totalTokenCount": 1623,
        "cachedContentTokenCount": 600,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 500},
            {"modality": "AUDIO", "tokenCount": 300}, {"modality": "IMAGE", "tokenCount": 150},
            {"modality": "DOCUMENT", "tokenCount": 50}],
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 400},
            {"modality": "AUDIO", "tokenCount": 200}]});
    assert_eq!(
        clean(Adapter::Gemini, &usage),
        Usage {
            input: 170,
            cache_read: 400,
            cache_read_audio: 200,
            input_audio: 100,
            input_image: 150,
            output: 198,
            reasoning: 405,
            ..NONE
        }
    );
    let live = json!({"promptTokenCount": 1, "responseTokenCount": 7, "totalTokenCount": 8,
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 6}]});
    assert_eq!(
        clean(Adapter::Gemini, &live),
        Usage {
            input: 1,
            output: 1,
            output_audio: 6,
            ..NONE
        }
    );
}

#[test]
fn gemini_thoughts_are_not_doubled_where_the_total_has_them_inside() {
    let usage = json!({"promptTokenCount": 20, "candidatesTokenCount": 603,
        "thoughtsTokenCount": 405, "totalTokenCount": 623});
    assert_eq!(
        clean(Adapter::Gemini, &usage),
        Usage {
            input: 20,
            output: 198,
            reasoning: 405,
            ..NONE
        }
    );
}

#[test]
fn deepseek_says_its_cache_hits_twice_and_they_count_once() {
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110,
        "prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36,
        "prompt_tokens_details": {"cached_tokens": 64}});
    let expected = Usage {
        input: 36,
        cache_read: 64,
        output: 10,
        ..NONE
    };
    assert_eq!(clean(Adapter::DeepSeek, &usage), expected);
    let without_sum = json!({"prompt_cache_hit_tokens": 64, "prompt_cache_miss_tokens": 36,
        "completion_tokens": 10});
    assert_eq!(clean(Adapter::DeepSeek, &without_sum), expected);
    let differing = json!({"prompt_tokens": 100, "prompt_cache_hit_tokens": 64,
        "prompt_tokens_details": {"cached_tokens": 60}});
    let reading = read_as(Adapter::DeepSeek, &differing);
    assert!(reading.flags.has(Inconsistencies::MIRRORS_DIFFER));
    assert_eq!(reading.usage.cache_read, 64);
}

#[test]
fn xai_chat_has_reasoning_beside_and_its_responses_inside() {
    let chat = json!({"prompt_tokens": 10120, "completion_tokens": 1499, "total_tokens": 14428,
        "completion_tokens_details": {"reasoning_tokens": 2809}});
    let expected = Usage {
        input: 10120,
        output: 1499,
        reasoning: 2809,
        ..NONE
    };
    assert_eq!(clean(Adapter::Xai, &chat), expected);
    let no_total = json!({"prompt_tokens": 10120, "completion_tokens": 1499,
        "completion_tokens_details": {"reasoning_tokens": 2809}});
    assert_eq!(clean(Adapter::Xai, &no_total), expected);
    let inside = json!({"prompt_tokens": 10120, "completion_tokens": 4308, "total_tokens": 14428,
        "completion_tokens_details": {"reasoning_tokens": 2809}});
    assert_eq!(clean(Adapter::Xai, &inside), expected, "the total tells");
    let responses = json!({"input_tokens": 10120, "output_tokens": 4308,
        "output_tokens_details": {"reasoning_tokens": 2809}});
    assert_eq!(clean(Adapter::Xai, &responses), expected);
}

#[test]
fn xai_cached_and_image_tokens_overlap() {
    let usage = json!({"prompt_tokens": 1000, "completion_tokens": 1, "total_tokens": 1001,
        "prompt_tokens_details": {"text_tokens": 200, "image_tokens": 800, "cached_tokens": 900}});
    let read = clean(Adapter::Xai, &usage);
    assert_eq!(
        (read.cache_read, read.input_image, read.input),
        (900, 100, 0)
    );
}

#[test]
fn a_cost_that_the_provider_reports_is_read_exactly() {
    for (adapter, usage, dollars) in [
        (
            Adapter::Xai,
            json!({"prompt_tokens": 1, "cost_in_usd_ticks": 232_856_000}),
            "0.0232856",
        ),
        (
            Adapter::OpenAi,
            json!({"prompt_tokens": 1, "cost": 0.00123456}),
            "0.00123456",
        ),
        (
            Adapter::OpenAi,
            json!({"prompt_tokens": 1, "cost": 1.2e-5}),
            "0.000012",
        ),
        (
            Adapter::Perplexity,
            json!({"prompt_tokens": 1, "cost": {"request_cost": 0.005, "total_cost": 0.0055}}),
            "0.0055",
        ),
        (
            Adapter::OpenAi,
            json!({"cost": 0, "is_byok": true, "cost_details": {"upstream_inference_cost": 0.0360795}}),
            "0.0360795",
        ),
        (
            Adapter::OpenAi,
            json!({"cost": 0.02, "is_byok": false, "cost_details": {"upstream_inference_cost": 0.02}}),
            "0.02",
        ),
    ] {
        let cost = read_as(adapter, &usage)
            .reported_cost
            .map(|cost| cost.to_string());
        assert_eq!(cost.as_deref(), Some(dollars), "{usage}");
    }
    for odd in [
        json!({"cost": -1}),
        json!({"cost": "free"}),
        json!({"cost": null}),
        json!({}),
    ] {
        assert_eq!(read_as(Adapter::OpenAi, &odd).reported_cost, None, "{odd}");
    }
}

#[test]
fn perplexity_counts_reasoning_citations_and_searches_beside() {
    let usage = json!({"prompt_tokens": 33, "completion_tokens": 7163, "total_tokens": 7196,
        "citation_tokens": 20, "num_search_queries": 18, "reasoning_tokens": 95});
    assert_eq!(
        clean(Adapter::Perplexity, &usage),
        Usage {
            input: 53,
            output: 7163,
            reasoning: 95,
            searches: 18,
            requests: 1,
            ..NONE
        }
    );
}

#[test]
fn moonshot_may_say_its_cache_at_the_top() {
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 1, "cached_tokens": 60});
    assert_eq!(
        clean(Adapter::Moonshot, &usage),
        Usage {
            input: 40,
            cache_read: 60,
            output: 1,
            ..NONE
        }
    );
}

#[test]
fn dashscope_has_cache_creation_inside_and_says_when_a_cache_is_explicit() {
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 1, "prompt_tokens_details":
        {"cached_tokens": 60, "cache_creation_input_tokens": 30, "cache_type": "ephemeral"}});
    let reading = read_as(Adapter::DashScope, &usage);
    assert_eq!(reading.flags, Inconsistencies::EXPLICIT_CACHE);
    let expected = Usage {
        input: 10,
        cache_read: 60,
        cache_write: 30,
        output: 1,
        ..NONE
    };
    assert_eq!(reading.usage, expected);
}

#[test]
fn minimax_counts_as_the_flavour_of_its_endpoint_does() {
    let openai = json!({"prompt_tokens": 100, "completion_tokens": 1,
        "prompt_tokens_details": {"cached_tokens": 60}});
    let anthropic = json!({"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 1});
    let expected = Usage {
        input: 40,
        cache_read: 60,
        output: 1,
        ..NONE
    };
    assert_eq!(clean(Adapter::OpenAi, &openai), expected);
    assert_eq!(clean(Adapter::Anthropic, &anthropic), expected);
}

#[test]
fn cohere_bills_billed_units_and_not_tokens() {
    let usage = json!({"billed_units": {"input_tokens": 4041, "output_tokens": 1722},
        "tokens": {"input_tokens": 10513, "output_tokens": 2576}});
    assert_eq!(
        clean(Adapter::Cohere, &usage),
        Usage {
            input: 4041,
            output: 1722,
            ..NONE
        }
    );
    let rerank = json!({"billed_units": {"search_units": 2}});
    assert_eq!(
        clean(Adapter::Cohere, &rerank),
        Usage {
            searches: 2,
            ..NONE
        }
    );
    let compatible = json!({"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11});
    assert_eq!(
        clean(Adapter::Cohere, &compatible),
        Usage {
            input: 5,
            output: 6,
            ..NONE
        }
    );
}

#[test]
fn gemini_documents_are_text_and_the_last_chunk_counts() {
    let chunk = |answer: u64| {
        json!({"promptTokenCount": 300, "candidatesTokenCount": answer,
            "totalTokenCount": 300 + answer,
            "promptTokensDetails": [{"modality": "DOCUMENT", "tokenCount": 250},
                {"modality": "TEXT", "tokenCount": 50}]})
        .to_string()
    };
    let mut tally = Tally::new(Adapter::Gemini);
    for answer in [3, 9, 12] {
        tally.see(&chunk(answer));
    }
    let expected = Usage {
        input: 300,
        output: 12,
        ..NONE
    };
    assert_eq!(tally.reading().unwrap().usage, expected);
}
