//! Does what `taskferry-core` decides: performs its answers through ports, and feeds back what comes of them.
//!
//! The functions hand each event to [`Engine::dispatch`] or [`Engine::track`], each batch of messages to [`Engine::receive`],
//! and call [`Engine::sweep`] each minute and [`Engine::catch_up`] before they answer; the program asks [`Engine::stop`]. All of them end in `advance`, the loop that
//! writes what was decided, does it, and feeds back what came of it. There are no decisions in here but one: a write that
//! lost a race is decided anew, upon the record that won.

mod admit;
mod advance;
mod batch;
mod catch_up;
mod dispatch;
mod messages;
mod pacer;
mod pin;
pub mod ports;
mod redrive;
mod sweep;
mod track;

use std::sync::Arc;

use taskferry_core::{
    lifecycle::Stack,
    pace::Quotas,
    route::Routes,
    rules::Rules,
    run::{Run, RunId},
};

pub use self::{
    dispatch::{Dispatched, How},
    redrive::{Foreseen, NotRedriven},
    sweep::Swept,
    track::{Stopped, Tracked},
};
use self::{
    pacer::Pacer,
    pin::Pins,
    ports::{Ports, Runs as _},
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
    /// No rule asks for the messages of this queue.
    #[error("no rule names the queue `{0}`")]
    NoQueue(String),
    /// A run cannot be done again.
    #[error(transparent)]
    NotRedriven(#[from] NotRedriven),
    /// There is no such run.
    #[error("there is no run {0}: it was never recorded, or was deleted some time after its end")]
    NoRun(RunId),
    /// The event is one of a batch whose time was over before its turn.
    #[error("the function's time was over before the event's turn")]
    NotBegun,
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
            // Of a queue that no rule names: the rules that the next process has may name it.
            Self::Port(ports::Error::Unavailable { .. } | ports::Error::Throttled { .. })
            | Self::NotBegun
            | Self::NoQueue(_) => Disposition::Again,
            Self::Route(_)
            | Self::TaskState(_)
            | Self::NoRun(_)
            | Self::NotRedriven(_)
            | Self::Port(ports::Error::Refused { .. }) => Disposition::Refuse,
        }
    }
}

/// The loop that performs decisions.
#[derive(Debug)]
pub struct Engine<P> {
    rules: Arc<Rules>,
    routes: Routes,
    ports: P,
    pins: Pins,
    pacer: Pacer,
}

impl<P: Ports> Engine<P> {
    /// An engine for these rules on these ports.
    pub fn new(rules: Arc<Rules>, ports: P) -> Self {
        let routes = Routes::new(&rules);
        let pacer = Pacer::new(rules.quotas.unwrap_or_default());
        Self { rules, routes, ports, pins: Pins::default(), pacer }
    }

    /// The same, under other quotas of ECS calls; without any, calls are not paced.
    #[must_use]
    pub fn with_quotas(mut self, quotas: Option<Quotas>) -> Self {
        self.pacer = quotas.map_or_else(Pacer::unpaced, Pacer::new);
        self
    }

    /// The rules that it decides by.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The stack that this engine decides for.
    fn stack(&self) -> Stack<'_> {
        Stack { name: &self.rules.name, publishes: self.rules.publishes }
    }

    async fn run(&self, id: &RunId) -> Result<Run, Error> {
        self.ports.runs().get(id).await?.ok_or_else(|| Error::NoRun(id.clone()))
    }
}
