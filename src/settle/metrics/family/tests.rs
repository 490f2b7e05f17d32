use prometheus::{IntCounterVec, Opts};

use super::*;

fn family(most: usize, lines: usize) -> (Family<IntCounterVec>, IntCounter) {
    let vector = IntCounterVec::new(Opts::new("calls", "Calls."), &["backend", "key"]).unwrap();
    let dropped = IntCounter::new("dropped", "Dropped.").unwrap();
    let most = Arc::new(AtomicUsize::new(most));
    let family = Family::new(vector, lines, most, dropped.clone()).unwrap();
    (family, dropped)
}

/// Every series as `backend key value`.
fn shown(family: &Family<IntCounterVec>) -> Vec<String> {
    let families = family.collect();
    let mut lines: Vec<String> = families[0]
        .get_metric()
        .iter()
        .map(|metric| {
            let labels = metric.get_label().iter().map(|label| label.value());
            let labels = labels.collect::<Vec<_>>().join(" ");
            format!("{labels} {}", metric.get_counter().get_value())
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn what_finds_no_room_is_counted_under_other_and_no_sum_changes() {
    let (family, dropped) = family(2, 1);
    for (backend, key) in [("a", "x"), ("b", "x"), ("c", "x"), ("a", "y"), ("a", "x")] {
        family.with_label_values(&[backend, key]).inc();
    }
    assert_eq!(shown(&family), ["a x 2", "b x 1", "other other 2"]);
    assert_eq!(dropped.get(), 2);
}

#[test]
fn nothing_is_shown_as_other_while_there_is_room() {
    let (family, dropped) = family(2, 1);
    family.with_label_values(&["a", "x"]).inc();
    assert_eq!(shown(&family), ["a x 1"]);
    assert_eq!(dropped.get(), 0);
}

#[test]
fn what_is_called_other_shares_the_series_of_what_found_no_room() {
    let (family, dropped) = family(1, 1);
    for (backend, key) in [("other", "other"), ("a", "x"), ("b", "x")] {
        family.with_label_values(&[backend, key]).inc();
    }
    assert_eq!(shown(&family), ["a x 1", "other other 2"]);
    assert_eq!(dropped.get(), 1);
}

#[test]
fn a_child_of_several_lines_takes_the_room_of_several() {
    let (family, _) = family(10, 4);
    for backend in ["a", "b", "c"] {
        family.with_label_values(&[backend, "x"]).inc();
    }
    assert_eq!(shown(&family), ["a x 1", "b x 1", "other other 1"]);
}

#[test]
fn values_are_told_apart_where_one_ends_and_the_next_begins() {
    let (family, _) = family(10, 1);
    family.with_label_values(&["a", "bc"]).inc();
    family.with_label_values(&["ab", "c"]).inc_by(5);
    assert_eq!(shown(&family), ["a bc 1", "ab c 5"]);
}

#[test]
fn a_series_that_was_taken_away_leaves_its_room_to_another() {
    let (family, dropped) = family(1, 1);
    family.with_label_values(&["a", "x"]).inc();
    family.remove(&["a", "x"]);
    family.remove(&["never", "there"]);
    family.with_label_values(&["b", "x"]).inc();
    assert_eq!(shown(&family), ["b x 1"]);
    assert_eq!(dropped.get(), 0);
}

#[test]
fn threads_that_make_the_same_series_at_once_share_it() {
    let (family, dropped) = family(100, 1);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..500 {
                    let key = (number % 50).to_string();
                    family.with_label_values(&["a", &key]).inc();
                }
            });
        }
    });
    let families = family.collect();
    let values = families[0]
        .get_metric()
        .iter()
        .map(|m| m.get_counter().get_value());
    let sum: f64 = values.sum();
    assert_eq!(
        (families[0].get_metric().len(), sum.to_bits()),
        (50, 2_000_f64.to_bits())
    );
    assert_eq!(dropped.get(), 0);
}
