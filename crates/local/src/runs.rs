//! The records of the runs in SQLite: the engine's `Runs` port on one machine.
//!
//! One file, opened by each function process and by the program at the same time; WAL lets readers read while one writes. The
//! record is one JSON document; columns beside it are what lists ask for, written from it in the same statement.

use std::path::Path;

use rusqlite::{OptionalExtension as _, Row, ToSql, params, types::Type};
use taskferry_core::{
    event::Event,
    run::{Run, RunId},
};
use taskferry_engine::ports::{Created, Error, RunQuery, Runs, Updated};

use crate::db::{self, Db};

/// How many runs a list shows when nobody says.
const LIMIT_DEFAULT: u32 = 100;

const MIGRATIONS: &[&str] = &["
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
"];

/// The records of the runs.
#[derive(Debug)]
pub struct SqliteRuns {
    db: Db,
}

impl SqliteRuns {
    /// Opens the file, creating it if there is none.
    ///
    /// # Errors
    ///
    /// The state file's, if it is of a newer version or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, db::Error> {
        Ok(Self { db: Db::open(path, MIGRATIONS)? })
    }

    /// The event that a run answers, JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if SQLite cannot read.
    pub fn event(&self, id: &RunId) -> Result<Option<String>, Error> {
        let event = self.db.read(|connection| {
            connection
                .prepare_cached("SELECT event FROM runs WHERE id = ?1")?
                .query_row([id.as_str()], |row| row.get(0))
                .optional()
        });
        event.map_err(unavailable("reading a run's event"))
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
            let inserted = tx
                .prepare_cached(
                    "INSERT INTO runs (id, revision, rule, status, event_id, dedupe_key, created_at, run, event)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
                )?
                .execute(params![
                    run.id.as_str(),
                    run.revision,
                    run.rule,
                    run.status.as_str(),
                    run.event.id,
                    run.dedupe_key,
                    run.created_at.as_microsecond(),
                    document(run),
                    event.text(),
                ])?;
            if inserted == 1 {
                return Ok(Created::New);
            }
            let existing = tx
                .prepare_cached("SELECT run FROM runs WHERE id = ?1")?
                .query_row([run.id.as_str()], self::run)?;
            Ok(Created::Exists(Box::new(existing)))
        });
        created.map_err(unavailable("recording a run"))
    }

    async fn update(&self, run: &Run) -> Result<Updated, Error> {
        let updated = self.db.write(|tx| {
            tx.prepare_cached(
                "UPDATE runs SET revision = ?2, status = ?3, run = ?4
                 WHERE id = ?1 AND revision = ?2 - 1",
            )?
            .execute(params![
                run.id.as_str(),
                run.revision,
                run.status.as_str(),
                document(run)
            ])
        });
        match updated.map_err(unavailable("writing a run"))? {
            0 => Ok(Updated::Conflict),
            _ => Ok(Updated::Done),
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

    async fn list(&self, query: &RunQuery) -> Result<Vec<Run>, Error> {
        let RunQuery { rule, status, event_id, dedupe_key, limit } = query;
        let status = status.map(|status| status.as_str().to_owned());
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        let mut params: Vec<&dyn ToSql> = Vec::new();
        let mut wanted: Vec<String> = Vec::new();
        for (column, value) in [
            ("rule", rule),
            ("status", &status),
            ("event_id", event_id),
            ("dedupe_key", dedupe_key),
        ] {
            if let Some(value) = value {
                params.push(value);
                wanted.push(format!("{column} = ?{}", params.len()));
            }
        }
        let filter = if wanted.is_empty() {
            String::new()
        } else {
            format!("WHERE {} ", wanted.join(" AND "))
        };
        params.push(&limit);
        let limited = params.len();
        self.select(&format!("{filter}ORDER BY created_at DESC, id LIMIT ?{limited}"), &params)
    }
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
