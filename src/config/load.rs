//! From a file to a checked configuration: the only part of `config` that does I/O.
//!
//! It reads the file and the secret files that it names, then goes through the stages: YAML,
//! variables, shape, meaning. Each stage lists all of its mistakes; the next one runs only if
//! there are none.

use std::{
    fs::{self, File},
    io::{self, Read},
    net::SocketAddr,
    path::{Path as FilePath, PathBuf},
};

use jiff::Timestamp;
use serde::Deserialize;

mod defaults;
mod seen;

use crate::catalog;

pub use self::seen::{Reading, Seen, watched};
pub use super::vars::Environment;
use super::{
    check::{self, Catalog, Checked},
    mistake::{Mark, Mistake, Mistakes, Path},
    raw::{Address, Raw},
    schema, shape, vars,
    yaml::{self, Node, Value},
};

/// The largest configuration file: 10,000 keys take about 2 MB.
const MAX_FILE: u64 = 16 << 20;
/// The largest file that a value names: bundles of authorities have some 200 KiB, scores of all
/// models that are tested in public a little more than 1 MiB.
const MAX_NAMED: u64 = 8 << 20;

/// A file's name and tree, to say where things stand.
#[derive(Debug)]
pub struct Source {
    pub file: String,
    pub root: Node,
}

/// What the command line says instead of the file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Overrides {
    /// For `server.listen`.
    pub listen: Option<SocketAddr>,
    /// For `admin.listen`.
    pub admin_listen: Option<SocketAddr>,
    /// Every current chat model of the catalogue can be asked for beside those of `models`.
    pub offer_all: bool,
}

/// The variables of this process.
#[derive(Debug, Clone, Copy)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

/// Reads and checks a file.
///
/// # Errors
/// Every mistake of the first stage that found any.
pub fn from_path(
    path: &FilePath,
    env: &dyn Environment,
    catalog: &dyn Catalog,
) -> Result<Checked, Mistakes> {
    from_path_with(path, env, catalog, Overrides::default())
}

/// Reads and checks a file as it would run with these addresses.
///
/// # Errors
/// Every mistake of the first stage that found any.
pub fn from_path_with(
    path: &FilePath,
    env: &dyn Environment,
    catalog: &dyn Catalog,
    overrides: Overrides,
) -> Result<Checked, Mistakes> {
    let (source, mut raw) = read(path, env)?;
    overrides.apply(&mut raw);
    check::check(raw, &source, catalog, env, overrides.offer_all)
}

/// The catalogue that a file's configuration runs on; `None`: the one that was given.
///
/// # Errors
/// Every mistake of the first stage that found any, or in the files that the file names.
pub fn catalogue(
    path: &FilePath,
    env: &dyn Environment,
    catalog: &dyn Catalog,
) -> Result<Option<catalog::Catalog>, Mistakes> {
    let (source, raw) = read(path, env)?;
    check::catalogue(raw, &source, catalog, env)
}

/// Checks a text; `name` stands for the file in messages.
///
/// # Errors
/// Every mistake of the first stage that found any.
pub fn from_str(
    name: &str,
    text: &str,
    env: &dyn Environment,
    catalog: &dyn Catalog,
) -> Result<Checked, Mistakes> {
    from_str_with(name, text, env, catalog, Overrides::default())
}

/// Checks a text as it would run with these addresses.
///
/// # Errors
/// Every mistake of the first stage that found any.
pub fn from_str_with(
    name: &str,
    text: &str,
    env: &dyn Environment,
    catalog: &dyn Catalog,
    overrides: Overrides,
) -> Result<Checked, Mistakes> {
    let (source, mut raw) = read_str(name, text, env)?;
    overrides.apply(&mut raw);
    check::check(raw, &source, catalog, env, overrides.offer_all)
}

/// Reads a file as far as its form goes.
///
/// # Errors
/// The file cannot be read, is not YAML, misses variables or has mistakes of form.
pub fn read(path: &FilePath, env: &dyn Environment) -> Result<(Source, Raw), Mistakes> {
    let name = path.display().to_string();
    match bounded(path, MAX_FILE) {
        Ok(text) => read_str(&name, &text, env),
        Err(error) => Err(unreadable(&name, &error)),
    }
}

fn unreadable(name: &str, error: &io::Error) -> Mistakes {
    let message = format!("cannot be read: {}", reason(error));
    let mistake = Mistake::new(Mark::default(), &Path::root(), message);
    Mistakes::in_file(name, vec![mistake])
}

/// Reads a text as far as its form goes.
///
/// # Errors
/// It is not YAML, misses variables or has mistakes of form.
pub fn read_str(name: &str, text: &str, env: &dyn Environment) -> Result<(Source, Raw), Mistakes> {
    let mut root = yaml::parse(text).map_err(|mistakes| Mistakes::in_file(name, mistakes))?;
    let mut mistakes = vars::replace(&mut root, env);
    mistakes.extend(shape::check(&mut root, schema::value()));
    if !mistakes.is_empty() {
        return Err(Mistakes::in_file(name, mistakes));
    }
    let mut raw = to_raw(&root).map_err(|mistake| Mistakes::in_file(name, vec![mistake]))?;
    let mistakes = defaults::fill(&mut raw, env);
    if !mistakes.is_empty() {
        return Err(Mistakes::in_file(name, mistakes));
    }
    Ok((
        Source {
            file: name.to_owned(),
            root,
        },
        raw,
    ))
}

impl Overrides {
    fn apply(self, raw: &mut Raw) {
        if let Some(address) = self.listen {
            raw.server.get_or_insert_default().listen = Some(Address(address));
        }
        if let Some(address) = self.admin_listen {
            raw.admin.get_or_insert_default().listen = Some(Address(address));
        }
    }
}

/// What passed the shape check fits the types. If the two ever disagree, the message names the
/// section and nothing of its content, which may be a secret.
fn to_raw(root: &Node) -> Result<Raw, Mistake> {
    let message = "cannot be understood, although it has the right form: please report this";
    Raw::deserialize(shape::to_json(root)).map_err(|_| {
        let Value::Map(sections) = &root.value else {
            return Mistake::new(root.at, &Path::root(), message);
        };
        let wrong = sections.iter().find(|section| {
            let alone = Node {
                at: root.at,
                value: Value::Map(vec![(*section).clone()]),
            };
            Raw::deserialize(shape::to_json(&alone)).is_err()
        });
        let path = wrong.map_or_else(Path::root, |section| Path::root().key(&section.key));
        Mistake::new(wrong.map_or(root.at, |section| section.at), &path, message)
    })
}

/// The content of a file that a value names.
pub(super) fn secret_file(path: &FilePath) -> io::Result<String> {
    bounded(path, MAX_NAMED)
}

/// The files of a folder that end so, sorted by name; `None`: it is no folder.
///
/// # Errors
/// It can't be read.
pub fn folder(path: &FilePath, end: &str) -> io::Result<Option<Vec<PathBuf>>> {
    if !path.is_dir() {
        return Ok(None);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.extension().is_some_and(|known| known == end) {
            files.push(path);
        }
    }
    files.sort();
    Ok(Some(files))
}

/// The moment by which certificates are judged.
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// A text file of bounded size: a device or a log named by mistake must not fill the memory.
///
/// # Errors
/// It can't be read, is no text, or is larger.
pub fn bounded(path: &FilePath, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(limit + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// Why it can't be read, in words that hold nothing of it.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        kind => kind.to_string(),
    }
}
