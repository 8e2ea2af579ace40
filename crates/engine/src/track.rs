//! Track and stop: a Task State Change moves its run; a person stops one.

use taskferry_core::{
    event::Event,
    lifecycle::Happening,
    run::{RunId, Status, StopCause},
    track::TaskState,
};
use tracing::warn;

use crate::{
    Engine, Error,
    advance::Patience,
    ports::{Ports, Runs as _},
};

/// What a Task State Change did.
#[derive(Clone, Debug, PartialEq)]
pub enum Tracked {
    /// It moved this run, to this status.
    Moved(RunId, Status),
    /// It told this run nothing new.
    Ignored(RunId),
    /// The task belongs to no run of this stack.
    NotOurs,
}

/// What came of stopping a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stopped {
    /// Its task was told to stop, or will be as soon as there is one.
    Stopping,
    /// It had no task, and was cancelled.
    Cancelled,
    /// It had ended.
    Ended,
}

impl<P: Ports> Engine<P> {
    /// Takes an ECS Task State Change to the run whose task it is.
    ///
    /// # Errors
    ///
    /// [`Error::TaskState`] if the event is another one; a port's, if the record cannot be read or written.
    pub async fn track(&self, event: &Event) -> Result<Tracked, Error> {
        let task = TaskState::from_event(event)?;
        // The record tells whether the task is ours, and not the stack's name, which may have changed since.
        let Some(started_by) = task.started_by() else { return Ok(Tracked::NotOurs) };
        let Some(run) = self.ports.runs().get(&started_by.run_id).await? else {
            warn!(
                event_id = event.id(), run_id = %started_by.run_id, task_arn = task.task_arn,
                "task without a run"
            );
            return Ok(Tracked::NotOurs);
        };
        let revision = run.revision;
        let run = self.advance(run, Happening::Task(task), Patience::None).await?;
        if run.revision == revision {
            return Ok(Tracked::Ignored(run.id));
        }
        Ok(Tracked::Moved(run.id, run.status))
    }

    /// Stops a run; `reason` will stand in the task's `stoppedReason`.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`] if there is none of that id; a port's.
    pub async fn stop(&self, id: &RunId, reason: &str) -> Result<Stopped, Error> {
        let run = self.run(id).await?;
        if run.status.is_terminal() {
            return Ok(Stopped::Ended);
        }
        let stop = Happening::Stop { cause: StopCause::Cancelled, reason: reason.to_owned() };
        let run = self.advance(run, stop, Patience::None).await?;
        Ok(match run.status {
            Status::Stopping => Stopped::Stopping,
            Status::Cancelled => Stopped::Cancelled,
            _ => Stopped::Ended,
        })
    }
}
