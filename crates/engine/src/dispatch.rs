//! Dispatch: an event is routed, each match planned, recorded and launched.

use taskferry_core::{
    event::Event,
    is_mutated,
    launch::{self, TaskDefinition},
    lifecycle::{self, Happening, Then},
    pace::Bucket,
    plan::{self, Plan, Request},
    reason,
    route::Origin,
    run::{HeldMessage, Run, RunId, Status},
    subject,
};
use tracing::{error, info, warn};

use crate::{
    Disposition, Engine, Error,
    advance::Patience,
    pacer::Room,
    ports::{self, Clock as _, Created, Payloads as _, Ports, Runs as _, Tasks as _},
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
    /// The run is recorded, and will be launched: a limit, the quota or AWS holds it.
    Recorded,
    /// The run was recorded and has ended: the rule and the event do not fit, ECS refuses the request, or it was skipped.
    Ended,
    /// The event was dispatched before.
    Duplicate,
}

/// A run that was launched, as far as it went.
pub(crate) struct Launched {
    pub(crate) how: How,
    pub(crate) run: Run,
}

impl<P: Ports> Engine<P> {
    /// Takes an event to the runs of all rules that match, each recorded and, if nothing holds it, launched.
    ///
    /// When this returns without an error, every such run is durable and has a date by which the sweep sees to it. A rule
    /// that fails does not keep the others from their runs. To dispatch an event again does no harm.
    ///
    /// # Errors
    ///
    /// That of a rule whose run could not be recorded, if possible one that may pass; [`Error::disposition`] says whether to
    /// deliver the event again.
    pub async fn dispatch(
        &self,
        origin: Origin<'_>,
        event: &Event,
    ) -> Result<Vec<Dispatched>, Error> {
        let matches = self.routes.route(origin, event).map_err(Error::Route)?;
        info!(
            event_id = event.id(),
            source = event.source(),
            detail_type = event.detail_type(),
            subject = subject::of(event),
            rules = matches.len(),
            "routed"
        );
        if is_mutated!(PayloadLogged) {
            info!(event = event.text(), "routed");
        }
        let mut dispatched = Vec::with_capacity(matches.len());
        let mut failed: Option<Error> = None;
        for index in matches {
            let plan = plan::plan(&self.rules, &self.rules.rules[index], event);
            match self.launch(&plan, None).await {
                Ok(Launched { how, .. }) => dispatched.push(Dispatched {
                    rule: plan.rule.name.to_string(),
                    run_id: plan.run_id,
                    how,
                }),
                Err(error) => {
                    warn!(
                        event_id = event.id(), rule = %plan.rule.name, run_id = %plan.run_id,
                        error = reason(&error), "not recorded"
                    );
                    if is_mutated!(FirstFailureEndsDispatch) {
                        return Err(error);
                    }
                    failed = Some(match failed {
                        // What one delivery more may mend is not given up for what it will not.
                        Some(before) if before.disposition() == Disposition::Again => before,
                        Some(before) if error.disposition() == Disposition::Refuse => before,
                        _ => error,
                    });
                }
            }
        }
        failed.map_or(Ok(dispatched), Err)
    }

    /// Records the run and launches it, if nothing holds it. With a message, that is held until the run has ended.
    pub(crate) async fn launch(
        &self,
        plan: &Plan<'_>,
        message: Option<HeldMessage>,
    ) -> Result<Launched, Error> {
        let run = match &plan.request {
            Err(_) => launch::refused(plan, self.ports.clock().now()),
            Ok(request) => self.pinned(plan, request).await?,
        };
        #[cfg(mutations)]
        let late = is_mutated!(PayloadAfterLaunch).then(|| run.clone());
        let run =
            if is_mutated!(PayloadAfterLaunch) { run } else { self.put_aside(plan, run).await? };
        let message = message.map(Box::new);
        let mut run = run;
        run.message = message.clone().filter(|_| !run.status.is_terminal());
        let run = lifecycle::begin(self.stack(), run, self.ports.clock().now());
        info!(event_id = plan.event.id(), rule = run.rule, run_id = %run.id, "planned");
        match self.ports.runs().create(&run, plan.event).await? {
            Created::New => {}
            Created::Exists(run) => {
                // The first delivery's run has ended, and what was put aside for it is gone.
                if let (Some(url), None) = (plan.payload_url(), &run.payload) {
                    self.ports.payloads().discard(url).await?;
                }
                info!(
                    event_id = plan.event.id(), rule = run.rule, run_id = %run.id,
                    status = %run.status, "duplicate"
                );
                let mut run = *run;
                if let Some(message) = message {
                    let received = Happening::Received { message };
                    // Boxed, as below: seldom needed, and large.
                    run = Box::pin(self.advance(run, received, Patience::None)).await?;
                }
                // Whoever took the first delivery may have died on the way to the launch. The run is recorded, so if it
                // cannot be helped along, the sweep will do that, and the event is taken all the same.
                let recorded = run.clone();
                let helped = self.advance(run, Happening::Redelivered, Patience::None);
                let helped = Box::pin(helped).await;
                let run = helped.unwrap_or_else(|error| {
                    warn!(
                        event_id = plan.event.id(), rule = recorded.rule, run_id = %recorded.id,
                        error = reason(&error), "not helped along"
                    );
                    recorded
                });
                return Ok(Launched { how: How::Duplicate, run });
            }
        }
        let launched = self.launch_recorded(run, plan.event.id()).await;
        #[cfg(mutations)]
        if let Some(late) = late {
            self.put_aside(plan, late).await?;
        }
        Ok(launched)
    }

    /// Takes a run that was just recorded as far as it goes. Where that fails, the sweep goes on with it.
    async fn launch_recorded(&self, run: Run, event_id: &str) -> Launched {
        let first = match run.status {
            Status::Launching => Then::RunTask,
            Status::Waiting if run.queue.is_some() => Then::Admit,
            _ if !run.outbox.is_empty() => Then::Publish,
            _ => Then::Rest,
        };
        let recorded = run.clone();
        let run = self.perform(run, first, Patience::None).await.unwrap_or_else(|error| {
            warn!(
                event_id, rule = recorded.rule, run_id = %recorded.id,
                error = reason(&error), "not launched yet"
            );
            recorded.clone()
        });
        // Of what it came to by further writes is told where they are made.
        if recorded.status.is_terminal() || run.revision == recorded.revision {
            tell(&recorded);
        }
        let how = match run.status {
            Status::Launching | Status::Starting | Status::Running | Status::Stopping => {
                How::Launched
            }
            Status::Waiting => How::Recorded,
            Status::Succeeded
            | Status::Failed
            | Status::TimedOut
            | Status::Cancelled
            | Status::Skipped => How::Ended,
        };
        Launched { how, run }
    }

    /// The record of the run, with the revision of its task definition that all its attempts will use.
    async fn pinned(&self, plan: &Plan<'_>, request: &Request) -> Result<Run, Error> {
        let pinned = self.task_definition(request.task_definition()).await;
        let now = self.ports.clock().now();
        match pinned {
            Ok(pinned) => {
                let room = if plan.slots.is_empty() {
                    self.room(Bucket::of_target(plan.rule.target.as_json())).await?
                } else {
                    Room::Free(None)
                };
                Ok(launch::record(plan, &self.rules.name, &pinned, room.gate(), now))
            }
            Err(ports::Error::Refused { source, .. }) => {
                let mut run = launch::unusable(plan, unusable(request, &*source), now);
                // A delivery that died before its record may have put the event aside.
                run.payload = plan.payload_url().map(str::to_owned);
                Ok(run)
            }
            Err(error @ (ports::Error::Unavailable { .. } | ports::Error::Throttled { .. })) => {
                Err(error.into())
            }
        }
    }

    /// Puts the event where its task will find it, if it is too long for the request; the run's record follows, and the launch
    /// after that.
    async fn put_aside(&self, plan: &Plan<'_>, run: Run) -> Result<Run, Error> {
        let Some(url) = run.payload.as_ref().filter(|_| !run.status.is_terminal()) else {
            return Ok(run);
        };
        match self.ports.payloads().put(url, plan.event.text()).await {
            Ok(()) => Ok(run),
            Err(ports::Error::Refused { source, .. }) => {
                let reason = format!("the event cannot be put at {url}: {}", reason(&*source));
                Ok(launch::unusable(plan, reason, self.ports.clock().now()))
            }
            Err(error @ (ports::Error::Unavailable { .. } | ports::Error::Throttled { .. })) => {
                Err(error.into())
            }
        }
    }

    pub(crate) async fn task_definition(
        &self,
        named: &str,
    ) -> Result<TaskDefinition, ports::Error> {
        let now = self.ports.clock().now();
        if let Some(pinned) = self.pins.get(named, now) {
            return Ok(pinned);
        }
        let pinned = self.ports.tasks().describe_task_definition(named).await?;
        self.pins.put(named, pinned.clone(), now);
        Ok(pinned)
    }
}

/// What is to be said of a run that stands as it was recorded.
fn tell(run: &Run) {
    let reason = run.reason.as_deref();
    match run.status {
        Status::Waiting => info!(
            event_id = run.event.id, rule = run.rule, run_id = %run.id, reason,
            due_at = run.due_at.map(tracing::field::display), "waiting"
        ),
        Status::Skipped => {
            info!(event_id = run.event.id, rule = run.rule, run_id = %run.id, reason, "skipped");
        }
        status if status.is_terminal() => {
            error!(event_id = run.event.id, rule = run.rule, run_id = %run.id, reason, "failed");
        }
        _ => {}
    }
}

/// Why a request's task definition cannot be used.
pub(crate) fn unusable(request: &Request, source: &(dyn std::error::Error + 'static)) -> String {
    let task_definition = request.task_definition();
    format!("task definition `{task_definition}` cannot be used: {}", reason(source))
}
