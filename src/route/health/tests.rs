use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SETTINGS: Settings = Settings {
    failures: 3,
    window: Duration::from_secs(10),
    open: Duration::from_secs(1),
};

/// Makes one call that lasts no time.
fn call(health: &Health, now_ms: u64, verdict: Verdict) -> Option<Change> {
    let pass = health.enter(now_ms, true).unwrap();
    pass.end(verdict, now_ms, &SETTINGS)
}

fn open(now_ms: u64) -> Health {
    let health = Health::default();
    for _ in 0..3 {
        call(&health, now_ms, Verdict::Failed);
    }
    health
}

#[test]
fn a_cool_down_lasts_as_long_as_the_backend_asked() {
    let health = Health::default();
    call(&health, 1_000, Verdict::Busy(Some(2_000)));
    assert_eq!(
        health.standing(1_500),
        Standing::Cooling {
            left_ms: 1_500,
            asked: true
        }
    );
    assert_eq!(health.standing(3_000), Standing::Up);
}

#[test]
fn a_guessed_cool_down_doubles_up_to_its_limit_and_forgets_on_success() {
    let health = Health::default();
    let left = |health: &Health| match health.standing(0) {
        Standing::Cooling {
            left_ms,
            asked: false,
        } => left_ms,
        other => panic!("{other:?}"),
    };
    let seen: Vec<u64> = (0..8)
        .map(|_| {
            call(&health, 0, Verdict::Busy(None));
            left(&health)
        })
        .collect();
    assert_eq!(
        seen,
        [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]
    );
    call(&health, 0, Verdict::Succeeded);
    assert_eq!(health.standing(0), Standing::Up);
    call(&health, 0, Verdict::Busy(None));
    assert_eq!(left(&health), 1_000);
}

#[test]
fn an_answer_to_an_earlier_call_does_not_end_a_cool_down() {
    let health = Health::default();
    let earlier = health.enter(0, false).unwrap();
    call(&health, 10, Verdict::Busy(Some(2_000)));
    earlier.end(Verdict::Succeeded, 20, &SETTINGS);
    let cooling = matches!(health.standing(20), Standing::Cooling { asked: true, .. });
    assert!(cooling);
}

#[test]
fn busy_answers_to_calls_that_went_out_together_are_one() {
    let health = Health::default();
    let mut together: Vec<Pass<'_>> = (0..20).map(|_| health.enter(0, false).unwrap()).collect();
    let last = together.pop().unwrap();
    for pass in together {
        pass.end(Verdict::Busy(None), 10, &SETTINGS);
    }
    let cooling = |left_ms, asked| Standing::Cooling { left_ms, asked };
    assert_eq!(health.standing(10), cooling(1_000, false));
    // one of them says more
    last.end(Verdict::Busy(Some(5_000)), 20, &SETTINGS);
    assert_eq!(health.standing(20), cooling(5_000, true));
    // the next one that is busy after the pause doubles the guess
    call(&health, 6_000, Verdict::Busy(None));
    assert_eq!(health.standing(6_000), cooling(2_000, false));
}

#[test]
fn a_busy_answer_to_an_earlier_call_does_not_hide_that_it_is_down() {
    let health = Health::default();
    let earlier = health.enter(0, false).unwrap();
    call(&health, 10, Verdict::Refused(DownReason::KeyRefused));
    earlier.end(Verdict::Busy(Some(1_000)), 20, &SETTINGS);
    assert_eq!(
        health.standing(5_000),
        Standing::Down(DownReason::KeyRefused)
    );
}

#[test]
fn no_wait_that_a_backend_can_ask_for_is_endless() {
    let health = Health::default();
    call(&health, 0, Verdict::Busy(Some(u64::MAX)));
    assert_eq!(health.standing(LONGEST_ASKED_MS), Standing::Up);
}

#[test]
fn a_backend_that_refuses_us_is_down_until_one_call_finds_it_back() {
    let health = Health::default();
    let reason = DownReason::OutOfMoney;
    assert_eq!(
        call(&health, 0, Verdict::Refused(reason)),
        Some(Change::Down(reason))
    );
    assert_eq!(health.standing(DOWN_MS - 1), Standing::Down(reason));
    assert!(health.enter(DOWN_MS - 1, false).is_none());
    assert_eq!(health.standing(DOWN_MS), Standing::Trial);

    let trial = health.enter(DOWN_MS, false).unwrap();
    assert_eq!(health.standing(DOWN_MS), Standing::Down(reason));
    assert!(health.enter(DOWN_MS, false).is_none());
    let again = trial.end(Verdict::Refused(reason), DOWN_MS, &SETTINGS);
    assert_eq!(again, None, "known already");
    assert_eq!(health.standing(2 * DOWN_MS - 1), Standing::Down(reason));

    let trial = health.enter(2 * DOWN_MS, false).unwrap();
    let back = trial.end(Verdict::Succeeded, 2 * DOWN_MS, &SETTINGS);
    assert_eq!(back, Some(Change::Back));
    assert_eq!(health.standing(2 * DOWN_MS), Standing::Up);
}

#[test]
fn failures_take_effect_for_the_next_call() {
    let health = Health::default();
    assert_eq!(call(&health, 0, Verdict::Failed), None);
    assert_eq!(call(&health, 0, Verdict::Failed), None);
    assert_eq!(
        call(&health, 0, Verdict::Failed),
        Some(Change::Opened {
            failures: 3,
            for_ms: 1_000
        })
    );
    assert!(health.enter(0, false).is_none());
    assert!(health.enter(0, true).is_some(), "as a last resort");
    let standing = Standing::Open {
        failures: 3,
        left_ms: 400,
    };
    assert_eq!(health.standing(600), standing);
}

#[test]
fn of_many_calls_at_once_exactly_one_tries_an_open_backend() {
    let health = open(0);
    let (health, barrier) = (&health, &std::sync::Barrier::new(8));
    let let_through: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(move || {
                    barrier.wait();
                    // kept, so that no place is given back
                    std::mem::forget(health.enter(1_000, false)?);
                    Some(())
                })
            })
            .collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.flatten().count()
    });
    assert_eq!(let_through, 1);
}

#[test]
fn a_trial_whose_client_leaves_tells_nothing_and_makes_room_for_the_next() {
    for health in [open(0), {
        let health = Health::default();
        call(&health, 0, Verdict::Refused(DownReason::KeyRefused));
        health
    }] {
        let trial = health.enter(DOWN_MS, false).unwrap();
        assert!(health.enter(DOWN_MS, false).is_none());
        drop(trial);
        assert_eq!(health.standing(DOWN_MS), Standing::Trial);
        assert!(health.enter(DOWN_MS, false).is_some());
    }
}

#[test]
fn busy_or_refusing_is_no_answer_to_whether_it_works() {
    for verdict in [
        Verdict::Busy(Some(100)),
        Verdict::Refused(DownReason::KeyRefused),
        Verdict::Neither,
    ] {
        let health = open(0);
        let trial = health.enter(1_000, false).unwrap();
        trial.end(verdict, 1_000, &SETTINGS);
        let state = health.breaker(1_000);
        assert_eq!(
            state,
            breaker::State::HalfOpen { trying: false },
            "{verdict:?}"
        );
    }
}

#[test]
fn another_address_or_key_begins_anew() {
    let health = open(0);
    health.forget();
    assert_eq!(health.standing(0), Standing::Up);
    call(&health, 0, Verdict::Failed);
    assert_eq!(health.standing(0), Standing::Up);
}

proptest! {
    #[test]
    fn what_is_not_the_backends_fault_never_opens_it(
        verdicts in prop::collection::vec(0_u8..4, 0..100),
    ) {
        let health = Health::default();
        for (now, verdict) in (0..).zip(verdicts) {
            let verdict = match verdict {
                0 => Verdict::Succeeded,
                1 => Verdict::Neither,
                2 => Verdict::Busy(None),
                _ => Verdict::Refused(DownReason::ModelUnknown),
            };
            call(&health, now, verdict);
            prop_assert_eq!(health.breaker(now), breaker::State::Closed);
        }
    }

    #[test]
    fn a_success_that_began_last_brings_it_back_whatever_came_before(
        verdicts in prop::collection::vec((0_u8..4, 0_u64..2_000), 0..60),
    ) {
        let (health, mut now) = (Health::default(), 0);
        for (verdict, wait) in verdicts {
            now += wait;
            let verdict = match verdict {
                0 => Verdict::Succeeded,
                1 => Verdict::Failed,
                2 => Verdict::Busy(Some(wait)),
                _ => Verdict::Refused(DownReason::KeyRefused),
            };
            call(&health, now, verdict);
        }
        call(&health, now, Verdict::Succeeded);
        prop_assert_eq!(health.standing(now), Standing::Up);
    }
}
