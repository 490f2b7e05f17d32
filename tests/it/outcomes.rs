//! What clients say of answers and what answers show of themselves: it corrects predictions, for the
//! key whose requests they were.

mod feedback;
mod replay;
mod verified;

use std::path::PathBuf;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tollgate::simulate::Handle;

use crate::support::{Gateway, Reply, Setup, gateway::ADMIN_KEY};

const KEY_A: &str = "sk-of-a-0123456789abcdef";
const KEY_B: &str = "sk-of-b-0123456789abcdef";

/// Two models, the cheaper of which is stated to be good enough, and two keys. `cheap`: what the
/// simulator makes of the cheaper one.
fn setup(sim: &Handle, cheap: &str) -> Setup {
    let model = |name: &str, said: &str, usd: &str, quality: &str| {
        format!(
            "{{ name: {name}, context: 100000, max_output: 1000, caps: [streaming, tools, json_schema], \
             quality: {{ default: {quality} }}, backends: [{{ provider: a, model: '{said}', \
             price: {{ input: '{usd}', output: '{usd}' }} }}] }}"
        )
    };
    let base = sim.base_url("a");
    Setup::new(sim)
        .provider("a", &format!("base_url: '{base}'"))
        .also_model(&model("cheap", cheap, "1", "0.8"))
        .also_model(&model("dear", "good+out=4", "9", "0.95"))
        .also("routes:\n  - { name: auto, candidates: [cheap, dear], min_quality: 0.7 }")
        .also("  - { name: loose, candidates: [cheap] }")
        .also(&format!(
            "keys:\n  - {{ id: a, key: {KEY_A} }}\n  - {{ id: b, key: {KEY_B} }}"
        ))
}

/// The same with a ledger in a folder.
struct Kept {
    gateway: Gateway,
    folder: TempDir,
    setup: Setup,
}

impl Kept {
    async fn start(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let setup = setup.also(&format!("store: {{ ledger: 'sqlite:{}' }}", path.display()));
        Self {
            gateway: setup.start().await,
            folder,
            setup,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("l.db")
    }

    /// The same again, after a proper end.
    async fn restarted(self) -> Self {
        self.gateway.stop().await;
        Self {
            gateway: self.setup.start().await,
            ..self
        }
    }
}

fn model(reply: &Reply) -> &str {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-tollgate-model")
}

/// What the operator sees of outcomes.
async fn learned(gateway: &Gateway, query: &str) -> Vec<Value> {
    let path = format!("/admin/v1/outcomes{query}");
    let reply = gateway
        .operator(Method::GET, &path)
        .key(ADMIN_KEY)
        .send()
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["outcomes"].as_array().unwrap().clone()
}

/// Chance and interval of a model for a small request of a key.
async fn quality(gateway: &Gateway, key: &str, name: &str) -> [f64; 3] {
    let path = format!("/admin/v1/explain?key={key}");
    let body = json!({ "model": "auto", "messages": [{ "role": "user", "content": "hello" }] });
    let call = gateway.operator(Method::POST, &path).key(ADMIN_KEY);
    let explained = call.json(&body).send().await.json();
    let all = ["candidates", "refused"].map(|list| explained[list].as_array().unwrap().clone());
    let all = all.concat();
    let found = all.iter().find(|view| view["model"] == name);
    let view = found.unwrap_or_else(|| panic!("{explained}"));
    ["quality_low", "quality", "quality_high"].map(|member| {
        view[member]
            .as_str()
            .map_or(-1.0, |text| text.parse().unwrap())
    })
}
