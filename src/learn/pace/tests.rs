use proptest::prelude::*;

use super::*;
use crate::{catalog::hosted::WHOLE, money::Usd};

const POOL: SelfHosted = SelfHosted {
    gpu_hour: Usd::from_pico(2_400_000_000_000),
    gpus: 8,
    prefill_tps: 12_000,
    decode_tps: 2_500,
};

/// Calls of 1,200 and 250 tokens (0.2 s of the hardware) that took so many milliseconds each while
/// so many were under way.
fn calls(pace: &Arc<Pace>, number: usize, at_once: usize, whole_ms: u64) {
    let seats: Vec<Seat> = (0..at_once).map(|_| pace.join()).collect();
    let done = Done {
        prompt: 1_200,
        output: 250,
        first_us: Some(whole_ms * 250),
        whole_us: whole_ms * 1_000,
    };
    for _ in 0..number {
        seats.last().unwrap().learn(&done, &POOL);
    }
}

fn share_beside(pace: &Arc<Pace>, others: usize) -> Option<u16> {
    let _seats: Vec<Seat> = (0..others).map(|_| pace.join()).collect();
    pace.share(&POOL).map(Share::parts)
}

#[test]
fn what_was_seen_too_rarely_teaches_nothing() {
    let pace: Arc<Pace> = Arc::default();
    calls(&pace, 7, 1, 2_000);
    assert_eq!((pace.share(&POOL), pace.speeds()), (None, None));
    calls(&pace, 1, 1, 2_000);
    assert_eq!(pace.share(&POOL), Some(Share::of(0)));
}

#[test]
fn an_idle_deployment_asks_nothing_and_twice_the_load_that_is_known_is_tried() {
    let pace: Arc<Pace> = Arc::default();
    calls(&pace, 8, 1, 2_000);
    // with me there are 1, 3, 4 and 601
    assert_eq!(share_beside(&pace, 0), Some(0));
    assert_eq!(share_beside(&pace, 2), Some(0));
    assert_eq!(share_beside(&pace, 3), None);
    assert_eq!(share_beside(&pace, 600), None);
    calls(&pace, 8, 2, 3_000);
    assert_eq!(share_beside(&pace, 2), share_beside(&pace, 6));
    assert_eq!(share_beside(&pace, 7), None);
}

#[test]
fn a_call_adds_what_others_lose_by_it() {
    let pace: Arc<Pace> = Arc::default();
    for (at_once, whole_ms) in [(1, 2_000), (2, 2_000), (4, 2_500), (8, 5_000), (16, 20_000)] {
        calls(&pace, 100, at_once, whole_ms);
    }
    // with me there are 2, 4, 8, 16: as fast as at half the load, a quarter slower, …
    for (others, share) in [(1, 0), (3, 2_500), (7, 10_000), (15, 10_000)] {
        let got = share_beside(&pace, others).unwrap();
        assert!(got.abs_diff(share) <= 1, "{others} {got}");
    }
}

#[test]
fn speeds_are_those_of_the_whole_deployment_at_its_load() {
    let pace: Arc<Pace> = Arc::default();
    calls(&pace, 100, 4, 2_000);
    let _seats: Vec<Seat> = (0..4).map(|_| pace.join()).collect();
    let speeds = pace.speeds().unwrap();
    // four at once, each 1,200 tokens in 0.5 s and 250 tokens in 1.5 s
    let expected = Speeds {
        prefill_tps: 9_600,
        decode_tps: 666,
    };
    assert!(
        speeds.prefill_tps.abs_diff(expected.prefill_tps) <= 1,
        "{speeds:?}"
    );
    assert!(
        speeds.decode_tps.abs_diff(expected.decode_tps) <= 1,
        "{speeds:?}"
    );
}

#[test]
fn it_follows_a_deployment_that_has_become_slower() {
    let pace: Arc<Pace> = Arc::default();
    calls(&pace, 100, 1, 1_000);
    calls(&pace, 100, 2, 1_000);
    assert_eq!(share_beside(&pace, 1), Some(0));
    calls(&pace, 100, 2, 1_500);
    assert!(share_beside(&pace, 1).unwrap().abs_diff(5_000) <= 20);
}

#[test]
fn an_answer_that_comes_as_a_whole_is_split_as_configured() {
    let pace: Arc<Pace> = Arc::default();
    let seat = pace.join();
    let done = Done {
        prompt: 1_200,
        output: 250,
        first_us: None,
        whole_us: 400_000,
    };
    (0..100).for_each(|_| seat.learn(&done, &POOL));
    let speeds = pace.speeds().unwrap();
    assert!(speeds.prefill_tps.abs_diff(6_000) <= 1, "{speeds:?}");
    assert!(speeds.decode_tps.abs_diff(1_250) <= 1, "{speeds:?}");
}

#[test]
fn figures_that_can_not_be_true_teach_nothing() {
    let pace: Arc<Pace> = Arc::default();
    let seat = pace.join();
    let done = Done {
        prompt: 1_200,
        output: 250,
        first_us: Some(1_000),
        whole_us: 400_000,
    };
    for wrong in [
        Done {
            prompt: 0,
            output: 0,
            ..done
        },
        Done {
            prompt: u64::MAX,
            ..done
        },
        Done {
            output: u64::MAX,
            ..done
        },
        Done {
            whole_us: 0,
            ..done
        },
        Done {
            whole_us: u64::MAX,
            ..done
        },
        Done {
            whole_us: 3_000,
            ..done
        },
    ] {
        (0..20).for_each(|_| seat.learn(&wrong, &POOL));
        assert_eq!(pace.speeds(), None, "{wrong:?}");
    }
}

#[test]
fn a_call_that_is_over_is_no_longer_under_way() {
    let pace: Arc<Pace> = Arc::default();
    let seats = [pace.join(), pace.join()];
    assert_eq!(pace.under_way(), 2);
    drop(seats);
    assert_eq!(pace.under_way(), 0);
}

proptest! {
    #[test]
    fn whatever_is_seen_a_call_adds_between_nothing_and_its_whole_cost(
        seen in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u64>(), any::<u64>(), 1_usize..40), 0..60),
        others in 0_usize..40,
    ) {
        let pace: Arc<Pace> = Arc::default();
        for (prompt, output, first, whole, at_once) in seen {
            let seats: Vec<Seat> = (0..at_once).map(|_| pace.join()).collect();
            let done = Done {
                prompt: prompt.into(),
                output: output.into(),
                first_us: (first % 3 > 0).then_some(first),
                whole_us: whole % MOST_US,
            };
            (0..9).for_each(|_| seats[0].learn(&done, &POOL));
        }
        let _seats: Vec<Seat> = (0..others).map(|_| pace.join()).collect();
        prop_assert!(pace.share(&POOL).is_none_or(|share| share <= WHOLE));
        let _ = pace.speeds();
    }
}
