//! Catch up: what the quota holds up goes on before the next sweep comes.
//!
//! Sweeps are a minute apart, the windows of a quota half a second. So a function whose call was told to wait stays for a
//! while once it has done its own work, and sweeps in between: one process at a time, told by the turns of
//! [`Bucket::Turn`]. Nothing depends on it. If it dies, or has no time, the next sweep takes what it would have.

use jiff::{SignedDuration, Timestamp};
use taskferry_core::{pace::Bucket, reason};
use tracing::warn;

use crate::{
    Engine,
    ports::{Clock as _, Ports, Runs as _},
};

/// So long a process stays: by then the next sweep has come.
const STAY: SignedDuration = SignedDuration::from_secs(60);

/// So many turns in a row without anything due, and it leaves: as long as a first throttle has a run wait, and some more.
const IDLE_TURNS: u32 = 5;

impl<P: Ports> Engine<P> {
    /// If the quota held up a run in this process, sees to what becomes due, until nothing more does, another process
    /// does the same, or `until` comes.
    ///
    /// Called by a function when it has done its own work and before it answers. What fails here is told in the log, and
    /// changes nothing for its event.
    pub async fn catch_up(&self, until: Timestamp) {
        if !self.pacer.has_held_up() {
            return;
        }
        let until = until.min(self.ports.clock().now() + STAY);
        let mut idle_turns = 0;
        while idle_turns < IDLE_TURNS {
            let now = self.ports.clock().now();
            let Some(turn) = self.pacer.window(Bucket::Turn, now) else { return };
            if turn.end > until {
                return;
            }
            match self.ports.runs().take_token(&turn).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return warn!(error = reason(&error), "nobody catches up"),
            }
            match self.sweep(turn.end).await {
                Ok(swept) if swept.runs > 0 => idle_turns = 0,
                Ok(_) => idle_turns += 1,
                Err(error) => return warn!(error = reason(&error), "nobody catches up"),
            }
            self.ports.clock().sleep_until(turn.end).await;
        }
    }
}
