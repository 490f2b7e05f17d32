//! The thread that writes: rows from the queue to the database, or to the spill file, and back.
//!
//! A batch is what came within 50 ms, at most 500 rows, in one transaction: so a process that is
//! killed loses what it settled in the last 100 ms at most. Any failure closes the database; it is
//! tried again every second, and what waited is written between the batches of new rows.

use std::{
    collections::HashMap,
    fs::Metadata,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use super::{
    Board, OpenError,
    evidence::{self, FeedbackError, Giving, Note},
    read,
    record::{INSERTS, Record, TOGETHER},
    rents::Statement,
    schema,
    spent::Sums,
    spill::Spill,
};
use crate::{admit::purse::Spender, money::Total, settle::ledger::Row};

/// How long a batch is gathered.
const GATHER: Duration = Duration::from_millis(50);
/// How often the queue is looked at meanwhile. To wait in it would wake this thread for each row,
/// which costs the request that sends the row more than the row itself.
const GLANCE: Duration = Duration::from_millis(5);
/// Notes that wait while the database can't be written.
const MOST_NOTES: usize = 1_000;
/// Rows of a batch.
const MOST_ROWS: usize = 500;
/// How long locks of other processes are waited for while rows come in.
const PATIENCE: Duration = Duration::from_millis(40);
/// How long a database that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// Nothing waits: only a row or the end wakes the thread.
const IDLE: Duration = Duration::from_secs(3600);

/// What comes through the queue. All of it in boxes: the queue has room for tens of thousands, and takes
/// the memory for them at the start.
#[derive(Debug)]
pub(super) enum Message {
    Row(Box<Row>),
    /// Keep what hardware costs.
    Rents(Box<Statement>),
    /// Say what was spent, once no row waits.
    Spent(Box<Asked>),
    /// Take feedback, once the row that it is of can be found.
    Feedback(Box<Giving>),
    Note(Box<Note>),
    /// Write everything, say so, and end.
    Stop(oneshot::Sender<()>),
}

/// What was spent, each since a moment.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) asks: Vec<(Spender, i64)>,
    pub(super) answer: oneshot::Sender<Vec<Total>>,
}

/// What came through the queue within the time of a batch.
#[derive(Debug, Default)]
struct Came {
    batch: Vec<Record>,
    rents: Vec<Statement>,
    asked: Vec<Asked>,
    given: Vec<Giving>,
    notes: Vec<Note>,
    stop: Option<oneshot::Sender<()>>,
}

/// Owns the database and the spill file.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    database: Option<Database>,
    /// When a database that failed is tried again.
    again: Instant,
    spill: Spill,
    board: Arc<Board>,
    /// What hardware costs, as far as it is not kept yet.
    rents: Vec<Statement>,
    /// Questions without an answer yet.
    asked: Vec<Asked>,
    /// What is to be written beside rows.
    notes: Vec<Note>,
    /// Does another process hold rows that belong to the answers? It is said once.
    out_of_reach: bool,
}

/// An open database.
#[derive(Debug)]
struct Database {
    connection: Connection,
    /// The file that was opened, which may be taken away.
    file: Metadata,
    /// Sources of prices that are in it, with their numbers.
    cards: HashMap<String, i64>,
}

/// Why a batch is not in the database.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("the file was taken away")]
    TakenAway,
}

/// What became of a batch that was written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Written {
    new: u64,
    /// Rows that the tables refuse.
    impossible: u64,
}

impl Writer {
    pub(super) fn new(path: PathBuf, spill: Spill, board: Arc<Board>) -> Self {
        Self {
            path,
            database: None,
            again: Instant::now(),
            spill,
            board,
            rents: Vec::new(),
            asked: Vec::new(),
            notes: Vec::new(),
            out_of_reach: false,
        }
    }

    /// Opens the database for the first time and counts what an earlier process left.
    ///
    /// # Errors
    /// If it is not a failure that may pass.
    pub(super) fn start(&mut self, patience: Duration) -> Result<(), OpenError> {
        if !self.spill.is_empty() {
            let rows = self.spill.waiting();
            self.board.accepted(rows);
            tracing::info!(rows, "rows of the ledger wait to be written");
        }
        match self.open(patience) {
            Err(error) if !error.may_pass() => Err(error),
            Err(error) => {
                self.failed(&error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Writes until it is stopped, or until nobody can send any more.
    pub(super) fn run(mut self, rows: &Receiver<Message>) {
        loop {
            let mut came = Came::default();
            match rows.recv_timeout(self.rest()) {
                Ok(message) => gather(message, rows, &mut came),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.finish(rows),
            }
            self.asked.append(&mut came.asked);
            self.rents.append(&mut came.rents);
            self.take_note(came.notes);
            self.tend();
            self.write_rents();
            self.write(&came.batch);
            self.write_notes();
            self.write_waiting();
            self.take_feedback(came.given);
            self.answer();
            if let Some(done) = came.stop {
                self.board.close();
                self.finish(rows);
                // nobody may be waiting any more
                let _ = done.send(());
                return;
            }
        }
    }

    /// How long nothing has to be done if no row comes.
    fn rest(&self) -> Duration {
        match (&self.database, self.spill.is_empty()) {
            (None, _) => self.again.saturating_duration_since(Instant::now()),
            (Some(_), false) => Duration::ZERO,
            (Some(_), true) if self.asked.is_empty() => IDLE,
            (Some(_), true) => RETRY,
        }
    }

    /// The last rows, and as much of what waits as can be written.
    fn finish(&mut self, rows: &Receiver<Message>) {
        loop {
            let mut batch = Vec::new();
            while let Ok(message) = rows.try_recv() {
                if let Message::Row(row) = message {
                    batch.push(Record::from(*row));
                }
                if batch.len() == MOST_ROWS {
                    break;
                }
            }
            if batch.is_empty() {
                break;
            }
            self.write(&batch);
        }
        while self.database.is_some() && !self.spill.is_empty() {
            self.write_waiting();
        }
    }

    /// Tries a database again that failed.
    pub(super) fn tend(&mut self) {
        if self.database.is_some() || Instant::now() < self.again {
            return;
        }
        if let Err(error) = self.open(PATIENCE) {
            self.failed(&error);
        }
    }

    fn open(&mut self, patience: Duration) -> Result<(), OpenError> {
        let connection = schema::open(&self.path, patience)?;
        let failed = |source| OpenError::Sqlite {
            path: self.path.clone(),
            source,
        };
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        let Ok(file) = std::fs::metadata(&self.path) else {
            // taken away at this moment: the next try makes it anew
            self.again = Instant::now();
            return Ok(());
        };
        self.database = Some(Database {
            connection,
            file,
            cards: HashMap::new(),
        });
        if self.board.turn(true) {
            let waiting = self.board.metrics.ledger_pending.get();
            tracing::info!(file = %self.path.display(), waiting, "the ledger is written");
        }
        Ok(())
    }

    fn failed(&mut self, error: &dyn std::error::Error) {
        self.database = None;
        self.again = Instant::now() + RETRY;
        if self.board.turn(false) {
            let file = self.path.display();
            tracing::error!(%file, %error, "the ledger can't be written; rows wait beside it");
        }
    }

    /// Writes a batch to the database, else to the spill file.
    pub(super) fn write(&mut self, batch: &[Record]) {
        if batch.is_empty() {
            return;
        }
        if let Some(database) = &mut self.database {
            match database.write(&self.path, batch) {
                Ok(written) => return self.wrote(batch.len() as u64, written),
                Err(error) => self.failed(&error),
            }
        }
        let kept = self.spill.append(batch);
        self.mourn();
        let lost = batch.len().saturating_sub(kept.rows) as u64;
        if lost > 0 {
            let why = match kept.error {
                None => "the spill file is full".to_owned(),
                Some(error) => format!("the spill file can't be written: {error}"),
            };
            self.board.lost(lost, &why);
        }
    }

    /// Keeps what hardware costs, in the order in which it was stated.
    fn write_rents(&mut self) {
        while let (Some(database), Some(statement)) = (&mut self.database, self.rents.first()) {
            match statement.write(&mut database.connection) {
                Ok(()) => drop(self.rents.remove(0)),
                Err(error) => self.failed(&error),
            }
        }
    }

    /// Takes on what is to be written beside rows, as much as may wait.
    fn take_note(&mut self, notes: Vec<Note>) {
        let room = MOST_NOTES.saturating_sub(self.notes.len());
        let left_out = notes.len().saturating_sub(room);
        self.notes.extend(notes.into_iter().take(room));
        if left_out > 0 {
            tracing::warn!(
                left_out,
                "the ledger can't be written; what was learned is not kept"
            );
        }
    }

    fn write_notes(&mut self) {
        while let (Some(database), Some(note)) = (&mut self.database, self.notes.first()) {
            match note.write(&mut database.connection) {
                Ok(()) => drop(self.notes.remove(0)),
                Err(error) if is_impossible(&error) => {
                    tracing::error!(%error, "the tables of the ledger refuse what was learned");
                    self.notes.remove(0);
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    /// Takes feedback, or says why not.
    fn take_feedback(&mut self, given: Vec<Giving>) {
        for Giving { feedback, answer } in given {
            let connection = self.database.as_ref().map(|database| &database.connection);
            let taken = connection.map(|connection| evidence::give(connection, &feedback));
            let taken = match taken {
                // the row may be among those that wait
                Some(Ok(Err(FeedbackError::Unknown))) if !self.spill.is_empty() => {
                    Err(FeedbackError::Unwritten)
                }
                Some(Ok(taken)) => taken,
                Some(Err(error)) => {
                    self.failed(&error);
                    Err(FeedbackError::Unwritten)
                }
                None => Err(FeedbackError::Unwritten),
            };
            // nobody may be waiting any more
            let _ = answer.send(taken);
        }
    }

    /// Counts what waited in a file that somebody took away.
    fn mourn(&mut self) {
        let gone = self.spill.gone();
        if gone > 0 {
            self.board.lost(gone, "the spill file was taken away");
        }
    }

    fn wrote(&self, rows: u64, written: Written) {
        self.board.settled(rows - written.impossible, written.new);
        if written.impossible > 0 {
            let why = "the tables of the ledger refuse them";
            self.board.lost(written.impossible, why);
        }
    }

    /// Writes a part of what waits in the spill file, if the database can be written.
    pub(super) fn write_waiting(&mut self) {
        let Some(database) = self.database.as_mut().filter(|_| !self.spill.is_empty()) else {
            return;
        };
        let chunk = match self.spill.take() {
            Ok(chunk) => chunk,
            Err(error) => return self.failed(&error),
        };
        match database.write(&self.path, &chunk.records) {
            Ok(written) => {
                self.wrote(chunk.records.len() as u64, written);
                if chunk.broken > 0 {
                    let why = "lines of the spill file are no rows";
                    self.board.lost(chunk.broken, why);
                }
                if let Err(error) = self.spill.took(&chunk) {
                    self.failed(&error);
                }
            }
            Err(error) => self.failed(&error),
        }
        self.mourn();
    }
}

impl Writer {
    /// Answers what was asked, unless rows wait that may belong to the answer: those would be
    /// missing in it.
    pub(super) fn answer(&mut self) {
        self.asked.retain(|asked| !asked.answer.is_closed());
        if self.asked.is_empty() {
            return;
        }
        match self.spill.look() {
            Ok(found) => {
                self.board.accepted(found);
                self.out_of_reach = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.out_of_reach, true) {
                    tracing::warn!(%error, "rows of the ledger are out of reach");
                }
                return;
            }
        }
        let Some(database) = self.database.as_ref().filter(|_| self.spill.is_empty()) else {
            return;
        };
        let connection = &database.connection;
        let spent = |asked: &Asked| {
            let asks = asked.asks.iter();
            asks.map(|(spender, since_ms)| read::spent_by(connection, spender, *since_ms))
                .collect::<rusqlite::Result<Vec<Total>>>()
        };
        let answers: rusqlite::Result<Vec<_>> = self.asked.iter().map(spent).collect();
        match answers {
            Ok(answers) => {
                for (asked, answer) in self.asked.drain(..).zip(answers) {
                    // nobody may be waiting any more
                    let _ = asked.answer.send(answer);
                }
            }
            Err(error) => self.failed(&error),
        }
    }
}

impl Database {
    /// All rows of a batch, or none.
    fn write(&mut self, path: &Path, batch: &[Record]) -> Result<Written, WriteError> {
        // rows that are written to a file without a name are gone
        if !super::is_still_at(&self.file, path) {
            return Err(WriteError::TakenAway);
        }
        let written = match self.insert(batch, TOGETHER)? {
            None => self.insert(batch, 1)?,
            written => written,
        };
        Ok(written.unwrap_or_default())
    }

    /// All rows of a batch, or none, at most so many in a statement. `None`: not all of several were
    /// taken, and only statements of one row tell which.
    fn insert(&mut self, batch: &[Record], most: usize) -> rusqlite::Result<Option<Written>> {
        let mut written = Written::default();
        let mut sums = Sums::default();
        let blank = Record::blank();
        let mut left = batch;
        // the lock at once, so that waiting for it is all that can go wrong between two processes
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (rows, sql) in INSERTS.iter().filter(|(rows, _)| *rows <= most) {
            let (now, later) = left.split_at(left.len() / rows * rows);
            left = later;
            let mut insert = transaction.prepare_cached(sql)?;
            insert.clear_bindings();
            let mut bound: &[Record] = &[];
            for several in now.chunks(*rows) {
                for (at, record) in several.iter().enumerate() {
                    let before = bound.get(at).unwrap_or(&blank);
                    let number = |source: &str| number(&transaction, &mut self.cards, source);
                    record.bind(&mut insert, at, before, number)?;
                }
                bound = several;
                match insert.raw_execute() {
                    Ok(new) if new == *rows => {
                        written.new += new as u64;
                        several.iter().for_each(|record| sums.add(record));
                    }
                    Err(error) if !is_impossible(&error) => return Err(error),
                    Ok(_) | Err(_) if *rows > 1 => {
                        // they are taken back with the transaction
                        self.cards.clear();
                        return Ok(None);
                    }
                    Ok(_) => {}
                    Err(_) => written.impossible += 1,
                }
            }
        }
        sums.write(&transaction)?;
        transaction.commit()?;
        Ok(Some(written))
    }
}

/// The number of a source of prices, which is added where it is new.
fn number(
    transaction: &Transaction<'_>,
    known: &mut HashMap<String, i64>,
    source: &str,
) -> rusqlite::Result<i64> {
    if let Some(number) = known.get(source) {
        return Ok(*number);
    }
    let add = "INSERT INTO cards (source) VALUES (?1) ON CONFLICT DO NOTHING";
    transaction.execute(add, [source])?;
    let find = "SELECT id FROM cards WHERE source = ?1";
    let number = transaction.query_row(find, [source], |row| row.get(0))?;
    known.insert(source.to_owned(), number);
    Ok(number)
}

/// Will a row never be taken, whatever the state of the disk? Only a spill file that a hand has
/// edited has such rows.
fn is_impossible(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// Takes a message, and what comes while a batch is gathered. The end and a question end it: those
/// who wait should not wait longer.
#[expect(
    clippy::disallowed_methods,
    reason = "this thread is the writer's own, and no worker of the runtime"
)]
fn gather(first: Message, rows: &Receiver<Message>, came: &mut Came) {
    let until = Instant::now() + GATHER;
    let mut next = Some(first);
    loop {
        match next {
            Some(Message::Row(row)) => came.batch.push(Record::from(*row)),
            Some(Message::Rents(statement)) => came.rents.push(*statement),
            Some(Message::Note(note)) => came.notes.push(*note),
            Some(Message::Spent(asked)) => return came.asked.push(*asked),
            Some(Message::Feedback(giving)) => return came.given.push(*giving),
            Some(Message::Stop(done)) => return came.stop = Some(done),
            None => {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return;
                }
                std::thread::sleep(left.min(GLANCE));
            }
        }
        if came.batch.len() == MOST_ROWS {
            return;
        }
        next = match rows.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Empty) => None,
            // what is left is written before the end is noticed
            Err(TryRecvError::Disconnected) => return,
        };
    }
}

#[cfg(test)]
mod tests;
