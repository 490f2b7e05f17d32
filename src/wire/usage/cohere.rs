//! Cohere: the bill is `billed_units`; `tokens` includes its templates and is not billed.
//!
//! Its OpenAI-compatible endpoint reports in OpenAI's shape, which is read as such.

use crate::{catalog::Adapter, usage::Usage};

use super::{
    Inconsistencies, Reading,
    fields::{Field, count, members},
    openai,
};

/// Reads a `usage` (or `meta`) object.
pub(super) fn read(usage: &str) -> Reading {
    let (mut billed, mut raw) = (None, None);
    let complete = members(usage, |name, value| match name {
        "billed_units" if value != "null" => billed = Some(value),
        "tokens" if value != "null" => raw = Some(value),
        _ => {}
    });
    if !complete || (billed.is_none() && raw.is_none()) {
        return openai::read(Adapter::OpenAi, usage);
    }
    let mut flags = Inconsistencies::default();
    let units = billed
        .or(raw)
        .map(|units| units_of(units, &mut flags))
        .unwrap_or_default();
    if billed.is_none() {
        flags.add(Inconsistencies::NOTHING_READ);
    }
    Reading {
        usage: units,
        flags,
        ..Reading::default()
    }
}

fn units_of(units: Field<'_>, flags: &mut Inconsistencies) -> Usage {
    let mut usage = Usage::default();
    members(units, |name, value| {
        let slot = match name {
            "input_tokens" => &mut usage.input,
            "output_tokens" => &mut usage.output,
            "search_units" => &mut usage.searches,
            "images" => &mut usage.images,
            _ => return,
        };
        *slot = count(value, flags);
    });
    usage
}
