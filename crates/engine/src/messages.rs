//! Messages: a batch of a queue is taken, message by message, and what was not is left to the queue.
//!
//! A message is done when each of its rules has a durable run, or keeps it as a dead letter; one whose rule says
//! `ack: completion` stays in its queue, held by a heartbeat, until its runs have ended. Nothing here ever sends a message.

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use taskferry_core::{
    event::{
        Event,
        sqs::{Message, MessageId, Received},
    },
    is_mutated,
    lifecycle::{HEARTBEAT_SECONDS, Happening, VISIBILITY_SECONDS},
    plan::{self, Plan},
    reason,
    route::Origin,
    rules::{Ack, On, Rule},
    run::{HeldMessage, Run, RunId},
    subject,
};
use tracing::{info, warn};

use crate::{
    Disposition, Engine, Error,
    advance::Patience,
    dispatch::Launched,
    ports::{self, Clock as _, Ports, Queues as _, Runs as _},
};

/// How many messages are under way at once, or groups of them that keep an order.
const AT_ONCE: usize = 8;

/// For how long a message that could not be taken whole is kept from coming again, where it had been held for longer.
const RETURNED_SECONDS: u64 = 30;

/// How many runs of one message can hold it together; past that it is acknowledged when these have ended.
const OTHERS_MAX: usize = 100;

/// What becomes of a message that was taken.
enum Taken {
    /// It may be deleted.
    Done,
    /// It stays in the queue, and in flight.
    Held,
}

impl<P: Ports> Engine<P> {
    /// Takes a batch of messages to the runs of the rules that match, and tells which of them the queue is to keep.
    ///
    /// Each message stands for itself, but in a FIFO queue, where what follows upon one that is kept waits for it: the queue
    /// keeps those of its group too. What has not been begun at `until` is kept.
    pub async fn receive(&self, batch: Vec<Received>, until: Timestamp) -> Vec<MessageId> {
        #[cfg(mutations)]
        let all: Vec<MessageId> = batch.iter().map(|received| received.id.clone()).collect();
        let kept = stream::iter(in_order(batch))
            .map(|sequence| self.receive_in_order(sequence, until))
            .buffer_unordered(AT_ONCE);
        let kept = kept.concat().await;
        #[cfg(mutations)]
        let kept = mutated_answer(all, kept);
        kept
    }

    /// Takes messages one after the other, up to the first that is kept.
    async fn receive_in_order(&self, sequence: Vec<Received>, until: Timestamp) -> Vec<MessageId> {
        let mut sequence = sequence.into_iter();
        let mut kept = Vec::new();
        for Received { id, message } in sequence.by_ref() {
            if self.is_over(until) {
                kept.push(id);
                break;
            }
            let taken = match &message {
                Ok(message) => self.take(&id, message, until).await.map_err(|error| reason(&error)),
                Err(_) if is_mutated!(MalformedMessageIsDone) => Ok(Taken::Done),
                // Not as Lambda writes it: whoever can read it may come, or the queue's own dead letters.
                Err(malformed) => Err(reason(malformed)),
            };
            let is_done = match &taken {
                Ok(Taken::Done) => true,
                Ok(Taken::Held) => is_mutated!(HeldMessageIsDone),
                Err(error) => {
                    warn!(message_id = %id, error, "message left to its queue");
                    is_mutated!(FailedMessageIsDone)
                }
            };
            if is_done {
                continue;
            }
            kept.push(id);
            if !is_mutated!(GroupGoesOn) {
                break;
            }
        }
        if !is_mutated!(RestOfGroupForgotten) {
            kept.extend(sequence.map(|received| received.id));
        }
        kept
    }

    /// Whether nothing is begun any more.
    fn is_over(&self, until: Timestamp) -> bool {
        self.ports.clock().now() >= until && !is_mutated!(DeadlineOfMessagesForgotten)
    }

    async fn take(
        &self,
        id: &MessageId,
        message: &Message,
        until: Timestamp,
    ) -> Result<Taken, Error> {
        let queue = message.queue();
        let rules = self.routes.of_queue(queue);
        if rules.is_empty() {
            return Err(Error::NoQueue(queue.to_owned()));
        }
        let rules = || rules.iter().map(|&index| &self.rules.rules[index]);
        if let (Some(refused), Some(kept)) = (&message.refused, &message.kept)
            && !is_mutated!(RefusedRecordForgotten)
        {
            self.keep_as_dead_letter(rules(), kept, &reason(refused)).await?;
        }
        let mut plans = Vec::new();
        for event in &message.events {
            match self.routes.route(Origin::Sqs { queue }, event) {
                Ok(matches) => {
                    info!(
                        event_id = event.id(),
                        source = event.source(),
                        detail_type = event.detail_type(),
                        subject = subject::of(event),
                        queue,
                        rules = matches.len(),
                        "routed"
                    );
                    let matches = matches.into_iter().map(|index| &self.rules.rules[index]);
                    plans.extend(matches.map(|rule| plan::plan(&self.rules, rule, event)));
                }
                Err(error) => self.keep_as_dead_letter(rules(), event, &reason(&error)).await?,
            }
        }
        let (held, recorded): (Vec<_>, Vec<_>) = plans.into_iter().partition(is_held);
        self.launch_all(&recorded, until).await?;
        match held.as_slice() {
            [] => Ok(Taken::Done),
            held => self.hold(id, message, held, until).await,
        }
    }

    /// Launches each; a rule that fails does not keep the others from their runs.
    ///
    /// None is begun at `until`: one message can carry thousands of events, and were the function cut off in the middle, the
    /// whole batch would come again. It comes again by itself, and what is recorded by then takes no time.
    async fn launch_all(&self, plans: &[Plan<'_>], until: Timestamp) -> Result<Vec<Run>, Error> {
        let mut runs = Vec::with_capacity(plans.len());
        let mut failed = None;
        for plan in plans {
            if self.is_over(until) {
                return Err(failed.unwrap_or(Error::NotBegun));
            }
            match self.launch_or_keep(plan, None).await {
                Ok(run) => runs.extend(run),
                Err(error) => {
                    warn!(
                        event_id = plan.event.id(), rule = %plan.rule.name, run_id = %plan.run_id,
                        error = reason(&error), "not recorded"
                    );
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(runs), Err)
    }

    /// The run; or none where its record is refused for good, and a dead letter says so.
    async fn launch_or_keep(
        &self,
        plan: &Plan<'_>,
        message: Option<HeldMessage>,
    ) -> Result<Option<Run>, Error> {
        match self.launch(plan, message).await {
            Ok(Launched { run, .. }) => Ok(Some(run)),
            Err(error) if error.disposition() == Disposition::Refuse => {
                let excerpt = plan.event.excerpt();
                self.keep_as_dead_letter([plan.rule], &excerpt, &reason(&error)).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What can never be taken is kept, with its reason, where a person will find it: it is not delivered again.
    async fn keep_as_dead_letter(
        &self,
        rules: impl IntoIterator<Item = &Rule>,
        event: &Event,
        reason: &str,
    ) -> Result<(), Error> {
        for rule in rules {
            let plan = plan::dead_letter(&self.rules, rule, event, reason.to_owned());
            self.launch(&plan, None).await?;
        }
        Ok(())
    }

    /// Holds a message until its runs have ended.
    async fn hold(
        &self,
        id: &MessageId,
        message: &Message,
        plans: &[Plan<'_>],
        until: Timestamp,
    ) -> Result<Taken, Error> {
        let received_at = self.ports.clock().now();
        // Before anything is begun: a delivery that is over already is another's to take.
        let Message { queue_arn, receipt_handle, .. } = message;
        self.ports.queues().extend(queue_arn, receipt_handle, VISIBILITY_SECONDS).await?;
        let held = HeldMessage {
            queue_arn: queue_arn.clone(),
            id: id.to_string(),
            receipt_handle: receipt_handle.clone(),
            received_at,
            extend_at: after(received_at, HEARTBEAT_SECONDS),
            own_due_at: None,
            others: Vec::new(),
        };
        let taken = self.launch_held(held, plans, until).await;
        if taken.is_err() {
            // It comes again by itself, so this is for haste alone.
            let returned = self.ports.queues().extend(queue_arn, receipt_handle, RETURNED_SECONDS);
            if let Err(error) = returned.await {
                warn!(message_id = %id, error = reason(&error), "message comes again late");
            }
        }
        taken
    }

    /// Launches the runs of a message, one of which holds it from then on.
    async fn launch_held(
        &self,
        mut message: HeldMessage,
        plans: &[Plan<'_>],
        until: Timestamp,
    ) -> Result<Taken, Error> {
        let [others @ .., last] = plans else { return Ok(Taken::Done) };
        let mut others = self.launch_all(others, until).await?;
        others.retain(|run| !run.status.is_terminal() && run.id != last.run_id);
        others.truncate(if is_mutated!(OthersForgotten) { 0 } else { OTHERS_MAX });
        message.others = others.iter().map(|run| run.id.clone()).collect();
        if self.is_over(until) {
            return Err(Error::NotBegun);
        }
        // One that has it from an earlier delivery keeps it: two would each let it go at their end.
        let holder = others.iter().position(|run| holds(run, &message));
        // Else the last has it, once all are recorded: were it lost before, the message would come again.
        let for_last = holder.is_none().then(|| message.clone());
        let last = self.launch_or_keep(last, for_last).await?;
        if holder.is_none() && last.as_ref().is_some_and(|run| holds(run, &message)) {
            return Ok(Taken::Held);
        }
        if let Some(holder) = holder {
            others.extend(last.filter(|run| !run.status.is_terminal()));
            others[..=holder].rotate_right(1);
        }
        let others: Vec<RunId> = others.into_iter().map(|run| run.id).collect();
        let is_held = self.hand_over(&others, &message).await?;
        Ok(if is_held { Taken::Held } else { Taken::Done })
    }

    /// Hands a message over to the first of its runs that is under way and holds no other; false if there is none.
    async fn hand_over(&self, others: &[RunId], message: &HeldMessage) -> Result<bool, Error> {
        for (index, id) in others.iter().enumerate() {
            let Some(run) = self.ports.runs().get(id).await? else { continue };
            if run.status.is_terminal() {
                continue;
            }
            let others = others[index + 1..].to_vec();
            let handed = HeldMessage { others, own_due_at: None, ..message.clone() };
            let received = Happening::Received { message: Box::new(handed) };
            // Boxed: to hand over is to advance.
            let run = Box::pin(self.advance(run, received, Patience::None)).await?;
            if holds(&run, message) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The heartbeat of a message: it is not delivered again for a while.
    pub(crate) async fn extend(&self, run: &Run) -> Result<Option<Happening>, Error> {
        let Some(message) = &run.message else { return Ok(None) };
        let HeldMessage { queue_arn, receipt_handle, .. } = &**message;
        // From before the call: a process can be frozen over it, and the message is held from when the queue heard of it.
        let until = after(self.ports.clock().now(), HEARTBEAT_SECONDS);
        let seconds =
            if is_mutated!(HoldTooShort) { HEARTBEAT_SECONDS } else { VISIBILITY_SECONDS };
        let extended = if is_mutated!(HeartbeatUnsaid) {
            Ok(())
        } else {
            self.ports.queues().extend(queue_arn, receipt_handle, seconds).await
        };
        match extended {
            Ok(()) if is_mutated!(HeartbeatFromAnswer) => {
                let until = after(self.ports.clock().now(), HEARTBEAT_SECONDS);
                Ok(Some(Happening::Extended { until }))
            }
            Ok(()) => Ok(Some(Happening::Extended { until })),
            // It comes again, or has: whoever brings it hands it over anew.
            Err(error @ ports::Error::Refused { .. }) => {
                warn!(run_id = %run.id, message_id = message.id, error = reason(&error), "message not held any more");
                Ok(Some(Happening::Released))
            }
            Err(error @ (ports::Error::Unavailable { .. } | ports::Error::Throttled { .. })) => {
                Err(error.into())
            }
        }
    }

    /// Gives a run's message up: to another run of it that is under way, else it is deleted.
    pub(crate) async fn acknowledge(&self, run: &Run) -> Result<Happening, Error> {
        let Some(message) = &run.message else { return Ok(Happening::Released) };
        // Past its time the records are what is left of it, those of the others too.
        if run.status.is_terminal()
            && !is_mutated!(HandOverForgotten)
            && self.hand_over(&message.others, message).await?
        {
            return Ok(Happening::Released);
        }
        match self.ports.queues().delete(&message.queue_arn, &message.receipt_handle).await {
            Ok(()) => {
                info!(
                    event_id = run.event.id, rule = run.rule, run_id = %run.id,
                    message_id = message.id, "acknowledged"
                );
            }
            // It comes again, and is acknowledged by whoever finds that its runs have ended.
            Err(error @ ports::Error::Refused { .. }) => {
                warn!(run_id = %run.id, message_id = message.id, error = reason(&error), "message not deleted");
            }
            Err(error @ (ports::Error::Unavailable { .. } | ports::Error::Throttled { .. })) => {
                return Err(error.into());
            }
        }
        Ok(Happening::Released)
    }
}

/// What is answered, with a bug in it.
#[cfg(mutations)]
fn mutated_answer(mut all: Vec<MessageId>, kept: Vec<MessageId>) -> Vec<MessageId> {
    if is_mutated!(KeptAreTheGood) {
        all.retain(|id| !kept.contains(id));
        return all;
    }
    if is_mutated!(BadMessageKeepsBatch) && !kept.is_empty() { all } else { kept }
}

/// Whether the run is under way, and holds this message: it may hold another, which this one repeats.
fn holds(run: &Run, message: &HeldMessage) -> bool {
    !run.status.is_terminal() && run.message.as_ref().is_some_and(|held| held.is_same(message))
}

/// Whether the rule wants the message held until the run has ended.
fn is_held(plan: &Plan<'_>) -> bool {
    matches!(plan.rule.on, On::Sqs { ack: Ack::Completion, .. })
}

/// The messages of each group in their order, and each of the others by itself.
fn in_order(batch: Vec<Received>) -> Vec<Vec<Received>> {
    let mut sequences: Vec<Vec<Received>> = Vec::with_capacity(batch.len());
    let mut groups: HashMap<String, usize> = HashMap::new();
    for received in batch {
        let group = received.message.as_ref().ok().and_then(|message| message.group.clone());
        match group.map(|group| *groups.entry(group).or_insert(sequences.len())) {
            Some(sequence) if sequence < sequences.len() => sequences[sequence].push(received),
            Some(_) | None => sequences.push(vec![received]),
        }
    }
    sequences
}

fn after(time: Timestamp, seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    time.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
