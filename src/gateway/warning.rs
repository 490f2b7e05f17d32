//! The header that tells a client of budgets whose soft limits are exceeded.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName};

use super::headers::put;
use crate::admit::purse::{Exceeded, Whose};

/// The header.
static WARNING: HeaderName = HeaderName::from_static("x-tollgate-budget-warning");

/// Adds it, if there is something to tell.
pub(super) fn describe(headers: &mut HeaderMap, exceeded: &[Exceeded]) {
    if exceeded.is_empty() {
        return;
    }
    let all: Vec<String> = exceeded.iter().map(one).collect();
    put(headers, &WARNING, &printable(&all.join("; ")));
}

/// `budget eng 83% of 50 USD a month, resets 2026-12-01T00:00:00Z`. How much is spent of a shared
/// budget is told only where the operator shows it.
fn one(Exceeded { whose, standing }: &Exceeded) -> String {
    let mut text = match whose {
        Whose::Key(id) => format!("key {id}"),
        Whose::Shared { id, tag: None } => format!("budget {id}"),
        Whose::Shared {
            id,
            tag: Some((name, value)),
        } => format!("budget {id} {name}={value}"),
    };
    let usd = standing.budget.usd;
    let per = standing.budget.per.in_words();
    // writing to a text can't fail
    let _ = match standing.percent().filter(|_| standing.shown) {
        Some(percent) => write!(text, " {percent}% of {usd} USD{per}"),
        None => write!(text, " over its soft limit"),
    };
    if let Some(resets_at) = standing.resets_at {
        let _ = write!(text, ", resets {resets_at}");
    }
    text
}

/// Values of tags may hold what no header may.
fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c == ' ' || c.is_ascii_graphic() {
            c
        } else {
            '?'
        }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        admit::purse::Standing,
        config::{Budget, Period},
        money::Total,
    };

    fn exceeded(whose: Whose, per: Period, shown: bool) -> Exceeded {
        let standing = Standing {
            budget: Budget {
                usd: "50".parse().unwrap(),
                soft: "40".parse().ok(),
                per,
            },
            spent: Total::from_pico(41_999_999_999_999),
            held: Total::default(),
            resets_at: (per != Period::Total).then_some(Timestamp::UNIX_EPOCH),
            known: true,
            shown,
        };
        Exceeded { whose, standing }
    }

    #[test]
    fn a_warning_says_which_budget_and_tells_figures_of_others_only_where_they_are_shown() {
        let shared = |tag: Option<(&str, &str)>| Whose::Shared {
            id: "eng".into(),
            tag: tag.map(|(name, value)| (name.into(), value.into())),
        };
        let mut headers = HeaderMap::new();
        describe(&mut headers, &[]);
        assert!(headers.is_empty());
        let all = [
            exceeded(Whose::Key("a".into()), Period::Month, true),
            exceeded(shared(None), Period::Day, false),
            exceeded(shared(Some(("team", "ü\n"))), Period::Total, true),
        ];
        describe(&mut headers, &all);
        assert_eq!(
            headers[&WARNING],
            "key a 83% of 50 USD a month, resets 1970-01-01T00:00:00Z; \
             budget eng over its soft limit, resets 1970-01-01T00:00:00Z; \
             budget eng team=?? 83% of 50 USD"
        );
    }
}
