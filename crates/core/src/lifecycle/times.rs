//! How long things may take before somebody looks: by AWS's rules, by a rule's `timeout`, and by what is worth a call.

use jiff::Timestamp;

use crate::run::{Attempt, Run, Status, StopCause, after};

/// A launch whose task has told nothing of itself is verified after so long.
pub(super) const VERIFY_SECONDS: u64 = 300;
/// A launch whose answer was lost is sent again after so long.
pub(super) const LOST_SECONDS: u64 = 15;
/// Before the word of ECS that there is no task is checked: its lists are consistent in the end only.
pub(super) const UNPROVEN_SECONDS: u64 = 15;
/// A request that somebody was about to send reaches ECS within so long, or never: it is sent soon after it was decided upon
/// (`engine`'s `SEND_WITHIN`), signed soon after that, and its signature holds for five minutes, however long the process or the
/// network holds it up. Some is for clocks.
///
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>: "a request must reach AWS within five minutes of the
/// time stamp in the request."
pub(super) const UNDER_WAY_SECONDS: u64 = 360;
/// What could not be told on the event bus is told again after so long.
pub(super) const TELL_SECONDS: u64 = 60;
/// An event that was put aside for a task is kept for so long after the run's end: a day, to look into what went wrong.
pub(super) const PAYLOAD_SECONDS: u64 = 86_400;
/// What cannot be discarded is tried again after as long as it is overdue, at most so long, and given up a week after its date:
/// what is refused for a week is refused for good.
const DISCARD_SECONDS_MAX: u64 = 6 * 3600;
const DISCARD_GIVEN_UP_SECONDS: u64 = 7 * 86_400;
/// A task that was told to stop, or that ECS did not know when asked, is asked about again after so long.
pub(super) const STOP_CHECK_SECONDS: u64 = 60;
/// A task of which nothing is heard is asked about after so long, first; later less often.
pub(super) const CHECK_SECONDS: u64 = 600;
/// The longest between two such questions: well under the hour for which ECS tells of stopped tasks.
const CHECK_SECONDS_MAX: u64 = 1800;
/// What ECS does not know after so long, it has forgotten.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>: one hour, and some for clocks.
pub(super) const FORGOTTEN_SECONDS: u64 = 3900;
/// A client token is not relied upon after so long: ECS may forget it one hour after a task that ended at once, and clocks
/// differ. The last request under it is at ECS [`UNDER_WAY_SECONDS`] later, and within that hour.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html>
pub(super) const TOKEN_SECONDS: u64 = 3000;

/// Which limit of time the run has exceeded, if it has one.
pub(super) fn exceeded(
    run: &Run,
    attempt: &Attempt,
    now: Timestamp,
) -> Option<(StopCause, String)> {
    let timeout = &run.policy.timeout;
    if run.total_deadline().is_some_and(|deadline| deadline <= now) {
        let seconds = timeout.total_seconds.unwrap_or_default();
        let reason = format!("the run took longer than `timeout.total`, {seconds} s");
        return Some((StopCause::RunTimedOut, reason));
    }
    let attempt_deadline = attempt_deadline(run, attempt)?;
    let reason = if run.status == Status::Running {
        let seconds = timeout.run_seconds.unwrap_or_default();
        format!("the task ran longer than `timeout.run`, {seconds} s")
    } else {
        let seconds = timeout.start_seconds.unwrap_or_default();
        format!("the task did not run within `timeout.start`, {seconds} s")
    };
    (attempt_deadline <= now).then_some((StopCause::AttemptTimedOut, reason))
}

/// By when the attempt must have got further, if the rule says so.
fn attempt_deadline(run: &Run, attempt: &Attempt) -> Option<Timestamp> {
    let timeout = &run.policy.timeout;
    match run.status {
        Status::Launching | Status::Starting => {
            timeout.start_seconds.map(|seconds| after(attempt.created_at, seconds))
        }
        Status::Running => {
            let since = attempt.started_at.unwrap_or(attempt.created_at);
            timeout.run_seconds.map(|seconds| after(since, seconds))
        }
        Status::Waiting
        | Status::Stopping
        | Status::Succeeded
        | Status::Failed
        | Status::TimedOut
        | Status::Cancelled
        | Status::Skipped => None,
    }
}

/// The limits of time that hold for the run where it stands.
pub(super) fn deadlines(run: &Run) -> Option<Timestamp> {
    let of_attempt = run.attempt().and_then(|attempt| attempt_deadline(run, attempt));
    of_attempt.into_iter().chain(run.total_deadline()).min()
}

/// When a run that has no other date is looked at.
pub(super) fn look_again(run: &Run, now: Timestamp) -> Timestamp {
    match run.status {
        Status::Starting | Status::Running => next_check(run, now),
        Status::Launching => after(now, VERIFY_SECONDS),
        Status::Stopping => after(now, STOP_CHECK_SECONDS),
        Status::Waiting
        | Status::Succeeded
        | Status::Failed
        | Status::TimedOut
        | Status::Cancelled
        | Status::Skipped => now,
    }
}

/// When ECS is asked about a task of which nothing is heard: the longer it runs, the less often.
fn next_check(run: &Run, now: Timestamp) -> Timestamp {
    let since = run.attempt().map_or(run.created_at, |attempt| attempt.created_at);
    let age_seconds = u64::try_from(now.duration_since(since).as_secs()).unwrap_or_default();
    after(now, age_seconds.clamp(CHECK_SECONDS, CHECK_SECONDS_MAX))
}

/// When the event that was put aside for an ended run is discarded, or that is tried again; `None` once it is given up.
pub(super) fn discard_at(ended_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let kept_for = if crate::is_mutated!(PayloadDiscardedAtEnd) { 0 } else { PAYLOAD_SECONDS };
    let kept_until = after(ended_at, kept_for);
    let overdue = now.duration_since(kept_until).as_secs();
    let overdue = u64::try_from(overdue).unwrap_or_default();
    let wait = overdue.clamp(TELL_SECONDS, DISCARD_SECONDS_MAX);
    (overdue < DISCARD_GIVEN_UP_SECONDS).then(|| kept_until.max(after(now, wait)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_discarded_is_tried_less_and_less_and_then_left() {
        let ended_at = Timestamp::UNIX_EPOCH;
        let mut now = ended_at;
        let mut waits = Vec::new();
        while let Some(at) = discard_at(ended_at, now) {
            waits.push(at.duration_since(now).as_secs());
            now = at;
        }
        assert_eq!(waits[..5], [86_400, 60, 60, 120, 240]);
        assert!(waits.is_sorted_by(|a, b| a <= b || *a == 86_400), "{waits:?}");
        assert!(waits.len() < 45, "{} tries", waits.len());
    }
}
