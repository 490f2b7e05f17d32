//! Finds out what keys with a budget have spent before this process, from the ledger.
//!
//! Nobody is served on a budget before that is known: a restart would otherwise give every key its
//! money once more. Without a ledger nothing was spent before, as far as anybody knows.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{admit::holders::Holder, money::Total, state::App};

/// How long a request waits for the answer: the ledger is asked through the queue of its writer, and
/// may be locked by another process.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often keys are looked for whose spending is not known.
const INTERVAL: Duration = Duration::from_secs(1);

/// Makes sure that it is known what a key has spent, or gives up after a while.
pub async fn know(app: &App, holder: &Holder) {
    let Some(since) = holder.purse.ask(Timestamp::now()) else {
        return;
    };
    let Some(store) = &app.store else {
        return holder.purse.learn(since, Total::default());
    };
    let ask = (Arc::clone(&holder.key), since.as_millisecond());
    match tokio::time::timeout(PATIENCE, store.spent(vec![ask])).await {
        Ok(Ok(spent)) => {
            let spent = spent.first().copied().unwrap_or_default();
            holder.purse.learn(since, spent);
        }
        Ok(Err(error)) => {
            tracing::error!(key = &*holder.key, %error, "not known what the key has spent");
        }
        Err(_) => {
            tracing::error!(
                key = &*holder.key,
                "not known what the key has spent: the ledger does not answer"
            );
        }
    }
}

/// Keeps it known of every key of the configuration, so that metrics have it before the key is used.
pub async fn keep_known(app: Arc<App>, close: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = close.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let world = app.world();
        for key in world.config.keys.iter().filter(|key| key.budget.is_some()) {
            if let Some(holder) = world.holders.find(&key.id)
                && holder.purse.is_unknown()
            {
                know(&app, &holder).await;
            }
        }
    }
}
