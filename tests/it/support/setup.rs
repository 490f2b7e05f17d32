//! Writes configurations.

use std::{collections::BTreeMap, fmt::Write as _};

use tollgate::simulate::Handle;

use super::Gateway;

/// The key that the gateway has for every provider, through the variable `UPSTREAM_KEY`.
pub(crate) const UPSTREAM_KEY: &str = "sk-upstream-0123456789abcdef";
/// What the first backend of a model costs, in pico-dollars a token. Each further one is a hundred
/// times as dear, so that backends are asked in the order in which a test writes them, whatever is
/// learned about the length of their answers.
pub(crate) const INPUT_PICO: u128 = 1_000_000;
pub(crate) const OUTPUT_PICO: u128 = 2_000_000;

/// What a model of a test can do, unless the test says otherwise.
const ABLE: &str = "context: 1000000, max_output: 1000000, caps: [streaming, tools, \
                    parallel_tools, json_schema, reasoning, vision, logprobs, n]";

/// A configuration in the making.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    sim: String,
    server: Vec<String>,
    providers: BTreeMap<String, String>,
    models: Vec<String>,
    more: Vec<String>,
}

impl Setup {
    /// Providers that are not described otherwise are paths of this simulator.
    pub(crate) fn new(sim: &Handle) -> Self {
        Self {
            sim: format!("http://{}", sim.addr()),
            ..Self::alone()
        }
    }

    /// Every provider has to be described.
    pub(crate) fn alone() -> Self {
        Self {
            sim: String::new(),
            server: Vec::new(),
            providers: BTreeMap::new(),
            models: Vec::new(),
            more: Vec::new(),
        }
    }

    /// A line under `server`.
    pub(crate) fn server(mut self, line: &str) -> Self {
        self.server.push(line.to_owned());
        self
    }

    /// A provider in flow style: `base_url: …, region: eu`.
    pub(crate) fn provider(mut self, name: &str, fields: &str) -> Self {
        let fields = format!("api_key: '${{UPSTREAM_KEY}}', {fields}");
        self.providers.insert(name.to_owned(), fields);
        self
    }

    /// A provider of the simulator that has these keys.
    pub(crate) fn pool(mut self, name: &str, keys: &[&str]) -> Self {
        let (sim, keys) = (&self.sim, keys.join(", "));
        let fields = format!("api_keys: [{keys}], base_url: '{sim}/p/{name}/v1'");
        self.providers.insert(name.to_owned(), fields);
        self
    }

    /// A model that can do everything; backends are `provider/model`.
    pub(crate) fn model(self, name: &str, backends: &[&str]) -> Self {
        self.model_with(name, ABLE, backends)
    }

    /// A model with its own fields.
    pub(crate) fn model_with(mut self, name: &str, fields: &str, backends: &[&str]) -> Self {
        let mut dollars = 1_u64;
        let mut list = Vec::new();
        for backend in backends {
            let (provider, model) = backend.split_once('/').expect("provider/model");
            self.providers
                .entry(provider.to_owned())
                .or_insert_with(|| {
                    let sim = &self.sim;
                    format!("api_key: '${{UPSTREAM_KEY}}', base_url: '{sim}/p/{provider}/v1'")
                });
            list.push(format!(
                "{{ provider: {provider}, model: '{model}', price: {{ input: '{dollars}', \
                 output: '{}' }} }}",
                dollars * 2
            ));
            dollars *= 100;
        }
        let list = list.join(", ");
        let comma = if fields.is_empty() { "" } else { ", " };
        self.models.push(format!(
            "{{ name: '{name}', backends: [{list}]{comma}{fields} }}"
        ));
        self
    }

    /// A model that is written out, in flow style.
    pub(crate) fn also_model(mut self, model: &str) -> Self {
        self.models.push(model.to_owned());
        self
    }

    /// Lines at the top level.
    pub(crate) fn also(mut self, lines: &str) -> Self {
        self.more.push(lines.to_owned());
        self
    }

    pub(crate) fn yaml(&self) -> String {
        let mut yaml = String::from("server:\n  sse_keep_alive: 15s\n");
        if self.server.iter().any(|line| line.starts_with("sse_keep")) {
            yaml.truncate("server:\n".len());
        }
        for line in &self.server {
            let _ = writeln!(yaml, "  {line}");
        }
        yaml.push_str("providers:\n");
        for (name, fields) in &self.providers {
            let _ = writeln!(yaml, "  {name}: {{ {fields} }}");
        }
        yaml.push_str("models:\n");
        for model in &self.models {
            let _ = writeln!(yaml, "  - {model}");
        }
        for lines in &self.more {
            let _ = writeln!(yaml, "{lines}");
        }
        yaml
    }

    pub(crate) async fn start(&self) -> Gateway {
        Gateway::start(&self.yaml()).await
    }
}

/// The price of an answer by the backend at a place in its model's list, in pico-dollars.
pub(crate) fn price(place: u32, input: u64, output: u64) -> u128 {
    let factor = 100_u128.pow(place);
    (u128::from(input) * INPUT_PICO + u128::from(output) * OUTPUT_PICO) * factor
}
