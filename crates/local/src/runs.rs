//! The records of the runs in SQLite: the engine's `Runs` port on one machine.
//!
//! One file, opened by each function process and by the program at the same time; WAL lets readers read while one writes. The
//! record is one JSON document; columns beside it are what lists and sweeps ask for, written from it in the same statement.
//! The limits' queues and holders are rows of their own (`limits`), moved in the transaction that writes the run.

mod limits;
#[cfg(test)]
mod tests;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{OptionalExtension as _, Row, ToSql, Transaction, params, types::Type};
use taskferry_core::{
    event::Event,
    limits::{LimitId, LimitState, moves},
    pace::Window,
    rules::RETENTION_DEFAULT,
    run::{Run, RunId},
};
use taskferry_engine::ports::{Created, Due, Error, Page, RunQuery, Runs, Updated};

use crate::db::{self, Db};

/// How many runs a list shows when nobody says.
const LIMIT_DEFAULT: u32 = 100;

/// How much of the file a process keeps in memory, in KiB: a function's few statements read the same few pages.
const CACHE_KIB: i64 = 256;

const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    rule TEXT NOT NULL,
    status TEXT NOT NULL,
    event_id TEXT NOT NULL,
    dedupe_key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    run TEXT NOT NULL,
    event TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX runs_by_time ON runs (created_at);
CREATE INDEX runs_by_rule ON runs (rule, created_at);
CREATE INDEX runs_by_event ON runs (event_id);
",
    "
ALTER TABLE runs ADD COLUMN due_at INTEGER;
ALTER TABLE runs ADD COLUMN is_dead_letter INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_due ON runs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX runs_dead ON runs (created_at) WHERE is_dead_letter;
CREATE TABLE limits (
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    check_at INTEGER,
    PRIMARY KEY (name, key)
) WITHOUT ROWID;
CREATE INDEX limits_due ON limits (check_at) WHERE check_at IS NOT NULL;
CREATE TABLE limit_queue (
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    PRIMARY KEY (name, key, created_at, run_id)
) WITHOUT ROWID;
CREATE TABLE limit_holders (
    name TEXT NOT NULL,
    key TEXT NOT NULL,
    run_id TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (name, key, run_id)
) WITHOUT ROWID;
CREATE TABLE revisions (last INTEGER NOT NULL);
INSERT INTO revisions VALUES (0);
CREATE TABLE windows (begin INTEGER PRIMARY KEY, taken INTEGER NOT NULL);
",
    // What had ended before there was a retention is kept for its default.
    "
ALTER TABLE runs ADD COLUMN expires_at INTEGER;
CREATE INDEX runs_expired ON runs (expires_at) WHERE expires_at IS NOT NULL;
UPDATE runs SET expires_at = (unixepoch(json_extract(run, '$.endedAt')) + 2592000) * 1000000
    WHERE due_at IS NULL AND json_extract(run, '$.endedAt') IS NOT NULL;
",
    // Nothing is lost with them: a window is over in seconds.
    "
DROP TABLE windows;
CREATE TABLE windows (
    bucket TEXT NOT NULL,
    begin INTEGER NOT NULL,
    taken INTEGER NOT NULL,
    PRIMARY KEY (bucket, begin)
) WITHOUT ROWID;
",
];

/// How many expired records are deleted at a time: few enough that nobody waits for it.
const FORGOTTEN_MAX: u32 = 100;

/// After how long a record that could not be read is looked at again: an hour.
const UNREADABLE_MICROS: i64 = 3_600_000_000;

/// The records of the runs.
#[derive(Debug)]
pub struct SqliteRuns {
    db: Db,
    retention: SignedDuration,
}

/// Why a transaction wrote nothing.
enum Undone {
    Sqlite(rusqlite::Error),
    Conflict,
    Full(LimitId),
}

impl From<rusqlite::Error> for Undone {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl SqliteRuns {
    /// Opens the file, creating it if there is none.
    ///
    /// # Errors
    ///
    /// The state file's, if it is of a newer version or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, db::Error> {
        let db = Db::open(path, MIGRATIONS)?;
        db.read(|connection| connection.pragma_update(None, "cache_size", -CACHE_KIB))
            .map_err(|source| db::Error::Sqlite { path: path.to_owned(), source })?;
        Ok(Self { db, retention: RETENTION_DEFAULT })
    }

    /// The same, keeping what has ended for so long.
    #[must_use]
    pub fn with_retention(mut self, retention: SignedDuration) -> Self {
        self.retention = retention;
        self
    }

    /// Whether the file is still the one that was opened: false once somebody has deleted or replaced it.
    pub fn is_in_place(&self) -> bool {
        self.db.is_in_place()
    }

    /// Deletes records that have been kept for long enough by `now`, with their events, and says how many: at most a hundred,
    /// the longest expired first. What DynamoDB does by itself, `taskferry dev` has done here.
    ///
    /// # Errors
    ///
    /// SQLite's, if the file cannot be read or written.
    pub fn forget(&self, now: Timestamp) -> Result<usize, Error> {
        let now = now.as_microsecond();
        let expired = self.db.read(|connection| {
            let mut expired =
                connection.prepare_cached("SELECT 1 FROM runs WHERE expires_at <= ?1 LIMIT 1")?;
            expired.exists([now])
        });
        // Mostly there is none, and then nobody need wait for a writer.
        if !expired.map_err(unavailable("reading runs"))? {
            return Ok(0);
        }
        let deleted = self.db.write(|tx| {
            tx.prepare_cached(
                "DELETE FROM runs WHERE id IN
                 (SELECT id FROM runs WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
            )?
            .execute(params![now, FORGOTTEN_MAX])
        });
        deleted.map_err(unavailable("deleting expired runs"))
    }

    /// Has the runs that are being launched looked at by `now`, and says how many: for a start, when whoever was about to
    /// launch them has died. By their own dates they would be, some minutes later, with all that wait for them.
    ///
    /// # Errors
    ///
    /// SQLite's, if the file cannot be read or written.
    pub fn look_at_launches(&self, now: Timestamp) -> Result<usize, Error> {
        let select = "SELECT id, run FROM runs WHERE due_at > ?1 AND status = 'launching'";
        let looked_at = self.db.write(|tx| {
            let launching: Vec<Option<Run>> = tx
                .prepare_cached(select)?
                .query_map([now.as_microsecond()], readable_row)?
                .collect::<Result<_, _>>()?;
            for mut run in launching.iter().flatten().cloned() {
                run.due_at = Some(now);
                if let Some(message) = run.message.as_deref_mut() {
                    message.own_due_at = Some(now);
                }
                run.revision += 1;
                tx.prepare_cached(
                    "UPDATE runs SET revision = ?2, due_at = ?3, run = ?4 WHERE id = ?1",
                )?
                .execute(params![
                    run.id.as_str(),
                    run.revision,
                    now.as_microsecond(),
                    document(&run)
                ])?;
            }
            Ok(launching.into_iter().flatten().count())
        });
        looked_at.map_err(unavailable("looking at launches"))
    }

    /// The runs that are due. A record that this version cannot read, such as a newer one's, is told of and asked for again in
    /// an hour: it keeps no other run from its turn.
    fn due_runs(&self, now: i64, limit: u32) -> rusqlite::Result<Vec<Run>> {
        let rows: Vec<(String, String)> = self.db.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT id, run FROM runs WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2",
                )?
                .query_map(params![now, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })?;
        let mut runs = Vec::with_capacity(rows.len());
        for (run_id, document) in rows {
            if let Some(run) = readable(&run_id, &document) {
                runs.push(run);
                continue;
            }
            self.db.write(|tx| {
                tx.prepare_cached("UPDATE runs SET due_at = ?2 WHERE id = ?1 AND run = ?3")?
                    .execute(params![run_id, now.saturating_add(UNREADABLE_MICROS), document])
            })?;
        }
        Ok(runs)
    }

    fn expires_at(&self, run: &Run) -> Option<i64> {
        run.expires_at(self.retention).map(Timestamp::as_microsecond)
    }

    fn select(&self, clause: &str, params: &[&dyn ToSql]) -> Result<Vec<Run>, Error> {
        let select = format!("SELECT run FROM runs {clause}");
        let runs = self.db.read(|connection| {
            connection.prepare_cached(&select)?.query_map(params, run)?.collect()
        });
        runs.map_err(unavailable("reading runs"))
    }
}

impl Runs for SqliteRuns {
    async fn create(&self, run: &Run, event: &Event) -> Result<Created, Error> {
        let created = self.db.write(|tx| {
            if insert(tx, run, event, self.expires_at(run))? == 0 {
                let existing = tx
                    .prepare_cached("SELECT run FROM runs WHERE id = ?1")?
                    .query_row([run.id.as_str()], self::run)?;
                return Ok(Created::Exists(Box::new(existing)));
            }
            if let Some(limit) = moves(None, run).join {
                limits::join(tx, limit, run)?;
            }
            Ok(Created::New)
        });
        created.map_err(unavailable("recording a run"))
    }

    async fn update(&self, was: &Run, run: &Run) -> Result<Updated, Error> {
        let updated = self.db.write(|tx| {
            let written = tx
                .prepare_cached(
                    "UPDATE runs SET revision = ?3, status = ?4, due_at = ?5, is_dead_letter = ?6, run = ?7,
                     expires_at = ?8 WHERE id = ?1 AND revision = ?2",
                )?
                .execute(params![
                    run.id.as_str(),
                    was.revision,
                    run.revision,
                    run.status.as_str(),
                    run.due_at.map(Timestamp::as_microsecond),
                    run.is_dead_letter(),
                    document(run),
                    self.expires_at(run),
                ])?;
            if written == 0 {
                return Err(Undone::Conflict);
            }
            let moves = moves(Some(was), run);
            for slot in moves.take {
                if !limits::take(tx, slot, run)? {
                    return Err(Undone::Full(slot.limit.clone()));
                }
            }
            if let Some(limit) = moves.leave {
                limits::leave(tx, limit, run)?;
            }
            if let Some(limit) = moves.join {
                limits::join(tx, limit, run)?;
            }
            for slot in moves.give {
                limits::give(tx, &slot.limit, run)?;
            }
            Ok(())
        });
        match updated {
            Ok(()) => Ok(Updated::Done),
            Err(Undone::Conflict) => Ok(Updated::Conflict),
            Err(Undone::Full(limit)) => Ok(Updated::Full(limit)),
            Err(Undone::Sqlite(error)) => Err(unavailable("writing a run")(error)),
        }
    }

    async fn get(&self, id: &RunId) -> Result<Option<Run>, Error> {
        Ok(self.select("WHERE id = ?1", &[&id.as_str()])?.pop())
    }

    async fn find(&self, id_prefix: &str) -> Result<Vec<Run>, Error> {
        // An upper bound that sorts behind every hexadecimal digit.
        let upper = format!("{id_prefix}~");
        self.select("WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 2", &[&id_prefix, &upper])
    }

    async fn event(&self, id: &RunId) -> Result<Option<String>, Error> {
        let event = self.db.read(|connection| {
            connection
                .prepare_cached("SELECT event FROM runs WHERE id = ?1")?
                .query_row([id.as_str()], |row| row.get(0))
                .optional()
        });
        event.map_err(unavailable("reading a run's event"))
    }

    async fn list(&self, query: &RunQuery) -> Result<Page, Error> {
        let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
        let status = query.status.map(|status| status.as_str().to_owned());
        let from = query.created_from.map(Timestamp::as_microsecond);
        let before = query.created_before.map(Timestamp::as_microsecond);
        let after = query.after.as_deref().map(Place::parse).transpose()?;
        let mut clauses: Vec<&str> = Vec::new();
        let mut values: Vec<&dyn ToSql> = Vec::new();
        let texts = [
            ("rule = ?", &query.rule),
            ("status = ?", &status),
            ("event_id = ?", &query.event_id),
            ("dedupe_key = ?", &query.dedupe_key),
        ];
        for (clause, value) in texts {
            if let Some(value) = value {
                clauses.push(clause);
                values.push(value);
            }
        }
        for (clause, value) in [("created_at >= ?", &from), ("created_at < ?", &before)] {
            if let Some(value) = value {
                clauses.push(clause);
                values.push(value);
            }
        }
        if let Some(Place { created_at, id }) = &after {
            clauses.push("(created_at, id) < (?, ?)");
            values.extend([created_at as &dyn ToSql, id]);
        }
        if query.dead_letters {
            clauses.push("is_dead_letter");
        }
        let filter = if clauses.is_empty() {
            String::new()
        } else {
            format!("WHERE {} ", clauses.join(" AND "))
        };
        values.push(&limit);
        let select = format!(
            "SELECT id, run, created_at FROM runs {filter}ORDER BY created_at DESC, id DESC LIMIT ?"
        );
        let rows: Result<Vec<(Place, Option<Run>)>, _> = self.db.read(|connection| {
            connection
                .prepare_cached(&select)?
                .query_map(&*values, |row| {
                    let place = Place { id: row.get(0)?, created_at: row.get(2)? };
                    Ok((place, readable_row(row)?))
                })?
                .collect()
        });
        let rows = rows.map_err(unavailable("reading runs"))?;
        let is_full = u32::try_from(rows.len()).unwrap_or(u32::MAX) >= limit;
        let next = rows.last().filter(|_| is_full).map(|(place, _)| place.to_string());
        let runs = rows.into_iter().filter_map(|(_, run)| run).collect();
        Ok(Page { runs, next })
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Due, Error> {
        let now = now.as_microsecond();
        let runs = self.due_runs(now, limit).map_err(unavailable("reading runs"))?;
        let limits = self.db.read(|connection| limits::due(connection, now, limit));
        Ok(Due { runs, limits: limits.map_err(unavailable("reading limits"))? })
    }

    async fn limit(&self, limit: &LimitId, queue_length: u32) -> Result<LimitState, Error> {
        let state = self.db.read(|connection| limits::state(connection, limit, queue_length));
        state.map_err(unavailable("reading a limit"))
    }

    async fn settle_limit(
        &self,
        limit: &LimitId,
        revision: u64,
        check_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        let check_at = check_at.map(Timestamp::as_microsecond);
        let settled = self.db.write(|tx| limits::settle(tx, limit, revision, check_at));
        settled.map_err(unavailable("writing a limit"))
    }

    async fn take_token(&self, window: &Window) -> Result<bool, Error> {
        let (bucket, begin) = (window.bucket.as_str(), window.begin.as_microsecond());
        let taken = self.db.write(|tx| {
            // Windows long past are of no use; there is never more than a handful.
            tx.prepare_cached("DELETE FROM windows WHERE bucket = ?1 AND begin < ?2 - 600000000")?
                .execute(params![bucket, begin])?;
            tx.prepare_cached(
                "INSERT INTO windows (bucket, begin, taken) VALUES (?1, ?2, 1)
                 ON CONFLICT (bucket, begin) DO UPDATE SET taken = taken + 1 WHERE taken < ?3",
            )?
            .execute(params![bucket, begin, window.tokens])
        });
        Ok(taken.map_err(unavailable("taking a call from the quota"))? == 1)
    }

    async fn close_window(&self, window: &Window) -> Result<(), Error> {
        let closed = self.db.write(|tx| {
            tx.prepare_cached(
                "INSERT INTO windows (bucket, begin, taken) VALUES (?1, ?2, ?3)
                 ON CONFLICT (bucket, begin) DO UPDATE SET taken = max(taken, ?3)",
            )?
            .execute(params![
                window.bucket.as_str(),
                window.begin.as_microsecond(),
                window.tokens
            ])
        });
        closed.map(|_| ()).map_err(unavailable("closing a window of the quota"))
    }
}

/// Writes a new run; 0 if there is one of its id.
fn insert(
    tx: &Transaction<'_>,
    run: &Run,
    event: &Event,
    expires_at: Option<i64>,
) -> rusqlite::Result<usize> {
    tx.prepare_cached(
        "INSERT INTO runs (id, revision, rule, status, event_id, dedupe_key, created_at, due_at, is_dead_letter, run, event,
         expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        run.id.as_str(),
        run.revision,
        run.rule,
        run.status.as_str(),
        run.event.id,
        run.dedupe_key,
        run.created_at.as_microsecond(),
        run.due_at.map(Timestamp::as_microsecond),
        run.is_dead_letter(),
        document(run),
        event.text(),
        expires_at,
    ])
}

/// Where a page of a list ended: `MICROSECONDS/ID`.
struct Place {
    created_at: i64,
    id: String,
}

impl Place {
    fn parse(text: &str) -> Result<Self, Error> {
        let place = text.split_once('/').and_then(|(created_at, id)| {
            Some(Self { created_at: created_at.parse().ok()?, id: id.to_owned() })
        });
        place.ok_or_else(|| Error::Refused {
            what: "reading on in a list",
            source: format!("`{text}` is not where a page ended").into(),
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.created_at, self.id)
    }
}

/// A record of several: one that this version cannot read, such as a newer one's, does not keep the others back.
fn readable(run_id: &str, document: &str) -> Option<Run> {
    let told = |error: &serde_json::Error| {
        // Where it is wrong, and not what is written there.
        let (line, column) = (error.line(), error.column());
        tracing::error!(run_id, line, column, "a run's record cannot be read");
    };
    serde_json::from_str(document).inspect_err(told).ok()
}

/// [`readable`], of a row that begins with the id and the record.
fn readable_row(row: &Row<'_>) -> rusqlite::Result<Option<Run>> {
    Ok(readable(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?))
}

fn run(row: &Row<'_>) -> rusqlite::Result<Run> {
    let document = row.get_ref(0)?.as_str()?;
    serde_json::from_str(document)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))
}

fn document(run: &Run) -> String {
    serde_json::to_string(run).expect("a run has nothing that JSON cannot say")
}

fn unavailable(what: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |error| Error::Unavailable { what, source: Box::new(error) }
}
