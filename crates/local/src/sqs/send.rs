//! Sending: a message into a queue, within a transaction.
//!
//! The API and the other services on this machine send through `Queues::send`. Whatever is refused leaves nothing behind.

use rusqlite::{OptionalExtension as _, Transaction};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{
    Queues,
    clock::Millis,
    message::{self, Examined, NewMessage, attributes_md5},
    queue::Queue,
    refusal::{Code, Fault, Refusal},
    settings::DELAY_SECONDS_MAX,
};
use crate::{hex::hex, protocol::json_text};

/// For how long a FIFO queue knows what it was sent.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-exactly-once-processing.html
const DEDUPLICATION: Millis = 5 * 60 * 1000;

/// How many rows of past deduplications are deleted with each that is added: more than one, so that they become fewer.
const FORGOTTEN_WITH_EACH: u32 = 2;

/// How many messages whose retention is over are deleted with each that is sent.
const EXPIRED_WITH_EACH: i64 = 2;

/// What is added to a message's number so that sequence numbers have SQS's twenty digits.
const SEQUENCE_BASE: u128 = 10_u128.pow(19);

/// A message that was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sent {
    /// The message's id; of a message that was sent before, that of the first.
    pub message_id: Uuid,
    /// The MD5 of the body, in hexadecimal digits.
    pub body_md5: String,
    /// The MD5 of the message attributes, if there are any.
    pub attributes_md5: Option<String>,
    /// The MD5 of the message system attributes, if there are any.
    pub system_attributes_md5: Option<String>,
    /// The place in a FIFO queue: it rises.
    pub sequence_number: Option<String>,
}

/// A FIFO queue's number of a message.
pub(super) fn sequence_number(message: i64) -> String {
    (SEQUENCE_BASE + u128::from(message.unsigned_abs())).to_string()
}

impl Queues {
    /// Sends a message: it is in the queue with the transaction that it is part of.
    ///
    /// # Errors
    ///
    /// SQLite's, if a row cannot be read or written; inside, a [`Refusal`] if there is no such queue or it does not take the
    /// message. A refusal has written nothing.
    pub fn send(
        &self,
        tx: &Transaction<'_>,
        queue_name: &str,
        message: &NewMessage<'_>,
    ) -> rusqlite::Result<Result<Sent, Refusal>> {
        let sent = match Queue::find(tx, queue_name)? {
            Some(queue) => {
                self.send_to(tx, &queue, message, Examined::of(message.body)).and_then(|sent| {
                    self.delete_expired(tx, &queue, 1).map(|()| sent).map_err(Fault::from)
                })
            }
            None => Err(Refusal::no_queue().into()),
        };
        match sent {
            Ok(sent) => Ok(Ok(sent)),
            Err(Fault::Refused(refusal)) => Ok(Err(refusal)),
            Err(Fault::Storage(error)) => Err(error),
        }
    }

    /// [`Self::send`] into a queue that was found.
    pub(super) fn send_to(
        &self,
        tx: &Transaction<'_>,
        queue: &Queue,
        message: &NewMessage<'_>,
        body: Examined,
    ) -> Result<Sent, Fault> {
        let delay = check(queue, message, &body)?;
        let now = self.now();
        let answer = |id, message_id| Sent {
            message_id,
            body_md5: hex(body.md5),
            attributes_md5: attributes_md5(&message.attributes),
            system_attributes_md5: message.trace_header.and_then(trace_md5),
            sequence_number: queue.settings.is_fifo.then(|| sequence_number(id)),
        };
        let fifo = Fifo::of(queue, message)?;
        if let Some(fifo) = &fifo
            && let Some((id, message_id)) = fifo.sent_before(tx, queue, now)?
        {
            return Ok(answer(id, message_id));
        }
        let (id, message_id) = (self.next_id(tx)?, Uuid::now_v7());
        let visible_at = now + delay * 1000;
        let deduplication_id = fifo.as_ref().map(|it| &*it.deduplication_id);
        tx.prepare_cached(
            "INSERT INTO sqs_contents
             (id, message_id, body, body_md5, attributes, trace_header, group_id, deduplication_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            id,
            message_id.as_bytes(),
            message.body,
            body.md5,
            (!message.attributes.is_empty()).then(|| json_text(&message.attributes)),
            message.trace_header,
            message.group_id,
            deduplication_id.or(message.deduplication_id),
        ))?;
        let group = fifo.as_ref().map(|it| it.group);
        tx.prepare_cached(
            "INSERT INTO sqs_messages (id, pool, sent_at, visible_at, fifo_group) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((id, queue.pool, now, visible_at, group))?;
        if let Some(fifo) = &fifo {
            fifo.remember(tx, queue, id, message_id, now)?;
            // Where the group is there, it is as it was: this message is its last.
            tx.prepare_cached("INSERT OR IGNORE INTO sqs_groups VALUES (?1, ?2, ?3, ?4)")?
                .execute((queue.pool, fifo.group, visible_at, id))?;
        }
        self.wake(queue.id);
        Ok(answer(id, message_id))
    }

    /// Deletes some of the messages whose retention is over: those that nobody receives are deleted by those that come.
    pub(super) fn delete_expired(
        &self,
        tx: &Transaction<'_>,
        queue: &Queue,
        sent: usize,
    ) -> rusqlite::Result<()> {
        let before = queue.expired_before(self.now());
        let count = i64::try_from(sent).unwrap_or(i64::MAX).saturating_mul(EXPIRED_WITH_EACH);
        // What was never received became visible when it was sent, or a delay later: the oldest come first by that too.
        let expired: Vec<i64> = tx
            .prepare_cached(
                "SELECT id FROM sqs_messages WHERE pool = ?1 AND visible_at < ?2 ORDER BY visible_at LIMIT ?3",
            )?
            .query_map((queue.pool, before, count), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        expired.into_iter().try_for_each(|id| super::receive::remove(tx, queue.pool, id))
    }
}

/// Refuses a message that lacks what a FIFO queue needs.
pub(super) fn check_fifo(queue: &Queue, message: &NewMessage<'_>) -> Result<(), Refusal> {
    Fifo::of(queue, message).map(drop)
}

/// What a message is to a FIFO queue.
struct Fifo<'a> {
    group: &'a str,
    deduplication_id: String,
    /// The group within which it is looked for, or all.
    scope: &'a str,
}

impl<'a> Fifo<'a> {
    fn of(queue: &Queue, message: &NewMessage<'a>) -> Result<Option<Self>, Refusal> {
        if !queue.settings.is_fifo {
            return Ok(None);
        }
        let group = message.group_id.ok_or_else(|| Refusal::missing("MessageGroupId"))?;
        let deduplication_id = match message.deduplication_id {
            Some(id) => id.to_owned(),
            None if queue.settings.is_content_based => hex(Sha256::digest(message.body.as_bytes())),
            None => {
                let message = "The queue should either have ContentBasedDeduplication enabled or \
                               MessageDeduplicationId provided explicitly";
                return Err(Refusal::new(Code::InvalidParameterValue, message));
            }
        };
        let scope = if queue.settings.deduplicates_by_group { group } else { "" };
        Ok(Some(Self { group, deduplication_id, scope }))
    }

    /// Number and id of the message that was sent with the same deduplication id in the last five minutes.
    fn sent_before(
        &self,
        tx: &Transaction<'_>,
        queue: &Queue,
        now: Millis,
    ) -> rusqlite::Result<Option<(i64, Uuid)>> {
        tx.prepare_cached(
            "SELECT message, message_id FROM sqs_deduplications
             WHERE queue = ?1 AND scope = ?2 AND deduplication_id = ?3 AND expires_at > ?4",
        )?
        .query_row((queue.id, self.scope, &self.deduplication_id, now), |row| {
            Ok((row.get(0)?, Uuid::from_bytes(row.get(1)?)))
        })
        .optional()
    }

    fn remember(
        &self,
        tx: &Transaction<'_>,
        queue: &Queue,
        id: i64,
        message_id: Uuid,
        now: Millis,
    ) -> rusqlite::Result<()> {
        tx.prepare_cached(
            "INSERT OR REPLACE INTO sqs_deduplications
             (queue, scope, deduplication_id, message, message_id, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            queue.id,
            self.scope,
            &self.deduplication_id,
            id,
            message_id.as_bytes(),
            now + DEDUPLICATION,
        ))?;
        tx.prepare_cached(
            "DELETE FROM sqs_deduplications WHERE (queue, scope, deduplication_id) IN
             (SELECT queue, scope, deduplication_id FROM sqs_deduplications WHERE expires_at <= ?1 LIMIT ?2)",
        )?
        .execute((now, FORGOTTEN_WITH_EACH))?;
        Ok(())
    }
}

/// Refuses what this queue does not take; tells by how many seconds the message is delayed.
fn check(queue: &Queue, message: &NewMessage<'_>, body: &Examined) -> Result<i64, Refusal> {
    message.check(body)?;
    let bytes = message.bytes();
    let bytes_max = queue.settings.message_bytes_max;
    if bytes > bytes_max {
        let message = format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {bytes_max} bytes."
        );
        return Err(Refusal::new(Code::InvalidParameterValue, message));
    }
    let is_fifo = queue.settings.is_fifo;
    if let (false, Some(id)) = (is_fifo, message.deduplication_id) {
        return Err(wrong_type("MessageDeduplicationId", id));
    }
    match message.delay_seconds {
        None => Ok(queue.settings.delay_seconds),
        Some(delay) if !(0..=DELAY_SECONDS_MAX).contains(&delay) => {
            let reason = format!("DelaySeconds must be >= 0 and <= {DELAY_SECONDS_MAX}.");
            Err(Refusal::value(delay, "DelaySeconds", &reason))
        }
        // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
        // "When you set FifoQueue, you can't set DelaySeconds per message."
        Some(0) if is_fifo => Ok(queue.settings.delay_seconds),
        Some(delay) if is_fifo => Err(wrong_type("DelaySeconds", delay)),
        Some(delay) => Ok(delay),
    }
}

fn wrong_type(parameter: &str, value: impl std::fmt::Display) -> Refusal {
    let reason = "The request include parameter that is not valid for this queue type.";
    Refusal::value(value, parameter, reason)
}

fn trace_md5(header: &str) -> Option<String> {
    let value = message::AttributeValue::string(header);
    attributes_md5([(&"AWSTraceHeader".to_owned(), &value)])
}
