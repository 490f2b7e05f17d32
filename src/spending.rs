//! Finds out what was spent of budgets before this process, from the ledger.
//!
//! Nobody is served on a budget before that is known: a restart would otherwise give everybody the
//! money once more. Without a ledger nothing was spent before, as far as anybody knows.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    admit::purse::{Purse, Question},
    money::Total,
    state::{App, World},
};

/// How long a request waits for the answer: the ledger is asked through the queue of its writer, and
/// may be locked by another process.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often budgets are looked for whose spending is not known.
const INTERVAL: Duration = Duration::from_secs(1);
/// Budgets that are asked for at once: rows wait meanwhile.
const AT_ONCE: usize = 100;

/// Makes sure that it is known what was spent of some budgets, or gives up after a while.
pub async fn know<'a>(app: &App, purses: impl Iterator<Item = &'a Arc<Purse>>) {
    let now = Timestamp::now();
    let asked = purses.filter_map(|purse| Some((purse, purse.ask(now)?)));
    let asked: Vec<(&Arc<Purse>, Question)> = asked.collect();
    if asked.is_empty() {
        return;
    }
    let Some(store) = &app.store else {
        for (purse, question) in asked {
            purse.learn(question, Total::default());
        }
        return;
    };
    let asks = asked.iter().map(|(purse, question)| {
        let since = question.since.as_millisecond();
        (purse.spender.clone(), since)
    });
    match tokio::time::timeout(PATIENCE, store.spent(asks.collect())).await {
        Ok(Ok(spent)) => {
            for ((purse, question), spent) in asked.into_iter().zip(spent) {
                purse.learn(question, spent);
            }
        }
        Ok(Err(error)) => {
            let budgets = named(&asked);
            tracing::error!(budgets, %error, "not known what is spent of budgets");
        }
        Err(_) => {
            let budgets = named(&asked);
            tracing::error!(
                budgets,
                "not known what is spent of budgets: the ledger does not answer"
            );
        }
    }
}

fn named(asked: &[(&Arc<Purse>, Question)]) -> String {
    let names = asked.iter().map(|(purse, _)| purse.whose.to_string());
    names.collect::<Vec<_>>().join(", ")
}

/// Keeps it known of every budget of the configuration, so that metrics have it before it is used.
pub async fn keep_known(app: Arc<App>, close: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = close.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let unknown = unknown(&app.world());
        for some in unknown.chunks(AT_ONCE) {
            know(&app, some.iter()).await;
        }
    }
}

/// Budgets of keys of the file, and shared ones, of which it is not known what is spent.
fn unknown(world: &World) -> Vec<Arc<Purse>> {
    let keys = world.config.keys.iter().filter(|key| key.budget.is_some());
    let holders = keys.filter_map(|key| world.holders.find(&key.id));
    let own = holders.map(|holder| Arc::clone(&holder.purse));
    let shared = world.config.budgets.iter();
    let shared = shared.flat_map(|budget| world.budgets.purses(&budget.id));
    own.chain(shared)
        .filter(|purse| purse.is_unknown())
        .collect()
}
