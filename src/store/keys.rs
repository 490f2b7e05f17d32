//! Keys of clients that are kept in the store, beside the ledger in one database.
//!
//! Only digests of secrets are kept. Every change gets the next revision, by which other processes
//! find what has changed. A key is never deleted: its id stands in the ledger. Each user opens a
//! connection of its own; none of them is the ledger's.

mod row;
pub mod secret;
mod view;

use std::{
    fs::Metadata,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::{
    read,
    schema::{self, OpenError},
};
use crate::{
    admit::{purse::Spender, window::Window},
    authenticate::Principal,
    config::{Budget, Limits, Tags},
    money::Total,
};

pub use self::view::{BudgetView, State, View};

/// How long others who change something are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a key allows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// Model names, or patterns with one trailing `*`; `None`: every model.
    pub models: Option<Vec<Arc<str>>>,
    pub limits: Limits,
    /// `None`: unlimited.
    pub budget: Option<Budget>,
    /// From then on it is not accepted; `None`: always.
    pub expires: Option<Timestamp>,
    pub tags: Option<Arc<Tags>>,
}

/// A key that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub id: Arc<str>,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// The secret that it had before.
    pub former: Option<Former>,
    pub terms: Terms,
    pub created: Timestamp,
    /// From then on it is not accepted, for good.
    pub revoked: Option<Timestamp>,
    /// Which change of all keys was the last one of this key.
    pub revision: i64,
}

/// A secret that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Former {
    pub digest: [u8; 32],
    /// Until then it is accepted as well.
    pub until: Timestamp,
}

/// What is to be changed: `None` stays as it is, `Some(None)` is taken away.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    pub models: Option<Option<Vec<Arc<str>>>>,
    pub rpm: Option<Option<std::num::NonZeroU32>>,
    pub tpm: Option<Option<std::num::NonZeroU64>>,
    pub max_concurrent: Option<Option<std::num::NonZeroU32>>,
    pub budget: Option<Option<Budget>>,
    pub expires: Option<Option<Timestamp>>,
    pub tags: Option<Option<Arc<Tags>>>,
}

/// Why something can't be done with keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("the id `{0}` is taken")]
    Taken(Arc<str>),
    #[error("no stored key has the id `{0}`")]
    Unknown(Arc<str>),
    #[error("the key `{0}` is revoked, which is final")]
    Revoked(Arc<str>),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the stored keys can't be read or changed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("reading or changing the stored keys broke off")]
    BrokeOff,
}

/// The keys of a store, through one connection.
#[derive(Debug)]
pub struct Register {
    db: Connection,
    path: PathBuf,
    /// The file that was opened, which may be taken away.
    file: Metadata,
}

impl Stored {
    /// Who calls with it.
    #[must_use]
    pub fn principal(&self) -> Principal {
        let mut principal = Principal::new(Arc::clone(&self.id), self.terms.models.clone());
        principal.limits = self.terms.limits;
        principal.budget = self.terms.budget;
        principal.expires = self.terms.expires;
        principal.tags.clone_from(&self.terms.tags);
        principal
    }
}

impl Patch {
    /// Changes the terms of a key.
    pub fn apply(self, terms: &mut Terms) {
        fn put<T>(place: &mut T, change: Option<T>) {
            if let Some(value) = change {
                *place = value;
            }
        }
        put(&mut terms.models, self.models);
        put(&mut terms.limits.rpm, self.rpm);
        put(&mut terms.limits.tpm, self.tpm);
        put(&mut terms.limits.max_concurrent, self.max_concurrent);
        put(&mut terms.budget, self.budget);
        put(&mut terms.expires, self.expires);
        put(&mut terms.tags, self.tags);
    }
}

impl Register {
    /// Opens the keys of a database to change them; makes it if there is none.
    ///
    /// # Errors
    /// If it can't be written, or is none of this program.
    pub fn open(path: &Path) -> Result<Self, KeysError> {
        Self::of(schema::open(path, PATIENCE)?, path)
    }

    /// Opens the keys of a database to read them; others are waited for as long as `patience`.
    ///
    /// # Errors
    /// If there is none, or it is none of this program.
    pub fn open_to_read(path: &Path, patience: Duration) -> Result<Self, KeysError> {
        let db = schema::open_to_read(path)?;
        db.busy_timeout(patience)?;
        Self::of(db, path)
    }

    fn of(db: Connection, path: &Path) -> Result<Self, KeysError> {
        // opened a moment ago: if it is gone already, so is the connection's use
        let file =
            std::fs::metadata(path).map_err(|_| rusqlite::Error::InvalidPath(path.into()))?;
        let path = path.to_owned();
        Ok(Self { db, path, file })
    }

    /// Is it still the database of that name?
    #[must_use]
    pub fn is_current(&self) -> bool {
        super::is_still_at(&self.file, &self.path)
    }

    /// Keeps a new key.
    ///
    /// # Errors
    /// If its id is taken, or nothing can be written.
    pub fn create(
        &mut self,
        id: &str,
        digest: [u8; 32],
        terms: Terms,
        now: Timestamp,
    ) -> Result<Stored, KeysError> {
        let change = self.begin()?;
        if row::by_id(&change, id)?.is_some() {
            return Err(KeysError::Taken(id.into()));
        }
        let stored = Stored {
            id: id.into(),
            digest,
            former: None,
            terms,
            created: now,
            revoked: None,
            revision: latest(&change)? + 1,
        };
        row::insert(&change, &stored)?;
        // as it stands there: moments are kept in milliseconds
        let stored = row::by_id(&change, id)?.unwrap_or(stored);
        change.commit()?;
        Ok(stored)
    }

    /// Changes what a key allows.
    ///
    /// # Errors
    /// If there is none of that id, it is revoked, or nothing can be written.
    pub fn patch(&mut self, id: &str, patch: Patch) -> Result<Stored, KeysError> {
        self.change(id, |stored| patch.apply(&mut stored.terms))
    }

    /// From now on a key is not accepted any more, whatever its secret.
    ///
    /// # Errors
    /// As [`Register::patch`].
    pub fn revoke(&mut self, id: &str, now: Timestamp) -> Result<Stored, KeysError> {
        self.change(id, |stored| stored.revoked = Some(now))
    }

    /// Gives a key another secret. The one that it has is accepted until a moment as well; one that
    /// was replaced before is not any more.
    ///
    /// # Errors
    /// As [`Register::patch`].
    pub fn rotate(
        &mut self,
        id: &str,
        digest: [u8; 32],
        until: Timestamp,
    ) -> Result<Stored, KeysError> {
        self.change(id, |stored| {
            let old = std::mem::replace(&mut stored.digest, digest);
            stored.former = Some(Former { digest: old, until });
        })
    }

    /// The key of an id.
    ///
    /// # Errors
    /// If nothing can be read.
    pub fn get(&self, id: &str) -> Result<Option<Stored>, KeysError> {
        Ok(row::by_id(&self.db, id)?)
    }

    /// The key that has or had a secret.
    ///
    /// # Errors
    /// If nothing can be read.
    pub fn find(&self, digest: &[u8; 32]) -> Result<Option<Stored>, KeysError> {
        Ok(row::by_digest(&self.db, digest)?)
    }

    /// Keys in the order of their ids, those after an id.
    ///
    /// # Errors
    /// If nothing can be read.
    pub fn list(&self, after: Option<&str>, most: usize) -> Result<Vec<Stored>, KeysError> {
        Ok(row::after_id(&self.db, after, most)?)
    }

    /// The revision of the last change; 0: there was none.
    ///
    /// # Errors
    /// If nothing can be read.
    pub fn latest(&self) -> Result<i64, KeysError> {
        Ok(latest(&self.db)?)
    }

    /// Keys that changed after a revision, in the order of their changes.
    ///
    /// # Errors
    /// If nothing can be read.
    pub fn since(&self, revision: i64, most: usize) -> Result<Vec<Stored>, KeysError> {
        Ok(row::after_revision(&self.db, revision, most)?)
    }

    /// What a key spent of its budget in the window of `now`, as far as the ledger has it.
    ///
    /// # Errors
    /// If nothing can be read.
    pub fn spent(
        &self,
        id: &str,
        budget: Budget,
        (zone, now): (&TimeZone, Timestamp),
    ) -> Result<Total, KeysError> {
        let start = Window::at(budget.per, zone, now).start;
        let spender = Spender::Key(id.into());
        Ok(read::spent_by(&self.db, &spender, start.as_millisecond())?)
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Stored)) -> Result<Stored, KeysError> {
        let transaction = self.begin()?;
        let mut stored =
            row::by_id(&transaction, id)?.ok_or_else(|| KeysError::Unknown(id.into()))?;
        if stored.revoked.is_some() {
            return Err(KeysError::Revoked(stored.id));
        }
        change(&mut stored);
        stored.revision = latest(&transaction)? + 1;
        row::update(&transaction, &stored)?;
        let stored = row::by_id(&transaction, id)?.unwrap_or(stored);
        transaction.commit()?;
        Ok(stored)
    }

    /// The lock at once, so that no change is lost between reading and writing.
    fn begin(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.db
            .transaction_with_behavior(TransactionBehavior::Immediate)
    }
}

fn latest(db: &Connection) -> rusqlite::Result<i64> {
    let latest = db.query_row("SELECT max(revision) FROM keys", [], |row| row.get(0));
    Ok(latest.optional()?.flatten().unwrap_or(0))
}

#[cfg(test)]
mod tests;
