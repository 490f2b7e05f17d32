use proptest::prelude::*;

use super::{health::DownReason, *};
use crate::{
    caps::Caps,
    config::load::{self, Environment},
    usage::Usage,
};

struct NoVariables;

impl Environment for NoVariables {
    fn var(&self, _: &str) -> Option<String> {
        None
    }
}

fn config(text: &str) -> Config {
    let checked = load::from_str("test.yaml", text, &NoVariables, crate::catalog::builtin());
    checked
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
        .config
}

/// Three models: a small free one, a cheap one without tools, a dear one that can do all.
const THREE: &str = r#"
providers:
  own: { base_url: "http://127.0.0.1:1/v1", region: on-prem }
  shop: { base_url: "http://127.0.0.1:2/v1", region: eu }
models:
- name: small
  aliases: [tiny]
  backends: [{ provider: own, model: small, price: free }]
  context: 1000
  caps: [streaming]
  quality: { default: 0.5, code: 0.2 }
- name: cheap
  backends: [{ provider: shop, model: cheap, price: { input: "0.10", output: "0.20" } }]
  context: 8000
  max_output: 100
  caps: [streaming, json_schema]
  quality: { default: 0.7 }
- name: dear
  backends: [{ provider: shop, model: dear, price: { input: "3", output: "15" } }]
  context: 100000
  caps: [streaming, tools, json_schema, vision]
  quality: { default: 0.9 }
routes:
- { name: auto, candidates: "*", baseline: dear }
- { name: floor, candidates: "*", min_quality: 0.65 }
- { name: listed, candidates: [dear, small], objective: order }
- { name: once, candidates: "*", fallback: false }
- { name: best, candidates: "*", objective: quality }
- { name: fast, candidates: "*", objective: latency }
"#;

fn needs(caps: &[Cap], prompt_tokens: u64) -> Needs {
    Needs {
        purpose: Cap::Chat,
        at_once: prompt_tokens,
        units: Usage::default(),
        guessed_length: false,
        inputs: 1,
        caps: caps.iter().copied().collect(),
        prompt_tokens,
        max_output: None,
        choices: 1,
    }
}

/// A request to a configuration.
struct Case<'a> {
    config: &'a Config,
    model: &'a str,
    needs: Needs,
    narrow: Narrow,
    domain: Domain,
    principal: Principal,
}

impl<'a> Case<'a> {
    fn new(config: &'a Config, model: &'a str) -> Self {
        Self {
            config,
            model,
            needs: needs(&[], 50),
            narrow: Narrow::default(),
            domain: Domain::Chat,
            principal: Principal::anybody(),
        }
    }

    fn plan_with(&self, standing: &dyn Fn(usize) -> Standing) -> Result<Plan, RouteError> {
        let names = Names::of(self.config);
        let judge = Judge::of(self.config);
        let question = Question {
            config: self.config,
            names: &names,
            principal: &self.principal,
            model: self.model,
            needs: &self.needs,
            schemas: &Schemas::default(),
            recount: &Recount::default(),
            domain: self.domain,
            judge: &judge,
            reading: None,
            learned: None,
            pin: None,
            narrow: &self.narrow,
            budgeted: self.principal.budget.is_some(),
            tier: None,
            at: Timestamp::UNIX_EPOCH,
        };
        plan(&question, &|_, backend| Facts {
            standing: standing(backend),
            prompt_tokens: self.needs.prompt_tokens,
            output_tokens: Some(300),
            cached_micro: 900_000,
            first_token_us: Some(1_000 - backend as u64),
            full_ms: None,
            share: None,
        })
    }

    fn plan(&self) -> Result<Plan, RouteError> {
        self.plan_with(&|_| Standing::Up)
    }

    fn order(&self) -> Vec<&str> {
        let plan = self.plan().unwrap_or_else(|error| panic!("{error}"));
        plan.candidates
            .iter()
            .map(|c| &*self.config.models[c.model].name)
            .collect()
    }
}

fn because(error: &RouteError) -> Vec<&'static str> {
    error
        .refused()
        .iter()
        .map(|refused| refused.why.label())
        .collect()
}

#[test]
fn the_cheapest_capable_backend_comes_first_and_the_rest_by_cost() {
    let config = config(THREE);
    let plan = Case::new(&config, "auto").plan().unwrap();
    assert_eq!(plan.reason, Reason::Cheapest);
    let costs: Vec<String> = plan
        .candidates
        .iter()
        .map(|c| c.expected.unwrap().to_string())
        .collect();
    // 50 × 0.10 + 100 × 0.20 (it writes at most 100), 50 × 3 + 300 × 15, a millionth of it
    assert_eq!(costs, ["0", "0.000025", "0.00465"]);
}

#[test]
fn a_backend_that_lacks_what_is_needed_is_refused_by_the_name_of_it() {
    let config = config(THREE);
    let mut case = Case::new(&config, "auto");
    case.needs = needs(&[Cap::Tools], 50);
    let plan = case.plan().unwrap();
    assert_eq!((case.order(), plan.reason), (vec!["dear"], Reason::Only));
    let refused: Vec<&str> = plan.refused.iter().map(|r| r.why.label()).collect();
    assert_eq!(refused, ["tools", "tools"]);
    case.needs = needs(&[Cap::AudioIn], 50);
    let error = case.plan().unwrap_err();
    assert!(matches!(error, RouteError::NoneCapable { .. }));
    assert_eq!(because(&error), ["audio_in"; 3]);
}

#[test]
fn a_prompt_that_is_too_long_goes_to_a_larger_context_or_nowhere() {
    let config = config(THREE);
    let mut case = Case::new(&config, "auto");
    case.needs = needs(&[], 1_500);
    assert_eq!(case.order(), ["cheap", "dear"]);
    case.needs = needs(&[], 200_000);
    let error = case.plan().unwrap_err();
    assert!(matches!(error, RouteError::TooLong { .. }));
    assert_eq!(because(&error), ["context"; 3]);
}

#[test]
fn room_for_the_output_that_was_asked_for_is_needed() {
    let config = config(THREE);
    let mut case = Case::new(&config, "auto");
    case.needs.max_output = Some(980);
    // small: 50 + 980 > 1000; cheap writes at most 100
    assert_eq!(case.order(), ["dear"]);
    let labels: Vec<&str> = case
        .plan()
        .unwrap()
        .refused
        .iter()
        .map(|r| r.why.label())
        .collect();
    assert_eq!(labels, ["context", "output"]);
}

#[test]
fn the_floor_is_the_greater_of_route_and_request_and_by_domain() {
    let config = config(THREE);
    assert_eq!(Case::new(&config, "floor").order(), ["cheap", "dear"]);
    let mut case = Case::new(&config, "floor");
    case.narrow.min_quality = Some(8_000);
    assert_eq!(case.order(), ["dear"]);
    case.narrow.min_quality = Some(100);
    assert_eq!(case.order(), ["cheap", "dear"]);
    case.narrow.min_quality = Some(9_500);
    let error = case.plan().unwrap_err();
    assert!(matches!(error, RouteError::NoneCapable { .. }));
    assert_eq!(because(&error), ["quality"; 3]);
    let mut code = Case::new(&config, "auto");
    code.narrow.min_quality = Some(3_000);
    code.domain = Domain::Code;
    assert_eq!(code.order(), ["cheap", "dear"]);
}

#[test]
fn a_quality_that_is_not_known_never_meets_a_floor_and_the_route_says_whom_to_ask() {
    let text = r#"
providers: { own: { base_url: "http://127.0.0.1:1/v1" } }
models:
- { name: a, backends: [{ provider: own, model: a, price: { input: "1", output: "1" } }] }
- { name: b, backends: [{ provider: own, model: b, price: { input: "2", output: "2" } }] }
- { name: c, backends: [{ provider: own, model: c, price: { input: "3", output: "3" } }], quality: { default: 0.9 } }
routes:
- { name: strong, candidates: [a, b], min_quality: 0.5 }
- { name: thrifty, candidates: [a, b], min_quality: 0.5, on_uncertain: cheapest }
- { name: known, candidates: [a, b, c], min_quality: 0.5 }
"#;
    let config = config(text);
    let strong = Case::new(&config, "strong");
    assert_eq!(
        (strong.order(), strong.plan().unwrap().reason),
        (vec!["b", "a"], Reason::UncertainStrongest)
    );
    let thrifty = Case::new(&config, "thrifty");
    assert_eq!(
        (thrifty.order(), thrifty.plan().unwrap().reason),
        (vec!["a", "b"], Reason::UncertainCheapest)
    );
    assert_eq!(Case::new(&config, "known").order(), ["c"]);
}

#[test]
fn an_unpriced_backend_comes_last_whatever_the_others_cost() {
    let text = r#"
providers: { own: { base_url: "http://127.0.0.1:1/v1" } }
models:
- { name: unknown, backends: [{ provider: own, model: u }] }
- { name: dear, backends: [{ provider: own, model: d, price: { input: "900", output: "900" } }] }
routes: [{ name: auto, candidates: "*" }]
"#;
    assert_eq!(
        Case::new(&config(text), "auto").order(),
        ["dear", "unknown"]
    );
}

#[test]
fn each_objective_has_its_order() {
    let config = config(THREE);
    assert_eq!(Case::new(&config, "listed").order(), ["dear", "small"]);
    assert_eq!(
        Case::new(&config, "best").order(),
        ["dear", "cheap", "small"]
    );
    assert_eq!(
        Case::new(&config, "fast").order(),
        ["dear", "cheap", "small"]
    );
    assert_eq!(Case::new(&config, "once").order(), ["small"]);
}

#[test]
fn a_name_is_a_route_a_model_an_alias_a_pin_or_unknown() {
    let config = config(THREE);
    assert_eq!(Case::new(&config, "tiny").order(), ["small"]);
    let pinned = Case::new(&config, "shop/dear");
    assert_eq!(
        (pinned.order(), pinned.plan().unwrap().reason),
        (vec!["dear"], Reason::Pinned)
    );
    assert!(matches!(
        Case::new(&config, "gpt").plan(),
        Err(RouteError::UnknownModel(_))
    ));
}

#[test]
fn an_exact_name_beats_a_wildcard_and_a_longer_one_a_shorter_one() {
    let text = r#"
providers: { own: { base_url: "http://127.0.0.1:1/v1" } }
models:
- { name: "q*", backends: [{ provider: own, model: short, price: free }] }
- { name: "qwen*", backends: [{ provider: own, model: long, price: free }] }
- { name: qwen3, backends: [{ provider: own, model: exact, price: free }] }
"#;
    let config = config(text);
    assert_eq!(Case::new(&config, "qwen3").order(), ["qwen3"]);
    assert_eq!(Case::new(&config, "qwen3-32b").order(), ["qwen*"]);
    assert_eq!(Case::new(&config, "q1").order(), ["q*"]);
}

#[test]
fn a_key_gets_what_its_patterns_say_and_a_route_covers_its_candidates() {
    let config = config(THREE);
    let with = |models: &[&str], asked| {
        let mut case = Case::new(&config, asked);
        let models = models.iter().map(|m| (*m).into()).collect();
        case.principal = Principal::new("k".into(), Some(models));
        case.plan().map(|plan| plan.candidates.len())
    };
    assert_eq!(with(&["auto"], "auto").unwrap(), 3);
    assert!(matches!(
        with(&["auto"], "dear"),
        Err(RouteError::NotAllowed(_))
    ));
    assert!(matches!(
        with(&["auto"], "shop/dear"),
        Err(RouteError::NotAllowed(_))
    ));
    assert_eq!(with(&["de*"], "shop/dear").unwrap(), 1);
    assert_eq!(with(&["small"], "tiny").unwrap(), 1);
    assert!(matches!(
        with(&["small"], "gpt"),
        Err(RouteError::UnknownModel(_))
    ));
}

#[test]
fn a_request_chooses_the_objective_only_where_its_key_may() {
    let config = config(THREE);
    let mut case = Case::new(&config, "auto");
    assert_eq!(case.order(), ["small", "cheap", "dear"]);
    case.narrow.objective = Some(Objective::Quality);
    assert_eq!(
        case.order(),
        ["dear", "cheap", "small"],
        "nobody asked for a key"
    );
    let with = |may| crate::config::Key {
        id: "a".into(),
        sha256: [0; 32],
        models: None,
        limits: crate::config::Limits::default(),
        budget: None,
        expires: None,
        tags: None,
        policy: None,
        may: crate::config::May { objective: may },
    };
    case.principal = Principal::of(&with(true));
    assert_eq!(case.order(), ["dear", "cheap", "small"]);
    case.principal = Principal::of(&with(false));
    assert!(matches!(case.plan(), Err(RouteError::ObjectiveNotAllowed)));
    case.narrow.objective = None;
    assert_eq!(case.order(), ["small", "cheap", "dear"]);
}

#[test]
fn a_request_may_only_narrow() {
    let config = config(THREE);
    let mut case = Case::new(&config, "auto");
    case.narrow.models = Some(vec!["dear".into(), "tiny".into(), "not-there".into()]);
    assert_eq!(case.order(), ["small", "dear"]);
    case.narrow.regions = Some(vec!["eu".into()]);
    assert_eq!(case.order(), ["dear"]);
    case.narrow.regions = Some(vec!["us".into()]);
    assert!(matches!(
        case.plan(),
        Err(RouteError::PolicyExcludesAll { .. })
    ));
    let mut listed = Case::new(&config, "listed");
    listed.narrow.models = Some(vec!["cheap".into()]);
    assert!(matches!(
        listed.plan(),
        Err(RouteError::PolicyExcludesAll { .. })
    ));
}

#[test]
fn whoever_is_not_healthy_is_left_out_while_somebody_is() {
    let config = config(THREE);
    let case = Case::new(&config, "auto");
    let cooling = Standing::Cooling {
        left_ms: 500,
        asked: false,
    };
    let plan = case
        .plan_with(&|backend| if backend == 0 { cooling } else { Standing::Up })
        .unwrap();
    assert_eq!(plan.candidates.len(), 2);
    assert_eq!(plan.refused[0].why.label(), "cooling");
    let down = Standing::Down(DownReason::KeyRefused);
    let plan = case.plan_with(&|_| down).unwrap();
    assert_eq!(
        (plan.candidates.len(), plan.reason),
        (3, Reason::LastResort)
    );
}

#[test]
fn whoever_failed_too_often_is_asked_only_where_nobody_else_is_up() {
    let config = config(THREE);
    let case = Case::new(&config, "auto");
    let open = Standing::Open {
        failures: 5,
        left_ms: 11_500,
    };
    let plan = case
        .plan_with(&|backend| if backend == 0 { open } else { Standing::Up })
        .unwrap();
    assert_eq!(plan.candidates.len(), 2);
    assert_eq!(plan.refused[0].why.label(), "breaker_open");
    assert_eq!(
        explain::why(plan.refused[0].why),
        "is left alone after 5 failures, for another 12 s"
    );
    let last = Case::new(&config, "shop/dear")
        .plan_with(&|_| open)
        .unwrap();
    assert_eq!(
        (last.candidates.len(), last.reason),
        (1, Reason::LastResort)
    );
}

#[test]
fn whoever_is_to_be_tried_keeps_the_place_that_its_cost_gives_it() {
    let config = config(THREE);
    let case = Case::new(&config, "auto");
    let standing = |backend: usize| match backend {
        0 => Standing::Trial,
        _ => Standing::Up,
    };
    let plan = case.plan_with(&standing).unwrap();
    assert_eq!((plan.candidates.len(), plan.candidates[0].backend), (3, 0));
    assert_eq!(plan.reason, Reason::Cheapest);
}

#[test]
fn what_the_operator_drained_is_not_asked_even_as_a_last_resort() {
    let config = config(THREE);
    let case = Case::new(&config, "auto");
    let standing = |backend: usize| match backend {
        0 => Standing::Drained,
        _ => Standing::Down(DownReason::KeyRefused),
    };
    let plan = case.plan_with(&standing).unwrap();
    assert!(plan.candidates.iter().all(|c| c.backend != 0));
    assert_eq!(plan.refused[0].why.label(), "drained");
    let nobody = case.plan_with(&|_| Standing::Drained).unwrap_err();
    assert!(matches!(
        nobody,
        RouteError::NoneHealthy {
            retry_after_ms: DRAINED_MS,
            ..
        }
    ));
}

#[test]
fn a_backend_that_said_when_to_come_back_is_not_asked_before() {
    let config = config(THREE);
    let case = Case::new(&config, "auto");
    let asked = |backend: usize| Standing::Cooling {
        left_ms: 1_000 + backend as u64,
        asked: true,
    };
    match case.plan_with(&asked).unwrap_err() {
        RouteError::NoneHealthy {
            retry_after_ms,
            refused,
        } => {
            assert_eq!((retry_after_ms, refused.len()), (1_000, 3));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_name_that_the_client_chose_is_given_the_benefit_of_the_doubt_and_a_route_is_not() {
    let text = r#"
providers: { own: { base_url: "http://127.0.0.1:1/v1" } }
models: [{ name: m, backends: [{ provider: own, model: m, price: free }] }]
routes: [{ name: auto, candidates: [m] }]
"#;
    let config = config(text);
    let with = |model, caps: &[Cap], prompt| {
        let mut case = Case::new(&config, model);
        case.needs = needs(caps, prompt);
        case.plan().is_ok()
    };
    assert!(with("m", &[Cap::Tools], 50));
    assert!(with("m", &[], 50_000));
    assert!(!with("auto", &[Cap::Tools], 50));
    assert!(with("auto", &[Cap::Streaming], 50));
    assert!(with("auto", &[], 4_000));
    assert!(!with("auto", &[], 5_000));
}

#[test]
fn who_is_known_to_be_able_goes_before_who_is_only_not_known_to_be() {
    let text = r#"
providers: { own: { base_url: "http://127.0.0.1:1/v1" }, deepseek: { api_key: "0123456789" } }
models:
- name: m
  backends: [{ provider: own, model: m, price: free }, { provider: deepseek, model: deepseek-flash }]
- { name: stated, backends: [{ provider: own, model: s, price: free }], caps: [streaming] }
"#;
    let config = config(text);
    let with = |model, cap: Cap| {
        let mut case = Case::new(&config, model);
        case.needs = needs(&[cap], 50);
        case.plan().map(|plan| {
            plan.candidates
                .iter()
                .map(|c| c.backend)
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(with("m", Cap::Tools).unwrap(), [1]);
    // the catalogue does not say who can give several choices
    assert_eq!(with("m", Cap::N).unwrap(), [0, 1]);
    assert!(matches!(
        with("stated", Cap::N),
        Err(RouteError::NoneCapable { .. })
    ));
}

proptest! {
    #[test]
    fn a_plan_has_each_backend_once_and_only_capable_ones_by_cost(
        prompt in 1_u64..150_000,
        max_output in prop::option::of(1_u64..2_000),
        bits in any::<u16>(),
        standings in prop::collection::vec(0_u8..3, 3),
    ) {
        let config = config(THREE);
        let mut case = Case::new(&config, "auto");
        let caps: Caps = Cap::ALL.iter().filter(|(cap, _)| !cap.is_purpose()).enumerate()
            .filter(|(i, _)| bits >> i & 1 == 1 && bits % 3 != 0).map(|(_, (cap, _))| *cap).collect();
        case.needs = Needs { caps, max_output, ..needs(&[], prompt) };
        let standing = |backend: usize| match standings[backend] {
            0 => Standing::Up,
            1 => Standing::Down(DownReason::OutOfMoney),
            _ => Standing::Cooling { left_ms: 10, asked: true },
        };
        let (candidates, refused) = match case.plan_with(&standing) {
            Ok(plan) => (plan.candidates, plan.refused),
            Err(error) => (vec![], error.refused().to_vec()),
        };
        let mut all: Vec<usize> = candidates.iter().map(|c| c.backend).chain(refused.iter().map(|r| r.backend)).collect();
        all.sort_unstable();
        prop_assert_eq!(all, vec![0, 1, 2]);
        prop_assert!(candidates.windows(2).all(|w| w[0].expected <= w[1].expected));
        for candidate in &candidates {
            let backend = &config.backends[candidate.backend];
            prop_assert!(caps.without(backend.caps.unwrap()).is_empty());
            prop_assert!(prompt + max_output.unwrap_or(1) <= backend.context.unwrap());
        }
    }

    #[test]
    fn an_unchosen_candidate_does_not_change_the_choice(prompt in 1_u64..900, gone in 1_usize..3) {
        let config = config(THREE);
        let case = Case::new(&config, "auto");
        let mut case = Case { needs: needs(&[], prompt), ..case };
        let first = case.plan().unwrap().candidates[0];
        let left: Vec<String> = config.models.iter().enumerate()
            .filter(|(i, _)| *i != gone).map(|(_, m)| m.name.to_string()).collect();
        case.narrow.models = Some(left);
        prop_assert_eq!(case.plan().unwrap().candidates[0], first);
    }
}
