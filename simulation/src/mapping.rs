//! The mapping between a queue and the function `sqs`: Lambda receives, invokes, and deletes what the function did not keep.
//!
//! The batch goes through the function's own reading of Lambda's payload and the real `Engine::receive`. What fails on the way
//! back leaves the whole batch, or a part of it, to the visibility timeout.

use std::sync::Arc;

use serde_json::{Value, json};
use taskferry_core::event::sqs;

use crate::{
    faults::Twist,
    promises::Oracle,
    simulation::Simulation,
    sqs::{Delivery, State, message_id},
    work::{Ended, Job, Work},
    world::{Action, MINUTE, Micros, ProcessState, SECOND, World, at},
};

/// What the function leaves of its time to what is under way: `functions/sqs`'s `MARGIN`.
const MARGIN: Micros = 10 * SECOND;

/// How long the function may take, where nothing is to go wrong.
const FUNCTION_SECONDS: i64 = 60;

/// A batch with the function.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Its messages.
    pub(crate) deliveries: Vec<Delivery>,
    /// When none is begun any more, by the clock of its process.
    pub(crate) until: Micros,
}

/// A batch that is being taken, as the oracles see it.
#[derive(Debug)]
pub(crate) struct Receiving {
    /// By whom.
    pub(crate) process: usize,
    /// How many calls of it had failed when it began.
    pub(crate) failed: u64,
    /// The batch.
    pub(crate) batch: Batch,
}

impl Simulation {
    /// Lambda looks into a queue, and hands what it finds to the function.
    pub(crate) fn poll_queue(&mut self, process: usize, queue: usize) {
        let (deliveries, seconds) = {
            let mut world = self.shared.world();
            let deliveries = world.poll(queue);
            let usual = FUNCTION_SECONDS;
            let seconds = if world.is_calm { usual } else { world.dice.pick(&[11, 14, 20, usual]) };
            (deliveries, seconds)
        };
        if !deliveries.is_empty() {
            self.receive(process, queue, deliveries, seconds);
        }
    }

    /// A process takes a batch of messages, and has so many seconds for it.
    pub(crate) fn receive(
        &mut self,
        process: usize,
        queue: usize,
        deliveries: Vec<Delivery>,
        seconds: i64,
    ) {
        let engine = Arc::clone(self.engine_of(process));
        let shared = self.shared.clone();
        let (batch, payload, deadline) = {
            let mut world = shared.world();
            world.note_neighbours(&deliveries);
            let payload = world.payload(queue, &deliveries);
            let ProcessState { skew, failed, .. } = world.processes[process];
            let until = world.now + skew + seconds * SECOND - MARGIN;
            let batch = Batch { deliveries, until };
            world.receiving.push(Receiving { process, failed, batch: batch.clone() });
            (batch, payload, world.now + seconds * SECOND)
        };
        let until = batch.until;
        let job = self.spawn(process, Work::Receive(batch), async move {
            match sqs::normalise(&payload) {
                Ok(batch) => {
                    let kept = engine.receive(batch, at(until)).await;
                    engine.catch_up(at(until)).await;
                    Ended::Kept(kept.iter().map(ToString::to_string).collect())
                }
                Err(error) => Ended::Again(taskferry_core::reason(&error)),
            }
        });
        shared.world().act_at(deadline, Action::Deadline { job });
    }
}

impl World {
    /// What Lambda receives, if it hears the answer.
    fn poll(&mut self, queue: usize) -> Vec<Delivery> {
        if !(0..self.processes.len()).any(|process| self.is_named_by(process, queue)) {
            return Vec::new();
        }
        if !self.is_calm && self.dice.chance(self.knobs.dropped / 4) {
            self.coverage.met(Twist::NobodyPolls);
            let later = self.now + self.dice.between(SECOND, 20 * MINUTE);
            self.poll_at(queue, later);
            return Vec::new();
        }
        let deliveries = self.receive_messages(queue);
        if !deliveries.is_empty() && !self.is_calm && self.dice.chance(self.knobs.lost / 8) {
            self.coverage.met(Twist::ReceiveLost);
            self.note(|| "SQS      an answer of ReceiveMessage is lost".to_owned());
            return Vec::new();
        }
        deliveries
    }

    /// What nobody can read comes with what is good.
    fn note_neighbours(&mut self, deliveries: &[Delivery]) {
        let is_readable = |it: &Delivery| self.sqs.messages[it.message].is_readable;
        if deliveries.iter().any(is_readable) && !deliveries.iter().all(is_readable) {
            self.coverage.met(Twist::BadNeighbour);
        }
    }

    /// What Lambda invokes the function with.
    ///
    /// <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event>
    fn payload(&self, queue: usize, deliveries: &[Delivery]) -> String {
        let arn = self.sqs.queues[queue].arn();
        let record = |Delivery { message: number, receipt }: &Delivery| {
            let message = &self.sqs.messages[*number];
            let mut attributes = json!({
                "ApproximateReceiveCount": message.receives().to_string(), "SenderId": "AIDA",
            });
            if message.is_readable {
                let sent_at = at(message.sent_at).as_millisecond();
                attributes["SentTimestamp"] = sent_at.to_string().into();
            }
            if let (Some(group), Some(id)) = (&message.group, &message.deduplication_id) {
                attributes["MessageGroupId"] = group.as_str().into();
                attributes["MessageDeduplicationId"] = id.as_str().into();
                attributes["SequenceNumber"] = format!("{number:020}").into();
            }
            json!({
                "messageId": message_id(*number), "receiptHandle": receipt, "body": message.body,
                "attributes": attributes, "messageAttributes": {}, "eventSource": "aws:sqs",
                "eventSourceARN": arn, "awsRegion": "us-east-1",
            })
        };
        let records: Vec<Value> = deliveries.iter().map(record).collect();
        json!({ "Records": records }).to_string()
    }

    /// Lambda hears how the function ended: it deletes what was not kept, or nothing at all.
    ///
    /// <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>
    pub(crate) fn batch_received(&mut self, batch: &Batch, ended: &Ended) {
        self.receiving.retain(|receiving| receiving.batch.deliveries != batch.deliveries);
        let Ended::Kept(kept) = ended else { return };
        let ids: Vec<String> = batch.deliveries.iter().map(|it| message_id(it.message)).collect();
        if kept.iter().any(|id| id.is_empty() || !ids.contains(id)) {
            // Lambda takes the whole batch for failed where it does not know a name.
            self.broken(Oracle::NeighboursDoNoHarm, || format!("kept are {kept:?} of {ids:?}"));
            return;
        }
        if !self.is_calm && self.dice.chance(self.knobs.lost / 4) {
            self.coverage.met(Twist::AnswerLost);
            self.note(|| "Lambda   the function's answer is lost".to_owned());
            return;
        }
        if !kept.is_empty() && kept.len() < ids.len() {
            self.coverage.met(Twist::BatchPartlyKept);
        }
        for (delivery, id) in batch.deliveries.iter().zip(&ids) {
            if kept.contains(id) {
                continue;
            }
            if !self.is_calm && self.dice.chance(self.knobs.lost / 4) {
                self.coverage.met(Twist::DeletionLost);
                continue;
            }
            // What was received anew meanwhile comes again; Lambda cares for it no more.
            self.delete_message(&delivery.receipt).unwrap_or_default();
        }
    }

    /// A batch was taken: what of it is kept is so for a reason of its own.
    pub(crate) fn judge_kept(&mut self, job: &Job, batch: &Batch, kept: &[String]) {
        let failed = self.processes[job.process].failed - job.failed;
        if self.now + self.processes[job.process].skew >= batch.until {
            self.coverage.met(Twist::MessagesCutShort);
            return;
        }
        let queue = batch.deliveries.first().map_or(0, |it| self.sqs.messages[it.message].queue);
        if !self.is_named_by(job.process, queue) {
            self.coverage.met(Twist::QueueUnnamed);
            return;
        }
        let mut groups = Vec::new();
        let mut without_reason = 0;
        for Delivery { message: number, .. } in &batch.deliveries {
            let message = &self.sqs.messages[*number];
            let is_kept = kept.contains(&message_id(*number)) && message.state == State::Queued;
            if !is_kept || !message.is_readable || self.is_some_runs(*number) {
                continue;
            }
            // Behind one of its group that failed it has its reason.
            if message.group.is_some() && groups.contains(&message.group) {
                continue;
            }
            groups.push(message.group.clone());
            without_reason += 1;
        }
        // What is kept though nothing failed is so since it is held.
        for delivery in batch.deliveries.iter().filter(|_| failed == 0) {
            self.judge_holder(delivery);
        }
        if batch.deliveries.len() > 1 {
            self.held(without_reason <= failed, Oracle::NeighboursDoNoHarm, || {
                format!("{failed} calls failed, and of {batch:?} the function keeps {kept:?}")
            });
        }
    }
}
