//! Lays the cards that a newer list has over those that are known, without changing what was: a
//! price that ends keeps its card, with the moment at which it ended.
//!
//! Cards are compared within their kind (tier, context tier, hours, thinking). What ended before
//! now is left as it is, whatever the newer list says of it. No clock is read.

use jiff::Timestamp;

use super::Difference;
use crate::catalog::{Card, Currency, When};

/// What the newer list says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// All cards: a kind that it lacks has ended.
    All,
    /// Some prices of today: what it lacks goes on.
    Some,
}

/// The kind of a card.
type Kind<'a> = (&'a str, Option<u64>, Option<&'a str>, Option<When>);

/// Cards with the newer ones over them, and what differs; `None`: nothing that counts from now on.
pub(super) fn lay(
    known: &[Card],
    newer: &[Card],
    now: Timestamp,
    says: Says,
) -> Option<(Vec<Card>, Vec<Difference>)> {
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    for card in known.iter().chain(newer) {
        let kind = kind(card);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let (mut cards, mut differences) = (Vec::new(), Vec::new());
    for wanted in kinds {
        let of = |cards: &[Card]| -> Vec<Card> {
            let mut of: Vec<Card> = cards
                .iter()
                .filter(|card| kind(card) == wanted)
                .cloned()
                .collect();
            of.sort_by_key(|card| card.from);
            of
        };
        let (known, newer) = (of(known), of(newer));
        if newer.is_empty() && says == Says::Some {
            cards.extend(known);
            continue;
        }
        let laid = lay_kind(known.clone(), newer, now, says);
        differences.extend(differ(&live(&known, now), &live(&laid, now), now));
        cards.extend(laid);
    }
    (!differences.is_empty()).then_some((cards, differences))
}

fn kind(card: &Card) -> Kind<'_> {
    let window = card.window.as_ref().map(|window| &*window.id);
    (&card.tier, card.over, window, card.when)
}

/// Both lists in order of time, of one kind.
fn lay_kind(known: Vec<Card>, newer: Vec<Card>, now: Timestamp, says: Says) -> Vec<Card> {
    let began = !known.is_empty();
    let (past, mut known) = split(known, now);
    let (_, mut newer) = split(newer, now);
    let mut laid = past;
    let old = take_present(&mut known, now);
    match (old, take_present(&mut newer, now)) {
        (Some(old), Some(new)) if same_price(&old, &new) => laid.push(Card {
            until: if says == Says::All {
                new.until
            } else {
                old.until
            },
            ..old
        }),
        (Some(old), Some(new)) => {
            let turn = new
                .from
                .filter(|from| old.from.is_none_or(|old| old < *from));
            let turn = Some(turn.unwrap_or(now));
            let until = if says == Says::All {
                new.until
            } else {
                old.until
            };
            laid.push(Card { until: turn, ..old });
            laid.push(Card {
                from: turn,
                until,
                ..new
            });
        }
        (None, Some(new)) => laid.push(Card {
            from: new.from.or((began || says == Says::Some).then_some(now)),
            ..new
        }),
        (Some(old), None) => laid.push(Card {
            until: if says == Says::All && newer.is_empty() {
                Some(now)
            } else {
                old.until
            },
            ..old
        }),
        (None, None) => {}
    }
    laid.extend(if says == Says::All { newer } else { known });
    laid.retain(|card| card.from.is_none() || card.from != card.until);
    laid
}

/// Those that have ended, and the others.
fn split(cards: Vec<Card>, now: Timestamp) -> (Vec<Card>, Vec<Card>) {
    let ended = |card: &Card| card.until.is_some_and(|until| until <= now);
    cards.into_iter().partition(ended)
}

/// The one that applies now, taken out of those that have not ended.
fn take_present(cards: &mut Vec<Card>, now: Timestamp) -> Option<Card> {
    let present = |card: &Card| card.from.is_none_or(|from| from <= now);
    let place = cards.iter().position(present)?;
    Some(cards.remove(place))
}

fn same_price(one: &Card, other: &Card) -> bool {
    let price = |card: &Card| (card.rates, card.currency, card.min_audio_seconds);
    price(one) == price(other)
}

/// What counts from now on.
fn live(cards: &[Card], now: Timestamp) -> Vec<Card> {
    let live = cards
        .iter()
        .filter(|card| card.until.is_none_or(|until| until > now));
    live.cloned().collect()
}

/// What differs between the cards of a kind that count from now on.
fn differ(known: &[Card], laid: &[Card], now: Timestamp) -> Vec<Difference> {
    let begins = |card: &Card| card.from.filter(|from| *from > now);
    let at = |cards: &[Card], from: Option<Timestamp>| -> Option<Card> {
        let before = |card: &&Card| begins(card) <= from;
        let ends = |card: &&Card| card.until.is_none_or(|until| until > from.unwrap_or(now));
        cards.iter().rev().filter(ends).find(before).cloned()
    };
    let mut turns: Vec<Option<Timestamp>> = vec![None];
    for card in known.iter().chain(laid) {
        turns.extend(begins(card).map(Some));
        turns.extend(card.until.map(Some));
    }
    turns.sort();
    turns.dedup();
    let mut told = Vec::new();
    let mut differences = Vec::new();
    for turn in turns {
        let (old, new) = (at(known, turn), at(laid, turn));
        let found = rates(old.as_ref(), new.as_ref(), turn);
        let plain: Vec<_> = found
            .iter()
            .map(|one| (one.rate, one.old, one.new))
            .collect();
        if !found.is_empty() && plain != told {
            differences.extend(found);
        }
        told = plain;
    }
    differences
}

/// The rates in which two cards differ.
fn rates(old: Option<&Card>, new: Option<&Card>, from: Option<Timestamp>) -> Vec<Difference> {
    let Some(card) = new.or(old) else {
        return Vec::new();
    };
    let currency = |card: Option<&Card>| card.map_or(Currency::Usd, |card| card.currency);
    let moved = old.is_some() && new.is_some() && currency(old) != currency(new);
    let rate = |card: Option<&Card>, name: &str| {
        let mut named = card?.rates.named();
        named
            .find(|(known, _)| *known == name)
            .map(|(_, rate)| rate)
    };
    let mut names: Vec<&'static str> = Vec::new();
    for (name, _) in [new, old]
        .into_iter()
        .flatten()
        .flat_map(|card| card.rates.named())
    {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let all = names.into_iter().map(|name| Difference {
        tier: card.tier.clone(),
        over: card.over,
        window: card.window.as_ref().map(|window| window.id.clone()),
        when: card.when,
        rate: name,
        old: rate(old, name),
        new: rate(new, name),
        currencies: (currency(old), currency(new)),
        from,
    });
    all.filter(|one| moved || one.old != one.new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Rates;

    const NOW: &str = "2026-11-25T12:00:00Z";

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn card(input: &str, from: Option<&str>, until: Option<&str>) -> Card {
        let rates = Rates {
            input: Some(input.parse().unwrap()),
            output: Some("8".parse().unwrap()),
            ..Rates::default()
        };
        Card {
            from: from.map(time),
            until: until.map(time),
            ..Card::flat(rates, "test")
        }
    }

    fn outcome(known: &[Card], newer: &[Card], says: Says) -> Option<Vec<String>> {
        let (cards, _) = lay(known, newer, time(NOW), says)?;
        let day = |moment: Option<Timestamp>| {
            moment.map_or_else(
                || "…".to_owned(),
                |moment| moment.to_string()[5..10].to_owned(),
            )
        };
        let show = |card: &Card| {
            let input = card.rates.input.unwrap();
            format!("{} {}-{}", input, day(card.from), day(card.until))
        };
        Some(cards.iter().map(show).collect())
    }

    #[test]
    fn the_old_price_keeps_its_time_and_the_new_one_begins_now() {
        let known = [
            card("1", None, Some("2026-05-01T00:00:00Z")),
            card("2", Some("2026-05-01T00:00:00Z"), None),
        ];
        for says in [Says::All, Says::Some] {
            assert_eq!(
                outcome(&known, &[card("3", None, None)], says).unwrap(),
                ["1 …-05-01", "2 05-01-11-25", "3 11-25-…"]
            );
        }
    }

    #[test]
    fn a_price_that_began_before_it_was_heard_of_begins_when_it_did() {
        let known = [card("2", Some("2026-05-01T00:00:00Z"), None)];
        let newer = [card("3", Some("2026-11-20T00:00:00Z"), None)];
        assert_eq!(
            outcome(&known, &newer, Says::All).unwrap(),
            ["2 05-01-11-20", "3 11-20-…"]
        );
    }

    #[test]
    fn the_same_price_from_another_day_is_no_difference() {
        let known = [card("2", Some("2026-05-01T00:00:00Z"), None)];
        let newer = [
            card("7", None, Some("2026-06-01T00:00:00Z")),
            card("2", Some("2026-06-01T00:00:00Z"), None),
        ];
        assert_eq!(outcome(&known, &newer, Says::All), None);
        assert_eq!(outcome(&known, &[card("2", None, None)], Says::Some), None);
    }

    #[test]
    fn an_announced_price_is_added_and_ends_the_present_one() {
        let known = [card("2", None, None)];
        let newer = [
            card("2", None, Some("2026-12-01T00:00:00Z")),
            card("5", Some("2026-12-01T00:00:00Z"), None),
        ];
        let (_, differences) = lay(&known, &newer, time(NOW), Says::All).unwrap();
        let [only] = differences.as_slice() else {
            panic!("{differences:?}");
        };
        assert_eq!(only.from, Some(time("2026-12-01T00:00:00Z")));
        assert_eq!(
            (only.rate, only.percent().unwrap().as_str()),
            ("input", "+150.0 %")
        );
        assert_eq!(
            outcome(&known, &newer, Says::All).unwrap(),
            ["2 …-12-01", "5 12-01-…"]
        );
    }

    #[test]
    fn a_kind_that_a_whole_list_lacks_ends_now_and_goes_on_where_the_list_is_a_part() {
        let flex = Card {
            tier: "flex".into(),
            ..card("1", None, None)
        };
        let known = [card("2", None, None), flex];
        let newer = [card("2", None, None)];
        assert_eq!(outcome(&known, &newer, Says::Some), None);
        assert_eq!(
            outcome(&known, &newer, Says::All).unwrap(),
            ["2 …-…", "1 …-11-25"]
        );
    }

    #[test]
    fn a_kind_that_is_new_begins_when_a_whole_list_says_so_and_else_now() {
        let flex = Card {
            tier: "flex".into(),
            ..card("1", None, None)
        };
        let newer = [card("2", None, None), flex];
        let known = [card("2", None, None)];
        assert_eq!(
            outcome(&known, &newer, Says::All).unwrap(),
            ["2 …-…", "1 …-…"]
        );
        assert_eq!(
            outcome(&known, &newer, Says::Some).unwrap(),
            ["2 …-…", "1 11-25-…"]
        );
    }
}
