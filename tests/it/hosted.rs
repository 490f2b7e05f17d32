//! Own hardware: what was paid for it belongs to the calls of the day, to the last pico-dollar, and
//! what one more call adds decides where it goes.

mod at_work;
mod day;
mod example;

use std::{path::Path, sync::Arc};

use tollgate::{
    catalog::{SelfHosted, price::cost_self_hosted},
    config::OnFailure,
    money::Total,
    settle::{
        ledger::{Basis, Row, Sink},
        metrics::Metrics,
    },
    store::{self, Line, Question, Rent, Store, report},
    usage::Usage,
};

use crate::support::SOON;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 2026-03-10T00:00:00Z.
const MIDNIGHT: i64 = 1_773_100_800_000;

fn hardware(gpu_hour: &str, gpus: u32, prefill_tps: u64, decode_tps: u64) -> SelfHosted {
    SelfHosted {
        gpu_hour: gpu_hour.parse().unwrap(),
        gpus,
        prefill_tps,
        decode_tps,
    }
}

/// What costs by the hour from a moment on.
type Statement<'a> = (i64, &'a [(&'a str, SelfHosted)]);

/// Opens a ledger, as a gateway does at its start, tells it everything and closes it again.
async fn keep(path: &Path, statements: &[Statement<'_>], rows: Vec<Row>) {
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let store = Store::open(path, OnFailure::Serve, Arc::clone(&metrics)).unwrap();
    for (from_ms, rents) in statements {
        let rent = |(provider, hardware): &(&str, SelfHosted)| Rent {
            provider: (*provider).into(),
            hardware: *hardware,
        };
        store.rent(*from_ms, rents.iter().map(rent).collect());
    }
    rows.into_iter().for_each(|row| store.record(row));
    store.stop(SOON).await;
    assert_eq!(metrics.ledger_lost.get(), 0);
}

/// A call to hardware of one's own, or of somebody else, as the gateway books it.
fn row(number: u64, completed_ms: i64, backend: &str, ran_on: Option<&SelfHosted>) -> Row {
    Row {
        request_id: format!("req_{number:024x}").into(),
        attempt: 1,
        completed_ms,
        key: Some("team-a".into()),
        tags: None,
        key_tags: None,
        user: None,
        endpoint: "chat_completions",
        route: None,
        model: "m".into(),
        backend: backend.into(),
        card: ran_on.map(|_| "self_hosted".into()),
        usage: Usage::default(),
        tier: "standard",
        cost: None,
        basis: Basis::Exact,
        list_cost: None,
        reported_cost: None,
        baseline_cost: None,
        gpu_ns: ran_on.map(|_| 0),
        prediction: None,
        raw_usage: None,
        latency_ms: 1,
        first_token_ms: None,
        status: Some(200),
        outcome: "ok",
    }
}

/// The same with so many tokens, priced and weighed by the rules of the gateway.
fn used(row: Row, hardware: &SelfHosted, prompt: u64, output: u64) -> Row {
    Row {
        usage: Usage {
            input: prompt,
            output,
            ..Usage::default()
        },
        cost: cost_self_hosted(hardware, prompt, output),
        gpu_ns: hardware.busy_gpu_ns(prompt, output),
        ..row
    }
}

/// The lines of a report over a time, read when hardware had been paid for until a moment.
fn spend(path: &Path, by: &str, time: std::ops::Range<i64>, paid_ms: i64) -> Vec<Line> {
    let question = Question {
        by: report::dimensions(by).unwrap(),
        since_ms: Some(time.start),
        until_ms: Some(time.end),
        paid_ms: Some(paid_ms),
        ..Question::default()
    };
    let page = store::spend(path, &question).unwrap();
    assert!(!page.more);
    page.lines
}

fn sum(amounts: impl Iterator<Item = Option<Total>>) -> Total {
    Total::from_pico(amounts.flatten().map(Total::pico).sum())
}

/// What the lines say was paid: shares and idle amounts.
fn paid(lines: &[Line]) -> String {
    let both = lines.iter().flat_map(|line| [line.amortised, line.idle]);
    sum(both).to_string()
}
