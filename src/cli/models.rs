//! `tollgate models`.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use jiff::Timestamp;

use super::{CliError, ConfigArg, source, table::Table};
use crate::{
    authenticate::Principal,
    offer::{self, List, Pricing},
    route::names::Names,
};

/// Lists what can be asked for.
pub(super) fn run(arg: &ConfigArg, json: bool, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let checked = source::checked(arg)?;
    let names = Names::of(&checked.config);
    let list = offer::list(
        &checked.config,
        &names,
        &Principal::anybody(),
        Timestamp::now(),
    );
    if json {
        writeln!(
            out,
            "{}",
            serde_json::to_string_pretty(&list).unwrap_or_default()
        )?;
    } else {
        table(&list, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The list as a table: a row for each backend of a model or route.
pub(super) fn table(list: &List, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&[
        "NAME",
        "KIND",
        "BACKEND",
        "CONTEXT",
        "OUTPUT",
        "$/1M IN",
        "$/1M OUT",
        "QUALITY",
        "CAPABILITIES",
    ]);
    let number =
        |value: Option<u64>| value.map_or_else(|| "?".to_owned(), |value| value.to_string());
    for entry in &list.data {
        if entry.kind == "alias" {
            let of = entry.backends.first().map_or("", |backend| &backend.id);
            table.row(vec![entry.id.clone(), "alias".into(), format!("as {of}")]);
            continue;
        }
        for (index, backend) in entry.backends.iter().enumerate() {
            let (name, kind) = if index == 0 {
                (entry.id.as_str(), entry.kind)
            } else {
                ("", "")
            };
            let (input, output) = prices(&backend.pricing);
            let caps = backend
                .capabilities
                .as_ref()
                .map_or("?".to_owned(), |caps| caps.join(" "));
            table.row(vec![
                name.to_owned(),
                kind.to_owned(),
                backend.id.clone(),
                number(backend.context_length),
                number(backend.max_output_tokens),
                input,
                output,
                backend.quality.clone().unwrap_or_else(|| "?".to_owned()),
                caps,
            ]);
        }
    }
    table.write(out)
}

fn prices(pricing: &Pricing) -> (String, String) {
    match pricing.kind {
        "card" => {
            let text = |rate: Option<crate::money::Rate>| {
                rate.map_or("-".to_owned(), |rate| rate.to_string())
            };
            (text(pricing.input), text(pricing.output))
        }
        "self_hosted" => ("by hour".to_owned(), "by hour".to_owned()),
        kind => (kind.to_owned(), kind.to_owned()),
    }
}
