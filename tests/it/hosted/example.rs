//! The examples of `docs/self-hosted.md`: their numbers are what the program says.

use std::sync::Arc;

use tollgate::{
    catalog::price::cost_self_hosted,
    learn::pace::{Done, Pace},
    settle::ledger::Row,
};

use super::{DAY_MS, HOUR_MS, MIDNIGHT, hardware, keep, row, spend, used};

const DOCUMENT: &str = include_str!("../../../docs/self-hosted.md");

/// The rows of the table that begins with this line, as cells without code marks.
fn table(head: &str) -> Vec<Vec<String>> {
    let (_, rest) = DOCUMENT.split_once(head).unwrap();
    let lines = rest
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells
            .map(|cell| cell.trim().replace(['`', ','], ""))
            .collect()
    };
    lines.map(cells).collect()
}

fn number<T: std::str::FromStr>(cell: &str) -> T {
    cell.parse().unwrap_or_else(|_| panic!("no number: {cell}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_day_of_the_document_is_shared_as_it_says() {
    let pool = hardware("2.40", 8, 12_000, 2_500);
    let calls = table(
        "| key | calls | prompt | output | busy GPU-seconds a call | `cost` a call | `amortised_usd` |",
    );
    assert_eq!(calls.len(), 2);
    let (mut rows, mut busy_ns) = (Vec::new(), 0);
    for cells in &calls {
        let (prompt, output) = (number(&cells[2]), number(&cells[3]));
        let cost = cost_self_hosted(&pool, prompt, output).unwrap();
        assert_eq!(cost.to_string(), cells[5], "{cells:?}");
        let ns = pool.busy_gpu_ns(prompt, output).unwrap();
        let tenths: Vec<u64> = cells[4].split('.').map(number).collect();
        let tenth = tenths.get(1).copied().unwrap_or(0);
        assert_eq!(
            ns,
            tenths[0] * 1_000_000_000 + tenth * 100_000_000,
            "{cells:?}"
        );
        let calls: u64 = number(&cells[1]);
        busy_ns += ns * calls;
        for _ in 0..calls {
            let number = u64::try_from(rows.len()).unwrap();
            let completed_ms = MIDNIGHT + 9 * HOUR_MS + i64::try_from(number).unwrap();
            let row = row(number, completed_ms, "gpu/m", Some(&pool));
            let key = Some(cells[0].as_str().into());
            rows.push(used(Row { key, ..row }, &pool, prompt, output));
        }
    }
    // a third of 8 GPUs for 24 hours
    assert_eq!(busy_ns * 3, 8 * 86_400 * 1_000_000_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    keep(&path, &[(MIDNIGHT, &[("gpu", pool)])], rows).await;
    let lines = spend(&path, "key", MIDNIGHT..MIDNIGHT + DAY_MS, MIDNIGHT + DAY_MS);
    for (line, cells) in lines.iter().zip(&calls) {
        let amortised = line.amortised.unwrap().to_string();
        assert_eq!(
            (line.by[0].as_ref().unwrap(), amortised),
            (&cells[0], cells[6].clone())
        );
    }
    assert_eq!(lines.len(), 2);
}

#[test]
fn what_one_more_call_adds_is_what_the_document_says() {
    let pool = hardware("2.40", 8, 12_000, 2_500);
    let pace: Arc<Pace> = Arc::default();
    let loads = table("| calls at once | seconds a call | what one more adds |");
    for cells in &loads {
        let at_once: usize = number(&cells[0]);
        let seats: Vec<_> = (0..at_once).map(|_| pace.join()).collect();
        let tenths: u64 = number(&cells[1].replace('.', ""));
        let done = Done {
            prompt: 1_200,
            output: 250,
            first_us: None,
            whole_us: tenths * 100_000,
        };
        let last = seats.last().unwrap();
        (0..100).for_each(|_| last.learn(&done, &pool));
    }
    for cells in &loads {
        // it makes the number full
        let others: usize = number::<usize>(&cells[0]) - 1;
        let _seats: Vec<_> = (0..others).map(|_| pace.join()).collect();
        let percent: u16 = number(cells[2].trim_end_matches('%').trim());
        let share = pace.share(&pool).unwrap().parts();
        assert!(share.abs_diff(percent * 100) <= 1, "{cells:?} {share}");
    }
}
