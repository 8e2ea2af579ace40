//! Does what `taskferry-core` decides: performs its answers through ports, and feeds back what comes of them.
//!
//! The functions hand each event to [`Engine::dispatch`] or [`Engine::track`]; the program asks [`Engine::stop`]. There are
//! no decisions in here but one: a write that lost a race is decided anew, upon the record that won.

mod dispatch;
mod pin;
pub mod ports;
mod stop;
mod track;

use std::sync::Arc;

use taskferry_core::{
    route::Routes,
    rules::Rules,
    run::{Run, RunId},
};

pub use self::{
    dispatch::{Dispatched, How},
    stop::Stopped,
    track::Tracked,
};
use self::{
    pin::Pins,
    ports::{Clock, Runs, Tasks},
};

/// Why an event could not be taken to where it is safe.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The event cannot be matched.
    #[error("the event cannot be matched against the rules")]
    Route(#[source] taskferry_event_pattern::EventError),
    /// The event is no Task State Change.
    #[error(transparent)]
    TaskState(#[from] taskferry_core::track::Error),
    /// A port failed.
    #[error(transparent)]
    Port(#[from] ports::Error),
    /// The run is recorded, and whether it has a task is not known yet.
    #[error("run {run_id} of rule `{rule}` is not launched yet: {reason}")]
    Unanswered {
        /// The run.
        run_id: RunId,
        /// Its rule.
        rule: String,
        /// What `RunTask` answered last.
        reason: String,
    },
    /// There is no such run.
    #[error("there is no run {0}")]
    NoRun(RunId),
}

/// What to do with an event whose way ended in an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Disposition {
    /// Deliver it again: what failed may pass.
    Again,
    /// It will fail again: keep it with its reason.
    Refuse,
}

impl Error {
    /// What to do with the event.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Port(ports::Error::Unavailable { .. }) | Self::Unanswered { .. } => {
                Disposition::Again
            }
            Self::Route(_)
            | Self::TaskState(_)
            | Self::NoRun(_)
            | Self::Port(ports::Error::Refused { .. }) => Disposition::Refuse,
        }
    }
}

/// The loop that performs decisions.
#[derive(Debug)]
pub struct Engine<R, T, C> {
    rules: Arc<Rules>,
    routes: Routes,
    runs: R,
    tasks: T,
    clock: C,
    pins: Pins,
}

impl<R: Runs, T: Tasks, C: Clock> Engine<R, T, C> {
    /// An engine for these rules on these ports.
    pub fn new(rules: Arc<Rules>, runs: R, tasks: T, clock: C) -> Self {
        let routes = Routes::new(&rules);
        Self { rules, routes, runs, tasks, clock, pins: Pins::default() }
    }

    /// Decides upon the run and writes the decision, anew for as long as another write comes between.
    ///
    /// `decide` answers with the next record, or `None` if there is nothing to write. Ends, since each write that comes
    /// between has moved the run on, and a run only moves so far.
    async fn move_run(
        &self,
        mut run: Run,
        decide: impl Fn(&Run) -> Option<Run>,
    ) -> Result<(Run, bool), Error> {
        loop {
            let Some(next) = decide(&run) else { return Ok((run, false)) };
            match self.runs.update(&next).await? {
                ports::Updated::Done => return Ok((next, true)),
                ports::Updated::Conflict => run = self.run(&next.id).await?,
            }
        }
    }

    async fn run(&self, id: &RunId) -> Result<Run, Error> {
        self.runs.get(id).await?.ok_or_else(|| Error::NoRun(id.clone()))
    }
}
