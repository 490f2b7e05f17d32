//! Reads Prometheus text.

use std::collections::BTreeMap;

/// Everything that `/metrics` said.
#[derive(Debug)]
pub(crate) struct Metrics {
    series: Vec<Series>,
    /// The text as it was.
    pub(crate) text: String,
}

#[derive(Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self {
            series: lines.map(Series::parse).collect(),
            text: text.to_owned(),
        }
    }

    /// The sum over all series of a family that have these labels; the prefix is left out.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        // the empty sum of floats is -0
        self.matching(name, labels)
            .fold(0.0, |sum, series| sum + series.value)
    }

    /// The same as a whole number.
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let sum = self.sum(name, labels);
        assert!(sum >= 0.0 && sum.fract() == 0.0, "{name} is {sum}");
        format!("{sum:.0}").parse().unwrap()
    }

    /// How many series there are.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// The different values of a label in a family.
    pub(crate) fn values(&self, name: &str, label: &str) -> Vec<String> {
        let mut values: Vec<String> = self
            .matching(name, &[])
            .filter_map(|series| series.labels.get(label).cloned())
            .collect();
        values.sort();
        values.dedup();
        values
    }

    /// The label names of a family.
    pub(crate) fn labels(&self, name: &str) -> Vec<String> {
        let first = self.matching(name, &[]).next();
        let labels = first.map(|series| series.labels.keys().cloned().collect());
        labels.unwrap_or_else(|| panic!("no series of {name}"))
    }

    fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Series> {
        self.series.iter().filter(move |series| {
            let has = |(label, value): &(&str, &str)| {
                series.labels.get(*label).map(String::as_str) == Some(*value)
            };
            series.name.strip_prefix("tollgate_") == Some(name) && labels.iter().all(has)
        })
    }
}

impl Series {
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("a brace")),
            None => (series, ""),
        };
        let labels = labels
            .split("\",")
            .filter(|label| !label.is_empty())
            .map(|label| {
                let (name, value) = label.split_once("=\"").expect("a label");
                (name.to_owned(), value.trim_end_matches('"').to_owned())
            });
        Self {
            name: name.to_owned(),
            labels: labels.collect(),
            value: value.parse().expect("a number"),
        }
    }
}
