//! `tollgate prices`: the price cards of the catalogue, and which of them apply.

mod refresh;

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{CliError, catalogue, table::Table};
use crate::{
    catalog::{self, Boundary, Card, Catalog, Currency, Model, Provider, When, pick},
    config::pattern_matches,
};

/// What is asked for.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct PricesArgs {
    #[command(subcommand)]
    task: Option<Task>,
    /// Of this provider alone
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Of models with this id, which may hold `*`
    #[arg(long, value_name = "ID")]
    model: Option<String>,
    /// At this moment, such as 2026-11-25T12:00:00Z; now, unless it is said
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// Also the cards that do not apply at that moment
    #[arg(long)]
    all: bool,
    /// The catalogue of this folder, in place of the one that is built in
    #[arg(long, value_name = "DIR")]
    catalog: Option<PathBuf>,
    /// With the files under `catalog` of this configuration over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

/// What else can be done with prices.
#[derive(Debug, Subcommand)]
enum Task {
    /// Compare with a newer price list, and take over what differs
    Refresh(refresh::RefreshArgs),
}

/// A card with whose it is.
struct Row<'a> {
    provider: &'a Provider,
    model: &'a Model,
    card: &'a Card,
    applies: bool,
}

/// Lists cards.
pub(super) fn run(args: &PricesArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    if let Some(Task::Refresh(args)) = &args.task {
        return refresh::run(args, out);
    }
    let own = catalogue::asked(args.catalog.as_deref(), args.config.as_deref())?;
    let catalog = own.as_ref().unwrap_or_else(|| catalog::builtin());
    let rows = rows(args, catalog)?;
    if rows.is_empty() {
        return Err(CliError::Usage(nothing(args)));
    }
    if args.json {
        let list: Vec<Value> = rows.iter().map(Row::view).collect();
        writeln!(out, "{:#}", Value::from(list))?;
    } else {
        table(&rows, args.all).write(out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows<'a>(args: &PricesArgs, catalog: &'a Catalog) -> Result<Vec<Row<'a>>, CliError> {
    let at = args.at.unwrap_or_else(Timestamp::now);
    let known = |wanted: &String| catalog.names().any(|name| name == wanted);
    if let Some(unknown) = args.provider.as_ref().filter(|wanted| !known(wanted)) {
        let names: Vec<&str> = catalog.names().collect();
        let message = format!(
            "--provider {unknown}: there is none; there are {}",
            names.join(", ")
        );
        return Err(CliError::Usage(message));
    }
    let asked = |name: &&str| {
        args.provider
            .as_deref()
            .is_none_or(|wanted| wanted == *name)
    };
    let mut rows = Vec::new();
    for name in catalog.names().filter(asked) {
        let Some(read) = catalog.provider(name) else {
            continue;
        };
        let provider = read.map_err(|error| CliError::Usage(error.to_string()))?;
        let wanted = |model: &&Model| {
            let pattern = args.model.as_deref();
            pattern.is_none_or(|pattern| pattern_matches(pattern, &model.id))
        };
        for model in provider.models.iter().filter(wanted) {
            let in_force = pick::in_force(&model.cards, at, provider.boundary);
            let cards = model.cards.iter().zip(in_force);
            rows.extend(cards.filter(|(_, applies)| args.all || *applies).map(
                |(card, applies)| Row {
                    provider,
                    model,
                    card,
                    applies,
                },
            ));
        }
    }
    Ok(rows)
}

/// Why there is nothing to be shown.
fn nothing(args: &PricesArgs) -> String {
    match &args.model {
        Some(pattern) => format!(
            "--model {pattern}: no card applies to it at that moment, if there is such a model at \
             all; `--all` shows all cards, and `*` stands for any characters"
        ),
        None => "no card applies at that moment; `--all` shows all".to_owned(),
    }
}

impl Row<'_> {
    fn view(&self) -> Value {
        let Card {
            tier,
            rates,
            over,
            window,
            when,
            from,
            until,
            currency,
            source,
            basis,
            min_audio_seconds,
            self_hosted,
        } = self.card;
        let rates: serde_json::Map<String, Value> = rates
            .named()
            .map(|(name, rate)| (name.to_owned(), json!(rate)))
            .collect();
        json!({
            "provider": *self.provider.id,
            "model": *self.model.id,
            "tier": **tier,
            "over": over,
            "window": window.as_ref().map(|window| &*window.id),
            "when": when,
            "from": from,
            "until": until,
            "currency": currency,
            "rates": rates,
            "self_hosted": self_hosted.map(|hosted| json!({
                "gpu_hour": hosted.gpu_hour,
                "gpus": hosted.gpus,
                "prefill_tps": hosted.prefill_tps,
                "decode_tps": hosted.decode_tps,
            })),
            "source": **source,
            "basis": **basis,
            "min_audio_seconds": min_audio_seconds,
            "applies": self.applies,
        })
    }

    /// On what the card depends, in words.
    fn condition(&self) -> String {
        let card = self.card;
        let window = card.window.as_ref().map(|window| &*window.id);
        let mut words = conditions(card.over, Some(self.provider.boundary), window, card.when);
        if card.currency == Currency::Cny {
            words.push("in yuan".into());
        }
        words.join(", ")
    }

    /// The prices that have no column.
    fn others(&self) -> String {
        let others = self.card.rates.named();
        let others = others.filter(|(name, _)| !["input", "output", "cache_read"].contains(name));
        let words: Vec<String> = others
            .map(|(name, rate)| format!("{name} {rate}"))
            .collect();
        match self.card.self_hosted {
            Some(hosted) => format!("{} x GPU at {} an hour", hosted.gpus, hosted.gpu_hour),
            None => words.join(", "),
        }
    }
}

/// On what a card depends, in words; without a boundary, that of a prompt stays open.
fn conditions(
    over: Option<u64>,
    boundary: Option<Boundary>,
    window: Option<&str>,
    when: Option<When>,
) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(over) = over {
        let sign = match boundary {
            Some(Boundary::Over) => ">",
            Some(Boundary::AtOrOver) => ">=",
            None => "from",
        };
        words.push(format!("prompt {sign} {over}"));
    }
    words.extend(window.map(str::to_owned));
    words.extend(when.map(|when| match when {
        When::Reasoning => "reasoning".to_owned(),
        When::NonReasoning => "no reasoning".to_owned(),
    }));
    words
}

fn table(rows: &[Row<'_>], all: bool) -> Table {
    let mut head = vec![
        "PROVIDER", "MODEL", "TIER", "IF", "INPUT", "CACHED", "OUTPUT", "OTHERS", "FROM", "UNTIL",
        "SOURCE",
    ];
    if all {
        head.insert(0, "NOW");
    }
    let mut table = Table::new(&head);
    for row in rows {
        let rates = row.card.rates;
        let day = |moment: Option<Timestamp>| {
            moment.map_or_else(String::new, |moment| moment.to_string())
        };
        let price = |rate: Option<crate::money::Rate>| {
            rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string())
        };
        let mut cells = vec![
            row.provider.id.to_string(),
            row.model.id.to_string(),
            row.card.tier.to_string(),
            row.condition(),
            price(rates.input),
            price(rates.cache_read),
            price(rates.output),
            row.others(),
            day(row.card.from),
            day(row.card.until),
            row.card.source.to_string(),
        ];
        if all {
            cells.insert(0, if row.applies { "*" } else { "" }.to_owned());
        }
        table.row(cells);
    }
    table
}
