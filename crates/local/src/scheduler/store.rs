//! Scheduler's rows: groups, schedules with the time for which they fire next, invocations to be tried again, tokens.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, Transaction, types::Type};
use serde::de::DeserializeOwned;

use super::definition::{Definition, Target};
use crate::protocol::json_text;

/// The tables of this service. Times are milliseconds since the epoch.
pub(crate) const SCHEMA: &str = "
CREATE TABLE scheduler_groups (
    name TEXT PRIMARY KEY,
    tags TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO scheduler_groups (name, created_at, modified_at) VALUES ('default', 0, 0);
CREATE TABLE scheduler_schedules (
    group_name TEXT NOT NULL REFERENCES scheduler_groups (name) ON DELETE CASCADE,
    name TEXT NOT NULL,
    is_managed INTEGER NOT NULL,
    definition TEXT NOT NULL,
    state TEXT NOT NULL,
    next_at INTEGER,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    PRIMARY KEY (group_name, name)
) WITHOUT ROWID;
CREATE INDEX scheduler_schedules_due ON scheduler_schedules (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX scheduler_schedules_managed ON scheduler_schedules (group_name, name) WHERE is_managed;
CREATE TABLE scheduler_attempts (
    id INTEGER PRIMARY KEY,
    schedule_arn TEXT NOT NULL,
    scheduled_at INTEGER NOT NULL,
    target TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER NOT NULL
);
CREATE INDEX scheduler_attempts_due ON scheduler_attempts (due_at);
CREATE TABLE scheduler_tokens (
    token TEXT PRIMARY KEY,
    request TEXT NOT NULL,
    answer TEXT NOT NULL,
    used_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX scheduler_tokens_used ON scheduler_tokens (used_at);
";

/// Which schedule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Key {
    pub(super) group: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn as_refs(&self) -> (&str, &str) {
        (&self.group, &self.name)
    }
}

/// A schedule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) is_managed: bool,
    pub(super) definition: Definition,
    /// The time for which it fires next.
    pub(super) next: Option<Timestamp>,
    pub(super) created: Timestamp,
    pub(super) modified: Timestamp,
}

impl Row {
    pub(super) fn key(&self) -> Key {
        Key { group: self.group.clone(), name: self.name.clone() }
    }
}

/// An invocation that is to be tried, again or for the first time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attempt {
    pub(super) id: i64,
    pub(super) schedule_arn: String,
    pub(super) scheduled: Timestamp,
    pub(super) target: Target,
    /// How many have failed.
    pub(super) attempts: u32,
}

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) created: Timestamp,
    pub(super) modified: Timestamp,
}

/// A time as stored; one that no clock shows reads as the epoch.
fn time(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn json<T: DeserializeOwned>(row: &SqlRow<'_>, index: usize) -> rusqlite::Result<T> {
    serde_json::from_str(row.get_ref(index)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, error.into()))
}

const COLUMNS: &str = "group_name, name, is_managed, definition, next_at, created_at, modified_at";

fn row(row: &SqlRow<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        group: row.get(0)?,
        name: row.get(1)?,
        is_managed: row.get(2)?,
        definition: json(row, 3)?,
        next: row.get::<_, Option<i64>>(4)?.map(time),
        created: time(row.get(5)?),
        modified: time(row.get(6)?),
    })
}

pub(super) fn get(
    connection: &Connection,
    group: &str,
    name: &str,
) -> rusqlite::Result<Option<Row>> {
    let sql =
        format!("SELECT {COLUMNS} FROM scheduler_schedules WHERE group_name = ?1 AND name = ?2");
    connection.prepare_cached(&sql)?.query_row((group, name), row).optional()
}

/// Writes a schedule, over that of its name if there is one.
pub(super) fn put(tx: &Transaction<'_>, row: &Row) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO scheduler_schedules
         (group_name, name, is_managed, definition, state, next_at, created_at, modified_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        &row.group,
        &row.name,
        row.is_managed,
        json_text(&row.definition),
        row.definition.state.as_str(),
        row.next.map(Timestamp::as_millisecond),
        row.created.as_millisecond(),
        row.modified.as_millisecond(),
    ))?;
    Ok(())
}

pub(super) fn delete(tx: &Transaction<'_>, key: &Key) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM scheduler_schedules WHERE group_name = ?1 AND name = ?2")?
        .execute(key.as_refs())?;
    Ok(())
}

pub(super) fn set_next(
    tx: &Transaction<'_>,
    key: &Key,
    next: Option<Timestamp>,
) -> rusqlite::Result<()> {
    let (group, name) = key.as_refs();
    tx.prepare_cached(
        "UPDATE scheduler_schedules SET next_at = ?3 WHERE group_name = ?1 AND name = ?2",
    )?
    .execute((group, name, next.map(Timestamp::as_millisecond)))?;
    Ok(())
}

/// What a list asks for: names after `after`, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted<'a> {
    pub(super) group: Option<&'a str>,
    pub(super) prefix: &'a str,
    pub(super) state: Option<&'a str>,
    pub(super) after: (&'a str, &'a str),
    pub(super) count: usize,
}

pub(super) fn list(connection: &Connection, wanted: &Wanted<'_>) -> rusqlite::Result<Vec<Row>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM scheduler_schedules
         WHERE (group_name, name) > (?1, ?2) AND (?3 IS NULL OR group_name = ?3)
         AND substr(name, 1, length(?4)) = ?4 AND (?5 IS NULL OR state = ?5)
         ORDER BY group_name, name LIMIT ?6"
    );
    let (group, name) = wanted.after;
    let count = i64::try_from(wanted.count).unwrap_or(i64::MAX);
    connection
        .prepare_cached(&sql)?
        .query_map((group, name, wanted.group, wanted.prefix, wanted.state, count), row)?
        .collect()
}

/// The schedules of the rules file.
pub(super) fn managed(connection: &Connection) -> rusqlite::Result<Vec<Key>> {
    connection
        .prepare_cached("SELECT group_name, name FROM scheduler_schedules WHERE is_managed")?
        .query_map([], |row| Ok(Key { group: row.get(0)?, name: row.get(1)? }))?
        .collect()
}

/// Schedules whose time has come, the longest due first.
pub(super) fn due(
    connection: &Connection,
    now: Timestamp,
    count: u32,
) -> rusqlite::Result<Vec<Row>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM scheduler_schedules WHERE next_at <= ?1 ORDER BY next_at LIMIT ?2"
    );
    connection.prepare_cached(&sql)?.query_map((now.as_millisecond(), count), row)?.collect()
}

/// When something is due next.
pub(super) fn next_due(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let first =
        |sql| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, Option<i64>>(0));
    let schedule = first("SELECT min(next_at) FROM scheduler_schedules WHERE next_at IS NOT NULL")?;
    let attempt = first("SELECT min(due_at) FROM scheduler_attempts")?;
    Ok(schedule.into_iter().chain(attempt).min().map(time))
}

// ---- groups ----

/// Adds a group, unless it is there.
pub(super) fn add_group(
    tx: &Transaction<'_>,
    name: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let added = tx
        .prepare_cached("INSERT OR IGNORE INTO scheduler_groups VALUES (?1, '{}', ?2, ?2)")?
        .execute((name, now.as_millisecond()))?;
    Ok(added == 1)
}

pub(super) fn delete_group(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM scheduler_groups WHERE name = ?1")?.execute([name])?;
    Ok(())
}

/// Deletes a group that has nothing in it any more: the rules file had, and has another name now.
pub(super) fn delete_group_if_empty(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "DELETE FROM scheduler_groups WHERE name = ?1 AND name != 'default'
         AND NOT EXISTS (SELECT 1 FROM scheduler_schedules WHERE group_name = ?1)",
    )?
    .execute([name])?;
    Ok(())
}

fn group(row: &SqlRow<'_>) -> rusqlite::Result<Group> {
    Ok(Group { name: row.get(0)?, created: time(row.get(1)?), modified: time(row.get(2)?) })
}

pub(super) fn get_group(connection: &Connection, name: &str) -> rusqlite::Result<Option<Group>> {
    connection
        .prepare_cached(
            "SELECT name, created_at, modified_at FROM scheduler_groups WHERE name = ?1",
        )?
        .query_row([name], group)
        .optional()
}

pub(super) fn list_groups(
    connection: &Connection,
    prefix: &str,
    after: &str,
    count: usize,
) -> rusqlite::Result<Vec<Group>> {
    connection
        .prepare_cached(
            "SELECT name, created_at, modified_at FROM scheduler_groups
             WHERE name > ?1 AND substr(name, 1, length(?2)) = ?2 ORDER BY name LIMIT ?3",
        )?
        .query_map((after, prefix, i64::try_from(count).unwrap_or(i64::MAX)), group)?
        .collect()
}

/// Whether the rules file has schedules in the group.
pub(super) fn has_managed(connection: &Connection, group: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM scheduler_schedules WHERE is_managed AND group_name = ?1")?
        .exists([group])
}

pub(super) fn tags(connection: &Connection, group: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT tags FROM scheduler_groups WHERE name = ?1")?
        .query_row([group], |row| row.get(0))
        .optional()
}

pub(super) fn set_tags(
    tx: &Transaction<'_>,
    group: &str,
    tags: &str,
    now: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE scheduler_groups SET tags = ?2, modified_at = ?3 WHERE name = ?1")?
        .execute((group, tags, now.as_millisecond()))?;
    Ok(())
}

// ---- invocations to be tried ----

pub(super) fn add_attempt(
    tx: &Transaction<'_>,
    attempt: &Attempt,
    due: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO scheduler_attempts (schedule_arn, scheduled_at, target, attempts, due_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute((
        &attempt.schedule_arn,
        attempt.scheduled.as_millisecond(),
        json_text(&attempt.target),
        attempt.attempts,
        due.as_millisecond(),
    ))?;
    Ok(())
}

pub(super) fn postpone_attempt(
    tx: &Transaction<'_>,
    id: i64,
    attempts: u32,
    due: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE scheduler_attempts SET attempts = ?2, due_at = ?3 WHERE id = ?1")?
        .execute((id, attempts, due.as_millisecond()))?;
    Ok(())
}

pub(super) fn delete_attempt(tx: &Transaction<'_>, id: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM scheduler_attempts WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Invocations whose time has come, the longest due first.
pub(super) fn due_attempts(
    connection: &Connection,
    now: Timestamp,
    count: u32,
) -> rusqlite::Result<Vec<Attempt>> {
    connection
        .prepare_cached(
            "SELECT id, schedule_arn, scheduled_at, target, attempts FROM scheduler_attempts
             WHERE due_at <= ?1 ORDER BY due_at, id LIMIT ?2",
        )?
        .query_map((now.as_millisecond(), count), |row| {
            Ok(Attempt {
                id: row.get(0)?,
                schedule_arn: row.get(1)?,
                scheduled: time(row.get(2)?),
                target: json(row, 3)?,
                attempts: row.get(4)?,
            })
        })?
        .collect()
}

// ---- client tokens ----

/// The request and the answer of a token that was used.
pub(super) fn token(
    connection: &Connection,
    token: &str,
) -> rusqlite::Result<Option<(String, String)>> {
    connection
        .prepare_cached("SELECT request, answer FROM scheduler_tokens WHERE token = ?1")?
        .query_row([token], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}

/// Remembers a token, and forgets those from before `old`.
pub(super) fn add_token(
    tx: &Transaction<'_>,
    token: &str,
    request: &str,
    answer: &str,
    now: Timestamp,
    old: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM scheduler_tokens WHERE used_at < ?1")?
        .execute([old.as_millisecond()])?;
    tx.prepare_cached("INSERT OR REPLACE INTO scheduler_tokens VALUES (?1, ?2, ?3, ?4)")?
        .execute((token, request, answer, now.as_millisecond()))?;
    Ok(())
}
