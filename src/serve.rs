//! Starts a gateway and ends it gracefully. `tollgate serve`, the demo and the tests run this.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    accept::{admin_router, router::router, server::Door},
    config::{Admin, Config, Server},
    settle::metrics::Metrics,
    state::{App, World},
};

/// The commit that was built, for `build_info`.
const COMMIT: &str = match option_env!("TOLLGATE_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

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
    /// If the metrics can't be registered.
    pub fn start(
        config: Config,
        admin_key: &SecretString,
        listeners: Listeners,
    ) -> Result<Self, StartError> {
        let server = config.server.clone();
        let app = Arc::new(App::new(World::of(config, None), Metrics::new(COMMIT)?));
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
    /// `drain_timeout`.
    pub async fn stop(self) {
        self.app.drain();
        tokio::time::sleep(self.drain_delay).await;
        self.close.cancel();
        self.doors.wait().await;
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
