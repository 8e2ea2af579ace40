//! EventBridge: events in, and out to what their rules name.
//!
//! S3 and ECS publish inside their own transactions; clients through [`EventBridgeApi`]. What an event leads to is durable
//! with the transaction that it came in. Rules are those of Taskferry's rules file, which the API shows and leaves alone,
//! and those that clients put.

mod api;
mod buses;
mod catalog;
mod envelope;
mod input;
mod json_path;
mod launches;
mod put_events;
mod schedule;
mod store;
mod unmatched;

use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Transaction;
use taskferry_event_pattern::{EventError, EventPattern};
use tokio::sync::{Notify, broadcast};

pub use self::{
    api::EventBridgeApi,
    buses::Buses,
    envelope::{Envelope, whole_second},
    unmatched::Unmatched,
};
pub(crate) use self::{
    buses::Hop,
    launches::{LAUNCHES_SCHEMA, Launches},
    store::{BUS_SETTINGS_SCHEMA, DEFAULT_BUS_SCHEMA, SCHEDULE_SCHEMA, SCHEMA},
};
use self::{buses::Route, catalog::Catalog};
use crate::{
    db::Db,
    delivery::{Deliveries, Destination},
};

/// The bus that AWS services publish on, and clients that name none.
pub const DEFAULT_EVENT_BUS: &str = "default";

/// Which events of a bus go where: a rule of the file, with one target, in EventBridge's terms.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The rule's name.
    pub name: String,
    /// The event bus's name.
    pub event_bus: String,
    /// What an event must match.
    pub event_pattern: EventPattern,
    /// The function that is invoked with the event, or the queue that gets it.
    pub destination: Destination,
}

/// The event buses.
#[derive(Debug)]
pub struct EventBridge {
    deliveries: Deliveries,
    rules: Mutex<Rules>,
    /// The next rule may be due at another time than before.
    changed: Notify,
    unmatched: broadcast::Sender<Unmatched>,
}

/// All rules, from which the buses are made.
#[derive(Debug, Default)]
struct Rules {
    /// Those of the file.
    managed: Vec<Subscription>,
    /// Those of the API.
    catalog: Catalog,
}

impl EventBridge {
    /// Buses without a rule.
    pub fn new(deliveries: Deliveries) -> Self {
        let (unmatched, _) = broadcast::channel(unmatched::BEHIND_MAX);
        let this = Self { deliveries, rules: Mutex::default(), changed: Notify::new(), unmatched };
        this.compile(&this.rules());
        this
    }

    /// Has the rules in force that clients have put.
    ///
    /// # Errors
    ///
    /// SQLite's, if they cannot be read.
    pub fn load(&self, db: &Db) -> rusqlite::Result<()> {
        let mut rules = self.rules();
        rules.catalog = db.read(store::load)?;
        self.compile(&rules);
        Ok(())
    }

    /// Tells, from now on, of events of clients and of S3 that led nowhere. What the rules' own runs tell of themselves is not
    /// among these: there are several for each run, and the lines of the runs say it already.
    pub fn unmatched(&self) -> broadcast::Receiver<Unmatched> {
        self.unmatched.subscribe()
    }

    /// Tells whoever listens that this event led nowhere.
    pub(crate) fn tell_unmatched(&self, bus: &str, event: &str) {
        if self.unmatched.receiver_count() > 0
            && let Some(event) = Unmatched::of(bus, event)
            && event.source != catalog::MANAGED_BY
        {
            // The last listener may go at any moment.
            let _told = self.unmatched.send(event);
        }
    }

    /// Replaces the rules of the file.
    pub fn subscribe(&self, subscriptions: Vec<Subscription>) {
        let mut rules = self.rules();
        rules.managed = subscriptions;
        self.compile(&rules);
    }

    /// Takes an event, whole and in EventBridge's envelope, onto a bus: what it leads to is durable with the
    /// transaction that it is part of.
    ///
    /// A function or queue that several rules of the file name gets it once. A bus that does not exist drops the event, as
    /// EventBridge documents it. The answer is whether the event leads anywhere.
    ///
    /// # Errors
    ///
    /// SQLite's, if what it leads to cannot be recorded.
    pub fn publish(
        &self,
        tx: &Transaction<'_>,
        event_bus: &str,
        event: &str,
    ) -> rusqlite::Result<bool> {
        match self.route(event_bus, event) {
            Ok(route) => {
                self.deliveries.follow(tx, Hop::First, &route, event)?;
                Ok(!route.is_empty())
            }
            Err(error) => {
                tracing::error!(event_bus, %error, "an event cannot be matched and is dropped");
                Ok(false)
            }
        }
    }

    /// What an event on a bus leads to.
    fn route(&self, event_bus: &str, event: &str) -> Result<Route, EventError> {
        Ok(self.deliveries.buses.route(event_bus, event)?.unwrap_or_default())
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts rules in force. The lock that they came by is held: no older ones come after.
    fn compile(&self, rules: &Rules) {
        self.deliveries.buses.replace(catalog::compile(&rules.catalog, &rules.managed));
        self.changed.notify_one();
    }
}
