//! Message move tasks: dead letters back to the queues that they came from, or to another.
//!
//! A task is a row, and each step of it one transaction that moves some messages and counts them: after a crash it goes on
//! where it was.

use std::{sync::Arc, time::Duration};

use base64_simd::STANDARD as BASE64;
use rusqlite::{OptionalExtension as _, Row, Transaction};
use serde_json::{Value, json};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    Queues, arn,
    clock::Millis,
    queue::Queue,
    queues::sources,
    receive::{count, refresh_group},
    refusal::{Code, Fault, Refusal},
};
use crate::db::Db;

/// How many messages a second a client may ask for.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
const PER_SECOND_MAX: i64 = 500;

/// How many tasks of a queue are told of, and how many unless asked.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ListMessageMoveTasks.html
const RESULTS_MAX: i64 = 10;

/// How many messages a step moves, and the wait after it, in which others have their turn.
const STEP: i64 = 100;
const BREATH: Duration = Duration::from_millis(2);

/// The shortest wait between steps of a task with a rate.
const RATED_STEP: Duration = Duration::from_millis(100);

/// The wait after a step failed.
const RETRY: Duration = Duration::from_secs(5);

/// A task that runs.
struct Task {
    source: String,
    destination: Option<String>,
    per_second: Option<i64>,
    /// Messages that came later are not moved: they may be those that came back.
    last_message: i64,
}

/// What follows a step.
enum Next {
    Step(Duration),
    End,
}

fn no_resource(parameter: &str) -> Refusal {
    let message =
        format!("The resource that you specified for the {parameter} parameter doesn't exist.");
    Refusal::new(Code::ResourceNotFound, message)
}

/// The queue of an ARN that a parameter gives.
fn by_arn(tx: &Transaction<'_>, parameter: &str, arn: &str) -> Result<Queue, Fault> {
    let queue = match arn::queue_name(arn) {
        Some(name) => Queue::find(tx, name)?,
        None => None,
    };
    Ok(queue.ok_or_else(|| no_resource(parameter))?)
}

fn handle(task: &str, source: &str) -> String {
    BASE64.encode_to_string(json!({ "taskId": task, "sourceArn": source }).to_string())
}

impl Queues {
    /// Records a task that is to run. Returns its id and its handle.
    pub(super) fn start_move(
        &self,
        tx: &Transaction<'_>,
        source: &str,
        destination: Option<&str>,
        per_second: Option<i64>,
    ) -> Result<(String, String), Fault> {
        if let Some(rate) = per_second.filter(|rate| !(1..=PER_SECOND_MAX).contains(rate)) {
            let reason = format!("Must be between 1 and {PER_SECOND_MAX}.");
            return Err(Refusal::value(rate, "MaxNumberOfMessagesPerSecond", &reason).into());
        }
        let invalid =
            |message: &str| Err(Refusal::new(Code::InvalidParameterValue, message).into());
        let queue = by_arn(tx, "SourceArn", source)?;
        if let Some(destination) = destination {
            let target = by_arn(tx, "DestinationArn", destination)?;
            if target.id == queue.id {
                return invalid("Source queue and destination queue must not be the same.");
            }
            if target.settings.is_fifo != queue.settings.is_fifo {
                return invalid("Destination queue must be of the same type as the source queue.");
            }
        }
        if sources(tx, &queue)?.is_empty() {
            return invalid("Source queue must be configured as a Dead Letter Queue.");
        }
        let running: Option<i64> = tx
            .prepare_cached(
                "SELECT id FROM sqs_move_tasks WHERE source = ?1 AND status = 'RUNNING'",
            )?
            .query_row([&queue.name], |row| row.get(0))
            .optional()?;
        if running.is_some() {
            return invalid(
                "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
            );
        }
        let now = self.now();
        let task = Uuid::now_v7().to_string();
        tx.execute(
            "INSERT INTO sqs_move_tasks
             (task_id, source, destination, per_second, status, last_message, to_move, started_at)
             VALUES (?1, ?2, ?3, ?4, 'RUNNING', ?5, ?6, ?7)",
            (
                &task,
                &queue.name,
                destination.and_then(arn::queue_name),
                per_second,
                self.next_id(tx)?,
                count(tx, &queue, now)?.visible,
                now,
            ),
        )?;
        let handle = handle(&task, source);
        Ok((task, handle))
    }

    /// Ends a task. Returns how many messages it has moved.
    pub(super) fn cancel_move(tx: &Transaction<'_>, handle: &str) -> Result<i64, Fault> {
        let invalid = || {
            Refusal::new(
                Code::InvalidParameterValue,
                format!("Value {handle} for parameter TaskHandle is invalid."),
            )
        };
        let told = BASE64.decode_to_vec(handle).ok();
        let told: Option<Value> = told.and_then(|it| serde_json::from_slice(&it).ok());
        let told = told.ok_or_else(invalid)?;
        let source = told["sourceArn"].as_str().ok_or_else(invalid)?;
        by_arn(tx, "SourceArn", source)?;
        let task = told["taskId"].as_str().ok_or_else(invalid)?;
        let found: Option<(String, i64)> = tx
            .prepare_cached("SELECT status, moved FROM sqs_move_tasks WHERE task_id = ?1")?
            .query_row([task], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((status, moved)) = found else {
            return Err(Refusal::new(Code::ResourceNotFound, "Task does not exist.").into());
        };
        if status != "RUNNING" {
            let message = "Only active tasks can be cancelled.";
            return Err(Refusal::new(Code::UnsupportedOperation, message).into());
        }
        tx.execute("UPDATE sqs_move_tasks SET status = 'CANCELLED' WHERE task_id = ?1", [task])?;
        Ok(moved)
    }

    /// The newest tasks of a queue, as the API tells of them.
    pub(super) fn list_moves(
        tx: &Transaction<'_>,
        source: &str,
        count_max: Option<i64>,
    ) -> Result<Vec<Value>, Fault> {
        let count_max = count_max.unwrap_or(1);
        if !(1..=RESULTS_MAX).contains(&count_max) {
            let reason = format!("Must be between 1 and {RESULTS_MAX}.");
            return Err(Refusal::value(count_max, "MaxResults", &reason).into());
        }
        let queue = by_arn(tx, "SourceArn", source)?;
        let tell = |row: &Row<'_>| {
            let (task, status): (String, String) = (row.get(0)?, row.get(1)?);
            let mut told = json!({
                "Status": status,
                "SourceArn": queue.arn(),
                "ApproximateNumberOfMessagesMoved": row.get::<_, i64>(4)?,
                "ApproximateNumberOfMessagesToMove": row.get::<_, i64>(5)?,
                "StartedTimestamp": row.get::<_, Millis>(7)?,
            });
            if status == "RUNNING" {
                told["TaskHandle"] = json!(handle(&task, source));
            }
            if let Some(destination) = row.get::<_, Option<String>>(2)? {
                told["DestinationArn"] = json!(arn::queue_arn(&destination));
            }
            if let Some(rate) = row.get::<_, Option<i64>>(3)? {
                told["MaxNumberOfMessagesPerSecond"] = json!(rate);
            }
            if let Some(failure) = row.get::<_, Option<String>>(6)? {
                told["FailureReason"] = json!(failure);
            }
            Ok(told)
        };
        let told = tx
            .prepare_cached(
                "SELECT task_id, status, destination, per_second, moved, to_move, failure, started_at
                 FROM sqs_move_tasks WHERE source = ?1 ORDER BY id DESC LIMIT ?2",
            )?
            .query_map((&queue.name, count_max), tell)?
            .collect::<Result<_, _>>()?;
        Ok(told)
    }

    /// The ids of the tasks that run.
    pub(super) fn running_moves(tx: &Transaction<'_>) -> rusqlite::Result<Vec<String>> {
        tx.prepare_cached("SELECT task_id FROM sqs_move_tasks WHERE status = 'RUNNING'")?
            .query_map([], |row| row.get(0))?
            .collect()
    }

    /// Performs a task to its end.
    pub(super) async fn perform_move(self, db: Arc<Db>, task: String) {
        loop {
            match db.write(|tx| self.move_some(tx, &task)) {
                Ok(Next::End) => return,
                Ok(Next::Step(wait)) => sleep(wait).await,
                Err(error) => {
                    tracing::error!(%error, "a message move task cannot go on for now");
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Performs a step.
    fn move_some(&self, tx: &Transaction<'_>, id: &str) -> rusqlite::Result<Next> {
        let task = tx
            .prepare_cached(
                "SELECT source, destination, per_second, last_message FROM sqs_move_tasks
                 WHERE task_id = ?1 AND status = 'RUNNING'",
            )?
            .query_row([id], |row| {
                Ok(Task {
                    source: row.get(0)?,
                    destination: row.get(1)?,
                    per_second: row.get(2)?,
                    last_message: row.get(3)?,
                })
            })
            .optional()?;
        let Some(task) = task else { return Ok(Next::End) };
        let Some(source) = Queue::find(tx, &task.source)? else {
            return end(tx, id, "FAILED", Some("AWS.SimpleQueueService.NonExistentQueue"));
        };
        let now = self.now();
        let step_max = task.per_second.map_or(STEP, |rate| (rate / 10).max(1));
        let messages: Vec<(i64, Option<String>)> = tx
            .prepare_cached(
                "SELECT id, dead_letter_source FROM sqs_messages
                 WHERE pool = ?1 AND visible_at <= ?2 AND id <= ?3 AND sent_at >= ?4
                 ORDER BY visible_at, sent_at, receives, id LIMIT ?5",
            )?
            .query_map(
                (source.pool, now, task.last_message, source.expired_before(now), step_max),
                |row| Ok((row.get(0)?, row.get(1)?)),
            )?
            .collect::<Result<_, _>>()?;
        if messages.is_empty() {
            return end(tx, id, "COMPLETED", None);
        }
        let mut moved = 0;
        for (message, came_from) in messages {
            let target = task.destination.as_deref();
            let target = target.or_else(|| came_from.as_deref().and_then(arn::queue_name));
            let target = match target {
                Some(name) => Queue::find(tx, name)?,
                None => None,
            };
            let Some(target) = target else {
                count_moved(tx, id, moved)?;
                let reason = if task.destination.is_some() {
                    "AWS.SimpleQueueService.NonExistentQueue"
                } else {
                    "CouldNotDetermineMessageSource"
                };
                return end(tx, id, "FAILED", Some(reason));
            };
            self.move_one(tx, &source, &target, message, now)?;
            moved += 1;
        }
        count_moved(tx, id, moved)?;
        let wait = task.per_second.map_or(BREATH, |rate| {
            let per_message = 1.0 / f64::from(i32::try_from(rate).unwrap_or(1));
            let messages = f64::from(i32::try_from(step_max).unwrap_or(1));
            Duration::from_secs_f64(per_message * messages).max(RATED_STEP)
        });
        Ok(Next::Step(wait))
    }

    /// Moves a message.
    // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
    // "Redriven messages are considered new messages with a new messageID and enqueueTime are assigned to redriven messages."
    fn move_one(
        &self,
        tx: &Transaction<'_>,
        source: &Queue,
        target: &Queue,
        message: i64,
        now: Millis,
    ) -> rusqlite::Result<()> {
        let id = self.next_id(tx)?;
        tx.prepare_cached("UPDATE sqs_contents SET id = ?2, message_id = ?3 WHERE id = ?1")?
            .execute((message, id, Uuid::now_v7().as_bytes()))?;
        let group: Option<String> = tx
            .prepare_cached(
                "UPDATE sqs_messages SET id = ?2, pool = ?3, sent_at = ?4, visible_at = ?4, receives = 0,
                 receives_elsewhere = 0, first_received_at = NULL, received_at = NULL, dead_letter_source = NULL
                 WHERE id = ?1 RETURNING fifo_group",
            )?
            .query_row((message, id, target.pool, now), |row| row.get(0))?;
        if let Some(group) = group {
            refresh_group(tx, source.pool, &group)?;
            refresh_group(tx, target.pool, &group)?;
        }
        self.wake(target.id);
        Ok(())
    }
}

fn count_moved(tx: &Transaction<'_>, task: &str, moved: i64) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE sqs_move_tasks SET moved = moved + ?2 WHERE task_id = ?1")?
        .execute((task, moved))?;
    Ok(())
}

fn end(
    tx: &Transaction<'_>,
    task: &str,
    status: &str,
    failure: Option<&str>,
) -> rusqlite::Result<Next> {
    tx.prepare_cached("UPDATE sqs_move_tasks SET status = ?2, failure = ?3 WHERE task_id = ?1")?
        .execute((task, status, failure))?;
    Ok(Next::End)
}
