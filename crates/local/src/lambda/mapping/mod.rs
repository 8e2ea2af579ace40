//! Event source mappings: queues of SQS whose messages invoke functions.
//!
//! Made by whoever deploys what the rules ask for (these are managed, and not changed by clients), or by clients through
//! Lambda's API. Each that is enabled has a [`poller`]; a mapping that is changed gets another, and the former ends after the
//! batches that it has begun.

mod api;
mod batch;
mod poller;
mod settings;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};
use tokio::sync::{RwLock, watch};
use uuid::Uuid;

pub(crate) use self::api::PATH;
use self::poller::Poller;
pub use self::settings::Mapping;
use super::Functions;
use crate::{db::Db, protocol::json_text, sqs::Queues};

/// The table of the mappings.
pub(crate) const SCHEMA: &str = "
CREATE TABLE lambda_event_source_mappings (
    uuid TEXT PRIMARY KEY,
    queue TEXT NOT NULL,
    function TEXT NOT NULL,
    settings TEXT NOT NULL,
    is_managed INTEGER NOT NULL,
    modified_at INTEGER NOT NULL,
    UNIQUE (queue, function)
) WITHOUT ROWID;
";

/// The mappings on this machine.
#[derive(Clone, Debug)]
pub struct EventSourceMappings {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Arc<Db>,
    queues: Queues,
    functions: Functions,
    running: Mutex<Running>,
    /// Held by those who have messages in hand.
    in_hand: Arc<RwLock<()>>,
}

/// The pollers, by the mapping's id: what each runs, and how it is told to end.
#[derive(Debug, Default)]
struct Running {
    pollers: HashMap<String, (Arc<Mapping>, watch::Sender<bool>)>,
    is_begun: bool,
    is_closed: bool,
}

/// A mapping as its row has it.
#[derive(Clone, Debug)]
struct Stored {
    uuid: String,
    mapping: Mapping,
    is_managed: bool,
    /// Milliseconds since the epoch.
    modified_at: i64,
}

impl Stored {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let settings: String = row.get(1)?;
        let mapping = serde_json::from_str(&settings).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, error.into())
        })?;
        Ok(Self { uuid: row.get(0)?, mapping, is_managed: row.get(2)?, modified_at: row.get(3)? })
    }

    fn all(connection: &Connection) -> rusqlite::Result<Vec<Self>> {
        connection
            .prepare_cached(
                "SELECT uuid, settings, is_managed, modified_at FROM lambda_event_source_mappings ORDER BY uuid",
            )?
            .query_map([], Self::from_row)?
            .collect()
    }

    fn load(connection: &Connection, uuid: &str) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT uuid, settings, is_managed, modified_at FROM lambda_event_source_mappings WHERE uuid = ?1",
            )?
            .query_row([uuid], Self::from_row)
            .optional()
    }

    fn find(connection: &Connection, mapping: &Mapping) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT uuid, settings, is_managed, modified_at FROM lambda_event_source_mappings
                 WHERE queue = ?1 AND function = ?2",
            )?
            .query_row((&mapping.queue, &mapping.function), Self::from_row)
            .optional()
    }

    fn store(&self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        tx.prepare_cached(
            "INSERT OR REPLACE INTO lambda_event_source_mappings VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            &self.uuid,
            &self.mapping.queue,
            &self.mapping.function,
            json_text(&self.mapping),
            self.is_managed,
            self.modified_at,
        ))?;
        Ok(())
    }

    fn new(mapping: Mapping, is_managed: bool) -> Self {
        let modified_at = Timestamp::now().as_millisecond();
        Self { uuid: Uuid::now_v7().to_string(), mapping, is_managed, modified_at }
    }
}

impl EventSourceMappings {
    /// Mappings of these queues to these functions. Nothing is received before [`Self::deploy`].
    pub fn new(db: Arc<Db>, queues: Queues, functions: Functions) -> Self {
        let inner =
            Inner { db, queues, functions, running: Mutex::default(), in_hand: Arc::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Makes the mappings that rules ask for, removes those that they no longer ask for, and begins to receive for all: also
    /// for those that clients made. Must be called inside a tokio runtime, when queues and functions are deployed.
    ///
    /// # Errors
    ///
    /// SQLite's, if they cannot be written; then all is as before.
    pub fn deploy(&self, mappings: &[Mapping]) -> rusqlite::Result<()> {
        let is_first = !std::mem::replace(&mut self.inner.running().is_begun, true);
        let (all, gone) = self.inner.db.write(|tx| {
            let wanted = |stored: &Stored| {
                mappings.iter().any(|it| {
                    (&it.queue, &it.function) == (&stored.mapping.queue, &stored.mapping.function)
                })
            };
            let gone: Vec<Stored> = Stored::all(tx)?
                .into_iter()
                .filter(|stored| stored.is_managed && !wanted(stored))
                .collect();
            if is_first {
                // No invocation is alive that could have something of a former process in hand.
                for stored in Stored::all(tx)? {
                    self.inner.queues.give_back(tx, &stored.mapping.queue)?;
                }
            }
            for stored in &gone {
                remove(tx, &stored.uuid)?;
            }
            for mapping in mappings {
                // One that a client made is the rules' from now on.
                let mut stored = Stored::new(mapping.clone(), true);
                if let Some(there) = Stored::find(tx, mapping)? {
                    stored.uuid = there.uuid;
                    if there.mapping == *mapping {
                        stored.modified_at = there.modified_at;
                    }
                }
                stored.store(tx)?;
            }
            Ok::<_, rusqlite::Error>((Stored::all(tx)?, gone))
        })?;
        for stored in &gone {
            self.apply(&stored.uuid, None);
        }
        for stored in &all {
            self.apply(&stored.uuid, Some(&stored.mapping));
        }
        Ok(())
    }

    /// Receives nothing more: before the functions shut down.
    pub fn close(&self) {
        let mut running = self.inner.running();
        running.is_closed = true;
        running.pollers.drain().for_each(|(_, (_, end))| {
            end.send_replace(true);
        });
    }

    /// Waits until no message is in hand, once the mappings are closed or gone and the functions have shut down, or have
    /// nothing left to do: what they did not get to is given back.
    pub async fn settled(&self) {
        drop(self.inner.in_hand.write().await);
    }

    /// Has a mapping polled as it is now.
    fn apply(&self, uuid: &str, mapping: Option<&Mapping>) {
        let mut running = self.inner.running();
        let mapping = mapping.filter(|it| it.is_enabled && !running.is_closed);
        if let (Some(mapping), Some((polled, _))) = (mapping, running.pollers.get(uuid))
            && **polled == *mapping
        {
            return;
        }
        if let Some((_, end)) = running.pollers.remove(uuid) {
            end.send_replace(true);
        }
        let Some(mapping) = mapping else { return };
        let (end, ended) = watch::channel(false);
        let mapping = Arc::new(mapping.clone());
        let Inner { db, queues, functions, in_hand, .. } = &*self.inner;
        let poller = Poller {
            db: Arc::clone(db),
            queues: queues.clone(),
            functions: functions.clone(),
            mapping: Arc::clone(&mapping),
            in_hand: Arc::clone(in_hand),
        };
        tokio::spawn(poller.run(ended));
        running.pollers.insert(uuid.to_owned(), (mapping, end));
    }
}

impl Inner {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(tx: &Transaction<'_>, uuid: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM lambda_event_source_mappings WHERE uuid = ?1")?
        .execute([uuid])?;
    Ok(())
}
