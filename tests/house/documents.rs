//! The documents against the code: every file, function and type that they name must exist, and
//! their tables must say what the code does.

use std::{collections::BTreeSet, path::Path};

use syn::{
    LitStr,
    visit::{self, Visit},
};

use crate::{
    document, none, root,
    source::{Source, Tree, definitions},
};

/// Documents that name parts of the code.
const DOCUMENTS: [&str; 10] = [
    "README.md",
    "ARCHITECTURE.md",
    "docs/api.md",
    "docs/console.md",
    "docs/errors.md",
    "docs/ledger.md",
    "docs/metrics.md",
    "docs/money.md",
    "docs/operation.md",
    "docs/simulator.md",
];

/// Documents whose links are followed.
const LINKED: [&str; 11] = [
    "ARCHITECTURE.md",
    "docs/api.md",
    "docs/console.md",
    "docs/deploy.md",
    "docs/errors.md",
    "docs/ledger.md",
    "docs/metrics.md",
    "docs/money.md",
    "docs/operation.md",
    "docs/runbook.md",
    "docs/simulator.md",
];

/// Files that users have and the repository does not.
const OF_USERS: [&str; 1] = ["tollgate.yaml"];

/// Endings by which a word in backticks is known for a file.
const FILES: [&str; 8] = [".rs", ".md", ".toml", ".yaml", ".json", ".csv", ".py", "/"];

/// Names of other crates and of HTTP that documents may use in backticks.
const FOREIGN: [&str; 17] = [
    "Arc",
    "ArcSwap",
    "Body",
    "Box",
    "Bytes",
    "Drop",
    "Err",
    "HeaderMap",
    "Host",
    "Notify",
    "Ok",
    "Option",
    "Origin",
    "Result",
    "Router",
    "Some",
    "None",
];

/// One row of a table that a test knows: the first cell, and those after the second, which is free
/// text for people.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) cells: Vec<String>,
}

impl Row {
    pub(crate) fn new(name: String, cells: Vec<String>) -> Self {
        Self { name, cells }
    }
}

/// The cells of every row of the tables in a document.
pub(crate) fn table_rows(text: &str) -> Vec<Vec<String>> {
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix('|'));
    lines
        .map(|line| {
            let line = line.strip_suffix('|').unwrap_or(line);
            line.split('|').map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

/// Where a document's tables differ from the rows that the code makes; `known` says which first
/// cells are such rows.
pub(crate) fn compare(
    path: &str,
    text: &str,
    rows: &[Row],
    known: impl Fn(&str) -> bool,
) -> Vec<String> {
    let written = table_rows(text);
    let mut wrong = Vec::new();
    for row in rows {
        let found: Vec<_> = written
            .iter()
            .filter(|cells| cells[0] == row.name)
            .collect();
        let right = found.len() == 1 && found[0].get(2..) == Some(&row.cells[..]);
        if !right {
            let (name, cells) = (&row.name, row.cells.join(" | "));
            wrong.push(format!("{path}: must have once: | {name} | … | {cells} |"));
        }
    }
    for cells in &written {
        let name = &cells[0];
        if known(name) && !rows.iter().any(|row| row.name == *name) {
            wrong.push(format!(
                "{path}: {name} does not exist any more; take it out"
            ));
        }
    }
    wrong
}

/// Words in backticks, outside of code blocks.
fn in_backticks(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            words.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    words
}

/// Names in a document that nothing has.
fn unknown_names(path: &str, text: &str, tree: &Tree, root: &Path) -> Vec<String> {
    let (functions, types) = definitions(tree);
    let mut wrong = Vec::new();
    for word in in_backticks(text) {
        let missing = if let Some(function) = word.strip_suffix("()") {
            let parts: Vec<String> = function.split("::").map(str::to_owned).collect();
            !functions.iter().any(|known| known.ends_with(&parts))
        } else if is_file(&word) && !OF_USERS.contains(&word.as_str()) {
            let word = word.trim_end_matches('/');
            !root.join(word).exists() && !root.join("src").join(word).exists()
        } else if is_type(&word) {
            !types.contains(&word) && !FOREIGN.contains(&word.as_str())
        } else {
            false
        };
        if missing {
            wrong.push(format!("{path}: there is no `{word}`; name what there is"));
        }
    }
    wrong
}

/// Links to files of the repository, or to headings of the same document, that lead nowhere.
fn dead_links(path: &str, text: &str, root: &Path) -> Vec<String> {
    let folder = root
        .join(path)
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default();
    let headings: BTreeSet<String> = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .to_lowercase()
                .replace(' ', "-")
        })
        .collect();
    let links = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    links
        .filter(|link| !link.contains("://"))
        .filter(|link| match link.split_once('#') {
            Some(("", heading)) => !headings.contains(heading),
            Some((file, _)) => !folder.join(file).exists(),
            None => !folder.join(link).exists(),
        })
        .map(|link| format!("{path}: `{link}` leads nowhere; link to what there is"))
        .collect()
}

fn is_file(word: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || "./_-".contains(c);
    let relative = !word.starts_with('/') && !word.starts_with('.');
    relative && word.chars().all(name) && FILES.iter().any(|end| word.ends_with(end))
}

/// `World` or `Class::Busy`.
fn is_type(word: &str) -> bool {
    word.split("::").all(|part| {
        part.starts_with(|c: char| c.is_ascii_uppercase())
            && part.chars().all(|c| c.is_ascii_alphanumeric())
            && part.chars().any(|c| c.is_ascii_lowercase())
    })
}

/// Texts in quotes in one file, outside of test code.
fn literals(file: &Source) -> Vec<String> {
    struct Literals(Vec<String>);
    impl<'a> Visit<'a> for Literals {
        fn visit_lit_str(&mut self, literal: &'a LitStr) {
            self.0.push(literal.value());
        }

        fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
            if item.ident != "tests" {
                visit::visit_item_mod(self, item);
            }
        }
    }
    let mut found = Literals(Vec::new());
    found.visit_file(&file.syntax);
    found.0
}

#[test]
fn documents_name_only_what_exists() {
    let tree = Tree::of_folder(root());
    let wrong: Vec<String> = DOCUMENTS
        .iter()
        .flat_map(|path| unknown_names(path, &document(path), &tree, root()))
        .collect();
    none(&wrong);
    let dead: Vec<String> = LINKED
        .iter()
        .flat_map(|path| dead_links(path, &document(path), root()))
        .collect();
    none(&dead);
}

#[test]
fn the_tour_shows_every_module() {
    let tour = document("ARCHITECTURE.md");
    let missing: Vec<String> = crate::floors::HOUSE
        .iter()
        .flat_map(|floor| floor.rooms)
        .filter(|room| !tour.contains(&format!("`{room}`")))
        .map(|room| format!("ARCHITECTURE.md: does not name `{room}`"))
        .collect();
    none(&missing);
}

#[test]
fn the_api_document_has_every_header_and_path_of_the_code_and_no_other() {
    let tree = Tree::of_folder(root());
    let text = document("docs/api.md");
    let is_header = |text: &str| {
        text.starts_with("x-tollgate-")
            && text.len() > "x-tollgate-".len()
            && text.chars().all(|c| c.is_ascii_lowercase() || c == '-')
    };
    let gateway = |file: &&Source| {
        !file.path.starts_with("src/simulate") && !file.path.starts_with("src/cli")
    };
    let headers = tree.program().filter(gateway).flat_map(literals);
    let in_code: BTreeSet<String> = headers.filter(|text| is_header(text)).collect();
    let words = in_backticks(&text);
    let written: BTreeSet<String> = words.iter().filter(|it| is_header(it)).cloned().collect();
    assert_eq!(written, in_code, "headers of docs/api.md, and of the code");
    let is_path =
        |text: &str| text.starts_with('/') && text.len() > 1 && !text.contains(char::is_whitespace);
    let is_written = |path: &str| {
        let path = path.replace("{*", "{");
        words.iter().any(|word| word.ends_with(&path))
    };
    let doors = tree
        .program()
        .filter(|file| file.path.starts_with("src/accept/"));
    let paths = doors.flat_map(literals).filter(|text| is_path(text));
    let missing: Vec<String> = paths.filter(|path| !is_written(path)).collect();
    assert_eq!(missing, [""; 0], "paths that docs/api.md lacks");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn names_of_nothing_are_found_and_names_of_something_are_not() {
        let small = tree(&[
            ("src/lib.rs", "pub mod a;"),
            (
                "src/a.rs",
                "pub fn f() {} pub struct S; impl S { fn g(&self) {} } enum E { V }",
            ),
        ]);
        let check = |text: &str| unknown_names("x.md", text, &small, root());
        for text in [
            "`no.rs`",
            "`src/no/`",
            "`h()`",
            "`b::f()`",
            "`S::f()`",
            "`T`oo `Tower`",
        ] {
            assert_eq!(check(text).len(), 1, "{text}");
        }
        for text in [
            "`src/lib.rs` `lib.rs` `call/`",
            "`f()` `a::f()` `crate::a::f()` `g()` `S::g()`",
            "`S` `E` `V` `E::V` `Arc` `/v1/models` `GET` `x-a` `a b.rs c`",
            "```\n`no.rs`\n```",
        ] {
            assert_eq!(check(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let check = |text: &str| dead_links("docs/x.md", text, root());
        let good = "# A b\n[x](../README.md) [x](api.md#y) [x](https://a.b/c) [x](#a-b)";
        assert_eq!(check(good), [""; 0]);
        for text in ["[x](no.md)", "[x](no.md#y)", "[x](#no)", "[x](README.md)"] {
            assert_eq!(check(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_table_that_differs_is_told_what_it_must_say() {
        let rows = [Row::new("`A`".into(), vec!["1".into(), "2".into()])];
        let check = |text: &str| compare("x.md", text, &rows, |name| name.starts_with("`B"));
        assert_eq!(check("| `A` | words | 1 | 2 |"), [""; 0]);
        let must = "x.md: must have once: | `A` | … | 1 | 2 |";
        for text in ["", "| `A` | words | 1 | 3 |", "| `A` | words | 1 |"] {
            assert_eq!(check(text), [must], "{text}");
        }
        let twice = "| `A` | words | 1 | 2 |\n".repeat(2);
        assert_eq!(check(&twice), [must]);
        let more = "| `A` | words | 1 | 2 |\n| `B` | words |";
        assert_eq!(
            check(more),
            ["x.md: `B` does not exist any more; take it out"]
        );
    }
}
