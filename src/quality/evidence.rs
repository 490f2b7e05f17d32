//! What outcomes teach while the program runs, one at a time: corrections that are never fitted anew.
//!
//! Two kinds are kept apart. What somebody says of an answer moves a chance either way. What an
//! answer shows of itself can only prove it bad: an answer of valid JSON may still be wrong. So such
//! outcomes lower a chance, and take back what they lowered, and never promise more than was
//! predicted.

use serde::{Deserialize, Serialize};

use super::{
    correction::REST,
    reading::{Chance, logistic},
};

/// How far predictions are expected to be off before anything is seen, in logits: less than where
/// many outcomes are fitted at once, so that no single one costs a model its place.
const PRIOR: f64 = 0.5;
/// Outcomes count as much as this much information at most, so that a model that has changed is
/// known again: 200 outcomes of a model that is right every other time, 550 of one that is wrong
/// every tenth time.
const MEMORY: f64 = 50.0;
/// No outcomes move a chance further, in logits.
const FARTHEST: f64 = 4.0;
/// After so many milliseconds (a week) outcomes count half: a model that lost its place is tried again,
/// and may have been mended.
const HALF_LIFE_MS: f64 = 7.0 * 24.0 * 3_600_000.0;
/// What one key can add to what all keys say together.
const OF_ONE_KEY: f64 = 10.0;

/// Outcomes of one kind: how far predictions are off, in logits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What the outcomes say of the offset: the inverse of its variance.
    pub information: f64,
    /// The offset, times `information` and what stands against it before anything is seen.
    pub sum: f64,
    /// Outcomes.
    pub n: u64,
}

/// All outcomes of a model in a domain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Lessons {
    /// What was said of answers.
    pub told: Evidence,
    /// What answers showed of themselves.
    pub shown: Evidence,
}

impl Evidence {
    /// How far predictions are off, drawn to none as long as little is known.
    #[must_use]
    pub fn offset(self) -> f64 {
        self.sum / (self.information + precision())
    }

    /// What part of the truth is in the outcomes, and not in what was known before.
    fn weight(self) -> f64 {
        self.information / (self.information + precision())
    }

    /// An outcome: which way it points (the slope of its likelihood, in logits), and how much it
    /// says.
    fn take(&mut self, slope: f64, information: f64) {
        let offset = self.offset();
        self.information += information;
        let step = slope / (self.information + precision());
        // one outcome against all that was predicted must not overshoot
        let offset = (offset + step.clamp(-1.0, 1.0)).clamp(-FARTHEST, FARTHEST);
        self.information = self.information.min(MEMORY);
        self.sum = offset * (self.information + precision());
        self.n = self.n.saturating_add(1);
    }

    /// What is left of it: a part from 0 to 1.
    fn part(self, part: f64) -> Self {
        Self {
            information: self.information * part,
            sum: self.sum * part,
            n: self.n,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            information: self.information + other.information,
            sum: self.sum + other.sum,
            n: self.n.saturating_add(other.n),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            information: (self.information - other.information).max(0.0),
            sum: self.sum - other.sum,
            n: self.n.saturating_sub(other.n),
        }
    }

    /// As much of it as one key may add to what all say.
    fn share(self) -> Self {
        let part = (OF_ONE_KEY / self.information).min(1.0);
        if !part.is_finite() {
            return self;
        }
        self.part(part)
    }
}

impl Lessons {
    /// What still counts of it after so many milliseconds without another outcome.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a time, of which milliseconds do not matter"
    )]
    pub fn faded(self, elapsed_ms: i64) -> Self {
        let part = 0.5_f64.powf(elapsed_ms.max(0) as f64 / HALF_LIFE_MS);
        Self {
            told: self.told.part(part),
            shown: self.shown.part(part),
        }
    }

    /// Somebody says how good an answer was, from 0 to 1; `logit`: what was predicted.
    pub fn tell(&mut self, logit: f64, score: f64) {
        let p = logistic(logit + self.told.offset());
        self.told.take(score - p, p * (1.0 - p));
    }

    /// An answer was looked at, and it shows that it is bad, or does not. `seen`: of answers that are
    /// not acceptable, the part that shows it.
    pub fn show(&mut self, logit: f64, bad: bool, seen: f64) {
        let p = logistic(logit + self.shown.offset());
        // the chance that it shows, and how that falls when p rises
        let shows = (1.0 - p) * seen;
        let slope = if bad {
            -p
        } else {
            seen * p * (1.0 - p) / (1.0 - shows)
        };
        let information = seen * p * p * (1.0 - p) / (1.0 - shows);
        self.shown.take(slope, information.max(0.0));
        self.shown.sum = self.shown.sum.min(0.0);
    }

    /// The chance after what was learned.
    #[must_use]
    pub fn correct(self, chance: Chance) -> Chance {
        let weight = self.told.weight();
        let told = if self.told.information > 0.0 {
            weight / self.told.information.sqrt()
        } else {
            0.0
        };
        Chance {
            logit: chance.logit + self.told.offset() + self.shown.offset(),
            // as far as outcomes count, what was unsure before counts no more
            error: ((1.0 - weight) * chance.error)
                .hypot(told)
                .hypot(weight * REST),
        }
    }

    /// How many outcomes there are.
    #[must_use]
    pub fn n(self) -> u64 {
        self.told.n.saturating_add(self.shown.n)
    }

    /// As much of it as one key may add to what all say.
    #[must_use]
    pub fn share(self) -> Self {
        Self {
            told: self.told.share(),
            shown: self.shown.share(),
        }
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            told: self.told.plus(other.told),
            shown: self.shown.plus(other.shown),
        }
    }

    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            told: self.told.minus(other.told),
            shown: self.shown.minus(other.shown),
        }
    }
}

/// What stands for no offset before anything is seen.
fn precision() -> f64 {
    1.0 / (PRIOR * PRIOR)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chance(p: f64, error: f64) -> Chance {
        Chance {
            error,
            ..Chance::certain(p)
        }
    }

    /// Lessons of `n` answers of which every `nth` is bad, as is said of them.
    fn told(p: f64, n: u32, nth: u32) -> Lessons {
        let mut lessons = Lessons::default();
        for at in 0..n {
            let score = f64::from(u8::from(at % nth != 0));
            lessons.tell(Chance::certain(p).logit, score);
        }
        lessons
    }

    fn shown(p: f64, n: u32, nth: u32, seen: f64) -> Lessons {
        let mut lessons = Lessons::default();
        for at in 0..n {
            lessons.show(Chance::certain(p).logit, at % nth == 0, seen);
        }
        lessons
    }

    #[test]
    fn what_is_said_brings_a_chance_to_what_was_said() {
        let corrected = told(0.9, 400, 2).correct(chance(0.9, 1.0));
        assert!((corrected.p() - 0.5).abs() < 0.03, "{}", corrected.p());
        assert!(corrected.error < 0.3, "{}", corrected.error);
        let better = told(0.5, 400, 10).correct(chance(0.5, 1.0));
        assert!((better.p() - 0.9).abs() < 0.03, "{}", better.p());
    }

    #[test]
    fn a_single_outcome_moves_little_and_takes_no_certainty_away() {
        let one = told(0.8, 1, 1).correct(chance(0.8, 0.0));
        assert!((0.6..0.79).contains(&one.p()), "{}", one.p());
        assert!(one.error < 0.4, "{}", one.error);
        let unsure = told(0.8, 1, 1).correct(chance(0.8, 1.5));
        assert!(unsure.error > 1.2, "{}", unsure.error);
        assert_eq!(
            Lessons::default().correct(chance(0.8, 0.3)),
            chance(0.8, 0.3)
        );
    }

    #[test]
    fn answers_that_show_nothing_bad_promise_no_more_than_was_predicted() {
        let fine = shown(0.7, 1_000, u32::MAX, 0.5);
        let corrected = fine.correct(chance(0.7, 0.5));
        assert!(
            corrected.p() <= 0.7 + 1e-9 && corrected.p() > 0.65,
            "{}",
            corrected.p()
        );
        assert!((corrected.error - 0.5).abs() < 1e-12);
    }

    #[test]
    fn answers_that_show_to_be_bad_lower_a_chance_and_good_ones_take_that_back() {
        // of ten answers two are bad, and half of those show it
        let mut lessons = shown(0.95, 500, 10, 0.5);
        let low = lessons.correct(chance(0.95, 0.2)).p();
        assert!((low - 0.8).abs() < 0.04, "{low}");
        for _ in 0..500 {
            lessons.show(Chance::certain(0.95).logit, false, 0.5);
        }
        let again = lessons.correct(chance(0.95, 0.2)).p();
        // of a thousand, fifty showed it
        assert!(again > 0.88, "{again}");
    }

    #[test]
    fn a_model_that_changes_is_known_again() {
        let mut lessons = told(0.8, 100_000, 100);
        for at in 0..800 {
            lessons.tell(Chance::certain(0.8).logit, f64::from(at % 2));
        }
        let p = lessons.correct(chance(0.8, 0.5)).p();
        assert!((p - 0.5).abs() < 0.08, "{p}");
    }

    #[test]
    fn outcomes_fade_and_a_model_gets_its_place_back() {
        let week = 7 * 24 * 3_600_000;
        let bad = told(0.8, 20, 1).plus(shown(0.8, 20, 1, 0.5));
        let after = |weeks| bad.faded(weeks * week).correct(chance(0.8, 0.0)).p();
        assert!(after(0) < 0.5, "{}", after(0));
        assert!(after(0) < after(2) && after(2) < after(8) && after(8) > 0.78);
        assert_eq!(bad.faded(-5), bad);
        let half = bad.faded(week);
        assert!((2.0 * half.told.information - bad.told.information).abs() < 1e-12);
    }

    #[test]
    fn one_key_alone_outweighs_no_others() {
        let flood = told(0.5, 100_000, 1).share();
        let others = (0..20).fold(Lessons::default(), |all, _| {
            all.plus(told(0.5, 40, u32::MAX).share())
        });
        let p = others.plus(flood).correct(chance(0.5, 0.5)).p();
        assert!(p > 0.8, "{p}");
        let back = others.plus(flood).minus(flood);
        assert!((back.told.sum - others.told.sum).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn no_outcomes_make_nonsense(
            outcomes in prop::collection::vec((-30.0..30.0_f64, 0.0..=1.0_f64, any::<bool>(), 0.0..=1.0_f64), 0..200),
        ) {
            let mut lessons = Lessons::default();
            for (logit, score, bad, seen) in outcomes {
                lessons.tell(logit, score);
                lessons.show(logit, bad, seen);
                let corrected = lessons.correct(chance(0.6, 0.4));
                prop_assert!(corrected.p() > 0.0 && corrected.p() < 1.0);
                prop_assert!(corrected.error.is_finite());
                prop_assert!(lessons.shown.offset() <= 0.0);
                prop_assert!(corrected.low() <= corrected.p() && corrected.p() <= corrected.high());
            }
        }
    }
}
