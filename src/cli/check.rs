//! `tollgate check`.

use std::{io::Write, process::ExitCode};

use jiff::Timestamp;
use serde_json::json;

use super::{CliError, ConfigArg, budgets, models, source};
use crate::{
    authenticate::Principal,
    config::{Mistakes, view},
    offer,
    route::names::Names,
};

/// Reads the configuration and says what is wrong with it, or what would run.
pub(super) fn run(arg: &ConfigArg, json: bool, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let checked = match source::checked(arg) {
        Ok(checked) => checked,
        Err(CliError::Config(mistakes)) if json => {
            report(out, Some(&mistakes), &json!([]), (&json!([]), &json!({})))?;
            return Ok(ExitCode::from(2));
        }
        Err(error) => return Err(error),
    };
    let (config, warnings) = (&checked.config, &checked.warnings);
    let names = Names::of(config);
    let list = offer::list(config, &names, &Principal::anybody(), Timestamp::now());
    if json {
        let models = serde_json::to_value(&list.data).unwrap_or_default();
        report(
            out,
            None,
            &serde_json::to_value(warnings).unwrap_or_default(),
            (&models, &view::budgets(config)),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    let number =
        |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    writeln!(
        out,
        "The configuration is fine: {}, {}, {}, {}.\n",
        number(config.providers.len(), "provider"),
        number(config.backends.len(), "backend"),
        number(config.models.len(), "model"),
        number(config.routes.len(), "route"),
    )?;
    models::table(&list, out)?;
    budgets::table(config, out)?;
    Ok(ExitCode::SUCCESS)
}

fn report(
    out: &mut dyn Write,
    mistakes: Option<&Mistakes>,
    warnings: &serde_json::Value,
    (models, budgets): (&serde_json::Value, &serde_json::Value),
) -> Result<(), CliError> {
    let errors = mistakes.map_or(json!([]), |m| {
        serde_json::to_value(m.as_slice()).unwrap_or_default()
    });
    let report = json!({
        "ok": mistakes.is_none(),
        "errors": errors,
        "warnings": warnings,
        "models": models,
        "budgets": budgets,
    });
    writeln!(out, "{report:#}")?;
    Ok(())
}
