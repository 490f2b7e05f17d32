//! What `tollgate keys` prints: sentences and tables for people, JSON for programs. A secret stands
//! alone on the first line, so that a script can take it from there too.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;

use crate::{
    cli::{CliError, table::Table},
    store::keys::{BudgetView, View},
};

type Done = Result<ExitCode, CliError>;

/// A key with its secret.
#[derive(Serialize)]
struct Secret<'a> {
    key: &'a str,
    #[serde(flatten)]
    view: &'a View,
}

/// Every key.
#[derive(Serialize)]
struct List<'a> {
    keys: &'a [View],
}

pub(super) fn created(
    secret: &SecretString,
    view: &View,
    as_json: bool,
    out: &mut dyn Write,
) -> Done {
    let id = &view.id;
    let sentence = format!(
        "This is the secret of the key `{id}`. It is shown this once: only its digest is kept."
    );
    shown(secret, view, as_json, &sentence, out)
}

pub(super) fn rotated(
    secret: &SecretString,
    view: &View,
    as_json: bool,
    out: &mut dyn Write,
) -> Done {
    let id = &view.id;
    let old = match view.former_until {
        Some(until) => format!("The old one is accepted until {}.", whole_seconds(until)),
        None => "The old one is not accepted any more.".to_owned(),
    };
    let sentence = format!(
        "This is the new secret of the key `{id}`. It is shown this once: only its digest is \
         kept.\n{old}"
    );
    shown(secret, view, as_json, &sentence, out)
}

pub(super) fn changed(view: &View, as_json: bool, out: &mut dyn Write) -> Done {
    if as_json {
        return json(view, out);
    }
    table(std::slice::from_ref(view)).write(out)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn revoked(view: &View, as_json: bool, out: &mut dyn Write) -> Done {
    if as_json {
        return json(view, out);
    }
    writeln!(out, "The key `{}` is not accepted any more.", view.id)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(views: &[View], as_json: bool, out: &mut dyn Write) -> Done {
    if as_json {
        return json(&List { keys: views }, out);
    }
    if views.is_empty() {
        writeln!(out, "The store has no keys.")?;
    } else {
        table(views).write(out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(
    secret: &SecretString,
    view: &View,
    as_json: bool,
    sentence: &str,
    out: &mut dyn Write,
) -> Done {
    let key = secret.expose_secret();
    if as_json {
        return json(&Secret { key, view }, out);
    }
    writeln!(out, "{key}\n{sentence}")?;
    Ok(ExitCode::SUCCESS)
}

fn json(data: &impl Serialize, out: &mut dyn Write) -> Done {
    serde_json::to_writer_pretty(&mut *out, data).map_err(io::Error::from)?;
    writeln!(out)?;
    Ok(ExitCode::SUCCESS)
}

fn table(views: &[View]) -> Table {
    let mut table = Table::new(&[
        "ID", "STATE", "MODELS", "RPM", "TPM", "AT ONCE", "BUDGET", "TAGS", "CREATED", "EXPIRES",
        "DIGEST",
    ]);
    for view in views {
        table.row(row(view));
    }
    table
}

fn row(view: &View) -> Vec<String> {
    let models = view.models.as_ref().map(|models| models.join(","));
    let budget = view.budget.as_ref();
    let tags = view.tags.as_ref().map(|tags| {
        let pairs = tags.iter().map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(",")
    });
    vec![
        view.id.clone(),
        view.state.as_str().to_owned(),
        or_dash(models),
        or_dash(view.limits.rpm),
        or_dash(view.limits.tpm),
        or_dash(view.limits.max_concurrent),
        or_dash(budget.map(amounts)),
        or_dash(budget.and_then(|budget| budget.spent_usd)),
        or_dash(tags),
        or_dash(view.created.map(whole_seconds)),
        or_dash(view.expires.map(whole_seconds)),
        view.digest.clone(),
    ]
}

fn amounts(budget: &BudgetView) -> String {
    let soft = budget.soft.map(|soft| format!(", soft {soft}"));
    format!(
        "{} per {}{}",
        budget.usd,
        budget.per,
        soft.unwrap_or_default()
    )
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn whole_seconds(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}
