//! Track: what ECS says of a task moves its run on, to its end.
//!
//! Asked by the engine with an ECS Task State Change, and with what `DescribeTasks` tells, which is the same. Events repeat
//! and come in any order; `version` decides, and a run never moves backwards.

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    event::Event,
    failure::{self, ExitCode, FailureClass},
    run::{Attempt, ContainerExit, Run, StartedBy, Status},
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
    Detail(#[source] serde_json::Error),
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
        Self::deserialize(&event.value()["detail"]).map_err(Error::Detail)
    }

    /// Whose task it is; `None` if Taskferry did not start it.
    pub fn started_by(&self) -> Option<StartedBy> {
        self.started_by.as_deref().and_then(StartedBy::parse)
    }
}

/// What a task's state means for its run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tracked {
    /// The record changes to this.
    Moved(Box<Run>),
    /// Nothing changes.
    Ignored(Ignored),
}

/// Why a task's state changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ignored {
    /// The run knows this version of the task, or a later one.
    Stale,
    /// The run has ended.
    Ended,
    /// The task is not that of the run's last attempt.
    OtherTask,
    /// ECS's news is none for a run: the task is still on its way.
    NoNews,
}

/// What the state of its task means for a run.
///
/// `now` stands in where ECS tells no time of the task's end.
pub fn track(run: &Run, task: &TaskState, now: Timestamp) -> Tracked {
    match judge(run, task) {
        Err(ignored) => Tracked::Ignored(ignored),
        Ok(status) => {
            let mut moved = run.clone();
            take_in(&mut moved, task, status, now);
            if moved == *run {
                return Tracked::Ignored(Ignored::NoNews);
            }
            moved.revision += 1;
            Tracked::Moved(Box::new(moved))
        }
    }
}

/// The status that the task's state leads to, or why it leads nowhere.
fn judge(run: &Run, task: &TaskState) -> Result<Status, Ignored> {
    let attempt = run.attempt().ok_or(Ignored::OtherTask)?;
    let is_of_attempt = match &attempt.task_arn {
        Some(task_arn) => *task_arn == task.task_arn,
        // The event came before the answer of `RunTask`: `startedBy` tells whose task it is.
        None => task.started_by().is_some_and(|started_by| started_by.attempt == attempt.attempt),
    };
    if !is_of_attempt {
        return Err(Ignored::OtherTask);
    }
    if run.status.is_terminal() {
        return Err(Ignored::Ended);
    }
    // https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_cwet_handling.html
    // "Duplicate events have the same `version` in the `detail` object."
    if attempt.version.is_some_and(|known| task.version.is_some_and(|version| version <= known)) {
        return Err(Ignored::Stale);
    }
    let reached = match (task.last_status.as_str(), task.desired_status.as_deref()) {
        ("STOPPED" | "DELETED", _) => return Ok(end(run, task).0),
        ("DEACTIVATING" | "STOPPING" | "DEPROVISIONING", _) | (_, Some("STOPPED")) => {
            Status::Stopping
        }
        ("RUNNING", _) => Status::Running,
        // PROVISIONING, PENDING, ACTIVATING, and what ECS comes to call by a new name.
        (_, _) => Status::Starting,
    };
    Ok(reached.max(run.status))
}

/// How the run ends with the task: its status, and the class of the failure if it is one.
fn end(run: &Run, task: &TaskState) -> (Status, Option<FailureClass>) {
    if has_succeeded(&run.essential, task) {
        return (Status::Succeeded, None);
    }
    let class = failure::of_stopped_task(
        task.stop_code.as_deref(),
        task.stopped_reason.as_deref(),
        &exits(task),
    );
    let status =
        if class == FailureClass::StoppedByUser { Status::Cancelled } else { Status::Failed };
    (status, Some(class))
}

/// Success is proven, never assumed: a task can stop without containers, without exit codes, and out of memory with
/// exit code 0.
fn has_succeeded(essential: &[String], task: &TaskState) -> bool {
    let exited_with_0 = |name: &String| {
        task.containers.iter().any(|container| {
            container.name == *name
                && container.exit_code == Some(0)
                && container.reason.as_deref().and_then(failure::of_text)
                    != Some(FailureClass::OutOfMemory)
        })
    };
    task.stop_code.as_deref() == Some("EssentialContainerExited")
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

/// Writes the task's state into the record.
fn take_in(run: &mut Run, task: &TaskState, status: Status, now: Timestamp) {
    let ended = status.is_terminal().then(|| end(run, task));
    let Some(attempt) = run.attempts.last_mut() else { return };
    attempt.task_arn = Some(task.task_arn.clone());
    attempt.version = task.version.or(attempt.version);
    attempt.started_at = task.started_at.or(attempt.started_at);
    match ended {
        None => {
            run.reason = run.reason.take().filter(|_| status == run.status);
            run.status = status;
        }
        Some((status, class)) => {
            let stopped_at = task.stopped_at.unwrap_or(now);
            attempt.stopped_at = Some(stopped_at);
            attempt.stop_code.clone_from(&task.stop_code);
            attempt.stopped_reason.clone_from(&task.stopped_reason);
            attempt.failure_class = class;
            attempt.containers = exits(task);
            let reason = class.map(|class| sentence(class, attempt));
            run.end(status, reason, stopped_at);
        }
    }
}

/// What happened, in one sentence.
fn sentence(class: FailureClass, attempt: &Attempt) -> String {
    let because = attempt.stopped_reason.as_deref().unwrap_or("ECS gave no reason");
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

#[cfg(test)]
pub(crate) mod tests;
