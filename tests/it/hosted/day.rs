//! Two days of two deployments, with idle hours, a price that changes at noon, and calls that fail
//! or are given up: what the rows are given adds up to the bill, exactly.

use std::path::PathBuf;

use tempfile::TempDir;
use tollgate::{
    settle::ledger::Row,
    store::{self, Question, report},
};

use super::{DAY_MS, HOUR_MS, MIDNIGHT, SelfHosted, hardware, keep, paid, row, spend, used};

/// 8 × (12 h at 2.40 $ + 36 h at 3.10 $) + 48 h at 0.60 $.
const BILL: &str = "1152";
const NOON: i64 = MIDNIGHT + 12 * HOUR_MS;
const END: i64 = MIDNIGHT + 2 * DAY_MS;

/// The same numbers at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % end
    }
}

fn small() -> SelfHosted {
    hardware("0.60", 1, 9_000, 1_800)
}

fn large(completed_ms: i64) -> SelfHosted {
    let gpu_hour = if completed_ms < NOON { "2.40" } else { "3.10" };
    hardware(gpu_hour, 8, 12_000, 2_500)
}

/// Traffic of the working hours: most on the large deployment, on the small one of the first day
/// only, and some at a provider that bills by the token.
fn traffic() -> Vec<Row> {
    let mut dice = Dice(7);
    let mut rows = Vec::new();
    for number in 0..3_000 {
        let day = i64::try_from(number % 2).unwrap() * DAY_MS;
        let time = i64::try_from(dice.below(12 * 3_600_000)).unwrap();
        let completed_ms = MIDNIGHT + day + 8 * HOUR_MS + time;
        let (prompt, output) = (dice.below(20_000), dice.below(2_000));
        let (backend, hardware) = match dice.below(10) {
            0 => ("host/m", None),
            1 | 2 if day == 0 => ("small/m", Some(small())),
            _ => ("large/m", Some(large(completed_ms))),
        };
        let row = row(number, completed_ms, backend, hardware.as_ref());
        let key = Some(["team-a", "team-b"][usize::from(dice.below(3) == 0)].into());
        let row = Row { key, ..row };
        rows.push(match (hardware, dice.below(20)) {
            (None, _) => row,
            // refused: nothing was used
            (Some(_), 0) => Row {
                outcome: "error",
                status: Some(500),
                ..row
            },
            // the client left: the prompt, and what had come
            (Some(on), 1) => Row {
                outcome: "cancelled",
                ..used(row, &on, prompt, output / 3)
            },
            (Some(on), _) => used(row, &on, prompt, output),
        });
    }
    rows
}

struct Kept {
    _folder: TempDir,
    path: PathBuf,
}

async fn two_days(rows: Vec<Row>) -> Kept {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let morning = [("large", large(MIDNIGHT)), ("small", small())];
    let afternoon = [("large", large(NOON)), ("small", small())];
    keep(&path, &[(MIDNIGHT, &morning), (NOON, &afternoon)], rows).await;
    Kept {
        _folder: folder,
        path,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_and_idle_amounts_are_the_bill_however_they_are_told_apart() {
    let kept = two_days(traffic()).await;
    for by in [
        "",
        "key",
        "model",
        "provider",
        "backend",
        "day",
        "key,day",
        "provider,day,key",
    ] {
        let lines = spend(&kept.path, by, MIDNIGHT..END, END);
        assert_eq!(paid(&lines), BILL, "{by}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_deployment_has_its_own_bill_of_each_day() {
    let kept = two_days(traffic()).await;
    let lines = spend(&kept.path, "day,provider", MIDNIGHT..END, END);
    let text = |amount: Option<tollgate::money::Total>| amount.map(|it| it.to_string());
    let mut table: Vec<_> = lines
        .iter()
        .map(|line| {
            let by: Vec<&str> = line.by.iter().flatten().map(String::as_str).collect();
            (by.join(" "), text(line.amortised), text(line.idle))
        })
        .collect();
    table.sort();
    let said = |text: &str| Some(text.to_owned());
    let expected = [
        ("2026-03-10 host", None, None),
        ("2026-03-10 large", said("528"), None),
        ("2026-03-10 small", said("14.4"), None),
        ("2026-03-11 host", None, None),
        ("2026-03-11 large", said("595.2"), None),
        ("2026-03-11 small", None, said("14.4")),
    ];
    let expected = expected.map(|(by, shared, idle)| (by.to_owned(), shared, idle));
    assert_eq!(table, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busier_call_of_a_day_is_never_given_less() {
    let rows = traffic();
    let kept = two_days(rows.clone()).await;
    let mut calls: Vec<(u64, i128)> = Vec::new();
    let day = MIDNIGHT..MIDNIGHT + DAY_MS;
    for row in rows
        .iter()
        .filter(|r| day.contains(&r.completed_ms))
        .step_by(29)
    {
        let Some(weight) = row.gpu_ns.filter(|_| &*row.backend == "large/m") else {
            continue;
        };
        let moment = row.completed_ms..row.completed_ms + 1;
        let lines = spend(&kept.path, "backend", moment, END);
        let line = lines.iter().find(|l| l.by[0].as_deref() == Some("large/m"));
        let line = line.filter(|line| line.attempts == 1);
        calls.extend(line.map(|line| (weight, line.amortised.unwrap().pico())));
    }
    assert!(calls.len() > 20);
    calls.sort_unstable();
    for pair in calls.windows(2) {
        assert!(pair[1].1 + 1 >= pair[0].1, "{pair:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_rows_that_come_late_leave_the_bill_as_it_is() {
    let mut rows = traffic();
    let late = rows.split_off(2_000);
    let kept = two_days(rows).await;
    let before = spend(&kept.path, "key", MIDNIGHT..END, END);
    assert_eq!(before, spend(&kept.path, "key", MIDNIGHT..END, END));
    let again = [("large", large(NOON)), ("small", small())];
    keep(&kept.path, &[(END, &again)], late).await;
    let after = spend(&kept.path, "key", MIDNIGHT..END, END);
    assert_ne!(before, after);
    assert_eq!(paid(&after), BILL);
    // in whatever order they came
    let at_once = two_days(traffic()).await;
    assert_eq!(after, spend(&at_once.path, "key", MIDNIGHT..END, END));
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_time_add_up_to_the_whole() {
    let kept = two_days(traffic()).await;
    let cuts = [
        MIDNIGHT,
        NOON - 1,
        NOON + 3 * HOUR_MS + 17,
        MIDNIGHT + 30 * HOUR_MS,
        END,
    ];
    let mut pico = 0;
    for cut in cuts.windows(2) {
        let lines = spend(&kept.path, "provider", cut[0]..cut[1], END);
        let amounts = lines.iter().flat_map(|line| [line.amortised, line.idle]);
        pico += super::sum(amounts).pico();
    }
    assert_eq!(tollgate::money::Total::from_pico(pico).to_string(), BILL);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_idle_hardware_are_pages_as_others_are() {
    let kept = two_days(traffic()).await;
    let whole = spend(&kept.path, "provider,day", MIDNIGHT..END, END);
    let mut pages = Vec::new();
    for skip in 0..6 {
        let question = Question {
            by: report::dimensions("provider,day").unwrap(),
            paid_ms: Some(END),
            skip,
            most: Some(1),
            ..Question::default()
        };
        let page = store::spend(&kept.path, &question).unwrap();
        assert_eq!(page.more, skip < 5);
        pages.extend(page.lines);
    }
    assert_eq!(pages, whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_not_over_is_paid_for_until_now() {
    let kept = two_days(traffic()).await;
    let lines = spend(&kept.path, "", MIDNIGHT..END, NOON);
    assert_eq!(paid(&lines), "237.6");
    let lines = spend(&kept.path, "", MIDNIGHT..END, MIDNIGHT + HOUR_MS / 2);
    // nothing was asked yet, so it was idle
    assert_eq!(
        super::sum(lines.iter().map(|line| line.idle)).to_string(),
        "9.9"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hardware_that_is_given_up_costs_nothing_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let both = [("large", large(MIDNIGHT)), ("small", small())];
    let one = [("small", small())];
    keep(&path, &[(MIDNIGHT, &both), (NOON, &one)], Vec::new()).await;
    let lines = spend(&path, "provider", MIDNIGHT..END, END);
    let idle: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line.by[0].as_deref().unwrap(),
                line.idle.unwrap().to_string(),
            )
        })
        .collect();
    assert_eq!(idle, [("large", "230.4".into()), ("small", "28.8".into())]);
    assert!(lines.iter().all(|line| line.attempts == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_knows_of_no_hardware_says_nothing_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    keep(&path, &[], vec![row(1, NOON, "host/m", None)]).await;
    let lines = spend(&path, "", MIDNIGHT..END, END);
    assert_eq!((lines[0].amortised, lines[0].idle), (None, None));
}
