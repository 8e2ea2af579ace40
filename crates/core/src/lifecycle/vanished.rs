//! Vanished: ECS knows no task of the last attempt. There never was one, or it is forgotten, or ECS has yet to tell of it.

use jiff::Timestamp;

use super::{
    Decision, Then, after_attempt, conclude, end, is_token_old, stop_class,
    times::{FORGOTTEN_SECONDS, STOP_CHECK_SECONDS, TOKEN_SECONDS, UNDER_WAY_SECONDS},
};
use crate::{
    failure::FailureClass,
    retry,
    run::{Run, Status, after},
    track,
};

/// Launches again, asks again, or calls the attempt lost.
pub(super) fn vanished(run: &Run, now: Timestamp) -> Decision {
    let Some(attempt) = run.attempt() else { return Decision::rest() };
    let mut next = run.clone();
    let since = run.stop.as_ref().map_or(attempt.created_at, |stop| stop.at);
    let is_forgotten = after(attempt.created_at, FORGOTTEN_SECONDS) <= now;
    // Sent again for as long as its token is relied upon, and no longer.
    let last_sent = after(attempt.created_at, TOKEN_SECONDS);
    let is_under_way = attempt.may_be_under_way() && now < after(last_sent, UNDER_WAY_SECONDS);
    let is_settled = {
        let wait = if attempt.may_be_under_way() { UNDER_WAY_SECONDS } else { STOP_CHECK_SECONDS };
        after(since, wait) <= now
    };
    let Some(last) = next.attempts.last_mut() else { return Decision::rest() };
    match (run.status, &attempt.task_arn) {
        // ECS said that there is no task, and there is none: the next attempt, or the end.
        (Status::Waiting, None) if attempt.is_unproven() => {
            if retry::delay(run).is_some() {
                return Decision::only(Then::Pace);
            }
            let class = attempt.failure_class.unwrap_or(FailureClass::Infrastructure);
            end(run, Status::Failed, track::sentence(class, attempt), now)
        }
        // Throttled for so long that its token is of no use: the same under the next.
        (Status::Waiting, _) if !is_under_way => {
            conclude(
                last,
                FailureClass::Throttled,
                "throttled until its client token expired",
                now,
            );
            match retry::delay(&next) {
                Some(_) => Decision::write(next, Then::Pace),
                None => after_attempt(next, now),
            }
        }
        // Told to stop before a task was known of: whoever was sending has done so by now, or never will.
        (Status::Stopping, None) if is_settled || crate::is_mutated!(StopConcludedAtOnce) => {
            conclude(last, stop_class(run), "no task was started", now);
            after_attempt(next, now)
        }
        (Status::Launching, None) if is_token_old(attempt, now) && !is_under_way => lost(next, now),
        (_, Some(_)) if is_forgotten => lost(next, now),
        // ECS is consistent in the end only, so it is asked again.
        _ => {
            next.due_at = Some(after(now, STOP_CHECK_SECONDS));
            Decision::write(next, Then::Rest)
        }
    }
}

/// Its events were lost, and ECS has forgotten the task: how it ended nobody can tell.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html>: stopped tasks are told of for at least
/// one hour.
fn lost(mut run: Run, now: Timestamp) -> Decision {
    if crate::is_mutated!(LostTaskIsSuccess) {
        return end(&run, Status::Succeeded, "its task is gone".to_owned(), now);
    }
    let class = run.stop.as_ref().map_or(FailureClass::Infrastructure, |_| stop_class(&run));
    if let Some(last) = run.attempts.last_mut() {
        conclude(
            last,
            class,
            "lost: ECS knows no task of this attempt, and told nothing of its end",
            now,
        );
    }
    after_attempt(run, now)
}
