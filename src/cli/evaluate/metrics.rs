//! What recorded outcomes say of a router: the figures of RouteLLM for two models, and cost at a
//! quality for many. Each is a function of the rows that are drawn, so that it can be drawn again.

/// Classes of the calibration error.
const CLASSES: usize = 15;
/// Prices of quality that a pool is swept over: 0, and 240 from 10^-3 to 10^7.
const PRICES: usize = 241;
/// The floors that promises are measured at.
pub(super) const FLOORS: [f64; 4] = [0.6, 0.7, 0.8, 0.9];

/// A sequence of numbers that is the same every time (`SplitMix64`).
pub(super) struct Draws(u64);

impl Draws {
    pub(super) fn new() -> Self {
        Self(7)
    }

    /// Rows of `0..n`, as many again, drawn with repetition.
    pub(super) fn rows(&mut self, n: usize) -> Vec<usize> {
        (0..n).map(|_| self.below(n)).collect()
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the product is below n after the shift"
    )]
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let z = z ^ (z >> 31);
        ((u128::from(z) * n as u128) >> 64) as usize
    }
}

/// A figure and where it lies in 95 of 100 draws.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    pub(super) value: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Figures of all rows, and of `times` draws.
pub(super) fn with_intervals<const N: usize>(
    n: usize,
    times: usize,
    of: impl Fn(&[usize]) -> [f64; N],
) -> [Figure; N] {
    let all: Vec<usize> = (0..n).collect();
    let values = of(&all);
    let mut draws = Draws::new();
    let drawn: Vec<[f64; N]> = (0..times).map(|_| of(&draws.rows(n))).collect();
    let mut at = 0;
    values.map(|value| {
        let mut column: Vec<f64> = drawn
            .iter()
            .filter_map(|row| row.get(at).copied())
            .collect();
        at += 1;
        column.sort_by(f64::total_cmp);
        let quantile = |part: usize| {
            let rank = (column.len() * part / 1_000).min(column.len().saturating_sub(1));
            column.get(rank).copied().unwrap_or(value)
        };
        Figure {
            value,
            low: quantile(25),
            high: quantile(975),
        }
    })
}

/// A mean; of nothing, not a number.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    sum / n
}

/// A count as a number.
#[expect(clippy::cast_precision_loss, reason = "a count of rows")]
fn number(n: usize) -> f64 {
    n as f64
}

/// Two models: `APGR` and the shares of calls to the strong one at 50 and 80 % of the gain.
///
/// `rows`: need of the strong model, outcome of the weak one, outcome of the strong one. Ties are
/// resolved in expectation, so that a constant need is the random router.
pub(super) fn pair(rows: &[(f64, f64, f64)], drawn: &[usize]) -> [f64; 3] {
    let mut rows: Vec<_> = drawn.iter().filter_map(|at| rows.get(*at)).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let n = number(rows.len());
    let total: f64 = rows.iter().map(|row| row.2 - row.1).sum();
    let (mut gain, mut area) = (0.0, 0.0);
    let mut shares = [1.0_f64; 2];
    let mut at = 0.0;
    for equal in rows.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let each = mean(equal.iter().map(|row| row.2 - row.1));
        for _ in equal {
            let before = gain;
            gain += each;
            at += 1.0;
            area += (before + gain) / 2.0;
            for (share, part) in shares.iter_mut().zip([0.5, 0.8]) {
                if gain / total >= part - 1e-12 {
                    *share = share.min(at / n);
                }
            }
        }
    }
    [area / total / n, shares[0], shares[1]]
}

/// The mean distance between chance and outcome over classes of the chance.
pub(super) fn calibration_error(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut classes = [(0.0, 0.0, 0.0); CLASSES];
    let mut n = 0.0;
    for (p, outcome) in pairs {
        let class = classes
            .iter_mut()
            .zip(1..)
            .find(|(_, upper)| p * number(CLASSES) < f64::from(*upper) || *upper == 15);
        if let Some((class, _)) = class {
            class.0 += 1.0;
            class.1 += p;
            class.2 += outcome;
        }
        n += 1.0;
    }
    let off = classes.iter().filter(|class| class.0 > 0.0);
    off.map(|(_, p, outcome)| (p - outcome).abs()).sum::<f64>() / n
}

/// How likely an acceptable answer has a higher chance than another one.
pub(super) fn auc(pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    let mut all: Vec<(f64, bool)> = pairs.map(|(p, outcome)| (p, outcome >= 0.5)).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut rank, mut ranks, mut good) = (0.0, 0.0, 0.0);
    for equal in all.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let size = number(equal.len());
        let of_good = number(equal.iter().filter(|(_, good)| *good).count());
        ranks += of_good * (rank + (size + 1.0) / 2.0);
        good += of_good;
        rank += size;
    }
    (ranks - good * (good + 1.0) / 2.0) / (good * (rank - good))
}

/// A pool of models: for every price of quality, whom each row goes to.
#[derive(Debug)]
pub(super) struct Sweep {
    choices: Vec<Vec<usize>>,
}

impl Sweep {
    /// `chances`: rows × models; `costs`: what each model is expected to cost.
    pub(super) fn of(chances: &[Vec<f64>], costs: &[f64]) -> Self {
        let usual = mean(costs.iter().copied());
        let prices = (0..PRICES).map(|step| match step {
            0 => 0.0,
            step => 10_f64.powf(-3.0 + 10.0 * (number(step) - 1.0) / 239.0),
        });
        let mut choices: Vec<Vec<usize>> = prices
            .map(|price| {
                let worth = |p: f64, cost: f64| price * p - cost / usual;
                chances.iter().map(|row| best(row, costs, worth)).collect()
            })
            .collect();
        // and whatever it costs
        let worth = |p: f64, cost: f64| p - 1e-9 * cost / usual;
        choices.push(chances.iter().map(|row| best(row, costs, worth)).collect());
        Self { choices }
    }

    /// Mean cost and mean outcome at each price.
    pub(super) fn points(
        &self,
        drawn: &[usize],
        outcome: impl Fn(usize, usize) -> (f64, f64),
    ) -> Vec<(f64, f64)> {
        let points = self.choices.iter().map(|choices| {
            let each = || {
                let of = |row: &usize| Some((*row, *choices.get(*row)?));
                drawn.iter().filter_map(of)
            };
            let cost = mean(each().map(|(row, model)| outcome(row, model).0));
            let good = mean(each().map(|(row, model)| outcome(row, model).1));
            (cost, good)
        });
        points.collect()
    }
}

fn best(chances: &[f64], costs: &[f64], worth: impl Fn(f64, f64) -> f64) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (model, (p, cost)) in chances.iter().zip(costs).enumerate() {
        let worth = worth(*p, *cost);
        if worth > best.1 {
            best = (model, worth);
        }
    }
    best.0
}

/// The least cost of a point that is at least so good; infinite if there is none.
pub(super) fn cost_at(points: &[(f64, f64)], quality: f64) -> f64 {
    let enough = points.iter().filter(|(_, good)| *good >= quality - 1e-12);
    enough.map(|(cost, _)| *cost).fold(f64::INFINITY, f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(n: usize) -> Vec<usize> {
        (0..n).collect()
    }

    #[test]
    fn a_router_that_knows_nothing_is_worth_a_half_and_one_that_knows_all_more() {
        let blind = [
            (0.5, 0.0, 1.0),
            (0.5, 1.0, 1.0),
            (0.5, 0.0, 1.0),
            (0.5, 1.0, 1.0),
        ];
        let [apgr, half, most] = pair(&blind, &all(4));
        assert!((apgr - 0.5).abs() < 1e-12);
        assert!((half - 0.5).abs() < 1e-12 && (most - 1.0).abs() < 1e-12);
        let seeing = [
            (0.9, 0.0, 1.0),
            (0.1, 1.0, 1.0),
            (0.8, 0.0, 1.0),
            (0.2, 1.0, 1.0),
        ];
        let [apgr, half, most] = pair(&seeing, &all(4));
        assert!((apgr - 0.75).abs() < 1e-12);
        assert!((half - 0.25).abs() < 1e-12 && (most - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_calibration_error_is_the_mean_distance_of_the_classes() {
        let right = [(0.25, 1.0), (0.25, 0.0), (0.25, 0.0), (0.25, 0.0)];
        assert!(calibration_error(right.into_iter()).abs() < 1e-12);
        let wrong = [(1.0, 0.0), (0.0, 0.0)];
        assert!((calibration_error(wrong.into_iter()) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn an_area_counts_ties_as_half() {
        let pairs = [(0.9, 1.0), (0.5, 0.0), (0.5, 1.0), (0.1, 0.0)];
        assert!((auc(pairs.into_iter()) - 0.875).abs() < 1e-12);
    }

    #[test]
    fn a_sweep_goes_from_the_cheapest_to_the_best() {
        let chances = vec![vec![0.2, 0.9], vec![0.8, 0.9]];
        let sweep = Sweep::of(&chances, &[1.0, 10.0]);
        let outcome = |row: usize, model: usize| {
            let cost = [1.0, 10.0][model];
            (cost, f64::from(u8::from(model == 1 || row == 1)))
        };
        let points = sweep.points(&all(2), outcome);
        assert_eq!(points.first(), Some(&(1.0, 0.5)));
        assert_eq!(points.last(), Some(&(10.0, 1.0)));
        // the hard row alone goes to the dear model
        assert!((cost_at(&points, 1.0) - 5.5).abs() < 1e-12);
        assert!(cost_at(&points, 1.1).is_infinite());
    }

    #[test]
    fn draws_are_the_same_every_time_and_cover_the_rows() {
        let draw = || Draws::new().rows(1_000);
        assert_eq!(draw(), draw());
        let mut seen = draw();
        seen.sort_unstable();
        seen.dedup();
        assert!((580..690).contains(&seen.len()), "{}", seen.len());
        assert!(seen.iter().all(|row| *row < 1_000));
    }
}
