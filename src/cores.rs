//! The threads that requests are served on: one for each core, each with a runtime of its own.
//!
//! A request stays on the thread of its connection to its end, and so do the connections to
//! backends that it uses, so that no thread has to wake another or wait for it. Connections are
//! given to whichever thread has the fewest. Where no threads were started, as in tests, everything
//! runs where it is.

use std::{
    cell::Cell,
    io,
    sync::{
        Arc, LazyLock, OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How many threads there may be.
static MOST: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));

thread_local! {
    /// Which of the threads this is; 0: none of them.
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// The threads; they end when this is dropped.
#[derive(Clone, Debug, Default)]
pub struct Cores(Option<Arc<Threads>>);

#[derive(Debug)]
struct Threads {
    all: Vec<Thread>,
    _end: DropGuard,
}

#[derive(Debug)]
struct Thread {
    handle: Handle,
    /// Connections that are served on it.
    connections: Arc<AtomicUsize>,
}

/// A place on a thread for one connection, taken until it is dropped.
#[derive(Debug)]
pub struct Place {
    connections: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Relaxed);
    }
}

impl Cores {
    /// Starts a thread for each core that this process may use.
    ///
    /// # Errors
    /// If the system refuses one.
    pub fn start() -> io::Result<Self> {
        let end = CancellationToken::new();
        let threads = (1..=*MOST).map(|number| Thread::start(number, end.clone()));
        let all = threads.collect::<io::Result<_>>()?;
        let _end = end.drop_guard();
        Ok(Self(Some(Arc::new(Threads { all, _end }))))
    }

    /// A place on the thread with the fewest connections; `None`: there are no threads.
    #[must_use]
    pub fn place(&self) -> Option<(Handle, Place)> {
        let threads = self.0.as_ref()?;
        let busy = |thread: &&Thread| thread.connections.load(Relaxed);
        let thread = threads.all.iter().min_by_key(busy)?;
        thread.connections.fetch_add(1, Relaxed);
        let connections = Arc::clone(&thread.connections);
        Some((thread.handle.clone(), Place { connections }))
    }
}

impl Thread {
    fn start(number: usize, end: CancellationToken) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let work = move || {
            HERE.set(number);
            runtime.block_on(end.cancelled());
            // what is left is waited for by nobody
            runtime.shutdown_background();
        };
        let name = format!("requests-{number}");
        thread::Builder::new().name(name).spawn(work)?;
        Ok(Self {
            handle,
            connections: Arc::default(),
        })
    }
}

/// One of something for each thread, and one for all others; made when it is first asked for.
#[derive(Debug)]
pub struct PerCore<T> {
    each: Box<[OnceLock<T>]>,
    others: OnceLock<T>,
}

impl<T> Default for PerCore<T> {
    fn default() -> Self {
        Self {
            each: (0..*MOST).map(|_| OnceLock::new()).collect(),
            others: OnceLock::new(),
        }
    }
}

impl<T> PerCore<T> {
    /// That of this thread.
    pub fn here(&self, make: impl FnOnce() -> T) -> &T {
        let own = HERE.get().checked_sub(1).and_then(|at| self.each.get(at));
        own.unwrap_or(&self.others).get_or_init(make)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use super::*;

    #[test]
    fn connections_are_spread_over_all_threads_and_places_are_given_back() {
        let cores = Cores::start().unwrap();
        let connections = |cores: &Cores| -> Vec<usize> {
            let threads = cores.0.as_ref().unwrap();
            let all = threads.all.iter();
            all.map(|thread| thread.connections.load(Relaxed)).collect()
        };
        let places: Vec<_> = (0..2 * *MOST).map(|_| cores.place().unwrap()).collect();
        assert_eq!(connections(&cores), vec![2; *MOST]);
        drop(places);
        assert_eq!(connections(&cores), vec![0; *MOST]);
        assert!(Cores::default().place().is_none());
    }

    #[test]
    fn each_thread_has_one_of_its_own_and_keeps_it() {
        let cores = Cores::start().unwrap();
        let next = Arc::new(AtomicUsize::new(0));
        let each = Arc::new(PerCore::default());
        let places: Vec<_> = (0..2 * *MOST).map(|_| cores.place().unwrap()).collect();
        let seen: Vec<usize> = places
            .iter()
            .map(|(handle, _)| {
                let (each, next) = (Arc::clone(&each), Arc::clone(&next));
                let (tell, told) = std::sync::mpsc::channel();
                handle.spawn(async move {
                    let own = *each.here(|| next.fetch_add(1, Relaxed));
                    tell.send(own).unwrap();
                });
                told.recv_timeout(Duration::from_secs(5)).unwrap()
            })
            .collect();
        let distinct: HashSet<_> = seen.iter().collect();
        assert_eq!(distinct.len(), *MOST);
        assert_eq!(seen[..*MOST], seen[*MOST..]);
        assert_eq!(*each.here(|| *MOST), *MOST);
    }
}
