//! Whether a launch fits into the account's quota now.
//!
//! Asked before each `RunTask`. What is shared by all processes are the windows of `core::pace`, kept by the store; what is
//! kept here is only whether this process needs to ask.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use taskferry_core::{
    is_mutated,
    launch::Gate,
    pace::{self, Window},
    rules::Quota,
};

use crate::{
    Engine, Error,
    ports::{Clock as _, Ports, Runs as _},
};

/// What a process knows of its own launches.
#[derive(Debug)]
pub(crate) struct Pacer {
    quota: Option<Quota>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Its last launch.
    launched_at: Option<Timestamp>,
    /// Until when it asks before each.
    busy_until: Option<Timestamp>,
}

impl Pacer {
    pub(crate) fn new(quota: Quota) -> Self {
        Self { quota: Some(quota), seen: Mutex::default() }
    }

    pub(crate) fn unpaced() -> Self {
        Self { quota: None, seen: Mutex::default() }
    }

    /// Whether a launch now is one of so few that nobody need be asked; it counts as launched.
    fn is_calm(&self, now: Timestamp) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = seen.launched_at.is_none_or(|at| now.duration_since(at) >= pace::CALM);
        seen.launched_at = Some(now);
        (rested || is_mutated!(CalmForEver)) && seen.busy_until.is_none_or(|until| until <= now)
    }

    /// From now on it asks before each launch, for a while.
    fn stay_alert(&self, now: Timestamp) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.busy_until = now.checked_add(pace::BUSY).ok();
    }
}

impl<P: Ports> Engine<P> {
    /// Whether a launch fits into the quota now; if so, it counts as launched.
    pub(crate) async fn gate(&self) -> Result<Gate, Error> {
        if is_mutated!(PacingForgotten) {
            return Ok(Gate::Open);
        }
        let now = self.ports.clock().now();
        let Some(window) = self.window(now).filter(|_| !self.pacer.is_calm(now)) else {
            return Ok(Gate::Open);
        };
        if self.ports.runs().take_token(&window).await? {
            return Ok(Gate::Open);
        }
        self.pacer.stay_alert(now);
        Ok(Gate::Closed { until: window.end })
    }

    /// AWS throttled a launch: the quota is smaller than was thought, or others use it too. This window is over, and the
    /// next with it.
    pub(crate) async fn throttled(&self) -> Result<(), Error> {
        let now = self.ports.clock().now();
        self.pacer.stay_alert(now);
        let Some(window) = self.window(now) else { return Ok(()) };
        self.ports.runs().close_window(&window).await?;
        if let Some(next) = self.window(window.end) {
            self.ports.runs().close_window(&next).await?;
        }
        Ok(())
    }

    fn window(&self, now: Timestamp) -> Option<Window> {
        self.pacer.quota.map(|quota| pace::window(quota, now))
    }
}
