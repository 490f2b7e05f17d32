//! The document on money: every rule in it names the test that holds it.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{document, none, root};

const DOCUMENT: &str = "docs/money.md";

/// Names of all functions in the Rust files of a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let names = text.split("fn ").skip(1);
            found.extend(names.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
        }
    }
}

/// What is named in the last column of the table whose heading ends so.
fn named(text: &str) -> Vec<String> {
    let rows = text.lines().skip_while(|line| !line.ends_with("| test |"));
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_end_matches('|').rsplit('|').next().unwrap())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_rule_of_the_money_document_names_tests_that_exist() {
    let text = document(DOCUMENT);
    let named = named(&text);
    assert!(named.len() > 30, "the table is not found any more");
    let mut known = BTreeSet::new();
    for folder in ["src", "tests"] {
        functions(&root().join(folder), &mut known);
    }
    let missing = named.iter().filter(|name| !known.contains(*name));
    let missing: Vec<String> = missing
        .map(|name| {
            format!("{DOCUMENT}: there is no test `{name}`; name the one that holds the rule")
        })
        .collect();
    none(&missing);
}
