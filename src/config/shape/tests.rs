use serde_json::json;

use super::*;
use crate::config::{schema, vars, yaml};

/// `path: message (hint)` of every mistake.
fn messages(text: &str) -> Vec<String> {
    let mut root = yaml::parse(text).unwrap();
    assert_eq!(
        vars::replace(&mut root, &|_: &str| Some("7".to_owned())),
        []
    );
    let show = |m: &Mistake| {
        format!(
            "{}: {} ({})",
            m.path,
            m.message,
            m.hint.as_deref().unwrap_or("-")
        )
    };
    check(&mut root, schema::value()).iter().map(show).collect()
}

#[test]
fn a_union_is_explained_by_the_branch_that_was_meant() {
    let model = |price: &str| {
        format!("models: [{{ name: m, backends: [{{ provider: p, model: x, price: {price} }}] }}]")
    };
    let at = "models[0].backends[0].price";
    for (price, want) in [
        (
            "fre",
            vec![format!(
                "{at}: expected `free` or a mapping, found text (did you mean `free`?)"
            )],
        ),
        (
            "0",
            vec![format!(
                "{at}: expected `free` or a mapping, found a number (-)"
            )],
        ),
        (
            "[]",
            vec![format!(
                "{at}: expected `free` or a mapping, found a list (-)"
            )],
        ),
        (
            "{ input: 0.10, output: \"0.2\" }",
            vec![format!(
                "{at}.input: expected a price in quotes such as \"0.10\", found a decimal number (write it \
                 in quotes: \"0.10\")"
            )],
        ),
        (
            "{ outptu: \"1\" }",
            vec![format!("{at}.outptu: unknown key (did you mean `output`?)")],
        ),
        ("free", vec![]),
    ] {
        assert_eq!(messages(&model(price)), want, "{price}");
    }
}

#[test]
fn a_variable_becomes_a_number_only_where_no_text_may_stand() {
    assert_eq!(messages("retries:\n  attempts: ${N}\n"), [""; 0]);
    assert_eq!(messages("retries: { attempts: \"${N}\" }"), [""; 0]);
    assert_eq!(messages("admin:\n  key: ${N}\n"), [""; 0]);
    assert_eq!(
        messages("retries: { attempts: \"3\" }"),
        ["retries.attempts: expected a whole number, found text (write it without quotes)"]
    );
}

#[test]
fn limits_of_numbers_are_named() {
    assert_eq!(
        messages("retries: { attempts: 11 }"),
        ["retries.attempts: must be from 1 to 10 (-)"]
    );
    assert_eq!(
        messages("retries: { budget: -0.1 }"),
        ["retries.budget: must be from 0 to 1 (-)"]
    );
    assert_eq!(
        messages("retries: { budget: .nan }"),
        ["retries.budget: must be from 0 to 1 (-)"]
    );
    let hosted = "providers: { p: { self_hosted: { gpu_hour: '1', gpus: 4294967296, prefill_tps: 1, decode_tps: 0 } } }";
    assert_eq!(
        messages(hosted),
        [
            "providers.p.self_hosted.gpus: must be from 1 to 4294967295 (-)",
            "providers.p.self_hosted.decode_tps: must be at least 1 (-)",
        ]
    );
}

#[test]
fn the_tree_becomes_json_with_the_types_of_the_core_schema() {
    let root = yaml::parse("a: [1, 0.5, true, ~, '1', x]\nb: { c: 0x10 }").unwrap();
    let want = json!({ "a": [1, 0.5, true, null, "1", "x"], "b": { "c": 16 } });
    assert_eq!(to_json(&root), want);
}
