//! Configurations in files, as an editor, a script or Kubernetes changes them.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use secrecy::SecretString;
use tempfile::TempDir;
use tollgate::{
    catalog,
    config::load::{self, Overrides, ProcessEnvironment},
    cores::Cores,
    serve,
    state::loads::{Loaded, Origin},
};

use crate::support::{ANY_PORT, Gateway, Setup, gateway::ADMIN_KEY, setup::UPSTREAM_KEY};

/// A configuration file in a folder of its own.
#[derive(Debug)]
pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    pub(crate) fn new(setup: &Setup) -> Self {
        let files = Self::empty();
        files.write(setup);
        files
    }

    /// A folder as Kubernetes fills it: the file is a link through `..data`, which is a link too.
    pub(crate) fn linked(setup: &Setup) -> Self {
        let files = Self::empty();
        files.swap("v0", &text(setup));
        symlink("..data/tollgate.yaml", files.file()).unwrap();
        files
    }

    fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.path("tollgate.yaml")
    }

    /// Writes the file in place.
    pub(crate) fn write(&self, setup: &Setup) {
        fs::write(self.file(), text(setup)).unwrap();
    }

    /// Puts another file in its place.
    pub(crate) fn replace(&self, setup: &Setup) {
        let other = self.path("other.yaml");
        fs::write(&other, text(setup)).unwrap();
        fs::rename(other, self.file()).unwrap();
    }

    /// Points `..data` to a new folder with this text.
    pub(crate) fn swap(&self, version: &str, text: &str) {
        let folder = self.path(version);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("tollgate.yaml"), text).unwrap();
        let link = self.path("..data_tmp");
        symlink(version, &link).unwrap();
        fs::rename(link, self.path("..data")).unwrap();
    }

    /// A gateway that follows the file.
    pub(crate) async fn start(&self) -> Gateway {
        start(&self.file()).await
    }
}

/// What stands in a file; variables of the process can't be set by a test.
pub(crate) fn text(setup: &Setup) -> String {
    let yaml = setup.yaml().replace("${UPSTREAM_KEY}", UPSTREAM_KEY);
    // the default would be one file for all tests, in the repository
    if yaml.contains("store:") {
        yaml
    } else {
        format!("{yaml}\nstore: {{ ledger: none }}\n")
    }
}

async fn start(path: &Path) -> Gateway {
    let overrides = Overrides {
        listen: Some(ANY_PORT),
        admin_listen: Some(ANY_PORT),
        ..Overrides::default()
    };
    let reading = load::watched(path, &ProcessEnvironment, catalog::builtin(), overrides);
    let config = reading
        .outcome
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
        .config;
    let listeners = serve::Listeners::open(&config.server, &config.admin)
        .await
        .unwrap();
    let loaded = Loaded {
        config,
        origin: Origin::File {
            path: path.to_owned(),
            overrides,
        },
        seen: reading.seen,
    };
    let running = serve::Gateway::start(
        loaded,
        &SecretString::from(ADMIN_KEY),
        listeners,
        &Cores::default(),
    );
    Gateway::of(running.unwrap())
}
