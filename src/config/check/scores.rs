//! `scores` and `calibration`: tables that say how good models are.

use super::Findings;
use crate::{
    config::{Scored, mistake::Path, raw},
    quality::{Scores, Table},
};

/// What the tables say; nothing where there are none, or one has a mistake.
pub(super) fn check(
    tables: Option<Vec<raw::FilePath>>,
    calibration: Option<raw::FilePath>,
    findings: &mut Findings<'_>,
) -> Scored {
    let list = Path::root().key("scores");
    let tables = tables.unwrap_or_default().into_iter().enumerate();
    let mut named: Vec<_> = tables
        .map(|(index, raw::FilePath(file))| (list.index(index), file))
        .collect();
    let files = named.iter().map(|(_, file)| file.clone()).collect();
    let calibration = calibration.map(|raw::FilePath(file)| file);
    if let Some(file) = &calibration {
        named.push((Path::root().key("calibration"), file.clone()));
    }
    let mut scored = Scored {
        files,
        calibration,
        scores: Scores::default(),
    };
    let read = named.iter().map(|(path, file)| {
        let name = file.display().to_string();
        let text = findings.file(path, file)?;
        Some(Table { name, text })
    });
    // every file that can't be read is a mistake, not only the first
    let read: Vec<Option<Table>> = read.collect();
    let Some(read) = read.into_iter().collect::<Option<Vec<_>>>() else {
        return scored;
    };
    match Scores::read(&read) {
        Ok(scores) => scored.scores = scores,
        Err((at, error)) => {
            if let (Some((path, _)), Some(table)) = (named.get(at), read.get(at)) {
                findings.mistake(path, format!("{}: {error}", table.name));
            }
        }
    }
    scored
}
