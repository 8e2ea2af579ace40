//! Whether the system's clock was set back while `dev` runs: what has a date then waits that much longer, and nothing else
//! would say why.
//!
//! Looked at each second by `dev`. Whoever waits reads the clock himself.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

/// Less than this is the clock being kept right.
const LEAP: SignedDuration = SignedDuration::from_secs(5);

/// What was last read.
pub(super) struct Clock {
    at: Instant,
    now: Timestamp,
}

impl Clock {
    pub(super) fn new(at: Instant, now: Timestamp) -> Self {
        Self { at, now }
    }

    /// By how many seconds the clock was set back since the last time, if it was. `at` goes on whatever the clock shows.
    pub(super) fn set_back(&mut self, at: Instant, now: Timestamp) -> Option<SignedDuration> {
        let gone_by = SignedDuration::try_from(at.saturating_duration_since(self.at));
        let back = gone_by.ok()? - now.duration_since(self.now);
        *self = Self::new(at, now);
        (back >= LEAP).then(|| SignedDuration::from_secs(back.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_is_told_of_once_and_by_how_much() {
        let start = Instant::now();
        let mut clock = Clock::new(start, Timestamp::UNIX_EPOCH);
        let mut read = |second: u64, shows: i64| {
            let now = Timestamp::from_second(shows).unwrap();
            clock.set_back(start + Duration::from_secs(second), now)
        };
        assert_eq!(read(1, 1), None);
        assert_eq!(read(2, -2), None, "kept right");
        assert_eq!(read(3, -7201), Some(SignedDuration::from_hours(2)));
        assert_eq!(read(4, -7200), None);
        // Put forward, or back from sleep.
        assert_eq!(read(5, 90_000), None);
    }
}
