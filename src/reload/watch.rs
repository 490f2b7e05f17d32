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
use crate::{
    config::Ledger,
    state::{
        App,
        loads::{Cause, Origin},
    },
    store,
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
    let _watcher = watcher(&folder(path), of_ledger(&app), &told);
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

/// The files of the ledger, which may stand in the same folder and are written all the time.
fn of_ledger(app: &App) -> Vec<PathBuf> {
    match &app.world().config.store.ledger {
        Ledger::Sqlite(file) => {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            store::files_of(&file).to_vec()
        }
        Ledger::None => Vec::new(),
    }
}

/// What tells of changes but those of `ignored`; without one, polling has to do.
fn watcher(folder: &Path, ignored: Vec<PathBuf>, told: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let told = Arc::clone(told);
    let started = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // reading is told too, ours as well
        let says_nothing = event.is_ok_and(|event| {
            let all_ignored = || event.paths.iter().all(|file| ignored.contains(file));
            event.kind.is_access() || (!event.paths.is_empty() && all_ignored())
        });
        if !says_nothing {
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

/// Of an absolute path, so that what is told of its files is absolute as well.
fn folder(path: &Path) -> PathBuf {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_ledger_writes_beside_the_configuration_tells_nothing() {
        let place = tempfile::tempdir().unwrap();
        let told = Arc::new(Notify::new());
        let ledger = place.path().join("t.db");
        let ignored = store::files_of(&ledger).to_vec();
        let watcher = watcher(&folder(&place.path().join("t.yaml")), ignored, &told);
        assert!(watcher.is_some());
        for name in ["t.db", "t.db-wal", "t.db.spill.jsonl"] {
            std::fs::write(place.path().join(name), "x").unwrap();
        }
        let quiet = timeout(QUIET, told.notified()).await;
        assert!(quiet.is_err());
        std::fs::write(place.path().join("t.yaml"), "x").unwrap();
        timeout(Duration::from_secs(20), told.notified())
            .await
            .unwrap();
    }
}
