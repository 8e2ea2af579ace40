//! SQS by a clock that the tests set: nobody sleeps.

mod fifo;
mod long;
mod standard;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use tempfile::TempDir;

use super::{
    Clock, Code, NewMessage, Queues, Refusal,
    queues::{QueueAttributes, find},
    receive::{Counts, Received, Wanted, count},
    refusal::Fault,
    send::Sent,
};
use crate::db::Db;

/// A day of the tests' clock on which nothing is special.
const NOON: i64 = 1_795_262_400_000;

const SECOND: i64 = 1000;
const DAY: i64 = 24 * 60 * 60 * SECOND;

/// Queues in a database of their own, and their clock.
struct World {
    db: Arc<Db>,
    queues: Queues,
    clock: Arc<AtomicI64>,
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(NOON)))
    }

    fn open(dir: TempDir, clock: Arc<AtomicI64>) -> Self {
        let schemas = [super::SCHEMA, super::IN_HAND_SCHEMA];
        let db = Arc::new(Db::open(&dir.path().join("aws.db"), &schemas).unwrap());
        let now = Arc::clone(&clock);
        let queues = Queues::with_clock(Clock::new(move || now.load(Ordering::Relaxed)));
        Self { db, queues, clock, dir }
    }

    /// Another process on the same state, after this one was killed.
    fn restarted(self) -> Self {
        let World { db, queues, clock, dir } = self;
        drop((db, queues));
        Self::open(dir, clock)
    }

    fn pass(&self, milliseconds: i64) {
        self.clock.fetch_add(milliseconds, Ordering::Relaxed);
    }

    fn create(&self, name: &str, attributes: &[(&str, &str)]) {
        self.try_create(name, attributes).unwrap();
    }

    fn try_create(&self, name: &str, attributes: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut all: QueueAttributes = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        if name.strip_suffix(".fifo").is_some() {
            all.insert("FifoQueue".to_owned(), "true".to_owned());
        }
        self.db.write(|tx| self.queues.create(tx, name, &all)).unwrap()
    }

    fn set(&self, name: &str, attribute: &str, value: &str) {
        let attributes = QueueAttributes::from([(attribute.to_owned(), value.to_owned())]);
        self.db.write(|tx| self.queues.set_attributes(tx, name, &attributes)).unwrap().unwrap();
    }

    fn with_dead_letters(
        &self,
        name: &str,
        target: &str,
        receives_max: u32,
        more: &[(&str, &str)],
    ) {
        let policy = serde_json::json!({
            "deadLetterTargetArn": super::queue_arn(target), "maxReceiveCount": receives_max,
        });
        let policy = policy.to_string();
        let mut attributes = vec![("RedrivePolicy", policy.as_str())];
        attributes.extend(more);
        self.create(name, &attributes);
    }

    fn try_send(&self, name: &str, message: &NewMessage<'_>) -> Result<Sent, Refusal> {
        self.db.write(|tx| self.queues.send(tx, name, message)).unwrap()
    }

    #[track_caller]
    fn send(&self, name: &str, body: &str) -> Sent {
        self.try_send(name, &NewMessage { body, ..NewMessage::default() }).unwrap()
    }

    /// Sends into a FIFO queue; the body is the deduplication id too.
    #[track_caller]
    fn send_in(&self, name: &str, group: &str, body: &str) -> Sent {
        let message = NewMessage {
            body,
            group_id: Some(group),
            deduplication_id: Some(body),
            ..NewMessage::default()
        };
        self.try_send(name, &message).unwrap()
    }

    fn try_receive(&self, name: &str, wanted: &Wanted<'_>) -> Result<Vec<Received>, Refusal> {
        Ok(self.db.write(|tx| {
            let queue = find(tx, name)?;
            self.queues.receive(tx, &queue, wanted)
        })?)
    }

    fn receive(&self, name: &str, count: usize) -> Vec<Received> {
        self.try_receive(name, &wanted(count)).unwrap()
    }

    fn bodies(&self, name: &str, count: usize) -> Vec<String> {
        self.receive(name, count).into_iter().map(|message| message.body).collect()
    }

    fn delete(&self, name: &str, message: &Received) -> Result<(), Refusal> {
        Ok(self.db.write(|tx| {
            let queue = find(tx, name)?;
            self.queues.delete(tx, &queue, &message.receipt_handle)
        })?)
    }

    fn change(&self, name: &str, message: &Received, seconds: i64) -> Result<(), Refusal> {
        Ok(self.db.write(|tx| {
            let queue = find(tx, name)?;
            self.queues.change_visibility(tx, &queue, &message.receipt_handle, seconds)
        })?)
    }

    fn counts(&self, name: &str) -> [i64; 3] {
        let counts = self.db.read(|connection| {
            let queue = find(connection, name)?;
            Ok::<_, Fault>(count(connection, &queue, self.queues.now())?)
        });
        let Counts { visible, in_flight, delayed } = counts.unwrap();
        [visible, in_flight, delayed]
    }

    fn rows(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.db.read(|connection| connection.query_row(&sql, [], |row| row.get(0))).unwrap()
    }
}

fn wanted(count_max: usize) -> Wanted<'static> {
    Wanted {
        count_max,
        bytes_max: usize::MAX,
        visibility_timeout: None,
        attempt: None,
        in_hand: false,
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Refusal>, code: Code) {
    assert_eq!(result.unwrap_err().code, code);
}
