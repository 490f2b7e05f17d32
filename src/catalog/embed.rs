//! The catalogue's files as part of the program, so that nothing needs to be found at run time.
//!
//! Only the text is built in; a provider is parsed when it is first asked for.

use std::{borrow::Cow, sync::LazyLock};

use super::Catalog;

/// `(name, text)` of every provider's file.
macro_rules! providers {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../config/catalog/", $name, ".toml")))),*]
    };
}

const EXCHANGE: &str = include_str!("../../config/catalog/_fx.toml");
const SCHEDULES: &str = include_str!("../../config/catalog/_schedules.toml");
const PROVIDERS: [(&str, &str); 39] = providers![
    "ai21",
    "alibaba",
    "alibaba-cn",
    "amazon-bedrock",
    "anthropic",
    "bailing",
    "baseten",
    "byteplus",
    "cerebras",
    "cohere",
    "deepinfra",
    "deepseek",
    "fireworks",
    "google",
    "groq",
    "huawei-maas",
    "longcat",
    "meta",
    "minimax",
    "mistral",
    "moonshotai",
    "nebius",
    "novita",
    "openai",
    "openrouter",
    "perplexity",
    "sambanova",
    "self-hosted",
    "siliconflow",
    "siliconflow-cn",
    "stepfun-ai",
    "tencent-tokenhub",
    "together",
    "upstage",
    "volcengine",
    "xai",
    "xiaomi",
    "zai",
    "zhipuai",
];

static BUILTIN: LazyLock<Catalog> = LazyLock::new(|| {
    let providers = PROVIDERS.map(|(name, text)| (Cow::Borrowed(name), Cow::Borrowed(text)));
    // The shared files are read by a test; were they broken all the same, no provider would be
    // known, which the start refuses, and nothing would be served at a wrong price.
    Catalog::from_texts(EXCHANGE, SCHEDULES, providers).unwrap_or_default()
});

/// The catalogue that is built into the program.
pub(super) fn builtin() -> &'static Catalog {
    &BUILTIN
}
