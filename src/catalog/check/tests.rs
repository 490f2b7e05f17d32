use std::borrow::Cow;

use super::*;
use crate::catalog::builtin;

const NOW: &str = "2026-11-25T12:00:00Z";
const FX: &str = "schema = \"tollgate.fx/1\"\n[[rate]]\npair = \"CNY/USD\"\nfrom = \"2026-01-01\"\n\
                  num = 1000\nden = 7200\nsource = \"bank\"\n";
const SCHEDULES: &str = r#"
schema = "tollgate.schedules/1"
[[window]]
id = "night"
hours_utc = [["16:30", "00:30"]]
source = "test"
[[window]]
id = "midnight"
hours_utc = [["00:00", "01:00"]]
source = "test"
[[window]]
id = "noon"
hours_utc = [["12:00", "13:00"]]
source = "test"
[[window]]
id = "weekend-night"
hours_utc = [["16:30", "00:30"]]
weekdays = [6, 7]
calendar_offset_minutes = 0
source = "test"
"#;
const HEAD: &str = r#"schema = "tollgate.catalog/1"
generated = "2026-11-24"
[provider]
id = "p"
name = "P"
origin = "US"
usage_adapter = "openai"
protocol = "openai"
env = []
address_basis = "test"
regions = ["us"]
tier_boundary = "gt"
[[model]]
id = "m"
model_key = "m"
mode = "chat"
"#;

/// A catalogue with one model, of these cards; what is not said is `tier = "standard"`, with rates.
fn catalog(fx: &str, schedules: &str, cards: &[&str]) -> Catalog {
    let mut text = HEAD.to_owned();
    for card in cards {
        text.push_str("[[model.card]]\nsource = \"test\"\nbasis = \"test\"\n");
        if !card.contains("tier =") {
            text.push_str("tier = \"standard\"\n");
        }
        if !card.contains("rates =") {
            text.push_str("rates = { input = \"1\", output = \"2\" }\n");
        }
        // moments are written without quotes here
        let quoted = card.replace("= 20", "= \"20").replace("00Z", "00Z\"");
        text.push_str(&quoted.replace("59Z", "59Z\"").replace("; ", "\n"));
        text.push('\n');
    }
    let providers = [(Cow::from("p"), Cow::from(text))];
    Catalog::from_texts(fx, schedules, providers).unwrap()
}

fn found(cards: &[&str]) -> Vec<Finding> {
    check(&catalog(FX, SCHEDULES, cards), NOW.parse().unwrap())
}

/// What is wrong, with the card that it is said of.
fn mistakes(cards: &[&str]) -> Vec<(Option<usize>, String)> {
    let found = found(cards).into_iter().filter(|finding| finding.mistake);
    found.map(|finding| (finding.card, finding.what)).collect()
}

#[track_caller]
fn one(cards: &[&str], card: impl Into<Option<usize>>, says: &str) {
    let mistakes = mistakes(cards);
    let [(place, what)] = &mistakes[..] else {
        panic!("{mistakes:?}");
    };
    assert_eq!(*place, card.into(), "{what}");
    assert!(what.contains(says), "{what}");
}

#[test]
fn the_built_in_catalogue_has_no_mistake() {
    let found = check(builtin(), NOW.parse().unwrap());
    let mistakes: Vec<&Finding> = found.iter().filter(|finding| finding.mistake).collect();
    assert!(mistakes.is_empty(), "{mistakes:#?}");
}

#[test]
fn cards_that_complete_each_other_are_no_mistake() {
    for cards in [
        &[""][..],
        &["", "over = 1000", "over = 3000"],
        &[
            "",
            "window = \"night\"",
            "window = \"noon\"",
            "window = \"night\"; over = 9",
        ],
        &["when = \"reasoning\"", "when = \"non_reasoning\""],
        &["", "when = \"reasoning\""],
        &[
            "until = 2026-01-01T00:00:00Z",
            "from = 2026-01-01T00:00:00Z",
        ],
        &["", "tier = \"batch\""],
        &["", "window = \"midnight\"", "window = \"noon\""],
    ] {
        assert_eq!(mistakes(cards), [], "{cards:?}");
    }
}

#[test]
fn two_cards_of_the_same_rank_at_the_same_moment_are_ambiguous() {
    one(&["", ""], 2, "fits the same calls as card 1");
    one(&["", "over = 5", "over = 5"], 3, "as card 2");
    one(
        &[
            "until = 2026-06-01T00:00:00Z",
            "from = 2026-05-31T23:59:59Z",
        ],
        2,
        "as card 1",
    );
}

#[test]
fn two_windows_that_may_be_open_together_are_ambiguous() {
    one(
        &["", "window = \"night\"", "window = \"midnight\""],
        3,
        "as card 2",
    );
    let weekend = ["", "window = \"night\"", "window = \"weekend-night\""];
    one(&weekend, 3, "as card 2");
}

#[test]
fn a_gap_between_two_cards_is_told_with_its_moments() {
    one(
        &[
            "until = 2026-01-01T00:00:00Z",
            "from = 2026-02-01T00:00:00Z",
        ],
        None,
        "`standard` from 2026-01-01T00:00:00Z until 2026-02-01T00:00:00Z",
    );
}

#[test]
fn a_context_tier_without_a_card_below_it_is_incomplete() {
    let cards = ["until = 2026-01-01T00:00:00Z", "over = 5"];
    one(
        &cards,
        2,
        "leaves smaller prompts without a card from 2026-01-01T00:00:00Z",
    );
}

#[test]
fn hours_without_a_card_for_the_others_are_incomplete() {
    let cards = ["from = 2026-01-01T00:00:00Z", "window = \"noon\""];
    one(
        &cards,
        2,
        "leaves the other hours without a card before 2026-01-01T00:00:00Z",
    );
}

#[test]
fn a_condition_without_its_other_side_is_incomplete() {
    one(
        &["when = \"reasoning\""],
        None,
        "for calls that do not think",
    );
    one(&["when = \"non_reasoning\""], None, "for calls that think");
}

#[test]
fn a_card_without_a_rate_that_every_call_needs_is_incomplete() {
    one(&["rates = { input = \"1\" }"], 1, "has no `output`");
    one(&["rates = { output = \"1\" }"], 1, "has no `input`");
    one(&[], None, "has no card");
}

#[test]
fn yuan_without_an_exchange_rate_are_a_mistake_and_a_placeholder_is_told() {
    let at = |fx: &str| {
        let catalog = catalog(fx, SCHEDULES, &["currency = \"CNY\""]);
        check(&catalog, NOW.parse().unwrap())
    };
    let none = at("schema = \"tollgate.fx/1\"\nrate = []\n");
    assert!(
        none[0].mistake && none[0].what.contains("no exchange rate"),
        "{none:?}"
    );
    assert_eq!(at(FX), []);
    let placeholder = at(&FX.replace("bank", "operator input (placeholder)"));
    assert!(!placeholder[0].mistake && placeholder[0].what.contains("placeholder"));
    assert_eq!(placeholder[0].file, "_fx");
}

#[test]
fn a_calendar_that_ends_soon_is_told() {
    let schedules = |end: &str| {
        format!(
            "{SCHEDULES}[[window]]\nid = \"peak\"\nhours_utc = [[\"01:00\", \"02:00\"]]\n\
             excludes_holidays = \"cn\"\nsource = \"test\"\n[[holidays]]\nid = \"cn\"\n\
             covers_through = \"{end}\"\ncalendar_offset_minutes = 480\nsource = \"test\"\n\
             dates = []\n"
        )
    };
    let at = |end: &str| check(&catalog(FX, &schedules(end), &[""]), NOW.parse().unwrap());
    assert_eq!(at("2027-12-31"), []);
    for end in ["2026-12-31", "2020-12-31"] {
        let found = at(end);
        assert!(
            !found[0].mistake && found[0].what.contains(end),
            "{found:?}"
        );
    }
}

#[test]
fn a_price_that_ends_soon_or_has_ended_is_told() {
    for (until, says) in [
        ("2026-12-01T00:00:00Z", "ends at 2026-12-01"),
        ("2026-11-01T00:00:00Z", "ended at 2026-11-01"),
    ] {
        let found = found(&[&format!("until = {until}")]);
        assert!(
            !found[0].mistake && found[0].what.contains(says),
            "{found:?}"
        );
    }
    assert_eq!(found(&["until = 2027-02-01T00:00:00Z"]), []);
}

#[test]
fn a_finding_names_the_line_of_its_card() {
    let found = found(&["", "over = 5", "over = 5"]);
    let text = catalog(FX, SCHEDULES, &["", "over = 5", "over = 5"]);
    let lines: Vec<&str> = text.text("p").unwrap().lines().collect();
    let line = found[0].line.unwrap();
    assert_eq!(lines[line - 1], "[[model.card]]");
    let before = lines[..line]
        .iter()
        .filter(|line| **line == "[[model.card]]");
    assert_eq!(before.count(), 3);
}

#[test]
fn a_file_that_can_not_be_read_is_a_finding_and_the_others_are_checked() {
    let broken = (Cow::from("a"), Cow::from("schema = 1"));
    let text = HEAD.to_owned();
    let catalog =
        Catalog::from_texts(FX, SCHEDULES, [broken, (Cow::from("p"), Cow::from(text))]).unwrap();
    let found = check(&catalog, NOW.parse().unwrap());
    assert_eq!(found[0].line, Some(1), "{found:?}");
    let files: Vec<&str> = found.iter().map(|finding| &*finding.file).collect();
    assert_eq!(files, ["a", "p"]);
}
