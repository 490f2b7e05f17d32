//! What is done about a failed attempt. Pure: the failure and what happened before go in, one
//! step comes out. Only failures before the first byte to the client come here.

use std::time::Duration;

use super::failure::{Class, Failure, Phase};

/// What has happened so far.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Attempts so far, this one included.
    pub attempts: u32,
    /// Was this backend tried twice already?
    pub same_tried: bool,
    /// Was it about one key of this backend's provider alone, and is there another?
    pub other_key: bool,
    /// Attempts allowed.
    pub max_attempts: u32,
    /// The longest wait that a backend may ask for.
    pub max_wait: Duration,
    /// May a request be repeated that may have been processed?
    pub after_send: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The same backend once more, after a short random pause, by another replica if there is one.
    SameSoon,
    /// The same backend once more, after the wait that it asked for.
    SameAfter(Duration),
    /// The same backend at once, with another key of its provider.
    OtherKey,
    /// The next candidate.
    Next,
    /// The next candidate with a larger context.
    NextLarger,
    /// No more attempts.
    Fail,
}

/// Decides.
#[must_use]
pub fn judge(failure: &Failure, turn: &Turn) -> Step {
    if turn.attempts >= turn.max_attempts {
        return Step::Fail;
    }
    if failure.may_have_been_processed() && !turn.after_send {
        return Step::Fail;
    }
    if turn.other_key {
        return Step::OtherKey;
    }
    match failure.class {
        // nobody else has any time left either
        Class::Rejected | Class::TimedOut(Phase::Whole) => Step::Fail,
        Class::ContextTooLong => Step::NextLarger,
        Class::Incapable(_) | Class::Refused(_) | Class::TimedOut(_) => Step::Next,
        Class::Busy {
            retry_after: Some(wait),
        } if wait <= turn.max_wait && !turn.same_tried => Step::SameAfter(wait),
        Class::Busy { .. } => Step::Next,
        Class::Unreachable | Class::Dropped | Class::Transient | Class::Nonsense => {
            if turn.same_tried {
                Step::Next
            } else {
                Step::SameSoon
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{caps::Cap, route::health::DownReason};

    const TURN: Turn = Turn {
        attempts: 1,
        same_tried: false,
        other_key: false,
        max_attempts: 3,
        max_wait: Duration::from_secs(3),
        after_send: true,
    };

    fn step(class: Class, turn: Turn) -> Step {
        judge(&Failure::without_answer(class, ""), &turn)
    }

    #[test]
    fn each_failure_has_its_step() {
        let wait = |seconds| Class::Busy {
            retry_after: Some(Duration::from_secs(seconds)),
        };
        for (class, first, second) in [
            (Class::Unreachable, Step::SameSoon, Step::Next),
            (Class::Dropped, Step::SameSoon, Step::Next),
            (Class::Transient, Step::SameSoon, Step::Next),
            (Class::Nonsense, Step::SameSoon, Step::Next),
            (wait(2), Step::SameAfter(Duration::from_secs(2)), Step::Next),
            (wait(4), Step::Next, Step::Next),
            (Class::Busy { retry_after: None }, Step::Next, Step::Next),
            (Class::TimedOut(Phase::FirstByte), Step::Next, Step::Next),
            (Class::TimedOut(Phase::Whole), Step::Fail, Step::Fail),
            (Class::ContextTooLong, Step::NextLarger, Step::NextLarger),
            (Class::Incapable(Cap::Tools), Step::Next, Step::Next),
            (
                Class::Refused(DownReason::OutOfMoney),
                Step::Next,
                Step::Next,
            ),
            (Class::Rejected, Step::Fail, Step::Fail),
        ] {
            assert_eq!(step(class, TURN), first, "{class:?}");
            assert_eq!(
                step(
                    class,
                    Turn {
                        same_tried: true,
                        ..TURN
                    }
                ),
                second,
                "{class:?} again"
            );
        }
    }

    #[test]
    fn what_may_have_been_processed_is_repeated_only_where_that_is_allowed() {
        let turn = Turn {
            after_send: false,
            ..TURN
        };
        assert_eq!(step(Class::Dropped, turn), Step::Fail);
        assert_eq!(step(Class::TimedOut(Phase::Idle), turn), Step::Fail);
        assert_eq!(step(Class::Unreachable, turn), Step::SameSoon);
        assert_eq!(step(Class::Transient, turn), Step::SameSoon);
        assert_eq!(step(Class::TimedOut(Phase::Connect), turn), Step::Next);
    }

    #[test]
    fn another_key_is_asked_at_once_but_within_the_attempts() {
        let turn = Turn {
            other_key: true,
            ..TURN
        };
        let wait = Some(Duration::from_secs(1));
        for class in [
            Class::Busy { retry_after: wait },
            Class::Refused(DownReason::KeyRefused),
        ] {
            assert_eq!(step(class, turn), Step::OtherKey);
            let last = Turn {
                attempts: 3,
                ..turn
            };
            assert_eq!(step(class, last), Step::Fail);
        }
    }

    proptest! {
        #[test]
        fn attempts_never_exceed_their_number(attempts in 3_u32..100, same_tried: bool) {
            let turn = Turn { attempts, same_tried, ..TURN };
            prop_assert_eq!(step(Class::Transient, turn), Step::Fail);
        }
    }
}
