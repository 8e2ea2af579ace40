//! A deployed function, and what waits for it.
//!
//! Part of the fleet's bookkeeping, and under its lock: no I/O, no clock.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::lambda::{
    functions::Function,
    invocation::{Origin, Work},
};

/// The waits before a function that failed to initialise is started again: the first, doubled up to the last.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// A deployed function.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) function: Arc<Function>,
    /// The last row that was loaded of those never tried.
    pub(super) cursor: i64,
    /// Whether rows past `cursor` may be waiting.
    pub(super) more: bool,
    /// Rows to be tried again, and when.
    pub(super) tried: BTreeSet<(Instant, i64)>,
    pub(super) ready: VecDeque<Work>,
    pub(super) invoked: VecDeque<Work>,
    pub(super) init_failures: u32,
    /// No process is started before this.
    pub(super) spawn_after: Option<Instant>,
    /// One process is wanted although nothing waits.
    pub(super) warm: bool,
    /// Nothing more is begun.
    pub(super) held: bool,
}

impl Deployment {
    /// A process could not be started, or did not become ready: the next is started later, after each failure twice as late.
    pub(super) fn back_off(&mut self, now: Instant) {
        let delay = BACKOFF_MIN.saturating_mul(2_u32.saturating_pow(self.init_failures));
        self.init_failures = self.init_failures.saturating_add(1);
        self.spawn_after = Some(now + delay.min(BACKOFF_MAX));
    }

    /// The next invocation: clients that wait come first, those that have gone are forgotten.
    pub(super) fn pop(&mut self) -> Option<Work> {
        while let Some(work) = self.invoked.pop_front() {
            if !work.origin.is_abandoned() {
                return Some(work);
            }
        }
        self.ready.pop_front()
    }

    /// Puts back what [`Self::pop`] gave.
    pub(super) fn unpop(&mut self, work: Work) {
        match work.origin {
            Origin::Invoked(_) => self.invoked.push_front(work),
            Origin::Queued { .. } => self.ready.push_front(work),
        }
    }
}
