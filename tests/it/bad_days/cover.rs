//! Every way in which a client, or a backend, can go away.

use tokio::task::JoinSet;

use super::{Day, after_a_bad_day};
use crate::support::{
    Setup,
    gateway::{ask, stream, stream_with_usage},
};

/// What backends do, by the phase in which it happens.
const FAULTS: [&str; 20] = [
    // before the head
    "fault=reset",
    "fault=close",
    "fault=hang",
    "fault=status:500",
    "fault=status:429",
    // after the head
    "fault=hang_head",
    "fault=empty",
    "fault=notjson",
    "fault=error_first",
    "fault=cut:0",
    "fault=stall:0",
    "fault=garbage:0",
    // in the middle: of a stream, or of a JSON text
    "fault=cut:4",
    "fault=end:4",
    "fault=stall:4",
    "fault=garbage:4",
    "fault=error:4",
    "fault=short",
    "usage=bad",
    "nofinish",
];

fn model(fault: &str) -> String {
    fault.replace([':', '='], "-")
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_that_fail_in_every_phase_leave_nothing_behind() {
    let day = Day::begin(|setup| {
        let setup = setup
            .server("first_byte_timeout: 700ms")
            .server("idle_timeout: 700ms")
            .also("retries: { attempts: 2, budget: 1 }");
        FAULTS
            .iter()
            .enumerate()
            .fold(setup, |setup: Setup, (number, fault)| {
                let backend = format!("p{number}/x+out=30+gap=1ms+{fault}");
                setup.model(&model(fault), &[&backend])
            })
    })
    .await;
    let mut calls = JoinSet::new();
    for fault in FAULTS {
        for body in [
            ask(&model(fault)),
            stream(&model(fault)),
            stream_with_usage(&model(fault)),
        ] {
            let call = day.post(&body);
            calls.spawn(async move {
                let mut open = call.open().await;
                // to the end, proper or not
                while let Some(Ok(_)) = open.frame().await {}
            });
        }
    }
    calls.join_all().await;
    let rows = after_a_bad_day(&day).await;
    assert!(rows.len() >= 3 * FAULTS.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_in_every_phase_leave_nothing_behind() {
    let day = Day::begin(|setup| {
        setup
            .model("early", &["a/early+head=30s"])
            .model("silent", &["a/silent+fault=hang_head"])
            .model("mid", &["a/mid+out=5000+gap=5ms"])
            .model("whole", &["a/whole+out=200+fault=stall:9"])
            .model("late", &["a/late+out=5"])
    })
    .await;
    for round in 0..8 {
        for (model, body) in [
            ("early+head=30s", ask("early")),
            ("early+head=30s", stream("early")),
            ("silent+fault=hang_head", stream("silent")),
            ("whole+out=200+fault=stall:9", ask("whole")),
        ] {
            tokio::select! {
                opened = day.post(&body).try_open() => panic!("{opened:?}"),
                () = day.under_way(model, 1) => {}
            }
            day.under_way(model, 0).await;
        }
        let mut mid = day.post(&stream("mid")).open().await;
        for _ in 0..=round {
            mid.frame().await.unwrap().unwrap();
        }
        drop(mid);
        let mut late = day.post(&stream_with_usage("late")).open().await;
        let mut text = String::new();
        while !text.contains("[DONE]") {
            text += std::str::from_utf8(&late.frame().await.unwrap().unwrap()).unwrap();
        }
        drop(late);
        drop(day.post(&ask("late")).open().await);
    }
    let rows = after_a_bad_day(&day).await;
    assert_eq!(rows.len(), 8 * 7);
    for row in &rows {
        let late = row.model == "late";
        let (outcome, basis) = if late {
            ("ok", "exact")
        } else {
            ("cancelled", "estimated")
        };
        assert_eq!((&*row.outcome, &*row.basis), (outcome, basis), "{row:?}");
    }
}
