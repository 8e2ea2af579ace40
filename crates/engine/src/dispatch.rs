//! Dispatch: an event is routed, each match planned, recorded and launched.

use taskferry_core::{
    event::Event,
    launch::{self, Launched, TaskDefinition},
    plan::{self, Plan, Request},
    reason,
    route::Origin,
    run::{Run, RunId, StartedBy, Status},
    track::TaskState,
};
use tracing::{error, info, warn};

use crate::{
    Engine, Error,
    ports::{self, Clock, Created, Runs, Tasks},
};

/// What became of an event for one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatched {
    /// The rule.
    pub rule: String,
    /// The run that answers the event.
    pub run_id: RunId,
    /// How it came about.
    pub how: How,
}

/// How a dispatch ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// A task was started.
    Launched,
    /// The run was recorded as failed: the rule and the event do not fit, or ECS refuses the request.
    Failed,
    /// The event was dispatched before.
    Duplicate,
}

impl<R: Runs, T: Tasks, C: Clock> Engine<R, T, C> {
    /// Takes an event to the runs of all rules that match, each recorded and launched.
    ///
    /// When this returns without an error, every such run is durable, and has a task or has ended. A rule that fails does
    /// not keep the others from their runs. To dispatch an event again does no harm.
    ///
    /// # Errors
    ///
    /// The first rule's that failed; [`Error::disposition`] says whether to deliver the event again.
    pub async fn dispatch(&self, origin: Origin, event: &Event) -> Result<Vec<Dispatched>, Error> {
        let matches = self.routes.route(origin, event).map_err(Error::Route)?;
        info!(
            event_id = event.id(),
            source = event.source(),
            detail_type = event.detail_type(),
            rules = matches.len(),
            "routed"
        );
        let mut dispatched = Vec::with_capacity(matches.len());
        let mut failed = None;
        for index in matches {
            let plan = plan::plan(&self.rules, &self.rules.rules[index], event);
            match self.launch(&plan).await {
                Ok(how) => dispatched.push(Dispatched {
                    rule: plan.rule.name.to_string(),
                    run_id: plan.run_id,
                    how,
                }),
                Err(error) => {
                    warn!(
                        event_id = event.id(), rule = %plan.rule.name, run_id = %plan.run_id,
                        error = reason(&error), "not launched"
                    );
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(dispatched), Err)
    }

    /// Records the run and launches it; a run that another delivery has recorded is launched if that one did not get there.
    async fn launch(&self, plan: &Plan<'_>) -> Result<How, Error> {
        let run = match &plan.request {
            Err(_) => launch::refused(plan, self.clock.now()),
            Ok(request) => self.pinned(plan, request).await?,
        };
        info!(event_id = plan.event.id(), rule = run.rule, run_id = %run.id, "planned");
        let run = match self.runs.create(&run, plan.event).await? {
            Created::New => run,
            Created::Exists(run) if run.status == Status::Launching => *run,
            Created::Exists(run) => {
                info!(
                    event_id = plan.event.id(), rule = run.rule, run_id = %run.id,
                    status = %run.status, "duplicate"
                );
                return Ok(How::Duplicate);
            }
        };
        let run = match run.status {
            Status::Launching => self.run_task(run, plan).await?,
            _ => run,
        };
        if run.status == Status::Failed {
            error!(
                event_id = plan.event.id(), rule = run.rule, run_id = %run.id,
                reason = run.reason.as_deref(), "failed"
            );
            return Ok(How::Failed);
        }
        let attempt = run.attempt();
        info!(
            event_id = plan.event.id(), rule = run.rule, run_id = %run.id,
            attempt = attempt.map(|attempt| attempt.attempt),
            task_arn = attempt.and_then(|attempt| attempt.task_arn.as_deref()), "launched"
        );
        Ok(How::Launched)
    }

    /// The record of the run, with the revision of its task definition that all its attempts will use.
    async fn pinned(&self, plan: &Plan<'_>, request: &Request) -> Result<Run, Error> {
        let now = self.clock.now();
        match self.task_definition(request.task_definition()).await {
            Ok(pinned) => Ok(launch::record(plan, &self.rules.name, &pinned, now)),
            Err(ports::Error::Refused { source, .. }) => {
                let task_definition = request.task_definition();
                let reason = format!(
                    "task definition `{task_definition}` cannot be used: {}",
                    reason(&*source)
                );
                Ok(launch::unusable(plan, reason, now))
            }
            Err(error @ ports::Error::Unavailable { .. }) => Err(error.into()),
        }
    }

    async fn task_definition(&self, named: &str) -> Result<TaskDefinition, ports::Error> {
        let now = self.clock.now();
        if let Some(pinned) = self.pins.get(named, now) {
            return Ok(pinned);
        }
        let pinned = self.tasks.describe_task_definition(named).await?;
        self.pins.put(named, pinned.clone(), now);
        Ok(pinned)
    }

    /// Sends the recorded request, and moves the run to what that says.
    async fn run_task(&self, run: Run, plan: &Plan<'_>) -> Result<Run, Error> {
        let Some(attempt) = run.attempt() else { return Ok(run) };
        let started_by = StartedBy {
            name: self.rules.name.clone(),
            run_id: run.id.clone(),
            attempt: attempt.attempt,
        };
        let cluster = attempt.cluster.clone();
        let answer = self.tasks.run(&attempt.request).await;
        let now = self.clock.now();
        let found = match launch::answered(&run, &answer, now) {
            Launched::Verify { task_arns, .. } => {
                self.find_task(cluster.as_deref(), task_arns, &started_by).await?
            }
            Launched::Moved(_) | Launched::Unchanged => None,
        };
        let decide = |run: &Run| {
            let launched = match &found {
                Some(task) => launch::started(run, task, now),
                None => launch::answered(run, &answer, now),
            };
            match launched {
                Launched::Moved(run) | Launched::Verify { otherwise: run, .. } => Some(*run),
                Launched::Unchanged => None,
            }
        };
        let (run, _) = self.move_run(run, decide).await?;
        if run.status == Status::Launching {
            let reason = run.reason.unwrap_or_default();
            let rule = plan.rule.name.to_string();
            return Err(Error::Unanswered { run_id: run.id, rule, reason });
        }
        Ok(run)
    }

    /// The task of this attempt, if ECS has one: among those named, or by `startedBy`.
    async fn find_task(
        &self,
        cluster: Option<&str>,
        mut task_arns: Vec<String>,
        started_by: &StartedBy,
    ) -> Result<Option<TaskState>, ports::Error> {
        if task_arns.is_empty() {
            task_arns = self.tasks.list_started_by(cluster, &started_by.to_string()).await?;
        }
        if task_arns.is_empty() {
            return Ok(None);
        }
        let tasks = self.tasks.describe(cluster, &task_arns).await?;
        Ok(tasks.into_iter().find(|task| task.started_by().as_ref() == Some(started_by)))
    }
}
