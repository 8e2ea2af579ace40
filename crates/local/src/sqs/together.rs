//! Sending together: what comes while others are being written shares the next transaction.
//!
//! A transaction's own pages, locks and checkpoints are most of what it costs to store a message, and whoever waits for the
//! database's lock holds up a thread. So requests queue here, and one of them writes for all that wait. Each is answered when
//! the transaction stands.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::Transaction;
use tokio::sync::oneshot;

use super::{
    refusal::{Fault, Refusal},
    service::Answer,
};
use crate::db::Db;

/// What a request writes. A refusal has written nothing; if the storage fails, it fails for all.
type Write = Box<dyn FnOnce(&Transaction<'_>) -> Result<Answer, rusqlite::Error> + Send>;

/// Requests that wait to be written.
#[derive(Clone, Default)]
pub(super) struct Together {
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    writes: Vec<(Write, oneshot::Sender<Answer>)>,
    /// Whether somebody is about to write them.
    is_led: bool,
}

impl fmt::Debug for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}

impl Together {
    /// Writes, with whatever else waits, and answers when it is durable.
    pub(super) async fn write(
        &self,
        db: &Arc<Db>,
        write: impl FnOnce(&Transaction<'_>) -> Result<Answer, Fault> + Send + 'static,
    ) -> Answer {
        let write: Write = Box::new(|tx| match write(tx) {
            Ok(answer) => Ok(answer),
            Err(Fault::Refused(refusal)) => Ok(Err(refusal)),
            Err(Fault::Storage(error)) => Err(error),
        });
        let (answer, answered) = oneshot::channel();
        let leads = {
            let mut waiting = self.waiting();
            waiting.writes.push((write, answer));
            !mem::replace(&mut waiting.is_led, true)
        };
        if leads && self.lead(db) {
            // Whoever has its answer does not work on for others.
            let (together, db) = (self.clone(), Arc::clone(db));
            tokio::spawn(async move {
                while together.lead(&db) {
                    tokio::task::yield_now().await;
                }
            });
        }
        // It is never dropped unanswered, but by a panic.
        answered.await.unwrap_or_else(|_| Err(Refusal::internal()))
    }

    /// Writes what waits; tells whether more has come meanwhile, for which somebody must lead.
    fn lead(&self, db: &Db) -> bool {
        let _lead = Lead(self);
        let writes = mem::take(&mut self.waiting().writes);
        let (writes, answers): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
        let written = db.write(|tx| {
            writes.into_iter().map(|write| write(tx)).collect::<rusqlite::Result<Vec<_>>>()
        });
        match written {
            Ok(results) => {
                for (answer, result) in answers.into_iter().zip(results) {
                    // Nobody waits for it any more if the client is gone.
                    drop(answer.send(result));
                }
            }
            Err(error) => {
                let refusal = Refusal::from(Fault::Storage(error));
                for answer in answers {
                    drop(answer.send(Err(refusal.clone())));
                }
            }
        }
        let mut waiting = self.waiting();
        waiting.is_led = !waiting.writes.is_empty();
        waiting.is_led
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has others lead again, should a write panic.
struct Lead<'a>(&'a Together);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut waiting = self.0.waiting();
            waiting.is_led = false;
            waiting.writes.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi::SQLITE_FULL;
    use serde_json::json;

    use super::*;
    use crate::sqs::refusal::Code;

    fn open(dir: &std::path::Path) -> Arc<Db> {
        Arc::new(Db::open(&dir.join("t.db"), &["CREATE TABLE t (n INTEGER)"]).unwrap())
    }

    fn insert(tx: &Transaction<'_>, n: u32) -> Result<Answer, Fault> {
        tx.execute("INSERT INTO t VALUES (?1)", [n])?;
        Ok(Ok(json!(n)))
    }

    fn count(db: &Db) -> u32 {
        db.read(|db| db.query_row("SELECT count(*) FROM t", [], |row| row.get(0))).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn each_of_many_gets_its_own_answer_and_a_refusal_is_of_one_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (db, together) = (open(dir.path()), Together::default());
        let mut all = tokio::task::JoinSet::new();
        for n in 0..200 {
            let (db, together) = (Arc::clone(&db), together.clone());
            all.spawn(async move {
                let answer = together.write(&db, move |tx| match n % 10 {
                    0 => Err(Refusal::no_queue().into()),
                    _ => insert(tx, n),
                });
                (n, answer.await)
            });
        }
        while let Some(ended) = all.join_next().await {
            match ended.unwrap() {
                (n, Err(refusal)) => {
                    assert_eq!((n % 10, refusal.code), (0, Code::QueueDoesNotExist));
                }
                (n, Ok(answer)) => assert_eq!(answer, json!(n)),
            }
        }
        assert_eq!(count(&db), 180);
    }

    #[tokio::test]
    async fn what_cannot_be_stored_is_answered_so_and_what_comes_after_is_stored() {
        let dir = tempfile::tempdir().unwrap();
        let (db, together) = (open(dir.path()), Together::default());
        let full = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(SQLITE_FULL), None);
        let failed = together.write(&db, |tx| {
            let _written = insert(tx, 1)?;
            Err(full.into())
        });
        assert_eq!(failed.await.unwrap_err().code, Code::InternalFailure);
        assert_eq!(together.write(&db, |tx| insert(tx, 2)).await, Ok(json!(2)));
        assert_eq!(count(&db), 1);
    }
}
