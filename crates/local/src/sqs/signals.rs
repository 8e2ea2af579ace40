//! What is known of the queues in memory alone: the time, the last number, and who is to be woken.
//!
//! Nothing in here has to survive: a number is made from the time, and whoever waits looks into the database first.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use rusqlite::Connection;
use tokio::sync::{Notify, watch};

use super::clock::{Clock, Millis};

/// How many bits of a number are not its time: a million numbers each millisecond, before they run ahead of the clock.
const NUMBER_BITS: u32 = 20;

/// The queues, for whoever sends: a handle that wakes those who wait to receive.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    clock: Clock,
    last_id: AtomicI64,
    closed: AtomicBool,
    /// Those of the queues that somebody has waited for.
    signals: Mutex<HashMap<i64, Arc<Signal>>>,
    /// For a pool: no more than this many of its messages are in flight.
    in_flight: Mutex<HashMap<i64, i64>>,
}

/// How those are woken who wait for a queue.
#[derive(Debug)]
pub(super) struct Signal {
    /// Something came, or may be received sooner: for one of them.
    pub(super) came: Notify,
    /// When something can be received that cannot yet, at the latest: for all of them.
    pub(super) due: watch::Sender<Millis>,
}

impl Queues {
    /// Queues that live by this clock.
    pub fn with_clock(clock: Clock) -> Self {
        Self { inner: Arc::new(Inner { clock, ..Inner::default() }) }
    }

    /// The time.
    pub(super) fn now(&self) -> Millis {
        self.inner.clock.now()
    }

    /// A number that was never used, for a message, a queue or a pool; they rise.
    pub(super) fn next_id(&self, connection: &Connection) -> rusqlite::Result<i64> {
        // No race: whoever has a transaction that writes is alone.
        let mut last = self.inner.last_id.load(Ordering::Relaxed);
        if last == 0 {
            // The clock may have been set back while nobody ran.
            last = connection.query_row(
                "SELECT max(coalesce((SELECT max(id) FROM sqs_messages), 0),
                            coalesce((SELECT max(message) FROM sqs_deduplications), 0),
                            coalesce((SELECT max(max(id), max(pool)) FROM sqs_queues), 0),
                            coalesce((SELECT max(pool) FROM sqs_drained), 0))",
                [],
                |row| row.get(0),
            )?;
        }
        let id = (last + 1).max(self.now() << NUMBER_BITS);
        self.inner.last_id.store(id, Ordering::Relaxed);
        Ok(id)
    }

    /// The number after one that was just given, in the same transaction.
    pub(super) fn next_id_after(&self, id: i64) -> i64 {
        self.inner.last_id.store(id + 1, Ordering::Relaxed);
        id + 1
    }

    /// Has nobody wait any longer: what waits is answered that nothing came.
    pub fn close(&self) {
        self.inner.closed.store(true, Ordering::Relaxed);
        self.signals().values().for_each(|signal| signal.came.notify_waiters());
    }

    /// Whether nobody is to wait.
    pub(super) fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::Relaxed)
    }

    /// How those are woken who wait for a queue, for one who is about to wait.
    pub(super) fn signal(&self, queue: i64) -> Arc<Signal> {
        let fresh =
            || Arc::new(Signal { came: Notify::new(), due: watch::Sender::new(Millis::MAX) });
        Arc::clone(self.signals().entry(queue).or_insert_with(fresh))
    }

    /// Wakes one who waits for a queue.
    ///
    /// Called within the transaction: whoever wakes must take the connection's lock first, so it sees what was written or,
    /// after a rollback, nothing.
    pub(super) fn wake(&self, queue: i64) {
        if let Some(signal) = self.signals().get(&queue) {
            signal.came.notify_one();
        }
    }

    /// Wakes all who wait for a queue.
    pub(super) fn wake_all(&self, queue: i64) {
        if let Some(signal) = self.signals().get(&queue) {
            signal.came.notify_waiters();
        }
    }

    /// Has those who wait for a queue look again at this time.
    pub(super) fn note_due(&self, queue: i64, at: Millis) {
        if let Some(signal) = self.signals().get(&queue) {
            signal.due.send_if_modified(|due| {
                let is_earlier = at < *due;
                *due = at.min(*due);
                is_earlier
            });
        }
    }

    /// Forgets what was known of a queue that is deleted.
    pub(super) fn forget(&self, queue: i64, pool: i64) {
        self.wake_all(queue);
        self.signals().remove(&queue);
        self.in_flight().remove(&pool);
    }

    /// How many messages of a pool are in flight at most, if it is known.
    pub(super) fn in_flight_bound(&self, pool: i64) -> Option<i64> {
        self.in_flight().get(&pool).copied()
    }

    /// So many were just counted.
    pub(super) fn counted_in_flight(&self, pool: i64, count: i64) {
        self.in_flight().insert(pool, count);
    }

    /// So many more are in flight.
    pub(super) fn took(&self, pool: i64, count: usize) {
        if let Some(bound) = self.in_flight().get_mut(&pool) {
            *bound = bound.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn signals(&self) -> MutexGuard<'_, HashMap<i64, Arc<Signal>>> {
        self.inner.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<i64, i64>> {
        self.inner.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
