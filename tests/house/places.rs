//! Places: which library, clock, source of randomness and way out of the process is used where.

use crate::source::{Kind, Source, Tree};

/// Paths that may stand in some places only. A place is a file, or a folder that ends in `/` and
/// means the file of that name too (`src/accept/` is also `src/accept.rs`).
pub(crate) struct Ban {
    /// What it is called in messages.
    pub(crate) what: &'static str,
    pub(crate) paths: &'static [&'static str],
    pub(crate) places: &'static [&'static str],
    pub(crate) instead: &'static str,
}

pub(crate) const BANS: [Ban; 18] = [
    Ban {
        what: "axum",
        paths: &["axum", "tower_http"],
        places: &["src/accept/", "src/simulate/"],
        instead: "speak in the types of `http`; only the door knows the web framework",
    },
    Ban {
        what: "hyper",
        paths: &["hyper", "hyper_util", "hyper_rustls"],
        places: &[
            "src/call/client/",
            "src/call/attempt.rs",
            "src/call/large.rs",
            "src/call/relay.rs",
            "src/accept/server/",
            "src/simulate/",
            "src/cli/zero/probe.rs",
        ],
        instead: "send through `call::client`, and speak in the types of `http` and `http_body`",
    },
    Ban {
        what: "TLS",
        paths: &["rustls", "tokio_rustls", "webpki_roots"],
        places: &["src/certificates.rs", "src/accept/server/"],
        instead: "make an `Identity` or `Authorities` of PEM with `certificates`",
    },
    Ban {
        what: "prometheus",
        paths: &["prometheus"],
        places: &["src/settle/metrics/", "src/serve.rs"],
        instead: "add a family to `Metrics` and count it through that",
    },
    Ban {
        what: "the command line",
        paths: &["clap"],
        places: &["src/cli/", "src/telemetry.rs"],
        instead: "take it as an argument, or from the configuration",
    },
    Ban {
        what: "many bytes at once",
        paths: &["wide"],
        places: &["src/lanes.rs"],
        instead: "compare bytes with `lanes`",
    },
    Ban {
        what: "the log's format",
        paths: &["tracing_subscriber"],
        places: &["src/telemetry/"],
        instead: "write events with `tracing`",
    },
    Ban {
        what: "YAML",
        paths: &["saphyr_parser"],
        places: &["src/config/yaml/"],
        instead: "read the tree of `config::yaml`",
    },
    Ban {
        what: "TOML",
        paths: &["toml"],
        places: &["src/catalog/"],
        instead: "the configuration is YAML, and only the catalogue is TOML",
    },
    Ban {
        what: "the database",
        paths: &["rusqlite"],
        places: &["src/store/"],
        instead: "hand a row to the `Sink` of `settle::ledger`, or ask `store::spend`",
    },
    Ban {
        what: "a map that is shared between threads",
        paths: &["dashmap"],
        places: &[
            "src/authenticate.rs",
            "src/admit/holders.rs",
            "src/learn/outcomes.rs",
            "src/simulate/",
        ],
        instead: "prefer a snapshot that is replaced as a whole (`state::World`), or atomics",
    },
    Ban {
        what: "a rate limiter",
        paths: &["governor"],
        places: &["src/admit/rate.rs", "src/accept/admin/"],
        instead: "limits of requests belong to `admit::rate`",
    },
    Ban {
        what: "what tells of changed files",
        paths: &["notify"],
        places: &["src/reload/"],
        instead: "look at the world of the moment (`App::world`), which is always the latest",
    },
    Ban {
        what: "a clock",
        paths: CLOCKS,
        places: &[
            "src/admit/rate.rs",
            "src/config/load.rs",
            "src/call/",
            "src/settle/",
            "src/store/",
            "src/keyring/",
            "src/learning.rs",
            "src/state/",
            "src/spending.rs",
            "src/gateway/",
            "src/reload/",
            "src/accept/",
            "src/serve.rs",
            "src/telemetry/",
            "src/simulate/",
            "src/cli/",
        ],
        instead: "take the moment as an argument",
    },
    Ban {
        what: "randomness",
        paths: RANDOMNESS,
        places: &[
            "src/call.rs",
            "src/state.rs",
            "src/serve.rs",
            "src/store/keys/secret.rs",
            "src/cli/keys.rs",
        ],
        instead: "take what was drawn as an argument",
    },
    Ban {
        what: "a file, a socket or the environment",
        paths: OUTSIDE,
        places: &[
            "src/config/load.rs",
            "src/store/",
            "src/accept/server/",
            "src/call/client/proxy.rs",
            "src/serve.rs",
            "src/simulate/",
            "src/cli/",
        ],
        instead: "take what was read as an argument",
    },
    Ban {
        what: "the terminal",
        paths: &[
            "println!",
            "print!",
            "eprintln!",
            "eprint!",
            "dbg!",
            "std::io::stdout",
            "std::io::stderr",
            "std::io::stdin",
        ],
        places: &["src/cli/", "src/telemetry.rs"],
        instead: "write to the given writer, or log with `tracing`",
    },
    Ban {
        what: "an error that anything fits into",
        paths: &["anyhow", "eyre"],
        places: &[],
        instead: "add a variant to the error of the stage",
    },
];

const CLOCKS: &[&str] = &[
    "tokio::time",
    "std::time::Instant",
    "std::time::SystemTime",
    "jiff::Timestamp::now",
    "jiff::Zoned::now",
    "governor::clock",
];

const RANDOMNESS: &[&str] = &["getrandom", "rand", "fastrand", "std::hash::RandomState"];

const OUTSIDE: &[&str] = &[
    "std::fs",
    "std::process::Command",
    "std::process::exit",
    "std::env",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::net::ToSocketAddrs",
    "tokio::fs",
    "tokio::net",
    "tokio::process",
    "tokio::signal",
];

/// What only computes: the same arguments give the same result, at once, and nothing else happens.
/// (What is shared and learned is kept in atomics; it is given in as an argument too.)
pub(crate) const PURE: [&str; 26] = [
    "src/caps.rs",
    "src/certificates.rs",
    "src/domain.rs",
    "src/keywords.rs",
    "src/lanes.rs",
    "src/money.rs",
    "src/usage.rs",
    "src/catalog/",
    "src/config/",
    "src/learn/",
    "src/quality/",
    "src/tokens.rs",
    "src/verify/",
    "src/wire/",
    "src/authenticate.rs",
    "src/admit/",
    "src/understand/",
    "src/route/",
    "src/call/failure.rs",
    "src/call/judge.rs",
    "src/call/relay/edit.rs",
    "src/settle/figures.rs",
    "src/store/record.rs",
    "src/store/report.rs",
    "src/store/share.rs",
    "src/error.rs",
];

/// Files of pure folders that are not: one reads files and the environment, in the other a library
/// reads its own clock.
pub(crate) const NOT_PURE: [&str; 2] = ["src/config/load.rs", "src/admit/rate.rs"];

const IMPURE: [(&str, &[&str]); 5] = [
    ("waits", &["async", "tokio", "futures"]),
    ("reads a clock", CLOCKS),
    ("draws randomness", RANDOMNESS),
    ("reaches out of the process", OUTSIDE),
    ("logs", &["tracing"]),
];

/// Paths outside of their places.
pub(crate) fn bans(tree: &Tree, bans: &[Ban]) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in tree.program() {
        for mention in file.mentions() {
            for ban in bans {
                let banned = ban.paths.iter().any(|path| mention.is_in(path));
                if banned && !ban.places.iter().any(|place| is_at(file, place)) {
                    wrong.push(format!(
                        "{}:{}: `{}` ({}) may stand only in {:?}: {}",
                        file.path,
                        mention.line,
                        mention.name(),
                        ban.what,
                        ban.places,
                        ban.instead
                    ));
                }
            }
        }
    }
    wrong
}

/// Waiting, clocks, randomness, I/O and logs in what only computes.
pub(crate) fn purity(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in tree.program() {
        let pure = PURE.iter().any(|place| is_at(file, place));
        if !pure || NOT_PURE.contains(&file.path.as_str()) {
            continue;
        }
        for mention in file.mentions() {
            for (does, paths) in IMPURE {
                if paths.iter().any(|path| mention.is_in(path)) {
                    wrong.push(format!(
                        "{}:{}: {does} (`{}`), and this file only computes: take it as an \
                         argument, or move that part out",
                        file.path,
                        mention.line,
                        mention.written.join("::")
                    ));
                }
            }
        }
    }
    wrong
}

/// Places that no file has any more.
pub(crate) fn stale(tree: &Tree) -> Vec<String> {
    let places = BANS
        .iter()
        .flat_map(|ban| ban.places)
        .chain(&PURE)
        .chain(&NOT_PURE);
    places
        .filter(|place| !tree.files.iter().any(|file| is_at(file, place)))
        .map(|place| format!("tests/house/places.rs: there is no `{place}` any more; take it out"))
        .collect()
}

/// Imports that hide where a name comes from.
pub(crate) fn imports(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for file in &tree.files {
        for mention in file.all_mentions() {
            let at = format!("{}:{}", file.path, mention.line);
            let written = mention.written.join("::");
            if mention
                .written
                .starts_with(&["super".into(), "super".into()])
            {
                let full = mention.name();
                wrong.push(format!("{at}: `{written}`: write `{full}`"));
            }
            if mention.kind == Kind::Glob && !mention.in_test {
                wrong.push(format!("{at}: `use {written}::*`: name what is used"));
            }
            let other = mention.room().filter(|room| Some(*room) != file.room());
            if let (Kind::PublicUse, Some(other)) = (mention.kind, other) {
                wrong.push(format!(
                    "{at}: `pub use {written}`: whoever needs it imports it from `{other}`, \
                     where it stands"
                ));
            }
        }
    }
    wrong
}

fn is_at(file: &Source, place: &str) -> bool {
    match place.strip_suffix('/') {
        Some(folder) => {
            let inside = file.path.strip_prefix(folder);
            inside.is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
        }
        None => file.path == place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    /// A tree with that text at `path`, which is one or two folders deep.
    fn with(path: &str, text: &str) -> Tree {
        let parts: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
        let root = format!("pub mod {};", parts[1]);
        let mut files = vec![
            ("src/lib.rs".to_owned(), root),
            (path.to_owned(), text.to_owned()),
        ];
        for depth in 2..parts.len() {
            let parent = format!("{}.rs", parts[..depth].join("/"));
            files.push((parent, format!("mod {};", parts[depth])));
        }
        let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (&**p, &**t)).collect();
        tree(&files)
    }

    /// A text, a place where it may not stand, and one where it may.
    const BANNED: [(&str, &str, &str); 21] = [
        (
            "use axum::Router;",
            "src/gateway.rs",
            "src/accept/router.rs",
        ),
        (
            "fn f(x: axum::body::Body) {}",
            "src/serve.rs",
            "src/accept.rs",
        ),
        (
            "use tower_http::cors::CorsLayer;",
            "src/gateway.rs",
            "src/accept/router.rs",
        ),
        (
            "use hyper::body::Incoming;",
            "src/call/upstream.rs",
            "src/call/relay.rs",
        ),
        (
            "use hyper_util::rt::TokioIo;",
            "src/call.rs",
            "src/call/client.rs",
        ),
        (
            "use prometheus::IntCounter;",
            "src/settle.rs",
            "src/settle/metrics.rs",
        ),
        (
            "#[derive(clap::Args)] struct A;",
            "src/config.rs",
            "src/cli/run.rs",
        ),
        (
            "use tracing_subscriber::fmt;",
            "src/serve.rs",
            "src/telemetry.rs",
        ),
        (
            "use saphyr_parser::Event;",
            "src/config/raw.rs",
            "src/config/yaml.rs",
        ),
        (
            "use toml::Table;",
            "src/config/raw.rs",
            "src/catalog/file.rs",
        ),
        (
            "use dashmap::DashMap;",
            "src/route.rs",
            "src/authenticate.rs",
        ),
        (
            "use governor::Quota;",
            "src/route.rs",
            "src/accept/admin.rs",
        ),
        (
            "use tokio::time::sleep;",
            "src/explaining.rs",
            "src/call/relay/timer.rs",
        ),
        (
            "use jiff::Timestamp; fn f() -> Timestamp { Timestamp::now() }",
            "src/route.rs",
            "src/settle.rs",
        ),
        (
            "fn f(t: T) -> D { t.elapsed() }",
            "src/offer.rs",
            "src/settle.rs",
        ),
        (
            "use std::time; fn f() { g(time::Instant::now) }",
            "src/offer.rs",
            "src/gateway.rs",
        ),
        (
            "fn f() { getrandom::u32(); }",
            "src/route.rs",
            "src/state.rs",
        ),
        (
            "use std::fs::File;",
            "src/config/raw.rs",
            "src/config/load.rs",
        ),
        ("use std::{env, io};", "src/telemetry.rs", "src/cli.rs"),
        ("fn f() { println!(\"x\"); }", "src/serve.rs", "src/cli.rs"),
        (
            "use std::io; fn f() { io::stdout(); }",
            "src/serve.rs",
            "src/cli.rs",
        ),
    ];

    #[test]
    fn every_ban_holds_outside_of_its_places_and_not_inside() {
        for (text, outside, inside) in BANNED {
            let wrong = bans(&with(outside, text), &BANS);
            assert_eq!(wrong.len(), 1, "{text} in {outside}: {wrong:?}");
            assert!(wrong[0].starts_with(&format!("{outside}:1: ")), "{wrong:?}");
            assert_eq!(
                bans(&with(inside, text), &BANS),
                [""; 0],
                "{text} in {inside}"
            );
        }
    }

    #[test]
    fn a_moment_as_an_argument_is_no_clock() {
        let text = "use jiff::Timestamp; use std::{net::SocketAddr, time::Duration}; \
                    fn f(at: Timestamp, d: Duration) { at.elapsed; d.x.await_; }";
        assert_eq!(bans(&with("src/route.rs", text), &BANS), [""; 0]);
    }

    #[test]
    fn a_clock_in_a_macro_is_seen() {
        let text = "use jiff::Timestamp; fn f() { m!(a => { g(Timestamp::now()) }); }";
        assert_eq!(bans(&with("src/route.rs", text), &BANS).len(), 1);
        let text = "fn f() { assert!(0 < x.y.elapsed().as_secs()); }";
        assert_eq!(bans(&with("src/route.rs", text), &BANS).len(), 1);
    }

    #[test]
    fn what_only_computes_does_nothing_else() {
        for text in [
            "async fn f() {}",
            "fn f() { async { 1 }; }",
            "fn f() { m!(x.await) }",
            "use tokio::sync::Mutex;",
            "fn f() { tracing::info!(\"x\"); }",
            "use tracing::warn;",
            "fn f() { std::time::SystemTime::now(); }",
            "fn f() { getrandom::u64(); }",
            "fn f() { std::fs::read(\"x\"); }",
            "fn f() { std::env::var(\"x\"); }",
        ] {
            let wrong = purity(&with("src/call/judge.rs", text));
            assert_eq!(wrong.len(), 1, "{text}: {wrong:?}");
            assert_eq!(
                purity(&with("src/call/upstream.rs", text)),
                [""; 0],
                "{text}"
            );
            let test = format!("#[cfg(test)] mod tests {{ {text} }}");
            assert_eq!(purity(&with("src/call/judge.rs", &test)), [""; 0], "{text}");
        }
    }

    #[test]
    fn imports_say_where_a_name_comes_from() {
        for (text, word) in [
            ("use super::super::a::X;", "write `crate::a::X`"),
            ("fn f() { super::super::a::g() }", "write `crate::a::g`"),
            (
                "#[cfg(test)] mod t { use super::super::super::a::X; }",
                "write `crate::a::X`",
            ),
            ("use super::*;", "name what is used"),
            ("use std::io::prelude::*;", "name what is used"),
            ("pub use crate::a::X;", "from `a`, where it stands"),
            (
                "pub(crate) use super::super::a::{X};",
                "from `a`, where it stands",
            ),
        ] {
            let wrong = imports(&with("src/b/c.rs", text)).join("\n");
            assert!(wrong.contains(word), "{text}: {wrong}");
        }
        for text in [
            "#[cfg(test)] mod tests { use super::*; use proptest::prelude::*; }",
            "pub use self::d::X; mod d {}",
            "pub use super::d::X;",
            "use crate::a::X;",
        ] {
            assert_eq!(imports(&with("src/b/c.rs", text)), [""; 0], "{text}");
        }
    }
}
