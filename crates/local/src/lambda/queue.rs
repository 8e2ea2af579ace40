//! The asynchronous invocations that wait, and those that were given up: rows in SQLite.
//!
//! S3 and EventBridge queue rows in their own transactions; `Functions` loads, deletes, postpones and fails them. Only
//! one process has the file open, so which rows are being worked on is known in its memory alone, and a row that was
//! in work when the process died is simply loaded again.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, Row, Transaction};
use tokio::{
    sync::{Notify, futures::Notified},
    time::Instant,
};
use uuid::Uuid;

use super::invocation::FunctionError;
use crate::db::Db;

/// How long rows of answered invocations are gathered, to be deleted together: a transaction for each would be a fifth
/// of all.
const GATHERED: Duration = Duration::from_millis(10);

/// How long after they could not be deleted it is tried again.
const DELETE_AGAIN: Duration = Duration::from_secs(1);

/// The tables of this service.
pub(crate) const SCHEMA: &str = "
CREATE TABLE lambda_invocations (
    id INTEGER PRIMARY KEY,
    function TEXT NOT NULL,
    request_id TEXT NOT NULL,
    payload TEXT NOT NULL,
    queued_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX lambda_invocations_fresh ON lambda_invocations (function, id) WHERE attempts = 0;
CREATE INDEX lambda_invocations_tried ON lambda_invocations (function, due_at) WHERE attempts > 0;
CREATE TABLE lambda_failed_invocations (
    id INTEGER PRIMARY KEY,
    function TEXT NOT NULL,
    request_id TEXT NOT NULL,
    payload TEXT NOT NULL,
    queued_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    failed_at INTEGER NOT NULL,
    error_type TEXT NOT NULL,
    error_message TEXT NOT NULL
);
CREATE TABLE lambda_processes (
    id TEXT PRIMARY KEY,
    pid INTEGER NOT NULL
) WITHOUT ROWID;
";

/// The asynchronous invocations that wait for a function.
#[derive(Clone, Debug, Default)]
pub struct Invocations {
    queued: Arc<Notify>,
    /// The id of the row that was written last, 0 before the first. Ids rise past deleted rows, as [`load_fresh`] reads
    /// on from the last id it saw.
    last_id: Arc<AtomicI64>,
    answered: Arc<Mutex<Answered>>,
    /// The names of the functions that are deployed.
    deployed: Arc<RwLock<BTreeSet<String>>>,
}

/// The invocations that were answered, and whose rows are still there.
#[derive(Debug, Default)]
struct Answered {
    ids: Vec<i64>,
    /// When the rows are to be deleted, if there are any.
    due: Option<Instant>,
}

/// An invocation that failed as often as Lambda tries, kept with its payload and the last error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FailedInvocation {
    /// Its place in the queue: invocations are numbered in the order they were queued.
    pub id: i64,
    /// The function.
    pub function: String,
    /// The request id, the same in every attempt.
    pub request_id: String,
    /// What the function was invoked with.
    pub payload: String,
    /// How often the function was tried.
    pub attempts: u32,
    /// The last attempt's error type.
    pub error_type: String,
    /// The last attempt's error message.
    pub error_message: String,
    /// When the invocation was queued.
    pub queued_at: Timestamp,
    /// When the last attempt failed.
    pub failed_at: Timestamp,
}

impl Invocations {
    /// Queues an asynchronous invocation: it is durable with the transaction that it is part of.
    ///
    /// An invocation of a function that is not deployed waits until it is.
    ///
    /// # Errors
    ///
    /// SQLite's, if the row cannot be written.
    pub fn enqueue(
        &self,
        tx: &Transaction<'_>,
        function: &str,
        payload: &str,
    ) -> rusqlite::Result<()> {
        self.enqueue_as(tx, Uuid::now_v7(), function, payload)
    }

    /// [`Self::enqueue`] under a request id of the caller's.
    pub(super) fn enqueue_as(
        &self,
        tx: &Transaction<'_>,
        request_id: Uuid,
        function: &str,
        payload: &str,
    ) -> rusqlite::Result<()> {
        let id = self.next_id(tx)?;
        let now = Timestamp::now().as_millisecond();
        tx.prepare_cached(
            "INSERT INTO lambda_invocations (id, function, request_id, payload, queued_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((id, function, request_id.to_string(), payload, now))?;
        // Whoever wakes must take the connection's lock first, so it sees the row or, after a rollback, nothing.
        self.wake();
        Ok(())
    }

    /// Whether there is such a function. Before the first is deployed each may still be.
    pub fn knows(&self, function: &str) -> bool {
        let deployed = self.deployed.read().unwrap_or_else(PoisonError::into_inner);
        deployed.is_empty() || deployed.contains(function)
    }

    /// Tells that a function is deployed.
    pub(super) fn deployed(&self, function: &str) {
        let mut deployed = self.deployed.write().unwrap_or_else(PoisonError::into_inner);
        deployed.insert(function.to_owned());
    }

    /// Numbers what is queued from now on past what is there: before any of it is loaded, since what is loaded may be deleted
    /// before anything is queued, and what comes then must not be below it.
    ///
    /// # Errors
    ///
    /// SQLite's, if the rows cannot be read.
    pub(super) fn go_on(&self, connection: &Connection) -> rusqlite::Result<()> {
        let last = connection.query_row(
            "SELECT coalesce(max(id), 0) FROM
             (SELECT id FROM lambda_invocations UNION ALL SELECT id FROM lambda_failed_invocations)",
            [],
            |row| row.get(0),
        )?;
        self.last_id.fetch_max(last, Ordering::Relaxed);
        Ok(())
    }

    fn next_id(&self, tx: &Transaction<'_>) -> rusqlite::Result<i64> {
        // No race: whoever has a transaction that writes is alone.
        if self.last_id.load(Ordering::Relaxed) == 0 {
            self.go_on(tx)?;
        }
        Ok(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Takes an invocation off the queue that succeeded, a little later: a death before that delivers it again.
    pub(super) fn answered(&self, id: i64) {
        let mut answered = self.lock_answered();
        answered.ids.push(id);
        if answered.due.is_none() {
            answered.due = Some(Instant::now() + GATHERED);
            self.wake();
        }
    }

    /// Deletes the rows of answered invocations if it is time to. Returns when it will be.
    pub(super) fn delete_answered(&self, db: &Db, now: Instant) -> Option<Instant> {
        let due = self.lock_answered().due?;
        if due > now { Some(due) } else { self.delete_all_answered(db) }
    }

    /// Deletes the rows of answered invocations. Returns when to do it again if it cannot be done.
    pub(super) fn delete_all_answered(&self, db: &Db) -> Option<Instant> {
        let Answered { ids, .. } = std::mem::take(&mut *self.lock_answered());
        if ids.is_empty() {
            return None;
        }
        let deleted = db.write(|tx| ids.iter().try_for_each(|&id| delete(tx, id)));
        let Err(error) = deleted else { return None };
        tracing::error!(%error, "answered invocations cannot be deleted");
        let mut answered = self.lock_answered();
        answered.ids.extend(ids);
        answered.due = Some(Instant::now() + DELETE_AGAIN);
        answered.due
    }

    fn lock_answered(&self) -> MutexGuard<'_, Answered> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the dispatcher look again.
    pub(super) fn wake(&self) {
        self.queued.notify_one();
    }

    /// Ready once [`Self::wake`] was called since the last time.
    pub(super) fn woken(&self) -> Notified<'_> {
        self.queued.notified()
    }
}

/// A waiting invocation, loaded.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) id: i64,
    pub(super) request_id: String,
    /// How many attempts have failed.
    pub(super) attempts: u32,
    pub(super) payload: Bytes,
    /// When it came.
    pub(super) since: Timestamp,
}

impl Queued {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            request_id: row.get(1)?,
            attempts: row.get(2)?,
            payload: Bytes::from(row.get::<_, String>(3)?),
            since: timestamp(row.get(4)?),
        })
    }
}

/// Loads what was never tried and was queued after row `after`: `count` rows at most, and so
/// many that they have about `bytes` bytes of payload.
pub(super) fn load_fresh(
    connection: &Connection,
    function: &str,
    after: i64,
    count: usize,
    bytes: usize,
) -> rusqlite::Result<Vec<Queued>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, request_id, attempts, payload, queued_at FROM lambda_invocations
         WHERE function = ?1 AND attempts = 0 AND id > ?2 ORDER BY id",
    )?;
    let mut rows = statement.query((function, after))?;
    let mut loaded = Vec::new();
    let mut loaded_bytes = 0;
    while loaded.len() < count
        && loaded_bytes < bytes
        && let Some(row) = rows.next()?
    {
        let queued = Queued::from_row(row)?;
        loaded_bytes += queued.payload.len();
        loaded.push(queued);
    }
    Ok(loaded)
}

/// Loads one row, if it is still there.
pub(super) fn load(connection: &Connection, id: i64) -> rusqlite::Result<Option<Queued>> {
    use rusqlite::OptionalExtension as _;

    connection
        .prepare_cached(
            "SELECT id, request_id, attempts, payload, queued_at FROM lambda_invocations WHERE id = ?1",
        )?
        .query_row([id], Queued::from_row)
        .optional()
}

/// The rows that were tried and are to be tried again: id and due time in milliseconds since the epoch.
pub(super) fn load_tried(
    connection: &Connection,
    function: &str,
) -> rusqlite::Result<Vec<(i64, i64)>> {
    connection
        .prepare_cached(
            "SELECT id, due_at FROM lambda_invocations WHERE function = ?1 AND attempts > 0
             ORDER BY due_at, id",
        )?
        .query_map([function], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Takes an invocation off the queue.
fn delete(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM lambda_invocations WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Records a failed attempt that another is to follow.
pub(super) fn postpone(
    tx: &Transaction<'_>,
    id: i64,
    attempts: u32,
    due_at: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE lambda_invocations SET attempts = ?2, due_at = ?3 WHERE id = ?1")?
        .execute((id, attempts, due_at.as_millisecond()))?;
    Ok(())
}

/// Moves an invocation whose last attempt failed to the failed ones.
pub(super) fn give_up(
    tx: &Transaction<'_>,
    id: i64,
    attempts: u32,
    error: &FunctionError,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO lambda_failed_invocations
         SELECT id, function, request_id, payload, queued_at, ?2, ?3, ?4, ?5
         FROM lambda_invocations WHERE id = ?1",
    )?
    .execute((
        id,
        attempts,
        Timestamp::now().as_millisecond(),
        &error.error_type,
        &error.message,
    ))?;
    delete(tx, id)
}

/// Asks for the invocations that were given up, each to be read by [`read_failed`].
pub(super) const FAILED: &str =
    "SELECT id, function, request_id, payload, attempts, error_type, error_message, queued_at, failed_at
     FROM lambda_failed_invocations";

pub(super) fn read_failed(row: &Row<'_>) -> rusqlite::Result<FailedInvocation> {
    Ok(FailedInvocation {
        id: row.get(0)?,
        function: row.get(1)?,
        request_id: row.get(2)?,
        payload: row.get(3)?,
        attempts: row.get(4)?,
        error_type: row.get(5)?,
        error_message: row.get(6)?,
        queued_at: timestamp(row.get(7)?),
        failed_at: timestamp(row.get(8)?),
    })
}

/// The invocations that were given up, oldest first.
pub(super) fn failed(connection: &Connection) -> rusqlite::Result<Vec<FailedInvocation>> {
    let sql = format!("{FAILED} ORDER BY id");
    connection.prepare_cached(&sql)?.query_map([], read_failed)?.collect()
}

/// Remembers a process, for [`processes`] after an unclean stop.
pub(super) fn add_process(tx: &Transaction<'_>, id: &str, pid: i32) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO lambda_processes VALUES (?1, ?2)")?
        .execute((id, pid))?;
    Ok(())
}

/// Forgets a process that has ended.
pub(super) fn remove_process(tx: &Transaction<'_>, id: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM lambda_processes WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// The processes that were not known to have ended.
pub(super) fn processes(connection: &Connection) -> rusqlite::Result<Vec<(String, i32)>> {
    connection
        .prepare_cached("SELECT id, pid FROM lambda_processes")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// A time as stored, in milliseconds; one that no clock shows reads as the epoch.
fn timestamp(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
