use std::{path::Path, sync::mpsc::sync_channel};

use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::{
    domain::Domain,
    learn::outcomes::{Learned, Place},
    quality::Lessons,
    settle::metrics::Metrics,
    store::{
        Feedback, Kept,
        record::tests::row,
        spill::{self, MOST_BYTES},
    },
};

mod batches;

/// A writer in a folder of its own, driven by hand in place of its thread.
struct Bench {
    folder: tempfile::TempDir,
    metrics: Arc<Metrics>,
    writer: Writer,
    /// Rows that were given to it.
    given: u64,
}

impl Bench {
    fn new() -> Self {
        Self::with_spill_of(MOST_BYTES)
    }

    fn with_spill_of(most: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let writer = writer(&folder.path().join("l.db"), most, &metrics);
        Self {
            folder,
            metrics,
            writer,
            given: 0,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("l.db")
    }

    fn give(&mut self, rows: u64) {
        let numbers = self.given..self.given + rows;
        let batch: Vec<Record> = numbers.map(|n| Record::from(row(n, 1))).collect();
        self.given += rows;
        self.writer.board.accepted(rows);
        self.writer.write(&batch);
    }

    /// As the thread does once the time for it has come.
    fn try_again(&mut self) {
        self.writer.again = Instant::now();
        self.writer.tend();
        while self.writer.database.is_some() && !self.writer.spill.is_empty() {
            self.writer.write_waiting();
        }
    }

    /// As after a kill: nothing is said goodbye to.
    fn restart(&mut self) {
        let path = self.path();
        // the locks of the old process end with it
        self.writer.database = None;
        self.writer.spill = Spill::new(self.folder.path().join("elsewhere"), 0);
        self.metrics = Arc::new(Metrics::new("test").unwrap());
        self.writer = writer(&path, MOST_BYTES, &self.metrics);
    }

    /// What the key of the rows spent, if that can be told now.
    fn spent(&mut self, since_ms: i64) -> Option<i128> {
        let (answer, mut spent) = oneshot::channel();
        let asks = vec![(Spender::Key("team-a".into()), since_ms)];
        self.writer.asked.push(Asked { asks, answer });
        self.writer.answer();
        spent.try_recv().ok().map(|totals| totals[0].pico())
    }

    /// `(request, attempt)` of every row in the database.
    fn found(&self) -> Vec<(String, i64)> {
        found(&self.path())
    }
}

fn writer(path: &Path, most: u64, metrics: &Arc<Metrics>) -> Writer {
    let board = Arc::new(Board::new(Arc::clone(metrics)));
    let spill = Spill::new(spill::path_of(path), most);
    let mut writer = Writer::new(path.to_owned(), spill, board);
    writer.start(PATIENCE).unwrap();
    writer
}

fn found(path: &Path) -> Vec<(String, i64)> {
    let db = Connection::open(path).unwrap();
    let sql = "SELECT request_id, attempt FROM attempts ORDER BY 1, 2";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.unwrap().map(Result::unwrap).collect()
}

fn expected(rows: u64) -> Vec<(String, i64)> {
    (0..rows)
        .map(|n| (row(n, 1).request_id.to_string(), 1))
        .collect()
}

#[test]
fn rows_are_in_the_database_once_they_are_written() {
    let mut bench = Bench::new();
    bench.give(3);
    assert_eq!(bench.found(), expected(3));
    let metrics = &bench.metrics;
    let counts = (metrics.ledger_written.get(), metrics.ledger_pending.get());
    assert_eq!(counts, (3, 0));
}

#[test]
fn a_row_that_comes_twice_is_kept_once_and_counted_once() {
    let mut bench = Bench::new();
    let batch = [Record::from(row(0, 1)), Record::from(row(0, 2))];
    for _ in 0..2 {
        bench.writer.board.accepted(2);
        bench.writer.write(&batch);
    }
    let id = row(0, 1).request_id.to_string();
    assert_eq!(bench.found(), [(id.clone(), 1), (id, 2)]);
    let metrics = &bench.metrics;
    assert_eq!(metrics.ledger_written.get(), 2);
    assert_eq!(metrics.ledger_pending.get(), 0);
}

#[test]
fn every_value_of_a_row_comes_back() {
    let mut bench = Bench::new();
    bench.give(1);
    let db = Connection::open(bench.path()).unwrap();
    let sql = "SELECT key, tags, user, route, model, backend, source, input, output, reasoning, \
               cost, basis, latency_ms, first_token_ms, status, outcome FROM attempts JOIN cards \
               ON cards.id = card";
    let text = db.query_row(sql, [], |row| {
        let value = |at| match row.get_unwrap::<_, rusqlite::types::Value>(at) {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => format!("{other:?}"),
        };
        Ok((0..16).map(value).collect::<Vec<_>>().join(" "))
    });
    assert_eq!(
        text.unwrap(),
        "team-a {\"feature\":\"chat\",\"team\":\"a\"} 0707070707070707 auto qwen3-32b \
         deepinfra/Qwen/Qwen3-32B https://example.com/a/long/address/of/a/list/of/prices 1234 345 \
         99 219999999 exact 1234 99 200 ok"
    );
}

#[test]
fn while_the_database_is_locked_rows_wait_and_then_come_in() {
    let mut bench = Bench::new();
    let other = Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    bench.give(600);
    assert!(!bench.writer.board.is_healthy());
    assert_eq!(bench.metrics.ledger_pending.get(), 600);
    bench.try_again();
    assert!(!bench.writer.board.is_healthy(), "it is still locked");
    bench.give(10);
    drop(other);
    bench.try_again();
    assert!(bench.writer.board.is_healthy());
    bench.give(5);
    assert_eq!(bench.found(), expected(615));
    assert_eq!(bench.metrics.ledger_pending.get(), 0);
    assert_eq!(bench.metrics.ledger_lost.get(), 0);
}

#[test]
fn a_database_without_space_loses_nothing() {
    let mut bench = Bench::new();
    let database = bench.writer.database.as_ref().unwrap();
    let pages: i64 = database
        .connection
        .query_row("PRAGMA max_page_count = 24", [], |row| row.get(0))
        .unwrap();
    assert_eq!(pages, 24);
    bench.give(500);
    assert!(!bench.writer.board.is_healthy());
    assert_eq!(bench.found(), [], "half a batch would be counted twice");
    // the limit goes with its connection
    bench.try_again();
    assert_eq!(bench.found(), expected(500));
}

#[test]
fn a_database_that_is_taken_away_is_made_anew_and_gets_what_came_since() {
    let mut bench = Bench::new();
    bench.give(3);
    for end in ["", "-wal", "-shm"] {
        let file = bench.folder.path().join(format!("l.db{end}"));
        std::fs::remove_file(file).unwrap();
    }
    bench.give(2);
    assert_eq!(bench.metrics.ledger_pending.get(), 2);
    bench.try_again();
    assert_eq!(bench.found(), expected(5)[3..]);
}

#[test]
fn what_fits_nowhere_is_counted_as_lost() {
    let line = Record::from(row(0, 1)).to_line().len() as u64;
    let mut bench = Bench::with_spill_of(4 * line);
    let other = Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    bench.give(3);
    bench.give(3);
    let metrics = &bench.metrics;
    assert_eq!(metrics.ledger_lost.get(), 2);
    assert_eq!(metrics.ledger_pending.get(), 4);
    drop(other);
    bench.try_again();
    assert_eq!(bench.found(), expected(4));
    assert_eq!(bench.metrics.ledger_pending.get(), 0);
}

#[test]
fn what_an_earlier_process_left_comes_in_at_the_start() {
    let mut bench = Bench::new();
    let other = Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    bench.give(700);
    drop(other);
    bench.restart();
    assert_eq!(bench.metrics.ledger_pending.get(), 700);
    bench.try_again();
    assert_eq!(bench.found(), expected(700));
    assert_eq!(bench.metrics.ledger_written.get(), 700);
}

#[test]
fn a_line_that_is_no_row_costs_no_other() {
    let mut bench = Bench::new();
    bench.give(1);
    let good = Record::from(row(1, 1)).to_line();
    let lines = format!("{{\"request_id\":\"x\",\"attempt\":1}}\nnonsense\n{good}");
    std::fs::write(spill::path_of(&bench.path()), lines).unwrap();
    bench.restart();
    bench.try_again();
    assert_eq!(bench.found(), expected(2));
    assert_eq!(bench.metrics.ledger_lost.get(), 2);
    assert_eq!(bench.metrics.ledger_pending.get(), 0);
}

/// What so many rows cost.
fn cost(rows: u64) -> Option<i128> {
    Some(i128::from(row(0, 1).cost.unwrap().pico()) * i128::from(rows))
}

#[test]
fn what_was_spent_counts_every_row_once_from_the_quarter_of_an_hour_on() {
    let mut bench = Bench::new();
    bench.give(700);
    bench.given = 0;
    bench.give(700);
    let mut other = [row(1_000, 1), row(1_001, 1), row(1_002, 1)];
    let quarter = row(0, 1).completed_ms.div_euclid(900_000) * 900_000;
    other[0].completed_ms = quarter - 1;
    other[1].key = None;
    other[2].cost = None;
    bench.writer.board.accepted(3);
    bench.writer.write(&other.clone().map(Record::from));
    assert_eq!(bench.spent(quarter), cost(700));
    assert_eq!(bench.spent(quarter + 899_999), cost(700));
    assert_eq!(bench.spent(quarter - 1), cost(701));
    assert_eq!(bench.spent(i64::MIN), cost(701));
    assert_eq!(bench.spent(quarter + 900_000), Some(0));
}

#[test]
fn what_was_spent_is_not_said_while_rows_wait() {
    let mut bench = Bench::new();
    bench.give(2);
    let other = Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    bench.give(700);
    assert_eq!(bench.spent(0), None);
    drop(other);
    // as after a kill: the rows wait for the next process
    bench.restart();
    assert_eq!(bench.spent(0), None);
    bench.try_again();
    assert_eq!(bench.spent(0), cost(702));
}

#[test]
fn what_was_spent_is_not_said_while_another_process_holds_rows() {
    let mut bench = Bench::new();
    let mut other = Spill::new(spill::path_of(&bench.path()), MOST_BYTES);
    other.append(&[Record::from(row(9, 1))]);
    assert_eq!(bench.spent(0), None);
    drop(other);
    assert_eq!(bench.spent(0), None, "the row waits still");
    bench.try_again();
    assert_eq!(bench.spent(0), cost(1));
    assert_eq!(bench.metrics.ledger_pending.get(), 0);
}

#[test]
fn rows_that_are_deleted_stay_spent() {
    let mut bench = Bench::new();
    bench.give(3);
    let db = Connection::open(bench.path()).unwrap();
    db.execute_batch("DELETE FROM attempts").unwrap();
    assert_eq!(bench.spent(0), cost(3));
}

#[test]
fn an_ordinary_row_takes_no_more_than_310_bytes() {
    let mut bench = Bench::new();
    for _ in 0..40 {
        bench.give(500);
    }
    let db = Connection::open(bench.path()).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    let bytes = std::fs::metadata(bench.path()).unwrap().len();
    assert!(bytes / 20_000 <= 310, "{} bytes a row", bytes / 20_000);
}

#[test]
fn the_thread_writes_what_came_and_ends_when_it_is_told() {
    let bench = Bench::new();
    let path = bench.path();
    let (sender, receiver) = sync_channel(10_000);
    for n in 0..2_000 {
        bench.writer.board.accepted(1);
        sender.send(Message::Row(Box::new(row(n, 1)))).unwrap();
    }
    let (done, mut written) = oneshot::channel();
    sender.send(Message::Stop(done)).unwrap();
    let thread = std::thread::spawn(move || bench.writer.run(&receiver));
    thread.join().unwrap();
    written.try_recv().unwrap();
    assert_eq!(found(&path), expected(2_000));
    drop(bench.folder);
}

#[test]
fn rows_are_written_within_100_ms_without_being_asked() {
    let bench = Bench::new();
    let (path, folder) = (bench.path(), bench.folder);
    let (sender, receiver) = sync_channel(10_000);
    let thread = std::thread::spawn(move || bench.writer.run(&receiver));
    let mut slowest = Duration::ZERO;
    for n in 0..20 {
        sender.send(Message::Row(Box::new(row(n, 1)))).unwrap();
        let sent = Instant::now();
        while found(&path).len() as u64 <= n {
            assert!(sent.elapsed() < Duration::from_secs(10));
        }
        slowest = slowest.max(sent.elapsed());
    }
    // generous: the machine may be busy
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    drop(sender);
    thread.join().unwrap();
    drop(folder);
}

/// What may happen to a database.
#[derive(Debug, Clone, Copy)]
enum Event {
    Rows(u64),
    Lock,
    Unlock,
    Full,
    TakeSpillAway,
    TryAgain,
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..40_u64).prop_map(Event::Rows),
        1 => Just(Event::Lock),
        1 => Just(Event::Unlock),
        1 => Just(Event::Full),
        1 => Just(Event::TakeSpillAway),
        2 => Just(Event::TryAgain),
        1 => Just(Event::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_in_are_rows_out_and_none_twice(events in prop::collection::vec(event(), 1..24)) {
        let mut bench = Bench::new();
        let mut lock = None;
        for event in events {
            match event {
                Event::Rows(rows) => bench.give(rows),
                Event::Lock if lock.is_none() => {
                    let other = Connection::open(bench.path()).unwrap();
                    other.execute_batch("BEGIN IMMEDIATE").unwrap();
                    lock = Some(other);
                }
                Event::Lock => {}
                Event::Unlock => lock = None,
                Event::Full => {
                    if let Some(database) = &bench.writer.database {
                        let limit = "PRAGMA max_page_count = 1";
                        database.connection.query_row(limit, [], |_| Ok(())).unwrap();
                    }
                }
                // only an empty one: nobody can save what a hand deletes
                Event::TakeSpillAway if bench.writer.spill.is_empty() => {
                    let _ = std::fs::remove_file(spill::path_of(&bench.path()));
                }
                Event::TakeSpillAway => {}
                Event::TryAgain => bench.try_again(),
                Event::Restart => bench.restart(),
            }
        }
        drop(lock);
        bench.try_again();
        bench.try_again();
        prop_assert_eq!(bench.found(), expected(bench.given));
        prop_assert_eq!(bench.metrics.ledger_pending.get(), 0);
        prop_assert_eq!(bench.metrics.ledger_lost.get(), 0);
    }
}

#[test]
fn what_hardware_costs_is_kept_once_the_database_can_be_written_again() {
    let mut bench = Bench::new();
    let other = Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let hardware = crate::catalog::SelfHosted {
        gpu_hour: crate::money::Usd::from_pico(5),
        gpus: 2,
        prefill_tps: 10,
        decode_tps: 1,
    };
    let rent = crate::store::Rent {
        provider: "gpu".into(),
        hardware,
    };
    for (from_ms, rents) in [(100, vec![rent]), (200, Vec::new())] {
        bench.writer.rents.push(Statement { from_ms, rents });
    }
    bench.writer.write_rents();
    assert!(bench.writer.database.is_none());
    other.execute_batch("ROLLBACK").unwrap();
    bench.try_again();
    bench.writer.write_rents();
    let sql = "SELECT group_concat(concat_ws(' ', provider, from_ms, gpus), ', ') FROM rents";
    let kept: String = other.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "gpu 100 2, gpu 200 0");
}

fn learned(model: &str, n: u64) -> Learned {
    let mut lessons = Lessons::default();
    (0..n).for_each(|_| lessons.tell(0.5, 0.0));
    Learned {
        place: Place {
            key: "a".into(),
            model: model.into(),
            domain: Domain::Math,
        },
        lessons,
        at_ms: 7,
    }
}

#[test]
fn what_was_learned_waits_while_the_database_is_locked_and_is_kept_and_forgotten_in_order() {
    let mut bench = Bench::new();
    let other = Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    bench.writer.take_note(vec![
        Note::Learned(vec![learned("m", 1), learned("gone", 2)]),
        Note::Learned(vec![learned("m", 3)]),
        Note::Forget(Some("a".into()), Some("gone".into())),
        Note::Forget(Some("b".into()), None),
    ]);
    bench.writer.write_notes();
    assert!(bench.writer.database.is_none());
    assert_eq!(bench.writer.notes.len(), 4);
    other.execute_batch("ROLLBACK").unwrap();
    bench.try_again();
    bench.writer.write_notes();
    assert_eq!(evidence::learned(&other).unwrap(), [learned("m", 3)]);
}

#[test]
fn notes_that_wait_are_bounded() {
    let mut bench = Bench::new();
    let notes = (0..MOST_NOTES + 5).map(|_| Note::Learned(Vec::new()));
    bench.writer.take_note(notes.collect());
    assert_eq!(bench.writer.notes.len(), MOST_NOTES);
}

#[test]
fn feedback_is_taken_only_where_it_can_be_kept_and_its_row_can_be_found() {
    let mut bench = Bench::new();
    bench.give(3);
    let at_ms = row(0, 1).completed_ms + 1_000;
    let give = |bench: &mut Bench, request: u64| {
        let (answer, mut taken) = oneshot::channel();
        let feedback = Feedback {
            request_id: row(request, 1).request_id.to_string(),
            key: Some("team-a".into()),
            score: 0.25,
            at_ms,
        };
        bench
            .writer
            .take_feedback(vec![Giving { feedback, answer }]);
        taken.try_recv().unwrap()
    };
    assert!(give(&mut bench, 0).is_ok());
    assert_eq!(give(&mut bench, 9), Err(FeedbackError::Unknown));
    let other = Connection::open(bench.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // it is locked: what was given is not lost silently
    assert_eq!(give(&mut bench, 1), Err(FeedbackError::Unwritten));
    assert!(bench.writer.database.is_none());
    assert_eq!(give(&mut bench, 1), Err(FeedbackError::Unwritten));
    bench.give(2);
    other.execute_batch("ROLLBACK").unwrap();
    bench.writer.again = Instant::now();
    bench.writer.tend();
    // the row waits beside the database
    assert_eq!(give(&mut bench, 4), Err(FeedbackError::Unwritten));
    bench.try_again();
    assert!(give(&mut bench, 4).is_ok());
    assert_eq!(give(&mut bench, 4), Err(FeedbackError::Given));
}

#[test]
fn decisions_are_kept_for_thirty_days() {
    let mut bench = Bench::new();
    let day = 24 * 3_600_000;
    let kept = |request: &str, at_ms: i64| {
        Note::Decision(Kept {
            request_id: request.into(),
            at_ms,
            decision: "{}".into(),
        })
    };
    let notes = vec![
        kept("old", day),
        kept("new", 20 * day),
        kept("last", 32 * day),
    ];
    bench.writer.take_note(notes);
    bench.writer.write_notes();
    let db = Connection::open(bench.path()).unwrap();
    let ids = |since_ms, most| -> Vec<String> {
        let all = evidence::decisions(&db, since_ms, most).unwrap();
        all.iter().map(|kept| kept.request_id.to_string()).collect()
    };
    assert_eq!(ids(0, 9), ["last", "new"]);
    assert_eq!(ids(0, 1), ["last"]);
    assert_eq!(ids(21 * day, 9), ["last"]);
}
