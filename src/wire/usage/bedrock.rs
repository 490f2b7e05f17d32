//! Bedrock's Converse: input, cache reads and cache writes stand beside each other, for every
//! vendor's model.

use crate::usage::Usage;

use super::{
    Inconsistencies, Reading,
    fields::{count, elements, members},
};

/// Reads a `usage` object of Converse.
pub(super) fn read(usage: &str) -> Reading {
    let mut flags = Inconsistencies::default();
    let mut known = false;
    let (mut input, mut output, mut total) = (0, 0, 0);
    let (mut read, mut written, mut one_hour) = (0, 0, 0);
    let complete = members(usage, |name, value| {
        let slot = match name {
            "inputTokens" => &mut input,
            "outputTokens" => &mut output,
            "totalTokens" => &mut total,
            "cacheReadInputTokens" | "cacheReadInputTokenCount" => &mut read,
            "cacheWriteInputTokens" | "cacheWriteInputTokenCount" => &mut written,
            "cacheDetails" => {
                elements(value, |detail| {
                    one_hour = u64::saturating_add(one_hour, one_hour_of(detail, &mut flags));
                });
                return;
            }
            _ => return,
        };
        *slot = count(value, &mut flags);
        known = true;
    });
    if !complete {
        flags.add(Inconsistencies::UNREADABLE);
    }
    if !known {
        flags.add(Inconsistencies::NOTHING_READ);
    }
    // Without the sum the parts that are known are it.
    let written = if written == 0 { one_hour } else { written };
    if one_hour > written {
        flags.add(Inconsistencies::PART_ABOVE_WHOLE);
    }
    let cache_write_1h = one_hour.min(written);
    let sum = [input, read, written, output]
        .into_iter()
        .fold(0, u64::saturating_add);
    let hidden = u64::saturating_sub(total, sum);
    if hidden > 0 {
        flags.add(Inconsistencies::HIDDEN_REASONING);
    }
    // The total may leave out the cache, and may be zero.
    if total > 0 && total < input + output {
        flags.add(Inconsistencies::TOTAL_BELOW_SUM);
    }
    let usage = Usage {
        input,
        cache_read: read,
        cache_write: written - cache_write_1h,
        cache_write_1h,
        output,
        reasoning: hidden,
        ..Usage::default()
    };
    Reading {
        usage,
        flags,
        ..Reading::default()
    }
}

/// Tokens of a detail, if it is of the one-hour class.
fn one_hour_of(detail: &str, flags: &mut Inconsistencies) -> u64 {
    let (mut ttl, mut tokens) = ("", 0);
    members(detail, |name, value| match name {
        "ttl" => ttl = value.trim_matches('"'),
        "inputTokens" => tokens = count(value, flags),
        _ => {}
    });
    if ttl == "1h" { tokens } else { 0 }
}
