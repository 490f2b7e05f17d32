use super::{record::tests::row, *};
use crate::money::{Total, Usd};

fn open(path: &Path, on_failure: OnFailure) -> (Store, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let store = Store::open(path, on_failure, Arc::clone(&metrics)).unwrap();
    (store, metrics)
}

async fn stopped(store: Store) {
    store.stop(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn what_was_recorded_is_there_after_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let (store, metrics) = open(&path, OnFailure::Serve);
    for n in 0..1_000 {
        store.record(row(n, 1));
    }
    stopped(store).await;
    let page = spend(&path, &Question::default()).unwrap();
    assert_eq!(page.lines[0].attempts, 1_000);
    assert_eq!(page.lines[0].requests, 1_000);
    let one = row(0, 1).cost.unwrap().pico();
    assert_eq!(
        page.lines[0].cost,
        Total::from_pico(i128::from(one) * 1_000)
    );
    assert_eq!(metrics.ledger_written.get(), 1_000);
}

#[tokio::test]
async fn what_was_recorded_before_the_question_is_in_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let (store, _) = open(&path, OnFailure::Serve);
    for n in 0..1_234 {
        store.record(row(n, 1));
    }
    let key = |id: &str| Spender::Key(id.into());
    let tag = |name: &str, value: &str| Spender::Tag {
        name: name.into(),
        value: value.into(),
    };
    let asks = [
        (key("team-a"), 1_234),
        (key("nobody"), 0),
        (Spender::Everybody, 1_234),
        (Spender::Route("auto".into()), 1_234),
        (Spender::Route("team-a".into()), 0),
        (tag("team", "a"), 1_234),
        // the request's own tag is none of the key
        (tag("feature", "chat"), 0),
    ];
    let answer = store.spent(asks.iter().map(|(who, _)| (who.clone(), 0)).collect());
    let answer = answer.await.unwrap();
    let one = i128::from(row(0, 1).cost.unwrap().pico());
    let want = asks.map(|(_, rows)| Total::from_pico(one * rows));
    assert_eq!(answer, want);
    assert_eq!(spent(&path, &key("team-a"), 0).unwrap(), answer[0]);
    store.stop(Duration::from_secs(10)).await;
    let error = store.spent(Vec::new()).await.unwrap_err();
    assert!(matches!(error, ReadError::Closed), "{error}");
}

#[tokio::test]
async fn rows_after_the_end_are_counted_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (store, metrics) = open(&folder.path().join("l.db"), OnFailure::Refuse);
    store.stop(Duration::from_secs(10)).await;
    store.record(row(0, 1));
    assert_eq!(metrics.ledger_lost.get(), 1);
    assert_eq!(metrics.ledger_pending.get(), 0);
    assert!(!store.accepts());
}

#[tokio::test]
async fn a_locked_database_does_not_hinder_the_start_and_refuses_only_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let other = schema::open(&path, Duration::ZERO).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let board = Arc::new(Board::new(metrics));
    let spill = Spill::new(spill::path_of(&path), spill::MOST_BYTES);
    let mut writer = Writer::new(path.clone(), spill, Arc::clone(&board));
    writer.start(Duration::ZERO).unwrap();
    let (rows, _receiver) = sync_channel(1);
    let mut store = Store {
        path,
        rows,
        board,
        on_failure: OnFailure::Serve,
    };
    assert!(store.accepts());
    store.on_failure = OnFailure::Refuse;
    assert!(!store.accepts());
}

#[tokio::test]
async fn a_full_queue_never_waits() {
    let metrics = Arc::new(Metrics::new("test").unwrap());
    let (rows, _receiver) = sync_channel(2);
    let store = Store {
        path: PathBuf::new(),
        rows,
        board: Arc::new(Board::new(Arc::clone(&metrics))),
        on_failure: OnFailure::Serve,
    };
    for n in 0..5 {
        store.record(row(n, 1));
    }
    assert_eq!(metrics.ledger_lost.get(), 3);
    assert_eq!(metrics.ledger_pending.get(), 2);
    store.stop(Duration::from_millis(20)).await;
}

/// A small ledger of known content.
async fn known(path: &Path) {
    let (store, _) = open(path, OnFailure::Serve);
    for (n, attempt, change) in [
        (0, 1, "dear"),
        (0, 2, "plain"),
        (1, 1, "plain"),
        (2, 1, "unpriced"),
        (3, 1, "nobody"),
    ] {
        let mut row = row(n, attempt);
        match change {
            "dear" => {
                row.backend = "openai/gpt-5.4".into();
                row.cost = Some(Usd::MAX);
            }
            "unpriced" => row.cost = None,
            "nobody" => {
                (row.key, row.tags, row.route) = (None, None, None);
                row.completed_ms += 86_400_000;
            }
            _ => {}
        }
        store.record(row);
    }
    stopped(store).await;
}

fn asked(by: &str) -> Question {
    Question {
        by: report::dimensions(by).unwrap(),
        ..Question::default()
    }
}

fn short(page: &Page) -> Vec<String> {
    let lines = page.lines.iter().map(|line| {
        let by: Vec<&str> = line
            .by
            .iter()
            .map(|v| v.as_deref().unwrap_or("-"))
            .collect();
        let (requests, attempts) = (line.requests, line.attempts);
        format!("{} {requests} {attempts} {}", by.join(" "), line.unpriced)
    });
    lines.collect()
}

#[tokio::test]
async fn spend_is_told_apart_by_every_dimension() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    known(&path).await;
    for (by, lines) in [
        ("key", vec!["team-a 3 4 1", "- 1 1 0"]),
        ("provider", vec!["openai 1 1 0", "deepinfra 4 4 1"]),
        (
            "backend",
            vec!["openai/gpt-5.4 1 1 0", "deepinfra/Qwen/Qwen3-32B 4 4 1"],
        ),
        ("model", vec!["qwen3-32b 4 5 1"]),
        ("route", vec!["auto 3 4 1", "- 1 1 0"]),
        ("day", vec!["2026-11-18 3 4 1", "2026-11-19 1 1 0"]),
        ("tag:team", vec!["a 3 4 1", "- 1 1 0"]),
        ("tag:nothing", vec!["- 4 5 1"]),
        (
            "tag:team,tag:feature,day",
            vec!["a chat 2026-11-18 3 4 1", "- - 2026-11-19 1 1 0"],
        ),
    ] {
        assert_eq!(short(&spend(&path, &asked(by)).unwrap()), lines, "{by}");
    }
    assert_eq!(short(&spend(&path, &asked("")).unwrap()), [" 4 5 1"]);
}

#[tokio::test]
async fn sums_are_exact_beyond_what_one_amount_can_hold() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let (store, _) = open(&path, OnFailure::Serve);
    for n in 0..10 {
        let mut row = row(n, 1);
        row.cost = Some(Usd::MAX);
        store.record(row);
    }
    stopped(store).await;
    let line = &spend(&path, &asked("")).unwrap().lines[0];
    assert_eq!(line.cost.pico(), i128::from(i64::MAX) * 10);
}

#[tokio::test]
async fn pages_together_are_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    known(&path).await;
    let whole = spend(&path, &asked("backend,key,day")).unwrap();
    let mut lines = Vec::new();
    for skip in 0.. {
        let question = Question {
            skip,
            most: Some(1),
            ..asked("backend,key,day")
        };
        let page = spend(&path, &question).unwrap();
        lines.extend(page.lines);
        if !page.more {
            break;
        }
    }
    assert_eq!(lines, whole.lines);
}

#[tokio::test]
async fn only_rows_of_the_time_that_is_asked_for_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    known(&path).await;
    let first = row(0, 1).completed_ms;
    for (since, until, attempts) in [
        (Some(first), None, 5),
        (Some(first + 1), None, 3),
        (None, Some(first), 0),
        (None, Some(first + 1), 2),
    ] {
        let question = Question {
            since_ms: since,
            until_ms: until,
            ..Question::default()
        };
        let page = spend(&path, &question).unwrap();
        assert_eq!(page.lines[0].attempts, attempts);
    }
}

#[test]
fn a_ledger_that_is_not_there_is_not_made_by_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    assert!(spend(&path, &Question::default()).is_err());
    assert!(!path.exists());
}
