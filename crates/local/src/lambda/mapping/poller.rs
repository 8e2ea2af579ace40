//! What one mapping does: gathers messages, invokes the function, and deletes what is done.
//!
//! A message is deleted only after the function has answered for it. What failed stays in flight until its visibility timeout
//! is over, as on Lambda, and goes to the dead letters when it was received too often. Nobody looks at a queue for nothing.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedRwLockReadGuard, OwnedSemaphorePermit, RwLock, Semaphore, watch},
    time::{Instant, sleep},
};

use super::{
    Mapping,
    batch::{Verdict, event, verdict},
};
use crate::{
    db::Db,
    lambda::{Error, Functions, InvokeOutcome, PAYLOAD_BYTES_MAX},
    protocol::json_text,
    sqs::{Code, Queues, Received, Refusal, Wanted},
};

/// How much of a payload is filled before the last message: that may take two megabytes more, written in JSON.
const BATCH_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - 5 * 1024 * 1024 / 2;

/// How long somebody waits for a message at a time.
const WAIT: Duration = Duration::from_hours(1);

/// The wait after the queue could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// What a mapping works with.
#[derive(Clone, Debug)]
pub(super) struct Poller {
    pub(super) db: Arc<Db>,
    pub(super) queues: Queues,
    pub(super) functions: Functions,
    pub(super) mapping: Arc<Mapping>,
    /// Held by whoever has messages in hand.
    pub(super) in_hand: Arc<RwLock<()>>,
}

impl Poller {
    /// Receives and invokes until told to end. Batches that are being worked on go on to their end.
    pub(super) async fn run(self, mut ended: watch::Receiver<bool>) {
        let limit = self.functions.concurrency_limit();
        let asked = self.mapping.concurrency_max.and_then(|it| usize::try_from(it).ok());
        let places = Arc::new(Semaphore::new(asked.unwrap_or(limit).clamp(1, limit)));
        loop {
            let in_hand = Arc::clone(&self.in_hand).read_owned().await;
            let gathered = async {
                // Nothing is received that no process could work on.
                let place = Arc::clone(&places).acquire_owned().await.ok()?;
                Some((place, self.first().await))
            };
            let (place, first) = tokio::select! {
                gathered = gathered => match gathered {
                    Some(gathered) => gathered,
                    None => return,
                },
                _ = ended.wait_for(|ended| *ended) => return,
            };
            if !first.is_empty() {
                tokio::spawn(self.clone().work(first, (place, in_hand), ended.clone()));
            }
        }
    }

    /// The first messages of a batch, when there are some.
    async fn first(&self) -> Vec<Received> {
        match self.receive(self.mapping.batch_size, BATCH_BYTES_MAX, WAIT).await {
            Ok(messages) => messages,
            // Somebody may make it.
            Err(Refusal { code: Code::QueueDoesNotExist, .. }) => {
                sleep(RETRY).await;
                Vec::new()
            }
            Err(refusal) => {
                let queue = &self.mapping.queue;
                tracing::warn!(%queue, reason = %refusal, "an event source mapping cannot receive for now");
                sleep(RETRY).await;
                Vec::new()
            }
        }
    }

    async fn receive(
        &self,
        count: u32,
        bytes_max: usize,
        wait: Duration,
    ) -> Result<Vec<Received>, Refusal> {
        let count_max = usize::try_from(count).unwrap_or(usize::MAX);
        let wanted =
            Wanted { count_max, bytes_max, visibility_timeout: None, attempt: None, in_hand: true };
        self.queues.receive_waiting(&self.db, &self.mapping.queue, &wanted, Some(wait)).await
    }

    /// Completes a batch, has the function work on it, and deletes what is done.
    async fn work(
        self,
        mut batch: Vec<Received>,
        _held: (OwnedSemaphorePermit, OwnedRwLockReadGuard<()>),
        mut ended: watch::Receiver<bool>,
    ) {
        let gathered = async {
            let until = Instant::now() + self.mapping.window();
            loop {
                let count = u32::try_from(batch.len()).unwrap_or(u32::MAX);
                let room = self.mapping.batch_size.saturating_sub(count);
                let bytes = batch.iter().map(Received::bytes_in_json).sum();
                let bytes = BATCH_BYTES_MAX.saturating_sub(bytes);
                let left = until.saturating_duration_since(Instant::now());
                if room == 0 || bytes == 0 || left.is_zero() {
                    return;
                }
                match self.receive(room, bytes, left).await {
                    Ok(more) => batch.extend(more),
                    // What is there is worked on; the rest is seen to with the next batch.
                    Err(_) => return,
                }
            }
        };
        // Who is told to end gathers no more, and still works on what there is.
        tokio::select! {
            () = gathered => {}
            _ = ended.wait_for(|ended| *ended) => {}
        }
        let queue = &self.mapping.queue;
        match self.invoke(&batch).await {
            After::Done(done) => {
                self.settle(|tx| {
                    self.queues.delete_done(tx, queue, &done)?;
                    Queues::let_go(tx, &batch)
                })
                .await;
            }
            // Nobody has worked on them.
            After::Untouched => self.settle(|tx| self.queues.release(tx, queue, &batch)).await,
        }
    }

    async fn invoke<'a>(&self, batch: &'a [Received]) -> After<'a> {
        let Mapping { queue, function, reports_failures, .. } = &*self.mapping;
        let payload = json_text(&event(queue, batch));
        let none = After::Done(Vec::new());
        let done = match self.functions.invoke(function, payload.into()).await {
            Ok(InvokeOutcome::Succeeded(_)) if !reports_failures => batch.iter().collect(),
            Ok(InvokeOutcome::Succeeded(answer)) => {
                let ids: Vec<_> = batch.iter().map(|it| it.message_id.to_string()).collect();
                match verdict(&answer, &ids) {
                    Verdict::DoneBut(failed) => {
                        let batch = batch.iter().enumerate();
                        batch.filter(|(at, _)| !failed.contains(at)).map(|(_, it)| it).collect()
                    }
                    Verdict::Malformed(reason) => {
                        tracing::warn!(%function, %queue, reason, "a batch is delivered again: its answer is not understood");
                        return none;
                    }
                }
            }
            // Its process has told why; the messages come again after their visibility timeout.
            Ok(InvokeOutcome::Failed(_)) => return none,
            Err(Error::ShuttingDown) => return After::Untouched,
            Err(error) => {
                tracing::warn!(%function, %queue, %error, "a batch is delivered again: the function cannot be invoked");
                return none;
            }
        };
        After::Done(done)
    }

    /// Writes what became of messages; if it cannot be written, they are delivered again.
    async fn settle(&self, write: impl Fn(&rusqlite::Transaction<'_>) -> rusqlite::Result<()>) {
        for _ in 0..SETTLE_TRIES {
            match self.db.write(&write) {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(queue = %self.mapping.queue, %error, "cannot record what became of messages");
                }
            }
            sleep(RETRY).await;
        }
    }
}

/// What becomes of a batch after its invocation.
enum After<'a> {
    /// These are deleted; the others come again after their visibility timeout.
    Done(Vec<&'a Received>),
    /// All of it is given back at once.
    Untouched,
}

/// How often it is tried to delete messages that are done: a full disk may pass.
const SETTLE_TRIES: u32 = 10;
