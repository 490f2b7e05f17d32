//! `tollgate prices refresh`: what a newer price list changes, and taking it over into the
//! operator's own files. What is compared and written is decided in `catalog::refresh`.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::conditions;
use crate::{
    catalog::{
        self, Catalog, Currency,
        overlay::File,
        refresh::{self, Difference, Newer, Refresh, litellm},
    },
    cli::{CliError, catalogue, table::Table},
    config::load::{self, ProcessEnvironment},
    money::Rate,
};

/// Bytes of a price list; that of LiteLLM has 3 MB.
const MOST: u64 = 64 << 20;

/// What is compared, and where it goes.
#[derive(Debug, Args)]
pub(super) struct RefreshArgs {
    /// A newer catalogue (a folder, or the file of one provider), or the price map of LiteLLM
    /// (`model_prices_and_context_window.json`)
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Write what differs, with the old prices up to now
    #[arg(long)]
    apply: bool,
    /// The folder of your own price files, in place of the one that `catalog` of the configuration
    /// names
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Of this provider alone
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// The catalogue of this folder, in place of the one that is built in
    #[arg(long, value_name = "DIR")]
    catalog: Option<PathBuf>,
    /// With the files under `catalog` of this configuration over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

/// The operator's folder, as it is.
struct Own {
    folder: PathBuf,
    /// Texts by the name of the file, without its ending.
    files: BTreeMap<String, String>,
}

/// Compares, shows, and writes if asked to.
pub(super) fn run(args: &RefreshArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let own = own(args)?;
    if args.apply && own.is_none() {
        let message = "--apply: say where: `--into DIR`, or `--config FILE` whose `catalog` lists \
                       a folder";
        return Err(CliError::Usage(message.to_owned()));
    }
    let under = args.catalog.as_deref().map(catalogue::read).transpose()?;
    let under = under.as_ref().unwrap_or_else(|| catalog::builtin());
    let known = known(args, under, own.as_ref())?;
    let known = known.as_ref().unwrap_or(under);
    let text = source(&args.from)?;
    let list = list(&args.from, &text, known)?;
    let newer = match &list {
        List::Catalog(newer) => Newer::Catalog(newer),
        List::LiteLlm(map) => Newer::LiteLlm(map),
    };
    let now = Timestamp::now();
    let refused = |error: catalog::CatalogError| CliError::Usage(error.to_string());
    let mut refresh = refresh::compare((known, under), &newer, now).map_err(refused)?;
    if let Some(provider) = &args.provider {
        refresh.keep(provider);
    }
    let existing = |name: &str| own.as_ref()?.files.get(name).cloned();
    let files = refresh
        .files(known, &newer, existing, now)
        .map_err(refused)?;
    if args.json {
        writeln!(out, "{:#}", view(&refresh))?;
    } else {
        show(&refresh, known, out)?;
    }
    match own.filter(|_| args.apply) {
        Some(own) => apply(&own, &files, args.json, out)?,
        None if !args.json && !files.is_empty() => {
            writeln!(out, "Nothing was written; `--apply` does.")?;
        }
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder in which the operator's files are; `None`: nobody names one.
fn own(args: &RefreshArgs) -> Result<Option<Own>, CliError> {
    let named = match (&args.into, &args.config) {
        (Some(folder), _) => Some(folder.clone()),
        (None, Some(config)) => {
            let (_, raw) = load::read(config, &ProcessEnvironment).map_err(CliError::Config)?;
            let mut listed = raw.catalog.into_iter().flatten().map(|file| file.0);
            listed.find(|file| file.is_dir())
        }
        (None, None) => None,
    };
    let Some(folder) = named else {
        return Ok(None);
    };
    let refused = |error: io::Error| CliError::Usage(format!("{}: {error}", folder.display()));
    if !folder.exists() {
        return Ok(Some(Own {
            folder,
            files: BTreeMap::new(),
        }));
    }
    let listed = load::folder(&folder, "toml").map_err(refused)?;
    let Some(listed) = listed else {
        return Err(CliError::Usage(format!(
            "--into {}: is a file; a folder for a file of each provider is meant",
            folder.display()
        )));
    };
    let mut files = BTreeMap::new();
    for path in listed {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        files.insert(name.into_owned(), catalogue::text(&path)?);
    }
    Ok(Some(Own { folder, files }))
}

/// The catalogue with the operator's files over it; `None`: there are none.
fn known(
    args: &RefreshArgs,
    under: &Catalog,
    own: Option<&Own>,
) -> Result<Option<Catalog>, CliError> {
    if let Some(config) = &args.config {
        return load::catalogue(config, &ProcessEnvironment, under).map_err(CliError::Config);
    }
    let files = own.into_iter().flat_map(|own| &own.files);
    let files: Vec<File> = files
        .map(|(name, text)| File {
            name: format!("{name}.toml"),
            text: text.clone(),
        })
        .collect();
    if files.is_empty() {
        return Ok(None);
    }
    let over = under.overlaid(&files);
    let over = over.map_err(|(_, error)| CliError::Usage(error.to_string()))?;
    Ok(Some(over.catalog))
}

/// A newer list that was understood.
enum List<'a> {
    Catalog(Catalog),
    LiteLlm(litellm::Map<'a>),
}

/// The text of a list that is one file; of a folder nothing.
fn source(from: &Path) -> Result<String, CliError> {
    if from.is_dir() {
        return Ok(String::new());
    }
    load::bounded(from, MOST)
        .map_err(|error| CliError::Usage(format!("--from {}: {error}", from.display())))
}

fn list<'a>(from: &Path, text: &'a str, known: &Catalog) -> Result<List<'a>, CliError> {
    let refuse = |what: String| CliError::Usage(format!("--from {}: {what}", from.display()));
    if from.is_dir() {
        return catalogue::read(from).map(List::Catalog);
    }
    if from.extension().is_some_and(|end| end == "toml") {
        let newer = known
            .alone(text)
            .map_err(|error| refuse(error.to_string()))?;
        return Ok(List::Catalog(newer));
    }
    let map = litellm::Map::read(text).map_err(|error| {
        refuse(format!(
            "neither a catalogue (a folder, or a file that ends in .toml) nor the price map of \
             LiteLLM: {error}"
        ))
    })?;
    Ok(List::LiteLlm(map))
}

fn show(refresh: &Refresh, known: &Catalog, out: &mut dyn Write) -> Result<(), CliError> {
    if !refresh.models.is_empty() {
        table(refresh, known).write(out)?;
    }
    let count: usize = refresh.models.iter().map(|one| one.differences.len()).sum();
    let models = refresh.models.len();
    writeln!(out, "Prices that differ: {count}, of models: {models}.")?;
    let names = |pairs: &mut dyn Iterator<Item = (&str, &str)>| {
        let names: Vec<String> = pairs.map(|(of, model)| format!("{of}/{model}")).collect();
        names.join(", ")
    };
    let added = &mut refresh
        .added
        .iter()
        .map(|one| (&*one.provider, &*one.model));
    let gone = &mut refresh.gone.iter().map(|(of, model)| (&**of, &**model));
    let own = &mut refresh.own.iter().map(|(of, model)| (&**of, &**model));
    for (what, names) in [
        ("New", names(added)),
        ("Gone from the newer list, and kept", names(gone)),
        ("Your own prices, which differ, and are kept", names(own)),
    ] {
        if !names.is_empty() {
            writeln!(out, "{what}: {names}.")?;
        }
    }
    let mut unread: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for one in &refresh.unread {
        let models = unread.entry(&one.what).or_default();
        models.push((&*one.provider, &*one.model));
    }
    if !unread.is_empty() {
        writeln!(out, "Left out:")?;
    }
    for (what, models) in unread {
        writeln!(out, "- {what}: {}", names(&mut models.into_iter()))?;
    }
    Ok(())
}

fn table(refresh: &Refresh, known: &Catalog) -> Table {
    let mut table = Table::new(&[
        "PROVIDER", "MODEL", "TIER", "IF", "PRICE", "OLD", "NEW", "CHANGE", "FROM",
    ]);
    for one in &refresh.models {
        let boundary = known.provider(&one.provider).and_then(Result::ok);
        let boundary = boundary.map(|provider| provider.boundary);
        for difference in &one.differences {
            let Difference {
                tier,
                over,
                window,
                when,
                rate,
                old,
                new,
                currencies,
                from,
            } = difference;
            let shown = |rate: Option<Rate>, currency: Currency| match (rate, currency) {
                (None, _) => "-".to_owned(),
                (Some(rate), Currency::Usd) => rate.to_string(),
                (Some(rate), Currency::Cny) => format!("{rate} yuan"),
            };
            table.row(vec![
                one.provider.to_string(),
                one.model.to_string(),
                tier.to_string(),
                conditions(*over, boundary, window.as_deref(), *when).join(", "),
                (*rate).to_owned(),
                shown(*old, currencies.0),
                shown(*new, currencies.1),
                difference.percent().unwrap_or_default(),
                from.map_or_else(String::new, |from| from.to_string()),
            ]);
        }
    }
    table
}

fn view(refresh: &Refresh) -> Value {
    let pair = |of: &str, model: &str| json!({ "provider": of, "model": model });
    let differences = refresh.models.iter().flat_map(|one| {
        one.differences.iter().map(|difference| {
            json!({
                "provider": *one.provider,
                "model": *one.model,
                "tier": *difference.tier,
                "over": difference.over,
                "window": difference.window.as_deref(),
                "when": difference.when,
                "price": difference.rate,
                "old": difference.old,
                "new": difference.new,
                "currency": difference.currencies.1,
                "old_currency": difference.currencies.0,
                "change": difference.percent(),
                "from": difference.from,
            })
        })
    });
    let unread = refresh
        .unread
        .iter()
        .map(|one| json!({ "provider": *one.provider, "model": *one.model, "what": one.what }));
    json!({
        "differences": differences.collect::<Value>(),
        "added": refresh.added.iter().map(|one| pair(&one.provider, &one.model)).collect::<Value>(),
        "gone": refresh.gone.iter().map(|(of, model)| pair(of, model)).collect::<Value>(),
        "own": refresh.own.iter().map(|(of, model)| pair(of, model)).collect::<Value>(),
        "left_out": unread.collect::<Value>(),
    })
}

/// Writes files one by one, each whole or not at all.
fn apply(own: &Own, files: &[File], quiet: bool, out: &mut dyn Write) -> Result<(), CliError> {
    let refused = |path: &Path, error: io::Error| {
        CliError::Failed(format!("{}: can't be written: {error}", path.display()))
    };
    fs::create_dir_all(&own.folder).map_err(|error| refused(&own.folder, error))?;
    for File { name, text } in files {
        let path = own.folder.join(format!("{name}.toml"));
        let fresh = own.folder.join(format!(".{name}.toml.new"));
        replace(&path, &fresh, text).map_err(|error| refused(&path, error))?;
        if !quiet {
            writeln!(out, "Written: {}", path.display())?;
        }
    }
    Ok(())
}

/// Puts a text in place of a file: a crash leaves the one or the other.
fn replace(path: &Path, fresh: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::File::create(fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(fresh, path)
}
