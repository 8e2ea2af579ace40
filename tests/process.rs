//! What a process works with where the engine is tested on real records: a clock that goes when it is told to, and an ECS and
//! queues of the test's own.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use taskferry_core::chain::LifecycleEvent;
use taskferry_engine::ports::{Clock, Error, Events, Payloads, Ports, Queues, Tasks};
use taskferry_local::runs::SqliteRuns;
use tempfile::TempDir;

/// A clock that goes when it is told to.
#[derive(Clone, Debug)]
pub(crate) struct Hand(pub(crate) Arc<Mutex<Timestamp>>);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    async fn sleep_until(&self, time: Timestamp) {
        *self.0.lock().unwrap() = time;
    }
}

/// A bus to which nobody listens, and room for no events.
pub(crate) struct Nothing;

impl Events for Nothing {
    async fn publish(&self, _: &[LifecycleEvent], _: &str, _: Timestamp) -> Result<(), Error> {
        panic!("no rule listens")
    }
}

impl Payloads for Nothing {
    async fn put(&self, _: &str, _: &str) -> Result<(), Error> {
        panic!("the event fits")
    }

    async fn discard(&self, _: &str) -> Result<(), Error> {
        panic!("nothing was put")
    }
}

/// Records in a directory of their own, for as many processes as a test likes, and the time.
pub(crate) struct Records {
    dir: TempDir,
    pub(crate) clock: Hand,
}

impl Records {
    pub(crate) fn new() -> Self {
        let clock = Hand(Arc::new(Mutex::new(Timestamp::from_second(1_767_225_600).unwrap())));
        Self { dir: tempfile::tempdir().unwrap(), clock }
    }

    pub(crate) fn open(&self) -> SqliteRuns {
        SqliteRuns::open(&self.path()).unwrap()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("runs.db")
    }

    /// Another process upon them.
    pub(crate) fn process<T, Q>(&self, tasks: T, queues: Q) -> Process<T, Q> {
        Process { runs: self.open(), tasks, queues, nothing: Nothing, clock: self.clock.clone() }
    }
}

/// What one process works with.
pub(crate) struct Process<T, Q> {
    runs: SqliteRuns,
    tasks: T,
    queues: Q,
    nothing: Nothing,
    clock: Hand,
}

impl<T: Tasks + Sync, Q: Queues + Sync> Ports for Process<T, Q> {
    type Runs = SqliteRuns;
    type Tasks = T;
    type Events = Nothing;
    type Payloads = Nothing;
    type Queues = Q;
    type Clock = Hand;

    fn runs(&self) -> &SqliteRuns {
        &self.runs
    }

    fn tasks(&self) -> &T {
        &self.tasks
    }

    fn events(&self) -> &Nothing {
        &self.nothing
    }

    fn payloads(&self) -> &Nothing {
        &self.nothing
    }

    fn queues(&self) -> &Q {
        &self.queues
    }

    fn clock(&self) -> &Hand {
        &self.clock
    }
}
