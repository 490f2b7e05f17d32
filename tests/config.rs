//! The configuration from outside: example files load, bad ones are explained, nothing leaks.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use tollgate::{
    catalog::{
        self, CatalogError, Provider, Shared,
        overlay::{File, Overlaid},
    },
    config::{Catalog, Checked, Mistakes, load},
};

#[path = "config/any_text.rs"]
mod any_text;
#[path = "config/catalogue.rs"]
mod catalogue;

/// A small catalogue with made-up prices.
struct Small(Vec<Provider>);

impl Catalog for Small {
    fn provider(&self, name: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| &*provider.id == name)
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|provider| &*provider.id).collect()
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::default()
    }

    fn overlaid(&self, files: &[File]) -> Result<Overlaid, (usize, CatalogError)> {
        catalog::builtin().overlaid(files)
    }
}

const SECRET: &str = "sk-hunter2-hunter2-hunter2";

fn env(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some(SECRET.to_owned()),
        "EMPTY" => Some(String::new()),
        "EIGHT" => Some("8".to_owned()),
        _ => None,
    }
}

fn check(name: &str, text: &str) -> Result<Checked, Mistakes> {
    load::from_str(name, text, &env, &Small(catalogue::providers()))
}

/// The YAML files of a folder of this repository, by name.
fn files(folder: &str) -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let yaml = entries.filter(|path| path.extension().is_some_and(|e| e == "yaml"));
    yaml.map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    })
    .collect()
}

fn warnings(checked: &Checked) -> String {
    checked
        .warnings
        .iter()
        .map(|warning| format!("{warning}\n"))
        .collect()
}

mod examples {
    use super::*;

    #[test]
    fn every_shipped_file_loads_without_warnings() {
        let files = files("config");
        assert!(files.len() >= 3);
        for (name, text) in files {
            let catalog = catalog::builtin();
            let checked = load::from_str(&name, &text, &env, catalog);
            let checked = checked.unwrap_or_else(|mistakes| panic!("{mistakes}"));
            assert_eq!(warnings(&checked), "", "{name}");
            assert!(
                checked.config.backends.iter().all(|b| b.context.is_some()),
                "{name}"
            );
        }
    }

    #[test]
    fn every_provider_of_the_catalogue_can_be_configured_or_says_why_not() {
        let catalog = catalog::builtin();
        for name in catalog.names() {
            let text = format!("providers: {{ {name}: {{ api_key: x }} }}");
            match load::from_str(name, &text, &env, catalog) {
                Ok(checked) => assert_eq!(checked.config.providers.len(), 1, "{name}"),
                Err(mistakes) => {
                    let said = mistakes.to_string();
                    let known = said.contains("not supported yet") || said.contains("base_url");
                    assert!(known, "{said}");
                }
            }
        }
    }

    #[test]
    fn all_providers_at_once_make_models_of_unique_names() {
        let catalog = catalog::builtin();
        let usable = |name: &&str| {
            let text = format!("providers: {{ {name}: {{ api_key: x }} }}");
            load::from_str(name, &text, &env, catalog).is_ok()
        };
        let providers: String = catalog
            .names()
            .filter(usable)
            .map(|name| format!("  {name}: {{ api_key: x }}\n"))
            .collect();
        let text = format!("providers:\n{providers}routes: [{{ name: auto, candidates: '*' }}]");
        let config = load::from_str("all", &text, &env, catalog).unwrap().config;
        let names = config
            .models
            .iter()
            .flat_map(|m| std::iter::once(&m.name).chain(&m.aliases));
        let names: Vec<_> = names.collect();
        let unique: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), unique.len());
        assert!(config.models.len() > 100, "{}", config.models.len());
        assert!(config.models.iter().any(|model| model.backends.len() > 2));
        assert!(config.backends.iter().all(|backend| {
            !names.contains(&&backend.name)
                || config
                    .models
                    .iter()
                    .any(|m| m.backends.len() == 1 && m.name == backend.name)
        }));
    }

    #[test]
    fn a_file_is_read_by_its_path() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/minimal.yaml");
        let catalog = Small(catalogue::providers());
        assert!(load::from_path(&path, &env, &catalog).is_ok());
        let missing = load::from_path(&path.join("x"), &env, &catalog).unwrap_err();
        assert!(
            missing
                .to_string()
                .contains("minimal.yaml/x: cannot be read: "),
            "{missing}"
        );
    }

    #[test]
    fn what_is_written_is_what_runs() {
        for (name, text) in files("tests/config/good") {
            let checked = check(&name, &text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
            let shown = format!("{:#?}\n{}", checked.config, warnings(&checked));
            assert!(!shown.contains("hunter2"), "{name}");
            snapshot(&name, || insta::assert_snapshot!("good", shown, &text));
        }
    }

    #[test]
    fn every_bad_file_is_explained() {
        let files = files("tests/config/bad");
        assert!(files.len() >= 30, "{}", files.len());
        for (name, text) in files {
            let mistakes = check(&name, &text).expect_err(&name).to_string();
            assert!(!mistakes.contains("hunter2"), "{name}: {mistakes}");
            snapshot(&name, || insta::assert_snapshot!("bad", mistakes, &text));
        }
    }

    /// Keeps the snapshot of a file under the file's name.
    fn snapshot(name: &str, assert: impl FnOnce()) {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("config/snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_snapshot_suffix(name.trim_end_matches(".yaml"));
        settings.bind(assert);
    }
}

mod schema {
    use serde_json::Value;
    use tollgate::config::{schema, text::FORMATS, to_json, yaml};

    use super::*;

    fn validator() -> jsonschema::Validator {
        let schema = serde_json::from_str(&schema()).unwrap();
        let mut options = jsonschema::options().should_validate_formats(true);
        for format in FORMATS {
            options =
                options.with_format(format.name, move |text: &str| (format.check)(text).is_ok());
        }
        options.build(&schema).unwrap()
    }

    fn json(text: &str) -> Value {
        to_json(&yaml::parse(text).unwrap())
    }

    #[test]
    fn the_shipped_schema_is_the_one_of_the_program() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/schema.json");
        if std::env::var_os("TOLLGATE_WRITE_SCHEMA").is_some() {
            fs::write(&path, schema()).unwrap();
        }
        let shipped = fs::read_to_string(path).unwrap();
        assert!(
            shipped == schema(),
            "run this test once with TOLLGATE_WRITE_SCHEMA=1"
        );
    }

    #[test]
    fn the_schema_accepts_the_shipped_files() {
        let validator = validator();
        for (name, text) in files("config") {
            // variables are the program's, not the schema's
            let (source, _) = load::read_str(&name, &text, &env).unwrap();
            let json = to_json(&source.root);
            let errors: Vec<_> = validator
                .iter_errors(&json)
                .map(|e| e.to_string())
                .collect();
            assert_eq!(errors, [""; 0], "{name}");
        }
    }

    #[test]
    fn the_schema_refuses_what_has_a_wrong_form() {
        let validator = validator();
        let structural = files("tests/config/bad")
            .into_iter()
            .filter(|(n, _)| n.starts_with("form-"));
        let mut seen = 0;
        for (name, text) in structural {
            seen += 1;
            assert!(!validator.is_valid(&json(&text)), "{name}");
        }
        assert!(seen >= 15, "{seen}");
    }

    #[test]
    fn a_default_of_the_schema_is_the_default_of_the_program() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        let mut written = serde_json::Map::new();
        let mut count = 0;
        for section in ["server", "admin", "auth", "retries"] {
            let reference = schema["properties"][section]["$ref"].as_str().unwrap();
            let properties = &schema.pointer(&reference[1..]).unwrap()["properties"];
            let defaults = properties.as_object().unwrap().iter();
            let defaults =
                defaults.filter_map(|(k, v)| Some((k.clone(), v.get("default")?.clone())));
            let defaults: serde_json::Map<_, _> =
                defaults.filter(|(k, _)| k != "allow_open").collect();
            count += defaults.len();
            written.insert(section.to_owned(), defaults.into());
        }
        assert!(count >= 15, "{count}");
        // JSON is YAML
        let all_written = check("d", &Value::from(written).to_string())
            .unwrap()
            .config;
        let nothing_written = check("d", "").unwrap().config;
        assert_eq!(format!("{all_written:?}"), format!("{nothing_written:?}"));
    }

    #[test]
    fn the_reference_names_every_key() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/README.md");
        let reference = fs::read_to_string(path).unwrap();
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        let mut keys = Vec::new();
        collect(&schema, &mut keys);
        assert!(keys.len() > 60, "{}", keys.len());
        for key in keys {
            assert!(
                reference.contains(&format!("`{key}`")),
                "config/README.md lacks `{key}`"
            );
        }
    }

    fn collect(schema: &Value, keys: &mut Vec<String>) {
        match schema {
            Value::Object(object) => {
                if let Some(Value::Object(properties)) = object.get("properties") {
                    keys.extend(properties.keys().cloned());
                }
                object.values().for_each(|value| collect(value, keys));
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, keys)),
            _ => {}
        }
    }
}

mod meaning {
    use std::net::SocketAddr;

    use tollgate::config::{Auth, OutputLimitField, Price, load::Overrides};

    use super::*;

    fn config(text: &str) -> tollgate::config::Config {
        check("t", text)
            .unwrap_or_else(|mistakes| panic!("{mistakes}"))
            .config
    }

    #[test]
    fn an_empty_file_is_an_open_gateway_on_loopback() {
        let checked = check("t", "").unwrap();
        assert_eq!(checked.config.auth, Auth::Open);
        assert!(warnings(&checked).contains("no model can be asked for"));
    }

    #[test]
    fn without_models_the_same_model_at_two_providers_is_one() {
        let config = config(
            "providers: { openai: { api_key: k }, router: { base_url: 'http://r/v1' }, mirror: { api_key: k } }",
        );
        let names: Vec<_> = config.models.iter().map(|model| &*model.name).collect();
        assert_eq!(names, ["gpt-5.4", "gpt-5.4-mini", "only-here"]);
        let model = &config.models[0];
        let backends: Vec<_> = model
            .backends
            .iter()
            .map(|b| &*config.backends[*b].name)
            .collect();
        assert_eq!(backends, ["mirror/openai/gpt-5.4", "openai/gpt-5.4"]);
        // `openai/gpt-5.4` is what mirror calls it, but it names openai's own backend
        assert!(model.aliases.is_empty());
    }

    #[test]
    fn a_route_may_name_a_model_that_only_the_catalogue_has() {
        let config = config(
            "providers: { openai: { api_key: k } }\nmodels: []\n\
             routes: [{ name: auto, candidates: [gpt-5.4-mini], baseline: gpt-5.4 }]",
        );
        assert_eq!(config.models.len(), 2);
        assert_eq!(
            &*config.models[config.routes[0].candidates[0]].name,
            "gpt-5.4-mini"
        );
        assert_eq!(
            &*config.models[config.routes[0].baseline.unwrap()].name,
            "gpt-5.4"
        );
    }

    #[test]
    fn a_star_means_the_models_of_the_file_not_those_that_routes_name() {
        let config = config(
            "providers: { openai: { api_key: k }, p: { base_url: 'http://p/v1' } }\n\
             models: [{ name: m, backends: [{ provider: p, model: m, price: free }] }]\n\
             routes: [{ name: a, candidates: [gpt-5.4] }, { name: b, candidates: '*' }]",
        );
        assert_eq!(config.routes[0].candidates, [1]);
        assert_eq!(config.routes[1].candidates, [0]);
    }

    #[test]
    fn the_price_of_a_backend_is_its_own_then_the_hardware_then_the_catalogue() {
        let config = config(
            "providers:\n  openai: { api_key: k }\n  \
             gpu: { base_url: 'http://g/v1', self_hosted: { gpu_hour: '2', gpus: 1, prefill_tps: 9, decode_tps: 9 } }\n  \
             bare: { base_url: 'http://b/v1' }\n\
             models:\n  - name: m\n    backends:\n      \
             - { provider: openai, model: gpt-5.4 }\n      \
             - { provider: openai, model: gpt-5.4-mini, price: free }\n      \
             - { provider: gpu, model: x }\n      \
             - { provider: gpu, model: y, price: { input: '1', output: '2' } }\n      \
             - { provider: bare, model: z }\n",
        );
        let prices: Vec<_> = config
            .backends
            .iter()
            .map(|backend| &backend.price)
            .collect();
        assert!(matches!(
            prices[..],
            [
                Price::Cards(_),
                Price::Free,
                Price::SelfHosted(_),
                Price::Cards(_),
                Price::Unpriced
            ]
        ));
    }

    #[test]
    fn what_the_file_says_of_a_model_beats_the_catalogue() {
        let config = config(
            "providers: { openai: { api_key: k } }\nmodels:\n  - name: m\n    context: 5\n    \
             backends: [{ provider: openai, model: gpt-5.4 }]",
        );
        assert_eq!(config.backends[0].context, Some(5));
        assert_eq!(config.backends[0].max_output, Some(128_000));
    }

    #[test]
    fn the_output_limit_is_spelled_as_the_provider_takes_it() {
        let config = config(
            "providers: { openai: { api_key: k }, mirror: { api_key: k }, own: { base_url: 'http://o' }, \
             own2: { base_url: 'http://o', output_limit: max_tokens } }\nmodels: []",
        );
        let fields: BTreeMap<_, _> = config
            .providers
            .iter()
            .map(|p| (&*p.name, p.output_limit_field))
            .collect();
        assert_eq!(fields["openai"], OutputLimitField::MaxCompletionTokens);
        assert_eq!(fields["mirror"], OutputLimitField::MaxTokens);
        assert_eq!(fields["own"], OutputLimitField::AsSent);
        assert_eq!(fields["own2"], OutputLimitField::MaxTokens);
    }

    #[test]
    fn the_command_line_is_checked_together_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.yaml");
        fs::write(&path, "admin: { key: x }").unwrap();
        let catalog = Small(catalogue::providers());
        let everywhere: SocketAddr = "0.0.0.0:4100".parse().unwrap();
        let with = |listen, admin_listen| {
            let overrides = Overrides {
                listen,
                admin_listen,
                ..Overrides::default()
            };
            load::from_path_with(&path, &env, &catalog, overrides).map(|checked| checked.config)
        };
        let open = with(Some(everywhere), None).unwrap_err();
        assert!(open.to_string().contains("would serve strangers"), "{open}");
        let same = with(None, Some("127.0.0.1:4100".parse().unwrap())).unwrap_err();
        assert!(same.to_string().contains("admin.listen"), "{same}");
        let fine = with(Some("127.0.0.1:0".parse().unwrap()), None).unwrap();
        assert_eq!(fine.server.listen.port(), 0);
    }

    #[test]
    fn a_secret_file_is_read_without_its_last_line_break() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "a-client-key-of-enough-length\r\n").unwrap();
        let by_file = format!("keys: [{{ id: a, key: '${{file:{}}}' }}]", path.display());
        let by_text = "keys: [{ id: a, key: a-client-key-of-enough-length }]";
        assert_eq!(
            config(&by_file).keys[0].sha256,
            config(by_text).keys[0].sha256
        );
    }

    #[test]
    fn an_equal_description_of_a_backend_in_two_models_is_one_backend() {
        let text = "providers: { p: { base_url: 'http://p/v1' } }\nmodels:\n  \
                    - { name: a, context: 9, backends: [{ provider: p, model: x, price: free }] }\n  \
                    - { name: b, context: 9, backends: [{ provider: p, model: x, price: free }] }\n";
        let config = config(text);
        assert_eq!(config.backends.len(), 1);
        assert_eq!(config.models[1].backends, [0]);
    }

    #[test]
    fn ten_thousand_keys_are_read_and_one_more_is_refused() {
        let keys = |count: usize| {
            let key = |i| format!("  - {{ id: k{i}, sha256: '{i:064x}' }}\n");
            let keys: String = (0..count).map(key).collect();
            check("t", &format!("keys:\n{keys}"))
        };
        assert_eq!(keys(10_000).unwrap().config.keys.len(), 10_000);
        assert!(
            keys(10_001)
                .unwrap_err()
                .to_string()
                .contains("a file may hold 10000")
        );
    }

    #[test]
    fn mistakes_are_data_for_programs() {
        let mistakes = check("t.yaml", "servr: {}\n").unwrap_err();
        assert_eq!(
            serde_json::to_value(&mistakes).unwrap(),
            serde_json::json!([{
                "file": "t.yaml", "line": 1, "column": 1, "path": "servr",
                "message": "unknown key", "hint": "did you mean `server`?",
            }])
        );
    }
}
