//! The budgets of a configuration, as a table.

use std::io::{self, Write};

use super::table::Table;
use crate::config::{Budget, Config, Scope};

/// Writes those that keys share, and how many keys have their own, if there are any.
pub(super) fn table(config: &Config, out: &mut dyn Write) -> io::Result<()> {
    if !config.budgets.is_empty() {
        writeln!(out)?;
        let mut table = Table::new(&["BUDGET", "COUNTS", "USD", "SOFT", "PER"]);
        for shared in &config.budgets {
            let counts = match &shared.scope {
                Scope::Everything => "everything".to_owned(),
                Scope::EachTag(name) => format!("tag: {name}, each value"),
                scope @ (Scope::Route(_) | Scope::Tag { .. }) => scope.to_string(),
            };
            table.row(row(&shared.id, counts, &shared.budget));
        }
        table.write(out)?;
    }
    match config
        .keys
        .iter()
        .filter(|key| key.budget.is_some())
        .count()
    {
        0 => Ok(()),
        1 => writeln!(out, "\n1 key has a budget of its own."),
        own => writeln!(out, "\n{own} keys have budgets of their own."),
    }
}

fn row(id: &str, counts: String, budget: &Budget) -> Vec<String> {
    let soft = budget.soft;
    vec![
        id.to_owned(),
        counts,
        budget.usd.to_string(),
        soft.map_or_else(|| "-".to_owned(), |soft| soft.to_string()),
        budget.per.as_str().to_owned(),
    ]
}
