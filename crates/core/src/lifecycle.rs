//! A run's life: what happened, and what is done about it.
//!
//! The one place that moves a run. The engine hands in the record and a [`Happening`], writes the record that comes back,
//! performs what [`Then`] says, and hands its answer in as the next happening. An event, the sweep, a person's word and the
//! answer of a call all come this way. [`ruling`] is the whole table, every status with every happening; the functions
//! below it carry a ruling out.

use jiff::Timestamp;

use crate::{
    chain,
    failure::FailureClass,
    launch::Answer,
    lengths,
    limits::LimitId,
    retry,
    run::{Attempt, Run, Status, StopCause, after},
    track::{self, TaskState},
};

mod afterwards;
mod happening;
mod message;
mod rulings;
mod stop;
mod times;
mod vanished;

use self::{
    afterwards::{noted, published, tidy_up},
    stop::{stop, stop_class, stop_task},
    times::{
        LOST_SECONDS, STOP_CHECK_SECONDS, TELL_SECONDS, TOKEN_SECONDS, UNDER_WAY_SECONDS,
        UNPROVEN_SECONDS,
    },
    vanished::vanished,
};
pub use self::{
    happening::Happening,
    message::{HEARTBEAT_SECONDS, VISIBILITY_SECONDS},
    rulings::{Kind, Ruling, ruling},
};

/// What is decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What the record becomes; `None` if it stays as it is. To be written before anything is done.
    pub next: Option<Box<Run>>,
    /// What to do then.
    pub then: Then,
}

/// What the engine does once the record stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Then {
    /// Nothing.
    Rest,
    /// Ask the run's limits whose turn it is.
    Admit,
    /// Ask whether a launch fits into the account's quota: [`Happening::Paced`] or [`Happening::Unpaced`].
    Pace,
    /// Send the last attempt's request: [`Happening::Answered`].
    RunTask,
    /// Look for the last attempt's task by `startedBy`: [`Happening::Task`] or [`Happening::Missing`].
    Find,
    /// Ask ECS about the last attempt's task: [`Happening::Task`] or [`Happening::Missing`].
    Describe,
    /// Tell a task to stop.
    StopTask {
        /// The task.
        task_arn: String,
        /// What will stand in its `stoppedReason`.
        reason: String,
    },
    /// Tell what is in the record's outbox: [`Happening::Published`].
    Publish,
    /// Discard the event that was put aside for the task: [`Happening::Discarded`].
    Discard,
    /// Keep the message from being delivered again: [`Happening::Extended`] or [`Happening::Released`].
    Extend,
    /// Delete the message, unless another run of it is under way: [`Happening::Released`].
    Acknowledge,
}

/// The stack that a run belongs to, as far as decisions depend on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stack<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether somebody listens to lifecycle events.
    pub publishes: bool,
}

impl Decision {
    fn rest() -> Self {
        Self { next: None, then: Then::Rest }
    }

    fn only(then: Then) -> Self {
        Self { next: None, then }
    }

    fn write(run: Run, then: Then) -> Self {
        Self { next: Some(Box::new(run)), then }
    }
}

/// What is done about it that `happening` happened to `run`.
///
/// The same arguments give the same decision. A decision that lost the race to write its record is asked for anew, upon the
/// record that won.
pub fn decide(stack: Stack<'_>, run: &Run, happening: &Happening, now: Timestamp) -> Decision {
    let own = &*message::own(run);
    let mut decision = if let Happening::Answered { attempt, answer } = happening
        && !is_last(run, *attempt)
    {
        // The answer to an attempt that is over: a task that it started is nobody's.
        answer.task().map_or_else(Decision::rest, |task| take_in(own, task, now))
    } else if let Some(decision) = message::decide(own, happening, now) {
        decision
    } else {
        carry_out(stack.name, own, happening, now)
    };
    if let Some(next) = &mut decision.next {
        if stack.publishes {
            next.outbox.extend(chain::told(Some(run), next));
        }
        lengths::fit(next);
        date(next, now);
        if **next == *run {
            decision.next = None;
        } else {
            next.revision = run.revision + 1;
        }
    }
    decision
}

/// The record of a run that was just made, with what is to be told of it.
pub fn begin(stack: Stack<'_>, mut run: Run, now: Timestamp) -> Run {
    let goes_on = run.depth <= chain::DEPTH_MAX || crate::is_mutated!(LastOfChainTells);
    if stack.publishes && goes_on {
        run.outbox.extend(chain::told(None, &run));
    }
    lengths::fit(&mut run);
    date(&mut run, now);
    run
}

fn is_last(run: &Run, attempt: u32) -> bool {
    run.attempt().is_some_and(|last| last.attempt == attempt)
}

fn carry_out(name: &str, run: &Run, happening: &Happening, now: Timestamp) -> Decision {
    match (ruling(run.status, Kind::of(happening)), happening) {
        (Ruling::Proceed, _) => proceed(run, now),
        (Ruling::Verify, _) => verify(run, now),
        (Ruling::Pace, _) => Decision::only(Then::Pace),
        (Ruling::Launch, _) => launch(name, run, now),
        (Ruling::Postpone, Happening::Unpaced { until }) => postpone(run, *until),
        (Ruling::Queue, Happening::Full { limit }) => queue(run, limit),
        (Ruling::Defer, Happening::Hindered { reason }) => defer(run, reason, now),
        // Whoever found its limit full may have looked a while ago: what was admitted since waits for something else.
        (Ruling::Skip, Happening::Skip { .. })
            if run.queue.is_none() && !crate::is_mutated!(StaleSkip) =>
        {
            Decision::rest()
        }
        (Ruling::Skip, Happening::Skip { reason }) => {
            end(run, Status::Skipped, reason.clone(), now)
        }
        (Ruling::Answer, Happening::Answered { answer, .. }) => answered(run, answer, now),
        (Ruling::TakeIn | Ruling::StopStray, Happening::Answered { answer, .. }) => {
            answer.task().map_or_else(Decision::rest, |task| take_in(run, task, now))
        }
        (Ruling::TakeIn | Ruling::StopStray, Happening::Task(task)) => take_in(run, task, now),
        (Ruling::Look, _) => look(run, now),
        (Ruling::Vanished, _) => vanished(run, now),
        (Ruling::Stop, Happening::Stop { cause, reason }) => stop(run, *cause, reason, now),
        (Ruling::TidyUp, _) => tidy_up(run, now),
        (Ruling::Note, Happening::Published { events }) => published(run, events),
        (Ruling::Note, Happening::Discarded) => noted(run, |next| next.payload = None),
        (Ruling::Note, Happening::Released) => message::released(run),
        (Ruling::Hold, Happening::Received { message }) => message::received(run, message),
        (Ruling::HoldOn, Happening::Extended { until }) => {
            let extended = message::extended(run, *until);
            let Some(next) = extended.next else { return Decision::rest() };
            // Only now what else is due is looked at.
            let due = carry_out(name, &next, &Happening::Due, now);
            Decision { next: due.next.or(Some(next)), then: due.then }
        }
        (Ruling::Note, Happening::Redriven { by }) => {
            noted(run, |next| next.redriven_by = Some(by.clone()))
        }
        // The table gives these rulings to no other happening.
        (
            Ruling::Ignore
            | Ruling::Queue
            | Ruling::Postpone
            | Ruling::Defer
            | Ruling::Skip
            | Ruling::Answer
            | Ruling::StopStray
            | Ruling::TakeIn
            | Ruling::Stop
            | Ruling::Hold
            | Ruling::HoldOn
            | Ruling::Note,
            _,
        ) => Decision::rest(),
    }
}

/// Why a task without a run that wants it is told to stop.
const STRAY: &str = "the run that this task was started for has ended, or has another task";

// ---- waiting ----

/// A run that waits goes on: into the queue of its limits, to the proof that nothing was started, or to its launch.
fn proceed(run: &Run, now: Timestamp) -> Decision {
    if run.total_deadline().is_some_and(|deadline| deadline <= now) {
        return time_out(run, now);
    }
    if run.queue.is_some() {
        return Decision::only(Then::Admit);
    }
    if run.due_at.is_some_and(|due_at| now < due_at) {
        return Decision::rest();
    }
    match run.attempt() {
        Some(attempt)
            if attempt.is_unproven() && !crate::is_mutated!(DenialIsProof)
                || is_token_old(attempt, now) =>
        {
            Decision::only(Then::Find)
        }
        _ => Decision::only(Then::Pace),
    }
}

/// Whether ECS may have forgotten the attempt's token, so that to send it again could start a second task.
///
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html>: a token lives for 24 hours, or for one
/// hour after its task has stopped, whichever is less.
fn is_token_old(attempt: &Attempt, now: Timestamp) -> bool {
    if crate::is_mutated!(TokenForEver) {
        return false;
    }
    attempt.was_sent() && attempt.is_open() && after(attempt.created_at, TOKEN_SECONDS) <= now
}

/// The launch that was waited for: the same attempt again if it is still open, else the next one.
fn launch(name: &str, run: &Run, now: Timestamp) -> Decision {
    let mut next = run.clone();
    match next.attempts.last_mut() {
        Some(attempt)
            if attempt.is_open()
                && !(crate::is_mutated!(FreshTokenAfterLoss) && attempt.was_sent()) =>
        {
            if !attempt.was_sent() {
                attempt.created_at = now;
            }
            if crate::is_mutated!(RequestMadeAnew) {
                let (name, run_id, attempt_number) =
                    (name.to_owned(), run.id.clone(), attempt.attempt);
                let started_by = crate::run::StartedBy { name, run_id, attempt: attempt_number };
                attempt.request = retry::request(run, &started_by);
            }
            attempt.sends +=
                u32::from(!(crate::is_mutated!(ResendsNotCounted) && attempt.was_sent()));
        }
        _ => {
            if !begin_attempt(name, &mut next, now) {
                let reason = "the record has no request to launch".to_owned();
                return end(run, Status::Failed, reason, now);
            }
        }
    }
    next.status = Status::Launching;
    next.queue = None;
    next.due_at = Some(after(now, times::VERIFY_SECONDS));
    Decision::write(next, Then::RunTask)
}

/// Adds the next attempt; false if there is nothing to make it of.
fn begin_attempt(name: &str, run: &mut Run, now: Timestamp) -> bool {
    let attempt = u32::try_from(run.attempts.len()).unwrap_or(u32::MAX).saturating_add(1);
    let started_by =
        crate::run::StartedBy { name: name.to_owned(), run_id: run.id.clone(), attempt };
    let Some(request) = retry::request(run, &started_by) else { return false };
    let cluster = run.attempt().and_then(|attempt| attempt.cluster.clone());
    if let [_, .., last] = run.attempts.as_mut_slice() {
        last.request = None;
    }
    run.attempts.push(Attempt::new(attempt, request, cluster, now));
    run.stop = None;
    run.reason = None;
    true
}

fn postpone(run: &Run, until: Timestamp) -> Decision {
    let mut next = run.clone();
    next.due_at = Some(until);
    // A slot that the limit gave is taken, and kept until the quota has room.
    next.queue = None;
    Decision::write(next, Then::Rest)
}

/// The limit that had no slot is the one to wait for; that it still has none is asked once more, now that the run is in its
/// queue for whoever gives one back.
fn queue(run: &Run, limit: &LimitId) -> Decision {
    if run.slot(limit).is_none() || run.queue.as_ref() == Some(limit) {
        return Decision::rest();
    }
    let mut next = run.clone();
    next.queue = Some(limit.clone());
    Decision::write(next, Then::Admit)
}

/// What is due and cannot be seen to comes back later, so that it does not keep others from being seen to.
fn defer(run: &Run, reason: &str, now: Timestamp) -> Decision {
    if run.due_at.is_none_or(|due_at| now < due_at) {
        return Decision::rest();
    }
    let mut next = run.clone();
    if !run.status.is_terminal() {
        next.reason = Some(reason.to_owned());
    }
    next.due_at = Some(after(now, STOP_CHECK_SECONDS));
    Decision::write(next, Then::Rest)
}

// ---- launching ----

/// A launch of which nothing is known is sent again, under its token: if it was sent before, ECS answers with the same task.
fn verify(run: &Run, now: Timestamp) -> Decision {
    match run.attempt() {
        Some(attempt) if attempt.task_arn.is_none() && !is_token_old(attempt, now) => {
            Decision::only(Then::Pace)
        }
        _ => Decision::rest(),
    }
}

fn answered(run: &Run, answer: &Answer, now: Timestamp) -> Decision {
    let Some(attempt) = run.attempt() else { return Decision::rest() };
    let mut next = run.clone();
    let Some(last) = next.attempts.last_mut() else { return Decision::rest() };
    match answer {
        Answer::Tasks { .. } if answer.task().is_some() => {
            // Of the first answer nothing is written: the record leads to the task as it is, and the task's events will
            // name it. That saves one write of three for almost every run.
            match answer.task() {
                Some(task) if attempt.sends > 1 => take_in(run, task, now),
                _ => Decision::rest(),
            }
        }
        Answer::NotNow { class: FailureClass::Throttled, message } => {
            last.throttles += 1;
            if crate::is_mutated!(ThrottleIsFailure) {
                conclude(last, FailureClass::Throttled, message, now);
            }
            let throttled = last.clone();
            next.due_at = Some(after_delay(now, retry::throttle_delay(run, &throttled)));
            next.reason = Some(format!("throttled: {message}"));
            next.status = Status::Waiting;
            Decision::write(next, Then::Rest)
        }
        Answer::Lost { message } => {
            next.reason = Some(format!("the answer of RunTask was lost: {message}"));
            next.due_at = Some(after(now, LOST_SECONDS));
            Decision::write(next, Then::Rest)
        }
        // The first time, the request was refused and nothing came of it. Later, an earlier sending may have started a task.
        Answer::Refused { message } if attempt.sends == 1 => {
            conclude(last, FailureClass::Refused, message, now);
            next.end(Status::Failed, Some(message.clone()), now);
            Decision::write(next, Then::Rest)
        }
        Answer::Tasks { .. }
        | Answer::Conflict { .. }
        | Answer::NotNow { .. }
        | Answer::Refused { .. } => {
            let (class, sentence) = answer.denial();
            conclude(last, class, &sentence, now);
            next.reason = Some(sentence);
            next.status = Status::Waiting;
            let delay = retry::delay(&next).map_or(0, |delay| delay.as_secs());
            // The proof is worth something once no other sending of the request can start a task any more.
            let is_under_way = next.attempt().is_some_and(Attempt::may_be_under_way);
            let proven = if is_under_way { UNDER_WAY_SECONDS } else { UNPROVEN_SECONDS };
            next.due_at = Some(after(now, delay.max(proven)));
            Decision::write(next, Then::Rest)
        }
    }
}

fn conclude(attempt: &mut Attempt, class: FailureClass, reason: &str, now: Timestamp) {
    attempt.failure_class = Some(class);
    attempt.stopped_at = Some(now);
    attempt.stopped_reason = Some(reason.to_owned());
}

// ---- the task ----

/// What ECS tells of a task of the run goes into the record.
fn take_in(run: &Run, task: &TaskState, now: Timestamp) -> Decision {
    let Some(started_by) = task.started_by().filter(|started_by| started_by.run_id == run.id)
    else {
        return Decision::rest();
    };
    let of_attempt = run.attempts.iter().find(|attempt| attempt.attempt == started_by.attempt);
    let Some(attempt) = of_attempt else { return Decision::rest() };
    if track::is_stale(attempt, task) {
        // Nothing new; but if that was asked for, the run has been looked at, and a word that was lost is said again.
        let said = run.stop.as_ref().filter(|_| !crate::is_mutated!(StopNotRepeated));
        let then = said.filter(|_| !task.is_stopping() && !run.status.is_terminal());
        let then = then.map_or(Then::Rest, |stop| stop_task(&task.task_arn, &stop.reason));
        return Decision::write(run.clone(), then);
    }
    let is_last = run.attempt().is_some_and(|last| last.attempt == attempt.attempt);
    let is_other_task = attempt.task_arn.as_ref().is_some_and(|known| *known != task.task_arn);
    if run.status.is_terminal()
        || !is_last
        || is_other_task
        || (!attempt.is_open()
            && (attempt.task_arn.is_some() || crate::is_mutated!(AdoptionSkipped)))
    {
        return if task.is_stopping() {
            Decision::rest()
        } else {
            Decision::only(stop_task(&task.task_arn, STRAY))
        };
    }
    let next = track::take_in(run, task, now);
    match (&next.attempts.last(), &next.stop) {
        (Some(attempt), _) if !attempt.is_open() => after_attempt(next, now),
        // Told to stop, and not stopping: it is told again.
        (_, Some(stop)) if !task.is_stopping() && !crate::is_mutated!(StopNotRepeated) => {
            let then = stop_task(&task.task_arn, &stop.reason);
            Decision::write(next, then)
        }
        _ => Decision::write(next, Then::Rest),
    }
}

/// The last attempt has ended: the run ends with it, or waits for the next.
fn after_attempt(mut run: Run, now: Timestamp) -> Decision {
    let Some(attempt) = run.attempt() else { return Decision::rest() };
    let stopped_at = attempt.stopped_at.unwrap_or(now);
    let Some(class) = attempt.failure_class else {
        run.end(Status::Succeeded, None, stopped_at);
        return Decision::write(run, Then::Rest);
    };
    let sentence = track::sentence(class, attempt);
    let cause = run.stop.as_ref().map(|stop| stop.cause);
    let (status, last_word) = match (cause, class) {
        (Some(StopCause::RunTimedOut), _) => (Status::TimedOut, true),
        (Some(StopCause::Cancelled), _) | (_, FailureClass::StoppedByUser) => {
            (Status::Cancelled, true)
        }
        (_, FailureClass::TimedOut) => (Status::TimedOut, false),
        _ => (Status::Failed, false),
    };
    let was_stopped = matches!(class, FailureClass::TimedOut | FailureClass::StoppedByUser);
    let stop = run.stop.as_ref().filter(|_| was_stopped);
    let reason = stop.map_or(sentence, |stop| stop.reason.clone());
    let delay = if last_word { None } else { retry::delay(&run) };
    let delay = delay.or(crate::is_mutated!(StoppedRunRetries)
        .then_some(std::time::Duration::from_secs(10))
        .filter(|_| cause == Some(StopCause::Cancelled)));
    match delay {
        Some(delay)
            if run.total_deadline().is_none_or(|deadline| after_delay(now, delay) < deadline) =>
        {
            run.status = Status::Waiting;
            run.reason = Some(reason);
            run.due_at = Some(after_delay(now, delay));
        }
        _ => run.end(status, Some(reason), stopped_at),
    }
    Decision::write(run, Then::Rest)
}

// ---- dates ----

/// A run with a task, or one that should have one, is looked at: has it taken too long, has an event been lost?
fn look(run: &Run, now: Timestamp) -> Decision {
    let is_due = run.due_at.is_some_and(|due_at| due_at <= now);
    let Some(attempt) = run.attempt().filter(|_| is_due) else { return Decision::rest() };
    if run.status != Status::Stopping
        && !crate::is_mutated!(TimeoutNotChecked)
        && let Some((cause, reason)) = times::exceeded(run, attempt, now)
    {
        return stop(run, cause, &reason, now);
    }
    match (&attempt.task_arn, run.status) {
        (Some(_), _) => Decision::only(Then::Describe),
        (None, Status::Launching) if !is_token_old(attempt, now) => Decision::only(Then::Pace),
        (None, _) => Decision::only(Then::Find),
    }
}

fn time_out(run: &Run, now: Timestamp) -> Decision {
    let seconds = run.policy.timeout.total_seconds.unwrap_or_default();
    let reason = format!("the run took longer than `timeout.total`, {seconds} s");
    stop(run, StopCause::RunTimedOut, &reason, now)
}

/// Gives a run the date by which it is looked at: until its end never later than its limits of time say, after it while
/// something is left to tell or to tidy up.
fn date(run: &mut Run, now: Timestamp) {
    own_date(run, now);
    message::date(run);
}

fn own_date(run: &mut Run, now: Timestamp) {
    if let Some(ended_at) = run.ended_at {
        let soon = after(now, TELL_SECONDS);
        let has_message = run.message.is_some() && !crate::is_mutated!(DeletionNotRepeated);
        let telling = (!run.outbox.is_empty() || has_message).then_some(soon);
        let tidying = run.payload.as_ref().and_then(|_| times::discard_at(ended_at, now));
        let tidying = tidying.filter(|_| !crate::is_mutated!(PayloadKept));
        run.due_at = telling.or(tidying);
        return;
    }
    let own = match run.due_at {
        _ if run.queue.is_some() => None,
        _ if crate::is_mutated!(DueDateDropped) && run.status == Status::Starting => None,
        Some(due_at) if now < due_at => Some(due_at),
        _ => Some(times::look_again(run, now)),
    };
    let limits = times::deadlines(run).filter(|_| run.status != Status::Stopping);
    run.due_at = own.into_iter().chain(limits).min();
}

fn end(run: &Run, status: Status, reason: String, now: Timestamp) -> Decision {
    let mut next = run.clone();
    next.end(status, Some(reason), now);
    Decision::write(next, Then::Rest)
}

fn after_delay(now: Timestamp, delay: std::time::Duration) -> Timestamp {
    jiff::SignedDuration::try_from(delay)
        .ok()
        .and_then(|delay| now.checked_add(delay).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
