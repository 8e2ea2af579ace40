//! What the engine needs of the world, each need a trait named for its role.
//!
//! Implemented by `taskferry-aws` on AWS and by `taskferry-local` on one machine; each implementation is held to one
//! contract suite. No AWS type passes through here.

use std::future::Future;

use jiff::Timestamp;
use taskferry_core::{
    event::Event,
    launch::{Answer, TaskDefinition},
    run::{Run, RunId, Status},
    track::TaskState,
};

/// Why a port could not do its part.
///
/// The source is boxed, since each implementation brings its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It may work when tried again.
    #[error("{what} is not available")]
    Unavailable {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It will fail again.
    #[error("{what} was refused")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// Why it was refused.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Whether a run's record was made.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// It was.
    New,
    /// There is one of that id already: this.
    Exists(Box<Run>),
}

/// Whether a run's record was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Updated {
    /// It was.
    Done,
    /// Another write came between: read, and decide anew.
    Conflict,
}

/// Which runs to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunQuery {
    /// Only those of this rule.
    pub rule: Option<String>,
    /// Only those in this status.
    pub status: Option<Status>,
    /// Only those that answer the event of this id.
    pub event_id: Option<String>,
    /// Only those with this dedupe key.
    pub dedupe_key: Option<String>,
    /// At most so many, the newest.
    pub limit: Option<u32>,
}

/// The records of the runs.
pub trait Runs: Send + Sync {
    /// Makes the record of a run, with the event that it answers, unless there is one of its id.
    fn create(
        &self,
        run: &Run,
        event: &Event,
    ) -> impl Future<Output = Result<Created, Error>> + Send;

    /// Writes the record over the one whose `revision` is one less.
    fn update(&self, run: &Run) -> impl Future<Output = Result<Updated, Error>> + Send;

    /// The record of that id.
    fn get(&self, id: &RunId) -> impl Future<Output = Result<Option<Run>, Error>> + Send;

    /// The records whose ids begin so, at most two: enough to tell one from several.
    fn find(&self, id_prefix: &str) -> impl Future<Output = Result<Vec<Run>, Error>> + Send;

    /// The records that the query asks for, the newest first.
    fn list(&self, query: &RunQuery) -> impl Future<Output = Result<Vec<Run>, Error>> + Send;
}

/// The tasks of ECS.
pub trait Tasks: Send + Sync {
    /// Sends a `RunTask` request, byte for byte.
    ///
    /// Whatever comes back is an answer: that none came is one too.
    fn run(&self, request: &str) -> impl Future<Output = Answer> + Send;

    /// The newest revision of a task definition, or the one that is named.
    fn describe_task_definition(
        &self,
        task_definition: &str,
    ) -> impl Future<Output = Result<TaskDefinition, Error>> + Send;

    /// What ECS knows of these tasks, at most 100; those that it does not know are left out.
    fn describe(
        &self,
        cluster: Option<&str>,
        task_arns: &[String],
    ) -> impl Future<Output = Result<Vec<TaskState>, Error>> + Send;

    /// The ARNs of the tasks whose `startedBy` is this.
    fn list_started_by(
        &self,
        cluster: Option<&str>,
        started_by: &str,
    ) -> impl Future<Output = Result<Vec<String>, Error>> + Send;

    /// Tells a task to stop.
    fn stop(
        &self,
        cluster: Option<&str>,
        task_arn: &str,
        reason: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The clock of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
