//! The clock of what fires by itself: Scheduler's schedules, and EventBridge's rules on one.
//!
//! Sleeps until the next is due. Nothing is looked at for nothing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::Notify, time::sleep};

/// The longest sleep. The system's timers do not count the time that the machine sleeps, nor do they see its clock set;
/// after so long the clock is read again, and nothing else is done.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// The wait after the state could not be read or written.
const AGAIN: Duration = Duration::from_secs(1);

/// The longest wait between two attempts to invoke a target.
const BACKOFF_SECONDS_MAX: i64 = 300;

/// The wait after so many failed attempts to invoke a target: doubled each time.
pub(crate) fn backoff(attempts: u32) -> SignedDuration {
    let doubled = attempts.saturating_sub(1).min(BACKOFF_SECONDS_MAX.ilog2() + 1);
    SignedDuration::from_secs((1 << doubled).min(BACKOFF_SECONDS_MAX))
}

/// Calls `fire` whenever something is due or has `changed`, for as long as it is polled; its answer is when the next is due.
pub(crate) async fn keep_time(
    what: &'static str,
    changed: &Notify,
    now: impl Fn() -> Timestamp,
    fire: impl Fn(Timestamp) -> rusqlite::Result<Option<Timestamp>>,
) {
    let mut next = None;
    let mut is_stale = true;
    loop {
        let at = now();
        let is_due = next.is_some_and(|next| next <= at);
        if is_stale || is_due {
            next = match fire(at) {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, "{what} cannot be fired for now");
                    sleep(AGAIN).await;
                    continue;
                }
            };
        }
        let left = next.map(|next| Duration::try_from(next.duration_since(now())));
        let wait = left.map_or(SLEEP_MAX, |left| left.unwrap_or_default().min(SLEEP_MAX));
        is_stale = tokio::select! {
            () = sleep(wait) => false,
            () = changed.notified() => true,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_doubled_up_to_a_bound_however_often_was_tried() {
        let waits = [0, 1, 2, 3, 9, 10, 63, 64, 65, 185, u32::MAX].map(|n| backoff(n).as_secs());
        assert_eq!(waits, [1, 1, 2, 4, 256, 300, 300, 300, 300, 300, 300]);
    }
}
