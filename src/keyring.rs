//! The stored keys of a running gateway: who calls with a key that does not stand in the file.
//!
//! Keys are looked up when they first call, in the database, away from the threads that serve, and
//! stay in a bounded memory. Changes that anybody makes are seen within 250 ms. While the database
//! can't be read those that are in memory go on, and of others it is not said that they are wrong.

mod cache;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::cache::{Cache, Found, Put};
use crate::{
    admit::holders::Holders,
    authenticate::{AuthError, Principal},
    store::keys::{KeysError, Register, Stored},
};

/// How often changes are looked for.
const INTERVAL: Duration = Duration::from_millis(250);
/// Keys that are looked up at once. One takes well under a millisecond.
const AT_ONCE: usize = 4;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long locks of other processes are waited for. Readers hardly ever meet one.
const LOCK_PATIENCE: Duration = Duration::from_millis(250);
/// Keys in memory: about 60 MB.
const MOST: usize = 100_000;
/// Changes that are read at once.
const CHANGES: usize = 1_000;
/// How often a look-up is repeated because something changed meanwhile.
const TRIES: usize = 5;

/// The stored keys.
#[derive(Debug)]
pub struct Keyring {
    path: PathBuf,
    cache: Cache,
    /// What keys have taken; those that are forgotten here are forgotten there.
    holders: Arc<Holders>,
    turns: Arc<Semaphore>,
    /// Connections that nobody uses.
    readers: Mutex<Vec<Register>>,
    watch: Mutex<Watch>,
    /// Can changes be read? So that a turn is said once.
    readable: AtomicBool,
    /// Keys of whose id the file has another one; it is said once of each.
    shadowed: Mutex<HashSet<Arc<str>>>,
}

/// How far changes were followed.
#[derive(Debug, Default)]
struct Watch {
    reader: Option<Register>,
    revision: i64,
}

impl Keyring {
    /// The keys of a database. Nothing is read yet.
    #[must_use]
    pub fn of(path: &Path, holders: Arc<Holders>) -> Self {
        Self {
            path: path.to_owned(),
            cache: Cache::of(MOST),
            holders,
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            readers: Mutex::default(),
            watch: Mutex::default(),
            readable: AtomicBool::new(true),
            shadowed: Mutex::default(),
        }
    }

    /// The database that they stand in.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who holds the key of that digest.
    ///
    /// # Errors
    /// If nobody does, or not any more, or it can't be found out.
    pub async fn holder(
        self: &Arc<Self>,
        digest: [u8; 32],
        now: Timestamp,
    ) -> Result<Arc<Principal>, AuthError> {
        if let Some(found) = self.cache.find(&digest, now) {
            return verdict(found, &digest, now);
        }
        let turn = Arc::clone(&self.turns).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(PATIENCE, turn).await else {
            return Err(AuthError::Unreadable);
        };
        let ring = Arc::clone(self);
        let looking = tokio::task::spawn_blocking(move || {
            let found = ring.look_up(&digest, now);
            drop(turn);
            found
        });
        match looking.await {
            Ok(Ok(found)) => verdict(found, &digest, now),
            Ok(Err(error)) => {
                self.say(Some(&error));
                Err(AuthError::Unreadable)
            }
            Err(_) => Err(AuthError::Unreadable),
        }
    }

    /// Who holds the key of an id, whether or not it is accepted now.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn by_id(self: &Arc<Self>, id: &str) -> Result<Option<Arc<Principal>>, KeysError> {
        let id = id.to_owned();
        let found = self.ask(move |reader| reader.get(&id)).await?;
        Ok(found.map(|stored| Arc::new(stored.principal())))
    }

    /// Who holds the key of an id, unless it was revoked.
    ///
    /// # Errors
    /// If nobody does, or not any more, or it can't be read.
    pub async fn accepted(self: &Arc<Self>, id: &str) -> Result<Arc<Principal>, AuthError> {
        let id = id.to_owned();
        match self.ask(move |reader| reader.get(&id)).await {
            Ok(Some(stored)) if stored.revoked.is_some() => Err(AuthError::Revoked),
            Ok(Some(stored)) => Ok(Arc::new(stored.principal())),
            Ok(None) => Err(AuthError::Wrong),
            Err(_) => Err(AuthError::Unreadable),
        }
    }

    /// Reads something of the store, away from the threads that serve.
    ///
    /// # Errors
    /// If it can't be read.
    pub async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Register) -> Result<T, KeysError> + Send + 'static,
    ) -> Result<T, KeysError> {
        let ring = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || ring.read(read));
        reading.await.unwrap_or(Err(KeysError::BrokeOff))
    }

    /// Changes a key in the store and puts it into effect at once.
    ///
    /// # Errors
    /// As the change; or if the database can't be opened.
    pub async fn change<F>(self: &Arc<Self>, change: F) -> Result<Stored, KeysError>
    where
        F: FnOnce(&mut Register) -> Result<Stored, KeysError> + Send + 'static,
    {
        let ring = Arc::clone(self);
        let changing = tokio::task::spawn_blocking(move || {
            let changed = change(&mut Register::open(&ring.path)?)?;
            // where that fails the next tick does it
            let _ = ring.refresh();
            Ok(changed)
        });
        changing.await.unwrap_or(Err(KeysError::BrokeOff))
    }

    /// A key called of whose id the configuration file has another one: that one is used.
    pub fn shadowed(&self, id: &Arc<str>) {
        if lock(&self.shadowed).insert(Arc::clone(id)) {
            tracing::warn!(
                key = &**id,
                "a stored key has the id of one in the file, and is refused"
            );
        }
    }

    /// Puts into effect what has changed since this was done last. Waits for a disk.
    ///
    /// # Errors
    /// If nothing can be read; what is in memory stays.
    pub fn refresh(&self) -> Result<(), KeysError> {
        let mut watch = lock(&self.watch);
        let refreshed = self.follow(&mut watch);
        if refreshed.is_err() {
            watch.reader = None;
        }
        self.say(refreshed.as_ref().err());
        refreshed
    }

    /// Follows changes until it is told to end.
    pub async fn keep_fresh(self: Arc<Self>, close: CancellationToken) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = close.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let ring = Arc::clone(&self);
            // what failed is said, and tried again at the next tick
            let _ = tokio::task::spawn_blocking(move || ring.refresh()).await;
        }
    }

    fn follow(&self, watch: &mut Watch) -> Result<(), KeysError> {
        let reader = match watch.reader.take().filter(Register::is_current) {
            Some(reader) => reader,
            None => {
                let reader = self.open()?;
                // another database, perhaps: what is in memory may not stand in it
                watch.revision = reader.latest()?;
                self.cache.clear();
                reader
            }
        };
        let latest = reader.latest()?;
        if latest < watch.revision {
            // a copy from before was put in its place
            watch.revision = latest;
            self.cache.clear();
        }
        while watch.revision < latest {
            let changed = reader.since(watch.revision, CHANGES)?;
            let Some(last) = changed.last() else { break };
            self.cache.change(&changed);
            watch.revision = last.revision;
        }
        watch.reader = Some(reader);
        Ok(())
    }

    /// What the database has of a digest; it is kept in memory.
    fn look_up(&self, digest: &[u8; 32], now: Timestamp) -> Result<Found, KeysError> {
        let mut found = Found::Nobody;
        for _ in 0..TRIES {
            // who waited for a turn may find what another one looked up
            if let Some(found) = self.cache.find(digest, now) {
                return Ok(found);
            }
            let moment = self.cache.moment();
            let stored = self.read(|reader| reader.find(digest))?;
            found = stored.as_ref().map_or(Found::Nobody, Found::of);
            let put = match &stored {
                Some(stored) => self.cache.put(stored, now, moment),
                None => self.cache.put_nobody(digest, moment),
            };
            match put {
                Put::Stale => {}
                Put::Kept => break,
                Put::Instead(forgotten) => {
                    self.holders.retain(|id| !forgotten.contains(id));
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Reads something through a connection that nobody uses.
    fn read<T>(
        &self,
        read: impl FnOnce(&Register) -> Result<T, KeysError>,
    ) -> Result<T, KeysError> {
        let idle = lock(&self.readers).pop().filter(Register::is_current);
        let reader = match idle {
            Some(reader) => reader,
            None => self.open()?,
        };
        let result = read(&reader)?;
        lock(&self.readers).push(reader);
        Ok(result)
    }

    fn open(&self) -> Result<Register, KeysError> {
        Register::open_to_read(&self.path, LOCK_PATIENCE)
    }

    /// Says once that nothing can be read, and once that it can be again.
    fn say(&self, error: Option<&KeysError>) {
        if self.readable.swap(error.is_none(), Relaxed) == error.is_none() {
            return;
        }
        let file = self.path.display();
        match error {
            Some(error) => tracing::error!(%file, %error, "the stored keys can't be read"),
            None => tracing::info!(%file, "the stored keys can be read again"),
        }
    }
}

/// Is a key accepted now, by that digest of its?
fn verdict(found: Found, digest: &[u8; 32], now: Timestamp) -> Result<Arc<Principal>, AuthError> {
    let Found::Key(key) = found else {
        return Err(AuthError::Wrong);
    };
    let former = key.former.filter(|former| former.digest == *digest);
    if key.revoked {
        Err(AuthError::Revoked)
    } else if former.is_some_and(|former| now >= former.until) {
        Err(AuthError::Replaced)
    } else if key.principal.is_expired(now) {
        Err(AuthError::Expired)
    } else {
        Ok(Arc::clone(&key.principal))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
#[cfg(test)]
mod tests;
