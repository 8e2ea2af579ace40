//! EventBridge's rows: buses, rules, targets and tags that were made by the API.
//!
//! Read once, at the start; from then on `catalog` holds what is here, and each change is written in one transaction.

use rusqlite::{Connection, Transaction};

use super::catalog::{BusEntry, Catalog, RuleEntry, RuleKey, Tag, TargetEntry};
use crate::protocol::json_text;

/// The tables of this service.
pub(crate) const SCHEMA: &str = "
CREATE TABLE events_buses (
    name TEXT PRIMARY KEY,
    description TEXT,
    created_at INTEGER NOT NULL,
    modified_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE events_rules (
    bus TEXT NOT NULL,
    name TEXT NOT NULL,
    pattern TEXT,
    schedule TEXT,
    state TEXT NOT NULL,
    description TEXT,
    role TEXT,
    PRIMARY KEY (bus, name)
) WITHOUT ROWID;
CREATE TABLE events_targets (
    bus TEXT NOT NULL,
    rule TEXT NOT NULL,
    id TEXT NOT NULL,
    target TEXT NOT NULL,
    PRIMARY KEY (bus, rule, id),
    FOREIGN KEY (bus, rule) REFERENCES events_rules (bus, name)
) WITHOUT ROWID;
CREATE TABLE events_tags (
    arn TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (arn, key)
) WITHOUT ROWID;
";

/// What rules with a schedule have more: when it was put in force, and when it fires next.
pub(crate) const SCHEDULE_SCHEMA: &str = "
ALTER TABLE events_rules ADD COLUMN scheduled_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events_rules ADD COLUMN due_at INTEGER;
";

/// The default bus, which is there from the beginning.
pub(crate) const DEFAULT_BUS_SCHEMA: &str =
    "INSERT OR IGNORE INTO events_buses VALUES ('default', NULL, unixepoch(), unixepoch());";

/// What buses have more: a policy, and what is shown and does nothing.
pub(crate) const BUS_SETTINGS_SCHEMA: &str = "
ALTER TABLE events_buses ADD COLUMN policy TEXT;
ALTER TABLE events_buses ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
";

/// All that is stored, but for the tags.
pub(super) fn load(connection: &Connection) -> rusqlite::Result<Catalog> {
    let mut catalog = Catalog::default();
    let mut buses = connection.prepare(
        "SELECT name, description, created_at, modified_at, policy, settings FROM events_buses",
    )?;
    let mut rows = buses.query([])?;
    while let Some(row) = rows.next()? {
        let entry = BusEntry {
            description: row.get(1)?,
            created_at: row.get(2)?,
            modified_at: row.get(3)?,
            policy: row.get(4)?,
            settings: serde_json::from_str(&row.get::<_, String>(5)?).unwrap_or_default(),
        };
        catalog.buses.insert(row.get(0)?, entry);
    }
    let mut rules = connection.prepare(
        "SELECT bus, name, pattern, schedule, state, description, role, scheduled_at, due_at FROM events_rules",
    )?;
    let mut rows = rules.query([])?;
    while let Some(row) = rows.next()? {
        let entry = RuleEntry {
            pattern: row.get(2)?,
            schedule: row.get(3)?,
            state: row.get(4)?,
            description: row.get(5)?,
            role: row.get(6)?,
            targets: std::collections::BTreeMap::new(),
            scheduled_at: row.get(7)?,
            due_at: row.get(8)?,
        };
        catalog.rules.insert(RuleKey { bus: row.get(0)?, name: row.get(1)? }, entry);
    }
    let mut targets = connection.prepare("SELECT bus, rule, id, target FROM events_targets")?;
    let mut rows = targets.query([])?;
    while let Some(row) = rows.next()? {
        let key = RuleKey { bus: row.get(0)?, name: row.get(1)? };
        let (id, text): (String, String) = (row.get(2)?, row.get(3)?);
        let target = serde_json::from_str(&text).ok().and_then(|json| TargetEntry::read(json).ok());
        if let (Some(rule), Some(target)) = (catalog.rules.get_mut(&key), target) {
            rule.targets.insert(id, target);
        } else {
            tracing::error!(rule = key.name, target = id, "a stored target cannot be read");
        }
    }
    Ok(catalog)
}

pub(super) fn put_bus(tx: &Transaction<'_>, name: &str, bus: &BusEntry) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO events_buses (name, description, created_at, modified_at, policy, settings)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        (
            name,
            &bus.description,
            bus.created_at,
            bus.modified_at,
            &bus.policy,
            json_text(&bus.settings),
        ),
    )
    .map(drop)
}

pub(super) fn delete_bus(tx: &Transaction<'_>, name: &str) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM events_buses WHERE name = ?1", [name]).map(drop)
}

pub(super) fn put_rule(
    tx: &Transaction<'_>,
    key: &RuleKey,
    rule: &RuleEntry,
) -> rusqlite::Result<()> {
    // Not replaced: its targets stay.
    tx.execute(
        "INSERT INTO events_rules
         (bus, name, pattern, schedule, state, description, role, scheduled_at, due_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (bus, name) DO UPDATE SET pattern = excluded.pattern, schedule = excluded.schedule,
         state = excluded.state, description = excluded.description, role = excluded.role,
         scheduled_at = excluded.scheduled_at, due_at = excluded.due_at",
        (
            &key.bus,
            &key.name,
            &rule.pattern,
            &rule.schedule,
            &rule.state,
            &rule.description,
            &rule.role,
            rule.scheduled_at,
            rule.due_at,
        ),
    )
    .map(drop)
}

pub(super) fn delete_rule(tx: &Transaction<'_>, key: &RuleKey) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM events_rules WHERE bus = ?1 AND name = ?2", (&key.bus, &key.name))
        .map(drop)
}

pub(super) fn put_target(
    tx: &Transaction<'_>,
    key: &RuleKey,
    id: &str,
    target: &TargetEntry,
) -> rusqlite::Result<()> {
    tx.execute(
        "INSERT OR REPLACE INTO events_targets (bus, rule, id, target) VALUES (?1, ?2, ?3, ?4)",
        (&key.bus, &key.name, id, target.json.to_string()),
    )
    .map(drop)
}

pub(super) fn delete_target(tx: &Transaction<'_>, key: &RuleKey, id: &str) -> rusqlite::Result<()> {
    tx.execute(
        "DELETE FROM events_targets WHERE bus = ?1 AND rule = ?2 AND id = ?3",
        (&key.bus, &key.name, id),
    )
    .map(drop)
}

/// The tags of a rule or bus, in the order of their keys.
pub(super) fn tags(connection: &Connection, arn: &str) -> rusqlite::Result<Vec<Tag>> {
    connection
        .prepare("SELECT key, value FROM events_tags WHERE arn = ?1 ORDER BY key")?
        .query_map([arn], |row| Ok(Tag { key: row.get(0)?, value: row.get(1)? }))?
        .collect()
}

pub(super) fn put_tags(tx: &Transaction<'_>, arn: &str, tags: &[Tag]) -> rusqlite::Result<()> {
    tags.iter().try_for_each(|Tag { key, value }| {
        tx.execute(
            "INSERT OR REPLACE INTO events_tags (arn, key, value) VALUES (?1, ?2, ?3)",
            (arn, key, value),
        )
        .map(drop)
    })
}

pub(super) fn delete_tag(tx: &Transaction<'_>, arn: &str, key: &str) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM events_tags WHERE arn = ?1 AND key = ?2", (arn, key)).map(drop)
}

pub(super) fn delete_tags(tx: &Transaction<'_>, arn: &str) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM events_tags WHERE arn = ?1", [arn]).map(drop)
}
