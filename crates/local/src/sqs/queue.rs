//! A queue as its row has it.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{arn, clock::Millis, settings::Settings};

/// A queue.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) id: i64,
    pub(super) name: String,
    /// Where its messages are.
    pub(super) pool: i64,
    pub(super) settings: Settings,
}

impl Queue {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let settings: String = row.get(3)?;
        let settings = serde_json::from_str(&settings).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, error.into())
        })?;
        Ok(Self { id: row.get(0)?, name: row.get(1)?, pool: row.get(2)?, settings })
    }

    /// The queue of this name.
    pub(super) fn find(connection: &Connection, name: &str) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached("SELECT id, name, pool, settings FROM sqs_queues WHERE name = ?1")?
            .query_row([name], Self::from_row)
            .optional()
    }

    /// All queues.
    pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Self>> {
        connection
            .prepare_cached("SELECT id, name, pool, settings FROM sqs_queues ORDER BY name")?
            .query_map([], Self::from_row)?
            .collect()
    }

    /// The ARN.
    pub(super) fn arn(&self) -> String {
        arn::queue_arn(&self.name)
    }

    /// The queue for its dead letters, where it has one that is there, and how many receives lead to it.
    pub(super) fn dead_letters(
        &self,
        connection: &Connection,
    ) -> rusqlite::Result<Option<(Self, i64)>> {
        let Some(redrive) = &self.settings.redrive else { return Ok(None) };
        let Some(name) = arn::queue_name(&redrive.target) else { return Ok(None) };
        Ok(Self::find(connection, name)?.map(|queue| (queue, redrive.receives_max)))
    }

    /// What was sent before this has expired.
    pub(super) fn expired_before(&self, now: Millis) -> Millis {
        now - self.settings.retention()
    }
}
