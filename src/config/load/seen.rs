//! What a configuration was read from: the file and every secret file that it names, so that a
//! change of any of them can be noticed later. Files are kept as digests, never as what they hold.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{Environment, MAX_FILE, Overrides, bounded, folder, read_str, secret_file, unreadable};
use crate::config::check::{self, Catalog, Checked};
use crate::config::{Mistakes, Raw};

/// The files behind a configuration, as they were when it was read.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The file itself, then what it names.
    files: Vec<Noted>,
}

/// Something that was read.
#[derive(Debug, Clone)]
struct Noted {
    path: PathBuf,
    kind: Kind,
    digest: [u8; 32],
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// The configuration.
    Itself,
    File,
    /// The names of its files, with this ending.
    Folder(&'static str),
}

/// A file that was read, and what came of it.
#[derive(Debug)]
pub struct Reading {
    pub seen: Seen,
    pub outcome: Result<Checked, Mistakes>,
    /// `server.listen` as the file says it, if it does.
    pub listen: Option<SocketAddr>,
    /// `admin.listen` as the file says it, if it does.
    pub admin_listen: Option<SocketAddr>,
}

impl Seen {
    /// Would reading again find something else? Also where a file is gone, or there again.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.files.iter().any(|Noted { path, kind, digest }| {
            let now = match kind {
                Kind::Itself => bounded(path, MAX_FILE),
                Kind::File => secret_file(path),
                Kind::Folder(end) => folder(path, end).map(|files| names(&files)),
            };
            digest_of(&now) != *digest
        })
    }
}

/// Reads and checks a file as it would run with these addresses, and remembers what it was made of.
pub fn watched(
    path: &Path,
    env: &dyn Environment,
    catalog: &dyn Catalog,
    overrides: Overrides,
) -> Reading {
    let recorder = Recorder {
        env,
        files: RefCell::default(),
    };
    let name = path.display().to_string();
    let text = bounded(path, MAX_FILE);
    recorder.note(path, Kind::Itself, &text);
    let (mut listen, mut admin_listen) = (None, None);
    let outcome = text
        .map_err(|error| unreadable(&name, &error))
        .and_then(|text| {
            let (source, mut raw) = read_str(&name, &text, &recorder)?;
            (listen, admin_listen) = addresses(&raw);
            overrides.apply(&mut raw);
            check::check(raw, &source, catalog, &recorder, overrides.offer_all)
        });
    let files = recorder.files.into_inner();
    Reading {
        seen: Seen { files },
        outcome,
        listen,
        admin_listen,
    }
}

fn addresses(raw: &Raw) -> (Option<SocketAddr>, Option<SocketAddr>) {
    let server = raw
        .server
        .as_ref()
        .and_then(|server| server.listen.as_ref());
    let admin = raw.admin.as_ref().and_then(|admin| admin.listen.as_ref());
    (server.map(|listen| listen.0), admin.map(|listen| listen.0))
}

/// An environment that remembers which files were read.
struct Recorder<'a> {
    env: &'a dyn Environment,
    files: RefCell<Vec<Noted>>,
}

impl Recorder<'_> {
    fn note(&self, path: &Path, kind: Kind, content: &io::Result<String>) {
        let mut files = self.files.borrow_mut();
        files.push(Noted {
            path: path.to_owned(),
            kind,
            digest: digest_of(content),
        });
    }
}

impl Environment for Recorder<'_> {
    fn var(&self, name: &str) -> Option<String> {
        self.env.var(name)
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        let content = self.env.file(path);
        self.note(path, Kind::File, &content);
        content
    }

    fn folder(&self, path: &Path, end: &'static str) -> io::Result<Option<Vec<PathBuf>>> {
        let files = self.env.folder(path, end);
        match &files {
            Ok(None) => {}
            Ok(files) => self.note(path, Kind::Folder(end), &Ok(names(files))),
            Err(error) => self.note(path, Kind::Folder(end), &Err(error.kind().into())),
        }
        files
    }
}

/// The names of a folder's files as one text.
fn names(files: &Option<Vec<PathBuf>>) -> String {
    let files = files.iter().flatten();
    let names: Vec<String> = files.map(|file| file.display().to_string()).collect();
    names.join("\n")
}

fn digest_of(content: &io::Result<String>) -> [u8; 32] {
    match content {
        Ok(text) => Sha256::new().chain_update(b"text").chain_update(text),
        Err(error) => Sha256::new().chain_update(error.kind().to_string()),
    }
    .finalize()
    .into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::catalog;

    const TEXT: &str = "providers: { p: { base_url: 'http://127.0.0.1:1/v1', api_key: '${file:SECRET}' } }\n\
                        models: [{ name: m, backends: [{ provider: p, model: m, price: free }] }]\n\
                        server: { listen: '127.0.0.1:5000' }\n";

    fn nothing(_: &str) -> Option<String> {
        None
    }

    /// A folder with a configuration that names a secret file.
    fn folder() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (file, secret) = (folder.path().join("t.yaml"), folder.path().join("secret"));
        let text = TEXT.replace("SECRET", &secret.display().to_string());
        fs::write(&file, text).unwrap();
        fs::write(&secret, "one").unwrap();
        (folder, file, secret)
    }

    fn read(file: &Path) -> Reading {
        watched(file, &nothing, catalog::builtin(), Overrides::default())
    }

    #[test]
    fn a_change_of_the_file_or_of_a_secret_is_noticed_and_a_touch_is_not() {
        let (_folder, file, secret) = folder();
        let reading = read(&file);
        assert!(reading.outcome.is_ok() && !reading.seen.is_stale());
        fs::write(&secret, "one").unwrap();
        assert!(!reading.seen.is_stale());
        fs::write(&secret, "two").unwrap();
        assert!(reading.seen.is_stale());
        let reading = read(&file);
        assert!(!reading.seen.is_stale());
        fs::write(&file, "models: []").unwrap();
        assert!(reading.seen.is_stale());
    }

    #[test]
    fn a_file_that_comes_into_a_folder_or_leaves_it_is_noticed() {
        let (folder, file, _) = folder();
        let prices = folder.path().join("prices");
        fs::create_dir(&prices).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, format!("catalog: ['{}']\n{text}", prices.display())).unwrap();
        let reading = read(&file);
        assert!(reading.outcome.is_ok() && !reading.seen.is_stale());
        fs::write(prices.join("note.txt"), "no prices").unwrap();
        assert!(!reading.seen.is_stale());
        let own = "schema = \"tollgate.catalog/1\"\n[provider]\nid = \"groq\"\n";
        fs::write(prices.join("groq.toml"), own).unwrap();
        assert!(reading.seen.is_stale());
        let reading = read(&file);
        assert!(reading.outcome.is_ok() && !reading.seen.is_stale());
        fs::write(prices.join("groq.toml"), "schema = 7").unwrap();
        assert!(reading.seen.is_stale());
        let wrong = read(&file).outcome.unwrap_err().to_string();
        assert!(
            wrong.contains("catalog[0]") && wrong.contains("groq.toml"),
            "{wrong}"
        );
        fs::remove_dir_all(&prices).unwrap();
        assert!(reading.seen.is_stale());
    }

    #[test]
    fn what_could_not_be_read_is_noticed_when_it_comes() {
        let (_folder, file, secret) = folder();
        fs::remove_file(&secret).unwrap();
        let reading = read(&file);
        assert!(reading.outcome.is_err() && !reading.seen.is_stale());
        fs::write(&secret, "two").unwrap();
        assert!(reading.seen.is_stale());
        fs::remove_file(&file).unwrap();
        let reading = read(&file);
        assert!(reading.outcome.is_err() && !reading.seen.is_stale());
    }

    #[test]
    fn the_files_own_addresses_are_told_apart_from_those_that_are_used() {
        let (_folder, file, _) = folder();
        let other = SocketAddr::from(([127, 0, 0, 1], 6000));
        let overrides = Overrides {
            listen: Some(other),
            ..Overrides::default()
        };
        let reading = watched(&file, &nothing, catalog::builtin(), overrides);
        assert_eq!(reading.outcome.unwrap().config.server.listen, other);
        assert_eq!(
            reading.listen,
            Some(SocketAddr::from(([127, 0, 0, 1], 5000)))
        );
        assert_eq!(reading.admin_listen, None);
    }
}
