//! Corrections of predictions by outcomes of one's own: how far they are off, by model and domain.
//!
//! Fitted by `tollgate calibrate`, kept in a small table (`model`, `domain`, `offset`, `error`, `n`), and
//! added to what is predicted otherwise.

use std::collections::BTreeMap;

use super::{
    reading::{Chance, logistic},
    scores::key,
};
use crate::domain::Domain;

/// How far predictions are expected to be off before anything is seen, in logits.
pub(super) const PRIOR: f64 = 1.0;
/// What remains unsure of a single request when the mean is known, in logits.
pub(super) const REST: f64 = 0.2;
/// The head of the table.
const HEAD: &str = "model,domain,offset,error,n";

/// Why a table of corrections can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorrectionError {
    #[error("line {line}: {why}")]
    Line { line: u64, why: String },
}

/// How far predictions are off for a model in a domain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correction {
    /// What is added, in logits.
    pub offset: f64,
    /// Its standard error, in logits.
    pub error: f64,
    /// Outcomes that it was fitted on.
    pub n: u64,
}

impl Correction {
    /// The chance as corrected; a model that nothing else is known of begins at an even chance.
    #[must_use]
    pub fn of(self, chance: Option<Chance>) -> Chance {
        Chance {
            logit: chance.map_or(0.0, |chance| chance.logit) + self.offset,
            error: self.error.hypot(REST),
        }
    }

    /// The offset that fits outcomes best, drawn to none: logistic regression of a constant.
    ///
    /// `outcomes`: what was predicted, in logits, and the score, from 0 to 1.
    #[must_use]
    pub fn fit(outcomes: &[(f64, f64)]) -> Self {
        let precision = 1.0 / (PRIOR * PRIOR);
        let (mut offset, mut bend) = (0.0, precision);
        for _ in 0..30 {
            let mut slope = -precision * offset;
            bend = precision;
            for (logit, score) in outcomes {
                let p = logistic(logit + offset);
                slope += score - p;
                bend += p * (1.0 - p);
            }
            let step = slope / bend;
            // far steps overshoot where chances are extreme
            offset += step.clamp(-2.0, 2.0);
            if step.abs() < 1e-9 {
                break;
            }
        }
        Self {
            offset,
            error: bend.sqrt().recip(),
            n: outcomes.len() as u64,
        }
    }
}

/// Corrections by model and domain.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Corrections(BTreeMap<(String, &'static str), Correction>);

impl Corrections {
    /// Reads a table over what is known.
    ///
    /// # Errors
    /// Which line makes no sense, and why.
    pub fn read(&mut self, text: &str) -> Result<(), CorrectionError> {
        for (line, row) in (2..).zip(text.lines().skip(1)) {
            if row.trim().is_empty() {
                continue;
            }
            let wrong = |why: String| CorrectionError::Line { line, why };
            let cells: Vec<&str> = row.split(',').map(str::trim).collect();
            let [model, domain, offset, error, n] = cells[..] else {
                return Err(wrong(format!("{} cells where `{HEAD}` has 5", cells.len())));
            };
            let known = Domain::named(domain);
            let known = known.ok_or_else(|| wrong(format!("a domain `{domain}` is not known")))?;
            let number = |cell: &str| {
                let number: f64 = cell
                    .parse()
                    .map_err(|_| wrong(format!("`{cell}` is not a number")))?;
                let usual = number.is_finite() && number.abs() <= 20.0;
                usual
                    .then_some(number)
                    .ok_or_else(|| wrong(format!("`{cell}` is no logit")))
            };
            let correction = Correction {
                offset: number(offset)?,
                error: number(error)?.abs(),
                n: n.parse()
                    .map_err(|_| wrong(format!("`{n}` is not a count")))?,
            };
            self.insert(model, known.as_str(), correction);
        }
        Ok(())
    }

    /// Takes one in.
    pub fn insert(&mut self, model: &str, domain: &'static str, correction: Correction) {
        self.0.insert((key(model), domain), correction);
    }

    /// That of a model in a domain, by the first of its names that is known.
    #[must_use]
    pub fn of<'a>(
        &self,
        names: impl IntoIterator<Item = &'a str>,
        domain: Domain,
    ) -> Option<Correction> {
        let mut names = names.into_iter();
        names.find_map(|name| self.0.get(&(key(name), domain.as_str())).copied())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a table.
    #[must_use]
    pub fn write(&self) -> String {
        let mut text = format!("{HEAD}\n");
        for ((model, domain), c) in &self.0 {
            text.push_str(&format!(
                "{model},{domain},{:.4},{:.4},{}\n",
                c.offset, c.error, c.n
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_brings_the_mean_to_what_was_seen() {
        let seen: Vec<_> = (0..1_000)
            .map(|n| (2.0, f64::from(u8::from(n % 2 == 0))))
            .collect();
        let fit = Correction::fit(&seen);
        let chance = fit.of(Some(Chance {
            logit: 2.0,
            error: 1.0,
        }));
        assert!((chance.p() - 0.5).abs() < 0.01, "{}", chance.p());
        assert!((fit.error - 0.063).abs() < 0.002, "{}", fit.error);
        assert_eq!(fit.n, 1_000);
    }

    #[test]
    fn few_outcomes_move_little_and_leave_much_unsure() {
        assert_eq!(
            Correction::fit(&[]),
            Correction {
                offset: 0.0,
                error: PRIOR,
                n: 0
            }
        );
        let fit = Correction::fit(&[(0.0, 1.0), (0.0, 1.0)]);
        assert!(
            (0.4..0.8).contains(&fit.offset) && fit.error > 0.7,
            "{fit:?}"
        );
        let extreme = Correction::fit(&vec![(-9.0, 1.0); 200]);
        assert!(extreme.offset.is_finite() && extreme.offset > 4.0);
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let mut all = Corrections::default();
        let one = Correction {
            offset: -0.5,
            error: 0.25,
            n: 40,
        };
        all.insert("maker/Model.1", "code", one);
        let mut again = Corrections::default();
        again.read(&all.write()).unwrap();
        assert_eq!(again, all);
        assert_eq!(again.of(["nobody", "model-1"], Domain::Code), Some(one));
        assert_eq!(again.of(["model-1"], Domain::Math), None);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_named() {
        let why = |line: &str| {
            let text = format!("{HEAD}\nm,code,0,0.1,5\n\n{line}\n");
            Corrections::default().read(&text).unwrap_err().to_string()
        };
        assert_eq!(
            why("m,code,1"),
            "line 4: 3 cells where `model,domain,offset,error,n` has 5"
        );
        assert_eq!(
            why("m,poetry,0,0,1"),
            "line 4: a domain `poetry` is not known"
        );
        assert_eq!(why("m,code,inf,0,1"), "line 4: `inf` is no logit");
        assert_eq!(why("m,code,x,0,1"), "line 4: `x` is not a number");
        assert_eq!(why("m,code,0,0,-1"), "line 4: `-1` is not a count");
    }
}
