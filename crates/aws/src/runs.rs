//! The records of the runs in DynamoDB: the engine's `Runs` port on AWS.
//!
//! One table. A run without limits is one item, made by one conditional write and moved by one; no item is shared with
//! another run. A run with limits moves in a transaction with its place in a queue and its slots. docs/data-model.md has the
//! items, the indexes, and what each access costs. Nothing here scans, and nothing decides.

mod calls;
mod due;
mod expressions;
mod items;
mod keys;
mod limits;
mod listing;
mod table;

use aws_sdk_dynamodb::{
    Client,
    operation::{put_item::PutItemError, update_item::UpdateItemError},
    types::{
        AttributeValue, CancellationReason, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    },
};
use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use taskferry_core::{
    event::Event,
    limits::{LimitId, LimitState, Moves, moves},
    pace::Window,
    rules::RETENTION_DEFAULT,
    run::{Run, RunId},
};
use taskferry_engine::ports::{Created, Due, Error, Page, RunQuery, Runs, Updated};

pub use self::table::table;
use self::{
    calls::{CONDITION_FAILED, failed, retried, transact},
    expressions::{IS_NEW, Update, delete, is_new_names, put, put_new},
    items::{EVENT, EVENT_ASIDE, Item, REVISION, RUN, WRITE, n, s, text},
    keys::{EXPIRES_AT, Key, PK, SK},
};

/// The records of the runs, in one table.
#[derive(Clone, Debug)]
pub struct DynamoRuns {
    client: Client,
    table: String,
    retention: SignedDuration,
}

impl DynamoRuns {
    /// The records in this table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into(), retention: RETENTION_DEFAULT }
    }

    /// The same, keeping what has ended for so long.
    #[must_use]
    pub fn with_retention(mut self, retention: SignedDuration) -> Self {
        self.retention = retention;
        self
    }

    /// Makes the table, and waits until it is there: for tests, and for a first look without a deployment.
    ///
    /// # Errors
    ///
    /// [`crate::Error`] if DynamoDB does not make it.
    pub async fn create_table(&self) -> Result<(), crate::Error> {
        table::create(&self.client, &self.table).await
    }

    /// What stands at the key, as it is now.
    async fn item(
        &self,
        what: &'static str,
        key: &Key,
        attributes: &[&str],
    ) -> Result<Option<Item>, Error> {
        let names = attributes.iter().map(|name| (format!("#{name}"), (*name).to_owned()));
        let projection = attributes.iter().map(|name| format!("#{name}"));
        let call = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key.item()))
            .consistent_read(true)
            .projection_expression(projection.collect::<Vec<_>>().join(", "))
            .set_expression_attribute_names(Some(names.collect()));
        let got = retried(&key.sk, || call.clone().send()).await.map_err(failed(what))?;
        Ok(got.item)
    }

    /// Makes the record of a run that waits for nothing.
    async fn put_run(&self, item: &Item, write: &str) -> Result<Created, Error> {
        let call = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item.clone()))
            .condition_expression(IS_NEW)
            .set_expression_attribute_names(Some(is_new_names()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = retried(write, || call.clone().send()).await else {
            return Ok(Created::New);
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(stands)) => {
                exists(stands.item(), write)
            }
            _ => Err(failed(CREATE)(error)),
        }
    }

    /// Writes a run that stays where it is with its limits.
    async fn update_run(&self, key: &Key, update: &Update, write: &str) -> Result<Updated, Error> {
        let call = update.call(&self.client, &self.table, key);
        let Err(error) = retried(write, || call.clone().send()).await else {
            return Ok(Updated::Done);
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(stands)) => {
                Ok(overtaken(stands.item(), write))
            }
            _ => Err(failed(UPDATE)(error)),
        }
    }

    /// Writes a run, and moves it through its limits.
    async fn move_run(
        &self,
        key: &Key,
        update: &Update,
        run: &Run,
        moves: &Moves<'_>,
        write: &str,
    ) -> Result<Updated, Error> {
        let mut items = vec![update.part(&self.table, key, true)];
        let begin_of_takes = items.len();
        items.extend(moves.take.iter().map(|slot| {
            limits::take(run, slot.of).part(&self.table, &Key::holders(&slot.limit), false)
        }));
        items.extend(
            moves
                .give
                .iter()
                .map(|slot| limits::give(run).part(&self.table, &Key::holders(&slot.limit), false)),
        );
        items.extend(moves.leave.map(|limit| delete(&self.table, &Key::queued(limit, run))));
        items.extend(moves.join.map(|limit| self.join(limit, run)));
        let Err(reasons) = transact(&self.client, UPDATE, write, items).await? else {
            return Ok(Updated::Done);
        };
        let failed = |reason: &CancellationReason| reason.code() == Some(CONDITION_FAILED);
        if let Some(stands) = reasons.first().filter(|reason| failed(reason)) {
            return Ok(overtaken(stands.item(), write));
        }
        let takes = moves.take.iter().zip(reasons.iter().skip(begin_of_takes));
        let full = takes.into_iter().find(|(_, reason)| failed(reason));
        Ok(full.map_or(Updated::Conflict, |(slot, _)| Updated::Full(slot.limit.clone())))
    }

    fn join(&self, limit: &LimitId, run: &Run) -> TransactWriteItem {
        put(&self.table, Key::queued(limit, run).item())
    }

    /// Puts an event aside that is too long to be rewritten with its run.
    ///
    /// Before the run is there: what no run points to in the end deletes itself.
    async fn put_aside(&self, run: &Run, event: &Event, write: &str) -> Result<(), Error> {
        let expires_at = items::expiry(run.created_at, self.retention * 2);
        for part in items::event_parts(&run.id, event, write, &expires_at) {
            let call = self.client.put_item().table_name(&self.table).set_item(Some(part));
            retried(write, || call.clone().send()).await.map_err(failed(CREATE))?;
        }
        Ok(())
    }

    /// Keeps an event that was put aside for as long as its run, if that took so long that it would go first.
    async fn keep_event(&self, run: &Run) -> Result<(), Error> {
        let Some(ended_at) = run.ended_at else { return Ok(()) };
        if ended_at.duration_since(run.created_at) <= self.retention {
            return Ok(());
        }
        let what = "keeping a run's event";
        let item = self.item(what, &Key::run(&run.id), &[EVENT_ASIDE]).await?;
        let Some(write) = item.as_ref().and_then(|item| text(item, EVENT_ASIDE)) else {
            return Ok(());
        };
        for part in self.event_parts(&run.id, write, what, &[PK, SK]).await? {
            let Some(key) = Key::of_item(&part) else { continue };
            let update = Update::new()
                .set(EXPIRES_AT, items::expiry(ended_at, self.retention))
                .only_if(expressions::IS_THERE, PK, None);
            let call = update.call(&self.client, &self.table, &key);
            retried(write, || call.clone().send()).await.map_err(failed(what))?;
        }
        Ok(())
    }

    async fn event_parts(
        &self,
        id: &RunId,
        write: &str,
        what: &'static str,
        attributes: &[&str],
    ) -> Result<Vec<Item>, Error> {
        let (pk, prefix) = keys::event_parts(id, write);
        let call = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
            .projection_expression(
                attributes.iter().map(|name| format!("#{name}")).collect::<Vec<_>>().join(", "),
            )
            .set_expression_attribute_names(Some(
                attributes
                    .iter()
                    .chain(&[PK, SK])
                    .map(|name| (format!("#{name}"), (*name).to_owned()))
                    .collect(),
            ))
            .expression_attribute_values(":pk", s(pk))
            .expression_attribute_values(":prefix", s(prefix));
        let mut parts = Vec::new();
        let mut from = None;
        loop {
            let call = call.clone().set_exclusive_start_key(from);
            let page = retried(write, || call.clone().send()).await.map_err(failed(what))?;
            parts.extend(page.items.unwrap_or_default());
            from = page.last_evaluated_key;
            if from.is_none() {
                return Ok(parts);
            }
        }
    }

    /// At most two runs whose ids begin so, in one partition.
    async fn find_in(&self, partition: &str, id_prefix: &str) -> Result<Vec<Run>, Error> {
        let partition = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .expression_attribute_names("#pk", PK)
            .expression_attribute_values(":pk", s(keys::run_partition(partition)))
            .limit(2);
        let call = if id_prefix.is_empty() {
            partition.key_condition_expression("#pk = :pk")
        } else {
            partition
                .key_condition_expression("#pk = :pk AND begins_with(#sk, :prefix)")
                .expression_attribute_names("#sk", SK)
                .expression_attribute_values(":prefix", s(id_prefix))
        };
        let found = retried(id_prefix, || call.clone().send()).await.map_err(failed(FIND))?;
        found.items().iter().map(items::run).collect()
    }
}

const CREATE: &str = "recording a run";
const UPDATE: &str = "writing a run";
const GET: &str = "reading a run";
const FIND: &str = "finding a run";

/// What it means that there is a record already: somebody else's, or our own, whose first answer was lost.
fn exists(stands: Option<&Item>, write: &str) -> Result<Created, Error> {
    let stands = stands.ok_or_else(|| Error::Unavailable {
        what: CREATE,
        source: "DynamoDB did not tell what stands there".into(),
    })?;
    if text(stands, WRITE) == Some(write) {
        return Ok(Created::New);
    }
    items::run(stands).map(|run| Created::Exists(Box::new(run)))
}

/// What it means that another revision stands there: somebody else's, or our own, whose first answer was lost.
fn overtaken(stands: Option<&Item>, write: &str) -> Updated {
    match stands.and_then(|item| text(item, WRITE)) {
        Some(ours) if ours == write => Updated::Done,
        _ => Updated::Conflict,
    }
}

/// A name for one write, that no other has.
fn new_write() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Unavailable { what: "naming a write", source: Box::new(error) })?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

impl Runs for DynamoRuns {
    async fn create(&self, run: &Run, event: &Event) -> Result<Created, Error> {
        let write = new_write()?;
        if items::is_put_aside(event) {
            self.put_aside(run, event, &write).await?;
        }
        let item = items::new_run(run, event, &write, self.retention);
        let Some(limit) = moves(None, run).join else {
            return self.put_run(&item, &write).await;
        };
        let items = vec![put_new(&self.table, item), self.join(limit, run)];
        match transact(&self.client, CREATE, &write, items).await? {
            Ok(()) => Ok(Created::New),
            Err(reasons) => exists(reasons.first().and_then(CancellationReason::item), &write),
        }
    }

    async fn update(&self, was: &Run, run: &Run) -> Result<Updated, Error> {
        let write = new_write()?;
        if run.status.is_terminal() && !was.status.is_terminal() {
            self.keep_event(run).await?;
        }
        let update = items::marks(run, self.retention)
            .into_iter()
            .fold(Update::new(), Update::mark)
            .set(RUN, s(items::document(run)))
            .set(REVISION, n(run.revision))
            .set(WRITE, s(&write))
            .only_if("#revision = :is", REVISION, Some(n(was.revision)));
        let (key, moves) = (Key::run(&run.id), moves(Some(was), run));
        if moves == (Moves { leave: None, join: None, take: &[], give: &[] }) {
            return self.update_run(&key, &update, &write).await;
        }
        self.move_run(&key, &update, run, &moves, &write).await
    }

    async fn get(&self, id: &RunId) -> Result<Option<Run>, Error> {
        let item = self.item(GET, &Key::run(id), &[RUN]).await?;
        item.as_ref().map(items::run).transpose()
    }

    async fn find(&self, id_prefix: &str) -> Result<Vec<Run>, Error> {
        if !id_prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Ok(Vec::new());
        }
        if let Some(partition) = id_prefix.get(..2) {
            return self.find_in(partition, id_prefix).await;
        }
        // So short a beginning is in many partitions; nobody needs that to be cheap.
        let partitions = (0..=u8::MAX).map(|partition| format!("{partition:02x}"));
        let partitions: Vec<String> =
            partitions.filter(|partition| partition.starts_with(id_prefix)).collect();
        let mut found = Vec::new();
        for partitions in partitions.chunks(16) {
            let runs = partitions.iter().map(|partition| self.find_in(partition, id_prefix));
            found.extend(try_join_all(runs).await?.into_iter().flatten());
            if found.len() >= 2 {
                break;
            }
        }
        found.truncate(2);
        Ok(found)
    }

    async fn event(&self, id: &RunId) -> Result<Option<String>, Error> {
        let what = "reading a run's event";
        let item = self.item(what, &Key::run(id), &[EVENT, EVENT_ASIDE]).await?;
        let Some(mut item) = item else { return Ok(None) };
        if let Some(AttributeValue::S(event)) = item.remove(EVENT) {
            return Ok(Some(event));
        }
        let Some(write) = text(&item, EVENT_ASIDE) else { return Ok(None) };
        let parts = self.event_parts(id, write, what, &[EVENT]).await?;
        let event: String = parts.iter().filter_map(|part| text(part, EVENT)).collect();
        Ok((!event.is_empty()).then_some(event))
    }

    async fn list(&self, query: &RunQuery) -> Result<Page, Error> {
        listing::list(&self.client, &self.table, query).await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Due, Error> {
        due::due(&self.client, &self.table, now, limit).await
    }

    async fn limit(&self, limit: &LimitId, queue_length: u32) -> Result<LimitState, Error> {
        limits::state(&self.client, &self.table, limit, queue_length).await
    }

    async fn settle_limit(
        &self,
        limit: &LimitId,
        revision: u64,
        check_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        limits::settle(&self.client, &self.table, limit, revision, check_at).await
    }

    async fn take_token(&self, window: &Window) -> Result<bool, Error> {
        limits::take_token(&self.client, &self.table, window).await
    }

    async fn close_window(&self, window: &Window) -> Result<(), Error> {
        limits::close_window(&self.client, &self.table, window).await
    }
}
