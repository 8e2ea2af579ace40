//! Lambda: the queue of asynchronous invocations, and the function processes that work it off.

use std::sync::Arc;

use rusqlite::Transaction;
use tokio::sync::Notify;

/// The tables of this service.
pub(crate) const SCHEMA: &str = "
CREATE TABLE lambda_invocations (
    id INTEGER PRIMARY KEY,
    function TEXT NOT NULL,
    payload TEXT NOT NULL
);
";

/// The asynchronous invocations that wait for a function.
#[derive(Clone, Debug, Default)]
pub struct Invocations {
    queued: Arc<Notify>,
}

impl Invocations {
    /// Queues an asynchronous invocation: it is durable with the transaction that it is part of.
    ///
    /// # Errors
    ///
    /// SQLite's, if the row cannot be written.
    pub fn enqueue(
        &self,
        tx: &Transaction<'_>,
        function: &str,
        payload: &str,
    ) -> rusqlite::Result<()> {
        tx.prepare_cached("INSERT INTO lambda_invocations (function, payload) VALUES (?1, ?2)")?
            .execute((function, payload))?;
        // Whoever wakes must take the connection's lock first, so it sees the row or, after a rollback, nothing.
        self.queued.notify_one();
        Ok(())
    }
}
