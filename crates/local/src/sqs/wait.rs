//! Waiting for messages: long polls, and Lambda's mappings.
//!
//! Nobody looks again for nothing: a send wakes one who waits, and otherwise all sleep until something is due. Dropping the
//! future ends the wait, and takes no message.

use std::{sync::Arc, time::Duration};

use tokio::{
    select,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Queues,
    clock::Millis,
    queues::find,
    receive::{Received, Wanted, next_due},
    refusal::{Fault, Refusal},
    signals::Signal,
};
use crate::db::Db;

/// Longer than anybody waits; a clock that is set back has it looked again.
const SLEEP_MAX: Duration = Duration::from_hours(1);

impl Queues {
    /// Receives from a queue, and waits for so long if there is nothing to be received.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if there is no such queue, or none any more.
    pub(crate) async fn receive_waiting(
        &self,
        db: &Db,
        name: &str,
        wanted: &Wanted<'_>,
        wait: Option<Duration>,
    ) -> Result<Vec<Received>, Refusal> {
        let began = Instant::now();
        let (taken, queue, queues_wait) = db.write(|tx| {
            let queue = find(tx, name)?;
            let taken = self.receive(tx, &queue, wanted)?;
            Ok::<_, Fault>((taken, queue.id, queue.settings.wait_seconds))
        })?;
        let wait = wait.unwrap_or(Duration::from_secs(queues_wait.unsigned_abs()));
        if !taken.is_empty() || wait.is_zero() {
            return Ok(taken);
        }
        let signal = self.signal(queue);
        let deadline = sleep_until(began + wait);
        let mut deadline = std::pin::pin!(deadline);
        loop {
            let mut came = std::pin::pin!(signal.came.notified());
            // From here on nothing that comes is missed.
            came.as_mut().enable();
            let mut due = signal.due.subscribe();
            let (taken, next) = self.look(db, name, wanted, &signal)?;
            if !taken.is_empty() || self.is_closed() {
                return Ok(taken);
            }
            let sleep = sleep(self.until(next));
            select! {
                () = came => {}
                () = sleep => {}
                // No sender goes while the signal is held.
                _ = due.changed() => {}
                () = &mut deadline => return Ok(Vec::new()),
            }
        }
    }

    /// Receives, or learns when there will be something.
    fn look(
        &self,
        db: &Db,
        name: &str,
        wanted: &Wanted<'_>,
        signal: &Arc<Signal>,
    ) -> Result<(Vec<Received>, Option<Millis>), Refusal> {
        let looked = db.write(|tx| {
            let queue = find(tx, name)?;
            let taken = self.receive(tx, &queue, wanted)?;
            let next = next_due(tx, &queue, self.now())?;
            // Within the transaction, so that none that comes sooner is forgotten.
            signal.due.send_if_modified(|due| {
                *due = next.unwrap_or(Millis::MAX);
                false
            });
            if taken.len() == wanted.count_max {
                // There may be more for another.
                signal.came.notify_one();
            }
            Ok::<_, Fault>((taken, next))
        })?;
        Ok(looked)
    }

    /// How long it is until then.
    fn until(&self, at: Option<Millis>) -> Duration {
        let Some(at) = at else { return SLEEP_MAX };
        let wait = u64::try_from(at - self.now()).unwrap_or(0);
        Duration::from_millis(wait).min(SLEEP_MAX)
    }
}
