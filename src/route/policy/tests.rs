use std::sync::Arc;

use jiff::Timestamp;
use proptest::{option, prelude::*, sample::select};

use super::*;
use crate::{
    caps::Caps,
    catalog,
    config::{
        About, Hosting, Weights,
        load::{self, Environment},
        policy::Lists,
    },
    domain::Domain,
    route::{
        self, Facts, Plan, Refusal, RouteError, health::Standing, names::Names, quality::Judge,
    },
    understand::{Narrow, Needs, Recount, Schemas},
};

struct NoVariables;

impl Environment for NoVariables {
    fn var(&self, _: &str) -> Option<String> {
        None
    }
}

/// Four backends: own hardware with a model of the catalogue, two vendors, and one of which
/// nothing is known.
const FOUR: &str = r#"
providers:
  gpu: { base_url: "http://127.0.0.1:1/v1", region: on-prem, retention_days: 0,
         self_hosted: { gpu_hour: "2", gpus: 1, prefill_tps: 5000, decode_tps: 1000 } }
  deepseek: { api_key: x, retention_days: 30 }
  openai: { api_key: x, region: eu }
  box: { base_url: "http://127.0.0.1:2/v1" }
models:
- { name: qwen, backends: [{ provider: gpu, model: Qwen/Qwen3.5-397B-A17B }], context: 9000, caps: [streaming] }
- { name: deepseek, backends: [{ provider: deepseek, model: deepseek-chat }] }
- { name: gpt, backends: [{ provider: openai, model: gpt-5.4 }] }
- { name: mystery, backends: [{ provider: box, model: m, price: free }], context: 9000, caps: [streaming] }
routes:
- { name: auto, candidates: "*", objective: order }
keys: [{ id: a, key: sk-test-0123456789abcdef, policy: POLICY }]
"#;

/// Before DeepSeek had prices that depend on the hour.
const NOON: &str = "2026-05-20T12:00:00Z";

fn config(policy: &str) -> Config {
    let text = FOUR.replace("POLICY", policy);
    let checked = load::from_str("test.yaml", &text, &NoVariables, catalog::builtin());
    checked
        .unwrap_or_else(|mistakes| panic!("{policy}: {mistakes}"))
        .config
}

fn plan(config: &Config, regions: Option<Vec<String>>) -> Result<Plan, RouteError> {
    let names = Names::of(config);
    let principal = Principal::of(&config.keys[0]);
    let needs = Needs {
        purpose: Cap::Chat,
        at_once: 1_000,
        units: Usage::default(),
        guessed_length: false,
        inputs: 1,
        caps: Caps::default(),
        prompt_tokens: 1_000,
        max_output: None,
        choices: 1,
    };
    let narrow = Narrow {
        regions,
        ..Narrow::default()
    };
    let judge = Judge::of(config);
    let question = Question {
        config,
        names: &names,
        principal: &principal,
        model: "auto",
        needs: &needs,
        schemas: &Schemas::default(),
        recount: &Recount::default(),
        domain: Domain::Chat,
        judge: &judge,
        reading: None,
        learned: None,
        pin: None,
        narrow: &narrow,
        budgeted: false,
        tier: None,
        at: NOON.parse::<Timestamp>().unwrap(),
    };
    route::plan(&question, &|_, _| Facts {
        standing: Standing::Up,
        prompt_tokens: 1_000,
        output_tokens: Some(300),
        cached_micro: 900_000,
        first_token_us: None,
        full_ms: None,
        share: None,
    })
}

/// Whom a key's policy leaves, in the order written.
fn left(policy: &str) -> String {
    let config = config(policy);
    let names = |plan: &Plan| -> Vec<String> {
        let models = plan.candidates.iter().map(|c| &config.models[c.model].name);
        models.map(ToString::to_string).collect()
    };
    match plan(&config, None) {
        Ok(plan) => names(&plan).join(" "),
        Err(error) => error.to_string(),
    }
}

const NOBODY: &str = "policy leaves no backend of this model";

#[test]
fn each_rule_leaves_those_of_whom_it_is_known_to_hold() {
    for (policy, expected) in [
        ("{}", "qwen deepseek gpt mystery"),
        ("{ regions: [eu, on-prem] }", "qwen gpt"),
        // the catalogue knows where DeepSeek is
        ("{ regions: [CN] }", "deepseek"),
        ("{ hosting: own }", "qwen"),
        ("{ hosting: vendor }", "deepseek gpt"),
        ("{ weights: open }", "qwen deepseek"),
        ("{ weights: closed }", "gpt"),
        ("{ developers: [Alibaba] }", "qwen"),
        ("{ deny_developers: [openai] }", "qwen deepseek"),
        ("{ developer_countries: [us] }", "gpt"),
        ("{ deny_developer_countries: [CN] }", "gpt"),
        ("{ providers: [gpu, box] }", "qwen mystery"),
        ("{ deny_providers: [gpu, openai] }", "deepseek mystery"),
        ("{ max_retention_days: 0 }", "qwen"),
        ("{ max_retention_days: 30 }", "qwen deepseek"),
        ("{ licences: [apache-2.0] }", NOBODY),
        ("{ weights: open, hosting: vendor }", "deepseek"),
        ("{ weights: closed, hosting: own }", NOBODY),
    ] {
        assert_eq!(left(policy), expected, "{policy}");
    }
}

#[test]
fn a_price_is_measured_by_what_bills_and_an_unknown_one_is_too_high() {
    // on the GPU: 2 dollars an hour by 5,000 and 1,000 tokens a second
    for (policy, expected) in [
        (
            "{ max_price: { input: \"3\" } }",
            "qwen deepseek gpt mystery",
        ),
        (
            "{ max_price: { input: \"2.5\" } }",
            "qwen deepseek gpt mystery",
        ),
        (
            "{ max_price: { input: \"2.499999\" } }",
            "qwen deepseek mystery",
        ),
        ("{ max_price: { input: \"0.111112\" } }", "qwen mystery"),
        ("{ max_price: { input: \"0.111111\" } }", "mystery"),
        (
            "{ max_price: { output: \"0.555556\" } }",
            "qwen deepseek mystery",
        ),
        ("{ max_price: { output: \"0.28\" } }", "deepseek mystery"),
        ("{ max_price: { output: \"0.279999\" } }", "mystery"),
        ("{ max_price: { input: \"0\", output: \"0\" } }", "mystery"),
    ] {
        assert_eq!(left(policy), expected, "{policy}");
    }
    let mut config = config("{ max_price: { input: \"100\" } }");
    for backend in &mut config.backends {
        backend.price = crate::config::Price::Unpriced;
    }
    assert!(matches!(
        plan(&config, None),
        Err(RouteError::PolicyExcludesAll { .. })
    ));
}

#[test]
fn the_refusal_says_whose_policy_it_is_and_what_it_asks_for() {
    let config = config("{ weights: closed }");
    let plan = plan(&config, None).unwrap();
    let why: Vec<String> = plan
        .refused
        .iter()
        .map(|refused| route::explain::why(refused.why))
        .collect();
    let says = "the key's policy asks for other weights (open or closed)";
    assert_eq!(why, [says; 3]);
    assert_eq!(plan.refused[0].why.label(), "policy_weights");
}

fn names(among: &'static [&'static str]) -> impl Strategy<Value = Vec<Arc<str>>> {
    prop::collection::vec(select(among).prop_map(Arc::from), 1..3)
}

const REGIONS: &[&str] = &["eu", "us", "cn"];
const MAKERS: &[&str] = &["alibaba", "openai", "deepseek"];
const COUNTRIES: &[&str] = &["cn", "us"];
const LICENCES: &[&str] = &["mit", "apache-2.0"];
const PROVIDERS: &[&str] = &["gpu", "deepseek", "openai", "box"];

fn lists(among: &'static [&'static str]) -> impl Strategy<Value = Lists> {
    (
        option::weighted(0.2, names(among)),
        option::weighted(0.2, names(among)),
    )
        .prop_map(|(only, deny)| Lists { only, deny })
}

fn policies() -> impl Strategy<Value = Policy> {
    let hosting = select(&[Hosting::Own, Hosting::Vendor][..]);
    let weights = select(&[Weights::Open, Weights::Closed][..]);
    (
        option::weighted(0.3, names(REGIONS)),
        option::weighted(0.3, hosting),
        option::weighted(0.3, weights),
        option::weighted(0.2, names(LICENCES)),
        lists(MAKERS),
        lists(COUNTRIES),
        lists(PROVIDERS),
        option::weighted(0.2, 0_u32..3),
        option::weighted(0.2, 0_i64..4_000_000),
    )
        .prop_map(
            |(
                regions,
                hosting,
                weights,
                licences,
                developers,
                countries,
                providers,
                days,
                price,
            )| {
                Policy {
                    regions,
                    hosting,
                    weights,
                    licences,
                    developers,
                    countries,
                    providers,
                    max_price: MaxPrice {
                        input: price.map(Rate::from_pico),
                        output: None,
                    },
                    max_retention_days: days,
                }
            },
        )
}

/// What is known of a provider and its model, anything of it unknown.
type Known = (Option<Arc<str>>, Option<Hosting>, Option<u32>, About);

fn known() -> impl Strategy<Value = Known> {
    let one = |among: &'static [&'static str]| option::of(select(among).prop_map(Arc::from));
    let about = (
        one(MAKERS),
        one(COUNTRIES),
        option::of(select(&[Weights::Open, Weights::Closed][..])),
        one(LICENCES),
    );
    let about = about.prop_map(|(developer, country, weights, licence)| About {
        developer,
        country,
        weights,
        licence,
    });
    let hosting = select(&[Hosting::Own, Hosting::Vendor][..]);
    (
        one(REGIONS),
        option::of(hosting),
        option::of(0_u32..3),
        about,
    )
}

/// The rules once more, said in another way: does everything that is asked hold of what is known?
fn holds(policy: &Policy, name: &str, (region, hosting, days, about): &Known) -> bool {
    let asked = |list: &Option<Vec<Arc<str>>>, known: &Option<Arc<str>>| match list {
        Some(list) => known.as_ref().is_some_and(|known| list.contains(known)),
        None => true,
    };
    let denied = |list: &Option<Vec<Arc<str>>>, known: &Option<Arc<str>>| match list {
        Some(list) => known.as_ref().is_none_or(|known| list.contains(known)),
        None => false,
    };
    let by = |lists: &Lists, known| asked(&lists.only, known) && !denied(&lists.deny, known);
    asked(&policy.regions, region)
        && (policy.hosting.is_none() || policy.hosting == *hosting)
        && (policy.weights.is_none() || policy.weights == about.weights)
        && asked(&policy.licences, &about.licence)
        && by(&policy.developers, &about.developer)
        && by(&policy.countries, &about.country)
        && by(&policy.providers, &Some(name.into()))
        && policy
            .max_retention_days
            .is_none_or(|most| days.is_some_and(|days| days <= most))
}

proptest! {
    #[test]
    fn nobody_is_ever_asked_whom_a_policy_of_key_or_route_or_request_excludes(
        key in policies(),
        route in option::of(policies()),
        facts in prop::array::uniform4(known()),
        narrowed in option::weighted(0.3, prop::collection::vec(select(REGIONS), 1..3)),
    ) {
        let mut config = config("{}");
        config.keys[0].policy = Some(Arc::new(key.clone()));
        config.routes[0].policy = route.clone();
        for (index, (region, hosting, days, about)) in facts.iter().enumerate() {
            config.backends[index].about = about.clone();
            let provider = &mut config.providers[config.backends[index].provider];
            provider.region = region.clone();
            provider.hosting = *hosting;
            provider.retention_days = *days;
        }
        let regions = narrowed.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
        let (candidates, refused) = match plan(&config, regions.clone()) {
            Ok(plan) => (plan.candidates, plan.refused),
            Err(error) => (Vec::new(), error.refused().to_vec()),
        };
        prop_assert_eq!(candidates.len() + refused.len(), 4, "everybody is accounted for");
        let allowed = |backend: usize| {
            let name = &*config.providers[config.backends[backend].provider].name;
            let known = &facts[backend];
            holds(&key, name, known)
                && route.as_ref().is_none_or(|route| holds(route, name, known))
                && regions.as_ref().is_none_or(|list| known.0.as_ref().is_some_and(|r| list.iter().any(|l| **l == **r)))
        };
        for candidate in &candidates {
            prop_assert!(allowed(candidate.backend));
        }
        for one in &refused {
            let price = matches!(one.why, Refusal::Policy(_, Rule::Price));
            prop_assert!(price || !allowed(one.backend), "{:?}", one.why);
        }
    }
}
