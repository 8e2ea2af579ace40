//! The one timer: sleeps until the next schedule is due.

use std::{sync::Arc, time::Duration};

use super::Scheduler;

/// The longest sleep. The system's timers do not count the time that the machine sleeps, nor do they see its clock set;
/// after so long the clock is read again, and nothing else is done.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// The wait after the state could not be read or written.
const AGAIN: Duration = Duration::from_secs(1);

impl Scheduler {
    /// Fires schedules as they come due, for as long as it is polled. Must run on a Tokio runtime: tasks are started from here.
    pub async fn run(self: Arc<Self>) {
        let mut next = None;
        let mut is_stale = true;
        loop {
            let now = self.now();
            let is_due = next.is_some_and(|next| next <= now);
            if is_stale || is_due {
                next = match self.fire_due(now) {
                    Ok(next) => next,
                    Err(error) => {
                        tracing::error!(%error, "schedules cannot be fired for now");
                        tokio::time::sleep(AGAIN).await;
                        continue;
                    }
                };
            }
            let left = next.map(|next| Duration::try_from(next.duration_since(self.now())));
            let wait = left.map_or(SLEEP_MAX, |left| left.unwrap_or_default().min(SLEEP_MAX));
            is_stale = tokio::select! {
                () = tokio::time::sleep(wait) => false,
                () = self.changed.notified() => true,
            };
        }
    }
}
