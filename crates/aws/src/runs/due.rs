//! What is due: the head of the index `due`, each entry checked against what stands in the table.
//!
//! Asked by the sweep. The index has what needs a look some day and nothing else, in the order of dates, so that reading its
//! head costs what is due; it is a moment behind the table, so the table is asked before anything is called due.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::Client;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use taskferry_core::run::Run;
use taskferry_engine::ports::{Due, Error};

use super::{
    calls::{batch_get, failed, retried},
    expressions::Update,
    items::{self, Item, REVISION, RUN, n, text},
    keys::{DUE, DUE_AT, Key, Subject, due_partitions, sortable},
    limits,
};

const WHAT: &str = "reading what is due";

/// How often the index is read on, where all that was read had moved on already.
const PAGES_MAX: u32 = 10;

/// A partition of the index, as far as it is read.
struct Partition {
    name: String,
    from: Option<Item>,
    is_finished: bool,
}

/// What is due by `now`, at most `limit` runs and as many limits, the longest due first.
pub(super) async fn due(
    client: &Client,
    table: &str,
    now: Timestamp,
    limit: u32,
) -> Result<Due, Error> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut due = Due::default();
    if wanted == 0 {
        return Ok(due);
    }
    let partition = |name| Partition { name, from: None, is_finished: false };
    let mut partitions: Vec<Partition> = due_partitions().map(partition).collect();
    for _ in 0..PAGES_MAX {
        let open = partitions.iter_mut().filter(|partition| !partition.is_finished);
        let read = open.map(|partition| partition.read(client, table, now, limit));
        let mut entries: Vec<(String, Key)> =
            try_join_all(read).await?.into_iter().flatten().collect();
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let keys: Vec<Key> = entries.into_iter().map(|(_, key)| key).collect();
        for keys in keys.chunks(wanted) {
            check(client, table, now, keys, &mut due).await?;
            // What is left of this page is there the next time.
            if !is_empty(&due) {
                break;
            }
        }
        let is_finished = partitions.iter().all(|partition| partition.is_finished);
        if is_finished || !is_empty(&due) {
            break;
        }
    }
    due.runs.sort_by(|one, other| (one.due_at, &one.id).cmp(&(other.due_at, &other.id)));
    Ok(due)
}

fn is_empty(due: &Due) -> bool {
    due.runs.is_empty() && due.limits.is_empty()
}

impl Partition {
    async fn read(
        &mut self,
        client: &Client,
        table: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<(String, Key)>, Error> {
        let call = client
            .query()
            .table_name(table)
            .index_name(DUE)
            .key_condition_expression("#due = :due AND #dueAt <= :now")
            .expression_attribute_names("#due", DUE)
            .expression_attribute_names("#dueAt", DUE_AT)
            .expression_attribute_values(":due", items::s(&self.name))
            .expression_attribute_values(":now", items::s(sortable(now)))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .set_exclusive_start_key(self.from.take());
        let page = retried(&self.name, || call.clone().send()).await.map_err(failed(WHAT))?;
        let entry = |item: &Item| Some((text(item, DUE_AT)?.to_owned(), Key::of_item(item)?));
        let entries = page.items().iter().filter_map(entry).collect();
        self.from = page.last_evaluated_key;
        self.is_finished = self.from.is_none();
        Ok(entries)
    }
}

/// Adds those that are due indeed.
async fn check(
    client: &Client,
    table: &str,
    now: Timestamp,
    keys: &[Key],
    due: &mut Due,
) -> Result<(), Error> {
    let items = batch_get(client, table, WHAT, keys, &[RUN, DUE, DUE_AT], true).await?;
    let is_due = |item: &Item| {
        item.contains_key(DUE) && text(item, DUE_AT).is_some_and(|due_at| due_at <= &*sortable(now))
    };
    let mut queued: Vec<Run> = Vec::new();
    let mut limits = BTreeSet::new();
    for key in keys {
        let Some(item) = items.get(key).filter(|item| is_due(item)) else { continue };
        match key.subject() {
            Some(Subject::Run(_)) => {
                let Some(run) = items::readable(item) else { continue };
                if run.due_at.is_some_and(|due_at| due_at <= now) {
                    due.runs.push(run);
                } else if run.queue.is_some() {
                    queued.push(run);
                }
            }
            Some(Subject::Limit(limit)) => {
                limits.insert(limit);
            }
            None => {}
        }
    }
    let handed_on = hand_on(client, table, now, &queued).await;
    limits.extend(queued.into_iter().filter_map(|run| run.queue));
    due.limits.extend(limits);
    handed_on
}

/// Gives the limits of runs that have joined a queue a date, after which the runs need none of their own.
async fn hand_on(
    client: &Client,
    table: &str,
    now: Timestamp,
    queued: &[Run],
) -> Result<(), Error> {
    let mut joined = HashMap::new();
    for run in queued {
        if let Some(limit) = &run.queue {
            joined.entry(limit).or_insert_with(Vec::new).push(run);
        }
    }
    for (limit, runs) in joined {
        let update = limits::joined(limit, now);
        limits::written(client, table, &Key::holders(limit), &update, WHAT).await?;
        let handed_on = runs.into_iter().map(async |run| {
            let update = items::dated(run, run.due_at)
                .into_iter()
                .fold(Update::new(), Update::mark)
                .only_if("#revision = :is", REVISION, Some(n(run.revision)));
            limits::written(client, table, &Key::run(&run.id), &update, WHAT).await
        });
        try_join_all(handed_on).await?;
    }
    Ok(())
}
