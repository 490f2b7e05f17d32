//! Which backend has a conversation's prompt in its cache.
//!
//! A provider keeps what it has read for some minutes, and sells it cheaper to the next turn. So
//! the place that served a turn is remembered for that long, with how much it has read. Bounded:
//! where there are too many conversations, those that end soonest are forgotten.

use std::sync::{Arc, Mutex, PoisonError};

use super::usual_share_of;

/// How long a cache is counted on: the shortest time that providers promise.
pub const KEPT_MS: u64 = 300_000;
/// Prompts that are shorter are cached nowhere for certain: the least of most providers, in tokens.
pub const SHORTEST: u64 = 1_024;
/// Tokens of a prompt that come from the cache of whoever has served the conversation all along, if
/// `before` of them were read or written in the turn before.
#[must_use]
pub fn cached_if_stayed(before: u64, prompt: u64) -> u64 {
    let warm = before.min(prompt);
    if warm < SHORTEST {
        return 0;
    }
    usual_share_of(warm)
}

/// Parts that are locked by themselves.
const PARTS: usize = 16;
/// Groups of a part; a conversation stands in one of them.
const GROUPS: usize = 512;
/// Conversations of a group.
const WAYS: usize = 8;

/// Where conversations are.
#[derive(Debug, Default)]
pub struct Conversations([Mutex<Vec<Option<Pin>>>; PARTS]);

/// Where a conversation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    conversation: u64,
    /// The backend's name, which outlives a change of the configuration.
    pub backend: Arc<str>,
    /// Tokens that it has read and written.
    pub tokens: u64,
    until_ms: u64,
}

impl Pin {
    /// A turn of so many tokens that a backend has served.
    #[must_use]
    pub fn at(backend: Arc<str>, tokens: u64) -> Self {
        Self {
            conversation: 0,
            backend,
            tokens,
            until_ms: u64::MAX,
        }
    }
}

impl Conversations {
    /// Where a conversation is at `now_ms`, if that is known.
    #[must_use]
    pub fn find(&self, conversation: u64, now_ms: u64) -> Option<Pin> {
        let part = self.part(conversation)?;
        let pins = part.lock().unwrap_or_else(PoisonError::into_inner);
        let group = pins.get(group(conversation))?;
        let mut alive = group.iter().flatten().filter(|pin| pin.until_ms > now_ms);
        alive.find(|pin| pin.conversation == conversation).cloned()
    }

    /// A turn of a conversation was served.
    pub fn served(&self, conversation: u64, backend: &Arc<str>, tokens: u64, now_ms: u64) {
        let Some(part) = self.part(conversation) else {
            return;
        };
        let mut pins = part.lock().unwrap_or_else(PoisonError::into_inner);
        if pins.is_empty() {
            // memory is taken only where there are conversations
            pins.resize(GROUPS * WAYS, None);
        }
        let Some(group) = pins.get_mut(group(conversation)) else {
            return;
        };
        let same = |pin: &Option<Pin>| pin.as_ref().is_some_and(|p| p.conversation == conversation);
        let place = group.iter().position(same).or_else(|| {
            let ends = |at: &usize| group.get(*at).and_then(|pin| Some(pin.as_ref()?.until_ms));
            (0..group.len()).min_by_key(ends)
        });
        if let Some(pin) = place.and_then(|place| group.get_mut(place)) {
            *pin = Some(Pin {
                conversation,
                backend: Arc::clone(backend),
                tokens,
                until_ms: now_ms.saturating_add(KEPT_MS),
            });
        }
    }

    fn part(&self, conversation: u64) -> Option<&Mutex<Vec<Option<Pin>>>> {
        self.0.get(low(conversation) % PARTS)
    }
}

/// Where in its part a conversation's group is.
fn group(conversation: u64) -> std::ops::Range<usize> {
    let first = low(conversation) / PARTS % GROUPS * WAYS;
    first..first + WAYS
}

/// The low bits of what is spread evenly.
#[expect(clippy::cast_possible_truncation, reason = "the low bits are wanted")]
fn low(conversation: u64) -> usize {
    conversation as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Arc<str> {
        text.into()
    }

    #[test]
    fn a_conversation_is_where_it_was_served_last_as_long_as_caches_last() {
        let all = Conversations::default();
        assert_eq!(all.find(7, 0), None);
        all.served(7, &name("a/x"), 2_000, 1_000);
        all.served(8, &name("b/x"), 10, 1_000);
        all.served(7, &name("c/x"), 3_000, 2_000);
        let pin = all.find(7, 2_000 + KEPT_MS - 1).unwrap();
        assert_eq!((&*pin.backend, pin.tokens), ("c/x", 3_000));
        assert_eq!(all.find(7, 2_000 + KEPT_MS), None);
        assert_eq!(&*all.find(8, 1_000).unwrap().backend, "b/x");
    }

    #[test]
    fn whoever_stays_reads_most_of_the_turn_before_from_its_cache() {
        assert_eq!(cached_if_stayed(0, 9_000), 0);
        assert_eq!(cached_if_stayed(SHORTEST - 1, 9_000), 0);
        assert!((3_590..=3_600).contains(&cached_if_stayed(4_000, 9_000)));
        // a prompt that was cut since
        assert!((1_790..=1_800).contains(&cached_if_stayed(4_000, 2_000)));
    }

    #[test]
    fn there_are_only_so_many_and_those_that_end_soonest_are_forgotten() {
        let all = Conversations::default();
        // all of one group
        let nth = |n: u64| n * (PARTS * GROUPS) as u64;
        for n in 0..=WAYS as u64 {
            all.served(nth(n), &name("a/x"), n, n);
        }
        assert_eq!(all.find(nth(0), 10), None);
        assert!((1..=WAYS as u64).all(|n| all.find(nth(n), 10).unwrap().tokens == n));
    }
}
