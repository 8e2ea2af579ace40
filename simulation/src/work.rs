//! Work: what a process is given to do, and how that ended.

use std::{future::Future, pin::Pin};

use serde_json::json;
use taskferry_core::{event::Event, run::RunId, track::TaskState};
use taskferry_engine::Disposition;

use crate::{
    mapping::Batch,
    sqs::{Delivery, message_id},
    world::Micros,
};

/// What a process is doing.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// It dispatches an event.
    Dispatch {
        /// Which.
        event: usize,
    },
    /// It dispatches the records of one invocation.
    Batch {
        /// Which.
        events: Vec<usize>,
        /// Whether the source is told which of them failed, or has but the batch as a whole.
        is_partial: bool,
        /// When no other is begun.
        until: Micros,
    },
    /// It receives a batch of messages.
    Receive(Batch),
    /// It tracks a Task State Change.
    Track {
        /// Which.
        change: Box<TaskState>,
        /// Which delivery of it, from 1.
        delivery: u32,
    },
    /// It sweeps.
    Sweep,
    /// It stops a run.
    Stop {
        /// Which.
        run: RunId,
    },
    /// It has a run done again.
    Redrive {
        /// Which.
        run: RunId,
    },
}

/// How work ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    /// It is done.
    Done,
    /// It is to be done again.
    Again(String),
    /// It never will be.
    Refused(String),
    /// Each record of the batch so.
    Each(Vec<Self>),
    /// Of the batch of messages the queue is to keep these.
    Kept(Vec<String>),
}

/// Work under way.
pub(crate) struct Job {
    /// Who does it.
    pub(crate) process: usize,
    /// What.
    pub(crate) work: Work,
    /// The engine at it.
    pub(crate) future: Pin<Box<dyn Future<Output = Ended>>>,
    /// How many calls of the process had failed when it began.
    pub(crate) failed: u64,
}

impl<T> From<Result<T, taskferry_engine::Error>> for Ended {
    fn from(result: Result<T, taskferry_engine::Error>) -> Self {
        let Err(error) = result else { return Self::Done };
        let reason = taskferry_core::reason(&error);
        match error.disposition() {
            Disposition::Again => Self::Again(reason),
            Disposition::Refuse => Self::Refused(reason),
        }
    }
}

/// What it is, in one line.
pub(crate) fn told(work: &Work) -> String {
    match work {
        Work::Dispatch { event } => format!("event {event}"),
        Work::Batch { events, .. } => format!("events {events:?} in one batch"),
        Work::Receive(batch) => {
            let told = |it: &Delivery| format!("{} by {}", message_id(it.message), it.receipt);
            let messages: Vec<String> = batch.deliveries.iter().map(told).collect();
            format!("messages {}", messages.join(", "))
        }
        Work::Track { change, .. } => {
            let version = change.version.unwrap_or_default();
            format!("task {} {} version {version}", change.task_arn, change.last_status)
        }
        Work::Sweep => "sweep".to_owned(),
        Work::Stop { run } => format!("a person stops run {run}"),
        Work::Redrive { run } => format!("a person has run {run} done again"),
    }
}

/// The event of a task's change, as EventBridge delivers it.
pub(crate) fn task_event(task: &TaskState) -> Event {
    let containers: Vec<_> = task
        .containers
        .iter()
        .map(|it| json!({ "name": it.name, "exitCode": it.exit_code, "reason": it.reason }))
        .collect();
    let text = json!({
        "id": "t", "source": "aws.ecs", "detail-type": "ECS Task State Change", "time": "2026-01-01T00:00:00Z",
        "detail": {
            "taskArn": task.task_arn, "startedBy": task.started_by, "lastStatus": task.last_status,
            "desiredStatus": task.desired_status, "stopCode": task.stop_code,
            "stoppedReason": task.stopped_reason, "containers": containers,
            "startedAt": task.started_at, "stoppedAt": task.stopped_at, "version": task.version,
        },
    });
    Event::parse(&text.to_string()).expect("the simulation writes events")
}
