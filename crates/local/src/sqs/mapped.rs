//! What Lambda's mappings do with messages in hand.

use std::time::Duration;

use rusqlite::{Connection, Transaction};

use super::{
    Queues,
    queue::Queue,
    receive::{Received, refresh_group},
    refusal::Fault,
};

impl Queues {
    /// The visibility timeout of a queue, if there is one of this name.
    ///
    /// # Errors
    ///
    /// The database's.
    pub fn visibility_timeout(
        connection: &Connection,
        queue: &str,
    ) -> rusqlite::Result<Option<Duration>> {
        let seconds = Queue::find(connection, queue)?.map(|it| it.settings.visibility_timeout);
        Ok(seconds.map(|seconds| Duration::from_secs(seconds.unsigned_abs())))
    }

    /// Deletes messages that are done. One that is in flight for another by now stays, where it keeps an order.
    pub(crate) fn delete_done(
        &self,
        tx: &Transaction<'_>,
        queue: &str,
        done: &[&Received],
    ) -> rusqlite::Result<()> {
        let Some(queue) = Queue::find(tx, queue)? else { return Ok(()) };
        for message in done {
            match self.delete(tx, &queue, &message.receipt_handle) {
                Ok(()) => {}
                Err(Fault::Refused(refusal)) => {
                    tracing::warn!(queue = %queue.name, reason = %refusal, "a message that is done comes again");
                }
                Err(Fault::Storage(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Lets go of messages that no invocation has any more: what is left of them comes again by its visibility timeout.
    pub(crate) fn let_go(tx: &Transaction<'_>, messages: &[Received]) -> rusqlite::Result<()> {
        let mut let_go = tx.prepare_cached(
            "UPDATE sqs_messages SET in_hand = 0
             WHERE id = ?1 AND in_hand AND receives + receives_elsewhere = ?2",
        )?;
        messages.iter().try_for_each(|it| let_go.execute((it.id, it.receives)).map(drop))
    }

    /// Gives back what mappings of a process that is gone had in hand: it may have been worked on, so it counts as received.
    pub(crate) fn give_back(&self, tx: &Transaction<'_>, queue: &str) -> rusqlite::Result<()> {
        let Some(queue) = Queue::find(tx, queue)? else { return Ok(()) };
        let groups: Vec<Option<String>> = tx
            .prepare_cached(
                "UPDATE sqs_messages SET visible_at = ?2, in_hand = 0
                 WHERE pool = ?1 AND visible_at > ?2 AND in_hand RETURNING fifo_group",
            )?
            .query_map((queue.pool, self.now()), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for group in groups.iter().flatten() {
            refresh_group(tx, queue.pool, group)?;
        }
        self.wake(queue.id);
        Ok(())
    }

    /// Gives messages back that nobody has worked on, as if they had not been received.
    pub(crate) fn release(
        &self,
        tx: &Transaction<'_>,
        queue: &str,
        messages: &[Received],
    ) -> rusqlite::Result<()> {
        let Some(queue) = Queue::find(tx, queue)? else { return Ok(()) };
        for message in messages {
            tx.prepare_cached(
                "UPDATE sqs_messages SET visible_at = ?3, receives = receives - 1, in_hand = 0
                 WHERE id = ?1 AND pool = ?2 AND receives > 0 AND receives + receives_elsewhere = ?4",
            )?
            .execute((message.id, queue.pool, self.now(), message.receives))?;
            if let (true, Some(group)) = (queue.settings.is_fifo, &message.group_id) {
                refresh_group(tx, queue.pool, group)?;
            }
        }
        self.wake(queue.id);
        Ok(())
    }
}
