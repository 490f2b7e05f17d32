//! Holds the house together: who imports whom, what is used where, how large files are, and
//! whether the documents are true.
//!
//! Every rule is a function from sources to messages, proven on small sources beside it, and here
//! laid against the repository. A message says where, what, and how to mend it.

#[cfg(test)]
#[path = "house/documents.rs"]
mod documents;
#[cfg(test)]
#[path = "house/errors.rs"]
mod errors;
#[cfg(test)]
#[path = "house/floors.rs"]
mod floors;
#[cfg(test)]
#[path = "house/image.rs"]
mod image;
#[cfg(test)]
#[path = "house/metrics.rs"]
mod metrics;
#[cfg(test)]
#[path = "house/money.rs"]
mod money;
#[cfg(test)]
#[path = "house/places.rs"]
mod places;
#[cfg(test)]
#[path = "house/source.rs"]
mod source;
#[cfg(test)]
#[path = "house/tidy.rs"]
mod tidy;

#[cfg(test)]
use std::path::Path;

#[cfg(test)]
use source::Tree;

/// The root of the repository.
#[cfg(test)]
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A document of the repository.
#[cfg(test)]
fn document(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A tree of a few files, for the proofs of the rules.
#[cfg(test)]
fn tree(files: &[(&str, &str)]) -> Tree {
    let owned = files
        .iter()
        .map(|(path, text)| ((*path).into(), (*text).into()));
    Tree::of(owned.collect())
}

/// Fails with all the messages, one a line.
#[cfg(test)]
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[cfg(test)]
mod house {
    use super::*;

    #[test]
    fn modules_import_only_what_is_read_before_them() {
        let tree = Tree::of_folder(root());
        none(&floors::directions(&tree, &floors::HOUSE));
    }

    #[test]
    fn modules_are_declared_in_the_order_of_the_floors() {
        let tree = Tree::of_folder(root());
        none(&floors::rooms(&tree, &floors::HOUSE));
    }

    #[test]
    fn modules_form_no_cycle() {
        none(&floors::cycles(&Tree::of_folder(root())));
    }

    #[test]
    fn libraries_clocks_and_io_stay_in_their_places() {
        let tree = Tree::of_folder(root());
        none(&places::bans(&tree, &places::BANS));
        none(&places::stale(&tree));
    }

    #[test]
    fn what_only_computes_does_nothing_else() {
        none(&places::purity(&Tree::of_folder(root())));
    }

    #[test]
    fn imports_say_where_a_name_comes_from() {
        none(&places::imports(&Tree::of_folder(root())));
    }

    #[test]
    fn files_are_short_documented_and_declared() {
        none(&tidy::files(&Tree::of_folder(root())));
        let tests = tidy::repository(&root().join("tests"));
        let code = tests.iter().filter(|(path, _)| {
            let code = [".rs", ".py", ".sh", ".mjs"];
            code.iter().any(|extension| path.ends_with(extension))
        });
        let wrong: Vec<String> = code
            .flat_map(|(path, text)| tidy::file_of_code(&format!("tests/{path}"), text))
            .collect();
        none(&wrong);
    }

    #[test]
    fn the_image_has_a_stand_in_for_every_program() {
        let (manifest, dockerfile) = (document("Cargo.toml"), document("Dockerfile"));
        none(&image::without_stand_in(&manifest, &dockerfile));
    }

    #[test]
    fn nothing_betrays_a_machine_or_a_maker() {
        let repository = tidy::repository(root());
        let wrong: Vec<String> = repository
            .iter()
            .flat_map(|(path, text)| tidy::betrayals(path, text))
            .collect();
        none(&wrong);
    }
}
