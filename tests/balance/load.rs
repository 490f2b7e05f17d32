//! Sends a mix with so many workers, and looks at limits afterwards.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use http::Method;
use tokio::task::JoinSet;
use tollgate::simulate::Handle;

use crate::{
    client::{self, End, Seen},
    fleet::{self, KEY, PLACES},
    mix::Ask,
    support::{Call, Program, eventually, http::Open},
};

/// Requests at once.
pub(crate) const WORKERS: usize = 48;

/// Whom the load meets, and how far it has come.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) gateway: SocketAddr,
    pub(crate) sim: Arc<Handle>,
    begun: AtomicUsize,
    over: AtomicUsize,
}

impl Stage {
    pub(crate) fn new(program: &Program, sim: &Arc<Handle>) -> Arc<Self> {
        Arc::new(Self {
            gateway: program.client,
            sim: Arc::clone(sim),
            begun: AtomicUsize::new(0),
            over: AtomicUsize::new(0),
        })
    }

    /// Waits until so many requests are over.
    pub(crate) async fn until(&self, over: usize) {
        while self.over.load(SeqCst) < over {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits until a backend was asked more than so many times.
    pub(crate) async fn asked(&self, model: &str, times: u64) {
        while self.sim.account().at("", model).requests <= times {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// One of the ordinary key, beside the mix; its head.
    async fn also(&self, ask: &Ask) -> Open {
        let call = Call::new(self.gateway, Method::POST, "/v1/chat/completions");
        let body = ask.body(ask.kind.model());
        call.key(KEY).json(&body).open().await
    }
}

/// Sends a mix; whoever finds no gateway any more stops. What the client of each request that was
/// begun saw, in no order.
pub(crate) async fn run(stage: &Arc<Stage>, mix: &Arc<[Ask]>) -> Vec<Seen> {
    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        workers.spawn(work(Arc::clone(stage), Arc::clone(mix), worker));
    }
    workers.join_all().await.concat()
}

async fn work(stage: Arc<Stage>, mix: Arc<[Ask]>, worker: usize) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some(ask) = mix.get(stage.begun.fetch_add(1, SeqCst)) {
        let seen = client::make(&stage, ask, worker).await;
        stage.over.fetch_add(1, SeqCst);
        let gone = seen.end == End::Gone;
        all.push(seen);
        if gone {
            break;
        }
    }
    all
}

/// The first request of a new life finds the narrowest limits as they were at the first day.
pub(crate) async fn first(stage: &Stage) -> Seen {
    let seen = client::make(stage, &Ask::tight(), 0).await;
    assert_eq!(seen.end, End::Answered);
    assert_eq!(seen.requests_left, Some(fleet::FEW - 1));
    seen
}

/// Asserts that nobody who is gone holds a place of the key: all of them can be taken at once, and
/// not one more.
pub(crate) async fn no_place_is_held(stage: &Stage) {
    let mut held = Vec::new();
    for _ in 0..PLACES {
        let open = stage.also(&Ask::held()).await;
        assert_eq!(open.status, 200, "place {} of {PLACES}", held.len());
        held.push(open);
    }
    let one_more = stage.also(&Ask::plain()).await.whole().await;
    assert_eq!(
        one_more.refusal(),
        "429 requests too_many_concurrent_requests null"
    );
    drop(held);
    eventually("the places are free again", async || {
        stage.also(&Ask::plain()).await.status == 200
    })
    .await;
}
