//! For how long a stopped task is remembered: ECS's hour, and longer where nobody could be told of it meanwhile.
//!
//! Asked by what shows tasks and by what deletes them. While this program was ended, or the machine asleep, the hour goes by
//! with the events of stopped tasks still queued: were the tasks forgotten then, their runs would take them for lost, and do
//! again what was done.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{run_task::HOUR_MS, task::Epoch};

/// In which time whoever waits to hear of a task has heard of it.
const TOLD_WITHIN: Duration = Duration::from_mins(10);

/// By how much the clock may run ahead of the time that this program has seen, before it has slept or been put forward.
const LEAP_MS: i64 = 60 * 1000;

/// Since when this program has been there to tell.
#[derive(Debug)]
pub(super) struct Memory(Mutex<Awake>);

#[derive(Debug)]
struct Awake {
    since: Instant,
    seen_at: Instant,
    seen: Epoch,
}

impl Memory {
    pub(super) fn new(at: Instant, now: Epoch) -> Self {
        Self(Mutex::new(Awake { since: at, seen_at: at, seen: now }))
    }

    /// Tasks that stopped by then are forgotten, in milliseconds since the epoch.
    ///
    /// `at` does not go on while the machine sleeps, `now` does.
    pub(super) fn forgets(&self, at: Instant, now: Epoch) -> i64 {
        let mut awake = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gone_by = at.saturating_duration_since(awake.seen_at).as_millis();
        let gone_by = i64::try_from(gone_by).unwrap_or(i64::MAX);
        if now.0.saturating_sub(awake.seen.0) > gone_by.saturating_add(LEAP_MS) {
            awake.since = at;
        }
        (awake.seen_at, awake.seen) = (at, now);
        let is_told = at.saturating_duration_since(awake.since) >= TOLD_WITHIN;
        if is_told { now.0 - HOUR_MS } else { i64::MIN }
    }

    /// As if this program had been there for long.
    #[cfg(test)]
    pub(super) fn is_told(&self) {
        let mut awake = self.0.lock().unwrap();
        awake.since = awake.since.checked_sub(TOLD_WITHIN).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_forgotten_before_there_was_time_to_tell_of_it() {
        let start = Instant::now();
        let minutes = |minutes: u64| Duration::from_mins(minutes);
        let at = |minutes: i64| Epoch(minutes * 60 * 1000);
        let memory = Memory::new(start, at(0));
        let forgotten = |awake, clock| memory.forgets(start + minutes(awake), at(clock));
        assert_eq!(forgotten(9, 9), i64::MIN);
        assert_eq!(forgotten(10, 10), at(-50).0);
        // Asleep for two hours.
        assert_eq!(forgotten(11, 131), i64::MIN);
        assert_eq!(forgotten(20, 140), i64::MIN);
        assert_eq!(forgotten(21, 141), at(81).0);
        // Set back, there is nothing to make up for.
        assert_eq!(forgotten(22, 0), at(-60).0);
    }
}
