//! Own hardware in a world: what is kept of it over reloads, what the ledger is told that it
//! costs, and how it stands for the operator.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{App, World};
use crate::{
    catalog::SelfHosted, config::Config, learn::pace::Pace, money::Usd, route::explain::chance,
    store::Rent,
};

/// One deployment as the operator sees it.
#[derive(Debug, Serialize)]
pub struct View<'a> {
    pub provider: &'a str,
    pub gpu_hour_usd: Usd,
    pub gpus: u32,
    /// The speeds that costs are reckoned with.
    pub configured: SpeedsView,
    /// What it delivers at the present load; `null`: too little was seen of that.
    pub learned: Option<SpeedsView>,
    pub in_flight: u32,
    /// What part of its cost one more call adds now; `null`: too little was seen, so all of it.
    pub marginal_share: Option<String>,
}

/// Tokens a second of the whole deployment.
#[derive(Debug, Serialize)]
pub struct SpeedsView {
    pub prefill_tps: u64,
    pub decode_tps: u64,
}

impl World {
    /// Every deployment of one's own.
    pub fn hosted(&self) -> impl Iterator<Item = (&str, &SelfHosted, &Pace)> {
        let providers = self.config.providers.iter().zip(&self.means.paces);
        providers.filter_map(|(provider, pace)| {
            let hardware = provider.self_hosted.as_ref()?;
            Some((&*provider.name, hardware, &**pace.as_ref()?))
        })
    }

    /// How each of them stands.
    pub fn hosted_views(&self) -> impl Iterator<Item = View<'_>> {
        self.hosted().map(|(provider, hardware, pace)| View {
            provider,
            gpu_hour_usd: hardware.gpu_hour,
            gpus: hardware.gpus,
            configured: SpeedsView {
                prefill_tps: hardware.prefill_tps,
                decode_tps: hardware.decode_tps,
            },
            learned: pace.speeds().map(|speeds| SpeedsView {
                prefill_tps: speeds.prefill_tps,
                decode_tps: speeds.decode_tps,
            }),
            in_flight: pace.under_way(),
            marginal_share: pace.share(hardware).map(|share| chance(share.parts())),
        })
    }
}

impl App {
    /// Tells the ledger what one's own hardware costs from now on.
    pub fn state_rents(&self, now: Timestamp) {
        let Some(store) = &self.store else { return };
        let providers = &self.world().config.providers;
        let rents = providers.iter().filter_map(|provider| {
            Some(Rent {
                provider: Arc::clone(&provider.name),
                hardware: provider.self_hosted?,
            })
        });
        store.rent(now.as_millisecond(), rents.collect());
    }
}

/// How fast each provider is known to be, in the order of the configuration. Other hardware has to
/// be learned anew.
pub(super) fn paces(config: &Config, before: Option<&World>) -> Vec<Option<Arc<Pace>>> {
    let providers = config.providers.iter();
    let pace = providers.map(|provider| {
        let hardware = provider.self_hosted.as_ref()?;
        let known = before.and_then(|world| {
            let mut olds = world.config.providers.iter().zip(&world.means.paces);
            let same = olds.find(|(old, _)| old.name == provider.name);
            let (old, pace) = same?;
            pace.as_ref()
                .filter(|_| old.self_hosted.as_ref() == Some(hardware))
        });
        Some(known.map_or_else(Arc::default, Arc::clone))
    });
    pace.collect()
}
