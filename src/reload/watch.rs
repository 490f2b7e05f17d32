//! Notices that the configuration changed, and has it read again.
//!
//! The folder is watched, not the file: editors replace files, and Kubernetes swaps a link beside
//! them. What the system tells is only a reason to look; so is the passing of time, as a network
//! file system tells nothing. Whether something changed is decided by what the files hold.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::read_again;
use crate::state::{
    App,
    loads::{Cause, Origin},
};

/// How long it must have been quiet after a change: files are written in several steps.
const QUIET: Duration = Duration::from_millis(250);
/// Looks at the latest after this long, in a folder that is never quiet.
const RESTLESS: Duration = Duration::from_secs(1);
/// Looks this often without having been told anything.
const POLL: Duration = Duration::from_secs(3);

/// Watches until `stop`; at once at its end where there is no file.
pub async fn watch(app: Arc<App>, stop: CancellationToken) {
    let Origin::File { path, .. } = &app.origin else {
        return;
    };
    let told = Arc::new(Notify::new());
    // dropped, it tells nothing any more
    let _watcher = watcher(&folder(path), &told);
    let looking = async {
        loop {
            if timeout(POLL, told.notified()).await.is_ok() {
                settled(&told).await;
            }
            look(&app).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = looking => {}
    }
}

/// Waits until nothing more is told for a while, at most for a longer while.
async fn settled(told: &Notify) {
    let quiet = async { while timeout(QUIET, told.notified()).await.is_ok() {} };
    tokio::select! {
        () = quiet => {}
        () = sleep(RESTLESS) => {}
    }
}

async fn look(app: &Arc<App>) {
    let app = Arc::clone(app);
    let read = tokio::task::spawn_blocking(move || drop(read_again(&app, Cause::Change, true)));
    if read.await.is_err() {
        tracing::error!("reading the configuration broke off");
    }
}

/// What tells of changes; without one, polling has to do.
fn watcher(folder: &Path, told: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let told = Arc::clone(told);
    let started = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // reading is told too, ours as well
        if !event.is_ok_and(|event| event.kind.is_access()) {
            told.notify_one();
        }
    })
    .and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    started
        .inspect_err(|error| {
            let poll_s = POLL.as_secs();
            tracing::warn!(%error, poll_s, "the configuration's folder can't be watched: polled only");
        })
        .ok()
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
