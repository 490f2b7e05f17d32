//! A family of series whose number is bounded.
//!
//! It gives each set of label values a series of its own until there are as many as the
//! configuration allows; what comes after is counted in one series whose labels are all `other`,
//! so that sums stay right. A series that is there stays there. `MetricVec` alone would do for
//! neither: it grows without end, and takes `a`, `bc` for `ab`, `c`.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, Hasher},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

use foldhash::quality::FixedState;
use prometheus::{
    IntCounter,
    core::{Collector, Desc, Metric, MetricVec, MetricVecBuilder},
    proto::MetricFamily,
};

/// The value of every label of what found no room.
pub const OTHER: &str = "other";

/// Makes series of one family: a vector of `prometheus`.
pub trait Maker: Collector {
    /// One series, or for histograms all of one set of labels.
    type Child: Metric;

    /// A new one with these label values.
    ///
    /// # Errors
    /// If there are more or fewer values than labels.
    fn fresh(&self, values: &[&str]) -> Result<Self::Child, prometheus::Error>;
}

impl<B: MetricVecBuilder> Maker for MetricVec<B> {
    type Child = B::M;

    fn fresh(&self, values: &[&str]) -> Result<B::M, prometheus::Error> {
        let child = self.get_metric_with_label_values(values);
        // it is kept elsewhere
        self.reset();
        child
    }
}

/// How many series a family may have; one for all of them.
pub(super) type Most = Arc<AtomicUsize>;

/// A family.
pub struct Family<V: Maker>(Arc<Inner<V>>);

struct Inner<V: Maker> {
    maker: V,
    /// Lines of text that one child is.
    lines: usize,
    most: Most,
    children: RwLock<Children<V::Child>>,
    /// What found no room.
    other: V::Child,
    /// The hash of its label values.
    other_hash: u64,
    /// Is there anything in it?
    overflowed: AtomicBool,
    dropped: IntCounter,
}

/// By the hash of their label values.
type Children<C> = HashMap<u64, C, BuildHasherDefault<Hashed>>;

impl<V: Maker> Family<V> {
    /// An empty family; a child is so many `lines` of text, and `dropped` counts what finds no
    /// room.
    ///
    /// # Errors
    /// If a label has no name.
    pub(super) fn new(
        maker: V,
        lines: usize,
        most: Most,
        dropped: IntCounter,
    ) -> Result<Self, prometheus::Error> {
        let labels = maker.desc().first().map_or(0, |d| d.variable_labels.len());
        let values = vec![OTHER; labels];
        let other = maker.fresh(&values)?;
        Ok(Self(Arc::new(Inner {
            maker,
            lines,
            most,
            children: RwLock::default(),
            other,
            other_hash: hash(&values),
            overflowed: AtomicBool::new(false),
            dropped,
        })))
    }

    /// The series with these label values, in the order of the labels; the one for all others
    /// where there is no room for it.
    #[must_use]
    pub fn with_label_values(&self, values: &[&str]) -> V::Child {
        self.room(values).unwrap_or_else(|| {
            self.0.overflowed.store(true, Relaxed);
            self.0.other.clone()
        })
    }

    /// The series with these label values, if there is room for it. Where there is none, that is
    /// counted.
    #[must_use]
    pub fn room(&self, values: &[&str]) -> Option<V::Child> {
        let inner = &*self.0;
        let hash = hash(values);
        let found = {
            let children = inner
                .children
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            children.get(&hash).cloned()
        };
        let child = found.or_else(|| inner.add(hash, values));
        if child.is_none() {
            inner.dropped.inc();
        }
        child
    }

    /// Takes a series away, if it is there.
    pub fn remove(&self, values: &[&str]) {
        let mut children = self.0.children.write();
        let children = children.as_mut().unwrap_or_else(|e| e.get_mut());
        children.remove(&hash(values));
    }

    /// The names of the labels.
    #[must_use]
    pub fn labels(&self) -> Vec<&str> {
        let desc = self.0.maker.desc();
        let names = desc.first().map_or(&[][..], |desc| &desc.variable_labels);
        names.iter().map(|name| &**name).collect()
    }
}

impl<V: Maker> Inner<V> {
    /// Makes a series, if there is room.
    fn add(&self, hash: u64, values: &[&str]) -> Option<V::Child> {
        let mut children = self
            .children
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = children.get(&hash) {
            return Some(child.clone());
        }
        if hash == self.other_hash {
            // one name, one series
            self.overflowed.store(true, Relaxed);
            return Some(self.other.clone());
        }
        let lines = (children.len() + 1).saturating_mul(self.lines);
        if lines > self.most.load(Relaxed) {
            return None;
        }
        // the maker holds one child at a time, so only one thread may be here
        let child = self.maker.fresh(values).ok()?;
        children.insert(hash, child.clone());
        Some(child)
    }
}

impl<V: Maker> Clone for Family<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V: Maker> fmt::Debug for Family<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Family").field(&self.labels()).finish()
    }
}

impl<V: Maker> Collector for Family<V> {
    fn desc(&self) -> Vec<&Desc> {
        self.0.maker.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let inner = &*self.0;
        let mut metrics: Vec<_> = {
            let children = inner
                .children
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            children.values().map(Metric::metric).collect()
        };
        if inner.overflowed.load(Relaxed) {
            metrics.push(inner.other.metric());
        }
        let mut families = inner.maker.collect();
        if let Some(family) = families.first_mut() {
            family.set_metric(metrics);
        }
        families
    }
}

/// A hash of the values, each with its length. It need not withstand anybody who looks for two that
/// meet: labels are words of the configuration and of this program.
fn hash(values: &[&str]) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    values
        .iter()
        .for_each(|value| hasher.write(value.as_bytes()));
    hasher.finish()
}

/// Takes a hash as it is.
#[derive(Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.is_empty(), "only hashes are keys");
    }
}

#[cfg(test)]
mod tests;
