//! Which card applies: by tier, time, window, thinking and prompt size.
//!
//! Exactly one card must remain; where two do, neither is taken, because a guessed price is worse
//! than none. No card inherits from another. The rules are those of `config/catalog/README.md`.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    Boundary, Card, STANDARD, When,
    price::Asked,
    time::{Open, Window},
};

/// The outcome of a choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pick<'a> {
    pub found: Found<'a>,
    /// No card of the tier applied: it was taken among those of the standard tier.
    pub fell_back: bool,
    /// A window was asked that could not say whether it was open.
    pub uncertain: bool,
}

/// The card, or why there is none.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a> {
    One(&'a Card),
    None,
    Several,
}

/// What is assumed of a window that cannot say whether it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assume {
    Open,
    Closed,
}

/// Chooses the card for a call of that prompt size, cached tokens included.
pub(super) fn pick<'a>(
    cards: &'a [Card],
    asked: &Asked<'_>,
    prompt: u64,
    boundary: Boundary,
    assume: Assume,
) -> Pick<'a> {
    let applies = Applies {
        asked,
        prompt,
        boundary,
        assume,
    };
    let pick = applies.among(cards, asked.tier);
    if matches!(pick.found, Found::None) && asked.tier != STANDARD {
        return Pick {
            fell_back: true,
            ..applies.among(cards, STANDARD)
        };
    }
    pick
}

/// Which of the cards apply at that moment to some call or other: of any tier, of any size, with
/// thinking or without. Found by choosing, so it is what bills.
#[must_use]
pub fn in_force(cards: &[Card], at: Timestamp, boundary: Boundary) -> Vec<bool> {
    let sizes = cards.iter().filter_map(|card| card.over);
    let sizes: Vec<u64> = sizes
        .flat_map(|over| [over, over.saturating_add(1)])
        .chain([0])
        .collect();
    let mut found = vec![false; cards.len()];
    let tiers: BTreeSet<&str> = cards.iter().map(|card| &*card.tier).collect();
    for tier in tiers {
        for reasoning in [false, true] {
            let asked = Asked {
                at,
                tier,
                reasoning,
            };
            for (size, assume) in sizes
                .iter()
                .flat_map(|size| [Assume::Open, Assume::Closed].map(|assume| (*size, assume)))
            {
                let Found::One(card) = pick(cards, &asked, size, boundary, assume).found else {
                    continue;
                };
                let place = cards.iter().position(|other| std::ptr::eq(other, card));
                if let Some(found) = place.and_then(|place| found.get_mut(place)) {
                    *found = true;
                }
            }
        }
    }
    found
}

/// Greater beats lesser: a window beats none, then a condition on thinking, then the larger tier.
type Rank = (bool, bool, Option<u64>);

/// What is known of the call.
struct Applies<'a> {
    asked: &'a Asked<'a>,
    prompt: u64,
    boundary: Boundary,
    assume: Assume,
}

impl Applies<'_> {
    fn among<'c>(&self, cards: &'c [Card], tier: &str) -> Pick<'c> {
        let mut found = Found::None;
        let mut best: Option<Rank> = None;
        let mut uncertain = false;
        for card in cards
            .iter()
            .filter(|card| &*card.tier == tier && self.fits(card))
        {
            match card.window.as_deref().map(|window| self.open(window)) {
                None | Some((true, false)) => {}
                Some((open, unknown)) => {
                    uncertain |= unknown;
                    if !open {
                        continue;
                    }
                }
            }
            let rank = (card.window.is_some(), card.when.is_some(), card.over);
            if best.is_none_or(|best| best < rank) {
                (best, found) = (Some(rank), Found::One(card));
            } else if best == Some(rank) {
                found = Found::Several;
            }
        }
        Pick {
            found,
            fell_back: false,
            uncertain,
        }
    }

    /// Everything but the tier and the window.
    fn fits(&self, card: &Card) -> bool {
        let when = if self.asked.reasoning {
            When::Reasoning
        } else {
            When::NonReasoning
        };
        let over = |over| match self.boundary {
            Boundary::Over => self.prompt > over,
            Boundary::AtOrOver => self.prompt >= over,
        };
        card.from.is_none_or(|from| from <= self.asked.at)
            && card.until.is_none_or(|until| self.asked.at < until)
            && card.when.is_none_or(|condition| condition == when)
            && card.over.is_none_or(over)
    }

    /// Is it open, and was that assumed?
    fn open(&self, window: &Window) -> (bool, bool) {
        match window.at(self.asked.at) {
            Open::Yes => (true, false),
            Open::No => (false, false),
            Open::Unknown => (self.assume == Assume::Open, true),
        }
    }
}
