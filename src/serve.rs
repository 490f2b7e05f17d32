//! Starts a gateway and ends it gracefully. `tollgate serve`, the demo and the tests run this.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accept::{admin_router, desk::Desk, router::router, server::Door},
    config::{self, Admin, Config, Ledger, Server, Tls},
    cores::Cores,
    reload::{self, ReloadError},
    settle::metrics::Metrics,
    spending,
    state::{
        App, World,
        loads::{Cause, Loaded},
    },
    store::{Store, StoreError},
};

/// The commit that was built, for `build_info`.
const COMMIT: &str = match option_env!("TOLLGATE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// How long the last rows of the ledger may take to be written.
const LEDGER_PATIENCE: Duration = Duration::from_secs(5);

/// Why a gateway could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{what} can't listen on {address}: {source}")]
    Listen {
        what: &'static str,
        address: SocketAddr,
        source: io::Error,
    },
    #[error("metrics can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error(transparent)]
    Ledger(#[from] StoreError),
}

/// Both listeners, open but not served yet: who connects waits.
#[derive(Debug)]
pub struct Listeners {
    client: TcpListener,
    admin: TcpListener,
    pub client_address: SocketAddr,
    pub admin_address: SocketAddr,
}

/// A gateway that serves.
#[derive(Debug)]
pub struct Gateway {
    pub app: Arc<App>,
    pub client_address: SocketAddr,
    pub admin_address: SocketAddr,
    close: CancellationToken,
    doors: TaskTracker,
}

impl Listeners {
    /// Opens both addresses.
    ///
    /// # Errors
    /// If one of them can't be listened on.
    pub async fn open(server: &Server, admin: &Admin) -> Result<Self, StartError> {
        let client = bind("server", server.listen).await?;
        let operator = bind("admin", admin.listen).await?;
        Ok(Self {
            client_address: client.local_addr().unwrap_or(server.listen),
            admin_address: operator.local_addr().unwrap_or(admin.listen),
            client,
            admin: operator,
        })
    }
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let failed = |source| StartError::Listen {
        what,
        address,
        source,
    };
    TcpListener::bind(address).await.map_err(failed)
}

impl Gateway {
    /// Serves a configuration on open listeners, and follows its changes if it came from a file.
    /// Clients are served on `cores`, everything else on the runtime of the caller.
    /// The admin key holds until the file names another one.
    ///
    /// # Errors
    /// If the metrics can't be registered, or the ledger that the configuration names can't be
    /// kept.
    pub fn start(
        loaded: impl Into<Loaded>,
        admin_key: &SecretString,
        listeners: Listeners,
        cores: &Cores,
    ) -> Result<Self, StartError> {
        let Loaded {
            mut config,
            origin,
            seen,
        } = loaded.into();
        config.admin.key = Some(admin_key.clone());
        let metrics = Arc::new(Metrics::new(COMMIT)?);
        metrics.follow(&config);
        let store = store(&config.store, &metrics)?;
        let world = World::of(config, None);
        let app = App::new(world, metrics, origin, seen);
        let app = Arc::new(app.with_store(store));
        app.state_rents(Timestamp::now());
        let close = CancellationToken::new();
        let doors = TaskTracker::new();
        let of_clients: fn(&Config) -> Option<&Tls> = |config| config.server.tls.as_ref();
        let of_all = Desk::Clients {
            app: Arc::clone(&app),
            paths: router(Arc::clone(&app)),
        };
        let of_operator = Desk::Operator {
            paths: admin_router(Arc::clone(&app)),
        };
        let here = Cores::default();
        let doors_to = [
            (listeners.client, of_all, of_clients, cores),
            (listeners.admin, of_operator, |_| None, &here),
        ];
        for (listener, desk, tls, cores) in doors_to {
            let door = Door {
                listener,
                desk,
                tls,
                app: Arc::clone(&app),
                cores: cores.clone(),
            };
            doors.spawn(door.serve(close.clone()));
        }
        doors.spawn(spending::keep_known(Arc::clone(&app), close.clone()));
        doors.spawn(reload::watch::watch(Arc::clone(&app), close.clone()));
        if let Some(keyring) = &app.keyring {
            doors.spawn(Arc::clone(keyring).keep_fresh(close.clone()));
        }
        if let Some(learning) = &app.learning {
            doors.spawn(Arc::clone(learning).keep_regularly(close.clone()));
        }
        doors.close();
        Ok(Self {
            app,
            client_address: listeners.client_address,
            admin_address: listeners.admin_address,
            close,
            doors,
        })
    }

    /// Has the configuration read again, in the background; the log says what came of it.
    pub fn reload(&self) {
        let app = Arc::clone(&self.app);
        self.doors.spawn(async move {
            match reload::reload(&app, Cause::Signal).await {
                // those are in the log already
                Ok(_) | Err(ReloadError::Mistakes(_)) => {}
                Err(error) => tracing::error!(%error, "not reloaded"),
            }
        });
    }

    /// Ends it: not ready at once, accepting for `drain_delay` more, then open requests get
    /// `drain_timeout`, then the last rows of the ledger are written.
    pub async fn stop(self) {
        self.app.drain();
        let delay = self.app.world().config.server.drain_delay;
        tokio::time::sleep(delay).await;
        self.close.cancel();
        self.doors.wait().await;
        if let Some(learning) = &self.app.learning {
            learning.keep();
        }
        if let Some(store) = &self.app.store {
            store.stop(LEDGER_PATIENCE).await;
        }
    }
}

/// The ledger of a configuration. One that nobody asked for is done without where the folder can't
/// be written in.
fn store(stated: &config::Store, metrics: &Arc<Metrics>) -> Result<Option<Store>, StartError> {
    let Ledger::Sqlite(path) = &stated.ledger else {
        return Ok(None);
    };
    match Store::open(path, stated.on_failure, Arc::clone(metrics)) {
        Ok(store) => Ok(Some(store)),
        Err(error) if !stated.stated && error.is_no_place() => {
            tracing::warn!(%error, "no ledger is kept; `store.ledger` says where one may stand");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// A key that nobody can guess: 32 random bytes in hexadecimal, with a prefix that says whose.
///
/// # Errors
/// If the system has no randomness.
pub fn random_key(prefix: &str) -> Result<SecretString, getrandom::Error> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(SecretString::from(format!("{prefix}{hex}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OnFailure;

    #[test]
    fn only_a_ledger_that_nobody_asked_for_is_done_without() {
        let metrics = Arc::new(Metrics::new("test").unwrap());
        let at = |path: &str, stated| config::Store {
            ledger: Ledger::Sqlite(path.into()),
            stated,
            on_failure: OnFailure::Serve,
        };
        let nowhere = "/proc/tollgate.db";
        assert!(store(&at(nowhere, false), &metrics).unwrap().is_none());
        assert!(store(&at(nowhere, true), &metrics).is_err());
        let folder = tempfile::tempdir().unwrap();
        let foreign = folder.path().join("text");
        std::fs::write(&foreign, "x".repeat(5_000)).unwrap();
        let foreign = foreign.to_str().unwrap();
        assert!(store(&at(foreign, false), &metrics).is_err());
    }
}
