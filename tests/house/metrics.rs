//! `docs/metrics.md` against the families that the program registers.

use std::collections::BTreeMap;

use prometheus::{IntCounter, IntGauge};
use tollgate::settle::metrics::{
    Metrics,
    family::{Family as Bounded, Maker},
};

use crate::{
    document,
    documents::{Row, compare},
    none, root,
    source::Tree,
};

const DOCUMENT: &str = "docs/metrics.md";

/// Makes a family show itself: one that was never counted is not in the text.
trait Touch {
    fn touch(&self);
}

impl Touch for IntCounter {
    fn touch(&self) {}
}

impl Touch for IntGauge {
    fn touch(&self) {}
}

impl<V: Maker> Touch for Bounded<V> {
    /// With the names of the labels as their values.
    fn touch(&self) {
        drop(self.with_label_values(&self.labels()));
    }
}

macro_rules! touch {
    ($metrics:ident: $($field:ident)*) => {{
        $($metrics.$field.touch();)*
        [$(stringify!($field)),*]
    }};
}

/// A family as the text of `/metrics` shows it.
#[derive(Default)]
struct Family {
    kind: String,
    labels: Vec<String>,
    bounds: Vec<String>,
}

/// Every family by name.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' ')) {
            families.entry(name.into()).or_default().kind = kind.into();
            continue;
        }
        let sample = line.split_once(['{', ' ']).map_or(line, |(name, _)| name);
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| {
                sample
                    .strip_suffix(end)
                    .filter(|name| families.contains_key(*name))
            })
            .unwrap_or(sample);
        let Some(family) = families.get_mut(name) else {
            continue;
        };
        let labels = line
            .split_once('{')
            .and_then(|(_, rest)| rest.split_once('}'));
        let labels = labels.map_or("", |(labels, _)| labels).split(',');
        for (label, value) in labels.filter_map(|label| label.split_once('=')) {
            if label == "le" {
                family.bounds.push(value.trim_matches('"').into());
            } else if !family.labels.iter().any(|known| known == label) {
                family.labels.push(label.into());
            }
        }
    }
    families
}

#[test]
fn the_table_has_every_family_with_its_type_labels_and_buckets() {
    let metrics = Metrics::new("abc").unwrap();
    let touched = touch!(metrics:
        requests key_requests duration first_token overhead per_token tokens cost savings overspent unpriced
        estimated inconsistent price_doubts gpu_busy gpus marginal_share charged charged_listed attempts retries verified unverified feedback decisions refusals capability_misses
        rate_limited client_retries inflight backend_up breaker_state
        budget_limit budget_spent budget_held budget_soft soft_exceeded
        shared_limit shared_soft shared_spent shared_held shared_soft_exceeded provider_keys reloads ledger_pending ledger_written
        ledger_lost series_dropped);
    let tree = Tree::of_folder(root());
    let of_metrics = tree
        .files
        .iter()
        .find(|file| file.path == "src/settle/metrics.rs")
        .unwrap();
    let public = of_metrics.syntax.items.iter().find_map(|item| match item {
        syn::Item::Struct(item) if item.ident == "Metrics" => Some(&item.fields),
        _ => None,
    });
    let fields = public
        .unwrap()
        .iter()
        .filter(|f| matches!(f.vis, syn::Visibility::Public(_)));
    let names: Vec<String> = fields
        .map(|f| f.ident.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(
        names, touched,
        "give tests/house/metrics.rs the fields of Metrics"
    );

    let rows: Vec<Row> = families(&metrics.text())
        .into_iter()
        .map(|(name, mut family)| {
            family.labels.sort();
            family.bounds.pop_if(|bound| bound == "+Inf");
            let list = |texts: &[String]| match texts {
                [] => "none".to_owned(),
                texts => texts.join(", "),
            };
            let labels: Vec<String> = family.labels.iter().map(|it| format!("`{it}`")).collect();
            let cells = vec![family.kind, list(&labels), list(&family.bounds)];
            Row::new(format!("`{name}`"), cells)
        })
        .collect();
    assert_eq!(rows.len(), touched.len() + 1, "each field and `build_info`");
    let known = |name: &str| name.starts_with("`tollgate_");
    none(&compare(DOCUMENT, &document(DOCUMENT), &rows, known));
}
