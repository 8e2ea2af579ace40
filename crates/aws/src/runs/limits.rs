//! The items that runs share: the limits' holders and queues, and the windows of the quota.
//!
//! Called by the store. A limit's item has the set of who holds its slots, so that nothing is counted apart from them; a
//! place in its queue is an item of its own in the same partition, so that a burst of runs that join meets at no item.
//!
//! A limit is looked at by the sweep while it is in the index `due`. A run that joins a queue is in that index itself until
//! the sweep has seen it (`due`): that puts its limit there, under a new revision, so that whoever found the queue empty
//! before cannot take the limit out any more.

use aws_sdk_dynamodb::{Client, operation::update_item::UpdateItemError, types::AttributeValue};
use jiff::{SignedDuration, Timestamp};
use taskferry_core::{
    limits::{LimitId, LimitState},
    pace::Window,
    run::{Run, RunId},
};
use taskferry_engine::ports::Error;

use super::{
    calls::{batch_get, failed, retried},
    expressions::Update,
    items::{self, Item, REVISION, RUN, n, s},
    keys::{
        DUE, DUE_AT, EXPIRES_AT, Key, PK, SK, limit_partition, listed, listed_run, queued_run,
        sortable,
    },
};

/// Who holds the limit's slots: when the run was made, and its id.
const HOLDERS: &str = "holders";
/// How many launches of a window are taken.
const TAKEN: &str = "taken";

/// A limit that nothing has touched for so long has no run any more, whatever its item says.
const LIMIT_RETENTION: SignedDuration = SignedDuration::from_hours(400 * 24);
/// For how long a window's item is there after the window.
const WINDOW_RETENTION: SignedDuration = SignedDuration::from_hours(1);

/// The run takes one of so many slots.
pub(super) fn take(run: &Run, of: u32) -> Update {
    let condition = if of == 0 {
        "attribute_exists(#holders) AND size(#holders) < :is"
    } else {
        "attribute_not_exists(#holders) OR size(#holders) < :is"
    };
    touch().add(HOLDERS, holder(run)).only_if(condition, HOLDERS, Some(n(of)))
}

/// The run gives its slot back; the limit is due at once, if anything waits for it.
pub(super) fn give(run: &Run) -> Update {
    // Without its partition key the item is not in the index, whatever the date.
    touch().delete(HOLDERS, holder(run)).set(DUE_AT, s(sortable(Timestamp::UNIX_EPOCH)))
}

/// The limit is due, since somebody has joined its queue.
pub(super) fn joined(limit: &LimitId, now: Timestamp) -> Update {
    let key = Key::holders(limit);
    touch().set(DUE, s(key.due_partition())).set(DUE_AT, s(sortable(now)))
}

fn touch() -> Update {
    Update::new().add(REVISION, n(1)).set(EXPIRES_AT, limit_expiry())
}

fn limit_expiry() -> AttributeValue {
    items::expiry(Timestamp::now(), LIMIT_RETENTION)
}

fn holder(run: &Run) -> AttributeValue {
    AttributeValue::Ss(vec![listed(run)])
}

/// Who holds slots, and the head of the queue.
pub(super) async fn state(
    client: &Client,
    table: &str,
    limit: &LimitId,
    queue_length: u32,
) -> Result<LimitState, Error> {
    let what = "reading a limit";
    // The limit's own item comes first: what joins the queue behind its back raises a later revision.
    let call = client
        .query()
        .table_name(table)
        .consistent_read(true)
        .key_condition_expression("#pk = :pk")
        .expression_attribute_names("#pk", PK)
        .expression_attribute_values(":pk", s(limit_partition(limit)));
    let mut state = LimitState::default();
    let mut queue: Vec<RunId> = Vec::new();
    let wanted = usize::try_from(queue_length).unwrap_or(usize::MAX);
    let mut from = None;
    loop {
        // One more for the limit's own item.
        let page = i32::try_from(queue_length).unwrap_or(i32::MAX).saturating_add(1);
        let call = call.clone().limit(page).set_exclusive_start_key(from);
        let page = retried(&limit.name, || call.clone().send()).await.map_err(failed(what))?;
        for item in page.items() {
            if let Some(id) = items::text(item, SK).and_then(queued_run) {
                queue.push(id);
            } else {
                (state.holders, state.revision) = (holders(item), revision(item));
            }
        }
        from = page.last_evaluated_key;
        if from.is_none() || queue.len() >= wanted {
            break;
        }
    }
    queue.truncate(wanted);
    let keys: Vec<Key> = queue.iter().map(Key::run).collect();
    let records = batch_get(client, table, what, &keys, &[RUN], true).await?;
    let runs = keys.iter().filter_map(|key| records.get(key)).filter_map(items::readable);
    // One that left the queue in between is not in it.
    state.queue = runs.filter(|run| run.queue.as_ref() == Some(limit)).collect();
    Ok(state)
}

fn holders(item: &Item) -> Vec<RunId> {
    let holders = item.get(HOLDERS).and_then(|value| value.as_ss().ok());
    let mut holders: Vec<&String> = holders.into_iter().flatten().collect();
    holders.sort_unstable();
    holders.into_iter().filter_map(|holder| listed_run(holder)).collect()
}

fn revision(item: &Item) -> u64 {
    let revision = item.get(REVISION).and_then(|value| value.as_n().ok());
    revision.and_then(|revision| revision.parse().ok()).unwrap_or_default()
}

/// Gives the limit its next date, unless it has changed since.
pub(super) async fn settle(
    client: &Client,
    table: &str,
    limit: &LimitId,
    revision: u64,
    check_at: Option<Timestamp>,
) -> Result<(), Error> {
    let key = Key::holders(limit);
    let update = Update::new()
        .mark((DUE, check_at.map(|_| s(key.due_partition()))))
        .mark((DUE_AT, check_at.map(|check_at| s(sortable(check_at)))))
        .set(EXPIRES_AT, limit_expiry());
    let update = match (revision, check_at) {
        // There is no item yet, or one without holders that was given a date; where there is none, none is needed.
        (0, None) => update.only_if(
            "attribute_not_exists(#revision) AND attribute_exists(#due)",
            REVISION,
            None,
        ),
        (0, Some(_)) => update.only_if("attribute_not_exists(#revision)", REVISION, None),
        _ => update.only_if("#revision = :is", REVISION, Some(n(revision))),
    };
    written(client, table, &key, &update, "writing a limit").await.map(|_is_unchanged| ())
}

/// Takes a call out of a window. A try whose answer was lost has taken one for nobody: the next window has others.
pub(super) async fn take_token(
    client: &Client,
    table: &str,
    window: &Window,
) -> Result<bool, Error> {
    if window.tokens == 0 {
        return Ok(false);
    }
    let update = Update::new()
        .add(TAKEN, n(1))
        .set(EXPIRES_AT, items::expiry(window.end, WINDOW_RETENTION))
        .only_if("attribute_not_exists(#taken) OR #taken < :is", TAKEN, Some(n(window.tokens)));
    written(client, table, &Key::window(window), &update, "taking a call from the quota").await
}

/// Leaves no call in a window, however many other processes think it has.
pub(super) async fn close_window(
    client: &Client,
    table: &str,
    window: &Window,
) -> Result<(), Error> {
    let update = Update::new()
        .set(TAKEN, n(u32::MAX))
        .set(EXPIRES_AT, items::expiry(window.end, WINDOW_RETENTION));
    let what = "closing a window of the quota";
    written(client, table, &Key::window(window), &update, what).await.map(|_is_done| ())
}

/// Whether the update was made: its condition was met.
pub(super) async fn written(
    client: &Client,
    table: &str,
    key: &Key,
    update: &Update,
    what: &'static str,
) -> Result<bool, Error> {
    let call = update.call(client, table, key);
    match retried(&key.pk, || call.clone().send()).await {
        Ok(_) => Ok(true),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
        {
            Ok(false)
        }
        Err(error) => Err(failed(what)(error)),
    }
}
