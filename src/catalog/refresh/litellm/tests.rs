use crate::catalog::refresh::{Newer, Refresh, compare};
use crate::catalog::{Card, Status, builtin};

/// What a map says of the built-in catalogue.
fn against(map: &str) -> Refresh {
    let map = super::Map::read(map).unwrap();
    let now = "2026-11-25T12:00:00Z".parse().unwrap();
    compare((builtin(), builtin()), &Newer::LiteLlm(&map), now).unwrap()
}

/// Differences as `tier over rate old new`.
fn told(refresh: &Refresh) -> Vec<String> {
    let all = refresh.models.iter().flat_map(|one| &one.differences);
    let shown = |rate: Option<crate::money::Rate>| {
        rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string())
    };
    all.map(|one| {
        let over = one.over.map_or_else(String::new, |over| format!(" {over}"));
        let (old, new) = (shown(one.old), shown(one.new));
        format!("{}{over} {} {old} {new}", one.tier, one.rate)
    })
    .collect()
}

fn left_out(refresh: &Refresh) -> Vec<&str> {
    refresh.unread.iter().map(|one| &*one.what).collect()
}

#[test]
fn prices_are_read_as_decimal_text_and_compared_by_tier_and_size() {
    let refresh = against(
        r#"{"gpt-5.4": {"mode": "chat", "input_cost_per_token": 2.5e-06,
            "output_cost_per_token": 0.0000151, "cache_read_input_token_cost": 2.5E-7,
            "input_cost_per_token_above_272k_tokens": 5.5e-06,
            "input_cost_per_token_flex": 1.3e-06, "output_cost_per_token_batches": 7.5e-06,
            "source": "https://example.com/prices", "max_tokens": 128000, "supports_vision": true}}"#,
    );
    assert_eq!(
        told(&refresh),
        [
            "standard output 15 15.1",
            "standard 272000 input 5 5.5",
            "flex input 1.25 1.3"
        ]
    );
    let sources = refresh.models[0].cards.iter().map(|card| &*card.source);
    let taken = "LiteLLM `gpt-5.4`: https://example.com/prices";
    assert!(sources.into_iter().any(|source| source == taken));
    assert_eq!(left_out(&refresh), Vec::<&str>::new());
}

#[test]
fn what_the_map_does_not_say_goes_on() {
    let refresh = against(r#"{"gpt-5.4": {"mode": "chat", "input_cost_per_token": 2e-06}}"#);
    assert_eq!(told(&refresh), ["standard input 2.5 2"]);
    let cards = &refresh.models[0].cards;
    let present = cards.iter().find(|card| &*card.basis == "refresh").unwrap();
    assert_eq!(present.rates.output.unwrap().to_string(), "15");
}

#[test]
fn a_model_without_a_noted_key_is_found_by_its_providers_prefix() {
    let router = builtin().provider("openrouter").unwrap().unwrap();
    let model = router.models.iter().find(|model| {
        let plain = |card: &Card| card.until.is_none() && card.window.is_none();
        model.status == Status::Current && model.cards.iter().all(plain)
    });
    let id = &model.unwrap().id;
    let text = r#"{"openrouter/ID": {"mode": "chat", "output_cost_per_token": 9e-03}}"#;
    let text = text.replace("ID", id);
    let refresh = against(&text);
    assert_eq!(refresh.models.len(), 1);
    assert_eq!(*refresh.models[0].model, **id);
    let other = text.replace("openrouter/", "elsewhere/");
    assert!(against(&other).is_empty());
}

#[test]
fn prices_by_size_come_as_a_list_too() {
    let refresh = against(
        r#"{"dashscope/qwen3-coder-flash": {"mode": "chat", "tiered_pricing": [
            {"range": [0, 32000.0], "input_cost_per_token": 3e-07, "output_cost_per_token": 1.5e-06},
            {"range": [32000.0, 128000.0], "input_cost_per_token": 6e-07},
            {"input_cost_per_token": 1}]}}"#,
    );
    assert_eq!(told(&refresh), ["standard 32000 input 0.5 0.6"]);
    assert_eq!(left_out(&refresh), ["`tiered_pricing` without a range"]);
}

#[test]
fn what_has_no_exact_meaning_is_left_out_with_its_reason() {
    for (field, says) in [
        (
            r#""input_cost_per_token": 2.0000000000000002e-06"#,
            "no whole 0.000001",
        ),
        (
            r#""input_cost_per_token": 0"#,
            "is 0, which the map also writes for not known",
        ),
        (r#""input_cost_per_token": -1e-06"#, "which is no price"),
        (r#""input_cost_per_token": "cheap""#, "which is no price"),
        (r#""input_cost_per_token": 1e99"#, "which is no price"),
        (
            r#""input_cost_per_token_decisions": 1e-06"#,
            "has no place on a card",
        ),
        (r#""output_cost_per_second": 0.1"#, "has no place on a card"),
        (
            r#""search_context_cost_per_query": {"search_context_size_low": 0.03, "search_context_size_high": 0.07}"#,
            "depends on the size of what is found",
        ),
    ] {
        let refresh = against(&format!(r#"{{"gpt-5.4": {{"mode": "chat", {field}}}}}"#));
        assert!(refresh.is_empty(), "{field}: {:?}", told(&refresh));
        let [what] = left_out(&refresh)[..] else {
            panic!("{field}: {:?}", refresh.unread);
        };
        assert!(what.contains(says), "{field}: {what}");
    }
    let broken = against(r#"{"gpt-5.4": 7}"#);
    assert!(left_out(&broken)[0].starts_with("`gpt-5.4`: invalid type"));
}

#[test]
fn cards_that_depend_on_what_the_map_lacks_are_left_alone() {
    for (key, says) in [
        ("deepseek/deepseek-v4-flash", "hours of the day"),
        ("dashscope/qwen-plus", "thinking"),
    ] {
        let text = format!(r#"{{"{key}": {{"mode": "chat", "input_cost_per_token": 9e-06}}}}"#);
        let refresh = against(&text);
        assert!(refresh.is_empty());
        assert!(
            left_out(&refresh)[0].contains(says),
            "{key}: {:?}",
            refresh.unread
        );
    }
}

#[test]
fn a_rate_that_only_repeats_what_it_falls_back_to_is_no_difference() {
    let refresh = against(
        r#"{"gpt-5.4": {"mode": "chat", "input_cost_per_token": 2.5e-06,
            "output_cost_per_reasoning_token": 1.5e-05, "output_cost_per_token": 1.5e-05}}"#,
    );
    assert!(refresh.is_empty(), "{:?}", told(&refresh));
}

#[test]
fn what_is_no_map_is_refused() {
    assert!(super::Map::read("[]").is_err());
    assert!(super::Map::read("{").is_err());
    assert!(super::Map::read("{}").unwrap().is_empty());
}
