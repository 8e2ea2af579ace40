//! Deletes the rows of purged and deleted queues, some at a time, so that nobody waits for it.

use std::{sync::Arc, time::Duration};

use rusqlite::{OptionalExtension as _, Transaction};
use tokio::{sync::Notify, time::sleep};

use crate::db::Db;

/// How many rows are deleted in one transaction, some milliseconds.
const CHUNK: i64 = 500;

/// The wait between two, in which others have their turn.
const BREATH: Duration = Duration::from_millis(5);

/// The wait after it failed.
const RETRY: Duration = Duration::from_secs(5);

/// Drains what there is, and then whenever it is told.
pub(super) async fn drain(db: Arc<Db>, drained: Arc<Notify>) {
    loop {
        match db.write(step) {
            Ok(true) => sleep(BREATH).await,
            Ok(false) => drained.notified().await,
            Err(error) => {
                tracing::error!(%error, "the messages of purged and deleted queues cannot be deleted");
                sleep(RETRY).await;
            }
        }
    }
}

/// Deletes some rows. False if there is nothing to be deleted.
pub(super) fn step(tx: &Transaction<'_>) -> rusqlite::Result<bool> {
    let pool: Option<i64> = tx
        .prepare_cached("SELECT pool FROM sqs_drained LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(pool) = pool else { return Ok(false) };
    let ids: Vec<i64> = tx
        .prepare_cached("SELECT id FROM sqs_messages WHERE pool = ?1 LIMIT ?2")?
        .query_map((pool, CHUNK), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in &ids {
        tx.prepare_cached("DELETE FROM sqs_messages WHERE id = ?1")?.execute([id])?;
        tx.prepare_cached("DELETE FROM sqs_contents WHERE id = ?1")?.execute([id])?;
    }
    let groups = tx
        .prepare_cached(
            "DELETE FROM sqs_groups WHERE (pool, name) IN
             (SELECT pool, name FROM sqs_groups WHERE pool = ?1 LIMIT ?2)",
        )?
        .execute((pool, CHUNK))?;
    if ids.is_empty() && groups == 0 {
        tx.execute("DELETE FROM sqs_drained WHERE pool = ?1", [pool])?;
    }
    Ok(true)
}
