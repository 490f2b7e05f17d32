use super::*;
use crate::{money::Usd, store::schema};

const HOUR: i64 = 3_600_000;

fn hardware(gpu_hour: i64, gpus: u32) -> SelfHosted {
    SelfHosted {
        gpu_hour: Usd::from_pico(gpu_hour),
        gpus,
        prefill_tps: 10,
        decode_tps: 1,
    }
}

fn statement(from_ms: i64, rents: &[(&str, SelfHosted)]) -> Statement {
    let rents = rents.iter().map(|(provider, hardware)| Rent {
        provider: (*provider).into(),
        hardware: *hardware,
    });
    Statement {
        from_ms,
        rents: rents.collect(),
    }
}

fn kept(statements: &[Statement]) -> BTreeMap<String, Rented> {
    let folder = tempfile::tempdir().unwrap();
    let patience = std::time::Duration::from_millis(40);
    let mut db = schema::open(&folder.path().join("l.db"), patience).unwrap();
    for statement in statements {
        statement.write(&mut db).unwrap();
    }
    read(&db).unwrap()
}

#[test]
fn only_what_changes_is_kept() {
    let same = [("a", hardware(5, 2))];
    let rented = kept(&[
        statement(100, &same),
        statement(200, &same),
        statement(300, &[("a", hardware(5, 3)), ("b", hardware(1, 1))]),
        statement(400, &[("b", hardware(1, 1))]),
        statement(500, &[("b", hardware(1, 1))]),
    ]);
    assert_eq!(rented["a"], Rented(vec![(100, 10), (300, 15), (400, 0)]));
    assert_eq!(rented["b"], Rented(vec![(300, 1)]));
}

#[test]
fn a_clock_that_went_back_does_not_turn_the_order_around() {
    let rented = kept(&[
        statement(500, &[("a", hardware(5, 1))]),
        statement(100, &[("a", hardware(7, 1))]),
    ]);
    assert_eq!(rented["a"], Rented(vec![(500, 7)]));
}

#[test]
fn a_day_is_paid_by_what_was_stated_for_each_part_of_it() {
    let rented = Rented(vec![(6 * HOUR, 100), (12 * HOUR, 300), (18 * HOUR, 0)]);
    assert_eq!(rented.first_ms(), Some(6 * HOUR));
    for (part, paid) in [
        (0..DAY_MS, 600 + 1_800),
        (0..6 * HOUR, 0),
        (9 * HOUR..15 * HOUR, 300 + 900),
        (18 * HOUR..DAY_MS, 0),
        (DAY_MS..2 * DAY_MS, 0),
    ] {
        assert_eq!(rented.paid(part.clone()), paid, "{part:?}");
    }
}

#[test]
fn parts_of_a_day_add_up_to_the_day() {
    let rented = Rented(vec![(0, 1_000_000_007)]);
    let cuts = [
        0,
        1,
        1_000,
        7 * HOUR + 1,
        13 * HOUR + 17,
        DAY_MS - 1,
        DAY_MS,
    ];
    let parts = cuts.windows(2).map(|cut| rented.paid(cut[0]..cut[1]));
    assert_eq!(parts.sum::<u128>(), rented.paid(0..DAY_MS));
}

#[test]
fn the_largest_deployment_of_all_is_no_overflow() {
    let hourly = i128::from(i64::MAX) * i128::from(u32::MAX);
    let rented = Rented(vec![(0, hourly)]);
    assert_eq!(rented.paid(0..DAY_MS), hourly.unsigned_abs() * 24);
}
