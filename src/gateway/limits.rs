//! OpenAI's headers on limits, for the tightest ones that a request was held to.

use http::{HeaderMap, HeaderName};

use super::headers::{put, put_number};
use crate::settle::Levels;

static REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
static TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// Adds `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`.
pub(super) fn describe(headers: &mut HeaderMap, levels: Levels) {
    for (names, level) in [(&REQUESTS, levels.requests), (&TOKENS, levels.tokens)] {
        let [limit, remaining, reset] = names;
        if let Some(level) = level {
            put_number(headers, limit, level.limit);
            put_number(headers, remaining, level.remaining);
            put(headers, reset, &duration(level.reset_ms));
        }
    }
}

/// A duration as OpenAI writes it: `6m0s`, `1.5s`, `120ms`.
fn duration(ms: u64) -> String {
    let mut text = String::with_capacity(16);
    let mut push = |number: u64, unit: &str| {
        text.push_str(itoa::Buffer::new().format(number));
        text.push_str(unit);
    };
    let (hours, minutes, rest) = (ms / 3_600_000, ms / 60_000 % 60, ms % 60_000);
    let (seconds, part) = (rest / 1_000, rest % 1_000);
    if (1..1_000).contains(&ms) {
        push(ms, "ms");
        return text;
    }
    if hours > 0 {
        push(hours, "h");
    }
    if ms >= 60_000 {
        push(minutes, "m");
    }
    if part == 0 {
        push(seconds, "s");
        return text;
    }
    push(seconds, ".");
    let digits = format!("{part:03}");
    text.push_str(digits.trim_end_matches('0'));
    text.push('s');
    text
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
