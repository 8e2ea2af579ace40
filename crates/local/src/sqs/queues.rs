//! Queues made, described, changed, emptied and deleted.
//!
//! Each is one transaction. A purge and a deletion take a queue's messages out of reach at once, however many there are;
//! `drain` deletes their rows afterwards.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Transaction};

use super::{
    Queues, arn,
    clock::Millis,
    queue::Queue,
    receive::count,
    refusal::{Code, Fault, Refusal},
    settings::{self, Settings},
};
use crate::protocol::json_text;

/// How long after a purge there is no other.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_PurgeQueue.html
// "PurgeQueueInProgress: [...] Amazon SQS only allows one PurgeQueue operation every 60 seconds."
const PURGE: Millis = 60_000;

/// The attributes of a queue, by name.
pub type QueueAttributes = BTreeMap<String, String>;

/// The tags of a queue.
pub(super) type Tags = BTreeMap<String, String>;

/// The queue of this name, or the refusal.
pub(super) fn find(connection: &Connection, name: &str) -> Result<Queue, Fault> {
    Ok(Queue::find(connection, name)?.ok_or_else(Refusal::no_queue)?)
}

impl Queues {
    /// Makes a queue, unless it is there with these attributes: for whoever deploys what rules ask for.
    ///
    /// Attributes that are not named stay as they are in a queue that is there.
    ///
    /// # Errors
    ///
    /// SQLite's, if a row cannot be read or written; inside, a [`Refusal`] if the name or an attribute is not valid, or a queue
    /// of this name has others.
    pub fn create(
        &self,
        tx: &Transaction<'_>,
        name: &str,
        attributes: &QueueAttributes,
    ) -> rusqlite::Result<Result<(), Refusal>> {
        refused(self.create_queue(tx, name, attributes, &Tags::new()))
    }

    /// Sets attributes of a queue, for whoever deploys.
    ///
    /// # Errors
    ///
    /// SQLite's, if a row cannot be read or written; inside, a [`Refusal`] if there is no such queue, or an attribute is not
    /// valid.
    pub fn set_attributes(
        &self,
        tx: &Transaction<'_>,
        name: &str,
        attributes: &QueueAttributes,
    ) -> rusqlite::Result<Result<(), Refusal>> {
        refused(find(tx, name).and_then(|queue| self.set(tx, queue, attributes)))
    }

    /// Whether there is a queue of this name.
    ///
    /// # Errors
    ///
    /// SQLite's, if it cannot be read.
    pub fn exists(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
        Ok(Queue::find(connection, name)?.is_some())
    }

    /// Makes a queue, unless it is there with these attributes.
    pub(super) fn create_queue(
        &self,
        tx: &Transaction<'_>,
        name: &str,
        attributes: &QueueAttributes,
        tags: &Tags,
    ) -> Result<(), Fault> {
        let is_fifo = attributes.get("FifoQueue").is_some_and(|it| it == "true");
        if !arn::is_name(name) || (name.ends_with(settings::FIFO_SUFFIX) && !is_fifo) {
            let message = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
            return Err(Refusal::new(Code::InvalidParameterValue, message).into());
        }
        let settings = Settings::new(name, attributes)?;
        if let Some(there) = Queue::find(tx, name)? {
            return Ok(same(&there, attributes)?);
        }
        check_redrive(tx, name, &settings)?;
        check_tags(name, tags, tags)?;
        let now = self.now();
        let id = self.next_id(tx)?;
        let pool = self.next_id_after(id);
        tx.prepare_cached(
            "INSERT INTO sqs_queues (id, name, pool, settings, tags, created_at, modified_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        )?
        .execute((id, name, pool, json_text(&settings), json_text(tags), now))?;
        Ok(())
    }

    /// Sets attributes.
    pub(super) fn set(
        &self,
        tx: &Transaction<'_>,
        mut queue: Queue,
        attributes: &QueueAttributes,
    ) -> Result<(), Fault> {
        let former_delay = queue.settings.delay_seconds;
        queue.settings.set(attributes)?;
        if attributes.contains_key("RedrivePolicy") {
            check_redrive(tx, &queue.name, &queue.settings)?;
        }
        self.store(tx, &queue)?;
        // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
        // "For FIFO queues, the per-queue delay setting is retroactive: changing the setting affects the delay of messages
        // already in the queue."
        if queue.settings.is_fifo && queue.settings.delay_seconds != former_delay {
            let delay = queue.settings.delay_seconds * 1000;
            tx.execute(
                "UPDATE sqs_messages SET visible_at = sent_at + ?2
                 WHERE pool = ?1 AND receives = 0 AND receives_elsewhere = 0",
                (queue.pool, delay),
            )?;
            let groups: Vec<String> = tx
                .prepare_cached("SELECT name FROM sqs_groups WHERE pool = ?1")?
                .query_map([queue.pool], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for group in &groups {
                super::receive::refresh_group(tx, queue.pool, group)?;
            }
        }
        // Those who wait go by what is now set.
        self.wake_all(queue.id);
        Ok(())
    }

    /// Writes a queue's settings.
    pub(super) fn store(&self, tx: &Transaction<'_>, queue: &Queue) -> rusqlite::Result<()> {
        tx.prepare_cached("UPDATE sqs_queues SET settings = ?2, modified_at = ?3 WHERE id = ?1")?
            .execute((queue.id, json_text(&queue.settings), self.now()))?;
        Ok(())
    }

    /// The attributes of these names; of all, where one of them is `All`.
    pub(super) fn describe(
        &self,
        connection: &Connection,
        queue: &Queue,
        names: &[String],
    ) -> Result<QueueAttributes, Fault> {
        let is_all = names.iter().any(|name| name == "All");
        if let Some(unknown) = names.iter().find(|it| *it != "All" && !settings::is_attribute(it)) {
            let message = format!("Unknown Attribute {unknown}.");
            return Err(Refusal::new(Code::InvalidAttributeName, message).into());
        }
        let is_wanted = |name: &str| is_all || names.iter().any(|it| it == name);
        let mut attributes: QueueAttributes =
            queue.settings.all().map(|(name, value)| (name.to_owned(), value)).collect();
        attributes.insert("QueueArn".to_owned(), queue.arn());
        if names.iter().any(|name| name == "All" || name.starts_with("ApproximateNumber")) {
            let counts = count(connection, queue, self.now())?;
            for (name, number) in [
                ("ApproximateNumberOfMessages", counts.visible),
                ("ApproximateNumberOfMessagesNotVisible", counts.in_flight),
                ("ApproximateNumberOfMessagesDelayed", counts.delayed),
            ] {
                attributes.insert(name.to_owned(), number.to_string());
            }
        }
        let times: (Millis, Millis) = connection
            .prepare_cached("SELECT created_at, modified_at FROM sqs_queues WHERE id = ?1")?
            .query_row([queue.id], |row| Ok((row.get(0)?, row.get(1)?)))?;
        attributes.insert("CreatedTimestamp".to_owned(), (times.0 / 1000).to_string());
        attributes.insert("LastModifiedTimestamp".to_owned(), (times.1 / 1000).to_string());
        attributes.retain(|name, _| is_wanted(name));
        Ok(attributes)
    }

    /// Deletes a queue.
    pub(super) fn delete_queue(&self, tx: &Transaction<'_>, queue: &Queue) -> rusqlite::Result<()> {
        tx.execute("DELETE FROM sqs_queues WHERE id = ?1", [queue.id])?;
        tx.execute("INSERT INTO sqs_drained VALUES (?1)", [queue.pool])?;
        self.forget(queue.id, queue.pool);
        Ok(())
    }

    /// Empties a queue.
    pub(super) fn purge(&self, tx: &Transaction<'_>, queue: &Queue) -> Result<(), Fault> {
        let now = self.now();
        let purged_at: Option<Millis> =
            tx.query_row("SELECT purged_at FROM sqs_queues WHERE id = ?1", [queue.id], |row| {
                row.get(0)
            })?;
        // A clock that was set back does not forbid it for longer.
        if purged_at.is_some_and(|at| (0..PURGE).contains(&(now - at))) {
            let message = format!(
                "Only one PurgeQueue operation on {} is allowed every 60 seconds.",
                queue.name
            );
            return Err(Refusal::new(Code::PurgeQueueInProgress, message).into());
        }
        let pool = self.next_id(tx)?;
        tx.execute(
            "UPDATE sqs_queues SET pool = ?2, purged_at = ?3 WHERE id = ?1",
            (queue.id, pool, now),
        )?;
        tx.execute("INSERT INTO sqs_drained VALUES (?1)", [queue.pool])?;
        Ok(())
    }
}

/// Takes the refusal out of a fault.
fn refused<T>(result: Result<T, Fault>) -> rusqlite::Result<Result<T, Refusal>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Fault::Refused(refusal)) => Ok(Err(refusal)),
        Err(Fault::Storage(error)) => Err(error),
    }
}

/// Refuses to make a queue that is there with other attributes.
fn same(there: &Queue, attributes: &QueueAttributes) -> Result<(), Refusal> {
    for (name, value) in attributes {
        let mut asked = there.settings.clone();
        // One by one: together they are valid, as a new queue could have them.
        let one = BTreeMap::from([(name.clone(), value.clone())]);
        if asked.set(&one).is_err() || asked != there.settings {
            let message = format!(
                "A queue already exists with the same name and a different value for attribute {name}"
            );
            return Err(Refusal::new(Code::QueueNameExists, message));
        }
    }
    Ok(())
}

/// Refuses a queue for dead letters that is not there, of another type, or does not allow it.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
// "The dead-letter queue of a FIFO queue must also be a FIFO queue. Similarly, the dead-letter queue of a standard queue must
// also be a standard queue."
fn check_redrive(connection: &Connection, name: &str, settings: &Settings) -> Result<(), Fault> {
    let Some(redrive) = &settings.redrive else { return Ok(()) };
    let refuse = |reason: &str| {
        let policy = settings.get("RedrivePolicy").unwrap_or_default();
        Err(Refusal::value(policy, "RedrivePolicy", reason).into())
    };
    let target = match arn::queue_name(&redrive.target) {
        Some(target) => Queue::find(connection, target)?,
        None => None,
    };
    let Some(target) = target else { return refuse("Dead letter target does not exist.") };
    if target.settings.is_fifo != settings.is_fifo {
        return refuse("Dead-letter queue must be same type of queue as the source.");
    }
    let allow = target.settings.redrive_allow.as_ref();
    if allow.is_some_and(|allow| !allow.allows(&arn::queue_arn(name))) {
        return refuse(
            "The dead-letter queue does not allow this queue by its RedriveAllowPolicy.",
        );
    }
    Ok(())
}

/// The names of queues that begin with this, after `after`, in order.
pub(super) fn names(
    connection: &Connection,
    prefix: &str,
    after: &str,
    count_max: i64,
) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached(
            "SELECT name FROM sqs_queues WHERE name > ?2 AND name >= ?1 AND substr(name, 1, length(?1)) = ?1
             ORDER BY name LIMIT ?3",
        )?
        .query_map((prefix, after, count_max), |row| row.get(0))?
        .collect()
}

/// The names of the queues whose dead letters come to this one.
pub(super) fn sources(connection: &Connection, queue: &Queue) -> rusqlite::Result<Vec<String>> {
    let arn = queue.arn();
    let is_source =
        |it: &Queue| it.settings.redrive.as_ref().is_some_and(|redrive| redrive.target == arn);
    Ok(Queue::all(connection)?.into_iter().filter(is_source).map(|it| it.name).collect())
}

/// How many tags a queue has at most, and how long their parts are.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
const TAGS_MAX: usize = 50;
const TAG_KEY_CHARACTERS_MAX: usize = 128;
const TAG_VALUE_CHARACTERS_MAX: usize = 256;

/// Refuses tags that a queue cannot have: `added` are new, `all` are those that it would have then.
fn check_tags(name: &str, added: &Tags, all: &Tags) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(Code::InvalidParameterValue, message));
    if all.len() > TAGS_MAX {
        return invalid(format!("Too many tags added for queue {name}."));
    }
    for (key, value) in added {
        if !(1..=TAG_KEY_CHARACTERS_MAX).contains(&key.chars().count()) {
            return invalid(format!(
                "Tag keys must be between 1 and {TAG_KEY_CHARACTERS_MAX} characters in length."
            ));
        }
        if value.chars().count() > TAG_VALUE_CHARACTERS_MAX {
            return invalid(format!(
                "Tag values must be between 0 and {TAG_VALUE_CHARACTERS_MAX} characters in length."
            ));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return invalid("Tag keys cannot start with the reserved prefix aws:.".to_owned());
        }
    }
    Ok(())
}

/// The tags of a queue.
pub(super) fn tags(connection: &Connection, queue: &Queue) -> rusqlite::Result<Tags> {
    let text: Option<String> = connection
        .prepare_cached("SELECT tags FROM sqs_queues WHERE id = ?1")?
        .query_row([queue.id], |row| row.get(0))
        .optional()?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// Adds tags, and removes those of these keys.
pub(super) fn change_tags(
    tx: &Transaction<'_>,
    queue: &Queue,
    added: Tags,
    removed: &[String],
) -> Result<(), Fault> {
    let mut all = tags(tx, queue)?;
    all.retain(|key, _| !removed.contains(key));
    let given = added.clone();
    all.extend(added);
    check_tags(&queue.name, &given, &all)?;
    tx.execute("UPDATE sqs_queues SET tags = ?2 WHERE id = ?1", (queue.id, json_text(&all)))?;
    Ok(())
}
