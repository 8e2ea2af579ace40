//! Stop: a person stops a run.

use taskferry_core::{
    run::{Run, RunId},
    stop::{self, Stop},
};

use crate::{
    Engine, Error,
    ports::{Clock, Runs, Tasks},
};

/// What came of stopping a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stopped {
    /// Its task was told to stop.
    Stopping,
    /// It had no task, and was cancelled.
    Cancelled,
    /// `RunTask` has not been answered: there is no task to stop yet.
    NotYet,
    /// It had ended.
    Ended,
}

impl<R: Runs, T: Tasks, C: Clock> Engine<R, T, C> {
    /// Stops a run; `reason` will stand in the task's `stoppedReason`.
    ///
    /// # Errors
    ///
    /// [`Error::NoRun`] if there is none of that id; a port's.
    pub async fn stop(&self, id: &RunId, reason: &str) -> Result<Stopped, Error> {
        let run = self.run(id).await?;
        let now = self.clock.now();
        match stop::stop(&run, reason, now) {
            Stop::Ended => Ok(Stopped::Ended),
            Stop::NotYet => Ok(Stopped::NotYet),
            Stop::StopTask { cluster, task_arn } => {
                self.tasks.stop(cluster.as_deref(), &task_arn, reason).await?;
                Ok(Stopped::Stopping)
            }
            Stop::Moved(_) => {
                let decide = |run: &Run| match stop::stop(run, reason, now) {
                    Stop::Moved(run) => Some(*run),
                    Stop::StopTask { .. } | Stop::NotYet | Stop::Ended => None,
                };
                let (_, moved) = self.move_run(run, decide).await?;
                Ok(if moved { Stopped::Cancelled } else { Stopped::NotYet })
            }
        }
    }
}
