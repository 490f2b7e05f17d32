//! What holds for any usage on any card.

use proptest::prelude::*;

use super::*;

fn usages() -> impl Strategy<Value = Usage> {
    prop::array::uniform11(0_u64..1_000_000).prop_map(|n| Usage {
        input: n[0],
        cache_read: n[1],
        cache_write: n[2],
        cache_write_1h: n[3],
        input_audio: n[4],
        cache_read_audio: n[5],
        input_image: n[6],
        output: n[7],
        reasoning: n[8],
        output_audio: n[9],
        output_image: n[10],
        ..Usage::default()
    })
}

fn plus(a: &Usage, b: &Usage) -> Usage {
    Usage {
        input: a.input + b.input,
        cache_read: a.cache_read + b.cache_read,
        cache_write: a.cache_write + b.cache_write,
        cache_write_1h: a.cache_write_1h + b.cache_write_1h,
        input_audio: a.input_audio + b.input_audio,
        cache_read_audio: a.cache_read_audio + b.cache_read_audio,
        input_image: a.input_image + b.input_image,
        output: a.output + b.output,
        reasoning: a.reasoning + b.reasoning,
        output_audio: a.output_audio + b.output_audio,
        output_image: a.output_image + b.output_image,
        ..Usage::default()
    }
}

prop_compose! {
    fn all_rates()(n in prop::array::uniform11(prop::option::of(0_i64..100_000_000)), input in 0_i64..100_000_000, output in 0_i64..100_000_000) -> Rates {
        let rate = |at: usize| n[at].map(Rate::from_pico);
        Rates {
            input: Some(Rate::from_pico(input)),
            output: Some(Rate::from_pico(output)),
            cache_read: rate(2),
            cache_write: rate(3),
            cache_write_1h: rate(4),
            output_reasoning: rate(5),
            input_audio: rate(6),
            output_audio: rate(7),
            cache_read_audio: rate(8),
            input_image: rate(9),
            output_image: rate(10),
            ..Rates::default()
        }
    }
}

proptest! {
    #[test]
    fn within_a_tier_the_cost_of_a_sum_is_the_sum_of_the_costs(a in usages(), b in usages(), rates in all_rates()) {
        let cards = [Card::flat(rates, "test")];
        let asked = asked(NOON);
        let of = |usage: &Usage| cost(&cards, &asked, usage, Boundary::Over, &Shared::default()).cost.unwrap();
        prop_assert_eq!(of(&plus(&a, &b)), of(&a).checked_add(of(&b)).unwrap());
    }

    #[test]
    fn more_of_anything_never_costs_less(a in usages(), more in usages(), rates in all_rates(), threshold in 0_u64..8_000_000) {
        // A longer prompt moves to a dearer tier, never to a cheaper one.
        let dearer = |rate: Option<Rate>| rate.map(|rate| Rate::from_pico(rate.pico() * 2));
        let long = Rates {
            input: dearer(rates.input),
            output: dearer(rates.output),
            cache_read: dearer(rates.cache_read),
            cache_write: dearer(rates.cache_write),
            cache_write_1h: dearer(rates.cache_write_1h),
            output_reasoning: dearer(rates.output_reasoning),
            input_audio: dearer(rates.input_audio),
            output_audio: dearer(rates.output_audio),
            cache_read_audio: dearer(rates.cache_read_audio),
            input_image: dearer(rates.input_image),
            output_image: dearer(rates.output_image),
            ..Rates::default()
        };
        let cards = [Card::flat(rates, "test"), Card { over: Some(threshold), ..Card::flat(long, "test") }];
        let asked = asked(NOON);
        let of = |usage: &Usage| cost(&cards, &asked, usage, Boundary::Over, &Shared::default()).cost.unwrap();
        prop_assert!(of(&a) <= of(&plus(&a, &more)));
    }

    #[test]
    fn any_usage_at_any_moment_is_priced_or_says_why_not(
        second in -10_000_000_000_i64..10_000_000_000,
        n in prop::array::uniform7(any::<u64>()),
        which in 0_usize..1_000,
    ) {
        let provider = builtin().provider("deepseek").unwrap().unwrap();
        let model = &provider.models[which % provider.models.len()];
        let asked = Asked { at: Timestamp::from_second(second).unwrap(), tier: "standard", reasoning: false };
        let usage = Usage {
            input: n[0], cache_read: n[1], output: n[2], reasoning: n[3], searches: n[4], milliseconds: n[5], images: n[6],
            ..Usage::default()
        };
        let priced = cost(&model.cards, &asked, &usage, provider.boundary, builtin().shared());
        prop_assert!(priced.cost.is_some() || !priced.flags.is_empty());
    }
}
