//! Targets that are ECS clusters: their tasks are launched after the event that asks for them, by calls of `RunTask`.
//!
//! A call is recorded in the transaction that the event came in with, and repeated under the same client token: a death in
//! between loses none and starts none twice. [`EventBridge::keep_time`] makes them.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, Transaction};
use serde_json::{Map, Value};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{
    EventBridge,
    buses::{Grave, Rule, Target, Tried},
};
use crate::{
    db::Db,
    delivery::{Deliveries, Undeliverable},
    protocol::json_text,
    run_task::{Failed, Launch, RunTask, launched},
    timer::backoff,
};

/// The calls that are to be made. Times are milliseconds since the epoch.
pub(crate) const LAUNCHES_SCHEMA: &str = "
CREATE TABLE events_launches (
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    target TEXT NOT NULL,
    dead_letters TEXT,
    event TEXT NOT NULL,
    request TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    retries_max INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    until INTEGER NOT NULL
);
CREATE INDEX events_launches_due ON events_launches (due_at);
";

/// How many calls are made in one go.
const BATCH: u32 = 50;

/// The members of a task's overrides: whatever else is in a target's input, as in a whole event, is none.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
const OVERRIDES: [&str; 7] = [
    "containerOverrides",
    "cpu",
    "ephemeralStorage",
    "executionRoleArn",
    "inferenceAcceleratorOverrides",
    "memory",
    "taskRoleArn",
];

/// Wakes whoever makes the calls.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launches(Arc<Notify>);

/// A target that is a cluster: what its task is, and how long launching it is tried.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) parameters: Map<String, Value>,
    pub(super) retries_max: u32,
    pub(super) age_max: SignedDuration,
}

/// A call that is to be made.
#[derive(Debug)]
struct Due {
    id: i64,
    grave: Grave,
    event: String,
    request: String,
    attempts: u32,
    retries_max: u32,
    until: i64,
}

impl Deliveries {
    /// Records that a rule's match is to launch a task.
    pub(super) fn launch(
        &self,
        tx: &Transaction<'_>,
        (rule, target, cluster): (&Rule, &Target, &Cluster),
        event: &str,
        input: &str,
    ) -> rusqlite::Result<Result<(), Undeliverable>> {
        let Ok(Value::Object(mut input)) = serde_json::from_str(input) else {
            return Ok(Err(Undeliverable::InvalidJson { arn: target.arn.clone() }));
        };
        input.retain(|member, _| OVERRIDES.contains(&member.as_str()));
        let request = Launch {
            cluster: &target.arn,
            parameters: &cluster.parameters,
            overrides: (!input.is_empty()).then(|| Value::Object(input)),
            started_by: &format!("events-rule/{}", rule.name),
            client_token: &Uuid::now_v7().to_string(),
        };
        let now = Timestamp::now();
        let until = now.checked_add(cluster.age_max).unwrap_or(Timestamp::MAX);
        tx.prepare_cached(
            "INSERT INTO events_launches
             (rule, target, dead_letters, event, request, attempts, retries_max, due_at, until)
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7, ?8)",
        )?
        .execute((
            &rule.arn,
            &target.arn,
            &target.dead_letters,
            event,
            json_text(&request.request()),
            cluster.retries_max,
            now.as_millisecond(),
            until.as_millisecond(),
        ))?;
        // Whoever wakes must take the connection's lock first, so it sees the row or, after a rollback, nothing.
        self.launches.0.notify_one();
        Ok(Ok(()))
    }
}

impl EventBridge {
    /// Waits until a launch is recorded.
    pub(super) fn launches(&self) -> &Notify {
        &self.deliveries.launches.0
    }

    /// Makes the calls that are due; the next time that one is.
    pub(super) fn launch_due(
        &self,
        db: &Db,
        run_task: &RunTask,
        now: Timestamp,
    ) -> rusqlite::Result<Option<Timestamp>> {
        loop {
            let due = db.read(|connection| due(connection, now))?;
            if due.is_empty() {
                return db.read(next_due);
            }
            due.iter().try_for_each(|due| self.launch_one(db, run_task, due, now))?;
        }
    }

    fn launch_one(
        &self,
        db: &Db,
        run_task: &RunTask,
        due: &Due,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let request = serde_json::from_str(&due.request).unwrap_or_default();
        let failed = launched(run_task(request)).err();
        let attempts = due.attempts.saturating_add(1);
        db.write(|tx| {
            if let Some(failed) = failed {
                let again = now.checked_add(backoff(attempts)).unwrap_or(Timestamp::MAX);
                let tried = Tried {
                    retries: due.attempts,
                    exhausted: match () {
                        () if !failed.may_pass => None,
                        () if attempts > due.retries_max => Some("MaximumRetryAttempts"),
                        () if again.as_millisecond() > due.until => {
                            Some("MaximumEventAgeInSeconds")
                        }
                        () => return postpone(tx, due.id, attempts, again),
                    },
                };
                let why = undeliverable(&due.grave.target, failed);
                self.deliveries.bury(tx, &due.grave, &due.event, &why, tried)?;
            }
            tx.prepare_cached("DELETE FROM events_launches WHERE id = ?1")?.execute([due.id])?;
            Ok(())
        })
    }
}

fn undeliverable(arn: &str, failed: Failed) -> Undeliverable {
    let arn = arn.to_owned();
    match failed.code {
        "ClusterNotFoundException" => Undeliverable::NoResource { arn },
        _ => Undeliverable::Refused { arn, reason: failed.message },
    }
}

fn postpone(
    tx: &Transaction<'_>,
    id: i64,
    attempts: u32,
    again: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE events_launches SET attempts = ?2, due_at = ?3 WHERE id = ?1")?
        .execute((id, attempts, again.as_millisecond()))
        .map(drop)
}

fn due(connection: &Connection, now: Timestamp) -> rusqlite::Result<Vec<Due>> {
    connection
        .prepare_cached(
            "SELECT id, rule, target, dead_letters, event, request, attempts, retries_max, until
             FROM events_launches WHERE due_at <= ?1 ORDER BY due_at, id LIMIT ?2",
        )?
        .query_map((now.as_millisecond(), BATCH), |row| {
            Ok(Due {
                id: row.get(0)?,
                grave: Grave { rule: row.get(1)?, target: row.get(2)?, queue: row.get(3)? },
                event: row.get(4)?,
                request: row.get(5)?,
                attempts: row.get(6)?,
                retries_max: row.get(7)?,
                until: row.get(8)?,
            })
        })?
        .collect()
}

fn next_due(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let next: Option<i64> =
        connection.query_row("SELECT min(due_at) FROM events_launches", [], |row| row.get(0))?;
    Ok(next.and_then(|next| Timestamp::from_millisecond(next).ok()))
}
