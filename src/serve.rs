//! Starts a gateway and ends it gracefully. `tollgate serve`, the demo and the tests run this.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accept::{admin_router, router::router, server::Door},
    config::{self, Admin, Config, Ledger, Server},
    settle::metrics::Metrics,
    state::{App, World},
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
    drain_delay: Duration,
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
    /// Serves a configuration on open listeners.
    ///
    /// # Errors
    /// If the metrics can't be registered, or the ledger that the configuration names can't be
    /// kept.
    pub fn start(
        config: Config,
        admin_key: &SecretString,
        listeners: Listeners,
    ) -> Result<Self, StartError> {
        let server = config.server.clone();
        let stated = config.store.clone();
        let app = App::new(World::of(config, None), Metrics::new(COMMIT)?);
        let store = store(&stated, &app.metrics)?;
        let app = Arc::new(app.with_store(store));
        let close = CancellationToken::new();
        let doors = TaskTracker::new();
        let routers = [
            (listeners.client, router(Arc::clone(&app))),
            (listeners.admin, admin_router(Arc::clone(&app), admin_key)),
        ];
        for (listener, router) in routers {
            let door = Door {
                listener,
                router,
                keep_alive: server.keep_alive,
                drain_timeout: server.drain_timeout,
            };
            doors.spawn(door.serve(close.clone()));
        }
        doors.close();
        Ok(Self {
            app,
            client_address: listeners.client_address,
            admin_address: listeners.admin_address,
            close,
            doors,
            drain_delay: server.drain_delay,
        })
    }

    /// Ends it: not ready at once, accepting for `drain_delay` more, then open requests get
    /// `drain_timeout`, then the last rows of the ledger are written.
    pub async fn stop(self) {
        self.app.drain();
        tokio::time::sleep(self.drain_delay).await;
        self.close.cancel();
        self.doors.wait().await;
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
