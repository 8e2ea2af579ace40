//! The time, as the machine has it.

use std::time::Duration;

use jiff::Timestamp;
use taskferry_engine::ports::Clock;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// In milliseconds, as AWS tells times: what is recorded and shown has no more digits than mean something.
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    async fn sleep_until(&self, time: Timestamp) {
        let left = Duration::try_from(time.duration_since(Timestamp::now()));
        tokio::time::sleep(left.unwrap_or_default()).await;
    }
}
