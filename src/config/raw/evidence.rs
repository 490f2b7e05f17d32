//! What is collected of decisions and answers.

use schemars::JsonSchema;
use serde::Deserialize;

/// What is collected to tell how good decisions are, and to take better ones.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Take what clients say of answers at `/v1/feedback`, and correct predictions by it.
    #[schemars(extend("default" = true))]
    pub feedback: Option<bool>,
    /// Look at answers of requests for which quality matters (valid JSON of the schema, calls of
    /// declared tools, refusals, nothing at all), and correct predictions by what they show.
    #[schemars(extend("default" = true))]
    pub verify: Option<bool>,
    /// Correct predictions for one key by the outcomes of others as well.
    #[schemars(extend("default" = false))]
    pub across_keys: Option<bool>,
    /// One of so many decisions is kept in the ledger with all that it was taken on; 0: none.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 100))]
    pub decisions: Option<u32>,
}
