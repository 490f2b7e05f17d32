//! The accounts as a table: a line for each kind of request.

use std::fmt::Write as _;

use crate::{books::Books, fleet::Promise, ledger, mix::Kind};

/// Dollars in each account.
#[derive(Debug, Default, Clone, Copy)]
struct Line {
    requests: usize,
    rows: usize,
    ledger: u128,
    metrics: u128,
    simulator: u128,
    shown: u128,
    shown_rows: u128,
}

/// The table, with a total.
pub(crate) fn of(books: &Books) -> String {
    let mut table = format!(
        "{:<11}{:>9}{:>8}{:>19}{:>19}{:>19}{:>19}{:>19}\n",
        "",
        "requests",
        "rows",
        "ledger $",
        "metrics $",
        "simulator $",
        "shown $",
        "rows of those $"
    );
    let mut total = Line::default();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Held) {
        let (line, note) = line(books, kind);
        write(&mut table, kind.model(), &line, note);
        total = Line {
            requests: total.requests + line.requests,
            rows: total.rows + line.rows,
            ledger: total.ledger + line.ledger,
            metrics: total.metrics + line.metrics,
            simulator: total.simulator + line.simulator,
            shown: total.shown + line.shown,
            shown_rows: total.shown_rows + line.shown_rows,
        };
    }
    write(&mut table, "total", &total, "");
    table
}

fn line(books: &Books, kind: Kind) -> (Line, &'static str) {
    let own = || books.backends.iter().filter(|backend| backend.kind == kind);
    let rows: Vec<_> = own().flat_map(|backend| books.of(backend)).collect();
    let (shown, shown_rows) = books.shown(kind);
    let note = match own().map(|backend| backend.promise).next() {
        Some(Promise::Part) => "estimated: between what came and what was sent",
        Some(Promise::Nothing) => "estimated: the prompt of calls without an answer",
        Some(Promise::Exact) | None => "",
    };
    let line = Line {
        requests: books.seen.iter().filter(|seen| seen.kind == kind).count(),
        rows: rows.len(),
        ledger: ledger::total(rows),
        metrics: own().map(|backend| books.counted(backend)).sum(),
        simulator: own().map(|backend| books.bill(backend)).sum(),
        shown,
        shown_rows,
    };
    (line, note)
}

fn write(table: &mut String, name: &str, line: &Line, note: &str) {
    let _ = write!(table, "{name:<11}{:>9}{:>8}", line.requests, line.rows);
    for pico in [
        line.ledger,
        line.metrics,
        line.simulator,
        line.shown,
        line.shown_rows,
    ] {
        let (whole, part) = (pico / 1_000_000_000_000, pico % 1_000_000_000_000);
        let _ = write!(table, "{:>19}", format!("{whole}.{part:012}"));
    }
    let _ = writeln!(table, "  {note}");
}
