//! A function process as the fleet sees it: which phase it is in, and who is to be told when that changes.
//!
//! Part of the fleet's bookkeeping, and under its lock: no I/O, no clock.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::Delivery;
use crate::lambda::invocation::{FunctionError, Work};

#[derive(Debug)]
pub(super) struct Process {
    pub(super) name: Arc<str>,
    pub(super) timeout: Duration,
    /// False once its function was deployed anew: it ends what it works on and gets nothing more.
    pub(super) current: bool,
    pub(super) phase: Phase,
    /// What the process itself reported to `init/error`.
    pub(super) init_error: Option<FunctionError>,
    /// Tells the process's supervisor to look at the phase.
    pub(super) changed: Arc<Notify>,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// Has not asked for an invocation yet.
    Starting { deadline: Instant },
    /// Waits for an invocation.
    Idle { since: Instant, next: oneshot::Sender<Delivery> },
    /// Works on one.
    Busy { work: Work, deadline: Instant },
    /// Has answered and not asked for the next one yet; is not left to idle about past the deadline.
    Answered { deadline: Instant },
    /// Is being stopped. Its `next` stays unanswered: an answer that is no invocation makes a runtime panic.
    Stopping { next: Option<oneshot::Sender<Delivery>> },
}

impl Process {
    /// Has the supervisor stop the process. Done twice, it still waits for the answer to its `next` that never comes.
    pub(super) fn stop(&mut self) {
        let next = match std::mem::replace(&mut self.phase, Phase::Stopping { next: None }) {
            Phase::Idle { next, .. } => Some(next),
            Phase::Stopping { next } => next,
            Phase::Starting { .. } | Phase::Busy { .. } | Phase::Answered { .. } => None,
        };
        self.phase = Phase::Stopping { next };
        self.changed.notify_one();
    }
}

/// The idle process that worked last, so that those that are not needed age.
///
/// Those that have hung up are marked on the way.
pub(super) fn idle_process<'a>(
    processes: &'a mut HashMap<Arc<str>, Process>,
    name: &str,
    now: Instant,
) -> Option<&'a mut Process> {
    let mut idle: Option<(&'a mut Process, Instant)> = None;
    for process in processes.values_mut().filter(|it| it.current && &*it.name == name) {
        let Phase::Idle { since, next } = &process.phase else { continue };
        let since = *since;
        if next.is_closed() {
            process.phase = Phase::Answered { deadline: now + process.timeout };
        } else if idle.as_ref().is_none_or(|(_, best)| *best < since) {
            idle = Some((process, since));
        }
    }
    idle.map(|(process, _)| process)
}
