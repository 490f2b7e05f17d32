//! What is wrong with a catalogue beyond its grammar: cards that contradict each other or leave
//! calls without a price.
//!
//! Moments, hours, thinking and prompt sizes are compared as spans and sets, not tried at random:
//! a mistake that shows on one day in a year is found. Given the moment, it also says what will
//! soon be out of date. It reads no file and no clock.

use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use serde::Serialize;

use super::{Card, Catalog, CatalogError, Currency, Mode, Model, Provider, Status, When};

/// How long before something ends it is told.
const NOTICE_DAYS: i64 = 30;
/// Days of a calendar of holidays; they are announced in November for the year after.
const CALENDAR_NOTICE_DAYS: i64 = 60;

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A mistake makes calls unpriced or wrong; else it is worth knowing.
    pub mistake: bool,
    /// The provider, which is the name of the file; a shared file by its own name.
    pub file: String,
    /// From 1, where it can be said.
    pub line: Option<usize>,
    pub model: Option<String>,
    /// From 1, in the order of the file.
    pub card: Option<usize>,
    pub what: String,
}

/// A span of time, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    from: Timestamp,
    until: Timestamp,
}

/// Everything that is found in a catalogue; mistakes and other things in the order of the files.
#[must_use]
pub fn check(catalog: &Catalog, now: Timestamp) -> Vec<Finding> {
    let mut found = shared(catalog, now);
    found.extend(
        catalog
            .names()
            .flat_map(|name| of_provider(catalog, name, now)),
    );
    found
}

/// What is found in one provider's file.
#[must_use]
pub fn of_provider(catalog: &Catalog, name: &str, now: Timestamp) -> Vec<Finding> {
    match catalog.provider(name) {
        None => Vec::new(),
        Some(Err(error)) => vec![unreadable(name, error, catalog)],
        Some(Ok(provider)) => {
            let places = Places::of(catalog.text(name).unwrap_or_default());
            let models = provider.models.iter().enumerate();
            let of = |(at, model)| Of {
                catalog,
                provider,
                model,
                places: places.model(at),
                now,
            };
            models.flat_map(|model| of(model).findings()).collect()
        }
    }
}

/// A file that is refused.
fn unreadable(name: &str, error: &CatalogError, catalog: &Catalog) -> Finding {
    let (line, model, what) = match error {
        CatalogError::Syntax { source, .. } => {
            let text = catalog.text(name).unwrap_or_default();
            let before = source.span().and_then(|span| text.get(..span.start));
            let line = before.map(|before| before.matches('\n').count() + 1);
            (line, None, source.message().to_owned())
        }
        CatalogError::Meaning { place, what, .. } => (None, Some(place.clone()), what.clone()),
    };
    Finding {
        mistake: true,
        file: name.to_owned(),
        line,
        model,
        card: None,
        what,
    }
}

/// Of exchange rates and calendars.
fn shared(catalog: &Catalog, now: Timestamp) -> Vec<Finding> {
    let notice = |file: &str, what: String| Finding {
        mistake: false,
        file: file.to_owned(),
        line: None,
        model: None,
        card: None,
        what,
    };
    let mut found = Vec::new();
    let rates = &catalog.shared().exchange;
    if let Some(rate) = rates.iter().find(|rate| rate.is_placeholder()) {
        let what = format!(
            "the rate from {} is a placeholder ({} yuan are {} dollars): enter that of your bank",
            rate.from, rate.den, rate.num
        );
        found.push(notice("_fx", what));
    }
    let calendars = catalog.shared().windows.iter();
    let ends: BTreeSet<(&str, i64)> = calendars
        .filter_map(|window| window.holidays.as_ref())
        .map(|calendar| (&*calendar.id, calendar.covers_through))
        .collect();
    for (id, day) in ends {
        let end = Date::new(1970, 1, 1).and_then(|epoch| epoch.checked_add(day.days()));
        let Ok(end) = end else { continue };
        let today = now.to_zoned(TimeZone::UTC).date();
        if days_until(today, end) < CALENDAR_NOTICE_DAYS {
            let what = format!(
                "the calendar of holidays `{id}` is known up to {end}: from then on the dearer \
                 hours are billed"
            );
            found.push(notice("_schedules", what));
        }
    }
    found
}

fn days_until(from: Date, to: Date) -> i64 {
    from.until(to)
        .map_or(i64::MAX, |span| i64::from(span.get_days()))
}

/// A model in its place.
struct Of<'a> {
    catalog: &'a Catalog,
    provider: &'a Provider,
    model: &'a Model,
    places: (Option<usize>, &'a [usize]),
    now: Timestamp,
}

impl Of<'_> {
    fn findings(&self) -> Vec<Finding> {
        let cards = &self.model.cards;
        let mut found = Vec::new();
        if cards.is_empty() {
            found.push(self.of_model(true, "has no card: calls to it have no price".into()));
        }
        for (at, card) in cards.iter().enumerate() {
            found.extend(self.rates(at, card));
            found.extend(self.rivals(at, card));
            found.extend(self.unsupported(at, card));
        }
        let tiers: BTreeSet<&str> = cards.iter().map(|card| &*card.tier).collect();
        found.extend(tiers.iter().flat_map(|tier| self.gaps(tier)));
        found.extend(self.ends(&tiers));
        found
    }

    /// Rates that every call of such a model needs.
    fn rates(&self, at: usize, card: &Card) -> Vec<Finding> {
        let mut found = Vec::new();
        let needed = match self.model.mode {
            Mode::Chat | Mode::Completion => &["input", "output"][..],
            Mode::Embedding => &["input"],
            _ => &[],
        };
        let has = |name: &str| card.rates.named().any(|(known, _)| known == name);
        for name in needed {
            if card.self_hosted.is_none() && !has(name) {
                let what = format!("has no `{name}`, which every call needs");
                found.push(self.of_card(at, what));
            }
        }
        let rates = &self.catalog.shared().exchange;
        if card.currency == Currency::Cny && rates.is_empty() {
            found.push(self.of_card(at, "is in yuan, and there is no exchange rate".into()));
        }
        found
    }

    /// Cards before this one that fit as well as it does, at some moment.
    fn rivals(&self, at: usize, card: &Card) -> Vec<Finding> {
        let before = self.model.cards.iter().take(at).enumerate();
        let rivals = before.filter(|(_, other)| rivals(card, other));
        rivals
            .map(|(other, _)| {
                let what = format!(
                    "fits the same calls as card {}: where two fit, neither is taken",
                    other + 1
                );
                self.of_card(at, what)
            })
            .collect()
    }

    /// Moments at which a card with a context tier or hours has no plain one below it.
    fn unsupported(&self, at: usize, card: &Card) -> Option<Finding> {
        if card.over.is_none() && card.window.is_none() {
            return None;
        }
        let bare = thinkings(card.when).find_map(|when| {
            let plain = self.plain(&card.tier, when);
            uncovered(Span::of(card), &plain).map(|span| (when, span))
        });
        let (when, span) = bare?;
        let small = if card.window.is_some() {
            "the other hours"
        } else {
            "smaller prompts"
        };
        let what = format!("leaves {small} without a card {}{}", span, thinking(when));
        Some(self.of_card(at, what))
    }

    /// Moments between two plain cards of a tier that have none.
    fn gaps(&self, tier: &str) -> Vec<Finding> {
        let mut told: Vec<Span> = Vec::new();
        for when in [When::NonReasoning, When::Reasoning] {
            let plain = self.plain(tier, when);
            let begin = plain.iter().map(|span| span.from).min();
            let end = plain.iter().map(|span| span.until).max();
            let whole = begin.zip(end).map(|(from, until)| Span { from, until });
            if let Some(gap) = whole.and_then(|whole| uncovered(whole, &plain))
                && !told.contains(&gap)
            {
                told.push(gap);
            }
        }
        let lone = self.lone_condition(tier);
        told.into_iter()
            .map(|gap| self.of_model(true, format!("has no card of tier `{tier}` {gap}")))
            .chain(lone)
            .collect()
    }

    /// A condition on thinking whose other side has no card at all.
    fn lone_condition(&self, tier: &str) -> Option<Finding> {
        let [plain, thinks] =
            [When::NonReasoning, When::Reasoning].map(|when| self.plain(tier, when));
        let lone = plain.is_empty() != thinks.is_empty();
        let missing = if plain.is_empty() {
            When::NonReasoning
        } else {
            When::Reasoning
        };
        let what = format!("has no card of tier `{tier}`{}", thinking(missing));
        lone.then(|| self.of_model(true, what))
    }

    /// Spans of the cards of a tier that need neither hours nor a size.
    fn plain(&self, tier: &str, when: When) -> Vec<Span> {
        let cards = self.model.cards.iter();
        let plain = cards.filter(|card| {
            let fits = card.when.is_none_or(|condition| condition == when);
            &*card.tier == tier && card.over.is_none() && card.window.is_none() && fits
        });
        plain.map(Span::of).collect()
    }

    /// What ends soon, or has ended.
    fn ends(&self, tiers: &BTreeSet<&str>) -> Vec<Finding> {
        let mut found = Vec::new();
        if self.model.status == Status::Removed {
            found.push(self.of_model(false, "is marked as removed".into()));
        }
        let soon = self.now + (NOTICE_DAYS * 24).hours();
        for tier in tiers {
            let spans = [When::NonReasoning, When::Reasoning].map(|when| self.plain(tier, when));
            let last = spans.iter().flatten().map(|span| span.until).max();
            if let Some(last) = last.filter(|last| *last < soon) {
                let ends = if last <= self.now { "ended" } else { "ends" };
                let what = format!("its last card of tier `{tier}` {ends} at {last}");
                found.push(self.of_model(false, what));
            }
        }
        found
    }

    fn of_model(&self, mistake: bool, what: String) -> Finding {
        Finding {
            mistake,
            file: self.provider.id.to_string(),
            line: self.places.0,
            model: Some(self.model.id.to_string()),
            card: None,
            what,
        }
    }

    fn of_card(&self, at: usize, what: String) -> Finding {
        Finding {
            line: self.places.1.get(at).copied().or(self.places.0),
            card: Some(at + 1),
            ..self.of_model(true, what)
        }
    }
}

/// Do both fit some call equally well?
fn rivals(a: &Card, b: &Card) -> bool {
    let windows = match (&a.window, &b.window) {
        (None, None) => true,
        (Some(a), Some(b)) => a.meets(b),
        (None, Some(_)) | (Some(_), None) => false,
    };
    a.tier == b.tier
        && a.over == b.over
        && a.when == b.when
        && windows
        && Span::of(a).meets(Span::of(b))
}

/// The kinds of thinking that a condition lets through.
fn thinkings(when: Option<When>) -> impl Iterator<Item = When> {
    [When::NonReasoning, When::Reasoning]
        .into_iter()
        .filter(move |kind| when.is_none_or(|condition| condition == *kind))
}

fn thinking(when: When) -> &'static str {
    match when {
        When::Reasoning => " for calls that think",
        When::NonReasoning => " for calls that do not think",
    }
}

impl Span {
    fn of(card: &Card) -> Self {
        Self {
            from: card.from.unwrap_or(Timestamp::MIN),
            until: card.until.unwrap_or(Timestamp::MAX),
        }
    }

    fn meets(self, other: Self) -> bool {
        self.from < other.until && other.from < self.until
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.from == Timestamp::MIN, self.until == Timestamp::MAX) {
            (true, true) => write!(f, "at any time"),
            (true, false) => write!(f, "before {}", self.until),
            (false, true) => write!(f, "from {}", self.from),
            (false, false) => write!(f, "from {} until {}", self.from, self.until),
        }
    }
}

/// The first part of a span that none of the others covers.
fn uncovered(span: Span, by: &[Span]) -> Option<Span> {
    let mut sorted: Vec<Span> = by
        .iter()
        .copied()
        .filter(|other| other.meets(span))
        .collect();
    sorted.sort_unstable();
    let mut from = span.from;
    for other in sorted {
        if from < other.from {
            return Some(Span {
                from,
                until: other.from,
            });
        }
        from = from.max(other.until);
    }
    (from < span.until).then_some(Span {
        from,
        until: span.until,
    })
}

/// Lines of the headings in a file.
struct Places {
    models: Vec<(usize, Vec<usize>)>,
}

impl Places {
    fn of(text: &str) -> Self {
        let mut models: Vec<(usize, Vec<usize>)> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            match line.trim() {
                "[[model]]" => models.push((at + 1, Vec::new())),
                "[[model.card]]" => {
                    if let Some((_, cards)) = models.last_mut() {
                        cards.push(at + 1);
                    }
                }
                _ => {}
            }
        }
        Self { models }
    }

    fn model(&self, at: usize) -> (Option<usize>, &[usize]) {
        let model = self.models.get(at);
        model.map_or((None, &[]), |(line, cards)| (Some(*line), cards))
    }
}

#[cfg(test)]
mod tests;
