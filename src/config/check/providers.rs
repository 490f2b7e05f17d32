//! Accounts and addresses: what is written, completed by the catalogue.
//!
//! It decides where each provider stands, how it is spoken to and what else is known of it, and
//! keeps the catalogue's entry at hand for the models.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use http::{HeaderName, HeaderValue, Uri, header::AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};

use super::{Catalog, Findings, policy, server::limits};
use crate::{
    catalog::{self, Adapter, Boundary, Protocol},
    certificates::Authorities,
    config::{
        CaFile, Hosting, Listed, OutputLimitField, Provider, SelfHosted,
        mistake::{Path, similar},
        pending, raw, text,
    },
};

/// Catalogue providers that take another spelling of the output limit than `max_tokens`; `AsSent`
/// takes both. Groq's is from its reference, the others are how their APIs are commonly used:
/// `output_limit` overrides each.
const OUTPUT_LIMITS: [(&str, OutputLimitField); 5] = [
    ("cerebras", OutputLimitField::MaxCompletionTokens),
    ("groq", OutputLimitField::AsSent),
    ("openai", OutputLimitField::MaxCompletionTokens),
    ("openrouter", OutputLimitField::AsSent),
    ("xai", OutputLimitField::AsSent),
];

/// More keys than this for one provider are a mistake, not a pool.
const MAX_API_KEYS: usize = 100;

/// The providers and what is known of each beyond its own entry.
pub(super) struct Providers<'c> {
    list: Vec<Provider>,
    facts: Vec<Facts<'c>>,
}

/// What the models need to know of a provider.
#[derive(Clone, Copy)]
pub(super) struct Facts<'c> {
    pub(super) catalog: Option<&'c catalog::Provider>,
    pub(super) self_hosted: Option<SelfHosted>,
}

impl<'c> Providers<'c> {
    pub(super) fn get(&self, index: usize) -> Option<(&Provider, Facts<'c>)> {
        self.list.get(index).zip(self.facts.get(index).copied())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Provider, Facts<'c>)> {
        self.list
            .iter()
            .zip(&self.facts)
            .enumerate()
            .map(|(i, (p, facts))| (i, p, *facts))
    }

    /// The index of a provider; an unknown one is a mistake.
    pub(super) fn find(
        &self,
        name: &str,
        path: &Path,
        catalog: &dyn Catalog,
        findings: &mut Findings<'_>,
    ) -> Option<usize> {
        let found = self
            .list
            .iter()
            .position(|provider| &*provider.name == name);
        if found.is_none() {
            let message = format!("no provider is named `{}`", findings.shown(path));
            let known = self.list.iter().map(|provider| &*provider.name);
            let hint = if let Some(provider) = catalog.provider(name) {
                format!("add `{}: {{ api_key: … }}` under `providers`", provider.id)
            } else if let Some(name) = similar(name, known.chain(catalog.names())) {
                format!("did you mean `{name}`?")
            } else {
                "write it under `providers`".to_owned()
            };
            findings.mistake_with(path, message, hint);
        }
        found
    }

    pub(super) fn finish(self) -> Vec<Provider> {
        self.list
    }
}

/// Checks all of them; one with mistakes stays in the list, so that its models make no more.
pub(super) fn check<'c>(
    raw: BTreeMap<String, raw::Provider>,
    catalog: &'c dyn Catalog,
    findings: &mut Findings<'_>,
) -> Providers<'c> {
    let (mut list, mut facts) = (Vec::new(), Vec::new());
    for (name, raw) in raw {
        let path = Path::root().key("providers").key(&name);
        let known = catalog.provider(&name);
        let self_hosted = raw.self_hosted.map(hosted);
        facts.push(Facts {
            catalog: known,
            self_hosted,
        });
        let own_address = raw.base_url.is_some() || raw.base_urls.is_some();
        let provider = provider(&name, raw, known, &path, findings);
        if !own_address && provider.base_urls.is_empty() {
            let hint = no_address(&provider, known, catalog);
            findings.mistake_with(&path, "needs a `base_url`", hint);
        }
        list.push(provider);
    }
    Providers { list, facts }
}

fn provider(
    name: &str,
    raw: raw::Provider,
    catalog: Option<&catalog::Provider>,
    path: &Path,
    findings: &mut Findings<'_>,
) -> Provider {
    let written = raw.protocol.map(|raw::Protocol::Openai| Protocol::OpenAi);
    let protocol = written
        .or(catalog.map(|c| c.protocol))
        .unwrap_or(Protocol::OpenAi);
    if protocol != Protocol::OpenAi {
        let hint = "it speaks another protocol than `openai`";
        findings.mistake_with(path, pending::NOT_YET, hint);
    }
    // the catalogue's address and ways of counting belong to the catalogue's protocol
    let same = catalog.filter(|catalog| catalog.protocol == protocol);
    let own_address = raw.base_url.is_some() || raw.base_urls.is_some();
    let headers = headers(raw.headers.unwrap_or_default(), path, findings);
    let authorized = headers.iter().any(|(name, _)| name == AUTHORIZATION);
    let has_key = raw.api_key.is_some() || raw.api_keys.is_some();
    if has_key && authorized {
        let path = path.key("headers");
        findings.mistake(
            &path,
            "`authorization` and `api_key` are two ways to say the same",
        );
    }
    if let Some(catalog) = same
        && !has_key
        && headers.is_empty()
        && !own_address
    {
        let var = catalog.env.first().map_or("API_KEY", |var| &**var);
        let hint = format!("api_key: ${{{var}}}");
        findings.warning(path, "has no `api_key`", Some(hint));
    }
    // at an address of one's own, the vendor's name says nothing of where that is
    let vendor = same.filter(|catalog| !own_address && catalog.base_url.is_some());
    let known = same.and_then(|catalog| catalog.base_url.as_deref());
    let base_urls = base_urls(raw.base_url, raw.base_urls, known, path, findings);
    Provider {
        name: name.into(),
        protocol,
        base_urls,
        api_keys: api_keys(raw.api_key, raw.api_keys, path, findings),
        headers,
        region: raw
            .region
            .map(|region| region.0.into())
            .or_else(|| vendor.and_then(only_region)),
        hosting: raw.hosting.map(policy::hosting).or_else(|| {
            let own = raw.self_hosted.is_some().then_some(Hosting::Own);
            own.or(vendor.map(|_| Hosting::Vendor))
        }),
        retention_days: raw.retention_days,
        adapter: same.map_or(Adapter::OpenAi, |catalog| catalog.adapter),
        boundary: same.map_or(Boundary::Over, |catalog| catalog.boundary),
        listed: same.map(Listed::of).unwrap_or_default(),
        limits: limits(raw.limits),
        self_hosted: raw.self_hosted.map(hosted),
        proxy: raw.proxy.map(|proxy| proxy.0),
        ca_file: raw
            .ca_file
            .and_then(|file| ca_file(file.0, &path.key("ca_file"), findings)),
        output_limit_field: match raw.output_limit {
            Some(raw::OutputLimit::MaxTokens) => OutputLimitField::MaxTokens,
            Some(raw::OutputLimit::MaxCompletionTokens) => OutputLimitField::MaxCompletionTokens,
            Some(raw::OutputLimit::AsSent) => OutputLimitField::AsSent,
            None => same.map_or(OutputLimitField::AsSent, |catalog| {
                output_limit(&catalog.id)
            }),
        },
    }
}

/// Where a vendor stands, if that is one place.
fn only_region(catalog: &catalog::Provider) -> Option<Arc<str>> {
    match catalog.regions.as_slice() {
        [only] => Some(Arc::clone(only)),
        _ => None,
    }
}

fn hosted(raw: raw::SelfHosted) -> SelfHosted {
    SelfHosted {
        gpu_hour: raw.gpu_hour.0,
        gpus: raw.gpus,
        prefill_tps: raw.prefill_tps,
        decode_tps: raw.decode_tps,
    }
}

/// Authorities that are trusted too; `None` where there is a mistake.
fn ca_file(file: PathBuf, path: &Path, findings: &mut Findings<'_>) -> Option<CaFile> {
    let bundle = findings.file(path, &file)?;
    let authorities = Authorities::read(&bundle);
    let authorities = authorities.map_err(|error| findings.mistake(path, error.to_string()));
    Some(CaFile {
        path: file,
        authorities: authorities.ok()?,
    })
}

/// The keys that take turns, in the order written.
fn api_keys(
    one: Option<raw::SecretText>,
    several: Option<Vec<raw::SecretText>>,
    path: &Path,
    findings: &mut Findings<'_>,
) -> Vec<SecretString> {
    let path = path.key("api_keys");
    let keys = match (one, several) {
        (one, None) => return one.into_iter().map(|key| key.0).collect(),
        (Some(_), Some(_)) => {
            let message = "`api_key` and `api_keys` are two ways to say the same";
            findings.mistake(&path, message);
            return Vec::new();
        }
        (None, Some(keys)) => keys,
    };
    if keys.is_empty() {
        findings.mistake(&path, "must not be empty");
    }
    if keys.len() > MAX_API_KEYS {
        let message = format!("{} keys: a provider may have {MAX_API_KEYS}", keys.len());
        findings.mistake(&path, message);
    }
    let mut seen = BTreeSet::new();
    for (index, key) in keys.iter().enumerate() {
        if !seen.insert(key.0.expose_secret()) {
            findings.mistake(&path.index(index), "the same key twice");
        }
    }
    keys.into_iter().map(|key| key.0).collect()
}

/// Where it stands: as written, or as the catalogue says; empty if neither does.
fn base_urls(
    one: Option<raw::HttpUrl>,
    several: Option<Vec<raw::HttpUrl>>,
    known: Option<&str>,
    path: &Path,
    findings: &mut Findings<'_>,
) -> Vec<Uri> {
    let path = path.key("base_urls");
    match (one, several) {
        (Some(url), None) => vec![url.0],
        (None, None) => known
            .and_then(|url| text::url(url).ok())
            .into_iter()
            .collect(),
        (Some(_), Some(_)) => {
            let message = "`base_url` and `base_urls` are two ways to say the same";
            findings.mistake(&path, message);
            Vec::new()
        }
        (None, Some(urls)) => {
            if urls.is_empty() {
                findings.mistake(&path, "must not be empty");
            }
            let mut seen = BTreeSet::new();
            for (index, url) in urls.iter().enumerate() {
                if !seen.insert(url.0.to_string()) {
                    findings.mistake(&path.index(index), "the same URL twice");
                }
            }
            urls.into_iter().map(|url| url.0).collect()
        }
    }
}

/// Why the catalogue gives no address.
fn no_address(
    provider: &Provider,
    known: Option<&catalog::Provider>,
    catalog: &dyn Catalog,
) -> String {
    match known {
        Some(known) if known.protocol != provider.protocol => {
            "the catalogue's address speaks another protocol".to_owned()
        }
        Some(_) => "the catalogue knows no fixed address".to_owned(),
        None => match similar(&provider.name, catalog.names()) {
            Some(name) => format!("or did you mean `{name}`?"),
            None => "it is no name of the catalogue".to_owned(),
        },
    }
}

fn headers(
    raw: BTreeMap<String, raw::HeaderText>,
    path: &Path,
    findings: &mut Findings<'_>,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (written, value) in raw {
        // its form has been checked as the name of a key
        let Ok(name) = text::header_name(&written) else {
            continue;
        };
        if headers.iter().any(|(other, _)| *other == name) {
            let path = path.key("headers").key(&written);
            findings.mistake(&path, "the same header twice: names differ only in case");
        }
        headers.push((name, value.0));
    }
    headers
}

fn output_limit(id: &str) -> OutputLimitField {
    let known = OUTPUT_LIMITS.iter().find(|(provider, _)| *provider == id);
    known.map_or(OutputLimitField::MaxTokens, |(_, field)| *field)
}
