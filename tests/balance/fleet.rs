//! What can be asked for, what stands behind it, and what each backend must be paid.

use std::fmt::Write as _;

use tollgate::simulate::{Handle, Options};

use crate::{
    load::WORKERS,
    mix::Kind,
    support::{common::simulator_with, setup::UPSTREAM_KEY},
};

/// The key of ordinary requests. It has a budget that they do not use up.
pub(crate) const KEY: &str = "sk-books-0123456789abcdef";
/// The key of those that no price applies to: it has no budget.
pub(crate) const FREE: &str = "sk-free-0123456789abcdef";
/// The key of requests that are too many.
pub(crate) const TIGHT: &str = "sk-tight-0123456789abcdef";
/// Requests at once of the ordinary key: more than there are workers, as whoever left is noticed
/// a little later.
pub(crate) const PLACES: usize = 2 * WORKERS;
/// Requests a minute of the other one.
pub(crate) const FEW: u64 = 3;
/// The longest answer of every model: what a request holds of the tokens of its key.
const LONGEST: usize = 2_000;

/// What is known of a backend's bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// The simulator reports what it serves: rows hold it to the token.
    Exact,
    /// It serves a part and reports nothing: rows hold at least what clients got, at most what
    /// it sent.
    Part,
    /// It is asked and sends nothing: rows hold the prompt.
    Nothing,
}

/// Pico-dollars a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rates {
    pub(crate) input: u128,
    pub(crate) cached: u128,
    pub(crate) written: u128,
    pub(crate) output: u128,
}

/// A backend of the simulator.
#[derive(Debug, Clone)]
pub(crate) struct Backend {
    pub(crate) kind: Kind,
    /// As the gateway asks for it: the script.
    pub(crate) model: String,
    pub(crate) promise: Promise,
    /// `None`: it has no price.
    pub(crate) rates: Option<Rates>,
}

/// The provider of nearly all.
const SIM: &str = "sim";
/// The same simulator under another address, so that connections that it breaks were never used by
/// others: one that lay idle before is replaced unseen.
const BREAKS: &str = "breaks";
/// Own hardware: $0.36 an hour, 1,000 prompt and 100 output tokens a second, which are whole
/// pico-dollars a token.
const OWN: &str = "own";
/// A provider of the catalogue, with its prices.
const LISTED: &str = "openai";
/// How the simulator plays its models, whose names must be those of the catalogue.
const PLAYED: [(Kind, &str); 2] = [
    (Kind::Long, "prompt=300000+cached=120000"),
    (Kind::Flex, "cached=5+reasoning=12+tier=flex"),
];

/// The simulator with the models of the catalogue in it.
pub(crate) async fn simulator() -> Handle {
    let scripts = PLAYED.map(|(kind, script)| (kind.model().to_owned(), script.to_owned()));
    simulator_with(Options {
        scripts: scripts.into(),
        ..Options::default()
    })
    .await
}

impl Backend {
    /// Its name in the gateway.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.provider(), self.model)
    }

    fn provider(&self) -> &'static str {
        match self.kind {
            Kind::Falls if self.promise == Promise::Nothing => BREAKS,
            Kind::Hosted => OWN,
            Kind::Long | Kind::Flex => LISTED,
            _ => SIM,
        }
    }

    /// What so many tokens cost: of the prompt, those of it that were read from a cache and written
    /// to one, and all of the output.
    pub(crate) fn price(&self, prompt: u64, (cached, written): (u64, u64), output: u64) -> u128 {
        let Some(rates) = self.rates else { return 0 };
        let fresh = prompt.checked_sub(cached + written);
        u128::from(fresh.expect("more cached than sent")) * rates.input
            + u128::from(cached) * rates.cached
            + u128::from(written) * rates.written
            + u128::from(output) * rates.output
    }
}

/// Every backend; those of one model in the order in which they are asked.
pub(crate) fn backends() -> Vec<Backend> {
    let mut all = Vec::new();
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        for (place, (script, promise)) in scripts(kind).iter().enumerate() {
            let base = kind.model();
            let spare = if place == 0 { "" } else { "-spare" };
            let owners = if kind == Kind::Early { WORKERS } else { 1 };
            for owner in 0..owners {
                let base = match kind {
                    Kind::Early => early(owner),
                    _ => base.to_owned(),
                };
                all.push(Backend {
                    kind,
                    model: format!("{base}{spare}{script}"),
                    promise: *promise,
                    rates: rates(kind, number as u128, place as u32),
                });
            }
        }
    }
    all
}

/// The model that only this worker leaves before it has answered.
pub(crate) fn early(worker: usize) -> String {
    format!("{}-{worker}", Kind::Early.model())
}

/// The backend of [`early`] as the simulator is asked for it.
pub(crate) fn early_backend(worker: usize) -> String {
    format!("{}{}", early(worker), scripts(Kind::Early)[0].0)
}

/// How the backends of a model behave.
fn scripts(kind: Kind) -> &'static [(&'static str, Promise)] {
    use Promise::{Exact, Nothing, Part};
    match kind {
        Kind::Thinks => &[("+reasoning=40+chunk=8", Exact)],
        Kind::Cached => &[("+cached=17+chunk=8", Exact)],
        Kind::Written => &[("+cached=6+written=9+chunk=8", Exact)],
        Kind::Mute => &[("+usage=none", Part)],
        Kind::Mid => &[("+out=2000+gap=4ms", Part)],
        Kind::Early => &[("+head=60s", Nothing)],
        Kind::Limps => &[("+fault=status:500+every=2", Exact), ("", Exact)],
        Kind::Falls => &[("+fault=reset", Nothing), ("", Exact)],
        Kind::Busy => &[
            ("+fault=status:429+retry_after=40ms+every=3", Exact),
            ("", Exact),
        ],
        Kind::Garbled => &[("+out=30+fault=garbage:4", Part)],
        Kind::Cut => &[("+out=30+fault=cut:9", Part)],
        Kind::Hangs => &[("+fault=hang", Nothing), ("", Exact)],
        Kind::Invalid => &[("+fault=status+body=invalid", Exact)],
        Kind::Malformed | Kind::Stranger => &[],
        Kind::Held => &[("+fault=stall:1", Part)],
        Kind::Quiet | Kind::Told | Kind::After => &[("+chunk=8", Exact)],
        Kind::Plain | Kind::Unpriced | Kind::Free | Kind::Tight => &[("", Exact)],
        Kind::Hosted | Kind::Long | Kind::Flex => &[("", Exact)],
    }
}

/// Odd figures, so that no mistake hides in round ones; a spare is a hundred times as dear.
fn rates(kind: Kind, number: u128, place: u32) -> Option<Rates> {
    let times = 100_u128.pow(place);
    match kind {
        Kind::Unpriced => None,
        Kind::Free => Some(Rates {
            input: 0,
            cached: 0,
            written: 0,
            output: 0,
        }),
        Kind::Hosted => Some(Rates {
            input: 100_000,
            cached: 100_000,
            written: 100_000,
            output: 1_000_000,
        }),
        // config/catalog/openai.toml: the standard card over 272,000 tokens
        Kind::Long => Some(Rates {
            input: 5_000_000,
            cached: 500_000,
            written: 5_000_000,
            output: 22_500_000,
        }),
        // and the card of the tier
        Kind::Flex => Some(Rates {
            input: 375_000,
            cached: 37_500,
            written: 375_000,
            output: 2_250_000,
        }),
        _ => Some(Rates {
            input: (123_457 + 1_009 * number) * times,
            cached: (12_347 + 101 * number) * times,
            written: (154_331 + 1_511 * number) * times,
            output: (654_321 + 10_007 * number) * times,
        }),
    }
}

/// The configuration for a load of so many requests.
pub(crate) fn yaml(sim: &Handle, requests: usize) -> String {
    let url = sim.base_url("");
    let mut yaml = format!(
        "server: {{ first_byte_timeout: 3s }}\n\
         admin: {{ key: tg-admin-0123456789abcdef }}\n\
         retries: {{ attempts: 3, budget: 1, max_wait: 1s }}\n\
         breaker: {{ failures: 100, window: 1ms }}\n\
         keys:\n  \
         - {{ id: books, key: {KEY}, limits: {{ rpm: {}, tpm: {}, max_concurrent: {PLACES} }}, \
         budget: {{ usd: '1000000', per: total }} }}\n  \
         - {{ id: free, key: {FREE} }}\n  \
         - {{ id: tight, key: {TIGHT}, limits: {{ rpm: {FEW} }} }}\n\
         providers:\n  \
         {SIM}: {{ base_url: '{url}', api_key: {UPSTREAM_KEY} }}\n  \
         {BREAKS}: {{ base_url: 'http://localhost:{}/v1', api_key: {UPSTREAM_KEY} }}\n  \
         {LISTED}: {{ base_url: '{url}', api_key: {UPSTREAM_KEY} }}\n  \
         {OWN}: {{ base_url: '{url}', api_key: {UPSTREAM_KEY}, self_hosted: \
         {{ gpu_hour: '0.36', gpus: 1, prefill_tps: 1000, decode_tps: 100 }} }}\n\
         models:\n",
        rpm(requests),
        tpm(requests),
        sim.addr().port()
    );
    let all = backends();
    let mut rest = all.as_slice();
    while let Some(first) = rest.first() {
        let base = first.model.split('+').next().unwrap_or_default();
        let own = |b: &&Backend| {
            b.model.trim_start_matches(base).starts_with("-spare") || b.model == first.model
        };
        let number = rest.iter().take_while(own).count();
        let _ = writeln!(
            yaml,
            "  - {{ name: '{base}', {} backends: [{}] }}",
            known(first),
            rest[..number]
                .iter()
                .map(written)
                .collect::<Vec<_>>()
                .join(", ")
        );
        rest = &rest[number..];
    }
    yaml
}

/// What is said of a model; of one of the catalogue nothing.
fn known(backend: &Backend) -> String {
    if backend.provider() == LISTED {
        return String::new();
    }
    format!("context: 100000, max_output: {LONGEST}, caps: [streaming, reasoning],")
}

/// Requests a minute of the ordinary key.
fn rpm(requests: usize) -> usize {
    1_000 + 10 * requests
}

/// Tokens a minute of the ordinary key: several times what the load uses, and a fraction of what
/// it would hold if what is not used were not given back.
fn tpm(requests: usize) -> usize {
    PLACES * 2 * LONGEST + 300 * requests
}

fn written(backend: &Backend) -> String {
    let price = match backend.rates {
        None => String::new(),
        // by its hardware, or by the catalogue
        Some(_) if [OWN, LISTED].contains(&backend.provider()) => String::new(),
        Some(rates) => format!(
            ", price: {{ input: '{}', cache_read: '{}', cache_write: '{}', output: '{}' }}",
            dollars(rates.input),
            dollars(rates.cached),
            dollars(rates.written),
            dollars(rates.output)
        ),
    };
    format!(
        "{{ provider: {}, model: '{}'{price} }}",
        backend.provider(),
        backend.model
    )
}

/// Pico-dollars a token as dollars a million tokens.
fn dollars(pico: u128) -> String {
    format!("{}.{:06}", pico / 1_000_000, pico % 1_000_000)
}
