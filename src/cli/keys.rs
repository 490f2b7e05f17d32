//! `tollgate keys`: creates, lists, changes, revokes and rotates the keys of the store of a
//! configuration, whether or not a gateway runs on it.

mod flags;
mod show;

use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use jiff::{Timestamp, tz::TimeZone};
use secrecy::{ExposeSecret as _, SecretString};

use self::flags::Flags;
use super::{CliError, ConfigArg, source};
use crate::{
    config::{Auth, Config, Ledger, Store, load::Overrides, raw, text},
    store::keys::{KeysError, Register, Stored, Terms, View, secret},
};

/// Keys that are read at once.
const PAGE: usize = 1_000;

/// What is done with keys.
#[derive(Debug, Subcommand)]
pub(super) enum Keys {
    /// Make a key, and show its secret this once
    Create {
        /// Its name in logs and in the ledger; one is made up without
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        common: Common,
    },
    /// List the keys of the store
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Change what a key allows: what is not named stays as it is
    Update {
        id: String,
        #[command(flatten)]
        flags: Flags,
        #[command(flatten)]
        common: Common,
    },
    /// Refuse a key from now on, for good
    Revoke {
        id: String,
        #[command(flatten)]
        common: Common,
    },
    /// Give a key another secret, and show it this once
    Rotate {
        id: String,
        /// How long the old secret is accepted as well; 0: not any more
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
        overlap: Duration,
        #[command(flatten)]
        common: Common,
    },
}

/// What all of them take.
#[derive(Debug, Args)]
pub(super) struct Common {
    #[command(flatten)]
    config: ConfigArg,
    #[arg(long)]
    json: bool,
}

/// Where the keys are, and what else the configuration says.
struct Place {
    path: PathBuf,
    config: Option<Config>,
}

/// Does it, and says what was done.
pub(super) fn run(keys: Keys, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let now = Timestamp::now();
    match keys {
        Keys::Create { id, flags, common } => create(id, &flags, &common, now, out),
        Keys::List { common } => list(&common, now, out),
        Keys::Update { id, flags, common } => {
            let patch = flags.patch(now)?;
            let place = Place::of(&common)?;
            let stored = place.existing(&id)?.patch(&id, patch)?;
            show::changed(&place.view(&stored, now), common.json, out)
        }
        Keys::Revoke { id, common } => {
            let place = Place::of(&common)?;
            let stored = place.existing(&id)?.revoke(&id, now)?;
            show::revoked(&place.view(&stored, now), common.json, out)
        }
        Keys::Rotate {
            id,
            overlap,
            common,
        } => {
            let place = Place::of(&common)?;
            let until = now.checked_add(overlap).unwrap_or(Timestamp::MAX);
            let secret = new_secret()?;
            let digest = secret::digest(secret.expose_secret());
            let rotated = place.existing(&id)?.rotate(&id, digest, until);
            let view = place.view(&rotated?, now);
            show::rotated(&secret, &view, common.json, out)
        }
    }
}

fn create(
    id: Option<String>,
    flags: &Flags,
    common: &Common,
    now: Timestamp,
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let mut terms = Terms::default();
    flags.patch(now)?.apply(&mut terms);
    let id = match id {
        Some(id) => flags::read::<raw::Name>("--id", &id)?.0,
        None => secret::id().map_err(no_randomness)?,
    };
    let place = Place::of(common)?;
    if place.has(&id) {
        let message = format!("the id `{id}` stands in the configuration file, under `keys`");
        return Err(CliError::Usage(message));
    }
    let secret = new_secret()?;
    let digest = secret::digest(secret.expose_secret());
    let is_new = !place.path.exists();
    let mut register = Register::open(&place.path)?;
    if is_new {
        let path = std::path::absolute(&place.path).unwrap_or(place.path.clone());
        tracing::warn!(file = %path.display(), "there was no store; this one was made");
    }
    let stored = register.create(&id, digest, terms, now)?;
    let asks = place.config.as_ref().map(|config| config.auth);
    if asks.unwrap_or(Auth::Open) == Auth::Open {
        tracing::warn!("nobody is asked for a key: write `auth: {{ mode: [keys] }}`");
    }
    show::created(&secret, &place.view(&stored, now), common.json, out)
}

fn list(common: &Common, now: Timestamp, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let place = Place::of(common)?;
    let zone = place.config.as_ref().map(|config| config.time_zone.clone());
    let zone = zone.unwrap_or(TimeZone::UTC);
    let mut views = Vec::new();
    if place.path.exists() {
        let register = Register::open(&place.path)?;
        let mut last = None;
        loop {
            let page = register.list(last.as_deref(), PAGE)?;
            let Some(end) = page.last() else { break };
            last = Some(end.id.clone());
            for stored in &page {
                let budget = stored.terms.budget;
                let spent = budget.map(|budget| register.spent(&stored.id, budget, (&zone, now)));
                views.push(place.view(stored, now).with_spent(spent.transpose()?));
            }
        }
    }
    show::list(&views, common.json, out)
}

impl Place {
    fn of(common: &Common) -> Result<Self, CliError> {
        let config = match source::file(&common.config) {
            Some(path) => Some(source::from_file(&path, Overrides::default())?.config),
            None => None,
        };
        let default = Store::default();
        let store = config.as_ref().map_or(&default, |config| &config.store);
        match &store.ledger {
            Ledger::Sqlite(path) => Ok(Self {
                path: path.clone(),
                config,
            }),
            Ledger::None => Err(CliError::Usage(
                "there is no store to keep keys in: `store.ledger` is `none`".into(),
            )),
        }
    }

    /// Opens the keys to change one that must be there already.
    fn existing(&self, id: &str) -> Result<Register, CliError> {
        let opened = self.path.exists().then(|| Register::open(&self.path));
        let unknown = || KeysError::Unknown(id.into());
        let register = opened.unwrap_or_else(|| Err(unknown()))?;
        if self.has(id) && register.get(id)?.is_none() {
            let message = format!(
                "the key `{id}` stands in the configuration file: change it there, under `keys`"
            );
            return Err(CliError::Usage(message));
        }
        Ok(register)
    }

    /// Does the configuration file have a key of that id?
    fn has(&self, id: &str) -> bool {
        let config = self.config.as_ref();
        config.is_some_and(|config| config.keys.iter().any(|key| *key.id == *id))
    }

    fn view(&self, stored: &Stored, now: Timestamp) -> View {
        View::of(stored, self.has(&stored.id), now)
    }
}

fn new_secret() -> Result<SecretString, CliError> {
    secret::secret().map_err(no_randomness)
}

fn no_randomness(error: getrandom::Error) -> CliError {
    CliError::Failed(format!("no secret can be made: {error}"))
}

impl From<KeysError> for CliError {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::Taken(_) | KeysError::Unknown(_) | KeysError::Revoked(_) => {
                Self::Usage(error.to_string())
            }
            KeysError::Open(_) | KeysError::Sqlite(_) | KeysError::BrokeOff => {
                Self::Failed(error.to_string())
            }
        }
    }
}

fn duration(text: &str) -> Result<Duration, text::TextError> {
    text::duration(text)
}
