//! Floors: who may import whom.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use syn::Item;

use crate::source::{Mention, Tree};

/// Some modules of the crate, in the order in which they are read.
pub(crate) struct Floor {
    pub(crate) name: &'static str,
    pub(crate) rooms: &'static [&'static str],
    /// May a room import those before it on the same floor?
    pub(crate) stairs: bool,
}

/// The house: a module imports only from lower floors, and where there are stairs also from what
/// stands before it on its own. So what a module needs has always been read before it.
pub(crate) const HOUSE: [Floor; 5] = [
    Floor {
        name: "words",
        rooms: &[
            "caps",
            "certificates",
            "cores",
            "domain",
            "keywords",
            "lanes",
            "money",
            "usage",
        ],
        stairs: false,
    },
    // stairs: a configuration is checked against the catalogue and speaks of its cards; a usage
    // object is read as the catalogue says that the endpoint counts, and a prompt is counted in the
    // pass that reads its messages
    Floor {
        name: "shapes and facts",
        rooms: &[
            "catalog", "quality", "tokens", "config", "learn", "wire", "verify",
        ],
        stairs: true,
    },
    // stairs: each stage takes what the ones before it made
    Floor {
        name: "stages",
        rooms: &[
            "authenticate",
            "admit",
            "understand",
            "route",
            "call",
            "settle",
            "store",
        ],
        stairs: true,
    },
    // stairs: the gateway walks through the state and answers with the errors; a reload replaces it
    Floor {
        name: "hallway",
        rooms: &[
            "error",
            "keyring",
            "learning",
            "state",
            "spending",
            "offer",
            "explaining",
            "gateway",
            "reload",
        ],
        stairs: true,
    },
    // stairs: commands start servers, servers open doors
    Floor {
        name: "door",
        rooms: &["telemetry", "simulate", "accept", "serve", "cli"],
        stairs: true,
    },
];

/// Imports nothing of the house: a simulator that shared the gateway's code could not show that
/// the code is wrong.
pub(crate) const ALONE: &str = "simulate";

/// The only room that the program itself knows.
pub(crate) const ENTRANCE: &str = "cli";

/// Imports that go up, or sideways where there are no stairs.
pub(crate) fn directions(tree: &Tree, house: &[Floor]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in tree.program() {
        let Some(own) = file.room() else { continue };
        for mention in file.mentions() {
            let Some(other) = mention.room().filter(|other| *other != own) else {
                continue;
            };
            if place(house, other).is_none() {
                // an item of src/lib.rs, or a module that `rooms` complains about
                continue;
            }
            if let Err(why) = allowed(house, own, other) {
                wrong.push(format!(
                    "{}:{}: `{own}` uses `{}`: {why}",
                    file.path,
                    mention.line,
                    mention.name()
                ));
            }
        }
    }
    wrong.dedup();
    wrong
}

fn allowed(house: &[Floor], own: &str, other: &str) -> Result<(), String> {
    if own == "main" {
        return (other == ENTRANCE)
            .then_some(())
            .ok_or_else(|| format!("the program only enters the house; do it in `{ENTRANCE}`"));
    }
    if own == ALONE {
        return Err(format!(
            "`{ALONE}` shares no code with what it tests; write it anew there"
        ));
    }
    let (Some(at), Some(to)) = (place(house, own), place(house, other)) else {
        return Ok(());
    };
    let (here, there) = (&house[at.0], &house[to.0]);
    if to.0 > at.0 {
        return Err(format!(
            "floor {} ({}) stands above floor {} ({}); move what both need down, or take it as \
             an argument",
            to.0, there.name, at.0, here.name
        ));
    }
    if to.0 == at.0 && !here.stairs {
        return Err(format!(
            "the modules of floor {} ({}) don't know each other; move one of the two up",
            at.0, here.name
        ));
    }
    if to.0 == at.0 && to.1 > at.1 {
        return Err(format!(
            "it comes later on floor {} ({}); move what both need before `{own}`, or take it as \
             an argument",
            at.0, here.name
        ));
    }
    Ok(())
}

fn place(house: &[Floor], room: &str) -> Option<(usize, usize)> {
    house.iter().enumerate().find_map(|(floor, it)| {
        let at = it.rooms.iter().position(|other| *other == room)?;
        Some((floor, at))
    })
}

/// Does `src/lib.rs` declare the rooms of the table, in its order, a blank line between floors?
pub(crate) fn rooms(tree: &Tree, house: &[Floor]) -> Vec<String> {
    let Some(root) = tree.files.iter().find(|file| file.path == "src/lib.rs") else {
        return vec!["src/lib.rs: is missing".to_owned()];
    };
    let declared: Vec<String> = root
        .syntax
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Mod(child) => Some(child.ident.to_string()),
            _ => None,
        })
        .collect();
    let planned: Vec<&str> = house
        .iter()
        .flat_map(|floor| floor.rooms)
        .copied()
        .collect();
    if declared == planned {
        return Vec::new();
    }
    vec![format!(
        "src/lib.rs: declares {declared:?}, and the table in tests/house/floors.rs says {planned:?}; \
         give a new module its place in both"
    )]
}

/// Cycles between top-level modules, each as a walk with the import behind every step.
pub(crate) fn cycles(tree: &Tree) -> Vec<String> {
    let mut edges: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    for file in tree.program() {
        let Some(own) = file.room() else { continue };
        for mention in file.mentions() {
            let Some(other) = mention.room().filter(|other| *other != own) else {
                continue;
            };
            let from = edges.entry(own).or_default();
            from.entry(other.to_owned())
                .or_insert_with(|| at(&file.path, &mention));
        }
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for start in edges.keys() {
        if seen.contains(*start) {
            continue;
        }
        let Some(walk) = shortest_round(start, &edges) else {
            continue;
        };
        let steps: Vec<String> = walk
            .windows(2)
            .map(|step| format!("{} -> {} ({})", step[0], step[1], edges[step[0]][step[1]]))
            .collect();
        found.push(format!(
            "cycle: {}; move what both sides need down, or take it as an argument",
            steps.join(", ")
        ));
        // one walk is enough for all that lead to each other
        let knot = reachable(start, &edges).into_iter();
        seen.extend(knot.filter(|other| reachable(other, &edges).contains(*start)));
    }
    found
}

/// Everything that a module leads to.
fn reachable<'a>(
    start: &str,
    edges: &'a BTreeMap<&'a str, BTreeMap<String, String>>,
) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(next) = open.pop() {
        for other in edges.get(next).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(other.as_str()) {
                open.push(other);
            }
        }
    }
    reached
}

fn at(path: &str, mention: &Mention) -> String {
    format!("{path}:{}", mention.line)
}

/// The shortest way from a module back to itself.
fn shortest_round<'a>(
    start: &'a str,
    edges: &'a BTreeMap<&'a str, BTreeMap<String, String>>,
) -> Option<Vec<&'a str>> {
    let mut queue = VecDeque::from([vec![start]]);
    let mut reached = BTreeSet::new();
    while let Some(walk) = queue.pop_front() {
        let next = walk.last().and_then(|last| edges.get(last));
        for other in next.into_iter().flat_map(BTreeMap::keys) {
            let walk: Vec<&str> = walk.iter().copied().chain([other.as_str()]).collect();
            if other == start {
                return Some(walk);
            }
            if reached.insert(other) {
                queue.push_back(walk);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    const SMALL: [Floor; 2] = [
        Floor {
            name: "low",
            rooms: &["a", "b"],
            stairs: false,
        },
        Floor {
            name: "high",
            rooms: &["c", "d"],
            stairs: true,
        },
    ];

    const ROOT: &str = "pub mod a; pub mod b; pub mod c; pub mod d;";

    fn with(path: &str, text: &str) -> Tree {
        let mut files = vec![
            ("src/lib.rs", ROOT),
            ("src/a.rs", ""),
            ("src/b.rs", ""),
            ("src/c.rs", ""),
            ("src/d.rs", ""),
        ];
        files.retain(|(other, _)| *other != path);
        files.push((path, text));
        tree(&files)
    }

    #[test]
    fn every_way_of_writing_an_import_upward_is_seen() {
        for text in [
            "use crate::c;",
            "use crate::c::X;",
            "use crate::{b2, c::{self, X as Y}};",
            "use super::c::X;",
            "pub(crate) use crate::c::X;",
            "fn f() { crate::c::g() }",
            "fn f(x: &dyn Fn(crate::c::X)) {}",
            "fn f() { let _ = vec![crate::c::X]; }",
            "#[derive(crate::c::X)] struct S;",
            "mod inner { use super::super::c::X; }",
            "use crate as house; fn f() { house::c::g() }",
        ] {
            let wrong = directions(&with("src/a.rs", text), &SMALL);
            let why = "floor 1 (high) stands above floor 0 (low)";
            assert!(
                !wrong.is_empty() && wrong.iter().all(|it| it.contains(why)),
                "{text}: {wrong:?}"
            );
        }
    }

    #[test]
    fn what_is_allowed_is_let_through() {
        for (path, text) in [
            ("src/c.rs", "use crate::a::X; use crate::b;"),
            ("src/d.rs", "use crate::{a, c::X};"),
            ("src/a.rs", "#[cfg(test)] mod tests { use crate::d::X; }"),
            ("src/a.rs", "#[cfg(test)] use crate::d::X;"),
            (
                "src/a.rs",
                "/// See [`crate::d`].\nuse self::x::c; mod x { pub fn c() {} }",
            ),
            ("src/a.rs", "fn c() {} fn f() { c(); d::<u8>(); }"),
        ] {
            assert_eq!(directions(&with(path, text), &SMALL), [""; 0], "{text}");
        }
    }

    #[test]
    fn sideways_needs_stairs_and_goes_back_only() {
        let wrong = directions(&with("src/b.rs", "use crate::a::X;"), &SMALL);
        assert!(wrong[0].contains("don't know each other"), "{wrong:?}");
        let wrong = directions(&with("src/c.rs", "use crate::d::X;"), &SMALL);
        assert!(wrong[0].contains("comes later on floor 1"), "{wrong:?}");
    }

    #[test]
    fn the_simulator_is_alone_and_the_program_only_enters() {
        let both = tree(&[
            ("src/lib.rs", "pub mod simulate; pub mod caps; pub mod cli;"),
            ("src/simulate.rs", "use crate::caps::Cap;"),
            ("src/caps.rs", ""),
            ("src/cli.rs", ""),
            (
                "src/main.rs",
                "fn main() { tollgate::caps::f(); tollgate::cli::main() }",
            ),
        ]);
        let wrong = directions(&both, &HOUSE);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(
            wrong[0].starts_with("src/main.rs:1: `main` uses `crate::caps::f`"),
            "{wrong:?}"
        );
        assert!(wrong[1].contains("shares no code"), "{wrong:?}");
    }

    #[test]
    fn a_module_without_a_place_is_named() {
        assert_eq!(rooms(&with("src/a.rs", ""), &SMALL), [""; 0]);
        let other = tree(&[("src/lib.rs", "pub mod b; pub mod a;")]);
        assert!(rooms(&other, &SMALL)[0].contains("give a new module its place"));
    }

    #[test]
    fn a_cycle_is_printed_with_the_import_behind_every_step() {
        let round = tree(&[
            ("src/lib.rs", ROOT),
            ("src/a.rs", "mod x;"),
            ("src/a/x.rs", "\nuse crate::b::X;"),
            ("src/b.rs", "use super::d;"),
            ("src/c.rs", "use crate::a;"),
            ("src/d.rs", "fn f() { crate::c::g(); crate::a::h() }"),
        ]);
        let found = cycles(&round);
        assert_eq!(found.len(), 1, "{found:?}");
        let steps = "a -> b (src/a/x.rs:2), b -> d (src/b.rs:1), d -> a (src/d.rs:1)";
        assert!(found[0].contains(steps), "{found:?}");
        assert_eq!(
            cycles(&with("src/d.rs", "use crate::a; use crate::c;")),
            [""; 0]
        );
    }
}
