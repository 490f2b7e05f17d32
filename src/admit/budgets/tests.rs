use super::*;
use crate::config::load::{self, Environment};

struct NoVariables;

impl Environment for NoVariables {
    fn var(&self, _: &str) -> Option<String> {
        None
    }
}

const NOW: Timestamp = Timestamp::UNIX_EPOCH;
const MODELS: &str = "
providers: { own: { base_url: http://127.0.0.1:1/v1 } }
models: [{ name: m, backends: [{ provider: own, model: m, price: free }] }]
routes: [{ name: auto, candidates: [m] }, { name: other, candidates: [m] }]
";

fn config(budgets: &str) -> Config {
    let text = format!("{MODELS}budgets:\n{budgets}");
    let checked = load::from_str("t.yaml", &text, &NoVariables, crate::catalog::builtin());
    checked.unwrap_or_else(|m| panic!("{m}")).config
}

fn budgets(text: &str, before: Option<&Budgets>) -> Budgets {
    Budgets::of(&config(text), before, NOW)
}

/// Nothing is shared.
pub(in crate::admit) fn none() -> Budgets {
    budgets("  []", None)
}

fn tags(text: &str) -> Tags {
    Tags::from_header(text).unwrap()
}

/// What a request pays from, in words, in a fixed order.
fn paid(budgets: &Budgets, key: &str, route: Option<usize>) -> Vec<String> {
    let tags = (!key.is_empty()).then(|| tags(key));
    let caller: Purses = budgets.of_key(tags.as_ref(), NOW).into();
    let paying = budgets.paying(Some(&caller), route);
    let mut words: Vec<_> = paying.iter().map(|p| p.whose.to_string()).collect();
    words.sort();
    words
}

const ALL: &str = "
  - { id: all, usd: '10', per: month }
  - { id: a, tag: team=a, usd: '5', per: day }
  - { id: each, tag: team, usd: '1', per: day }
  - { id: auto, route: auto, usd: '3', per: week }
";

#[test]
fn a_request_pays_from_every_budget_that_counts_it_and_from_no_other() {
    let budgets = budgets(ALL, None);
    let (all, a, auto) = ("the budget `all`", "the budget `a`", "the budget `auto`");
    let each = |team| format!("the budget `each` of `team={team}`");
    assert_eq!(paid(&budgets, "", None), [all]);
    assert_eq!(paid(&budgets, "user=a", Some(1)), [all]);
    assert_eq!(paid(&budgets, "team=b", None), [all, &each("b")]);
    assert_eq!(
        paid(&budgets, "team=a", Some(0)),
        [a, all, auto, &each("a")]
    );
    assert_eq!(budgets.paying(None, Some(0)).iter().count(), 2);
    assert!(none().paying(None, None).is_empty());
}

#[test]
fn each_value_has_one_purse_whoever_asks_for_it() {
    let budgets = budgets(ALL, None);
    let of = |text| budgets.of_key(Some(&tags(text)), NOW).pop().unwrap();
    assert!(Arc::ptr_eq(&of("team=b"), &of("team=b,x=1")));
    assert!(!Arc::ptr_eq(&of("team=b"), &of("team=c")));
}

#[test]
fn a_reload_changes_amounts_and_keeps_what_stands_in_purses() {
    let first = budgets(ALL, None);
    let of = |budgets: &Budgets, id| budgets.purses(id).pop().unwrap();
    let held = first.of_key(Some(&tags("team=z")), NOW);
    let before = of(&first, "all");
    let more = ALL.replace("'10'", "'20'").replace("'1'", "'2'");
    let second = budgets(&more, Some(&first));
    assert!(Arc::ptr_eq(&before, &of(&second, "all")));
    assert_eq!(before.standing(NOW).unwrap().budget.usd.to_string(), "20");
    let each = held.last().unwrap();
    assert_eq!(each.standing(NOW).unwrap().budget.usd.to_string(), "2");
    assert_ne!(first.generation(), second.generation());
}

#[test]
fn a_budget_that_is_gone_or_counts_something_else_holds_nobody() {
    let first = budgets(ALL, None);
    let before = first.purses("all").pop().unwrap();
    let moved = ALL.replace("id: all,", "id: all, tag: team=q,");
    let second = budgets(&moved, Some(&first));
    assert!(before.standing(NOW).is_none());
    assert_eq!(paid(&second, "", None), [""; 0]);
    drop((before, first));
    second.forget_unused();
    assert_eq!(second.purses("all").len(), 1);
}

#[test]
fn values_that_come_and_go_with_keys_are_not_kept_for_ever() {
    let budgets = budgets(ALL, None);
    let kept = budgets.of_key(Some(&tags("team=kept")), NOW);
    for n in 0..5 * FEW {
        drop(budgets.of_key(Some(&tags(&format!("team={n}"))), NOW));
    }
    let known = budgets.purses("each");
    assert!(known.len() <= FEW, "{}", known.len());
    assert!(
        known
            .iter()
            .any(|purse| Arc::ptr_eq(purse, kept.last().unwrap()))
    );
}

#[test]
fn what_the_file_counts_is_there_before_anybody_calls() {
    let budgets = budgets(ALL, None);
    budgets.forget_unused();
    let fixed = budgets.fixed().map(|purse| purse.whose.to_string());
    assert_eq!(fixed.count(), 3);
}
