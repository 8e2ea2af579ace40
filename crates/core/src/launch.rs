//! Launch: the run is recorded, then `RunTask` is called, and what it answers goes to `lifecycle`.
//!
//! Asked by the engine for the record of a new run. The record stands before the call, with the request as it will be sent, so that whatever breaks in
//! between, the same request goes out again, under the same token, for the same task.

use jiff::Timestamp;

use crate::{
    failure::{self, FailureClass},
    plan::{Plan, Refusal},
    run::{Attempt, Policy, Run, RunEvent, StartedBy, Status, TaskSize},
    track::TaskState,
};

/// A task definition as it is pinned for a run: its revision will not change between attempts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TaskDefinition {
    /// The revision's ARN.
    pub arn: String,
    /// The names of its essential containers.
    pub essential: Vec<String>,
    /// The size of the task, if the definition says both `cpu` and `memory`.
    pub size: Option<TaskSize>,
}

/// What `RunTask` answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// 200: tasks, failures, or both.
    Tasks {
        /// The tasks that were started.
        tasks: Vec<TaskState>,
        /// What could not be started.
        failures: Vec<Failure>,
    },
    /// `ConflictException`: the token was used before, with another request, for these tasks.
    Conflict {
        /// `resourceIds`.
        task_arns: Vec<String>,
    },
    /// Refused for a reason that passes: throttled, or no room.
    NotNow {
        /// Why.
        class: FailureClass,
        /// The exception's name and message.
        message: String,
    },
    /// Refused for a reason that stays.
    Refused {
        /// The exception's name and message.
        message: String,
    },
    /// No answer, or one that does not tell whether a task was started.
    Lost {
        /// What was seen instead.
        message: String,
    },
}

/// An entry of `failures[]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What could not be used, if ECS names it.
    pub arn: Option<String>,
    /// Why, ECS's word.
    pub reason: Option<String>,
    /// More about it.
    pub detail: Option<String>,
}

impl Answer {
    /// The task that was started, if one was.
    pub fn task(&self) -> Option<&TaskState> {
        match self {
            Self::Tasks { tasks, .. } => tasks.first(),
            Self::Conflict { .. }
            | Self::NotNow { .. }
            | Self::Refused { .. }
            | Self::Lost { .. } => None,
        }
    }

    /// Why there is no task, where ECS says so: the class, and one sentence.
    pub(crate) fn denial(&self) -> (FailureClass, String) {
        match self {
            Self::Tasks { failures, .. } => (class(failures), sentence(failures)),
            Self::Conflict { task_arns } => (
                FailureClass::Refused,
                format!(
                    "ECS knows the client token with another request, for {}",
                    task_arns.join(", ")
                ),
            ),
            Self::NotNow { class, message } => (*class, message.clone()),
            Self::Refused { message } => (FailureClass::Refused, message.clone()),
            Self::Lost { message } => (FailureClass::Infrastructure, message.clone()),
        }
    }
}

/// When a run that was just planned may be launched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Gate {
    /// Now: the account's quota has room for it.
    Open,
    /// Not before then.
    Closed {
        /// When.
        until: Timestamp,
    },
}

/// The record of a new run: in the queue of its first limit if it has any, else launching, or waiting for the gate to open.
///
/// [`lifecycle::begin`](crate::lifecycle::begin) gives it its date.
pub fn record(
    plan: &Plan<'_>,
    name: &str,
    pinned: &TaskDefinition,
    gate: Gate,
    now: Timestamp,
) -> Run {
    let mut run = blank(plan, now);
    let Ok(request) = &plan.request else { return refused(plan, now) };
    let started_by = StartedBy { name: name.to_owned(), run_id: run.id.clone(), attempt: 1 };
    run.essential.clone_from(&pinned.essential);
    run.size.clone_from(&pinned.size);
    run.policy.clone_from(&plan.rule.policy);
    run.slots.clone_from(&plan.slots);
    let text = request.for_attempt(&started_by, &pinned.arn);
    let mut attempt = Attempt::new(1, text, request.cluster().map(str::to_owned), now);
    run.queue = run.slots.first().map(|slot| slot.limit.clone());
    (run.status, run.due_at, attempt.sends) = match gate {
        _ if run.queue.is_some() => (Status::Waiting, None, 0),
        Gate::Closed { until } => (Status::Waiting, Some(until), 0),
        Gate::Open => (Status::Launching, None, 1),
    };
    run.attempts.push(attempt);
    run
}

/// The record of a run that ends before it is launched, since the plan is a refusal.
pub fn refused(plan: &Plan<'_>, now: Timestamp) -> Run {
    let mut run = blank(plan, now);
    let refusal = plan.request.as_ref().err();
    run.is_untaken = matches!(refusal, Some(Refusal::Message { .. }));
    let status = refusal.map_or(Status::Failed, Refusal::status);
    run.end(status, refusal.map(|refusal| crate::reason(refusal)), now);
    run
}

/// The record of a run that ends before it is launched, since its task definition cannot be used.
pub fn unusable(plan: &Plan<'_>, reason: String, now: Timestamp) -> Run {
    let mut run = blank(plan, now);
    run.payload = None;
    run.end(Status::Failed, Some(reason), now);
    run
}

fn blank(plan: &Plan<'_>, now: Timestamp) -> Run {
    Run {
        id: plan.run_id.clone(),
        rule: plan.rule.name.to_string(),
        status: Status::Launching,
        reason: None,
        dedupe_key: plan.dedupe_key.clone(),
        event: RunEvent::from(plan.event),
        created_at: now,
        ended_at: None,
        due_at: None,
        essential: Vec::new(),
        size: None,
        policy: Policy::default(),
        slots: Vec::new(),
        queue: None,
        stop: None,
        redrive_of: plan.redrive_of.clone(),
        redriven_by: None,
        depth: plan.depth,
        is_untaken: false,
        message: None,
        payload: plan.payload_url().map(str::to_owned),
        outbox: Vec::new(),
        attempts: Vec::new(),
        revision: 0,
    }
}

fn class(failures: &[Failure]) -> FailureClass {
    failures
        .iter()
        .filter_map(|failure| failure.reason.as_deref())
        .find_map(failure::of_text)
        .unwrap_or(FailureClass::Infrastructure)
}

fn sentence(failures: &[Failure]) -> String {
    if failures.is_empty() {
        return "RunTask answered with neither a task nor a failure".to_owned();
    }
    let failures: Vec<String> = failures
        .iter()
        .map(|Failure { arn, reason, detail }| {
            let parts = [reason.as_deref(), detail.as_deref(), arn.as_deref()];
            parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
        })
        .collect();
    format!("RunTask started no task: {}", failures.join("; "))
}
