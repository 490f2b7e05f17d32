//! What is known of one model, and what that says of an answer of it.

use std::sync::LazyLock;

use super::{
    artifact::Artifact,
    correction::Correction,
    evidence::Lessons,
    reading::{Chance, Reading},
    scores::{Levels, Scores},
};
use crate::domain::Domain;

static BUILTIN: LazyLock<Option<Artifact>> = LazyLock::new(|| Artifact::shipped().ok());

/// The predictor that is built in; a test rules out that there is none.
#[must_use]
pub fn builtin() -> Option<&'static Artifact> {
    BUILTIN.as_ref()
}

/// The chance of an acceptable answer and what surrounds it four of five times, in 1/10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Odds {
    pub p: u16,
    pub low: u16,
    pub high: u16,
}

impl Odds {
    /// A chance that somebody vouches for.
    #[must_use]
    pub fn exactly(p: u16) -> Self {
        Self { p, low: p, high: p }
    }
}

impl From<Chance> for Odds {
    fn from(chance: Chance) -> Self {
        Self {
            p: of_10_000(chance.p()),
            low: of_10_000(chance.low()),
            high: of_10_000(chance.high()),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to 10,000"
)]
fn of_10_000(p: f64) -> u16 {
    (p.clamp(0.0, 1.0) * 10_000.0).round() as u16
}

/// A chance before and after what outcomes have taught while the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judged {
    /// As it was predicted, in 1/10,000: what outcomes are compared with.
    pub before: u16,
    /// As it counts.
    pub odds: Odds,
}

/// A chance in 1/10,000 for each domain, in the order of [`Domain::ALL`].
pub type Stated = [Option<u16>; Domain::ALL.len()];

/// All that is known of a model.
#[derive(Debug, Clone, Default)]
pub struct Placed {
    /// What the operator says.
    stated: Stated,
    /// What published scores say.
    levels: Option<Box<Levels>>,
    /// Where the predictor has it.
    known: Option<usize>,
    /// How far predictions were off. (Both in boxes, as most of many backends have neither.)
    corrections: Option<Box<[Option<Correction>; Domain::ALL.len()]>>,
}

impl Placed {
    /// Looks a model up by its names, the surest first.
    #[must_use]
    pub fn find(
        artifact: Option<&Artifact>,
        scores: &Scores,
        stated: Stated,
        names: &[&str],
    ) -> Self {
        let all = || names.iter().copied();
        let corrections = &scores.corrections;
        let of = |domain| corrections.of(all(), domain);
        Self {
            stated,
            levels: scores.of(all()).map(Box::new),
            known: artifact.and_then(|artifact| all().find_map(|name| artifact.place(name))),
            corrections: (!corrections.is_empty())
                .then(|| Box::new(Domain::ALL.map(|(domain, _)| of(domain)))),
        }
    }

    /// Is there anything about it that depends on the text of a request?
    #[must_use]
    pub fn is_known(&self) -> bool {
        let stated = self.stated.iter().any(Option::is_some);
        stated || self.levels.is_some() || self.known.is_some()
    }

    /// How likely it answers acceptably; `None`: not known.
    #[must_use]
    pub fn odds(&self, reading: Option<(&Artifact, &Reading)>, domain: Domain) -> Option<Odds> {
        let like = reading.filter(|(_, reading)| reading.novelty() < 1.0);
        if let (Some(stated), None, None) = (self.stated(domain), self.correction(domain), like) {
            // to the last digit what was written
            return Some(Odds::exactly(stated));
        }
        self.corrected(reading, domain).map(Odds::from)
    }

    /// The same, corrected by what outcomes have taught since.
    #[must_use]
    pub fn judged(
        &self,
        reading: Option<(&Artifact, &Reading)>,
        domain: Domain,
        lessons: Option<Lessons>,
    ) -> Option<Judged> {
        let before = self.odds(reading, domain)?;
        let learned = lessons.zip(self.corrected(reading, domain));
        let learned = learned.map(|(lessons, chance)| Odds::from(lessons.correct(chance)));
        Some(Judged {
            before: before.p,
            odds: learned.unwrap_or(before),
        })
    }

    /// As predicted, and corrected by `calibration:`.
    fn corrected(&self, reading: Option<(&Artifact, &Reading)>, domain: Domain) -> Option<Chance> {
        let chance = self.chance(reading, domain);
        self.correction(domain)
            .map(|correction| correction.of(chance))
            .or(chance)
    }

    fn correction(&self, domain: Domain) -> Option<Correction> {
        let all = self.corrections.as_ref()?;
        all.get(domain as usize).copied().flatten()
    }

    /// The same before it is corrected.
    #[must_use]
    pub fn chance(&self, reading: Option<(&Artifact, &Reading)>, domain: Domain) -> Option<Chance> {
        let vouched = self.stated(domain);
        let vouched = vouched.map(|p| Chance::certain(f64::from(p) / 10_000.0));
        let level = self.levels.as_ref().and_then(|levels| levels.at(domain));
        match (vouched, level) {
            (Some(level), _) => Some(harder_or_easier(level, reading)),
            (None, level) => self.measured(level, reading),
        }
    }

    /// How long an answer of it will be, in tokens, where it is known from recorded outcomes and the
    /// text is like theirs.
    #[must_use]
    pub fn length(&self, artifact: &Artifact, reading: &Reading) -> Option<u64> {
        reading.tokens(artifact, artifact.known(self.known?)?)
    }

    fn stated(&self, domain: Domain) -> Option<u16> {
        self.stated.get(domain as usize).copied().flatten()
    }

    /// By recorded outcomes where the text is like theirs, else by published scores.
    fn measured(
        &self,
        level: Option<Chance>,
        reading: Option<(&Artifact, &Reading)>,
    ) -> Option<Chance> {
        let Some((artifact, read)) = reading else {
            return level;
        };
        let known = self.known.and_then(|place| artifact.known(place));
        match (known, level) {
            (Some(known), _) => Some(read.of_known(artifact, known, level)),
            (None, Some(level)) => Some(harder_or_easier(level, reading)),
            (None, None) => None,
        }
    }
}

fn harder_or_easier(level: Chance, reading: Option<(&Artifact, &Reading)>) -> Chance {
    reading.map_or(level, |(artifact, reading)| {
        reading.of_level(artifact, level)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::scores::Table;

    const WORDS: &str = "Mia has 14 boxes with 6 apples each. She sells half of all apples for \
        $0.25 each and eats 2. How many dollars does she earn?";
    const PROSE: &str = "Please write a short note to my landlord about the broken heating.";

    fn artifact() -> &'static Artifact {
        builtin().unwrap()
    }

    fn stated(p: u16) -> Stated {
        [Some(p); 8]
    }

    fn scores(text: &str) -> Scores {
        let table = Table {
            name: "t".to_owned(),
            text: text.to_owned(),
        };
        Scores::read(&[table]).unwrap()
    }

    fn math(placed: &Placed, text: &str) -> Option<Odds> {
        let reading = Reading::of(artifact(), text);
        placed.odds(Some((artifact(), &reading)), Domain::Math)
    }

    #[test]
    fn what_is_stated_holds_to_the_last_digit_where_the_text_says_nothing() {
        let placed = Placed::find(builtin(), &Scores::default(), stated(7_123), &["x"]);
        assert_eq!(placed.odds(None, Domain::Chat), Some(Odds::exactly(7_123)));
        assert_eq!(math(&placed, PROSE), Some(Odds::exactly(7_123)));
        for sure in [0, 10_000] {
            let placed = Placed::find(builtin(), &Scores::default(), stated(sure), &["x"]);
            assert_eq!(placed.odds(None, Domain::Chat), Some(Odds::exactly(sure)));
        }
    }

    #[test]
    fn a_text_of_a_known_kind_moves_what_is_stated_and_makes_it_less_sure() {
        let placed = Placed::find(builtin(), &Scores::default(), stated(7_000), &["x"]);
        let odds = math(&placed, WORDS).unwrap();
        assert_ne!(odds.p, 7_000);
        assert!(odds.low < odds.p && odds.p < odds.high, "{odds:?}");
    }

    #[test]
    fn recorded_outcomes_count_on_texts_like_theirs_and_little_elsewhere() {
        let none = Scores::default();
        let placed = |name| Placed::find(builtin(), &none, Stated::default(), &[name]);
        let (strong, weak) = (placed("openai/gpt-4o-2024-08-06"), placed("gemma-2-2b"));
        let at = |placed: &Placed, text| math(placed, text).unwrap();
        assert!(at(&strong, WORDS).low > 8_000, "{:?}", at(&strong, WORDS));
        assert!(at(&weak, WORDS).high < 8_000, "{:?}", at(&weak, WORDS));
        assert!(at(&strong, PROSE).low < 3_000, "{:?}", at(&strong, PROSE));
        assert_eq!(placed("nobody").odds(None, Domain::Math), None);
        assert!(!placed("nobody").is_known());
    }

    #[test]
    fn a_published_mean_places_a_model_on_the_texts_that_it_is_of() {
        const HARD: &str = "A body of 2 kg is lifted by 3 m in 4 s. What is the mean power?\n\
            A. 1.5 W\nB. 14.7 W\nC. 29.4 W\nD. 58.8 W\nE. 7.35 W\nF. 117.6 W\nG. 19.6 W\n\
            H. 88.2 W\nI. 9.8 W\nJ. 4.9 W";
        let none = Scores::default();
        let mini = Placed::find(builtin(), &none, Stated::default(), &["phi-3-mini"]);
        let wide = |text| {
            let odds = math(&mini, text).unwrap();
            odds.high - odds.low
        };
        // its mean there is .415
        assert!((2_500..6_000).contains(&math(&mini, HARD).unwrap().p));
        assert!(
            wide(HARD) < 4_000 && wide(PROSE) > 5_000,
            "{} {}",
            wide(HARD),
            wide(PROSE)
        );
    }

    #[test]
    fn scores_place_a_model_that_has_no_outcomes_and_corrections_move_it() {
        const SCORES: &str =
            "model,model_key,variant,benchmark,score\nnew,new,,llm-stats/math,0.8\n";
        let place = |scores: &Scores| Placed::find(builtin(), scores, Stated::default(), &["new"]);
        let odds = math(&place(&scores(SCORES)), PROSE).unwrap();
        assert_eq!(odds.p, 8_000);
        assert!(odds.low < 7_000, "{odds:?}");
        let mut corrected = scores(SCORES);
        let correction = Correction {
            offset: -1.0,
            error: 0.1,
            n: 400,
        };
        corrected.corrections.insert("new", "math", correction);
        let odds = math(&place(&corrected), PROSE).unwrap();
        assert!(
            (5_900..6_000).contains(&odds.p) && odds.low > 5_000,
            "{odds:?}"
        );
    }
}
