use proptest::prelude::*;

use super::*;

const SETTINGS: Settings = Settings {
    failures: 3,
    window: Duration::from_millis(1_000),
    open: Duration::from_millis(100),
};

/// A breaker that has just opened, at that moment.
fn opened(at_ms: u64) -> Breaker {
    let mut breaker = Breaker::default();
    for _ in 0..3 {
        breaker.failed(None, at_ms, at_ms, &SETTINGS);
    }
    breaker
}

/// Lets the one call through and fails it; how long it is open then.
fn fail_again(breaker: &mut Breaker, now_ms: &mut u64) -> u64 {
    if let State::Open { left_ms } = breaker.state(*now_ms) {
        *now_ms += left_ms;
    }
    let trial = breaker.try_once(*now_ms);
    assert!(trial.is_some());
    breaker.failed(trial, *now_ms, *now_ms, &SETTINGS);
    match breaker.state(*now_ms) {
        State::Open { left_ms } => left_ms,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_opens_with_the_last_failure_that_is_one_too_many() {
    let mut breaker = Breaker::default();
    for at in [10, 500] {
        breaker.failed(None, at, at, &SETTINGS);
        assert_eq!(breaker.state(at), State::Closed);
    }
    breaker.failed(None, 1_010, 1_010, &SETTINGS);
    assert_eq!(breaker.state(1_010), State::Open { left_ms: 100 });
    assert_eq!(breaker.failures(), 3);
}

#[test]
fn failures_outside_of_the_window_do_not_add_up() {
    let mut breaker = Breaker::default();
    for at in [0, 600, 1_200, 1_800, 2_400] {
        breaker.failed(None, at, at, &SETTINGS);
        assert_eq!(breaker.state(at), State::Closed, "at {at}");
    }
}

#[test]
fn the_same_failures_are_noise_among_many_calls() {
    let run = |between: u64| {
        let mut breaker = Breaker::default();
        for at in 0..3 {
            let successes = if at == 0 { 0 } else { between };
            (0..successes).for_each(|_| breaker.succeeded(at, at, &SETTINGS));
            breaker.failed(None, at, at, &SETTINGS);
        }
        breaker.state(2)
    };
    // three failures of 3, of 29 and of 31 calls
    assert!(matches!(run(0), State::Open { .. }));
    assert!(matches!(run(13), State::Open { .. }));
    assert_eq!(run(14), State::Closed);
}

#[test]
fn one_call_is_let_through_and_its_success_closes() {
    let mut breaker = opened(0);
    assert!(breaker.try_once(99).is_none());
    assert_eq!(breaker.state(100), State::HalfOpen { trying: false });
    assert!(breaker.try_once(100).is_some());
    assert_eq!(breaker.state(100), State::HalfOpen { trying: true });
    assert!(breaker.try_once(100).is_none());
    breaker.succeeded(100, 120, &SETTINGS);
    assert_eq!(breaker.state(120), State::Closed);
    assert!(breaker.is_quiet());
}

#[test]
fn repeated_openings_last_longer_up_to_five_minutes() {
    let (mut breaker, mut now) = (opened(0), 0);
    let waits: Vec<u64> = (0..13)
        .map(|_| fail_again(&mut breaker, &mut now))
        .collect();
    assert_eq!(waits[..4], [200, 400, 800, 1_600]);
    assert_eq!(waits[11..], [LONGEST_OPEN_MS, LONGEST_OPEN_MS]);
}

#[test]
fn an_opening_soon_after_a_closing_counts_as_repeated_and_a_later_one_does_not() {
    for (after, wait) in [(999, 200), (1_000, 100)] {
        let mut breaker = opened(0);
        assert!(breaker.try_once(100).is_some());
        breaker.succeeded(100, 100, &SETTINGS);
        let at = 100 + after;
        for _ in 0..3 {
            breaker.failed(None, at, at, &SETTINGS);
        }
        assert_eq!(breaker.state(at), State::Open { left_ms: wait });
    }
}

#[test]
fn a_call_from_before_says_nothing_about_the_time_after() {
    let mut breaker = opened(50);
    // it began before the backend failed, and its answer came late
    breaker.succeeded(49, 60, &SETTINGS);
    assert!(matches!(breaker.state(60), State::Open { .. }));
    // asked as the last resort while it was open
    breaker.succeeded(55, 61, &SETTINGS);
    assert_eq!(breaker.state(61), State::Closed);
    // calls that hung in the outage and run out of time after it
    (0..10).for_each(|_| breaker.failed(None, 40, 70, &SETTINGS));
    assert_eq!(breaker.state(70), State::Closed);
}

#[test]
fn a_last_resort_that_fails_does_not_make_the_wait_longer() {
    let mut breaker = opened(0);
    breaker.failed(None, 50, 60, &SETTINGS);
    assert_eq!(breaker.state(60), State::Open { left_ms: 40 });
}

#[test]
fn the_end_of_an_old_trial_does_not_touch_a_newer_one() {
    let mut breaker = opened(0);
    let old = breaker.try_once(100).unwrap();
    breaker.succeeded(100, 110, &SETTINGS);
    (0..3).for_each(|_| breaker.failed(None, 110, 110, &SETTINGS));
    let State::Open { left_ms } = breaker.state(110) else {
        panic!("closed");
    };
    let new = breaker.try_once(110 + left_ms).unwrap();
    breaker.give_back(old);
    breaker.failed(Some(old), 100, 400, &SETTINGS);
    assert_eq!(breaker.state(400), State::HalfOpen { trying: true });
    assert_ne!(old, new);
}

#[test]
fn a_call_that_ends_without_telling_anything_leaves_its_place_to_the_next() {
    let mut breaker = opened(0);
    let trial = breaker.try_once(100).unwrap();
    breaker.give_back(trial);
    assert!(breaker.try_once(100).is_some());
}

/// What may happen to a breaker.
#[derive(Debug, Clone, Copy)]
enum Event {
    Pass(u64),
    TryOnce,
    TrialFails,
    TrialSucceeds,
    TrialSaysNothing,
    OtherFails,
    OtherSucceeds,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        1 => (0_u64..400).prop_map(Event::Pass),
        1 => Just(Event::TryOnce),
        1 => Just(Event::TrialFails),
        1 => Just(Event::TrialSucceeds),
        1 => Just(Event::TrialSaysNothing),
        3 => Just(Event::OtherFails),
        1 => Just(Event::OtherSucceeds),
    ];
    prop::collection::vec(event, 0..200)
}

proptest! {
    #[test]
    fn whatever_happens_at_most_one_call_is_let_through_at_once(events in events()) {
        let (mut breaker, mut now) = (Breaker::default(), 0);
        let mut trial = None;
        for event in events {
            match (event, trial) {
                (Event::Pass(ms), _) => now += ms,
                (Event::TryOnce, _) => {
                    let taken = breaker.try_once(now);
                    prop_assert!(taken.is_none() || trial.is_none());
                    trial = trial.or(taken.map(|taken| (taken, now)));
                }
                (Event::TrialFails, Some((taken, began))) => {
                    breaker.failed(Some(taken), began, now, &SETTINGS);
                    trial = None;
                    let open = matches!(breaker.state(now), State::Open { .. });
                    prop_assert!(open);
                }
                (Event::TrialSucceeds, Some((_, began))) => {
                    breaker.succeeded(began, now, &SETTINGS);
                    trial = None;
                    prop_assert_eq!(breaker.state(now), State::Closed);
                }
                (Event::TrialSaysNothing, Some((taken, _))) => {
                    breaker.give_back(taken);
                    trial = None;
                    prop_assert_eq!(breaker.state(now), State::HalfOpen { trying: false });
                }
                // calls beside the trial come from before, or are last resorts that also fail
                (Event::OtherFails, _) => breaker.failed(None, now, now, &SETTINGS),
                (Event::OtherSucceeds, None) => breaker.succeeded(0, now, &SETTINGS),
                (_, _) => {}
            }
            let longest = matches!(breaker.state(now), State::Open { left_ms } if left_ms > LONGEST_OPEN_MS);
            prop_assert!(!longest);
        }
    }

    #[test]
    fn without_a_failure_it_never_opens(successes in prop::collection::vec((0_u64..500, 0_u64..500), 0..50)) {
        let mut breaker = Breaker::default();
        for (began, took) in successes {
            breaker.succeeded(began, began + took, &SETTINGS);
            prop_assert_eq!(breaker.state(began + took), State::Closed);
            prop_assert!(breaker.is_quiet());
        }
    }
}
