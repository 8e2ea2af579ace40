//! Items: what of a run is written into the table, and how it is read back.
//!
//! The record is one JSON document, as in the other store, so that it can be read in the console. The attributes beside it
//! are what conditions and indexes need; those of indexes change only when the run's place in them does, since each change
//! costs a write of its own.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::{SignedDuration, Timestamp};
use taskferry_core::{
    event::Event,
    reason,
    run::{Run, RunId},
};
use taskferry_engine::ports::Error;

use super::keys::{
    DEAD, DUE, DUE_AT, EXPIRES_AT, Key, LIST, LISTED, SK, dead_partition, list_partition, listed,
    sortable,
};

/// An item of the table, or a part of one.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The record, JSON.
pub(super) const RUN: &str = "run";
/// The record's revision.
pub(super) const REVISION: &str = "revision";
/// Which write made the item what it is.
pub(super) const WRITE: &str = "write";
/// The event, JSON, or a part of it.
pub(super) const EVENT: &str = "event";
/// The write that put the event aside, if it was put aside.
pub(super) const EVENT_ASIDE: &str = "eventAside";
/// Beside the record for the filters of lists.
pub(super) const RULE: &str = "rule";
/// Beside the record for the filters of lists.
pub(super) const EVENT_ID: &str = "eventId";
/// Beside the record for the filters of lists.
pub(super) const DEDUPE_KEY: &str = "dedupeKey";

/// An event that is longer than this is put aside, so that no update of its run pays for it.
///
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>: an update of one attribute
/// costs as much as the whole item.
const EVENT_INLINE_BYTES_MAX: usize = 2048;

/// How long a part of an event may be: an item has 400 KB, keys and names included.
///
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>
const EVENT_PART_BYTES_MAX: usize = 390_000;

/// Where a run stands in the indexes, and when it may be deleted: what to set, and what to remove.
pub(super) type Marks = [(&'static str, Option<AttributeValue>); 4];

pub(super) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn n(number: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(number.into().to_string())
}

pub(super) fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
}

/// The item of a new run.
pub(super) fn new_run(run: &Run, event: &Event, write: &str, retention: SignedDuration) -> Item {
    let mut item = Key::run(&run.id).item();
    let event =
        if is_put_aside(event) { (EVENT_ASIDE, s(write)) } else { (EVENT, s(event.text())) };
    let attributes = [
        (RUN, s(document(run))),
        (REVISION, n(run.revision)),
        (WRITE, s(write)),
        event,
        (RULE, s(&run.rule)),
        (EVENT_ID, s(&run.event.id)),
        (DEDUPE_KEY, s(&run.dedupe_key)),
        (LIST, s(list_partition(run))),
        (LISTED, s(listed(run))),
    ];
    let marks = marks(run, retention);
    let marks = marks.into_iter().filter_map(|(name, value)| value.map(|value| (name, value)));
    item.extend(attributes.into_iter().chain(marks).map(|(name, value)| (name.to_owned(), value)));
    item
}

/// What is beside the record and changes with it.
pub(super) fn marks(run: &Run, retention: SignedDuration) -> Marks {
    // A run in a queue is looked at once by itself: its limit is given its date then, and need not be in the transaction
    // that puts the run into the queue.
    let queued = run.queue.as_ref().map(|_| run.created_at);
    let due_at = queued.into_iter().chain(run.due_at).min();
    let [due, due_at] = dated(run, due_at);
    let expires_at = run.expires_at(retention).map(|expires_at| n(expires_at.as_second()));
    let dead = run.is_dead_letter().then(|| s(dead_partition(run)));
    [due, due_at, (DEAD, dead), (EXPIRES_AT, expires_at)]
}

/// The run's place in the index `due`.
pub(super) fn dated(
    run: &Run,
    due_at: Option<Timestamp>,
) -> [(&'static str, Option<AttributeValue>); 2] {
    [
        (DUE, due_at.map(|_| s(Key::run(&run.id).due_partition()))),
        (DUE_AT, due_at.map(|due_at| s(sortable(due_at)))),
    ]
}

/// The second in which DynamoDB may delete what was of use until `from`.
pub(super) fn expiry(from: Timestamp, retention: SignedDuration) -> AttributeValue {
    n(from.saturating_add(retention).map_or(i64::MAX, Timestamp::as_second))
}

pub(super) fn is_put_aside(event: &Event) -> bool {
    event.text().len() > EVENT_INLINE_BYTES_MAX
}

/// The items of an event that is put aside, which may be deleted from then on.
pub(super) fn event_parts(
    id: &RunId,
    event: &Event,
    write: &str,
    expires_at: &AttributeValue,
) -> Vec<Item> {
    let mut parts = Vec::new();
    let mut rest = event.text();
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(rest.floor_char_boundary(EVENT_PART_BYTES_MAX));
        let mut item = Key::event_part(id, write, parts.len()).item();
        item.insert(EVENT.to_owned(), s(part));
        item.insert(EXPIRES_AT.to_owned(), expires_at.clone());
        parts.push(item);
        rest = behind;
    }
    parts
}

/// The record as it is written.
pub(super) fn document(run: &Run) -> String {
    serde_json::to_string(run).expect("a run has nothing that JSON cannot say")
}

/// The record of an item.
pub(super) fn run(item: &Item) -> Result<Run, Error> {
    let unreadable = |source| Error::Refused { what: "reading a run's record", source };
    let document = text(item, RUN).ok_or_else(|| unreadable("the item has none".into()))?;
    serde_json::from_str(document).map_err(|error| unreadable(Box::new(error)))
}

/// The record of one item of several: one that cannot be read, say a newer version's, does not keep the others back.
pub(super) fn readable(item: &Item) -> Option<Run> {
    let unreadable = |error: &Error| {
        let id = text(item, SK).unwrap_or_default();
        tracing::error!(run_id = id, error = reason(error), "record not readable");
    };
    run(item).inspect_err(unreadable).ok()
}
