//! How long a model's answers are, by kind of request.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{ONE, average};
use crate::domain::Domain;

/// Output tokens expected of a model that nothing is known of: a few paragraphs.
const PRIOR: u64 = 300;
/// The same where it is asked to think: some pages of thoughts before.
const PRIOR_THINKING: u64 = 1_500;

/// What the length of an answer depends on, beside the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub domain: Domain,
    /// Is the model asked to think? Its thoughts are output as well.
    pub thinking: bool,
}

impl Kind {
    /// Output tokens to expect before anything is seen.
    #[must_use]
    pub fn prior(self) -> u64 {
        if self.thinking { PRIOR_THINKING } else { PRIOR }
    }
}

/// How long a model's answers are, whoever serves it: what one host's answers teach holds for the
/// others, or else the host that was never asked would look dearer than it is.
#[derive(Debug, Default)]
pub struct Lengths {
    /// Of all answers, in 1/65,536 tokens; 0: nothing seen.
    all: AtomicU64,
    /// The same by [`Kind`].
    kinds: [AtomicU64; 2 * Domain::ALL.len()],
}

impl Lengths {
    /// Output tokens to expect of one choice; `None`: nothing was seen. A kind that was never seen is
    /// taken to be like the others.
    #[must_use]
    pub fn output_tokens(&self, kind: Kind) -> Option<u64> {
        let seen = |cell: &AtomicU64| Some(cell.load(Relaxed)).filter(|output| *output > 0);
        let output = seen(self.cell(kind)).or_else(|| seen(&self.all))?;
        Some(output.div_ceil(ONE))
    }

    /// An answer of one choice had so many tokens.
    pub fn observe(&self, kind: Kind, output: u64) {
        let output = output.min(1 << 32).saturating_mul(ONE).max(1);
        let prior = kind.prior() * ONE;
        let before = match self.all.load(Relaxed) {
            0 => prior,
            all => all,
        };
        average(self.cell(kind), output, before);
        average(&self.all, output, prior);
    }

    fn cell(&self, kind: Kind) -> &AtomicU64 {
        let at = 2 * kind.domain as usize + usize::from(kind.thinking);
        self.kinds.get(at).unwrap_or(&self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn kind(domain: Domain, thinking: bool) -> Kind {
        Kind { domain, thinking }
    }
    const CHAT: Kind = kind(Domain::Chat, false);

    #[test]
    fn the_length_of_answers_moves_to_what_is_seen() {
        let lengths = Lengths::default();
        assert_eq!(lengths.output_tokens(CHAT), None);
        for _ in 0..200 {
            lengths.observe(CHAT, 20);
        }
        let got = lengths.output_tokens(CHAT).unwrap();
        assert!((18..=24).contains(&got), "{got}");
    }

    #[test]
    fn each_kind_has_its_own_length_and_begins_at_that_of_all() {
        let lengths = Lengths::default();
        for _ in 0..200 {
            lengths.observe(CHAT, 40);
        }
        let maths = kind(Domain::Math, false);
        let thinking = kind(Domain::Math, true);
        assert_eq!(lengths.output_tokens(maths), lengths.output_tokens(CHAT));
        lengths.observe(thinking, 4_000);
        let first = lengths.output_tokens(thinking).unwrap();
        assert!((250..400).contains(&first), "{first}");
        for _ in 0..200 {
            lengths.observe(thinking, 4_000);
            lengths.observe(CHAT, 40);
        }
        assert!(lengths.output_tokens(thinking).unwrap() > 3_900);
        assert!(lengths.output_tokens(CHAT).unwrap() < 50);
    }
}
