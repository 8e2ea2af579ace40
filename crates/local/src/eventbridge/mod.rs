//! EventBridge: events in, functions invoked whose subscription matches.
//!
//! S3 and ECS publish inside their own transactions; clients through [`EventBridgeApi`]. What an event leads to is durable
//! with the transaction that it came in.

mod api;
mod envelope;
mod put_events;
mod unmatched;

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use rusqlite::Transaction;
use taskferry_event_pattern::{EventError, EventPattern, Matcher};
use tokio::sync::broadcast;

pub use self::{
    api::EventBridgeApi,
    envelope::{Envelope, whole_second},
    unmatched::Unmatched,
};
use crate::lambda::Invocations;

/// The bus that AWS services publish on, and clients that name none.
pub const DEFAULT_EVENT_BUS: &str = "default";

/// Which events of a bus invoke which function; a rule with one target, in EventBridge's terms.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The event bus's name.
    pub event_bus: String,
    /// What an event must match.
    pub event_pattern: EventPattern,
    /// The function that is invoked with the event.
    pub function: String,
}

/// The event buses.
#[derive(Debug)]
pub struct EventBridge {
    invocations: Invocations,
    buses: RwLock<Arc<BTreeMap<String, Bus>>>,
    unmatched: broadcast::Sender<Unmatched>,
}

/// The subscriptions to one bus.
#[derive(Debug)]
struct Bus {
    matcher: Matcher,
    /// The function of each of the matcher's patterns.
    functions: Vec<String>,
}

impl EventBridge {
    /// Buses without a subscription.
    pub fn new(invocations: Invocations) -> Self {
        let (unmatched, _) = broadcast::channel(unmatched::BEHIND_MAX);
        Self { invocations, buses: RwLock::default(), unmatched }
    }

    /// Tells, from now on, of events of clients and of S3 that led nowhere.
    pub fn unmatched(&self) -> broadcast::Receiver<Unmatched> {
        self.unmatched.subscribe()
    }

    /// Tells whoever listens that this event led nowhere.
    pub(crate) fn tell_unmatched(&self, event: &str) {
        if self.unmatched.receiver_count() > 0
            && let Some(event) = Unmatched::of(event)
        {
            // The last listener may go at any moment.
            let _told = self.unmatched.send(event);
        }
    }

    /// Replaces the subscriptions.
    pub fn subscribe(&self, subscriptions: Vec<Subscription>) {
        let mut by_bus: BTreeMap<String, (Vec<EventPattern>, Vec<String>)> = BTreeMap::new();
        for Subscription { event_bus, event_pattern, function } in subscriptions {
            let (patterns, functions) = by_bus.entry(event_bus).or_default();
            patterns.push(event_pattern);
            functions.push(function);
        }
        let buses = by_bus.into_iter().map(|(name, (patterns, functions))| {
            (name, Bus { matcher: Matcher::new(patterns), functions })
        });
        *self.buses.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(buses.collect());
    }

    /// Takes an event, whole and in EventBridge's envelope, onto a bus: what it leads to is durable with the
    /// transaction that it is part of.
    ///
    /// A function that several subscriptions name is invoked once. A bus that nobody subscribed to drops the event, and
    /// so does a bus that does not exist, as EventBridge documents it. The answer is whether the event leads anywhere.
    ///
    /// # Errors
    ///
    /// SQLite's, if an invocation cannot be queued.
    pub fn publish(
        &self,
        tx: &Transaction<'_>,
        event_bus: &str,
        event: &str,
    ) -> rusqlite::Result<bool> {
        match self.route(event_bus, event) {
            Ok(functions) => {
                self.invoke(tx, &functions, event)?;
                Ok(!functions.is_empty())
            }
            Err(error) => {
                tracing::error!(event_bus, %error, "an event cannot be matched and is dropped");
                Ok(false)
            }
        }
    }

    /// The functions that an event on a bus invokes.
    fn route(&self, event_bus: &str, event: &str) -> Result<Vec<String>, EventError> {
        let buses = self.buses();
        let Some(bus) = buses.get(event_bus) else { return Ok(Vec::new()) };
        let matched = bus.matcher.matches(event)?;
        let mut functions: Vec<&str> = matched
            .iter()
            .filter_map(|&index| bus.functions.get(index))
            .map(String::as_str)
            .collect();
        functions.sort_unstable();
        functions.dedup();
        Ok(functions.into_iter().map(str::to_owned).collect())
    }

    /// Invokes functions with an event.
    fn invoke(
        &self,
        tx: &Transaction<'_>,
        functions: &[String],
        event: &str,
    ) -> rusqlite::Result<()> {
        functions.iter().try_for_each(|function| self.invocations.enqueue(tx, function, event))
    }

    /// The buses as they are now, for the length of one call.
    fn buses(&self) -> Arc<BTreeMap<String, Bus>> {
        Arc::clone(&self.buses.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The names of the buses that exist: the default one, and those subscribed to.
    fn names(&self) -> Vec<String> {
        let mut names = vec![DEFAULT_EVENT_BUS.to_owned()];
        names.extend(self.buses().keys().filter(|name| *name != DEFAULT_EVENT_BUS).cloned());
        names
    }
}
