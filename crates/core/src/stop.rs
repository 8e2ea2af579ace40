//! Stop: what it takes to stop a run.
//!
//! Asked by the engine when a person says `taskferry runs stop`. The task is told to stop; that it has stopped is told, as
//! ever, by its events.

use jiff::Timestamp;

use crate::run::{Run, Status};

/// What stops a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Stop {
    /// Call `StopTask`; the task's events do the rest.
    StopTask {
        /// The cluster, if the request named one.
        cluster: Option<String>,
        /// The task.
        task_arn: String,
    },
    /// Nothing runs: the record changes to this.
    Moved(Box<Run>),
    /// `RunTask` has not been answered: there is no task to stop yet.
    NotYet,
    /// The run has ended.
    Ended,
}

/// What stops `run`.
pub fn stop(run: &Run, reason: &str, now: Timestamp) -> Stop {
    let task = run.attempt().and_then(|attempt| {
        attempt.task_arn.as_ref().map(|task_arn| (attempt.cluster.clone(), task_arn.clone()))
    });
    match (run.status, task) {
        (Status::Waiting, _) => {
            let mut moved = run.clone();
            moved.revision += 1;
            moved.end(Status::Cancelled, Some(reason.to_owned()), now);
            Stop::Moved(Box::new(moved))
        }
        (Status::Starting | Status::Running | Status::Stopping, Some((cluster, task_arn))) => {
            Stop::StopTask { cluster, task_arn }
        }
        (Status::Launching | Status::Starting | Status::Running | Status::Stopping, _) => {
            Stop::NotYet
        }
        (
            Status::Succeeded
            | Status::Failed
            | Status::TimedOut
            | Status::Cancelled
            | Status::Skipped,
            _,
        ) => Stop::Ended,
    }
}
