//! Connections that wait for the next request, for each host.
//!
//! The one that was used last is taken first, and looked at before: what the host has closed
//! meanwhile is not taken. A sweep ends those that have waited for too long, as long as there are
//! any.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;
use http::uri::Authority;
use hyper::rt::Executor as _;
use hyper_util::rt::TokioExecutor;

use super::line::Line;

/// Idle connections, all in plain text or all over TLS.
#[derive(Debug)]
pub(super) struct Idle {
    /// How long one is kept.
    keep: Duration,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    /// The one that was used last is the last one.
    of_hosts: HashMap<Authority, Vec<Resting>, RandomState>,
    /// Is a sweep under way?
    swept: bool,
}

#[derive(Debug)]
struct Resting {
    line: Box<Line>,
    since: Instant,
}

impl Idle {
    pub(super) fn new(keep: Duration) -> Arc<Self> {
        Arc::new(Self {
            keep,
            lines: Mutex::default(),
        })
    }

    /// An open connection to a host, and for how long it has been idle.
    pub(super) fn take(&self, host: &Authority) -> Option<(Box<Line>, Duration)> {
        loop {
            let Resting { mut line, since } = self.lock().of_hosts.get_mut(host)?.pop()?;
            let idle = since.elapsed();
            if idle < self.keep && line.is_idle() {
                return Some((line, idle));
            }
        }
    }

    /// Keeps a connection, if it can be used again.
    pub(super) fn put(self: &Arc<Self>, host: Authority, mut line: Box<Line>) {
        if !line.is_idle() {
            return;
        }
        let since = Instant::now();
        let mut lines = self.lock();
        let of_host = lines.of_hosts.entry(host).or_default();
        of_host.push(Resting { line, since });
        if !std::mem::replace(&mut lines.swept, true) {
            let sweep = sweep(Arc::downgrade(self), self.keep / 2);
            TokioExecutor::new().execute(sweep);
        }
    }

    /// Ends what is old or closed; is anything left?
    fn sweep(&self) -> bool {
        let mut ended = Vec::new();
        let mut lines = self.lock();
        lines.of_hosts.retain(|_, of_host| {
            ended.extend(of_host.extract_if(.., |resting| {
                resting.since.elapsed() >= self.keep || !resting.line.is_idle()
            }));
            !of_host.is_empty()
        });
        lines.swept = !lines.of_hosts.is_empty();
        lines.swept
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks at idle connections from time to time, until there are none, or nobody can use them.
async fn sweep(idle: Weak<Idle>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        if !idle.upgrade().is_some_and(|idle| idle.sweep()) {
            return;
        }
    }
}
