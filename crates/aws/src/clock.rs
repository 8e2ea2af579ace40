//! The time, as the machine has it.

use std::time::Duration;

use jiff::Timestamp;
use taskferry_engine::ports::Clock;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// In microseconds, as both stores keep times in order: runs that wait for a slot wait in the order in which they were made,
    /// and several are made in a millisecond.
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    async fn sleep_until(&self, time: Timestamp) {
        let left = Duration::try_from(time.duration_since(Timestamp::now()));
        tokio::time::sleep(left.unwrap_or_default()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_times_fall_into_a_millisecond() {
        let mut before = SystemClock.now();
        let is_found = (0..1_000_000).any(|_| {
            let now = SystemClock.now();
            let is_later = now > before && now.as_millisecond() == before.as_millisecond();
            before = now;
            is_later
        });
        assert!(is_found);
    }
}
