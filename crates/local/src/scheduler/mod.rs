//! EventBridge Scheduler on this machine: schedules by its API and those of Taskferry's rules file, and they fire.
//!
//! [`Scheduler::run`] sleeps until the next is due and no longer; there is no polling. A firing is one transaction with
//! what it leads to, so that none is lost and none is done twice by a death in between. Only `RunTask` is a call of its
//! own: it is recorded first, and repeated under the same client token.

mod api;
mod context;
mod definition;
mod fire;
mod groups;
mod request;
mod retry;
mod store;
mod tags;
mod target;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Transaction;
use taskferry_core::schedule::Schedule;
use tokio::sync::{Notify, broadcast};

pub(crate) use self::store::SCHEMA;
pub use self::{api::SchedulerApi, context::arn};
use self::{
    definition::{ActionAfterCompletion, Definition, State},
    store::Row,
};
use crate::{
    db::Db, delivery::Deliveries, eventbridge::EventBridge, run_task::RunTask, sqs::Clock, timer,
};

/// The group of schedules that name none.
pub const DEFAULT_GROUP: &str = "default";

/// How many firings a listener may lag behind before it loses some.
const FIRED_BEHIND_MAX: usize = 1024;

/// A schedule of the rules file, in Scheduler's terms. It invokes a function.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Managed {
    /// Its group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// When it fires.
    pub schedule: Schedule,
    /// Within how many minutes of its time it may fire.
    pub window_minutes: Option<u32>,
    /// The function.
    pub function: String,
    /// What the function is invoked with, context attributes in it.
    pub input: String,
    /// What it is invoked with, once, for the times that were missed: [`Self::count_attribute`] stands for their number.
    pub missed_input: String,
    /// What stands for the number of times in `missed_input`.
    pub count_attribute: String,
}

/// A schedule has fired.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fired {
    /// Its group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// The time for which it did.
    pub scheduled: Timestamp,
    /// How many times it was that were missed, of which `scheduled` is the last; `None` where it fired in time.
    pub missed: Option<u64>,
    /// Whether the rules file has it.
    pub is_managed: bool,
}

/// The schedules.
pub struct Scheduler {
    db: Arc<Db>,
    deliveries: Deliveries,
    event_bridge: Arc<EventBridge>,
    run_task: RunTask,
    clock: Clock,
    /// What is due next may be another than before.
    changed: Notify,
    fired: broadcast::Sender<Fired>,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").finish_non_exhaustive()
    }
}

impl Scheduler {
    /// The schedules of a state file. They fire once [`Self::run`] runs.
    pub fn new(
        db: Arc<Db>,
        deliveries: Deliveries,
        event_bridge: Arc<EventBridge>,
        run_task: RunTask,
        clock: Clock,
    ) -> Self {
        let (fired, _) = broadcast::channel(FIRED_BEHIND_MAX);
        Self { db, deliveries, event_bridge, run_task, clock, changed: Notify::new(), fired }
    }

    /// Tells, from now on, of schedules that fire.
    pub fn fired(&self) -> broadcast::Receiver<Fired> {
        self.fired.subscribe()
    }

    /// Replaces the schedules of the rules file. One that is as it was goes on as it was.
    ///
    /// # Errors
    ///
    /// SQLite's, if they cannot be written; then those of before stay.
    pub fn deploy(&self, managed: &[Managed]) -> rusqlite::Result<()> {
        let now = self.now();
        self.db.write(|tx| {
            for key in store::managed(tx)? {
                if !managed.iter().any(|it| (it.group.as_str(), it.name.as_str()) == key.as_refs())
                {
                    store::delete(tx, &key)?;
                    store::delete_group_if_empty(tx, &key.group)?;
                }
            }
            for group in managed.iter().map(|managed| managed.group.as_str()) {
                store::add_group(tx, group, now)?;
            }
            managed.iter().try_for_each(|managed| put_managed(tx, managed, now))
        })?;
        self.changed.notify_one();
        Ok(())
    }

    /// Fires schedules as they come due, for as long as it is polled. Must run on a Tokio runtime: tasks are started from here.
    pub async fn run(self: Arc<Self>) {
        let fire = |now| self.fire_due(now);
        timer::keep_time("schedules", &self.changed, || self.now(), fire).await;
    }

    /// The present time, in whole milliseconds.
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.clock.now()).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

fn put_managed(tx: &Transaction<'_>, managed: &Managed, now: Timestamp) -> rusqlite::Result<()> {
    let definition = Definition::of_managed(managed);
    let before = store::get(tx, &managed.group, &managed.name)?;
    if before.as_ref().is_some_and(|row| row.is_managed && row.definition == definition) {
        return Ok(());
    }
    let row = Row {
        group: managed.group.clone(),
        name: managed.name.clone(),
        is_managed: true,
        next: managed.schedule.first(now),
        definition,
        created: now,
        modified: now,
    };
    store::put(tx, &row)
}

/// When a schedule that was made or changed at `now` fires next; `None` if it is disabled or at its end.
fn first(definition: &Definition, schedule: &Schedule, now: Timestamp) -> Option<Timestamp> {
    match definition.state {
        State::Enabled => schedule.first(now),
        State::Disabled => None,
    }
}

/// Moves a schedule on to its next time; one that has none left may be deleted with that.
fn advance(tx: &Transaction<'_>, row: &Row, next: Option<Timestamp>) -> rusqlite::Result<()> {
    let is_over = next.is_none();
    if is_over && row.definition.action_after_completion == ActionAfterCompletion::Delete {
        return store::delete(tx, &row.key());
    }
    store::set_next(tx, &row.key(), next)
}
