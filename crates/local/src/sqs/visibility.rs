//! What is done with a message that was received: it is deleted, or is invisible for another time.

use rusqlite::{OptionalExtension as _, Transaction};

use super::{
    Queues,
    clock::Millis,
    queue::Queue,
    receipt::Receipt,
    receive::{refresh_group, remove, set_visible_at},
    refusal::{Code, Fault, Refusal},
    settings::VISIBILITY_SECONDS_MAX,
};

/// A message in flight, or that was.
struct Taken {
    visible_at: Millis,
    received_at: Millis,
    /// In all queues.
    receives: i64,
    group: Option<String>,
}

fn load(tx: &Transaction<'_>, queue: &Queue, receipt: Receipt) -> rusqlite::Result<Option<Taken>> {
    tx.prepare_cached(
        "SELECT visible_at, received_at, receives + receives_elsewhere, fifo_group FROM sqs_messages
         WHERE id = ?1 AND pool = ?2",
    )?
    .query_row((receipt.message, queue.pool), |row| {
        Ok(Taken {
            visible_at: row.get(0)?,
            received_at: row.get::<_, Option<Millis>>(1)?.unwrap_or_default(),
            receives: row.get(2)?,
            group: row.get(3)?,
        })
    })
    .optional()
}

fn expired(handle: &str) -> Refusal {
    Refusal::value(handle, "ReceiptHandle", "The receipt handle has expired.")
}

impl Queues {
    /// Deletes the message that a handle stands for.
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
    // "Amazon SQS can delete a message from a queue even if a visibility timeout setting causes the message to be locked by
    // another consumer."
    pub(super) fn delete(
        &self,
        tx: &Transaction<'_>,
        queue: &Queue,
        handle: &str,
    ) -> Result<(), Fault> {
        let receipt = Receipt::of(queue.id, handle)?;
        let Some(taken) = load(tx, queue, receipt)? else { return Ok(()) };
        // In a FIFO queue it may be another's turn already.
        // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
        // "if a consumer whose message processing time is longer than the visibility timeout tries to delete the processed
        // messages, the action fails with an error"
        let is_past = taken.receives != receipt.receives || taken.visible_at <= self.now();
        if queue.settings.is_fifo && is_past {
            return Err(expired(handle).into());
        }
        remove(tx, queue.pool, receipt.message)?;
        if taken.group.is_some() {
            // The group's next can be received.
            self.wake(queue.id);
        }
        Ok(())
    }

    /// Has a message be visible again after so many seconds from now.
    pub(super) fn change_visibility(
        &self,
        tx: &Transaction<'_>,
        queue: &Queue,
        handle: &str,
        seconds: i64,
    ) -> Result<(), Fault> {
        if !(0..=VISIBILITY_SECONDS_MAX).contains(&seconds) {
            let reason = format!("VisibilityTimeout must be >= 0 and <= {VISIBILITY_SECONDS_MAX}.");
            return Err(Refusal::value(seconds, "VisibilityTimeout", &reason).into());
        }
        let receipt = Receipt::of(queue.id, handle)?;
        let Some(taken) = load(tx, queue, receipt)? else {
            let reason =
                "Message does not exist or is not available for visibility timeout change.";
            return Err(Refusal::value(handle, "ReceiptHandle", reason).into());
        };
        let now = self.now();
        if queue.settings.is_fifo && taken.receives != receipt.receives {
            return Err(expired(handle).into());
        }
        if taken.visible_at <= now {
            let message = "The specified message isn't in flight.";
            return Err(Refusal::new(Code::MessageNotInflight, message).into());
        }
        // Twelve hours from this receive, however often it is extended; counted in whole seconds, so that all of them can be
        // asked for right after it.
        // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
        let since = (now - taken.received_at).max(0) / 1000;
        if since + seconds > VISIBILITY_SECONDS_MAX {
            let reason = format!(
                "Total VisibilityTimeout for the message is beyond the limit [{VISIBILITY_SECONDS_MAX} seconds]"
            );
            return Err(Refusal::value(seconds, "VisibilityTimeout", &reason).into());
        }
        let visible_at = now + seconds * 1000;
        set_visible_at(tx, receipt.message, visible_at)?;
        if let Some(group) = &taken.group {
            refresh_group(tx, queue.pool, group)?;
        }
        self.note_due(queue.id, visible_at);
        if seconds == 0 {
            self.wake(queue.id);
        }
        Ok(())
    }
}
