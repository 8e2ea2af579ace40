//! Track: what ECS says of a task moves its run on, to its end.
//!
//! Asked by `lifecycle` with an ECS Task State Change, and with what `DescribeTasks` tells, which is the same. Events repeat
//! and come in any order; `version` decides, and an attempt never moves backwards.

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    event::{Event, Malformed},
    failure::{self, ExitCode, FailureClass},
    run::{Attempt, ContainerExit, Run, StartedBy, Status, StopCause},
};

/// What ECS says of a task, at one version of it.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskState {
    /// The task.
    pub task_arn: String,
    /// What its starter wrote.
    pub started_by: Option<String>,
    /// Where it stands, ECS's word.
    pub last_status: String,
    /// Where ECS wants it, ECS's word.
    pub desired_status: Option<String>,
    /// Why it stopped, ECS's word.
    pub stop_code: Option<String>,
    /// Why it stopped, for people.
    pub stopped_reason: Option<String>,
    /// Its containers.
    #[serde(default)]
    pub containers: Vec<Container>,
    /// When it ran.
    pub started_at: Option<Timestamp>,
    /// When it had stopped.
    pub stopped_at: Option<Timestamp>,
    /// Rises with each change of the task.
    pub version: Option<i64>,
}

/// A container of the task, as ECS tells it.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Its name in the task definition.
    pub name: String,
    /// Its exit code, once it has one.
    pub exit_code: Option<i32>,
    /// More about its end.
    pub reason: Option<String>,
}

/// Why an event is no Task State Change.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The event is another one.
    #[error("the event is `{detail_type}` from `{source_name}`, not an ECS Task State Change")]
    Other {
        /// The event's `source`.
        source_name: String,
        /// The event's `detail-type`.
        detail_type: String,
    },
    /// `detail` is not a task.
    #[error("the event's detail is not a task of ECS's")]
    Detail(#[source] Malformed),
}

impl TaskState {
    /// Reads an ECS Task State Change event.
    ///
    /// # Errors
    ///
    /// [`Error::Other`] if the event is another one; [`Error::Detail`] if its detail is not a task.
    pub fn from_event(event: &Event) -> Result<Self, Error> {
        if (event.source(), event.detail_type()) != ("aws.ecs", "ECS Task State Change") {
            return Err(Error::Other {
                source_name: event.source().to_owned(),
                detail_type: event.detail_type().to_owned(),
            });
        }
        Self::deserialize(&event.value()["detail"]).map_err(|error| Error::Detail(error.into()))
    }

    /// Whether it has stopped.
    pub fn has_stopped(&self) -> bool {
        matches!(self.last_status.as_str(), "STOPPED" | "DELETED")
    }

    /// Whether it has stopped, stops, or was told to.
    pub fn is_stopping(&self) -> bool {
        self.has_stopped()
            || matches!(self.last_status.as_str(), "DEACTIVATING" | "STOPPING" | "DEPROVISIONING")
            || self.desired_status.as_deref() == Some("STOPPED")
    }

    /// Whose task it is; `None` if Taskferry did not start it.
    pub fn started_by(&self) -> Option<StartedBy> {
        self.started_by.as_deref().and_then(StartedBy::parse)
    }
}

/// Whether the attempt knows this version of its task, or a later one.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwet_handling.html>: "Duplicate events have the same
/// `version` in the `detail` object."
pub(crate) fn is_stale(attempt: &Attempt, task: &TaskState) -> bool {
    if crate::is_mutated!(VersionIgnored) {
        return false;
    }
    attempt.task_arn.as_ref().is_none_or(|known| *known == task.task_arn)
        && attempt.version.is_some_and(|known| task.version.is_some_and(|version| version <= known))
}

/// The record with what ECS tells of the last attempt's task: where it stands, or how the attempt ended.
///
/// `now` stands in where ECS tells no time of the task's end. What follows an attempt's end is not decided here.
pub(crate) fn take_in(run: &Run, task: &TaskState, now: Timestamp) -> Run {
    let mut moved = run.clone();
    let class = task.has_stopped().then(|| class(run, task));
    let Some(attempt) = moved.attempts.last_mut() else { return moved };
    attempt.task_arn = Some(task.task_arn.clone());
    attempt.version = task.version.or(attempt.version);
    attempt.started_at = task.started_at.or(attempt.started_at);
    // Whatever ECS said before: there is a task.
    (attempt.stopped_at, attempt.failure_class, attempt.stopped_reason) = (None, None, None);
    if let Some(class) = class {
        attempt.stopped_at = Some(task.stopped_at.unwrap_or(now));
        attempt.stop_code.clone_from(&task.stop_code);
        attempt.stopped_reason.clone_from(&task.stopped_reason);
        attempt.failure_class = class;
        attempt.containers = exits(task);
        return moved;
    }
    let reached = match (task.last_status.as_str(), task.is_stopping()) {
        (_, true) => Status::Stopping,
        ("RUNNING", false) => Status::Running,
        // PROVISIONING, PENDING, ACTIVATING, and what ECS comes to call by a new name.
        (_, false) => Status::Starting,
    };
    let status = reached.max(run.status);
    if status != run.status {
        moved.reason = None;
        moved.status = status;
    }
    moved
}

/// The class of the failure, if the stopped task's attempt is one.
fn class(run: &Run, task: &TaskState) -> Option<FailureClass> {
    if has_succeeded(&run.essential, task) {
        return None;
    }
    let class = failure::of_stopped_task(
        task.stop_code.as_deref(),
        task.stopped_reason.as_deref(),
        &exits(task),
    );
    let timed_out = run.stop.as_ref().is_some_and(|stop| stop.cause != StopCause::Cancelled);
    let timed_out = timed_out && !crate::is_mutated!(TimeoutIsPersonsWord);
    Some(if class == FailureClass::StoppedByUser && timed_out {
        FailureClass::TimedOut
    } else {
        class
    })
}

/// Success is proven, never assumed: a task can stop without containers, without exit codes, and out of memory with
/// exit code 0.
fn has_succeeded(essential: &[String], task: &TaskState) -> bool {
    if crate::is_mutated!(NoContainersIsSuccess) && task.containers.is_empty() {
        return true;
    }
    let exited_with_0 = |name: &String| {
        task.containers.iter().any(|container| {
            container.name == *name
                && (container.exit_code == Some(0)
                    || crate::is_mutated!(NoExitCodeIsSuccess) && container.exit_code.is_none())
                && (crate::is_mutated!(OutOfMemoryIsSuccess)
                    || container.reason.as_deref().and_then(failure::of_text)
                        != Some(FailureClass::OutOfMemory))
        })
    };
    (task.stop_code.as_deref() == Some("EssentialContainerExited")
        || crate::is_mutated!(StopCodeIgnored))
        && !essential.is_empty()
        && essential.iter().all(exited_with_0)
}

fn exits(task: &TaskState) -> Vec<ContainerExit> {
    task.containers
        .iter()
        .map(|Container { name, exit_code, reason }| ContainerExit {
            name: name.clone(),
            exit_code: *exit_code,
            reason: reason.clone(),
        })
        .collect()
}

/// What happened, in one sentence.
pub(crate) fn sentence(class: FailureClass, attempt: &Attempt) -> String {
    let because = attempt.stopped_reason.as_deref().filter(|reason| !reason.is_empty());
    let because = because.unwrap_or("ECS gave no reason");
    let exited = attempt
        .containers
        .iter()
        .filter(|container| container.exit_code != Some(0))
        // Often ECS says of the container what it says of the task.
        .filter(|container| container.reason.as_deref() != Some(because))
        .map(|container| match (container.exit_code, &container.reason) {
            (Some(code), None) => {
                format!("container `{}` exited with {}", container.name, ExitCode(code))
            }
            (Some(code), Some(reason)) => {
                format!("container `{}` exited with {}: {reason}", container.name, ExitCode(code))
            }
            (None, Some(reason)) => format!("container `{}`: {reason}", container.name),
            (None, None) => format!("container `{}` has no exit code", container.name),
        })
        .collect::<Vec<_>>()
        .join("; ");
    match (class, exited.is_empty()) {
        (FailureClass::ExitCode, false) => exited,
        (_, true) => because.to_owned(),
        (_, false) => format!("{because} ({exited})"),
    }
}
