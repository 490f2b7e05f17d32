//! The program is asked to end while two hundred streams are open.

use http::Method;
use tokio::task::JoinSet;

use super::{Day, agrees_with_the_simulator};
use crate::support::{Call, Stream, eventually, gateway::stream};

const STREAMS: usize = 200;

/// Opens so many streams of a model, and has each read to its end.
async fn open(day: &Day, model: &str) -> JoinSet<Stream> {
    let mut reading = JoinSet::new();
    let mut opening = JoinSet::new();
    for _ in 0..STREAMS {
        opening.spawn(day.post(&stream(model)).open());
    }
    for open in opening.join_all().await {
        assert_eq!(open.status, 200);
        reading.spawn(Stream::read(open));
    }
    reading
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_open_streams_are_finished_and_have_their_rows() {
    let mut day = Day::with_places(STREAMS, |setup| {
        setup
            .server("drain_timeout: 30s")
            .model("m", &["a/x+out=12+chunk=2+gap=300ms"])
    })
    .await;
    let reading = open(&day, "m").await;
    day.program.signal("TERM");
    eventually("nobody new is let in", async || {
        let call = Call::new(day.program.client, Method::GET, "/healthz");
        call.try_open().await.is_err()
    })
    .await;
    for stream in reading.join_all().await {
        assert!(stream.is_done() && stream.ended, "{}", stream.text);
    }
    assert_eq!(day.program.end().await.code(), Some(0));
    let rows = day.rows();
    assert_eq!(rows.len(), STREAMS);
    assert!(
        rows.iter()
            .all(|row| row.outcome == "ok" && row.basis == "exact")
    );
    agrees_with_the_simulator(&day.sim, &rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_do_not_end_in_time_are_told_so_and_have_their_rows() {
    let mut day = Day::with_places(STREAMS, |setup| {
        setup
            .server("drain_timeout: 500ms")
            .model("m", &["a/x+out=9+fault=stall:4"])
    })
    .await;
    let reading = open(&day, "m").await;
    day.program.signal("TERM");
    for stream in reading.join_all().await {
        assert!(stream.ended, "torn: {}", stream.text);
        let error = stream.error();
        assert_eq!(error.kind, "server_error");
        assert_eq!(error.code.as_deref(), Some("overloaded"), "{error:?}");
    }
    assert_eq!(day.program.end().await.code(), Some(0));
    eventually("the backend is told", async || super::idle(&day.sim)).await;
    let rows = day.rows();
    assert_eq!(rows.len(), STREAMS);
    agrees_with_the_simulator(&day.sim, &rows);
    for row in &rows {
        assert_eq!((&*row.outcome, &*row.basis), ("cancelled", "estimated"));
        assert!(row.tokens.0 > 0 && row.tokens.1 > 0, "{row:?}");
    }
}
