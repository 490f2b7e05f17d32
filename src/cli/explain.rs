//! `tollgate explain`.

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

use super::{CliError, ConfigArg, source, table::Table};
use crate::{
    authenticate::Principal,
    config::{Ledger, Store},
    explaining,
    state::World,
    store::keys::Register,
    understand::{Endpoint, Written},
};

/// How long a locked store is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Explains what would be done with a request.
pub(super) fn run(
    arg: &ConfigArg,
    (key, endpoint): (Option<&str>, &str),
    json: bool,
    file: &Path,
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    let endpoint = named(endpoint)?;
    let world = World::of(source::checked(arg)?.config, None);
    let principal = match key {
        None => Arc::new(Principal::anybody()),
        Some(id) => match world.keys.by_id(id) {
            Some(principal) => principal,
            None => Arc::new(stored(&world.config.store, id)?),
        },
    };
    let body =
        read(file).map_err(|error| CliError::Usage(format!("{}: {error}", file.display())))?;
    let headers = HeaderMap::new();
    let text = explaining::explain(
        &world,
        &principal,
        endpoint,
        body.into(),
        &headers,
        Timestamp::now(),
    )
    .map_err(|error| CliError::Usage(format!("{}: {error}", file.display())))?;
    if json {
        writeln!(out, "{text}")?;
    } else {
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        write(&value, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The endpoint of that name, whose requests are JSON: a form can't be read without its header.
fn named(text: &str) -> Result<Endpoint, CliError> {
    let json = |endpoint: &Endpoint| endpoint.traits().request == Written::Json;
    let Some(endpoint) = Endpoint::from_name(text) else {
        let names = Endpoint::ALL.into_iter().filter(json);
        let names: Vec<&str> = names.map(Endpoint::as_str).collect();
        let names = names.join(", ");
        let message = format!("--endpoint {text}: no such endpoint; there are {names}");
        return Err(CliError::Usage(message));
    };
    if json(&endpoint) {
        return Ok(endpoint);
    }
    let message = format!(
        "--endpoint {text}: its requests are forms; send one, with its content-type, to \
         POST /admin/v1/explain?endpoint={}",
        endpoint.as_str(),
    );
    Err(CliError::Usage(message))
}

/// The holder of a key of the store.
fn stored(store: &Store, id: &str) -> Result<Principal, CliError> {
    let found = match &store.ledger {
        Ledger::Sqlite(path) if path.exists() => {
            Register::open_to_read(path, PATIENCE).and_then(|register| register.get(id))
        }
        Ledger::Sqlite(_) | Ledger::None => Ok(None),
    };
    let found = found.map_err(|error| CliError::Failed(error.to_string()))?;
    let stored = found.ok_or_else(|| CliError::Usage(format!("no key has the id `{id}`")))?;
    Ok(stored.principal())
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return fs::read(file);
    }
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    Ok(body)
}

/// The explanation for people.
fn write(value: &Value, out: &mut dyn Write) -> io::Result<()> {
    head(value, out)?;
    let rows = |name: &str| value[name].as_array().cloned().unwrap_or_default();
    if !rows("candidates").is_empty() {
        let mut table = Table::new(&[
            "\nORDER",
            "BACKEND",
            "MODEL",
            "EXPECTED $",
            "TOKENS IN",
            "OUT",
            "LIMIT",
            "QUALITY",
        ]);
        for (index, row) in rows("candidates").iter().enumerate() {
            let members = [
                "backend",
                "model",
                "expected_cost_usd",
                "expected_prompt_tokens",
                "expected_output_tokens",
                "max_output_tokens",
                "quality",
            ];
            let mut cells = vec![(index + 1).to_string()];
            cells.extend(members.iter().map(|member| text(&row[*member])));
            let [p, low, high] =
                ["quality", "quality_low", "quality_high"].map(|name| text(&row[name]));
            if low != high
                && let Some(cell) = cells.last_mut()
            {
                *cell = format!("{p} ({low} to {high})");
            }
            table.row(cells);
        }
        table.write(out)?;
    }
    if !rows("refused").is_empty() {
        let mut table = Table::new(&["\nREFUSED", "WHY"]);
        for row in &rows("refused") {
            table.row(vec![text(&row["backend"]), text(&row["detail"])]);
        }
        table.write(out)?;
    }
    if !rows("self_hosted").is_empty() {
        hardware(&rows("self_hosted"), out)?;
    }
    if let Some(baseline) = value["baseline"].as_object() {
        let cost = text(baseline.get("expected_cost_usd").unwrap_or(&Value::Null));
        writeln!(
            out,
            "\nbaseline   {} for {cost} $",
            text(&baseline["model"])
        )?;
    }
    Ok(())
}

/// What was asked, and what was decided.
fn head(value: &Value, out: &mut dyn Write) -> io::Result<()> {
    let needs = &value["needs"];
    writeln!(out, "asked      {}", text(&value["model"]))?;
    let words = [&needs["purpose"], &needs["capabilities"]].map(text);
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|w| !w.is_empty())
        .collect();
    writeln!(out, "needs      {}", words.join(", "))?;
    writeln!(
        out,
        "prompt     about {} tokens",
        text(&needs["prompt_tokens"])
    )?;
    let novelty = match needs["novelty"].as_str() {
        Some("1.00") => ", unlike what qualities are predicted from".to_owned(),
        Some(novelty) => format!(", novelty {novelty}"),
        None => String::new(),
    };
    writeln!(out, "domain     {}{novelty}", text(&needs["domain"]))?;
    writeln!(out, "decision   {}", text(&value["decision"]))?;
    if let Some(most) = needs["max_cost_usd"].as_str() {
        writeln!(out, "may cost   {most} $ at most")?;
    }
    if let Some(error) = value["error"].as_str() {
        writeln!(out, "refused    {error}")?;
    }
    Ok(())
}

/// What own hardware costs, and the speeds that its cost is reckoned with. What is learned of it only
/// a running gateway knows.
fn hardware(rows: &[Value], out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&[
        "\nHARDWARE",
        "GPUS",
        "GPU $/H",
        "PREFILL TOK/S",
        "DECODE TOK/S",
    ]);
    for row in rows {
        let speeds = &row["configured"];
        let cells = [
            &row["provider"],
            &row["gpus"],
            &row["gpu_hour_usd"],
            &speeds["prefill_tps"],
            &speeds["decode_tps"],
        ];
        table.row(cells.map(text).to_vec());
    }
    table.write(out)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        Value::Array(list) => list
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(", "),
        other => other.to_string(),
    }
}
