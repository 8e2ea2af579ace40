//! Track: a Task State Change moves its run.

use taskferry_core::{
    event::Event,
    run::{Run, RunId, Status},
    track::{self, TaskState, Tracked as Decision},
};
use tracing::{info, warn};

use crate::{
    Engine, Error,
    ports::{Clock, Runs, Tasks},
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

impl<R: Runs, T: Tasks, C: Clock> Engine<R, T, C> {
    /// Takes an ECS Task State Change to the run whose task it is.
    ///
    /// # Errors
    ///
    /// [`Error::TaskState`] if the event is another one; a port's, if the record cannot be read or written.
    pub async fn track(&self, event: &Event) -> Result<Tracked, Error> {
        let task = TaskState::from_event(event)?;
        // The record tells whether the task is ours, and not the stack's name, which may have changed since.
        let Some(started_by) = task.started_by() else { return Ok(Tracked::NotOurs) };
        let Some(run) = self.runs.get(&started_by.run_id).await? else {
            warn!(
                event_id = event.id(), run_id = %started_by.run_id, task_arn = task.task_arn,
                "task without a run"
            );
            return Ok(Tracked::NotOurs);
        };
        let now = self.clock.now();
        let decide = |run: &Run| match track::track(run, &task, now) {
            Decision::Moved(run) => Some(*run),
            Decision::Ignored(_) => None,
        };
        let (run, moved) = self.move_run(run, decide).await?;
        if !moved {
            return Ok(Tracked::Ignored(run.id));
        }
        info!(
            event_id = event.id(), rule = run.rule, run_id = %run.id,
            attempt = started_by.attempt, task_arn = task.task_arn, status = %run.status,
            failure_class = run.attempt().and_then(|attempt| attempt.failure_class).map(tracing::field::display),
            reason = run.reason.as_deref(), "tracked"
        );
        Ok(Tracked::Moved(run.id, run.status))
    }
}
