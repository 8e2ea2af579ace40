//! Receiving: which messages are given out, for how long nobody else gets them, and where they go that were given out too
//! often.
//!
//! Within a transaction, by the time of the call. `wait` has clients wait for what is not there yet.

use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};
use uuid::Uuid;

use super::{
    Queues,
    clock::Millis,
    message::Attributes,
    queue::Queue,
    receipt::Receipt,
    refusal::{Code, Fault, Refusal},
    send::sequence_number,
};
use crate::{hex::hex, protocol::json_text};

/// How many messages of a queue are in flight at most.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
// "For most standard queues [...], there can be a maximum of approximately 120,000 in flight messages [...]. For FIFO queues,
// there can be a maximum of 120,000 in flight messages [...]. If you reach this limit, Amazon SQS returns no error messages."
const IN_FLIGHT_MAX: i64 = 120_000;

/// For how long a receive can be asked for again.
const ATTEMPT: Millis = 5 * 60 * 1000;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) count_max: usize,
    /// How many bytes are enough, as they are in JSON; the last message may go past it.
    pub(crate) bytes_max: usize,
    /// How long they are invisible, in seconds; the queue's time if not said.
    pub(crate) visibility_timeout: Option<i64>,
    /// By which a receive from a FIFO queue is known when it is asked for again.
    pub(crate) attempt: Option<&'a str>,
    /// Whether it is for an invocation of this process, and so is given back when the process ends.
    pub(crate) in_hand: bool,
}

/// A message that was received.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(super) id: i64,
    pub(crate) message_id: Uuid,
    pub(crate) receipt_handle: String,
    pub(crate) body: String,
    pub(crate) body_md5: String,
    pub(crate) attributes: Attributes,
    pub(crate) trace_header: Option<String>,
    pub(crate) group_id: Option<String>,
    pub(crate) deduplication_id: Option<String>,
    pub(crate) sequence_number: Option<String>,
    pub(crate) sent_at: Millis,
    pub(crate) first_received_at: Millis,
    /// In all queues that it was in.
    pub(crate) receives: i64,
    pub(crate) dead_letter_source: Option<String>,
}

impl Received {
    /// How long it is in an event or an answer at most: of what a message can say, a character is escaped by one more.
    pub(crate) fn bytes_in_json(&self) -> usize {
        const MEMBERS: usize = 1024;
        let attributes = self.attributes.iter().map(|(name, value)| {
            let values = [&value.string_value, &value.binary_value];
            let values: usize = values.into_iter().flatten().map(String::len).sum();
            name.len() + value.data_type.len() + values + 128
        });
        2 * (self.body.len() + attributes.sum::<usize>()) + MEMBERS
    }
}

/// The changing part of a message.
struct Head {
    id: i64,
    sent_at: Millis,
    visible_at: Millis,
    receives: i64,
    receives_elsewhere: i64,
    first_received_at: Option<Millis>,
    dead_letter_source: Option<String>,
}

const HEAD: &str =
    "id, sent_at, visible_at, receives, receives_elsewhere, first_received_at, dead_letter_source";

impl Head {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            sent_at: row.get(1)?,
            visible_at: row.get(2)?,
            receives: row.get(3)?,
            receives_elsewhere: row.get(4)?,
            first_received_at: row.get(5)?,
            dead_letter_source: row.get(6)?,
        })
    }
}

/// A receive that is under way.
struct Receive<'a> {
    queues: &'a Queues,
    tx: &'a Transaction<'a>,
    queue: &'a Queue,
    /// Where messages go that were received too often, and how often they are received before.
    dead_letters: Option<(Queue, i64)>,
    count_max: usize,
    bytes_max: usize,
    now: Millis,
    visible_at: Millis,
    in_hand: bool,
    taken: Vec<Received>,
    bytes: usize,
}

impl Queues {
    /// Receives what is there.
    pub(super) fn receive(
        &self,
        tx: &Transaction<'_>,
        queue: &Queue,
        wanted: &Wanted<'_>,
    ) -> Result<Vec<Received>, Fault> {
        let now = self.now();
        let timeout = wanted.visibility_timeout.unwrap_or(queue.settings.visibility_timeout);
        let visible_at = now + timeout * 1000;
        let attempt = wanted.attempt.filter(|_| queue.settings.is_fifo);
        if let Some(attempt) = attempt
            && let Some(again) = self.receive_again(tx, queue, attempt, visible_at)?
        {
            return Ok(again);
        }
        let mut count_max = wanted.count_max;
        let room = self.room_in_flight(tx, queue, now, count_max)?;
        if room < count_max {
            if room == 0 && !queue.settings.is_fifo {
                let message = "Too many messages in flight for this queue.";
                return Err(Refusal::new(Code::OverLimit, message).into());
            }
            count_max = room;
        }
        let mut receive = Receive {
            queues: self,
            tx,
            queue,
            dead_letters: queue.dead_letters(tx)?,
            count_max,
            bytes_max: wanted.bytes_max,
            now,
            visible_at,
            in_hand: wanted.in_hand,
            taken: Vec::new(),
            bytes: 0,
        };
        if queue.settings.is_fifo {
            receive.by_group()?;
        } else {
            receive.by_time()?;
        }
        let taken = receive.taken;
        self.took(queue.pool, taken.len());
        if !taken.is_empty() {
            self.note_due(queue.id, visible_at);
            if let Some(attempt) = attempt {
                remember_attempt(tx, queue, attempt, &taken, visible_at, now)?;
            }
        }
        Ok(taken)
    }

    /// How many messages may come into flight, as far as it is asked.
    fn room_in_flight(
        &self,
        connection: &Connection,
        queue: &Queue,
        now: Millis,
        wanted: usize,
    ) -> rusqlite::Result<usize> {
        let room = |in_flight: i64| usize::try_from(IN_FLIGHT_MAX - in_flight).unwrap_or(0);
        // They are counted when there may be too many, and not for each receive.
        if let Some(bound) = self.in_flight_bound(queue.pool)
            && room(bound) >= wanted
        {
            return Ok(wanted);
        }
        let counted = count(connection, queue, now)?.in_flight;
        self.counted_in_flight(queue.pool, counted);
        Ok(room(counted).min(wanted))
    }

    /// What the same receive gave, if all of it is as it left it.
    fn receive_again(
        &self,
        tx: &Transaction<'_>,
        queue: &Queue,
        attempt: &str,
        visible_at: Millis,
    ) -> rusqlite::Result<Option<Vec<Received>>> {
        let now = self.now();
        let found: Option<String> = tx
            .prepare_cached(
                "SELECT messages FROM sqs_receive_attempts WHERE queue = ?1 AND attempt = ?2 AND expires_at > ?3",
            )?
            .query_row((queue.id, attempt, now), |row| row.get(0))
            .optional()?;
        let given: Vec<(i64, i64, Millis)> =
            found.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let mut again = Vec::new();
        for &(id, receives, was_visible_at) in &given {
            let head = load(tx, queue.pool, id)?.filter(|head| {
                head.visible_at == was_visible_at
                    && was_visible_at > now
                    && head.receives + head.receives_elsewhere == receives
            });
            let Some(head) = head else { return Ok(None) };
            again.push(with_contents(tx, queue, head)?);
        }
        if again.is_empty() {
            return Ok(None);
        }
        for message in &again {
            set_visible_at(tx, message.id, visible_at)?;
            if let Some(group) = &message.group_id {
                refresh_group(tx, queue.pool, group)?;
            }
        }
        remember_attempt(tx, queue, attempt, &again, visible_at, now)?;
        self.note_due(queue.id, visible_at);
        Ok(Some(again))
    }
}

impl Receive<'_> {
    fn is_full(&self) -> bool {
        self.taken.len() >= self.count_max
            || (!self.taken.is_empty() && self.bytes >= self.bytes_max)
    }

    /// How many more there may be.
    fn room(&self) -> i64 {
        i64::try_from(self.count_max.saturating_sub(self.taken.len())).unwrap_or(i64::MAX)
    }

    /// From a standard queue: what has waited longest.
    fn by_time(&mut self) -> rusqlite::Result<()> {
        loop {
            let wanted = self.room();
            let heads: Vec<Head> = self
                .tx
                .prepare_cached(&format!(
                    "SELECT {HEAD} FROM sqs_messages WHERE pool = ?1 AND visible_at <= ?2
                     ORDER BY visible_at, sent_at, receives, id LIMIT ?3"
                ))?
                .query_map((self.queue.pool, self.now, wanted), Head::from_row)?
                .collect::<Result<_, _>>()?;
            let mut is_progress = false;
            for head in heads {
                if self.is_full() {
                    return Ok(());
                }
                is_progress |= self.take(head)?;
            }
            // Those that were deleted or moved on have made room for others.
            if self.is_full() || !is_progress {
                return Ok(());
            }
        }
    }

    /// From a FIFO queue: of the group that has waited longest as much as there is, then of the next.
    fn by_group(&mut self) -> rusqlite::Result<()> {
        loop {
            let groups: Vec<String> = self
                .tx
                .prepare_cached(
                    "SELECT name FROM sqs_groups WHERE pool = ?1 AND available_at <= ?2
                     ORDER BY available_at, head LIMIT ?3",
                )?
                .query_map((self.queue.pool, self.now, self.room()), |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            let mut is_progress = false;
            for group in groups {
                if self.is_full() {
                    break;
                }
                is_progress |= self.take_group(&group)?;
            }
            if self.is_full() || !is_progress {
                break;
            }
        }
        // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
        // "For each MessageGroupId, the messages are sorted by time sent."
        self.taken.sort_by_key(|message| message.id);
        Ok(())
    }

    fn take_group(&mut self, group: &str) -> rusqlite::Result<bool> {
        let wanted = self.room();
        let heads: Vec<Head> = self
            .tx
            .prepare_cached(&format!(
                "SELECT {HEAD} FROM sqs_messages WHERE pool = ?1 AND fifo_group = ?2 ORDER BY id LIMIT ?3"
            ))?
            .query_map((self.queue.pool, group, wanted), Head::from_row)?
            .collect::<Result<_, _>>()?;
        let mut is_progress = false;
        for head in heads {
            // What comes after one that is delayed waits for it.
            if self.is_full() || head.visible_at > self.now {
                break;
            }
            is_progress |= self.take(head)?;
        }
        refresh_group(self.tx, self.queue.pool, group)?;
        Ok(is_progress)
    }

    /// Gives a message out, or deletes it where its time is over, or moves it to the dead letters. False if it was given out
    /// in this receive already.
    fn take(&mut self, mut head: Head) -> rusqlite::Result<bool> {
        // With a visibility timeout of 0 it can be received at once, but not twice in one answer.
        if self.visible_at <= self.now && self.taken.iter().any(|message| message.id == head.id) {
            return Ok(false);
        }
        if head.sent_at < self.queue.expired_before(self.now) {
            remove(self.tx, self.queue.pool, head.id)?;
            return Ok(true);
        }
        if let Some((target, receives_max)) = &self.dead_letters
            && head.receives >= *receives_max
        {
            self.queues.bury(self.tx, self.queue, target, head.id, self.now)?;
            return Ok(true);
        }
        head.receives += 1;
        let first = *head.first_received_at.get_or_insert(self.now);
        self.tx
            .prepare_cached(
                "UPDATE sqs_messages SET visible_at = ?2, receives = ?3, first_received_at = ?4, received_at = ?5,
                 in_hand = ?6
                 WHERE id = ?1",
            )?
            .execute((head.id, self.visible_at, head.receives, first, self.now, self.in_hand))?;
        let message = with_contents(self.tx, self.queue, head)?;
        self.bytes += message.bytes_in_json();
        self.taken.push(message);
        Ok(true)
    }
}

impl Queues {
    /// Moves a message to the dead letters.
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/setting-up-dead-letter-queue-retention.html
    // "When a message is moved to a dead-letter queue, the enqueue timestamp is unchanged. [...] For FIFO queues, the enqueue
    // timestamp resets when the message is moved to a dead-letter queue."
    fn bury(
        &self,
        tx: &Transaction<'_>,
        source: &Queue,
        target: &Queue,
        id: i64,
        now: Millis,
    ) -> rusqlite::Result<()> {
        let group: Option<String> = tx
            .prepare_cached(
                "UPDATE sqs_messages SET pool = ?2, visible_at = ?3, sent_at = iif(?4, ?3, sent_at),
                 receives_elsewhere = receives_elsewhere + receives, receives = 0, dead_letter_source = ?5
                 WHERE id = ?1 RETURNING fifo_group",
            )?
            .query_row((id, target.pool, now, target.settings.is_fifo, source.arn()), |row| {
                row.get(0)
            })?;
        if let Some(group) = group {
            refresh_group(tx, source.pool, &group)?;
            refresh_group(tx, target.pool, &group)?;
        }
        self.wake(target.id);
        Ok(())
    }
}

fn load(connection: &Connection, pool: i64, id: i64) -> rusqlite::Result<Option<Head>> {
    connection
        .prepare_cached(&format!("SELECT {HEAD} FROM sqs_messages WHERE id = ?1 AND pool = ?2"))?
        .query_row((id, pool), Head::from_row)
        .optional()
}

/// Adds what the message says.
fn with_contents(connection: &Connection, queue: &Queue, head: Head) -> rusqlite::Result<Received> {
    let receives = head.receives + head.receives_elsewhere;
    let receipt = Receipt { queue: queue.id, message: head.id, receives };
    connection
        .prepare_cached(
            "SELECT message_id, body, body_md5, attributes, trace_header, group_id, deduplication_id
             FROM sqs_contents WHERE id = ?1",
        )?
        .query_row([head.id], |row| {
            let attributes: Option<String> = row.get(3)?;
            Ok(Received {
                id: head.id,
                message_id: Uuid::from_bytes(row.get(0)?),
                receipt_handle: receipt.handle(),
                body: row.get(1)?,
                body_md5: hex(row.get::<_, [u8; 16]>(2)?),
                attributes: attributes
                    .and_then(|text| serde_json::from_str(&text).ok())
                    .unwrap_or_default(),
                trace_header: row.get(4)?,
                group_id: row.get(5)?,
                deduplication_id: row.get(6)?,
                sequence_number: queue.settings.is_fifo.then(|| sequence_number(head.id)),
                sent_at: head.sent_at,
                first_received_at: head.first_received_at.unwrap_or_default(),
                receives,
                dead_letter_source: head.dead_letter_source,
            })
        })
}

fn remember_attempt(
    tx: &Transaction<'_>,
    queue: &Queue,
    attempt: &str,
    given: &[Received],
    visible_at: Millis,
    now: Millis,
) -> rusqlite::Result<()> {
    let given: Vec<_> = given.iter().map(|it| (it.id, it.receives, visible_at)).collect();
    tx.prepare_cached("INSERT OR REPLACE INTO sqs_receive_attempts VALUES (?1, ?2, ?3, ?4)")?
        .execute((queue.id, attempt, json_text(&given), now + ATTEMPT))?;
    tx.prepare_cached("DELETE FROM sqs_receive_attempts WHERE expires_at <= ?1")?.execute([now])?;
    Ok(())
}

/// Sets when a message can be received.
pub(super) fn set_visible_at(tx: &Transaction<'_>, id: i64, at: Millis) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE sqs_messages SET visible_at = ?2 WHERE id = ?1")?
        .execute((id, at))?;
    Ok(())
}

/// Deletes a message.
pub(super) fn remove(tx: &Transaction<'_>, pool: i64, id: i64) -> rusqlite::Result<()> {
    let group: Option<Option<String>> = tx
        .prepare_cached(
            "DELETE FROM sqs_messages WHERE id = ?1 AND pool = ?2 RETURNING fifo_group",
        )?
        .query_row((id, pool), |row| row.get(0))
        .optional()?;
    let Some(group) = group else { return Ok(()) };
    tx.prepare_cached("DELETE FROM sqs_contents WHERE id = ?1")?.execute([id])?;
    group.map_or(Ok(()), |group| refresh_group(tx, pool, &group))
}

/// Brings a group of a FIFO queue up to date with its messages: it is available when its first message is, and none of it is
/// in flight.
pub(super) fn refresh_group(tx: &Transaction<'_>, pool: i64, group: &str) -> rusqlite::Result<()> {
    let head: Option<(i64, Millis)> = tx
        .prepare_cached(
            "SELECT id, visible_at FROM sqs_messages WHERE pool = ?1 AND fifo_group = ?2 ORDER BY id LIMIT 1",
        )?
        .query_row((pool, group), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((head, visible_at)) = head else {
        tx.prepare_cached("DELETE FROM sqs_groups WHERE pool = ?1 AND name = ?2")?
            .execute((pool, group))?;
        return Ok(());
    };
    let taken: Option<Millis> = tx
        .prepare_cached(
            "SELECT max(visible_at) FROM sqs_messages WHERE pool = ?1 AND fifo_group = ?2 AND receives > 0",
        )?
        .query_row((pool, group), |row| row.get(0))?;
    let available_at = taken.map_or(visible_at, |taken| taken.max(visible_at));
    tx.prepare_cached("INSERT OR REPLACE INTO sqs_groups VALUES (?1, ?2, ?3, ?4)")?.execute((
        pool,
        group,
        available_at,
        head,
    ))?;
    Ok(())
}

/// How many messages a queue has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Counts {
    pub(super) visible: i64,
    pub(super) in_flight: i64,
    pub(super) delayed: i64,
}

/// Counts the messages of a queue.
pub(super) fn count(
    connection: &Connection,
    queue: &Queue,
    now: Millis,
) -> rusqlite::Result<Counts> {
    let not_expired = queue.expired_before(now);
    let visible = connection
        .prepare_cached(
            "SELECT count(*) FROM sqs_messages WHERE pool = ?1 AND visible_at <= ?2 AND sent_at >= ?3",
        )?
        .query_row((queue.pool, now, not_expired), |row| row.get(0))?;
    let (in_flight, all): (i64, i64) = connection
        .prepare_cached(
            "SELECT coalesce(sum(receives > 0), 0), count(*) FROM sqs_messages
             WHERE pool = ?1 AND visible_at > ?2 AND sent_at >= ?3",
        )?
        .query_row((queue.pool, now, not_expired), |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Counts { visible, in_flight, delayed: all - in_flight })
}

/// When the next message can be received that cannot be now.
pub(super) fn next_due(
    connection: &Connection,
    queue: &Queue,
    now: Millis,
) -> rusqlite::Result<Option<Millis>> {
    let sql = if queue.settings.is_fifo {
        "SELECT min(available_at) FROM sqs_groups WHERE pool = ?1 AND available_at > ?2"
    } else {
        "SELECT min(visible_at) FROM sqs_messages WHERE pool = ?1 AND visible_at > ?2"
    };
    connection.prepare_cached(sql)?.query_row((queue.pool, now), |row| row.get(0))
}
