use std::sync::Arc;

use super::*;
use crate::catalog::{
    Exchange, When, builtin,
    time::{Calendar, Hours, Weekdays, Window},
};

mod properties;

fn rate(text: &str) -> Option<Rate> {
    Some(text.parse().unwrap())
}

fn card(input: &str, output: &str) -> Card {
    Card::flat(
        Rates {
            input: rate(input),
            output: rate(output),
            ..Rates::default()
        },
        "test",
    )
}

fn asked(at: &str) -> Asked<'static> {
    Asked {
        at: at.parse().unwrap(),
        tier: "standard",
        reasoning: false,
    }
}

const NOON: &str = "2026-11-20T12:00:00Z";

fn used(input: u64, output: u64) -> Usage {
    Usage {
        input,
        output,
        ..Usage::default()
    }
}

fn over(cards: &[Card], asked: &Asked<'_>, usage: &Usage) -> (String, Flags) {
    let priced = cost(cards, asked, usage, Boundary::Over, &Shared::default());
    (
        priced
            .cost
            .map_or("unpriced".to_owned(), |cost| cost.to_string()),
        priced.flags,
    )
}

fn at_noon(cards: &[Card], usage: &Usage) -> (String, Flags) {
    over(cards, &asked(NOON), usage)
}

/// Open from 01:00 to 04:00 UTC, but not on 2026-10-01 in Beijing; known until the year's end.
fn peak() -> Arc<Window> {
    let day = |date: &str| {
        let at: Timestamp = format!("{date}T00:00:00Z").parse().unwrap();
        at.as_second() / 86_400
    };
    Arc::new(Window {
        id: "peak".into(),
        hours: vec![Hours::parse("01:00", "04:00").unwrap()],
        weekdays: Weekdays::from_iso(&[1, 2, 3, 4, 5]).unwrap(),
        offset_minutes: 480,
        holidays: Some(Arc::new(Calendar {
            id: "cn".into(),
            offset_minutes: 480,
            covers_through: day("2026-12-31"),
            days: vec![day("2026-10-01")],
        })),
        from: None,
        until: None,
    })
}

#[test]
fn a_tier_is_whole_request_and_chosen_by_the_prompt_with_its_cached_tokens() {
    let mut long = card("2", "3");
    long.over = Some(200_000);
    let cards = [card("1", "1.5"), long];
    let usage = |cached| Usage {
        input: 1,
        cache_read: cached,
        output: 10,
        ..Usage::default()
    };
    assert_eq!(at_noon(&cards, &usage(199_999)).0, "0.200015");
    assert_eq!(at_noon(&cards, &usage(200_000)).0, "0.400032");
}

#[test]
fn a_prompt_exactly_at_the_threshold_is_over_only_where_the_provider_says_so() {
    let mut long = card("2", "2");
    long.over = Some(200_000);
    let cards = [card("1", "1"), long];
    for (boundary, prompt, dollars) in [
        (Boundary::Over, 200_000, "0.2"),
        (Boundary::Over, 200_001, "0.400002"),
        (Boundary::AtOrOver, 199_999, "0.199999"),
        (Boundary::AtOrOver, 200_000, "0.4"),
    ] {
        let priced = cost(
            &cards,
            &asked(NOON),
            &used(prompt, 0),
            boundary,
            &Shared::default(),
        );
        assert_eq!(
            priced.cost.unwrap().to_string(),
            dollars,
            "{boundary:?} {prompt}"
        );
    }
}

#[test]
fn of_several_thresholds_the_greatest_that_is_passed_counts() {
    let tier = |input, threshold| Card {
        over: Some(threshold),
        ..card(input, "0")
    };
    let cards = [card("1", "0"), tier("4", 256_000), tier("2", 32_000)];
    for (prompt, dollars) in [
        (32_000, "0.032"),
        (32_001, "0.064002"),
        (256_001, "1.024004"),
    ] {
        assert_eq!(at_noon(&cards, &used(prompt, 0)).0, dollars, "{prompt}");
    }
}

#[test]
fn a_card_applies_from_its_first_moment_until_just_before_its_last() {
    let change: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    let old = Card {
        until: Some(change),
        ..card("1", "1")
    };
    let new = Card {
        from: Some(change),
        ..card("2", "2")
    };
    let cards = [new, old];
    for (at, dollars) in [
        ("2026-12-31T23:59:59.999Z", "1"),
        ("2027-01-01T00:00:00Z", "2"),
    ] {
        assert_eq!(
            over(&cards, &asked(at), &used(1_000_000, 0)).0,
            dollars,
            "{at}"
        );
    }
}

#[test]
fn a_window_that_is_open_beats_a_card_without_one_and_holidays_close_it() {
    let cards = [
        card("1", "1"),
        Card {
            window: Some(peak()),
            ..card("2", "2")
        },
    ];
    for (at, dollars) in [
        ("2026-11-20T02:00:00Z", "2"),
        ("2026-11-20T04:00:00Z", "1"),
        ("2026-11-21T02:00:00Z", "1"),
        ("2026-10-01T02:00:00Z", "1"),
    ] {
        let (got, flags) = over(&cards, &asked(at), &used(1_000_000, 0));
        assert_eq!((&*got, flags), (dollars, Flags::default()), "{at}");
    }
}

#[test]
fn beyond_the_calendar_the_dearer_hours_are_billed_and_an_alarm_is_raised() {
    let dear = Card {
        window: Some(peak()),
        ..card("2", "2")
    };
    let cheap = Card {
        window: Some(peak()),
        ..card("0.5", "0.5")
    };
    for (windowed, dollars) in [(dear, "2"), (cheap, "1")] {
        let cards = [card("1", "1"), windowed];
        let (got, flags) = over(&cards, &asked("2027-01-04T02:00:00Z"), &used(1_000_000, 0));
        assert_eq!((&*got, flags), (dollars, Flags::BEYOND_CALENDAR));
        let (_, flags) = over(&cards, &asked("2027-01-04T05:00:00Z"), &used(1, 0));
        assert_eq!(flags, Flags::default(), "closed in any case");
    }
}

#[test]
fn thinking_beats_no_condition_and_prices_the_whole_output() {
    let thinking = Card {
        when: Some(When::Reasoning),
        ..card("1", "4")
    };
    let cards = [card("1", "2"), thinking];
    let usage = Usage {
        output: 300_000,
        reasoning: 700_000,
        ..Usage::default()
    };
    assert_eq!(at_noon(&cards, &usage).0, "2");
    let asked = Asked {
        reasoning: true,
        ..asked(NOON)
    };
    assert_eq!(over(&cards, &asked, &usage).0, "4");
}

#[test]
fn a_tier_without_a_card_is_priced_as_standard_and_flagged() {
    let cards = [
        card("2", "2"),
        Card {
            tier: "batch".into(),
            ..card("1", "1")
        },
    ];
    let on = |tier| {
        over(
            &cards,
            &Asked {
                tier,
                ..asked(NOON)
            },
            &used(1_000_000, 0),
        )
    };
    assert_eq!(on("batch"), ("1".to_owned(), Flags::default()));
    assert_eq!(on("flex"), ("2".to_owned(), Flags::STANDARD_TIER));
}

#[test]
fn no_card_and_two_equal_cards_are_unpriced_and_never_zero() {
    assert_eq!(
        at_noon(&[], &used(1, 1)),
        ("unpriced".to_owned(), Flags::NO_CARD)
    );
    let twice = [card("1", "1"), card("2", "2")];
    assert_eq!(
        at_noon(&twice, &used(1, 1)),
        ("unpriced".to_owned(), Flags::AMBIGUOUS)
    );
    let no_output = [Card::flat(
        Rates {
            input: rate("1"),
            ..Rates::default()
        },
        "test",
    )];
    assert_eq!(
        at_noon(&no_output, &used(1, 1)),
        ("unpriced".to_owned(), Flags::NO_RATE)
    );
    assert_eq!(at_noon(&no_output, &used(1, 0)).0, "0.000001");
}

#[test]
fn cards_inherit_nothing_from_each_other() {
    let cached = Rates {
        cache_read: rate("0.1"),
        ..card("1", "1").rates
    };
    let long = Card {
        over: Some(10),
        ..card("2", "2")
    };
    let cards = [Card::flat(cached, "test"), long];
    let usage = Usage {
        cache_read: 1_000_000,
        ..Usage::default()
    };
    assert_eq!(
        at_noon(&cards, &usage).0,
        "2",
        "its own input rate, not the other's cache rate"
    );
}

#[test]
fn a_missing_rate_falls_back_and_an_explicit_zero_is_free() {
    let plain = card("1", "2").rates;
    let written = Rates {
        cache_write: rate("1.25"),
        ..plain
    };
    let free = Rates {
        cache_read: rate("0"),
        ..plain
    };
    let audio = Rates {
        input_audio: rate("3"),
        cache_read: rate("0.1"),
        ..plain
    };
    let cached = Rates {
        cache_read: rate("0.1"),
        ..plain
    };
    let million = 1_000_000;
    let read = Usage {
        cache_read: million,
        ..Usage::default()
    };
    let one_hour = Usage {
        cache_write_1h: million,
        ..Usage::default()
    };
    let cached_audio = Usage {
        cache_read_audio: million,
        ..Usage::default()
    };
    let heard = Usage {
        input_audio: million,
        ..Usage::default()
    };
    let seen = Usage {
        input_image: million,
        ..Usage::default()
    };
    let thought = Usage {
        reasoning: million,
        ..Usage::default()
    };
    let spoken = Usage {
        output_audio: million,
        ..Usage::default()
    };
    for (rates, usage, dollars) in [
        (plain, read, "1"),
        (free, read, "0"),
        (plain, one_hour, "1"),
        (written, one_hour, "1.25"),
        (plain, heard, "1"),
        (audio, cached_audio, "3"),
        (cached, cached_audio, "0.1"),
        (plain, seen, "1"),
        (plain, thought, "2"),
        (plain, spoken, "2"),
    ] {
        let got = at_noon(&[Card::flat(rates, "test")], &usage).0;
        assert_eq!(got, dollars, "{rates:?} {usage:?}");
    }
}

#[test]
fn groq_bills_a_short_recording_as_ten_seconds() {
    let groq = builtin().provider("groq").unwrap().unwrap();
    let whisper = groq.model("whisper-large-v3").unwrap();
    let of = |milliseconds| {
        let usage = Usage {
            milliseconds,
            ..Usage::default()
        };
        at_noon(&whisper.cards, &usage).0
    };
    for milliseconds in [1, 3_500, 10_000] {
        assert_eq!(of(milliseconds), "0.000308333333");
    }
    assert_eq!(of(36_000), "0.00111");
    assert_eq!(of(0), "0", "no recording, no seconds");
}

#[test]
fn fees_multiply_first_and_divide_once_half_to_even() {
    let card = Card::flat(
        Rates {
            web_search_k: rate("10"),
            request_k: rate("5"),
            audio_hour: rate("0.1"),
            char_m: rate("15"),
            image_each: rate("0.04"),
            page_k: rate("1"),
            ..Rates::default()
        },
        "test",
    );
    let none = Usage::default();
    for (usage, dollars) in [
        (
            Usage {
                searches: 3,
                ..none
            },
            "0.03",
        ),
        (
            Usage {
                requests: 1,
                ..none
            },
            "0.005",
        ),
        (
            Usage {
                milliseconds: 3_600_000,
                ..none
            },
            "0.1",
        ),
        (
            Usage {
                milliseconds: 11_000,
                ..none
            },
            "0.000305555556",
        ),
        (
            Usage {
                milliseconds: 9,
                ..none
            },
            "0.00000025",
        ),
        (Usage { chars: 2, ..none }, "0.00003"),
        (Usage { images: 2, ..none }, "0.08"),
        (Usage { pages: 3, ..none }, "0.003"),
    ] {
        assert_eq!(
            at_noon(std::slice::from_ref(&card), &usage).0,
            dollars,
            "{usage:?}"
        );
    }
}

#[test]
fn a_fee_without_a_rate_is_left_out_and_said() {
    let usage = Usage {
        searches: 3,
        ..used(1_000_000, 0)
    };
    assert_eq!(
        at_noon(&[card("1", "1")], &usage),
        ("1".to_owned(), Flags::FEE_LEFT_OUT)
    );
}

#[test]
fn yuan_are_summed_and_converted_once_at_the_rate_of_the_day() {
    let day = |at: &str, num, source: &str| Exchange {
        from: at.parse().unwrap(),
        num,
        den: 7_200,
        source: source.into(),
    };
    let shared = Shared {
        exchange: vec![
            day(
                "2026-06-01T00:00:00Z",
                1_000,
                "operator input (placeholder)",
            ),
            day("2026-01-01T00:00:00Z", 900, "bank"),
        ],
        windows: Vec::new(),
    };
    assert_eq!(
        shared
            .exchange
            .iter()
            .filter(|rate| rate.is_placeholder())
            .count(),
        1
    );
    let cards = [Card {
        currency: Currency::Cny,
        ..card("4", "16")
    }];
    let on = |at| cost(&cards, &asked(at), &used(1, 1), Boundary::Over, &shared);
    // 20 µ¥ × 1000 ÷ 7200 = 2.777… µ$; one of 4 and one of 16 apart would end in …7.
    let priced = on(NOON);
    assert_eq!(priced.listed, Some(20_000_000));
    assert_eq!(priced.cost.unwrap().pico(), 2_777_778);
    assert_eq!(on("2026-05-31T23:59:59Z").cost.unwrap().pico(), 2_500_000);
    let early = on("2025-12-31T00:00:00Z");
    assert_eq!((early.cost, early.flags), (None, Flags::NO_EXCHANGE_RATE));
}

#[test]
fn what_does_not_fit_is_unpriced() {
    let cards = [card("9000000", "9000000")];
    let huge = Usage {
        input: u64::MAX,
        output: u64::MAX,
        reasoning: u64::MAX,
        ..Usage::default()
    };
    assert_eq!(
        at_noon(&cards, &huge),
        ("unpriced".to_owned(), Flags::TOO_LARGE)
    );
    let fits = used(1_000_000, 0);
    assert_eq!(at_noon(&cards, &fits).0, "9000000");
}

#[test]
fn own_hardware_costs_the_share_of_the_seconds_that_a_call_keeps_it_busy() {
    let hardware = SelfHosted {
        gpu_hour: "2.40".parse().unwrap(),
        gpus: 8,
        prefill_tps: 12_000,
        decode_tps: 2_500,
    };
    // 12,000 tokens of prompt are one second, 2,500 of output another: 2 s × 8 × $2.40 an hour.
    let cost = cost_self_hosted(&hardware, 12_000, 2_500).unwrap();
    assert_eq!(cost.pico(), 10_666_666_667);
    assert_eq!(cost_self_hosted(&hardware, 0, 0), Some(Usd::ZERO));
    assert_eq!(
        cost_self_hosted(
            &SelfHosted {
                prefill_tps: 0,
                ..hardware
            },
            1,
            1
        ),
        None
    );
    assert_eq!(cost_self_hosted(&hardware, u64::MAX, u64::MAX), None);
    let card = Card {
        self_hosted: Some(hardware),
        ..Card::flat(Rates::default(), "test")
    };
    assert_eq!(at_noon(&[card], &used(12_000, 2_500)).0, "0.010666666667");
}

#[test]
fn every_model_of_the_catalogue_has_exactly_one_card_for_every_ordinary_call() {
    let catalog = builtin();
    for name in catalog.names() {
        let provider = catalog.provider(name).unwrap().unwrap();
        for model in &provider.models {
            for (at, reasoning, prompt) in [
                (NOON, false, 1_000),
                (NOON, true, 1_000),
                (NOON, false, 900_000),
            ] {
                let asked = Asked {
                    reasoning,
                    ..asked(at)
                };
                let usage = used(prompt, 0);
                let priced = cost(
                    &model.cards,
                    &asked,
                    &usage,
                    provider.boundary,
                    catalog.shared(),
                );
                assert!(
                    !priced.flags.has(Flags::AMBIGUOUS),
                    "{name}/{} reasoning {reasoning} prompt {prompt}",
                    model.id
                );
            }
        }
    }
}
