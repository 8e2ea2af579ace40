//! Stop: a person's word, another run's, or a limit of time.

use jiff::Timestamp;

use super::{Decision, Then, times::STOP_CHECK_SECONDS};
use crate::{
    failure::FailureClass,
    run::{Run, Status, Stop, StopCause, after},
};

/// Tells the run's task to stop, looks for it first where it is not known, or ends a run that has none.
pub(super) fn stop(run: &Run, cause: StopCause, reason: &str, now: Timestamp) -> Decision {
    let mut next = run.clone();
    let task_arn = run
        .attempt()
        .filter(|attempt| attempt.is_open())
        .and_then(|attempt| attempt.task_arn.clone());
    // A limit of time never overrides a person's word.
    if run.stop.is_none() || cause == StopCause::Cancelled {
        next.stop = Some(Stop { cause, reason: reason.to_owned(), at: now });
    }
    if let Some(task_arn) = task_arn {
        next.status = Status::Stopping;
        next.due_at = Some(after(now, STOP_CHECK_SECONDS));
        return Decision::write(next, stop_task(&task_arn, reason));
    }
    let may_have_task = run
        .attempt()
        .is_some_and(|attempt| attempt.was_sent() && (attempt.is_open() || attempt.is_unproven()));
    if may_have_task {
        next.status = Status::Stopping;
        next.due_at = Some(after(now, STOP_CHECK_SECONDS));
        return Decision::write(next, Then::Find);
    }
    let status = match cause {
        StopCause::Cancelled => Status::Cancelled,
        StopCause::AttemptTimedOut | StopCause::RunTimedOut => Status::TimedOut,
    };
    next.end(status, Some(reason.to_owned()), now);
    Decision::write(next, Then::Rest)
}

/// The class of an attempt that ended because it was told to.
pub(super) fn stop_class(run: &Run) -> FailureClass {
    match run.stop.as_ref().map(|stop| stop.cause) {
        Some(StopCause::AttemptTimedOut | StopCause::RunTimedOut) => FailureClass::TimedOut,
        Some(StopCause::Cancelled) | None => FailureClass::StoppedByUser,
    }
}

pub(super) fn stop_task(task_arn: &str, reason: &str) -> Then {
    Then::StopTask { task_arn: task_arn.to_owned(), reason: reason.to_owned() }
}
