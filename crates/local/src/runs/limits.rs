//! The limits' queues and holders, row by row. What moves when, `core::limits::moves` says.
//!
//! Called within the transaction that writes the run. A limit that something waits for is due at once after each change: the
//! sweep looks at it and gives it its next date, so that a process that dies before it admits anybody leaves nobody waiting.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use taskferry_core::{
    limits::{LimitId, LimitState, Slot},
    run::{Run, RunId},
};

/// Puts the run into the limit's queue, behind those that were made before it.
pub(super) fn join(tx: &Transaction<'_>, limit: &LimitId, run: &Run) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO limit_queue (name, key, created_at, run_id) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?
    .execute(params![limit.name, limit.key, run.created_at.as_microsecond(), run.id.as_str()])?;
    touch(tx, limit).map(|_| ())
}

/// Takes the run out of the limit's queue.
pub(super) fn leave(tx: &Transaction<'_>, limit: &LimitId, run: &Run) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "DELETE FROM limit_queue WHERE name = ?1 AND key = ?2 AND created_at = ?3 AND run_id = ?4",
    )?
    .execute(params![
        limit.name,
        limit.key,
        run.created_at.as_microsecond(),
        run.id.as_str()
    ])?;
    touch(tx, limit).map(|_| ())
}

/// Gives the run a slot; false if there is none left.
pub(super) fn take(tx: &Transaction<'_>, slot: &Slot, run: &Run) -> rusqlite::Result<bool> {
    let Slot { limit, of, .. } = slot;
    let held: u32 = tx
        .prepare_cached("SELECT count(*) FROM limit_holders WHERE name = ?1 AND key = ?2")?
        .query_row([&limit.name, &limit.key], |row| row.get(0))?;
    if held >= *of {
        return Ok(false);
    }
    let since = touch(tx, limit)?;
    tx.prepare_cached(
        "INSERT INTO limit_holders (name, key, run_id, since) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?
    .execute(params![limit.name, limit.key, run.id.as_str(), since])?;
    Ok(true)
}

/// Takes the run's slot back.
pub(super) fn give(tx: &Transaction<'_>, limit: &LimitId, run: &Run) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM limit_holders WHERE name = ?1 AND key = ?2 AND run_id = ?3")?
        .execute([&limit.name, &limit.key, run.id.as_str()])?;
    touch(tx, limit).map(|_| ())
}

/// Notes that the limit has changed; its new revision.
fn touch(tx: &Transaction<'_>, limit: &LimitId) -> rusqlite::Result<i64> {
    let revision: i64 = tx
        .prepare_cached("UPDATE revisions SET last = last + 1 RETURNING last")?
        .query_row([], |row| row.get(0))?;
    tx.prepare_cached(
        "INSERT INTO limits (name, key, revision, check_at)
         VALUES (?1, ?2, ?3, iif(EXISTS (SELECT 1 FROM limit_queue WHERE name = ?1 AND key = ?2), 0, NULL))
         ON CONFLICT (name, key) DO UPDATE SET revision = excluded.revision, check_at = excluded.check_at",
    )?
    .execute(params![limit.name, limit.key, revision])?;
    Ok(revision)
}

/// Gives the limit its next date, unless it has changed since; one that nobody uses is forgotten.
pub(super) fn settle(
    tx: &Transaction<'_>,
    limit: &LimitId,
    revision: u64,
    check_at: Option<i64>,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "UPDATE limits SET check_at = ?4 WHERE name = ?1 AND key = ?2 AND revision = ?3",
    )?
    .execute(params![limit.name, limit.key, revision.cast_signed(), check_at])?;
    tx.prepare_cached(
        "DELETE FROM limits WHERE name = ?1 AND key = ?2 AND check_at IS NULL
         AND NOT EXISTS (SELECT 1 FROM limit_holders WHERE name = ?1 AND key = ?2)
         AND NOT EXISTS (SELECT 1 FROM limit_queue WHERE name = ?1 AND key = ?2)",
    )?
    .execute([&limit.name, &limit.key])?;
    Ok(())
}

/// The limits that are to be looked at by `now`, in microseconds.
pub(super) fn due(connection: &Connection, now: i64, limit: u32) -> rusqlite::Result<Vec<LimitId>> {
    connection
        .prepare_cached(
            "SELECT name, key FROM limits WHERE check_at <= ?1 ORDER BY check_at LIMIT ?2",
        )?
        .query_map(params![now, limit], |row| Ok(LimitId { name: row.get(0)?, key: row.get(1)? }))?
        .collect()
}

/// Who holds the limit's slots, and the head of its queue.
pub(super) fn state(
    connection: &Connection,
    limit: &LimitId,
    queue_length: u32,
) -> rusqlite::Result<LimitState> {
    // One transaction, so that all parts tell of the same moment.
    let tx = connection.unchecked_transaction()?;
    let revision: Option<i64> = tx
        .prepare_cached("SELECT revision FROM limits WHERE name = ?1 AND key = ?2")?
        .query_row([&limit.name, &limit.key], |row| row.get(0))
        .optional()?;
    let holders = tx
        .prepare_cached(
            "SELECT run_id FROM limit_holders WHERE name = ?1 AND key = ?2 ORDER BY since",
        )?
        .query_map([&limit.name, &limit.key], |row| row.get::<_, String>(0))?
        .filter_map(|id| id.map(|id| RunId::parse(&id)).transpose())
        .collect::<Result<_, _>>()?;
    let queue = tx
        .prepare_cached(
            "SELECT runs.id, runs.run FROM limit_queue JOIN runs ON runs.id = limit_queue.run_id
             WHERE name = ?1 AND key = ?2 ORDER BY limit_queue.created_at, run_id LIMIT ?3",
        )?
        .query_map(params![limit.name, limit.key, queue_length], super::readable_row)?
        .filter_map(Result::transpose)
        .collect::<Result<_, _>>()?;
    Ok(LimitState { holders, queue, revision: revision.unwrap_or_default().cast_unsigned() })
}
