//! `policy` of a key or a route, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Name, PriceText};

/// Which backends may be asked: every part that is written must hold, and what is not known of a
/// backend does not hold.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Where the provider stands: its `region`.
    pub regions: Option<Vec<Name>>,
    /// Whose hardware it is.
    pub hosting: Option<Hosting>,
    /// Can the model's weights be had?
    pub weights: Option<Weights>,
    /// The licences that its weights may have.
    pub licences: Option<Vec<Name>>,
    /// Who may have made the model.
    pub developers: Option<Vec<Name>>,
    /// Who may not have made the model.
    pub deny_developers: Option<Vec<Name>>,
    /// The countries from which its developer may be: `FR`, `US`, …
    pub developer_countries: Option<Vec<Name>>,
    /// The countries from which its developer may not be.
    pub deny_developer_countries: Option<Vec<Name>>,
    /// The providers that may be asked.
    pub providers: Option<Vec<Name>>,
    /// The providers that may not be asked.
    pub deny_providers: Option<Vec<Name>>,
    /// The most that tokens may cost.
    pub max_price: Option<MaxPrice>,
    /// Days for which the provider may keep what it was sent: its `retention_days`.
    pub max_retention_days: Option<u32>,
}

/// USD per 1M tokens.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaxPrice {
    /// Of the prompt, none of it cached.
    pub input: Option<PriceText>,
    /// Of the answer.
    pub output: Option<PriceText>,
}

/// Whose hardware it is.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Hosting {
    Own,
    Vendor,
}

/// Can the weights of a model be had?
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum Weights {
    Open,
    Closed,
}
