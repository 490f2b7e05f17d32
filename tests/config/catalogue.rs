//! A catalogue of made-up facts for the tests of the configuration.

use std::sync::Arc;

use tollgate::{
    caps::{Cap, Caps},
    catalog::{Adapter, Boundary, Card, Mode, Model, Protocol, Provider, Rates, Status, Takes},
};

/// Two providers that share models, three that the examples name, one with another protocol and
/// one without an address.
pub(crate) fn providers() -> Vec<Provider> {
    let gpt = [
        model("gpt-5.4", "gpt-5.4"),
        model("gpt-5.4-mini", "gpt-5.4-mini"),
    ];
    let old = Model {
        status: Status::Deprecated,
        ..model("gpt-4", "gpt-4")
    };
    let embedding = Model {
        mode: Mode::Embedding,
        ..model("embed-3", "embed-3")
    };
    let free = Model {
        cards: Arc::new([]),
        ..model("only-here", "only-here")
    };
    vec![
        provider("openai", gpt.into_iter().chain([old, embedding]).collect()),
        provider("mirror", vec![model("openai/gpt-5.4", "gpt-5.4"), free]),
        provider("deepseek", vec![model("deepseek-flash", "deepseek-flash")]),
        provider("deepinfra", vec![]),
        Provider {
            protocol: Protocol::Anthropic,
            ..provider("anthropic", vec![])
        },
        Provider {
            base_url: None,
            ..provider("nowhere", vec![])
        },
    ]
}

fn provider(id: &str, models: Vec<Model>) -> Provider {
    Provider {
        id: id.into(),
        name: id.into(),
        origin: "US".into(),
        regions: vec![],
        protocol: Protocol::OpenAi,
        base_url: Some(format!("https://api.{id}.example/v1").into()),
        env: vec![format!("{}_API_KEY", id.to_uppercase()).into()],
        docs: "https://docs.example".into(),
        adapter: Adapter::OpenAi,
        boundary: Boundary::Over,
        takes: Takes::default(),
        models,
    }
}

fn model(id: &str, key: &str) -> Model {
    Model {
        id: id.into(),
        model_key: key.into(),
        mode: Mode::Chat,
        status: Status::Current,
        context: Some(400_000),
        max_output: Some(128_000),
        caps: Some([Cap::Streaming, Cap::Tools].into_iter().collect::<Caps>()),
        cards: Arc::new([Card::flat(
            Rates {
                input: "1".parse().ok(),
                output: "4".parse().ok(),
                ..Rates::default()
            },
            "made up",
        )]),
        developer: None,
        developer_origin: None,
        weights: None,
        licence: None,
        retires: None,
        litellm_key: None,
    }
}
