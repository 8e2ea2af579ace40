//! The time, as the machine has it.

use std::time::Duration;

use jiff::Timestamp;
use taskferry_engine::ports::Clock;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    async fn sleep_until(&self, time: Timestamp) {
        let left = Duration::try_from(time.duration_since(self.now()));
        tokio::time::sleep(left.unwrap_or_default()).await;
    }
}
