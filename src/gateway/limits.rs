//! OpenAI's headers on limits, for the tightest ones that a request was held to.

use http::{HeaderMap, HeaderName};

use super::{put, put_number};
use crate::{admit::rate::Level, settle::Levels};

/// Of requests: the limit, what remains of it, and when all of it will.
const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
/// The same of tokens.
const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// Adds `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`.
pub(super) fn describe(headers: &mut HeaderMap, levels: Levels) {
    if let Some(level) = levels.requests {
        write(headers, REQUESTS, level);
    }
    if let Some(level) = levels.tokens {
        write(headers, TOKENS, level);
    }
}

fn write(headers: &mut HeaderMap, [limit, remaining, reset]: [HeaderName; 3], level: Level) {
    put_number(headers, limit, level.limit);
    put_number(headers, remaining, level.remaining);
    put(headers, reset, &duration(level.reset_ms));
}

/// A duration as OpenAI writes it: `6m0s`, `1.5s`, `120ms`.
fn duration(ms: u64) -> String {
    let mut number = itoa::Buffer::new();
    let (minutes, rest) = (ms / 60_000, ms % 60_000);
    match (minutes, ms) {
        (0, 0) => return "0s".to_owned(),
        (0, 1..1_000) => return [number.format(ms), "ms"].concat(),
        _ => {}
    }
    let seconds = match (rest / 1_000, rest % 1_000) {
        (whole, 0) => format!("{whole}s"),
        (whole, part) => {
            format!("{whole}.{part:03}")
                .trim_end_matches('0')
                .to_owned()
                + "s"
        }
    };
    match minutes {
        0 => seconds,
        1..60 => format!("{minutes}m{seconds}"),
        _ => format!("{}h{}m{seconds}", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn a_duration_is_written_as_openai_writes_it() {
        for (ms, text) in [
            (0, "0s"),
            (120, "120ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (59_999, "59.999s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
            (90_500, "1m30.5s"),
            (3_600_000, "1h0m0s"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }
}
