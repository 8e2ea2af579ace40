//! Chain: what a run's changes tell on the event bus, so that other rules, and other programs, can go on from there.
//!
//! `lifecycle` puts into a record's outbox what its change tells, and the engine publishes it. `plan` reads the depth of a
//! chain back out of such an event. Says nothing of payloads or environments: whoever reads the bus may see it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    event::Event,
    run::{Attempt, Run, Status},
};

/// The `source` of lifecycle events.
pub const SOURCE: &str = "taskferry";

/// How many runs may follow upon one another, each started by the one before: an event past it starts nothing.
pub const DEPTH_MAX: u32 = 16;

/// What is told of a run; its name is the event's `detail-type`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub enum LifecycleEvent {
    /// A task of it runs, for the first time.
    #[serde(rename = "Run Started")]
    RunStarted,
    /// It has succeeded.
    #[serde(rename = "Run Succeeded")]
    RunSucceeded,
    /// It has failed.
    #[serde(rename = "Run Failed")]
    RunFailed,
    /// A limit of time has ended it.
    #[serde(rename = "Run Timed Out")]
    RunTimedOut,
    /// It was cancelled.
    #[serde(rename = "Run Cancelled")]
    RunCancelled,
    /// A limit let it pass without a task.
    #[serde(rename = "Run Skipped")]
    RunSkipped,
    /// It lies in the dead letters now.
    #[serde(rename = "Run Dead-Lettered")]
    RunDeadLettered,
}

impl LifecycleEvent {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::RunStarted,
        Self::RunSucceeded,
        Self::RunFailed,
        Self::RunTimedOut,
        Self::RunCancelled,
        Self::RunSkipped,
        Self::RunDeadLettered,
    ];

    /// The event's `detail-type`.
    pub fn detail_type(self) -> &'static str {
        match self {
            Self::RunStarted => "Run Started",
            Self::RunSucceeded => "Run Succeeded",
            Self::RunFailed => "Run Failed",
            Self::RunTimedOut => "Run Timed Out",
            Self::RunCancelled => "Run Cancelled",
            Self::RunSkipped => "Run Skipped",
            Self::RunDeadLettered => "Run Dead-Lettered",
        }
    }

    /// The status of a run of which this is told.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::RunStarted => Status::Running,
            Self::RunSucceeded => Status::Succeeded,
            Self::RunFailed | Self::RunDeadLettered => Status::Failed,
            Self::RunTimedOut => Status::TimedOut,
            Self::RunCancelled => Status::Cancelled,
            Self::RunSkipped => Status::Skipped,
        }
    }
}

/// What the change from `was` to `run` tells, in order.
pub(crate) fn told(was: Option<&Run>, run: &Run) -> Vec<LifecycleEvent> {
    let mut told = Vec::new();
    if run.has_started() && !crate::is_mutated!(StartUntold) && !was.is_some_and(Run::has_started) {
        told.push(LifecycleEvent::RunStarted);
    }
    if was.is_some_and(|was| was.status.is_terminal()) {
        return told;
    }
    match run.status {
        Status::Succeeded => told.push(LifecycleEvent::RunSucceeded),
        Status::Failed => told.extend([LifecycleEvent::RunFailed, LifecycleEvent::RunDeadLettered]),
        Status::TimedOut if crate::is_mutated!(EndUntold) => {}
        Status::TimedOut => {
            told.extend([LifecycleEvent::RunTimedOut, LifecycleEvent::RunDeadLettered]);
        }
        Status::Cancelled => told.push(LifecycleEvent::RunCancelled),
        Status::Skipped => told.push(LifecycleEvent::RunSkipped),
        Status::Waiting
        | Status::Launching
        | Status::Starting
        | Status::Running
        | Status::Stopping => {}
    }
    told
}

/// The `detail` of a run's lifecycle events; `name` is the stack's.
pub fn detail(name: &str, run: &Run) -> Value {
    json!({
        "stack": name,
        "rule": run.rule,
        "runId": run.id,
        "status": run.status,
        "reason": run.reason,
        "dedupeKey": run.dedupe_key,
        "depth": run.depth,
        "redriveOf": run.redrive_of,
        "event": run.event,
        "createdAt": run.created_at,
        "endedAt": run.ended_at,
        "attempts": run.attempts.len(),
        "attempt": run.attempt().map(attempt),
        "links": run.attempt().and_then(|attempt| attempt.task_arn.as_deref()).and_then(link),
    })
}

fn attempt(attempt: &Attempt) -> Value {
    json!({
        "attempt": attempt.attempt,
        "cluster": attempt.cluster,
        "taskArn": attempt.task_arn,
        "createdAt": attempt.created_at,
        "startedAt": attempt.started_at,
        "stoppedAt": attempt.stopped_at,
        "stopCode": attempt.stop_code,
        "stoppedReason": attempt.stopped_reason,
        "failureClass": attempt.failure_class,
        "containers": attempt.containers,
    })
}

/// Where AWS's console shows the task, as its ARN tells: `arn:aws:ecs:REGION:ACCOUNT:task/CLUSTER/ID`.
fn link(task_arn: &str) -> Option<Value> {
    let mut parts = task_arn.splitn(6, ':').skip(3);
    let (region, _account, task) = (parts.next()?, parts.next()?, parts.next()?);
    let mut names = task.split('/');
    let (Some("task"), Some(cluster), Some(id), None) =
        (names.next(), names.next(), names.next(), names.next())
    else {
        return None;
    };
    Some(json!({
        "task": format!("https://{region}.console.aws.amazon.com/ecs/v2/clusters/{cluster}/tasks/{id}?region={region}"),
    }))
}

/// How many runs an event follows upon: 0 unless a run told it.
pub(crate) fn depth(event: &Event) -> u32 {
    if event.source() != SOURCE || crate::is_mutated!(DepthForgotten) {
        return 0;
    }
    let depth = event.value()["detail"]["depth"].as_u64().unwrap_or_default();
    u32::try_from(depth).unwrap_or(u32::MAX).saturating_add(1)
}

/// What makes a lifecycle event the same as another, however often it is told.
pub(crate) fn dedupe_key(event: &Event) -> Option<String> {
    let run_id = event.value()["detail"]["runId"].as_str().filter(|_| event.source() == SOURCE)?;
    Some(format!("{run_id}/{}", event.detail_type()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::tests::run;

    #[test]
    fn an_end_is_told_once_and_a_start_before_it() {
        let launching = run(Status::Launching);
        let mut ended = run(Status::Failed);
        ended.attempts[0].started_at = Some(ended.created_at);
        let expected = [
            LifecycleEvent::RunStarted,
            LifecycleEvent::RunFailed,
            LifecycleEvent::RunDeadLettered,
        ];
        assert_eq!(told(Some(&launching), &ended), expected);
        assert_eq!(told(Some(&ended), &ended), []);
    }

    #[test]
    fn names_are_the_same_in_records_and_on_the_bus() {
        for event in LifecycleEvent::ALL {
            assert_eq!(serde_json::to_value(event).unwrap(), event.detail_type());
        }
    }

    #[test]
    fn a_link_leads_to_the_console() {
        let arn = "arn:aws:ecs:us-east-1:123456789012:task/batch/0123";
        assert_eq!(
            link(arn).unwrap()["task"],
            "https://us-east-1.console.aws.amazon.com/ecs/v2/clusters/batch/tasks/0123?region=us-east-1"
        );
        assert_eq!(link("task-1"), None);
    }

    #[test]
    fn an_event_follows_upon_the_run_that_told_it() {
        let told = |source: &str| {
            let event = json!({
                "id": "1", "source": source, "detail-type": "Run Succeeded", "time": "2026-01-01T00:00:00Z",
                "detail": { "depth": 2, "runId": "r" },
            });
            let event = Event::parse(&event.to_string()).unwrap();
            (depth(&event), dedupe_key(&event))
        };
        assert_eq!(told(SOURCE), (3, Some("r/Run Succeeded".to_owned())));
        assert_eq!(told("shop"), (0, None));
    }
}
