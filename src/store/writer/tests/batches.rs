//! Rows of a batch share statements, and what a statement has bound: none must show it.

use super::*;
use crate::settle::ledger::Prediction;

#[test]
fn of_many_rows_only_the_new_and_possible_ones_are_kept_and_counted() {
    let mut bench = Bench::new();
    let mut batch: Vec<Record> = (0..20)
        .map(|n| {
            let source = format!("https://example.com/{}", n / 10);
            let card = Some(source.into());
            Record::from(Row { card, ..row(n, 1) })
        })
        .collect();
    bench.writer.board.accepted(26);
    bench.writer.write(&batch[3..8]);
    let impossible = br#"{"request_id":"r","attempt":1}"#;
    batch.insert(12, Record::from_line(impossible).unwrap());
    bench.writer.write(&batch);
    assert_eq!(bench.found(), expected(20));
    let metrics = &bench.metrics;
    let counts = [&metrics.ledger_written, &metrics.ledger_lost].map(|count| count.get());
    assert_eq!((counts, metrics.ledger_pending.get()), ([20, 1], 0));
    assert_eq!(bench.spent(0), cost(20));
    let db = Connection::open(bench.path()).unwrap();
    let sql = "SELECT group_concat(n) FROM \
               (SELECT count(*) AS n FROM attempts JOIN cards ON cards.id = card GROUP BY source)";
    let by_source: String = db.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(by_source, "10,10");
}

#[test]
fn a_row_says_the_same_in_a_batch_as_alone() {
    let rows = || (0..50).map(|n| Record::from(varied(n)));
    let (mut together, mut alone) = (Bench::new(), Bench::new());
    together.writer.write(&rows().collect::<Vec<_>>());
    rows().for_each(|row| alone.writer.write(&[row]));
    assert_eq!(whole(&together.path()), whole(&alone.path()));
    assert_eq!(together.spent(0), alone.spent(0));
}

/// A row with other values, and with other ones missing, than its neighbours have.
fn varied(n: u64) -> Row {
    let each = |of: u64| n.is_multiple_of(of);
    let mut row = row(n, 1);
    row.usage.input = n % 2;
    row.usage.images = n % 5;
    row.model = format!("model-{}", n % 3).into();
    row.key = row.key.filter(|_| !each(2));
    row.tags = row.tags.filter(|_| !each(3));
    row.card = row.card.filter(|_| !each(4));
    row.cost = row.cost.filter(|_| !each(5));
    row.status = row.status.filter(|_| !each(7));
    row.prediction = each(3).then_some(Prediction {
        domain: Domain::Code,
        predicted: 8_123,
    });
    row
}

/// All values of all rows.
fn whole(path: &Path) -> Vec<Vec<rusqlite::types::Value>> {
    let db = Connection::open(path).unwrap();
    let mut statement = db
        .prepare("SELECT * FROM attempts ORDER BY request_id")
        .unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect());
    rows.unwrap().map(Result::unwrap).collect()
}
