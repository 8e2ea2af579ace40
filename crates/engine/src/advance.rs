//! The loop: what was decided is written and done, and what comes of it is decided upon.
//!
//! Every event, answer, date and word that moves a run goes through here, whoever brought it.

use jiff::{SignedDuration, Timestamp};
use taskferry_core::{
    chain,
    failure::FailureClass,
    is_mutated,
    launch::Answer,
    lifecycle::{self, Decision, Happening, Then},
    limits,
    pace::{Bucket, Window},
    reason,
    run::{Run, StartedBy, Status},
    track::TaskState,
};
use tracing::{info, warn};

use crate::{
    Engine, Error,
    pacer::Room,
    ports::{self, Clock as _, Events as _, Payloads as _, Ports, Runs as _, Tasks as _, Updated},
};

/// A request is sent so soon after its record was written, or not at all: the sweep sees to it.
const SEND_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// Whether to wait for the quota.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    /// Not at all: the run's record says when to go on.
    None,
    /// Until then; past it the run stays as it is.
    Until(Timestamp),
}

/// What is to be done next with a run.
struct Step {
    happening: Happening,
    /// Whether the run has given slots back, so that others may have their turn.
    freed: bool,
    /// The window whose token was taken for the launch that this allows.
    token: Option<Window>,
    /// Whether its message was acknowledged, or that was tried.
    acknowledged: bool,
}

impl<P: Ports> Engine<P> {
    /// Hands in what happened to a run, and goes on until nothing is left to do.
    pub(crate) async fn advance(
        &self,
        run: Run,
        happening: Happening,
        patience: Patience,
    ) -> Result<Run, Error> {
        let step = Step { happening, freed: false, token: None, acknowledged: false };
        self.go_on(run, step, patience).await
    }

    /// Performs what was decided about a run when its record was made.
    pub(crate) async fn perform(
        &self,
        run: Run,
        then: Then,
        patience: Patience,
    ) -> Result<Run, Error> {
        let recorded_at = run.attempt().map_or(run.created_at, |attempt| attempt.created_at);
        if then == Then::RunTask && self.is_late(recorded_at) {
            return Ok(run);
        }
        match self.perform_once(&run, then, patience).await? {
            Some(happening) => self.advance(run, happening, patience).await,
            None if run.queue.is_some() => self.run(&run.id).await,
            None => Ok(run),
        }
    }

    async fn go_on(&self, mut run: Run, mut step: Step, patience: Patience) -> Result<Run, Error> {
        loop {
            self.refresh_slots(&mut run);
            let now = self.ports.clock().now();
            let Decision { next, then } =
                lifecycle::decide(self.stack(), &run, &step.happening, now);
            let told = run.outbox.len();
            let token = step.token.take();
            if let Some(unused) = token.filter(|_| then != Then::RunTask) {
                self.pacer.give_back(unused);
            }
            if let Some(next) = next {
                #[cfg(mutations)]
                let next = self.mutated_before_write(&mut run, next, &then, patience).await?;
                match self.ports.runs().update(&run, &next).await? {
                    Updated::Done => {
                        step.freed |= has_freed(&run, &next);
                        tell(&run, &next);
                        run = *next;
                    }
                    Updated::Conflict => {
                        // Whoever was faster has launched it, or keeps it from being launched.
                        if let Some(unused) = token.filter(|_| then == Then::RunTask) {
                            self.pacer.give_back(unused);
                        }
                        run = self.run(&run.id).await?;
                        step.happening = step.happening.anew();
                        continue;
                    }
                    Updated::Full(limit) => {
                        step.happening = Happening::Full { limit };
                        continue;
                    }
                }
            }
            if then == Then::RunTask && self.is_late(now) {
                break;
            }
            let came = if then == Then::Pace {
                self.pace(&run, &mut step, patience).await?
            } else {
                self.perform_once(&run, then, patience).await?
            };
            match came {
                Some(happening) => step.happening = happening,
                // What this change has to tell.
                None if run.outbox.len() > told => match self.publish(&run).await {
                    Ok(happening) => step.happening = happening,
                    Err(error) => {
                        // The record has it, and the sweep tells it.
                        warn!(rule = run.rule, run_id = %run.id, error = reason(&error), "not told yet");
                        break;
                    }
                },
                // It has ended, so that its message may go.
                None if run.status.is_terminal() && run.message.is_some() && !step.acknowledged => {
                    step.acknowledged = true;
                    match Box::pin(self.acknowledge(&run)).await {
                        Ok(happening) => step.happening = happening,
                        Err(error) => {
                            warn!(rule = run.rule, run_id = %run.id, error = reason(&error), "message not deleted yet");
                            break;
                        }
                    }
                }
                None => break,
            }
        }
        if step.freed {
            self.admit_next(&run).await?;
        }
        Ok(run)
    }

    /// What is written, and what is done too early, with a bug in it.
    #[cfg(mutations)]
    async fn mutated_before_write(
        &self,
        run: &mut Run,
        mut next: Box<Run>,
        then: &Then,
        patience: Patience,
    ) -> Result<Box<Run>, Error> {
        if is_mutated!(CallBeforeRecord) && *then == Then::RunTask {
            self.perform_once(&next, then.clone(), patience).await?;
        }
        if is_mutated!(LastWriterWins) {
            *run = self.run(&run.id).await?;
            next.revision = run.revision + 1;
        }
        Ok(next)
    }

    /// Whether so much time has gone by since a request was decided upon that others may have seen to it: a process that was
    /// frozen in between must not send it any more.
    fn is_late(&self, decided_at: Timestamp) -> bool {
        let late = self.ports.clock().now().duration_since(decided_at);
        late > SEND_WITHIN && !is_mutated!(LateSend)
    }

    /// Does what was decided; what came of it, if anything came.
    async fn perform_once(
        &self,
        run: &Run,
        then: Then,
        patience: Patience,
    ) -> Result<Option<Happening>, Error> {
        let attempt = run.attempt();
        let cluster = attempt.and_then(|attempt| attempt.cluster.as_deref());
        match (then, attempt) {
            (Then::RunTask, Some(attempt)) => {
                let Some(request) = &attempt.request else { return Ok(None) };
                let answer = self.ports.tasks().run(request).await;
                if let Some(task) = answer.task() {
                    info!(
                        event_id = run.event.id, rule = run.rule, run_id = %run.id,
                        attempt = attempt.attempt, task_arn = task.task_arn, "launched"
                    );
                }
                if matches!(answer, Answer::NotNow { class: FailureClass::Throttled, .. }) {
                    self.throttled(Bucket::of_request(request)).await?;
                }
                Ok(Some(Happening::Answered { attempt: attempt.attempt, answer }))
            }
            (Then::Find, Some(attempt)) => {
                if !self.may_call(Bucket::Read, patience).await? {
                    return Ok(None);
                }
                let started_by = StartedBy {
                    name: self.rules.name.clone(),
                    run_id: run.id.clone(),
                    attempt: attempt.attempt,
                };
                let listed =
                    self.ports.tasks().list_started_by(cluster, &started_by.to_string()).await;
                let task_arns = self.heard(Bucket::Read, listed).await?;
                Ok(Some(self.look_at(cluster, &task_arns).await?))
            }
            (Then::Describe, Some(attempt)) => {
                if !self.may_call(Bucket::Read, patience).await? {
                    return Ok(None);
                }
                let task_arns: Vec<String> = attempt.task_arn.iter().cloned().collect();
                Ok(Some(self.look_at(cluster, &task_arns).await?))
            }
            (Then::StopTask { task_arn, reason }, _) => {
                // Where the sweep comes back to the run, it may wait; else nobody would.
                if run.due_at.is_none() || self.may_call(Bucket::Modify, patience).await? {
                    let stopped = self.ports.tasks().stop(cluster, &task_arn, &reason).await;
                    self.heard(Bucket::Modify, stopped).await?;
                }
                Ok(None)
            }
            (Then::Admit, _) => {
                // Boxed: to admit a run is to advance it.
                Box::pin(self.admit_for(run)).await?;
                Ok(None)
            }
            (Then::Publish, _) => Ok(Some(self.publish(run).await?)),
            // Boxed: runs with a message are few, and each call of SQS is large.
            (Then::Extend, _) => Box::pin(self.extend(run)).await,
            (Then::Acknowledge, _) => Ok(Some(Box::pin(self.acknowledge(run)).await?)),
            (Then::Discard, _) => {
                if let Some(url) = &run.payload {
                    self.ports.payloads().discard(url).await?;
                }
                Ok(Some(Happening::Discarded))
            }
            // Asking the quota is the loop's.
            (Then::Rest | Then::Pace, _) | (Then::RunTask | Then::Find | Then::Describe, None) => {
                Ok(None)
            }
        }
    }

    /// Tells what is in the run's outbox.
    async fn publish(&self, run: &Run) -> Result<Happening, ports::Error> {
        let detail = chain::detail(&self.rules.name, run).to_string();
        let time = run.ended_at.unwrap_or_else(|| self.ports.clock().now());
        let published = self.ports.events().publish(&run.outbox, &detail, time).await;
        if !is_mutated!(OutboxClearedFirst) {
            published?;
        }
        Ok(Happening::Published { events: run.outbox.clone() })
    }

    async fn look_at(
        &self,
        cluster: Option<&str>,
        task_arns: &[String],
    ) -> Result<Happening, Error> {
        let mut tasks = if task_arns.is_empty() {
            Vec::new()
        } else {
            let described = self.ports.tasks().describe(cluster, task_arns).await;
            self.heard(Bucket::Read, described).await?
        };
        // Were there several, the one that lives.
        tasks.sort_by_key(TaskState::has_stopped);
        Ok(tasks.into_iter().next().map_or(Happening::Missing, Happening::Task))
    }

    /// Whether a launch fits into the quota, waiting for it as long as there is patience; `None` if that ran out.
    async fn pace(
        &self,
        run: &Run,
        step: &mut Step,
        patience: Patience,
    ) -> Result<Option<Happening>, Error> {
        let request = run.attempt().and_then(|attempt| attempt.request.as_deref());
        let bucket = request.map_or(Bucket::Fargate, Bucket::of_request);
        Ok(match (self.room_in_time(bucket, patience).await?, patience) {
            (Room::Free(token), _) => {
                step.token = token;
                Some(Happening::Paced)
            }
            (Room::Full { until }, Patience::None) => Some(Happening::Unpaced { until }),
            (Room::Full { .. }, Patience::Until(_)) => None,
        })
    }

    /// How many slots the run's limits have by the rules of now: a limit that was changed holds for what waits.
    fn refresh_slots(&self, run: &mut Run) {
        if is_mutated!(LimitOfThen) {
            return;
        }
        for slot in &mut run.slots {
            slot.of = self.rules.slots_of(&slot.limit).unwrap_or(slot.of);
            slot.of += u32::from(is_mutated!(LimitPlusOne));
        }
    }
}

/// One line for each change that a person would want to see.
fn tell(was: &Run, run: &Run) {
    let attempt = run.attempt();
    let (task_arn, failure_class) = attempt.map_or((None, None), |attempt| {
        (attempt.task_arn.as_deref(), attempt.failure_class.map(tracing::field::display))
    });
    let attempt = attempt.map(|attempt| attempt.attempt);
    let reason = run.reason.as_deref();
    let has_moved = was.status != run.status || was.attempts.len() != run.attempts.len();
    match run.status {
        Status::Launching if reason.is_some() && was.reason != run.reason => warn!(
            event_id = run.event.id, rule = run.rule, run_id = %run.id, attempt, reason, "launching"
        ),
        Status::Launching => {}
        Status::Waiting if has_moved => info!(
            event_id = run.event.id, rule = run.rule, run_id = %run.id, attempt, failure_class, reason,
            due_at = run.due_at.map(tracing::field::display), "waiting"
        ),
        _ if has_moved => info!(
            event_id = run.event.id, rule = run.rule, run_id = %run.id, attempt, task_arn,
            status = %run.status, failure_class, reason, "tracked"
        ),
        _ => {}
    }
}

/// Whether the change left room for another run.
fn has_freed(was: &Run, run: &Run) -> bool {
    !limits::moves(Some(was), run).give.is_empty()
}
