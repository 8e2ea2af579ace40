//! The ports of an engine that is measured: real records, an ECS and a clock of the measurement's own, and an event bus, a
//! bucket and a queue that nobody uses.

use std::sync::Arc;

use jiff::Timestamp;
use taskferry_core::chain::LifecycleEvent;
use taskferry_engine::ports::{Clock, Error, Events, Payloads, Ports, Queues, Tasks};
use taskferry_local::runs::SqliteRuns;

/// What an engine acts through.
#[derive(Clone, Debug)]
pub(crate) struct World<T, C> {
    pub(crate) runs: Arc<SqliteRuns>,
    pub(crate) tasks: T,
    pub(crate) clock: C,
}

impl<T: Tasks + Sync, C: Clock + Sync> Ports for World<T, C> {
    type Runs = SqliteRuns;
    type Tasks = T;
    type Events = Nowhere;
    type Payloads = Nowhere;
    type Queues = Nowhere;
    type Clock = C;

    fn runs(&self) -> &SqliteRuns {
        &self.runs
    }

    fn tasks(&self) -> &T {
        &self.tasks
    }

    fn events(&self) -> &Nowhere {
        &Nowhere
    }

    fn payloads(&self) -> &Nowhere {
        &Nowhere
    }

    fn queues(&self) -> &Nowhere {
        &Nowhere
    }

    fn clock(&self) -> &C {
        &self.clock
    }
}

/// The bus, the bucket and the queue. A call is refused, and so a measurement fails that has one after all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nowhere;

impl Events for Nowhere {
    async fn publish(&self, _: &[LifecycleEvent], _: &str, _: Timestamp) -> Result<(), Error> {
        Err(unasked("publishing"))
    }
}

impl Payloads for Nowhere {
    async fn put(&self, _: &str, _: &str) -> Result<(), Error> {
        Err(unasked("putting an event aside"))
    }

    async fn discard(&self, _: &str) -> Result<(), Error> {
        Err(unasked("discarding an event"))
    }
}

impl Queues for Nowhere {
    async fn extend(&self, _: &str, _: &str, _: u64) -> Result<(), Error> {
        Err(unasked("holding a message"))
    }

    async fn delete(&self, _: &str, _: &str) -> Result<(), Error> {
        Err(unasked("deleting a message"))
    }
}

/// The refusal of a call that a measurement does not have.
pub(crate) fn unasked(what: &'static str) -> Error {
    Error::Refused { what, source: "the measurement has no such call".into() }
}
