//! `tollgate check`.

use std::{fmt::Write as _, io::Write, path::Path, process::ExitCode};

use jiff::Timestamp;
use serde_json::json;

use super::{CliError, ConfigArg, budgets, catalogue, models, source};
use crate::{
    authenticate::Principal,
    catalog::check::{self, Finding},
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

/// Reads a catalogue and says what is wrong with it.
pub(super) fn catalog(
    folder: &Path,
    json: bool,
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let catalog = catalogue::read(folder)?;
    let found = check::check(&catalog, Timestamp::now());
    let (mistakes, warnings): (Vec<_>, Vec<_>) = found.iter().partition(|found| found.mistake);
    let code = if mistakes.is_empty() { 0 } else { 2 };
    if json {
        let report = json!({
            "ok": mistakes.is_empty(),
            "errors": mistakes,
            "warnings": warnings,
        });
        writeln!(out, "{report:#}")?;
        return Ok(ExitCode::from(code));
    }
    for warning in &warnings {
        eprintln!("warning: {}", told(folder, warning));
    }
    for mistake in &mistakes {
        eprintln!("{}", told(folder, mistake));
    }
    if mistakes.is_empty() {
        let providers = catalog
            .names()
            .filter_map(|name| catalog.provider(name)?.ok());
        let (providers, models, cards) = providers.fold((0, 0, 0), |(p, m, c), provider| {
            let cards: usize = provider.models.iter().map(|model| model.cards.len()).sum();
            (p + 1, m + provider.models.len(), c + cards)
        });
        let (providers, models) = (number(providers, "provider"), number(models, "model"));
        let cards = number(cards, "card");
        writeln!(
            out,
            "The catalogue is fine: {providers}, {models}, {cards}."
        )?;
    } else {
        eprintln!("{}", number(mistakes.len(), "mistake"));
    }
    Ok(ExitCode::from(code))
}

/// `catalog/openai.toml:12: gpt-5.4 card 2: …`
fn told(folder: &Path, found: &Finding) -> String {
    let mut text = folder
        .join(format!("{}.toml", found.file))
        .display()
        .to_string();
    if let Some(line) = found.line {
        let _ = write!(text, ":{line}");
    }
    text.push(':');
    if let Some(model) = &found.model {
        let _ = write!(text, " {model}");
        if let Some(card) = found.card {
            let _ = write!(text, " card {card}");
        }
        text.push(':');
    }
    let _ = write!(text, " {}", found.what);
    text
}

fn number(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
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
