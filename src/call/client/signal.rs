//! Who is woken for a connection that has no task of its own.
//!
//! Its halves wake each other while one task polls both: such calls must not have that task polled
//! once more. And a connection that waits for its backend need not be polled until it is called.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    task::{Wake, Waker},
};

/// It is being polled.
const DRIVEN: u8 = 1;
/// It was called since it was last polled.
const CALLED: u8 = 2;

/// Takes the calls of one connection.
#[derive(Debug, Default)]
pub(super) struct Signal {
    state: AtomicU8,
    /// Who waits for it.
    task: Mutex<Option<Waker>>,
}

impl Signal {
    /// From now on, this task waits for it; `None`: nobody.
    pub(super) fn waits(&self, waker: Option<&Waker>) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *task, waker) {
            (Some(known), Some(waker)) => known.clone_from(waker),
            (task, waker) => *task = waker.cloned(),
        }
    }

    /// Was it called since it was last polled?
    pub(super) fn is_called(&self) -> bool {
        self.state.load(SeqCst) & CALLED != 0
    }

    /// It is polled now; calls until the end are only noted.
    pub(super) fn begin(&self) {
        self.state.store(DRIVEN, SeqCst);
    }

    /// It was polled, and something came of it.
    pub(super) fn end(&self) {
        self.state.fetch_and(!DRIVEN, SeqCst);
    }

    /// It was polled, and waits; false if it was called meanwhile, and has to be polled again.
    pub(super) fn rest(&self) -> bool {
        let rested = self.state.compare_exchange(DRIVEN, 0, SeqCst, SeqCst);
        rested.is_ok()
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(CALLED, SeqCst) != 0 {
            // it is noted, or whoever waits knows already
            return;
        }
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn waiting() -> (Arc<Signal>, Arc<Task>) {
        let (signal, task) = (Arc::<Signal>::default(), Arc::<Task>::default());
        signal.waits(Some(&Waker::from(Arc::clone(&task))));
        (signal, task)
    }

    #[test]
    fn a_call_while_it_is_polled_has_it_polled_again_and_wakes_nobody() {
        let (signal, task) = waiting();
        signal.begin();
        signal.wake_by_ref();
        assert!(!signal.rest());
        signal.begin();
        assert!(signal.rest());
        assert_eq!(task.0.load(SeqCst), 0);
    }

    #[test]
    fn a_call_while_it_rests_wakes_whoever_waits_once() {
        let (signal, task) = waiting();
        signal.begin();
        assert!(signal.rest() && !signal.is_called());
        for _ in 0..3 {
            signal.wake_by_ref();
        }
        assert!(signal.is_called());
        assert_eq!(task.0.load(SeqCst), 1);
    }

    #[test]
    fn nobody_is_woken_who_does_not_wait_any_more() {
        let (signal, before) = waiting();
        let now = Arc::<Task>::default();
        signal.waits(Some(&Waker::from(Arc::clone(&now))));
        signal.wake_by_ref();
        signal.waits(None);
        signal.begin();
        assert!(signal.rest());
        signal.wake_by_ref();
        assert_eq!((before.0.load(SeqCst), now.0.load(SeqCst)), (0, 1));
    }
}
