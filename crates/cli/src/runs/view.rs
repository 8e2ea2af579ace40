//! A run as the program shows it: the same facts for people and, with `--json`, for programs.

use jiff::{Timestamp, Unit};
use serde::Serialize;
use serde_json::value::RawValue;
use taskferry_core::{
    failure::FailureClass,
    limits::LimitId,
    run::{Attempt, ContainerExit, Run, RunEvent, RunId, Status},
};

use crate::output::{Tone, Toned};

/// A run for programs: every key is always there, times are in RFC 3339.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunView<'a> {
    id: &'a str,
    rule: &'a str,
    status: Status,
    reason: Option<&'a str>,
    dedupe_key: &'a str,
    event: EventView<'a>,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
    due_at: Option<Timestamp>,
    queue: Option<&'a LimitId>,
    redrive_of: Option<&'a str>,
    redriven_by: Option<&'a str>,
    attempts: Vec<AttemptView<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventView<'a> {
    id: &'a str,
    source: &'a str,
    detail_type: &'a str,
    time: &'a str,
    subject: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AttemptView<'a> {
    attempt: u32,
    task_arn: Option<&'a str>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
    stop_code: Option<&'a str>,
    stopped_reason: Option<&'a str>,
    failure_class: Option<FailureClass>,
    containers: &'a [ContainerExit],
    // There only where it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a RawValue>,
}

impl<'a> RunView<'a> {
    /// The run with the `RunTask` request of each attempt, as it is recorded.
    pub(crate) fn with_requests(run: &'a Run) -> serde_json::Result<Self> {
        let mut view = Self::from(run);
        for (view, attempt) in view.attempts.iter_mut().zip(&run.attempts) {
            view.request = attempt.request.as_deref().map(serde_json::from_str).transpose()?;
        }
        Ok(view)
    }
}

impl<'a> From<&'a Run> for RunView<'a> {
    fn from(run: &'a Run) -> Self {
        Self {
            id: run.id.as_str(),
            rule: &run.rule,
            status: run.status,
            reason: run.reason.as_deref(),
            dedupe_key: &run.dedupe_key,
            event: EventView::from(&run.event),
            created_at: run.created_at,
            ended_at: run.ended_at,
            due_at: run.due_at,
            queue: run.queue.as_ref(),
            redrive_of: run.redrive_of.as_ref().map(RunId::as_str),
            redriven_by: run.redriven_by.as_ref().map(RunId::as_str),
            attempts: run.attempts.iter().map(AttemptView::from).collect(),
        }
    }
}

impl<'a> From<&'a RunEvent> for EventView<'a> {
    fn from(event: &'a RunEvent) -> Self {
        let RunEvent { id, source, detail_type, time, subject } = event;
        Self { id, source, detail_type, time, subject: subject.as_deref() }
    }
}

impl<'a> From<&'a Attempt> for AttemptView<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        Self {
            attempt: attempt.attempt,
            task_arn: attempt.task_arn.as_deref(),
            created_at: attempt.created_at,
            started_at: attempt.started_at,
            stopped_at: attempt.stopped_at,
            stop_code: attempt.stop_code.as_deref(),
            stopped_reason: attempt.stopped_reason.as_deref(),
            failure_class: attempt.failure_class,
            containers: &attempt.containers,
            request: None,
        }
    }
}

/// Enough of an id to name the run, for tables.
pub(crate) fn short_id(run: &Run) -> &str {
    &run.id.as_str()[..12]
}

/// The last part of a task's ARN.
pub(crate) fn task_id(task_arn: &str) -> &str {
    task_arn.rsplit('/').next().unwrap_or(task_arn)
}

/// What one can do about a run that came to nothing, and where its containers may have said why.
pub(crate) fn hints(run: &Run) -> Vec<String> {
    if !run.is_dead_letter() {
        return Vec::new();
    }
    let id = short_id(run);
    let has_exited = |attempt: &Attempt| attempt.containers.iter().any(|it| it.exit_code.is_some());
    let logs = run.attempt().is_some_and(has_exited);
    let logs = logs.then(|| format!("`taskferry runs logs {id}` prints what its containers wrote"));
    let redrive = format!("{}: `taskferry dead-letters redrive {id}`", advice(run));
    logs.into_iter().chain([redrive]).collect()
}

/// What one can do about a run that came to nothing, in one sentence.
pub(crate) fn advice(run: &Run) -> &'static str {
    let class = run.attempt().and_then(|attempt| attempt.failure_class);
    class.map_or("mend the rule or the event, then redrive", FailureClass::advice)
}

/// The status, in its colour.
pub(crate) fn status(status: Status, wants_colour: bool) -> Toned<Status> {
    let tone = match status {
        Status::Succeeded => Tone::Good,
        Status::Failed | Status::TimedOut => Tone::Bad,
        Status::Cancelled | Status::Skipped => Tone::Faint,
        Status::Waiting
        | Status::Launching
        | Status::Starting
        | Status::Running
        | Status::Stopping => Tone::Going,
    };
    Toned(tone, status, wants_colour)
}

/// How long it took, or has taken so far: `1.2s`, `3m 4s`.
pub(crate) fn duration(from: Timestamp, to: Timestamp) -> String {
    let span = to.duration_since(from).max(jiff::SignedDuration::ZERO);
    if span.as_secs() < 60 {
        return format!("{:.1}s", span.as_secs_f64());
    }
    let rounded = span.round(Unit::Second).unwrap_or(span);
    format!("{rounded:#}")
}
