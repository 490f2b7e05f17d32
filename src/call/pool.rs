//! The keys of a provider that has several: they take turns, and each is left alone by itself.
//!
//! Given how calls ended, it decides which key the next one is made with, and whether a failure
//! that is about a key is one of the whole backend: only where no other key is left. Secrets stand
//! in header values and nowhere else; logs and the operator see a fingerprint. Nothing here is
//! logged.

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::failure::Class;
use crate::{
    config::Breaker as Settings,
    route::health::{Change, Health, Pass, Standing, Verdict},
};

/// Bytes of a digest that a fingerprint shows.
const FINGERPRINT: usize = 4;

/// Several keys of one provider.
#[derive(Debug)]
pub struct Pool {
    keys: Vec<Key>,
    /// Whose turn it is, counted through all calls.
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Key {
    sha256: [u8; 32],
    /// The beginning of the digest, in hex.
    fingerprint: Box<str>,
    /// Marked sensitive.
    authorization: HeaderValue,
    known: Arc<Known>,
}

/// What is known of a key; outlives a change of the configuration that keeps the key.
#[derive(Debug, Default)]
struct Known {
    health: Health,
    calls: AtomicU64,
}

/// A key for one call. Dropped without an end (the client left), it tells nothing.
#[derive(Debug)]
#[must_use]
pub struct Taken<'a> {
    pool: &'a Pool,
    index: usize,
    pass: Pass<'a>,
}

/// Keys of one pool, as bits by place: those that failed in one request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tried(u128);

/// What the failure of a call with a key led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// What is worth a line in the log.
    pub change: Option<Change>,
    /// For how many milliseconds the key is over its rate limit.
    pub cools_ms: Option<u64>,
    /// What it means for the backend; `None`: nothing, another key is left.
    pub class: Option<Class>,
}

/// How one key stands.
#[derive(Debug)]
pub struct Stand<'a> {
    pub fingerprint: &'a str,
    pub standing: Standing,
    /// Calls that were begun with it.
    pub calls: u64,
}

impl Pool {
    /// A pool of the keys, where they are several.
    #[must_use]
    pub fn of(keys: &[SecretString]) -> Option<Self> {
        let keys: Vec<Key> = keys.iter().filter_map(Key::of).collect();
        (keys.len() > 1).then(|| Self {
            keys,
            turn: AtomicUsize::new(0),
        })
    }

    /// The same, with what is known of the keys that stood in `before` too.
    #[must_use]
    pub fn knowing(mut self, before: &Self) -> Self {
        for key in &mut self.keys {
            let mut old = before.keys.iter();
            if let Some(old) = old.find(|old| old.sha256 == key.sha256) {
                key.known = Arc::clone(&old.known);
            }
        }
        self
    }

    /// The key for the next call: of those that are not left alone the one whose turn it is, else
    /// the one that comes back first. Keys that were `tried` come last, and a request for which
    /// one failed makes no trial while there is a key that is known to work.
    pub fn take(&self, tried: Tried, now_ms: u64) -> Option<Taken<'_>> {
        let (up, doubtful) = self.usable(tried, now_ms);
        let first = if tried == Tried::default() {
            up | doubtful
        } else {
            up
        };
        let turn = self.turn.fetch_add(1, Relaxed);
        for mut set in [first, doubtful] {
            while let Some(index) = nth(set, turn) {
                if let Some(taken) = self.enter(index, now_ms, false) {
                    return Some(taken);
                }
                // another call has just put it aside, or tries it
                set &= !bit(index);
            }
        }
        let soonest = (0..self.keys.len()).min_by_key(|index| self.left_ms(*index, now_ms))?;
        self.enter(soonest, now_ms, true)
    }

    /// How every key stands, in the order written.
    pub fn stands(&self, now_ms: u64) -> impl Iterator<Item = Stand<'_>> {
        self.keys.iter().map(move |key| Stand {
            fingerprint: &key.fingerprint,
            standing: key.known.health.standing(now_ms),
            calls: key.known.calls.load(Relaxed),
        })
    }

    /// Keys that may be used now: those that are known to work, and those that are to be tried.
    fn usable(&self, tried: Tried, now_ms: u64) -> (u128, u128) {
        let (mut up, mut doubtful) = (0, 0);
        for (index, key) in self.keys.iter().enumerate() {
            match key.known.health.standing(now_ms) {
                Standing::Up => up |= bit(index),
                Standing::Trial => doubtful |= bit(index),
                _ => {}
            }
        }
        (up & !tried.0, doubtful & !tried.0)
    }

    fn enter(&self, index: usize, now_ms: u64, insists: bool) -> Option<Taken<'_>> {
        let known = &self.keys.get(index)?.known;
        let pass = known.health.enter(now_ms, insists)?;
        known.calls.fetch_add(1, Relaxed);
        Some(Taken {
            pool: self,
            index,
            pass,
        })
    }

    /// How long a key is left alone; one that is down longer than any that only cools.
    fn left_ms(&self, index: usize, now_ms: u64) -> u64 {
        let standing = self
            .keys
            .get(index)
            .map(|key| key.known.health.standing(now_ms));
        match standing {
            Some(Standing::Up | Standing::Trial) => 0,
            Some(Standing::Cooling { left_ms, .. }) => left_ms,
            _ => u64::MAX,
        }
    }

    /// What a failure of a key is to the backend where no other key is left: that it is busy until
    /// the first of them comes back, or the failure itself.
    fn class(&self, class: Class, now_ms: u64) -> Class {
        let standings = self
            .keys
            .iter()
            .map(|key| key.known.health.standing(now_ms));
        let cooling = standings.filter_map(|standing| match standing {
            Standing::Cooling { left_ms, asked } => Some((left_ms, asked)),
            _ => None,
        });
        match cooling.min() {
            None => class,
            Some((left_ms, asked)) => Class::Busy {
                retry_after: asked.then(|| Duration::from_millis(left_ms)),
            },
        }
    }
}

impl Key {
    fn of(secret: &SecretString) -> Option<Self> {
        let secret = secret.expose_secret();
        let mut authorization = HeaderValue::from_str(&format!("Bearer {secret}")).ok()?;
        authorization.set_sensitive(true);
        let sha256: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let mut fingerprint = String::with_capacity(2 * FINGERPRINT);
        for byte in sha256.iter().take(FINGERPRINT) {
            // writing to a text does not fail
            let _ = write!(fingerprint, "{byte:02x}");
        }
        Some(Self {
            sha256,
            fingerprint: fingerprint.into(),
            authorization,
            known: Arc::default(),
        })
    }
}

impl<'a> Taken<'a> {
    /// Puts the key into the headers of a request.
    pub fn authorize(&self, headers: &mut HeaderMap) {
        if let Some(key) = self.pool.keys.get(self.index) {
            headers.insert(AUTHORIZATION, key.authorization.clone());
        }
    }

    /// What the key is called in logs: the first 8 hexadecimal digits of its SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> &'a str {
        let key = self.pool.keys.get(self.index);
        key.map_or("", |key| &key.fingerprint)
    }

    /// The call was answered.
    pub fn succeeded(self, now_ms: u64, settings: &Settings) -> Option<Change> {
        self.pass.end(Verdict::Succeeded, now_ms, settings)
    }

    /// The call failed in a way that is about the key: `verdict` of the key, `class` of the
    /// backend if it had this key alone.
    pub fn failed(
        self,
        (verdict, class): (Verdict, Class),
        tried: &mut Tried,
        now_ms: u64,
        settings: &Settings,
    ) -> Ended {
        let Self { pool, index, pass } = self;
        let change = pass.end(verdict, now_ms, settings);
        tried.0 |= bit(index);
        let (up, doubtful) = pool.usable(*tried, now_ms);
        let spent = up | doubtful == 0;
        let cools = matches!(verdict, Verdict::Busy(_));
        Ended {
            change,
            cools_ms: cools.then(|| pool.left_ms(index, now_ms)),
            class: spent.then(|| pool.class(class, now_ms)),
        }
    }
}

/// The bit of a place; a configuration has fewer keys than there are bits.
fn bit(index: usize) -> u128 {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    1_u128.checked_shl(index).unwrap_or(0)
}

/// The place of one of the bits that are set, so that they take turns; `None`: none is set.
fn nth(mut set: u128, turn: usize) -> Option<usize> {
    let number = usize::try_from(set.count_ones()).ok()?;
    for _ in 0..turn.checked_rem(number)? {
        set &= set.wrapping_sub(1);
    }
    usize::try_from(set.trailing_zeros()).ok()
}

#[cfg(test)]
mod tests;
