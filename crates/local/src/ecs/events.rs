//! Where Task State Changes leave ECS: onto the event bus, in the transaction that stores the task.
//!
//! With faults on request some leave twice, or late. What leaves late is told without its transaction: should this process
//! die before, the event is lost. So the last one is never late: it says all that the others did.

use std::{sync::Arc, time::Duration};

use rusqlite::Transaction;
use tokio::time;

use crate::{db::Db, eventbridge::EventBridge};

use super::{
    faults::{Dice, Fault},
    task::{Status, Task},
};

/// The event bus that AWS's own services publish on.
const EVENT_BUS: &str = "default";

/// How late an event is that others are to overtake.
const LATE: Duration = Duration::from_secs(1);

/// The way out for Task State Changes.
#[derive(Clone, Debug)]
pub(super) struct Events {
    pub db: Arc<Db>,
    pub eventbridge: Arc<EventBridge>,
    pub dice: Arc<Dice>,
}

impl Events {
    /// Publishes what a task has become.
    ///
    /// # Errors
    ///
    /// The database's.
    pub(super) fn publish(
        &self,
        tx: &Transaction<'_>,
        task: &Task,
        event: String,
    ) -> rusqlite::Result<()> {
        // https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwet_handling.html: events may come twice, with the
        // same `version`, and in any order.
        let status = task.last_status;
        if status != Status::Stopped && self.dice.happens(Fault::ReorderedEvent) {
            let what = format!("{} of task {}", status.as_str(), task.id());
            tokio::spawn(self.clone().publish_late(what, event));
            return Ok(());
        }
        let leads_anywhere = self.eventbridge.publish(tx, EVENT_BUS, &event)?;
        if leads_anywhere && self.dice.happens(Fault::DuplicateEvent) {
            self.eventbridge.publish(tx, EVENT_BUS, &event)?;
            let what = format!("{} of task {} is told twice", status.as_str(), task.id());
            self.dice.tell(Fault::DuplicateEvent, what);
        }
        Ok(())
    }

    async fn publish_late(self, what: String, event: String) {
        time::sleep(LATE).await;
        match self.db.write(|tx| self.eventbridge.publish(tx, EVENT_BUS, &event)) {
            Ok(true) => {
                let what = format!("{what} is told {} s late", LATE.as_secs());
                self.dice.tell(Fault::ReorderedEvent, what);
            }
            Ok(false) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "a late Task State Change is lost");
            }
        }
    }
}
