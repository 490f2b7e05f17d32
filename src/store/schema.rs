//! The database file: how it is opened, and how an older one is brought up to date.
//!
//! Changes of the schema only go forward, each once, under the lock of its transaction. A database
//! that a newer program made, or that is none of ours, is left as it is and refused.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

/// The changes, in the order in which they were made; a database knows how many it has seen.
const CHANGES: [&str; 8] = [
    "
    CREATE TABLE cards (
        id INTEGER PRIMARY KEY,
        source TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE attempts (
        request_id TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        completed_ms INTEGER NOT NULL,
        key TEXT,
        tags TEXT,
        user TEXT,
        endpoint TEXT NOT NULL,
        route TEXT,
        model TEXT NOT NULL,
        backend TEXT NOT NULL,
        card INTEGER REFERENCES cards (id),
        tier TEXT NOT NULL,
        input INTEGER NOT NULL DEFAULT 0,
        cache_read INTEGER NOT NULL DEFAULT 0,
        cache_write INTEGER NOT NULL DEFAULT 0,
        cache_write_1h INTEGER NOT NULL DEFAULT 0,
        input_audio INTEGER NOT NULL DEFAULT 0,
        cache_read_audio INTEGER NOT NULL DEFAULT 0,
        input_image INTEGER NOT NULL DEFAULT 0,
        output INTEGER NOT NULL DEFAULT 0,
        reasoning INTEGER NOT NULL DEFAULT 0,
        output_audio INTEGER NOT NULL DEFAULT 0,
        output_image INTEGER NOT NULL DEFAULT 0,
        searches INTEGER NOT NULL DEFAULT 0,
        requests INTEGER NOT NULL DEFAULT 0,
        milliseconds INTEGER NOT NULL DEFAULT 0,
        chars INTEGER NOT NULL DEFAULT 0,
        images INTEGER NOT NULL DEFAULT 0,
        pages INTEGER NOT NULL DEFAULT 0,
        cost INTEGER,
        basis TEXT NOT NULL,
        list_cost INTEGER,
        reported_cost INTEGER,
        raw_usage TEXT,
        latency_ms INTEGER NOT NULL,
        first_token_ms INTEGER,
        status INTEGER,
        outcome TEXT NOT NULL,
        PRIMARY KEY (request_id, attempt)
    ) STRICT;
    CREATE INDEX attempts_by_time ON attempts (completed_ms);
",
    // what a key spent, by quarter of an hour in UTC: budgets begin at midnights, and every zone is
    // some quarters away. In two parts, so that no sum is too large. A trigger fires only for rows
    // that are new, in their own transaction; rows that are deleted stay spent
    "
    CREATE TABLE spent (
        key TEXT NOT NULL,
        slot INTEGER NOT NULL,
        millions INTEGER NOT NULL,
        rest INTEGER NOT NULL,
        PRIMARY KEY (key, slot)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO spent
        SELECT key, completed_ms / 900000, sum(cost / 1000000), sum(cost % 1000000)
        FROM attempts WHERE key IS NOT NULL AND cost IS NOT NULL GROUP BY 1, 2;
    CREATE TRIGGER attempts_are_spent AFTER INSERT ON attempts
    WHEN NEW.key IS NOT NULL AND NEW.cost IS NOT NULL
    BEGIN
        INSERT INTO spent
        VALUES (NEW.key, NEW.completed_ms / 900000, NEW.cost / 1000000, NEW.cost % 1000000)
        ON CONFLICT (key, slot) DO UPDATE
        SET millions = millions + excluded.millions, rest = rest + excluded.rest;
    END;
    CREATE TABLE keys (
        id TEXT NOT NULL PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
        former BLOB CHECK (length(former) = 32),
        former_until_ms INTEGER,
        models TEXT,
        rpm INTEGER,
        tpm INTEGER,
        max_concurrent INTEGER,
        budget INTEGER,
        period TEXT,
        tags TEXT,
        created_ms INTEGER NOT NULL,
        expires_ms INTEGER,
        revoked_ms INTEGER,
        revision INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX keys_by_former ON keys (former) WHERE former IS NOT NULL;
    CREATE UNIQUE INDEX keys_by_revision ON keys (revision);
",
    "
    ALTER TABLE attempts ADD COLUMN baseline_cost INTEGER;
",
    // the writer adds up a batch at once, where the trigger wrote once more for each row
    "
    DROP TRIGGER attempts_are_spent;
",
    // budgets that several keys share: what is spent is added up for everybody (who has no name), for
    // each route and for each tag of a key (`team=a`) too. Rows that were deleted stay spent as far
    // as they are in the sums of keys. `key_tags` has the names of the tags that are the key's, where
    // not all are; of older rows nobody knows, so all of those that have a key count
    "
    ALTER TABLE attempts ADD COLUMN key_tags TEXT;
    ALTER TABLE keys ADD COLUMN soft INTEGER;
    ALTER TABLE spent RENAME TO spent_by_key;
    CREATE TABLE spent (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        slot INTEGER NOT NULL,
        millions INTEGER NOT NULL,
        rest INTEGER NOT NULL,
        PRIMARY KEY (kind, name, slot)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO spent SELECT 'key', key, slot, millions, rest FROM spent_by_key;
    INSERT INTO spent
        SELECT 'all', '', slot, sum(millions), sum(rest) FROM (
            SELECT slot, millions, rest FROM spent_by_key
            UNION ALL
            SELECT completed_ms / 900000, cost / 1000000, cost % 1000000
            FROM attempts WHERE key IS NULL AND cost IS NOT NULL
        ) GROUP BY slot;
    INSERT INTO spent
        SELECT 'route', route, completed_ms / 900000, sum(cost / 1000000), sum(cost % 1000000)
        FROM attempts WHERE route IS NOT NULL AND cost IS NOT NULL GROUP BY 2, 3;
    INSERT INTO spent
        SELECT 'tag', tag.key || '=' || tag.value, completed_ms / 900000,
            sum(cost / 1000000), sum(cost % 1000000)
        FROM attempts, json_each(attempts.tags) AS tag
        WHERE attempts.key IS NOT NULL AND cost IS NOT NULL GROUP BY 2, 3;
    DROP TABLE spent_by_key;
    ",
    // one's own hardware: how long a call kept it busy, and what it costs from when on
    "
    ALTER TABLE attempts ADD COLUMN gpu_ns INTEGER;
    CREATE TABLE rents (
        provider TEXT NOT NULL,
        from_ms INTEGER NOT NULL,
        gpu_hour INTEGER NOT NULL,
        gpus INTEGER NOT NULL,
        prefill_tps INTEGER NOT NULL,
        decode_tps INTEGER NOT NULL,
        PRIMARY KEY (provider, from_ms)
    ) STRICT, WITHOUT ROWID;
",
    // how good answers were expected to be and turned out; and decisions with all that they were
    // taken on. What was predicted stands apart, as it is for a few calls. Callers without a key
    // have no name
    "
    CREATE TABLE predictions (
        request_id TEXT NOT NULL,
        attempt INTEGER NOT NULL,
        domain TEXT NOT NULL,
        predicted INTEGER NOT NULL,
        PRIMARY KEY (request_id, attempt)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE feedback (
        request_id TEXT NOT NULL PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        key TEXT,
        model TEXT NOT NULL,
        domain TEXT,
        score REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE learned (
        key TEXT NOT NULL,
        model TEXT NOT NULL,
        domain TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        told_information REAL NOT NULL,
        told_sum REAL NOT NULL,
        told_n INTEGER NOT NULL,
        shown_information REAL NOT NULL,
        shown_sum REAL NOT NULL,
        shown_n INTEGER NOT NULL,
        PRIMARY KEY (key, model, domain)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE decisions (
        request_id TEXT NOT NULL PRIMARY KEY,
        at_ms INTEGER NOT NULL,
        decision TEXT NOT NULL
    ) STRICT;
    CREATE INDEX decisions_by_time ON decisions (at_ms);
",
    // what was predicted stands in the row that it is of: with routes that is most rows, and a table of
    // its own had their ids once more. Whoever read that table finds the same in a view
    "
    ALTER TABLE attempts ADD COLUMN domain TEXT;
    ALTER TABLE attempts ADD COLUMN predicted INTEGER;
    UPDATE attempts SET domain = it.domain, predicted = it.predicted FROM predictions AS it
        WHERE it.request_id = attempts.request_id AND it.attempt = attempts.attempt;
    DROP TABLE predictions;
    CREATE VIEW predictions AS
        SELECT request_id, attempt, domain, predicted FROM attempts WHERE predicted IS NOT NULL;
",
];
/// How many changes this program knows.
const VERSION: i64 = CHANGES.len() as i64;
/// Marks the file as a ledger of this program: `tolg`.
const APPLICATION: i64 = 0x746f_6c67;
/// Bytes of the write-ahead log that are kept after it was emptied.
const LOG_KEPT: i64 = 64 << 20;

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the ledger {path} was made by a newer tollgate (version {found} of its tables, this \
         program knows {VERSION}): start that one, or keep the ledger elsewhere"
    )]
    Newer { path: PathBuf, found: i64 },
    #[error("{path} is a database, but no ledger of tollgate: keep the ledger elsewhere")]
    Foreign { path: PathBuf },
    #[error("the ledger {path} can't be opened: {source}")]
    Sqlite {
        path: PathBuf,
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// Can nothing be written there, now or later: the folder is missing or not ours to write in?
    #[must_use]
    pub fn is_no_place(&self) -> bool {
        let codes = [
            ErrorCode::CannotOpen,
            ErrorCode::ReadOnly,
            ErrorCode::PermissionDenied,
        ];
        self.code().is_some_and(|code| codes.contains(&code))
    }

    /// May it pass by itself: locked, no space, a disk that stumbles?
    pub(super) fn may_pass(&self) -> bool {
        let codes = [
            ErrorCode::DatabaseBusy,
            ErrorCode::DatabaseLocked,
            ErrorCode::DiskFull,
            ErrorCode::SystemIoFailure,
            ErrorCode::OutOfMemory,
        ];
        self.code().is_some_and(|code| codes.contains(&code))
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite { source, .. } => source.sqlite_error_code(),
            Self::Newer { .. } | Self::Foreign { .. } => None,
        }
    }
}

/// Opens a ledger for writing, makes it if there is none, and proves that it can be written.
/// Locks of others are waited for as long as `patience`.
pub(super) fn open(path: &Path, patience: Duration) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Sqlite {
        path: path.to_owned(),
        source,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(failed)?;
    db.busy_timeout(patience).map_err(failed)?;
    let (found, ours) = identity(&db).map_err(failed)?;
    if found > VERSION && ours {
        let path = path.to_owned();
        return Err(OpenError::Newer { path, found });
    }
    if !ours && !is_empty(&db).map_err(failed)? {
        let path = path.to_owned();
        return Err(OpenError::Foreign { path });
    }
    prepare(&mut db).map_err(failed)?;
    Ok(db)
}

/// Opens a ledger for reading only; nothing is made or changed.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Sqlite {
        path: path.to_owned(),
        source,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(failed)?;
    db.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
    match identity(&db).map_err(failed)? {
        (found, true) if found > VERSION => Err(OpenError::Newer {
            path: path.to_owned(),
            found,
        }),
        (_, true) => Ok(db),
        (_, false) => Err(OpenError::Foreign {
            path: path.to_owned(),
        }),
    }
}

/// How many changes it has seen, and whether it is a ledger of ours.
fn identity(db: &Connection) -> rusqlite::Result<(i64, bool)> {
    let number = |name| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok((
        number("user_version")?,
        number("application_id")? == APPLICATION,
    ))
}

fn is_empty(db: &Connection) -> rusqlite::Result<bool> {
    let tables = "SELECT count(*) FROM sqlite_schema";
    db.query_row(tables, [], |row| row.get::<_, i64>(0))
        .map(|count| count == 0)
}

fn prepare(db: &mut Connection) -> rusqlite::Result<()> {
    // readers never wait for the writer, and a commit is one append to the log. A file system that
    // can't do it answers with the mode that it keeps, which works too
    db.query_row("PRAGMA journal_mode = WAL", [], |row| {
        row.get::<_, String>(0)
    })?;
    // a killed process loses nothing that was committed; a machine that loses power loses at most
    // what came after the last checkpoint, and never the database
    db.pragma_update(None, "synchronous", "NORMAL")?;
    db.query_row(
        &format!("PRAGMA journal_size_limit = {LOG_KEPT}"),
        [],
        |_| Ok(()),
    )?;
    let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // under the lock: another process may have made the changes meanwhile
    let (seen, _) = identity(&change)?;
    let seen = usize::try_from(seen).unwrap_or(usize::MAX);
    for sql in CHANGES.iter().skip(seen) {
        change.execute_batch(sql)?;
    }
    // written even where nothing changes, so that a disk without space is found out here
    change.pragma_update(None, "application_id", APPLICATION)?;
    change.pragma_update(None, "user_version", VERSION)?;
    change.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(40);

    #[test]
    fn a_new_file_becomes_a_ledger_and_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        for _ in 0..2 {
            let db = open(&path, SOON).unwrap();
            assert_eq!(identity(&db).unwrap(), (VERSION, true));
            let mode = db.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
            assert_eq!(mode.unwrap(), "wal");
        }
    }

    #[test]
    fn an_older_one_gets_the_changes_it_has_not_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let old = Connection::open(&path).unwrap();
        old.pragma_update(None, "application_id", APPLICATION)
            .unwrap();
        drop(old);
        let db = open(&path, SOON).unwrap();
        let rows = db.query_row("SELECT count(*) FROM attempts", [], |row| {
            row.get::<_, i64>(0)
        });
        assert_eq!((identity(&db).unwrap().0, rows.unwrap()), (VERSION, 0));
    }

    #[test]
    fn what_was_spent_before_there_was_a_table_for_it_is_added_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(CHANGES[0]).unwrap();
        old.pragma_update(None, "application_id", APPLICATION)
            .unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        for (attempt, completed_ms, key, tags, route, cost) in [
            (1, 899_999, "'a'", "NULL", "'auto'", "1999999"),
            (2, 0, "'a'", r#"'{"team":"x","run":"7"}'"#, "NULL", "1"),
            (
                3,
                900_000,
                "'a'",
                r#"'{"team":"x"}'"#,
                "'auto'",
                "9223372036854775807",
            ),
            (4, 0, "'a'", r#"'{"team":"x"}'"#, "'auto'", "NULL"),
            (5, 0, "NULL", r#"'{"team":"x"}'"#, "NULL", "1"),
        ] {
            let sql = format!(
                "INSERT INTO attempts (request_id, attempt, completed_ms, key, tags, route, \
                 endpoint, model, backend, tier, cost, basis, latency_ms, outcome) \
                 VALUES ('r', {attempt}, {completed_ms}, {key}, {tags}, {route}, '', '', '', '', \
                 {cost}, '', 0, '')"
            );
            old.execute_batch(&sql).unwrap();
        }
        drop(old);
        let db = open(&path, SOON).unwrap();
        let sql = "SELECT group_concat(concat_ws(' ', kind, name, slot, millions, rest), ', ') \
                   FROM (SELECT * FROM spent ORDER BY kind, name, slot)";
        let spent: String = db.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(
            spent,
            "all  0 1 1000001, all  1 9223372036854 775807, \
             key a 0 1 1000000, key a 1 9223372036854 775807, \
             route auto 0 1 999999, route auto 1 9223372036854 775807, \
             tag run=7 0 0 1, tag team=x 0 0 1, tag team=x 1 9223372036854 775807"
        );
    }

    #[test]
    fn what_was_spent_of_rows_that_are_deleted_stays_spent_for_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let old = Connection::open(&path).unwrap();
        for sql in &CHANGES[..4] {
            old.execute_batch(sql).unwrap();
        }
        old.pragma_update(None, "application_id", APPLICATION)
            .unwrap();
        old.pragma_update(None, "user_version", 4).unwrap();
        old.execute_batch("INSERT INTO spent VALUES ('a', 7, 3, 4), ('b', 7, 5, 6)")
            .unwrap();
        drop(old);
        let db = open(&path, SOON).unwrap();
        let sql = "SELECT millions, rest FROM spent WHERE kind = 'all' AND slot = 7";
        let all: (i64, i64) = db
            .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(all, (8, 10));
    }

    #[test]
    fn what_was_predicted_before_it_stood_in_the_row_comes_into_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let old = Connection::open(&path).unwrap();
        for sql in &CHANGES[..7] {
            old.execute_batch(sql).unwrap();
        }
        old.pragma_update(None, "application_id", APPLICATION)
            .unwrap();
        old.pragma_update(None, "user_version", 7).unwrap();
        for attempt in [1, 2] {
            let sql = format!(
                "INSERT INTO attempts (request_id, attempt, completed_ms, endpoint, model, \
                 backend, tier, basis, latency_ms, outcome) \
                 VALUES ('r', {attempt}, 0, '', '', '', '', '', 0, '')"
            );
            old.execute_batch(&sql).unwrap();
        }
        // the second one's row was deleted
        old.execute_batch(
            "INSERT INTO predictions VALUES ('r', 2, 'code', 8123), ('gone', 1, 'math', 1)",
        )
        .unwrap();
        drop(old);
        let db = open(&path, SOON).unwrap();
        for table in ["attempts", "predictions"] {
            let sql = format!(
                "SELECT group_concat(concat_ws(' ', request_id, attempt, domain, predicted), ', ') \
                 FROM {table} WHERE predicted IS NOT NULL"
            );
            let found: String = db.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(found, "r 2 code 8123", "{table}");
        }
    }

    #[test]
    fn a_newer_one_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let db = open(&path, SOON).unwrap();
        db.pragma_update(None, "user_version", VERSION + 1).unwrap();
        let before = std::fs::read(&path).unwrap();
        for error in [open(&path, SOON).err(), open_to_read(&path).err()] {
            let error = error.unwrap();
            assert!(matches!(error, OpenError::Newer { .. }), "{error}");
            assert!(!error.is_no_place() && !error.may_pass());
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn the_database_of_somebody_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("theirs.db");
        let theirs = Connection::open(&path).unwrap();
        theirs.execute_batch("CREATE TABLE t (a)").unwrap();
        assert!(matches!(open(&path, SOON), Err(OpenError::Foreign { .. })));
        assert!(matches!(
            open_to_read(&path),
            Err(OpenError::Foreign { .. })
        ));
    }

    #[test]
    fn a_place_where_nothing_can_be_written_is_told_from_a_passing_failure() {
        for path in ["/proc/tollgate.db", "/no/such/folder/l.db"] {
            let error = open(Path::new(path), SOON).unwrap_err();
            assert!(error.is_no_place() && !error.may_pass(), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        let db = open(&path, SOON).unwrap();
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = open(&path, SOON).unwrap_err();
        assert!(!error.is_no_place() && error.may_pass(), "{error}");
    }

    #[test]
    fn a_text_file_is_no_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.db");
        std::fs::write(&path, "x".repeat(5_000)).unwrap();
        let error = open(&path, SOON).unwrap_err();
        assert!(!error.may_pass(), "{error}");
    }
}
