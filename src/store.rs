//! The store: keeps one row for each call to a backend, and reads back what was spent.
//!
//! Rows come from settled accounts and are written by a thread of their own, in batches, so that no
//! request ever waits for a disk. While the database can't be written they wait in a bounded file
//! beside it; what fits nowhere is counted and said. `docs/ledger.md` has what is promised.

mod amortised;
mod evidence;
pub mod keys;
mod read;
mod record;
mod rents;
pub mod report;
mod schema;
mod share;
mod spent;
mod spill;
mod writer;

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

pub use self::{
    evidence::{Feedback, FeedbackError, Judged, Kept},
    read::{Dimension, Line, Page, Question, ReadError, decisions, spend, spent},
    rents::Rent,
    schema::OpenError,
};
use self::{
    evidence::{Giving, Note},
    rents::Statement,
    spill::Spill,
    writer::{Asked, Message, Writer},
};
use crate::{
    admit::purse::Spender,
    config::OnFailure,
    learn::outcomes::Learned,
    money::Total,
    settle::{
        ledger::{Row, Sink},
        metrics::Metrics,
    },
};

/// Rows that may wait for the thread that writes them: at 5,000 requests a second, 13 seconds.
const QUEUE: usize = 65_536;
/// How long locks of others are waited for at the start, when nobody waits for an answer yet.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// Lost rows are said at most this often.
const SAID_EVERY_MS: u64 = 10_000;

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the thread that writes the ledger can't be started: {0}")]
    Thread(std::io::Error),
}

impl StoreError {
    /// Is it only that nothing can be written at that place?
    #[must_use]
    pub fn is_no_place(&self) -> bool {
        matches!(self, Self::Open(error) if error.is_no_place())
    }
}

/// The ledger of a running gateway.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    rows: SyncSender<Message>,
    board: Arc<Board>,
    on_failure: OnFailure,
}

impl Store {
    /// Opens the ledger, makes it if there is none, and starts to write. A database that is locked
    /// or whose disk is full is no hindrance: it is tried again and again.
    ///
    /// # Errors
    /// If the file can't be a ledger, a newer program made it, or nothing can be made there.
    pub fn open(
        path: &Path,
        on_failure: OnFailure,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StoreError> {
        let board = Arc::new(Board::new(metrics));
        let spill = Spill::new(spill::path_of(path), spill::MOST_BYTES);
        let mut writer = Writer::new(path.to_owned(), spill, Arc::clone(&board));
        writer.start(START_PATIENCE)?;
        let (rows, receiver) = sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("ledger".into())
            .spawn(move || writer.run(&receiver))
            .map_err(StoreError::Thread)?;
        Ok(Self {
            path: path.to_owned(),
            rows,
            board,
            on_failure,
        })
    }

    /// The file of the ledger.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was spent, each since a moment (milliseconds since 1970), in the order of the
    /// questions. Every row that was recorded before counts, also one that waits beside the
    /// database, or that a killed process left there. So the answer waits while the database can't
    /// be written: a caller that can't wait sets a limit.
    ///
    /// # Errors
    /// If the ledger is closed.
    pub async fn spent(&self, asks: Vec<(Spender, i64)>) -> Result<Vec<Total>, ReadError> {
        let (answer, spent) = oneshot::channel();
        self.send(Message::Spent(Box::new(Asked { asks, answer })))
            .await;
        spent.await.map_err(|_| ReadError::Closed)
    }

    /// From that moment on, in milliseconds since 1970, this is what costs by the hour, and nothing
    /// else. Never waits; it is written as soon as the database can be.
    pub fn rent(&self, from_ms: i64, rents: Vec<Rent>) {
        let statement = Statement { from_ms, rents };
        if self
            .rows
            .try_send(Message::Rents(Box::new(statement)))
            .is_err()
        {
            tracing::error!("the ledger is not told what hardware costs: its queue is full");
        }
    }

    /// Takes feedback on a request whose rows were recorded before.
    ///
    /// # Errors
    /// If it is not the first on an answer that this key got lately, or the ledger can't be written.
    pub async fn feedback(&self, feedback: Feedback) -> Result<Judged, FeedbackError> {
        let (answer, taken) = oneshot::channel();
        let giving = Giving { feedback, answer };
        let sent = self.rows.try_send(Message::Feedback(Box::new(giving)));
        sent.map_err(|_| FeedbackError::Unwritten)?;
        taken.await.unwrap_or(Err(FeedbackError::Unwritten))
    }

    /// Keeps what outcomes have taught. Never waits; `false`: it was not taken, say it again.
    #[must_use]
    pub fn keep_learned(&self, learned: Vec<Learned>) -> bool {
        self.note(Note::Learned(learned))
    }

    /// Forgets what outcomes have taught, of a key or of all, of a model or of all; `false`: it was
    /// not taken.
    #[must_use]
    pub fn forget_learned(&self, key: Option<&str>, model: Option<&str>) -> bool {
        let owned = |name: Option<&str>| name.map(str::to_owned);
        self.note(Note::Forget(owned(key), owned(model)))
    }

    fn note(&self, note: Note) -> bool {
        self.rows.try_send(Message::Note(Box::new(note))).is_ok()
    }

    /// What outcomes have taught, as it was kept last.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn learned(&self) -> Result<Vec<Learned>, ReadError> {
        read::learned(&self.path)
    }

    /// Waits until there is room in the queue. A message to a thread that has ended is dropped.
    async fn send(&self, mut message: Message) {
        while let Err(TrySendError::Full(back)) = self.rows.try_send(message) {
            message = back;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Writes what is there and ends; waits for it at most so long.
    pub async fn stop(&self, patience: Duration) {
        let end = async {
            let (done, written) = oneshot::channel();
            self.send(Message::Stop(done)).await;
            // an error means that the thread has ended already
            drop(written.await);
        };
        if tokio::time::timeout(patience, end).await.is_err() {
            let pending = self.board.metrics.ledger_pending.get();
            tracing::error!(pending, "the ledger could not be written in time");
        }
    }
}

impl Sink for Store {
    fn record(&self, row: Row) {
        self.board.accepted(1);
        if self.board.is_closed() {
            return self.board.lost(1, "the ledger is closed");
        }
        match self.rows.try_send(Message::Row(Box::new(row))) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.board.lost(1, "the queue is full"),
            Err(TrySendError::Disconnected(_)) => {
                self.board.close();
                self.board
                    .lost(1, "the thread that writes the ledger has ended");
            }
        }
    }

    fn decided(&self, request_id: &Arc<str>, at_ms: i64, decision: String) {
        // one of many is kept, so that one more which is not is no loss
        self.note(Note::Decision(Kept {
            request_id: Arc::clone(request_id),
            at_ms,
            decision,
        }));
    }

    fn accepts(&self) -> bool {
        self.on_failure == OnFailure::Serve || self.board.is_healthy()
    }
}

/// What is known of the ledger on both sides of the queue.
#[derive(Debug)]
struct Board {
    metrics: Arc<Metrics>,
    healthy: AtomicBool,
    /// No row is taken any more.
    closed: AtomicBool,
    began: Instant,
    /// When lost rows may be said again, in milliseconds since `began`.
    silent_until: AtomicU64,
}

impl Board {
    fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            // so that the first failure is a turn, and is said
            healthy: AtomicBool::new(true),
            closed: AtomicBool::new(false),
            began: Instant::now(),
            silent_until: AtomicU64::new(0),
        }
    }

    fn is_healthy(&self) -> bool {
        self.healthy.load(Relaxed) && !self.is_closed()
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    /// The database can be written, or can't; was it otherwise before?
    fn turn(&self, healthy: bool) -> bool {
        self.healthy.swap(healthy, Relaxed) != healthy
    }

    /// Rows wait from now on.
    fn accepted(&self, rows: u64) {
        self.metrics.ledger_pending.add(signed(rows));
    }

    /// Rows are in the database; some of them were there before.
    fn settled(&self, rows: u64, new: u64) {
        self.metrics.ledger_pending.sub(signed(rows));
        self.metrics.ledger_written.inc_by(new);
    }

    /// Rows are gone.
    fn lost(&self, rows: u64, why: &str) {
        self.metrics.ledger_pending.sub(signed(rows));
        self.metrics.ledger_lost.inc_by(rows);
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let until = self.silent_until.load(Relaxed);
        let say = |until| {
            let next = now.saturating_add(SAID_EVERY_MS);
            self.silent_until
                .compare_exchange(until, next, Relaxed, Relaxed)
                .is_ok()
        };
        if now >= until && say(until) {
            let total = self.metrics.ledger_lost.get();
            tracing::error!(rows, total, why, "rows of the ledger are lost");
        }
    }
}

fn signed(rows: u64) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Is an open file still the one that a path leads to?
fn is_still_at(open: &Metadata, path: &Path) -> bool {
    let at = std::fs::metadata(path);
    at.is_ok_and(|at| (at.dev(), at.ino()) == (open.dev(), open.ino()))
}

/// The files of a ledger: the database, what SQLite writes beside it, and the spill file.
#[must_use]
pub fn files_of(ledger: &Path) -> [PathBuf; 5] {
    let [wal, shm, journal] = ["-wal", "-shm", "-journal"].map(|ending| beside(ledger, ending));
    [ledger.to_owned(), wal, shm, journal, spill::path_of(ledger)]
}

/// The file whose name is that of the database with such an ending.
fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests;
