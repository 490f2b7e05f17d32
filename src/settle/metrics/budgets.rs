//! How budgets stand, as gauges: those of keys by the key, shared ones by the budget and, where each
//! value of a tag has its own, by the value. Values have series where keys of the file have them;
//! those of the store are as many as anybody makes.

use std::{borrow::Cow, collections::HashSet, sync::Arc};

use super::{Metrics, family::OTHER};
use crate::{
    admit::purse::{Standing, Whose},
    config::{Config, Scope},
    money::PICO_PER_USD,
};

/// The values of tags that have budgets of their own and series too: those of the first keys.
pub(super) fn values(config: &Config) -> HashSet<(Arc<str>, Arc<str>)> {
    let names = config
        .budgets
        .iter()
        .filter_map(|shared| match &shared.scope {
            Scope::EachTag(name) => Some(name),
            Scope::Everything | Scope::Route(_) | Scope::Tag { .. } => None,
        });
    let first = || config.keys.iter().take(config.metrics.max_keys);
    let of = |name: &Arc<str>| {
        let name = Arc::clone(name);
        let tags = first().filter_map(|key| key.tags.as_ref());
        tags.filter_map(move |tags| Some((Arc::clone(&name), tags.get(&name)?.into())))
    };
    names.flat_map(of).collect()
}

impl Metrics {
    /// Shows how the budget of a key stands.
    pub fn show_budget(&self, key: &str, standing: &Standing) {
        let gauges = [
            &self.budget_limit,
            &self.budget_spent,
            &self.budget_held,
            &self.budget_soft,
        ];
        show(gauges, &[key], standing);
    }

    /// A key has no budget any more.
    pub fn forget_budget(&self, key: &str) {
        for gauge in [
            &self.budget_limit,
            &self.budget_spent,
            &self.budget_held,
            &self.budget_soft,
        ] {
            gauge.remove(&[key]);
        }
    }

    /// Shows how a shared budget stands, if it has series of its own.
    pub fn show_shared(&self, whose: &Whose, standing: &Standing) {
        let Some(labels) = self.shared_labels(whose) else {
            return;
        };
        let gauges = [
            &self.shared_limit,
            &self.shared_spent,
            &self.shared_held,
            &self.shared_soft,
        ];
        show(gauges, &labels, standing);
    }

    /// A shared budget is there no more, or what is spent of it is not known.
    pub fn forget_shared(&self, whose: &Whose) {
        let Whose::Shared { id, tag } = whose else {
            return;
        };
        let value = tag.as_ref().map_or("", |(_, value)| value);
        for gauge in [
            &self.shared_limit,
            &self.shared_spent,
            &self.shared_held,
            &self.shared_soft,
        ] {
            gauge.remove(&[id, value]);
        }
    }

    /// The value of a tag as a label: empty where the budget is none of a value.
    #[must_use]
    pub fn value_label<'a>(&self, tag: Option<&'a (Arc<str>, Arc<str>)>) -> Cow<'a, str> {
        match tag {
            None => "".into(),
            Some(tag) if self.values.load().contains(tag) => (&*tag.1).into(),
            Some(_) => OTHER.into(),
        }
    }

    /// `None`: together with others the figures would say nothing.
    fn shared_labels<'a>(&self, whose: &'a Whose) -> Option<[&'a str; 2]> {
        let Whose::Shared { id, tag } = whose else {
            return None;
        };
        match tag {
            None => Some([id, ""]),
            Some(tag) => {
                let named = self.values.load().contains(tag);
                named.then_some([&**id, &*tag.1])
            }
        }
    }
}

/// Sets limit, spent, held and, where there is one, the soft limit.
fn show(
    [limit, spent, held, soft]: [&super::Family<prometheus::GaugeVec>; 4],
    labels: &[&str],
    standing: &Standing,
) {
    let budget = standing.budget;
    for (gauge, pico) in [
        (limit, Some(budget.usd.pico().into())),
        (spent, Some(standing.spent.pico())),
        (held, Some(standing.held.pico())),
        (soft, budget.soft.map(|soft| soft.pico().into())),
    ] {
        match pico {
            None => gauge.remove(labels),
            Some(pico) => {
                if let Some(gauge) = gauge.room(labels) {
                    gauge.set(dollars(pico));
                }
            }
        }
    }
}

/// Pico-dollars as Prometheus wants them: here alone money is a binary float.
#[expect(clippy::cast_precision_loss, reason = "a float is what the format has")]
fn dollars(pico: i128) -> f64 {
    pico as f64 / PICO_PER_USD as f64
}
