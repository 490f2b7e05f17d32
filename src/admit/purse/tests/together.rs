//! Several purses at once: all of them or none.

use super::*;

fn shared(id: &str, amount: &str, soft: Option<&str>) -> Arc<Purse> {
    let whose = Whose::Shared {
        id: id.into(),
        tag: None,
    };
    let purse = Arc::new(Purse::shared(whose, Spender::Everybody));
    let budget = Budget {
        soft: soft.map(usd),
        ..budget(amount, Period::Month)
    };
    purse.set(Some(budget), &TimeZone::UTC, at(NOON));
    let asked = purse.ask(at(NOON)).unwrap();
    purse.learn(asked, Total::default());
    purse
}

#[test]
fn what_one_does_not_cover_is_held_of_none() {
    let (large, small) = (shared("large", "5", None), shared("small", "1", None));
    let hold = Hold::of([&large, &small, &large], usd("0.7"), at(NOON));
    assert_eq!(figures(&large, NOON), texts("0", "0.7"));
    let refused = Hold::of([&small, &large], usd("0.4"), at(NOON)).unwrap_err();
    assert!(refused.to_string().contains("`small`"), "{refused}");
    assert_eq!(figures(&large, NOON), texts("0", "0.7"));
    let hold = hold.unwrap().unwrap();
    hold.settle(usd("0.2"), at(NOON));
    for purse in [&large, &small] {
        assert_eq!(figures(purse, NOON), texts("0.2", "0"));
    }
}

#[test]
fn the_refusal_of_a_shared_budget_names_it_and_tells_figures_only_where_they_are_shown() {
    let purse = shared("eng", "1", None);
    Hold::of([&purse], usd("0.9"), at(NOON))
        .unwrap()
        .unwrap()
        .settle(usd("0.9"), at(NOON));
    let refusal = || {
        Hold::of([&purse], usd("0.2"), at(NOON))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        refusal(),
        "the budget `eng` of 1 USD a month does not cover this request, which may cost 0.2 USD; it \
         begins anew at 2026-12-01T00:00:00Z"
    );
    purse.show(true);
    assert!(refusal().contains("0.9 USD are spent and 0 USD are held"));
}

#[test]
fn who_knows_nothing_of_one_holds_nothing_of_any() {
    let known = shared("known", "1", None);
    let unknown = Arc::new(Purse::of("team-a".into()));
    unknown.set(Some(budget("1", Period::Day)), &TimeZone::UTC, at(NOON));
    let refused = Hold::of([&known, &unknown], usd("0.1"), at(NOON)).unwrap_err();
    assert!(
        refused.to_string().contains("the key `team-a`"),
        "{refused}"
    );
    assert_eq!(figures(&known, NOON), texts("0", "0"));
    // what costs nothing needs no money
    assert!(Hold::of([&known, &unknown], Usd::ZERO, at(NOON)).is_ok());
}

#[test]
fn two_hundred_at_once_on_overlapping_budgets_get_exactly_what_fits() {
    // by turns of everything, a team and a key; every one is short of what is asked of it
    let all = shared("all", "10", None);
    let teams = [shared("a", "4", None), shared("b", "9", None)];
    let keys = [
        shared("x", "3", None),
        shared("y", "3", None),
        shared("z", "8", None),
    ];
    let barrier = std::sync::Barrier::new(8);
    let held: Vec<(usize, usize, Hold)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let (all, teams, keys, barrier) = (&all, &teams, &keys, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let tries = (0..25).filter_map(|n| {
                        let (team, key) = ((thread + n) % 2, (thread * 25 + n) % 3);
                        // in another order each time
                        let mut purses = [all, &teams[team], &keys[key]];
                        purses.rotate_left(n % 3);
                        let hold = Hold::of(purses, usd("0.5"), at(NOON)).ok().flatten()?;
                        Some((team, key, hold))
                    });
                    tries.collect::<Vec<_>>()
                })
            })
            .collect();
        let threads = threads.into_iter();
        threads.flat_map(|thread| thread.join().unwrap()).collect()
    });
    // all that fits was let in: nobody else fits
    for team in &teams {
        for key in &keys {
            assert!(Hold::of([&all, team, key], usd("0.5"), at(NOON)).is_err());
        }
    }
    let of = |counts: &dyn Fn(usize, usize) -> bool| {
        let held = held.iter().filter(|(team, key, _)| counts(*team, *key));
        held.count() as i128 * 500_000_000_000
    };
    let stands = |purse: &Arc<Purse>| purse.standing(at(NOON)).unwrap().held.pico();
    assert_eq!(stands(&all), of(&|_, _| true));
    for (n, purse) in teams.iter().enumerate() {
        assert_eq!(stands(purse), of(&|team, _| team == n));
    }
    for (n, purse) in keys.iter().enumerate() {
        assert_eq!(stands(purse), of(&|_, key| key == n));
    }
    // half of them settle, the others are given up: nothing stays held
    for (n, (_, _, hold)) in held.into_iter().enumerate() {
        if n % 2 == 0 {
            hold.settle(usd("0.1"), at(NOON));
        }
    }
    for purse in [&all].into_iter().chain(&teams).chain(&keys) {
        assert_eq!(stands(purse), 0);
    }
}

#[test]
fn a_soft_limit_is_told_once_in_a_window_and_refuses_nothing() {
    let purse = shared("eng", "1", Some("0.5"));
    let spend = |amount: &str, now: &str| {
        let hold = Hold::of([&purse], usd("0.3"), at(now)).unwrap().unwrap();
        let warned = hold.exceeded().len();
        (warned, hold.settle(usd(amount), at(now)).len())
    };
    assert_eq!(spend("0.3", NOON), (0, 0));
    // what is the limit does not exceed it
    assert_eq!(spend("0.2", NOON), (0, 0));
    assert_eq!(spend("0.1", NOON), (0, 1));
    assert_eq!(spend("0.1", NOON), (1, 0));
    let january = "2027-01-05T00:00:00Z";
    assert_eq!(spend("0.3", january), (0, 0));
    assert_eq!(spend("0.3", january), (0, 1));
}

#[test]
fn a_soft_limit_that_was_exceeded_before_this_process_is_no_news_and_a_lower_one_is() {
    let purse = shared("eng", "1", Some("0.5"));
    let with = |soft: &str| Budget {
        soft: Some(usd(soft)),
        ..budget("1", Period::Day)
    };
    purse.set(Some(with("0.5")), &TimeZone::UTC, at(NOON));
    let asked = purse.ask(at(NOON)).unwrap();
    purse.learn(asked, Total::from_pico(600_000_000_000));
    let news = || {
        let hold = Hold::of([&purse], usd("0.01"), at(NOON)).unwrap().unwrap();
        hold.settle(usd("0.01"), at(NOON)).len()
    };
    assert_eq!(news(), 0);
    purse.set(Some(with("0.9")), &TimeZone::UTC, at(NOON));
    assert_eq!(news(), 0);
    purse.set(Some(with("0.6")), &TimeZone::UTC, at(NOON));
    assert_eq!((news(), news()), (1, 0));
}

proptest! {
    #[test]
    fn no_budget_is_ever_exceeded_while_calls_cost_what_was_held_at_most(
        amounts in proptest::collection::vec(1_i64..2_000, 4),
        steps in proptest::collection::vec((0_i64..400, 1_usize..16, 0_i64..5), 0..80),
    ) {
        let purses: Vec<_> = amounts
            .iter()
            .map(|pico| shared("b", &Usd::from_pico(*pico).to_string(), None))
            .collect();
        let mut held: Vec<(usize, i64, Hold)> = Vec::new();
        let mut spent = [0_i64; 4];
        for (amount, which, ends) in steps {
            if ends > 2 && let Some((of, amount, hold)) = held.pop() {
                let real = amount * (ends - 2) / 3;
                hold.settle(Usd::from_pico(real), at(NOON));
                for (n, spent) in spent.iter_mut().enumerate() {
                    *spent += if of & (1 << n) == 0 { 0 } else { real };
                }
            } else {
                let some = purses.iter().enumerate().filter(|(n, _)| which & (1 << n) != 0);
                let hold = Hold::of(some.map(|(_, p)| p), Usd::from_pico(amount), at(NOON));
                if let Ok(Some(hold)) = hold {
                    held.push((which, amount, hold));
                }
            }
            for (n, purse) in purses.iter().enumerate() {
                let open = held.iter().filter(|(of, ..)| of & (1 << n) != 0);
                let open: i64 = open.map(|(_, amount, _)| amount).sum();
                let standing = purse.standing(at(NOON)).unwrap();
                prop_assert_eq!(standing.held.pico(), i128::from(open));
                prop_assert_eq!(standing.spent.pico(), i128::from(spent[n]));
                prop_assert!(spent[n] + open <= amounts[n]);
            }
        }
    }
}
