//! Launch: the run is recorded, then `RunTask` is called, and what it answers moves the run on.
//!
//! Asked by the engine. The record stands before the call, with the request as it will be sent, so that whatever breaks in
//! between, the same request goes out again, under the same token, for the same task.

use jiff::Timestamp;

use crate::{
    failure::{self, FailureClass},
    plan::Plan,
    run::{Attempt, Run, RunEvent, StartedBy, Status},
    track::{self, TaskState, Tracked},
};

/// A task definition as it is pinned for a run: its revision will not change between attempts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TaskDefinition {
    /// The revision's ARN.
    pub arn: String,
    /// The names of its essential containers.
    pub essential: Vec<String>,
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

/// What an answer of `RunTask` means for its run.
#[derive(Clone, Debug, PartialEq)]
pub enum Launched {
    /// The record changes to this.
    Moved(Box<Run>),
    /// The record knows all this already.
    Unchanged,
    /// Whether a task was started must be asked: of these tasks, or, if there are none, of `ListTasks(startedBy)`.
    Verify {
        /// The tasks that the answer named.
        task_arns: Vec<String>,
        /// The record, if no task is found.
        otherwise: Box<Run>,
    },
}

/// The record of a run about to be launched for the first time.
pub fn record(plan: &Plan<'_>, name: &str, pinned: &TaskDefinition, now: Timestamp) -> Run {
    let mut run = blank(plan, now);
    let Ok(request) = &plan.request else { return refused(plan, now) };
    let started_by = StartedBy { name: name.to_owned(), run_id: run.id.clone(), attempt: 1 };
    run.essential.clone_from(&pinned.essential);
    run.attempts.push(Attempt {
        attempt: started_by.attempt,
        request: request.for_attempt(&started_by, &pinned.arn),
        cluster: request.cluster().map(str::to_owned),
        task_arn: None,
        created_at: now,
        started_at: None,
        stopped_at: None,
        stop_code: None,
        stopped_reason: None,
        failure_class: None,
        containers: Vec::new(),
        version: None,
    });
    run
}

/// The record of a run that ends before it is launched, since the plan is a refusal.
pub fn refused(plan: &Plan<'_>, now: Timestamp) -> Run {
    let mut run = blank(plan, now);
    let reason = plan.request.as_ref().err().map(|refusal| crate::reason(refusal));
    run.end(Status::Failed, reason, now);
    run
}

/// The record of a run that ends before it is launched, since its task definition cannot be used.
pub fn unusable(plan: &Plan<'_>, reason: String, now: Timestamp) -> Run {
    let mut run = blank(plan, now);
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
        essential: Vec::new(),
        attempts: Vec::new(),
        revision: 0,
    }
}

/// What `answer` means for the run whose last attempt was sent.
pub fn answered(run: &Run, answer: &Answer, now: Timestamp) -> Launched {
    let reason = match answer {
        Answer::Tasks { tasks, failures } => match tasks.first() {
            Some(task) => return started(run, task, now),
            None => sentence(failures),
        },
        Answer::Conflict { task_arns } => {
            format!("ECS knows the client token with another request, for {}", task_arns.join(", "))
        }
        Answer::NotNow { message, .. } | Answer::Refused { message } | Answer::Lost { message } => {
            message.clone()
        }
    };
    // An event of the task may have been faster than this answer: then a task there is.
    if run.status != Status::Launching {
        return Launched::Unchanged;
    }
    let mut otherwise = run.clone();
    otherwise.revision += 1;
    match answer {
        Answer::Lost { .. } => {
            otherwise.reason = Some(format!("the answer of RunTask was lost: {reason}"));
            Launched::Verify { task_arns: Vec::new(), otherwise: Box::new(otherwise) }
        }
        Answer::NotNow { class: FailureClass::Throttled, .. } => {
            otherwise.reason = Some(reason);
            Launched::Moved(Box::new(otherwise))
        }
        Answer::NotNow { class, .. } => {
            fail(&mut otherwise, *class, reason, now);
            Launched::Moved(Box::new(otherwise))
        }
        Answer::Refused { .. } => {
            fail(&mut otherwise, FailureClass::Refused, reason, now);
            Launched::Moved(Box::new(otherwise))
        }
        Answer::Conflict { task_arns } => {
            fail(&mut otherwise, FailureClass::Refused, reason, now);
            Launched::Verify { task_arns: task_arns.clone(), otherwise: Box::new(otherwise) }
        }
        // AWS support: a task may have been started although `failures` says that it was not.
        Answer::Tasks { failures, .. } => {
            fail(&mut otherwise, class(failures), reason, now);
            Launched::Verify { task_arns: Vec::new(), otherwise: Box::new(otherwise) }
        }
    }
}

/// What it means that `task` was found to be the run's.
pub fn started(run: &Run, task: &TaskState, now: Timestamp) -> Launched {
    match track::track(run, task, now) {
        Tracked::Moved(moved) => Launched::Moved(moved),
        Tracked::Ignored(_) => Launched::Unchanged,
    }
}

fn fail(run: &mut Run, class: FailureClass, reason: String, now: Timestamp) {
    if let Some(attempt) = run.attempts.last_mut() {
        attempt.failure_class = Some(class);
        attempt.stopped_at = Some(now);
        attempt.stopped_reason = Some(reason.clone());
    }
    run.end(Status::Failed, Some(reason), now);
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

#[cfg(test)]
mod tests;
