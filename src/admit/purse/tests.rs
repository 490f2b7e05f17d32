mod together;

use proptest::prelude::*;

use super::*;
use crate::config::Period;

const NOON: &str = "2026-11-25T12:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

fn budget(amount: &str, per: Period) -> Budget {
    Budget {
        usd: usd(amount),
        soft: None,
        per,
    }
}

/// Holds of one purse alone.
trait Alone {
    fn hold(&self, amount: Usd, now: Timestamp) -> Result<Option<Hold>, NoMoney>;
}

impl Alone for Arc<Purse> {
    fn hold(&self, amount: Usd, now: Timestamp) -> Result<Option<Hold>, NoMoney> {
        Hold::of([self], amount, now)
    }
}

/// A purse of which it is known that nothing was spent.
fn purse(amount: &str, per: Period) -> Arc<Purse> {
    let purse = Arc::new(Purse::of("team-a".into()));
    purse.set(Some(budget(amount, per)), &TimeZone::UTC, at(NOON));
    let since = purse.ask(at(NOON)).unwrap();
    purse.learn(since, Total::default());
    purse
}

fn figures(purse: &Purse, now: &str) -> (String, String) {
    let standing = purse.standing(at(now)).unwrap();
    (standing.spent.to_string(), standing.held.to_string())
}

fn texts(spent: &str, held: &str) -> (String, String) {
    (spent.to_owned(), held.to_owned())
}

#[test]
fn money_for_ten_is_held_ten_times() {
    let purse = purse("1", Period::Month);
    let held: Vec<_> = (0..200)
        .filter_map(|_| purse.hold(usd("0.1"), at(NOON)).ok().flatten())
        .collect();
    assert_eq!(held.len(), 10);
    assert_eq!(figures(&purse, NOON), texts("0", "1"));
    for hold in held {
        hold.settle(usd("0.04"), at(NOON));
    }
    assert_eq!(figures(&purse, NOON), texts("0.4", "0"));
    assert!(purse.hold(usd("0.6"), at(NOON)).is_ok());
}

#[test]
fn threads_together_never_hold_more_than_there_is() {
    let purse = purse("1", Period::Total);
    let held = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let tries = (0..1_000).filter_map(|_| {
                        let hold = purse.hold(usd("0.003"), at(NOON)).ok().flatten()?;
                        hold.settle(usd("0.003"), at(NOON));
                        Some(())
                    });
                    tries.count()
                })
            })
            .collect();
        tries.into_iter().map(|t| t.join().unwrap()).sum::<usize>()
    });
    assert_eq!(held, 333);
    assert_eq!(figures(&purse, NOON), texts("0.999", "0"));
}

#[test]
fn a_hold_that_is_dropped_is_free_again() {
    let purse = purse("1", Period::Day);
    drop(purse.hold(usd("0.7"), at(NOON)).unwrap());
    assert_eq!(figures(&purse, NOON), texts("0", "0"));
}

#[test]
fn the_next_window_begins_with_nothing_spent_and_keeps_what_is_held() {
    let purse = purse("1", Period::Day);
    let spent = purse.hold(usd("0.3"), at(NOON)).unwrap().unwrap();
    spent.settle(usd("0.3"), at(NOON));
    let across = purse.hold(usd("0.5"), at(NOON)).unwrap().unwrap();
    assert_eq!(figures(&purse, "2026-11-25T23:59:59Z"), texts("0.3", "0.5"));
    assert_eq!(figures(&purse, "2026-11-26T00:00:00Z"), texts("0", "0.5"));
    across.settle(usd("0.2"), at("2026-11-26T00:00:01Z"));
    assert_eq!(figures(&purse, "2026-11-26T00:00:01Z"), texts("0.2", "0"));
}

#[test]
fn a_clock_that_goes_back_gives_nothing_back() {
    let purse = purse("1", Period::Day);
    let hold = purse.hold(usd("1"), at(NOON)).unwrap().unwrap();
    hold.settle(usd("1"), at(NOON));
    assert!(purse.hold(usd("0.1"), at("2026-11-24T12:00:00Z")).is_err());
}

#[test]
fn an_overdrawn_budget_says_how_it_stands() {
    let purse = purse("1", Period::Month);
    let hold = purse.hold(usd("0.5"), at(NOON)).unwrap().unwrap();
    hold.settle(usd("0.4"), at(NOON));
    let _held = purse.hold(usd("0.1"), at(NOON)).unwrap();
    let refused = purse.hold(usd("0.6"), at(NOON)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the budget of the key `team-a` of 1 USD a month does not cover this request, which may \
         cost 0.6 USD: 0.4 USD are spent and 0.1 USD are held for requests under way; it begins \
         anew at 2026-12-01T00:00:00Z"
    );
    assert_eq!(figures(&purse, NOON), texts("0.4", "0.1"));
}

#[test]
fn what_costs_nothing_is_covered_even_when_nothing_is_left() {
    let purse = purse("0", Period::Total);
    assert!(purse.hold(Usd::ZERO, at(NOON)).is_ok());
    assert!(purse.hold(usd("0.000000000001"), at(NOON)).is_err());
}

#[test]
fn nothing_is_held_before_it_is_known_what_was_spent() {
    let purse = Arc::new(Purse::of("team-a".into()));
    purse.set(Some(budget("1", Period::Month)), &TimeZone::UTC, at(NOON));
    assert!(matches!(
        purse.hold(usd("0.1"), at(NOON)),
        Err(NoMoney::Unknown { .. })
    ));
    let since = purse.ask(at(NOON)).unwrap();
    assert_eq!(since.since, at("2026-11-01T00:00:00Z"));
    purse.learn(since, Total::from_pico(950_000_000_000));
    assert!(purse.ask(at(NOON)).is_none());
    assert!(purse.hold(usd("0.1"), at(NOON)).is_err());
    assert!(purse.hold(usd("0.05"), at(NOON)).is_ok());
}

#[test]
fn an_answer_about_another_window_is_left_out() {
    let purse = Arc::new(Purse::of("team-a".into()));
    purse.set(Some(budget("1", Period::Day)), &TimeZone::UTC, at(NOON));
    let yesterday = purse.ask(at("2026-11-25T23:59:59Z")).unwrap();
    purse.set(Some(budget("1", Period::Month)), &TimeZone::UTC, at(NOON));
    purse.learn(yesterday, Total::from_pico(1));
    assert!(purse.is_unknown());
}

#[test]
fn whichever_of_several_questions_is_answered_counts_each_settlement_once() {
    for answered in 0..3 {
        let purse = purse("1", Period::Month);
        let hold = || purse.hold(usd("0.1"), at(NOON)).unwrap().unwrap();
        let holds = [hold(), hold(), hold()];
        // another window: it has to be asked anew, while calls are under way
        purse.set(Some(budget("1", Period::Day)), &TimeZone::UTC, at(NOON));
        let mut questions = Vec::new();
        for (n, hold) in holds.into_iter().enumerate() {
            let asked = purse.ask(at(NOON)).unwrap();
            // so much is in the ledger when it is asked: what came before, and what is settled
            questions.push((asked, Total::from_pico(1_000 + 100 * n as i128)));
            hold.settle(Usd::from_pico(100), at(NOON));
        }
        let (asked, answer) = questions[answered];
        purse.learn(asked, answer);
        for (late, answer) in questions {
            purse.learn(late, answer);
        }
        assert_eq!(purse.standing(at(NOON)).unwrap().spent.pico(), 1_300);
    }
}

#[test]
fn more_money_keeps_what_was_spent_and_another_window_asks_anew() {
    let purse = purse("1", Period::Month);
    let hold = purse.hold(usd("1"), at(NOON)).unwrap().unwrap();
    purse.set(Some(budget("2", Period::Month)), &TimeZone::UTC, at(NOON));
    assert_eq!(figures(&purse, NOON), texts("0", "1"));
    purse.set(Some(budget("2", Period::Total)), &TimeZone::UTC, at(NOON));
    assert!(purse.is_unknown());
    hold.settle(usd("0.9"), at(NOON));
    assert_eq!(figures(&purse, NOON), texts("0.9", "0"));
    let held = purse.hold(usd("0"), at(NOON)).unwrap();
    purse.set(None, &TimeZone::UTC, at(NOON));
    assert!(held.is_some() && purse.standing(at(NOON)).is_none());
    assert_eq!(
        purse.hold(usd("9"), at(NOON)).map(|hold| hold.is_none()),
        Ok(true)
    );
}

proptest! {
    #[test]
    fn spent_and_held_never_exceed_the_budget_while_calls_cost_what_was_held(
        steps in proptest::collection::vec((0_i64..400, any::<bool>()), 0..60),
    ) {
        let purse = purse("0.000000001", Period::Total);
        let mut held = Vec::new();
        let mut spent = 0_i64;
        for (amount, settles) in steps {
            if settles && let Some((hold, amount)) = held.pop() {
                let hold: Hold = hold;
                let real = amount / 2;
                spent += real;
                hold.settle(Usd::from_pico(real), at(NOON));
            } else if let Ok(Some(hold)) = purse.hold(Usd::from_pico(amount), at(NOON)) {
                held.push((hold, amount));
            }
            let standing = purse.standing(at(NOON)).unwrap();
            let open: i64 = held.iter().map(|(_, amount)| amount).sum();
            prop_assert_eq!(standing.spent.pico(), i128::from(spent));
            prop_assert_eq!(standing.held.pico(), i128::from(open));
            prop_assert!(spent + open <= 1_000);
        }
    }
}

#[test]
fn what_is_held_stays_held_while_a_budget_is_taken_away_and_given_back() {
    let purse = purse("1", Period::Total);
    let hold = purse.hold(usd("0.6"), at(NOON)).unwrap().unwrap();
    purse.set(None, &TimeZone::UTC, at(NOON));
    purse.set(Some(budget("1", Period::Total)), &TimeZone::UTC, at(NOON));
    let since = purse.ask(at(NOON)).unwrap();
    purse.learn(since, Total::default());
    assert_eq!(figures(&purse, NOON), texts("0", "0.6"));
    let other = purse.hold(usd("0.4"), at(NOON)).unwrap().unwrap();
    hold.settle(usd("0.5"), at(NOON));
    assert_eq!(figures(&purse, NOON), texts("0.5", "0.4"));
    drop(other);
    assert_eq!(figures(&purse, NOON), texts("0.5", "0"));
}
