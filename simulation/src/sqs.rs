//! SQS as it really is: visibility, receipts that change, groups that wait, dead letters, and what it forgets.
//!
//! The truth that the oracles look at, as `ecs` is for tasks. What it promises is SQS's own contract, cited where it is kept;
//! what it does within that, the dice decide. It knows nothing of rules and runs.

use std::collections::BTreeSet;

use taskferry_core::event::sqs;

use crate::{
    faults::Twist,
    world::{Action, HOUR, MINUTE, Micros, SECOND, World},
};

/// Every queue and every message.
#[derive(Debug, Default)]
pub(crate) struct Sqs {
    /// The queues.
    pub(crate) queues: Vec<Queue>,
    /// The messages, those too that are not sent yet.
    pub(crate) messages: Vec<Message>,
    receipts: Vec<Receipt>,
}

/// A queue.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    /// Its name.
    pub(crate) name: &'static str,
    /// For how long a message is not received again.
    pub(crate) visibility: Micros,
    /// `maxReceiveCount`: what was received so often is a dead letter.
    pub(crate) receives_max: u32,
    /// For how long it keeps a message.
    pub(crate) retention: Micros,
    /// The most messages that are received at once.
    pub(crate) batch_size: usize,
    /// What was sent and is in it still, in that order.
    pub(crate) sent: Vec<usize>,
}

/// Where a message is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// With who will send it.
    Unsent,
    /// In its queue, in flight or not.
    Queued,
    /// Deleted.
    Deleted,
    /// Among the dead letters.
    Dead,
    /// Forgotten, since its queue keeps none for longer.
    Expired,
    /// Never in the queue: one with its deduplication id was there before.
    Repeated,
}

/// A message, and what must come of it.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// In which queue.
    pub(crate) queue: usize,
    /// Whose order it keeps.
    pub(crate) group: Option<String>,
    /// What makes a second one the same, for five minutes.
    pub(crate) deduplication_id: Option<String>,
    /// Its text.
    pub(crate) body: String,
    /// The order that it tells of, if it does by itself.
    pub(crate) order: Option<String>,
    /// Whether Lambda's record of it is as Lambda writes it.
    pub(crate) is_readable: bool,
    /// The runs that it is for: rule and key.
    pub(crate) expects: Vec<(&'static str, String)>,
    /// Whether something in it says that it is S3's, and is not.
    pub(crate) is_refused: bool,
    /// Where it is.
    pub(crate) state: State,
    /// When it was sent.
    pub(crate) sent_at: Micros,
    visible_at: Micros,
    receives: u32,
    receipt: Option<usize>,
}

/// A delivery.
#[derive(Clone, Copy, Debug)]
struct Receipt {
    message: usize,
    received_at: Micros,
}

/// A message as it was received.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Delivery {
    /// Which message.
    pub(crate) message: usize,
    /// What the delivery is called.
    pub(crate) receipt: String,
}

/// For how long a message may be in flight, whatever is said.
///
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>: "12 hours from
/// the time you receive the message. Extending the visibility timeout does not reset this 12-hour limit."
const IN_FLIGHT_MAX: Micros = 12 * HOUR;

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/using-messagededuplicationid-property.html>:
/// "within the 5-minute deduplication interval, any messages with the same deduplication ID are accepted, but not delivered."
const DEDUPLICATED_FOR: Micros = 5 * MINUTE;

impl Queue {
    /// Whether messages keep their order, by groups.
    pub(crate) fn is_fifo(&self) -> bool {
        sqs::is_fifo(self.name)
    }

    /// Its ARN.
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:sqs:us-east-1:000000000000:{}", self.name)
    }
}

impl Message {
    /// A message that is not sent yet, and of which nothing comes.
    pub(crate) fn new(queue: usize, body: String) -> Self {
        Self {
            queue,
            group: None,
            deduplication_id: None,
            body,
            order: None,
            is_readable: true,
            expects: Vec::new(),
            is_refused: false,
            state: State::Unsent,
            sent_at: 0,
            visible_at: 0,
            receives: 0,
            receipt: None,
        }
    }

    /// How often it was received, but for what its queue did of itself.
    pub(crate) fn receives(&self) -> u32 {
        self.receives
    }
}

/// What a message is called.
pub(crate) fn message_id(message: usize) -> String {
    format!("m{message}")
}

impl World {
    /// `SendMessage`.
    pub(crate) fn send_message(&mut self, number: usize) {
        let (now, sent) = (self.now, &self.sqs.messages[number]);
        let queue = sent.queue;
        let is_same = |other: &Message| {
            other.queue == queue
                && !matches!(other.state, State::Unsent | State::Repeated)
                && sent.deduplication_id.is_some()
                && other.deduplication_id == sent.deduplication_id
                && now - other.sent_at < DEDUPLICATED_FOR
        };
        if self.sqs.messages.iter().any(is_same) {
            self.coverage.met(Twist::MessageDeduplicated);
            self.sqs.messages[number].state = State::Repeated;
            return;
        }
        self.note(|| format!("SQS      takes message {}", message_id(number)));
        let message = &mut self.sqs.messages[number];
        (message.state, message.sent_at, message.visible_at) = (State::Queued, now, now);
        self.sqs.queues[queue].sent.push(number);
        let polled = self.dice.between(0, 2 * SECOND);
        self.poll_at(queue, now + polled);
    }

    /// Somebody looks into the queue then.
    pub(crate) fn poll_at(&mut self, queue: usize, time: Micros) {
        self.act_at(time, Action::Poll { queue });
    }

    /// Somebody looks into each queue: the rules name others than before.
    pub(crate) fn poll_all(&mut self) {
        for queue in 0..self.sqs.queues.len() {
            let soon = self.dice.between(0, 2 * SECOND);
            self.poll_at(queue, self.now + soon);
        }
    }

    /// What a queue has kept for too long is gone.
    pub(crate) fn expire_messages(&mut self, queue: usize) {
        let retention = self.sqs.queues[queue].retention;
        for number in self.sqs.queues[queue].sent.clone() {
            let message = &mut self.sqs.messages[number];
            if message.state == State::Queued && self.now - message.sent_at >= retention {
                message.state = State::Expired;
                self.coverage.met(Twist::MessageExpired);
                self.note(|| format!("SQS      forgets message {}", message_id(number)));
            }
        }
        let messages = &self.sqs.messages;
        self.sqs.queues[queue].sent.retain(|number| messages[*number].state == State::Queued);
    }

    /// `ReceiveMessage`.
    pub(crate) fn receive_messages(&mut self, queue: usize) -> Vec<Delivery> {
        self.expire_messages(queue);
        let Queue { receives_max, batch_size, sent, .. } = self.sqs.queues[queue].clone();
        let (is_fifo, now) = (self.sqs.queues[queue].is_fifo(), self.now);
        // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
        // "no more messages for the same message group ID are returned unless you delete the message or it becomes visible."
        let in_flight = |number: &&usize| self.sqs.messages[**number].visible_at > now;
        let locked: BTreeSet<_> =
            sent.iter().filter(in_flight).map(|it| self.sqs.messages[*it].group.clone()).collect();
        let mut numbers = sent;
        if !is_fifo {
            for index in (1..numbers.len()).rev() {
                let other = self.dice.index(index + 1);
                numbers.swap(index, other);
            }
        }
        let mut deliveries = Vec::new();
        for number in numbers {
            let message = &mut self.sqs.messages[number];
            if message.visible_at > now {
                continue;
            }
            if is_fifo && locked.contains(&message.group) {
                self.coverage.met(Twist::GroupWaits);
                continue;
            }
            if deliveries.len() == batch_size {
                let soon = self.dice.between(0, SECOND);
                self.poll_at(queue, now + soon);
                break;
            }
            if message.receives >= receives_max {
                message.state = State::Dead;
                self.coverage.met(Twist::MessageDead);
                self.note(|| format!("SQS      {} is a dead letter", message_id(number)));
                self.judge_dead_letter(number);
                continue;
            }
            deliveries.push(self.deliver(queue, number));
        }
        deliveries
    }

    fn deliver(&mut self, queue: usize, number: usize) -> Delivery {
        let last = self.sqs.messages[number].receipt.map(|it| self.sqs.receipts[it].received_at);
        self.judge_delivery(number, last);
        let Queue { visibility, .. } = self.sqs.queues[queue];
        // A standard queue delivers at least once.
        let is_fifo = self.sqs.queues[queue].is_fifo();
        let again = !is_fifo && !self.is_calm && self.dice.chance(self.knobs.repeated / 8);
        let visible_at = if again { self.now } else { self.now + visibility };
        let receipt = self.sqs.receipts.len();
        self.sqs.receipts.push(Receipt { message: number, received_at: self.now });
        let message = &mut self.sqs.messages[number];
        message.receipt = Some(receipt);
        message.visible_at = visible_at;
        message.receives += u32::from(!again);
        if again {
            self.coverage.met(Twist::MessageRepeated);
        }
        let polled = self.dice.between(1, SECOND);
        self.poll_at(queue, visible_at + polled);
        Delivery { message: number, receipt: format!("r{receipt}") }
    }

    /// The message that a delivery was of, which one it was, and whether the message is with it still.
    fn received(&mut self, receipt: &str) -> Option<(usize, Receipt, bool)> {
        let index: usize = receipt.strip_prefix('r')?.parse().ok()?;
        let of = *self.sqs.receipts.get(index)?;
        self.expire_messages(self.sqs.messages[of.message].queue);
        let message = &self.sqs.messages[of.message];
        let is_over = message.receipt != Some(index) || message.visible_at <= self.now;
        Some((of.message, of, !is_over && message.state == State::Queued))
    }

    /// When a delivery was.
    pub(crate) fn received_at(&self, receipt: &str) -> Option<Micros> {
        let index: usize = receipt.strip_prefix('r')?.parse().ok()?;
        self.sqs.receipts.get(index).map(|receipt| receipt.received_at)
    }

    /// When the message of a delivery comes again, if the delivery is not over.
    pub(crate) fn visible_at(&mut self, receipt: &str) -> Option<Micros> {
        let (number, _, is_held) = self.received(receipt)?;
        is_held.then(|| self.sqs.messages[number].visible_at)
    }

    /// `ChangeMessageVisibility`.
    pub(crate) fn change_visibility(
        &mut self,
        receipt: &str,
        seconds: i64,
    ) -> Result<(), &'static str> {
        let Some((number, Receipt { received_at, .. }, is_held)) = self.received(receipt) else {
            return Err("the receipt handle is not valid");
        };
        if !is_held {
            return Err("the message is not in flight");
        }
        let visible_at = self.now.saturating_add(seconds.saturating_mul(SECOND));
        if visible_at > received_at + IN_FLIGHT_MAX {
            return Err("the message would be in flight for more than 12 hours");
        }
        self.sqs.messages[number].visible_at = visible_at;
        let queue = self.sqs.messages[number].queue;
        let polled = self.dice.between(1, SECOND);
        self.poll_at(queue, visible_at + polled);
        Ok(())
    }

    /// `DeleteMessage`.
    ///
    /// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html>: with a receipt handle
    /// that is not the last one "the request succeeds, but the message might not be deleted"; in a FIFO queue one of a
    /// delivery that is over is refused.
    pub(crate) fn delete_message(&mut self, receipt: &str) -> Result<(), &'static str> {
        let Some((number, Receipt { received_at, .. }, is_held)) = self.received(receipt) else {
            return Err("the receipt handle is not valid");
        };
        let message = &self.sqs.messages[number];
        let (queue, is_last) = (message.queue, message.receipt == receipt[1..].parse().ok());
        if message.state != State::Queued {
            return Ok(());
        }
        if self.sqs.queues[queue].is_fifo() && !is_held {
            return Err("the receipt handle has expired");
        }
        if !is_last && self.dice.chance(500) {
            return Ok(());
        }
        self.sqs.messages[number].state = State::Deleted;
        self.sqs.queues[queue].sent.retain(|other| *other != number);
        self.note(|| format!("SQS      deletes message {}", message_id(number)));
        self.judge_deletion(number, received_at);
        let polled = self.dice.between(0, SECOND);
        self.poll_at(queue, self.now + polled);
        Ok(())
    }
}
