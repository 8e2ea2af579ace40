//! SNS's rows: topics, subscriptions, tags, and what FIFO topics were sent in the last minutes.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction};
use serde_json::Value;

use crate::protocol::json_text;

/// The tables of this service. Attributes are JSON objects of texts.
pub(crate) const SCHEMA: &str = "
CREATE TABLE sns_topics (
    name TEXT PRIMARY KEY,
    attributes TEXT NOT NULL,
    sequence INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE sns_subscriptions (
    id TEXT PRIMARY KEY,
    topic TEXT NOT NULL REFERENCES sns_topics (name),
    protocol TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    attributes TEXT NOT NULL,
    UNIQUE (topic, protocol, endpoint)
) WITHOUT ROWID;
CREATE TABLE sns_tags (
    topic TEXT NOT NULL REFERENCES sns_topics (name),
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (topic, key)
) WITHOUT ROWID;
CREATE TABLE sns_deduplications (
    topic TEXT NOT NULL,
    scope TEXT NOT NULL,
    deduplication_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (topic, scope, deduplication_id)
) WITHOUT ROWID;
CREATE INDEX sns_deduplications_by_time ON sns_deduplications (expires_at);
";

/// Attributes by their names.
pub(super) type Settings = BTreeMap<String, String>;

/// A subscription.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Subscription {
    pub(super) id: String,
    pub(super) topic: String,
    pub(super) protocol: String,
    pub(super) endpoint: String,
    pub(super) settings: Settings,
}

impl Subscription {
    pub(super) fn arn(&self) -> String {
        format!("{}:{}", super::arn(&self.topic), self.id)
    }

    /// Whether an attribute is `true`.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.settings.get(name).is_some_and(|value| value == "true")
    }
}

fn read_settings(text: &str) -> Settings {
    serde_json::from_str(text).unwrap_or_default()
}

/// A topic's attributes, if it is there.
pub(super) fn topic(connection: &Connection, name: &str) -> rusqlite::Result<Option<Settings>> {
    connection
        .prepare_cached("SELECT attributes FROM sns_topics WHERE name = ?1")?
        .query_row([name], |row| Ok(read_settings(&row.get::<_, String>(0)?)))
        .optional()
}

/// Up to `count` names of topics, after one.
pub(super) fn topics(
    connection: &Connection,
    after: &str,
    count: u32,
) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached("SELECT name FROM sns_topics WHERE name > ?1 ORDER BY name LIMIT ?2")?
        .query_map((after, count), |row| row.get(0))?
        .collect()
}

pub(super) fn put_topic(
    tx: &Transaction<'_>,
    name: &str,
    settings: &Settings,
) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT INTO sns_topics (name, attributes) VALUES (?1, ?2)
         ON CONFLICT (name) DO UPDATE SET attributes = excluded.attributes",
        (name, json_text(settings)),
    )
    .map(drop)
}

/// Deletes a topic, if it is there, with all that is of it.
pub(super) fn delete_topic(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    for table in ["sns_subscriptions", "sns_tags", "sns_deduplications"] {
        tx.execute(&format!("DELETE FROM {table} WHERE topic = ?1"), [name])?;
    }
    tx.execute("DELETE FROM sns_topics WHERE name = ?1", [name]).map(drop)
}

/// The next number of a FIFO topic's messages.
pub(super) fn next_sequence(tx: &Transaction<'_>, topic: &str) -> rusqlite::Result<i64> {
    tx.prepare_cached(
        "UPDATE sns_topics SET sequence = sequence + 1 WHERE name = ?1 RETURNING sequence",
    )?
    .query_row([topic], |row| row.get(0))
}

/// The message that a FIFO topic was sent under this id, and has not forgotten: its id and number.
pub(super) fn sent_before(
    tx: &Transaction<'_>,
    key: (&str, &str, &str),
    now: i64,
) -> rusqlite::Result<Option<(String, i64)>> {
    let (topic, scope, id) = key;
    tx.prepare_cached(
        "SELECT message_id, sequence FROM sns_deduplications
         WHERE topic = ?1 AND scope = ?2 AND deduplication_id = ?3 AND expires_at > ?4",
    )?
    .query_row((topic, scope, id, now), |row| Ok((row.get(0)?, row.get(1)?)))
    .optional()
}

/// Remembers a message until a time, and forgets two that are past theirs.
pub(super) fn remember(
    tx: &Transaction<'_>,
    key: (&str, &str, &str),
    message: (&str, i64),
    now: i64,
    expires_at: i64,
) -> rusqlite::Result<()> {
    let ((topic, scope, id), (message_id, sequence)) = (key, message);
    tx.prepare_cached(
        "INSERT OR REPLACE INTO sns_deduplications
         (topic, scope, deduplication_id, message_id, sequence, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute((topic, scope, id, message_id, sequence, expires_at))?;
    tx.prepare_cached(
        "DELETE FROM sns_deduplications WHERE (topic, scope, deduplication_id) IN
         (SELECT topic, scope, deduplication_id FROM sns_deduplications WHERE expires_at <= ?1 LIMIT 2)",
    )?
    .execute([now])?;
    Ok(())
}

const SUBSCRIPTION: &str =
    "SELECT id, topic, protocol, endpoint, attributes FROM sns_subscriptions";

fn read_subscription(row: &rusqlite::Row<'_>) -> rusqlite::Result<Subscription> {
    Ok(Subscription {
        id: row.get(0)?,
        topic: row.get(1)?,
        protocol: row.get(2)?,
        endpoint: row.get(3)?,
        settings: read_settings(&row.get::<_, String>(4)?),
    })
}

pub(super) fn subscription(
    connection: &Connection,
    id: &str,
) -> rusqlite::Result<Option<Subscription>> {
    connection
        .prepare_cached(&format!("{SUBSCRIPTION} WHERE id = ?1"))?
        .query_row([id], read_subscription)
        .optional()
}

/// The subscription of an endpoint to a topic.
pub(super) fn subscription_of(
    connection: &Connection,
    topic: &str,
    protocol: &str,
    endpoint: &str,
) -> rusqlite::Result<Option<Subscription>> {
    connection
        .prepare_cached(&format!(
            "{SUBSCRIPTION} WHERE topic = ?1 AND protocol = ?2 AND endpoint = ?3"
        ))?
        .query_row((topic, protocol, endpoint), read_subscription)
        .optional()
}

/// All subscriptions to a topic.
pub(super) fn subscriptions_to(
    connection: &Connection,
    topic: &str,
) -> rusqlite::Result<Vec<Subscription>> {
    connection
        .prepare_cached(&format!("{SUBSCRIPTION} WHERE topic = ?1 ORDER BY id"))?
        .query_map([topic], read_subscription)?
        .collect()
}

/// Up to `count` subscriptions, to a topic or to all, after one.
pub(super) fn subscriptions(
    connection: &Connection,
    topic: Option<&str>,
    after: &str,
    count: u32,
) -> rusqlite::Result<Vec<Subscription>> {
    connection
        .prepare_cached(&format!(
            "{SUBSCRIPTION} WHERE id > ?1 AND (?2 IS NULL OR topic = ?2) ORDER BY id LIMIT ?3"
        ))?
        .query_map((after, topic, count), read_subscription)?
        .collect()
}

pub(super) fn put_subscription(
    tx: &Transaction<'_>,
    subscription: &Subscription,
) -> rusqlite::Result<()> {
    let Subscription { id, topic, protocol, endpoint, settings } = subscription;
    tx.execute(
        "INSERT OR REPLACE INTO sns_subscriptions (id, topic, protocol, endpoint, attributes)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        (id, topic, protocol, endpoint, json_text(settings)),
    )
    .map(drop)
}

pub(super) fn delete_subscription(tx: &Transaction<'_>, id: &str) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM sns_subscriptions WHERE id = ?1", [id]).map(drop)
}

pub(super) fn tags(connection: &Connection, topic: &str) -> rusqlite::Result<Settings> {
    connection
        .prepare_cached("SELECT key, value FROM sns_tags WHERE topic = ?1")?
        .query_map([topic], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

pub(super) fn put_tags(tx: &Transaction<'_>, topic: &str, tags: &Settings) -> rusqlite::Result<()> {
    tags.iter().try_for_each(|(key, value)| {
        tx.execute("INSERT OR REPLACE INTO sns_tags VALUES (?1, ?2, ?3)", (topic, key, value))
            .map(drop)
    })
}

pub(super) fn delete_tag(tx: &Transaction<'_>, topic: &str, key: &str) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM sns_tags WHERE topic = ?1 AND key = ?2", (topic, key)).map(drop)
}

/// The dead-letter queue of a `RedrivePolicy`, by its ARN.
pub(super) fn dead_letter_arn(policy: &str) -> Option<String> {
    let policy: Value = serde_json::from_str(policy).ok()?;
    policy["deadLetterTargetArn"].as_str().map(str::to_owned)
}
