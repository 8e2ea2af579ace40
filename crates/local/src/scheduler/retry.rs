//! Invocations that failed: tried again as the retry policy says, and at last sent to the dead-letter queue.

use jiff::Timestamp;
use rusqlite::Transaction;

use super::{
    Scheduler,
    context::Context,
    definition::Target,
    store::{self, Attempt},
    target::{Invoked, Kind, Refusal, deadline, input},
};
use crate::{
    delivery::Destination,
    sqs::{AttributeValue, NewMessage},
    timer::backoff,
};

/// How many are tried in one go.
const BATCH: u32 = 50;

/// An attempt that failed.
#[derive(Clone, Copy)]
pub(super) struct Ended<'a> {
    pub(super) context: &'a Context,
    pub(super) target: &'a Target,
    pub(super) refusal: &'a Refusal,
}

impl Scheduler {
    /// Tries what is due to be tried.
    pub(super) fn try_again(&self, now: Timestamp) -> rusqlite::Result<()> {
        loop {
            let due = self.db.read(|connection| store::due_attempts(connection, now, BATCH))?;
            if due.is_empty() {
                return Ok(());
            }
            due.iter().try_for_each(|attempt| self.try_once(attempt, now))?;
        }
    }

    fn try_once(&self, attempt: &Attempt, now: Timestamp) -> rusqlite::Result<()> {
        let Attempt { id, target, schedule_arn, scheduled, attempts } = attempt;
        let context = Context::new(schedule_arn.clone(), *scheduled, attempts.saturating_add(1));
        // Made before its row is gone: after a death it is made again, and ECS knows it by its token.
        let called = match Kind::of(&target.arn) {
            Some(Kind::Cluster) => Some(self.start_tasks(&context, target)),
            _ => None,
        };
        self.db.write(|tx| {
            let invoked = match called {
                Some(called) => called.map(|()| Invoked::Done),
                None => self.invoke(tx, &context, target)?,
            };
            match invoked {
                Ok(_) => store::delete_attempt(tx, *id),
                Err(refusal) => {
                    let ended = Ended { context: &context, target, refusal: &refusal };
                    self.after_failure(tx, Some(*id), &ended, now)
                }
            }
        })
    }

    /// Has a failed attempt followed by another, or by the dead-letter queue. `id` is its row, if it has one.
    pub(super) fn after_failure(
        &self,
        tx: &Transaction<'_>,
        id: Option<i64>,
        ended: &Ended<'_>,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let Ended { context, target, refusal } = *ended;
        let due = now.checked_add(backoff(context.attempt)).unwrap_or(Timestamp::MAX);
        let exhausted = if context.attempt > target.retry_attempts_max() {
            Some("MaximumRetryAttempts")
        } else {
            (due > deadline(context, target)).then_some("MaximumEventAgeInSeconds")
        };
        tracing::warn!(
            schedule = context.schedule_arn, scheduled = %context.scheduled, attempt = context.attempt,
            code = refusal.code, reason = refusal.message,
            "{}", if exhausted.is_some() { "a schedule's target was given up" } else { "a schedule's target was not invoked, and will be tried again" }
        );
        match (exhausted, id) {
            (Some(condition), id) => {
                self.bury(tx, ended, condition)?;
                id.map_or(Ok(()), |id| store::delete_attempt(tx, id))
            }
            (None, Some(id)) => store::postpone_attempt(tx, id, context.attempt, due),
            (None, None) => {
                let attempt = Attempt {
                    id: 0,
                    schedule_arn: context.schedule_arn.clone(),
                    scheduled: context.scheduled,
                    target: target.clone(),
                    attempts: context.attempt,
                };
                store::add_attempt(tx, &attempt, due)
            }
        }
    }

    /// Sends what was given up to the dead-letter queue, if there is one.
    // https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
    pub(super) fn bury(
        &self,
        tx: &Transaction<'_>,
        ended: &Ended<'_>,
        condition: &str,
    ) -> rusqlite::Result<()> {
        let Ended { context, target, refusal } = *ended;
        let queue = target.dead_letter_config.as_ref().and_then(|config| config.arn.as_deref());
        let Some(Ok(Destination::Queue(queue))) = queue.map(Destination::parse) else {
            return Ok(());
        };
        let attributes = [
            ("ERROR_CODE", refusal.code.to_owned()),
            ("ERROR_MESSAGE", refusal.message.clone()),
            ("EXECUTION_ID", context.execution_id.clone()),
            ("EXHAUSTED_RETRY_CONDITION", condition.to_owned()),
            ("IS_PAYLOAD_TRUNCATED", "false".to_owned()),
            ("RETRY_ATTEMPTS", (context.attempt - 1).to_string()),
            ("SCHEDULED_TIME", context.scheduled.to_string()),
            ("SCHEDULE_ARN", context.schedule_arn.clone()),
            ("TARGET_ARN", target.arn.clone()),
        ];
        let attributes =
            attributes.map(|(name, value)| (name.to_owned(), AttributeValue::string(value)));
        let body = input(context, target);
        let message =
            NewMessage { body: &body, attributes: attributes.into(), ..NewMessage::default() };
        if let Err(error) = self.deliveries.send(tx, &queue, &message)? {
            tracing::error!(schedule = context.schedule_arn, %error, "a dead letter was lost");
        }
        Ok(())
    }
}
