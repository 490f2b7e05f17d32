//! Settle: the account of one request, closed exactly once on every way out.
//!
//! It is opened before anything is known of a request, travels with it into the body of a stream,
//! and is closed at the end, at an error, or when it is dropped because the client left. `account`
//! is its life, `watch` takes note of what happens while backends are called, `book` is what each
//! call leaves behind (usage and its price, metrics, its row in the `ledger`) and what the closing
//! does: lessons about a backend, one line in the log, one of the latest `decisions`. `figures`
//! says whose figures count.

mod account;
mod book;
pub mod decisions;
mod figures;
mod holds;
pub mod ledger;
pub mod lessons;
pub mod metrics;
mod money;
mod strangers;
mod watch;

pub use account::{Account, Opening};
pub use holds::Levels;
pub use strangers::Strangers;

/// The label of whatever has no name in the configuration.
const UNKNOWN: &str = "unknown";

/// How a request ended; the label in metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    ClientError,
    Refused,
    RateLimited,
    OverBudget,
    UpstreamError,
    Timeout,
    Cut,
    Cancelled,
}

impl Outcome {
    /// The label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::Refused => "refused",
            Self::RateLimited => "rate_limited",
            Self::OverBudget => "over_budget",
            Self::UpstreamError => "upstream_error",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
            Self::Cancelled => "cancelled",
        }
    }

    /// The label of the attempt that was under way at that end.
    fn of_attempt(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError | Self::Refused | Self::RateLimited | Self::OverBudget => "refused",
            Self::UpstreamError | Self::Cut => "error",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}
