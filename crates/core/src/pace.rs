//! How fast tasks may be launched: AWS's token bucket, cut into windows of time.
//!
//! All functions share a quota. They share it through one small counter a window, never through one for all times: windows
//! are short, so no item of a store stays hot, and what a process that died had taken comes back with the next. A window
//! has half of what AWS allows at once and the time in which AWS gives that back, so however launches fall within their
//! windows, AWS's bucket never runs dry.

use std::num::NonZeroU32;

use jiff::{SignedDuration, Timestamp};

use crate::rules::Quota;

/// `RunTask` on Fargate in an account whose quotas nobody raised.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html>
pub const RUN_TASK_DEFAULT: Quota =
    Quota { rate: NonZeroU32::new(20).unwrap(), burst: NonZeroU32::new(20).unwrap() };

/// A window of time, and how many launches fit into it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// When it begins.
    pub begin: Timestamp,
    /// When the next one begins.
    pub end: Timestamp,
    /// How many fit in.
    pub tokens: u32,
}

/// The window that `now` falls into.
pub fn window(quota: Quota, now: Timestamp) -> Window {
    let tokens = (quota.burst.get() / 2).max(1);
    let length = i128::from(tokens) * 1_000_000_000 / i128::from(quota.rate.get());
    let begin = now.as_nanosecond().div_euclid(length) * length;
    let at = |nanosecond| Timestamp::from_nanosecond(nanosecond).unwrap_or(Timestamp::MAX);
    Window { begin: at(begin), end: at(begin + length), tokens }
}

/// How long a process that was told to wait, or that AWS throttled, asks the store before each launch.
pub const BUSY: SignedDuration = SignedDuration::from_secs(60);

/// How long after its last launch a process launches without asking, while nobody was told to wait: one launch now and
/// then is no burst, and asking would cost a call each.
pub const CALM: SignedDuration = SignedDuration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).unwrap()
    }

    #[test]
    fn a_window_has_half_of_the_burst_and_the_time_to_get_it_back() {
        let window = window(RUN_TASK_DEFAULT, at(10_700));
        assert_eq!(window, Window { begin: at(10_500), end: at(11_000), tokens: 10 });
    }

    #[test]
    fn however_launches_fall_in_their_windows_the_bucket_does_not_run_dry() {
        // The worst case: all at the end of one window, all at the beginning of the next, and of each one after.
        let Quota { rate, burst } = RUN_TASK_DEFAULT;
        let first = window(RUN_TASK_DEFAULT, at(0));
        let mut tokens = f64::from(burst.get()) - f64::from(first.tokens);
        for _ in 0..1000 {
            tokens -= f64::from(first.tokens);
            assert!(tokens >= 0.0);
            let length = first.end.duration_since(first.begin).as_secs_f64();
            tokens = (tokens + length * f64::from(rate.get())).min(f64::from(burst.get()));
        }
    }
}
