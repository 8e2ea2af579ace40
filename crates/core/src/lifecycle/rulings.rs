//! The table: for every status and every happening, the one thing that is done.
//!
//! `docs/run-lifecycle.md` shows it, and a test holds the two together.

use super::Happening;
use crate::{failure::FailureClass, launch::Answer, run::Status};

/// What a happening is, as far as the table goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The run's date came.
    Due,
    /// Its event came again.
    Redelivered,
    /// A slot is free for it.
    Admitted,
    /// No slot was left after all.
    Full,
    /// A launch fits into the quota.
    Paced,
    /// It does not yet.
    Unpaced,
    /// A call that was needed failed.
    Hindered,
    /// `RunTask` answered with a task.
    Accepted,
    /// `RunTask` answered that there is none: `failures`, an exception, a conflict.
    Denied,
    /// `RunTask` was throttled.
    Throttled,
    /// No answer came.
    Lost,
    /// A task of the run is on its way, or runs.
    TaskAlive,
    /// It has stopped.
    TaskStopped,
    /// ECS knows none.
    Missing,
    /// It is to stop.
    Stop,
    /// It is to be skipped.
    Skip,
    /// What it had to tell was told.
    Published,
    /// What was put aside for its tasks is gone.
    Discarded,
    /// Its message was delivered, and is to be held.
    Received,
    /// Its message is held for longer.
    Extended,
    /// Its message is held no more.
    Released,
    /// Another run does it again.
    Redriven,
}

/// What is done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ruling {
    /// Nothing.
    Ignore,
    /// Go on from where it waits: to its limits, to the proof that it has no task, or to its launch.
    Proceed,
    /// Launch again under the same token, unless the task is known.
    Verify,
    /// Ask the quota for a launch.
    Pace,
    /// Record the attempt and send it.
    Launch,
    /// Wait until the quota has room.
    Postpone,
    /// Come back later.
    Defer,
    /// Wait in the queue of the limit that was full.
    Queue,
    /// End as skipped.
    Skip,
    /// Take the answer: nothing, wait, or end.
    Answer,
    /// Write what the task says; where it has stopped, end or retry.
    TakeIn,
    /// Tell the task to stop: nobody wants it.
    StopStray,
    /// Check the limits of time, then ask ECS.
    Look,
    /// Launch again, ask again, or call it lost.
    Vanished,
    /// Tell the task to stop, look for it first, or end.
    Stop,
    /// Tell what was not told, discard what is no longer needed.
    TidyUp,
    /// Hold the message by its newest delivery.
    Hold,
    /// Write when the message is to be held again, and go on with what is due as well.
    HoldOn,
    /// Write it down, and no more.
    Note,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Due,
        Self::Redelivered,
        Self::Admitted,
        Self::Full,
        Self::Paced,
        Self::Unpaced,
        Self::Hindered,
        Self::Accepted,
        Self::Denied,
        Self::Throttled,
        Self::Lost,
        Self::TaskAlive,
        Self::TaskStopped,
        Self::Missing,
        Self::Stop,
        Self::Skip,
        Self::Published,
        Self::Discarded,
        Self::Received,
        Self::Extended,
        Self::Released,
        Self::Redriven,
    ];

    /// What a happening is.
    pub fn of(happening: &Happening) -> Self {
        match happening {
            Happening::Due => Self::Due,
            Happening::Redelivered => Self::Redelivered,
            Happening::Admitted => Self::Admitted,
            Happening::Full { .. } => Self::Full,
            Happening::Paced => Self::Paced,
            Happening::Unpaced { .. } => Self::Unpaced,
            Happening::Hindered { .. } => Self::Hindered,
            Happening::Answered { answer, .. } => match answer {
                Answer::Tasks { .. } if answer.task().is_some() => Self::Accepted,
                Answer::NotNow { class: FailureClass::Throttled, .. } => Self::Throttled,
                Answer::Lost { .. } => Self::Lost,
                Answer::Tasks { .. }
                | Answer::Conflict { .. }
                | Answer::NotNow { .. }
                | Answer::Refused { .. } => Self::Denied,
            },
            Happening::Task(task) if task.has_stopped() => Self::TaskStopped,
            Happening::Task(_) => Self::TaskAlive,
            Happening::Missing => Self::Missing,
            Happening::Stop { .. } => Self::Stop,
            Happening::Skip { .. } => Self::Skip,
            Happening::Published { .. } => Self::Published,
            Happening::Discarded => Self::Discarded,
            Happening::Received { .. } => Self::Received,
            Happening::Extended { .. } => Self::Extended,
            Happening::Released => Self::Released,
            Happening::Redriven { .. } => Self::Redriven,
        }
    }
}

/// What is done when `kind` happens to a run in `status`.
pub fn ruling(status: Status, kind: Kind) -> Ruling {
    match status {
        Status::Waiting => match kind {
            Kind::Due | Kind::Redelivered => Ruling::Proceed,
            Kind::Admitted => Ruling::Pace,
            Kind::Full => Ruling::Queue,
            Kind::Paced => Ruling::Launch,
            Kind::Unpaced => Ruling::Postpone,
            Kind::Hindered => Ruling::Defer,
            // Two have sent the same request, and the other was throttled.
            Kind::Accepted | Kind::TaskAlive | Kind::TaskStopped => Ruling::TakeIn,
            Kind::Missing => Ruling::Vanished,
            Kind::Stop => Ruling::Stop,
            Kind::Skip => Ruling::Skip,
            Kind::Received => Ruling::Hold,
            Kind::Extended => Ruling::HoldOn,
            Kind::Published | Kind::Released => Ruling::Note,
            Kind::Denied | Kind::Throttled | Kind::Lost | Kind::Discarded | Kind::Redriven => {
                Ruling::Ignore
            }
        },
        Status::Launching => match kind {
            Kind::Due => Ruling::Look,
            Kind::Redelivered => Ruling::Verify,
            Kind::Paced => Ruling::Launch,
            Kind::Unpaced => Ruling::Postpone,
            Kind::Hindered => Ruling::Defer,
            Kind::Accepted | Kind::Denied | Kind::Throttled | Kind::Lost => Ruling::Answer,
            Kind::TaskAlive | Kind::TaskStopped => Ruling::TakeIn,
            Kind::Missing => Ruling::Vanished,
            Kind::Stop => Ruling::Stop,
            Kind::Received => Ruling::Hold,
            Kind::Extended => Ruling::HoldOn,
            Kind::Published | Kind::Released => Ruling::Note,
            Kind::Admitted | Kind::Full | Kind::Skip | Kind::Discarded | Kind::Redriven => {
                Ruling::Ignore
            }
        },
        Status::Starting | Status::Running | Status::Stopping => match kind {
            Kind::Due => Ruling::Look,
            Kind::Hindered => Ruling::Defer,
            Kind::Accepted | Kind::TaskAlive | Kind::TaskStopped => Ruling::TakeIn,
            Kind::Missing => Ruling::Vanished,
            Kind::Stop => Ruling::Stop,
            Kind::Received => Ruling::Hold,
            Kind::Extended => Ruling::HoldOn,
            Kind::Published | Kind::Released => Ruling::Note,
            Kind::Discarded
            | Kind::Redelivered
            | Kind::Redriven
            | Kind::Admitted
            | Kind::Full
            | Kind::Paced
            | Kind::Unpaced
            | Kind::Denied
            | Kind::Throttled
            | Kind::Lost
            | Kind::Skip => Ruling::Ignore,
        },
        Status::Succeeded
        | Status::Failed
        | Status::TimedOut
        | Status::Cancelled
        | Status::Skipped => match kind {
            Kind::Accepted | Kind::TaskAlive => Ruling::StopStray,
            Kind::Due => Ruling::TidyUp,
            Kind::Published | Kind::Discarded | Kind::Released | Kind::Redriven => Ruling::Note,
            Kind::Hindered => Ruling::Defer,
            Kind::Redelivered
            | Kind::Received
            | Kind::Extended
            | Kind::Admitted
            | Kind::Full
            | Kind::Paced
            | Kind::Unpaced
            | Kind::Denied
            | Kind::Throttled
            | Kind::Lost
            | Kind::TaskStopped
            | Kind::Missing
            | Kind::Stop
            | Kind::Skip => Ruling::Ignore,
        },
    }
}
