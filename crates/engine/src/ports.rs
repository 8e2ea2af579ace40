//! What the engine needs of the world, each need a trait named for its role.
//!
//! Implemented by `taskferry-aws` on AWS and by `taskferry-local` on one machine; each implementation is held to one
//! contract suite. No AWS type passes through here.

use std::future::Future;

use jiff::Timestamp;
#[expect(unused_imports, reason = "the documentation names it")]
use taskferry_core::limits;
use taskferry_core::{
    chain::LifecycleEvent,
    event::Event,
    launch::{Answer, TaskDefinition},
    limits::{LimitId, LimitState},
    pace::Window,
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
    /// AWS throttled it: it will work later.
    #[error("{what} was throttled")]
    Throttled {
        /// What was tried.
        what: &'static str,
        /// AWS's word.
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
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Updated {
    /// It was.
    Done,
    /// Another write came between: read, and decide anew.
    Conflict,
    /// A limit of which the run was to take a slot has none left: nothing was written.
    Full(LimitId),
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
    /// Only those that lie in the dead letters: they failed or timed out, and nobody has had them done again.
    pub dead_letters: bool,
    /// Only those made at or after then.
    pub created_from: Option<Timestamp>,
    /// Only those made before then.
    pub created_before: Option<Timestamp>,
    /// Where the page before this one ended: its [`Page::next`].
    pub after: Option<String>,
    /// At most so many; a hundred if `None`.
    pub limit: Option<u32>,
}

/// A part of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The records, the newest first.
    pub runs: Vec<Run>,
    /// Where the next page begins; `None` at the end of the list.
    pub next: Option<String>,
}

/// What is due.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Due {
    /// Runs whose date has come, the longest due first.
    pub runs: Vec<Run>,
    /// Limits that may have a slot for a run in their queue.
    pub limits: Vec<LimitId>,
}

/// The records of the runs, the limits that they keep to, and the quotas that they share.
///
/// A record is there until [`Run::expires_at`], and gone with its event some time after that: DynamoDB sees to it by itself,
/// and `taskferry dev` where the records are in SQLite.
pub trait Runs: Send + Sync {
    /// Makes the record of a run, with the event that it answers, unless there is one of its id.
    ///
    /// In the same transaction the run goes into the queue of its limit, if it has one: see [`limits::moves`]. A new run takes
    /// no slot; it is written by [`Self::update`] when its turn comes.
    fn create(
        &self,
        run: &Run,
        event: &Event,
    ) -> impl Future<Output = Result<Created, Error>> + Send;

    /// Writes `run` over `was`, if that is still what stands there: the revision tells.
    ///
    /// In the same transaction the run moves through its limits, as [`limits::moves`] says. Each [`Slot::of`] of `run` is
    /// how many its limit has now.
    ///
    /// [`Slot::of`]: taskferry_core::limits::Slot::of
    fn update(&self, was: &Run, run: &Run) -> impl Future<Output = Result<Updated, Error>> + Send;

    /// The record of that id.
    fn get(&self, id: &RunId) -> impl Future<Output = Result<Option<Run>, Error>> + Send;

    /// The records whose ids begin so, at most two: enough to tell one from several.
    fn find(&self, id_prefix: &str) -> impl Future<Output = Result<Vec<Run>, Error>> + Send;

    /// The event that the run answers, JSON.
    fn event(&self, id: &RunId) -> impl Future<Output = Result<Option<String>, Error>> + Send;

    /// The records that the query asks for, the newest first.
    fn list(&self, query: &RunQuery) -> impl Future<Output = Result<Page, Error>> + Send;

    /// What is due by `now`, at most `limit` runs and as many limits.
    ///
    /// What this costs follows what is due, not what there is.
    fn due(&self, now: Timestamp, limit: u32) -> impl Future<Output = Result<Due, Error>> + Send;

    /// Who holds slots of a limit, and at most `queue_length` of those who wait, in their order.
    fn limit(
        &self,
        limit: &LimitId,
        queue_length: u32,
    ) -> impl Future<Output = Result<LimitState, Error>> + Send;

    /// Gives a limit the date by which it is looked at again, or none, unless it has changed since `revision`.
    ///
    /// A change of its queue or its holders gives it one by itself.
    fn settle_limit(
        &self,
        limit: &LimitId,
        revision: u64,
        check_at: Option<Timestamp>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Takes one token out of a window, if it has one left.
    fn take_token(&self, window: &Window) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Leaves no token in a window.
    fn close_window(&self, window: &Window) -> impl Future<Output = Result<(), Error>> + Send;
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

/// The event bus on which runs tell of themselves.
pub trait Events: Send + Sync {
    /// Publishes lifecycle events of a run, in this order; `detail` is JSON, the same for each.
    ///
    /// If it fails, some may have been published.
    fn publish(
        &self,
        events: &[LifecycleEvent],
        detail: &str,
        time: Timestamp,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Where events are put that are too long for a request.
pub trait Payloads: Send + Sync {
    /// Puts an event, JSON, at a URL `s3://BUCKET/KEY`; once more does no harm.
    fn put(&self, url: &str, event: &str) -> impl Future<Output = Result<(), Error>> + Send;

    /// Discards what is there, if there is anything.
    fn discard(&self, url: &str) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The queues whose messages stay in them until runs have ended.
pub trait Queues: Send + Sync {
    /// Keeps a message from being delivered again for so long from now.
    ///
    /// [`Error::Refused`] if this delivery holds it no more.
    fn extend(
        &self,
        queue_arn: &str,
        receipt_handle: &str,
        seconds: u64,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Deletes a message; one that is gone is no fault.
    fn delete(
        &self,
        queue_arn: &str,
        receipt_handle: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The ports that one engine works with.
pub trait Ports: Send + Sync {
    /// The records.
    type Runs: Runs;
    /// ECS.
    type Tasks: Tasks;
    /// The event bus.
    type Events: Events;
    /// Events that are too long.
    type Payloads: Payloads;
    /// Messages that are held.
    type Queues: Queues;
    /// The time.
    type Clock: Clock;

    /// The records.
    fn runs(&self) -> &Self::Runs;
    /// ECS.
    fn tasks(&self) -> &Self::Tasks;
    /// The event bus.
    fn events(&self) -> &Self::Events;
    /// Events that are too long.
    fn payloads(&self) -> &Self::Payloads;
    /// Messages that are held.
    fn queues(&self) -> &Self::Queues;
    /// The time.
    fn clock(&self) -> &Self::Clock;
}

/// The time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Waits until then.
    fn sleep_until(&self, time: Timestamp) -> impl Future<Output = ()> + Send;
}
