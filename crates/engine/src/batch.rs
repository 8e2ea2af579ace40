//! Batch: the records of one invocation, each for itself.
//!
//! Called by functions that are handed several events at a time. Each has its turn whatever became of the others, and none
//! is begun when the time is over: what Lambda cuts off in the middle comes again whole.

use jiff::Timestamp;
use taskferry_core::{event::Event, is_mutated, route::Origin};

use crate::{
    Engine, Error,
    dispatch::Dispatched,
    ports::{Clock as _, Ports},
};

impl<P: Ports> Engine<P> {
    /// Dispatches events one after the other, in their order, until `until` comes; what became of each is at its place.
    ///
    /// To dispatch them again does no harm, so a source that cannot say which of them failed may deliver all of them again.
    ///
    /// # Errors
    ///
    /// For each event those of [`Engine::dispatch`], or [`Error::NotBegun`].
    pub async fn dispatch_batch(
        &self,
        origin: Origin<'_>,
        events: &[Event],
        until: Timestamp,
    ) -> Vec<Result<Vec<Dispatched>, Error>> {
        let mut dispatched = Vec::with_capacity(events.len());
        for event in events {
            let is_over = self.ports.clock().now() >= until;
            let has_failed = dispatched.last().is_some_and(Result::is_err);
            if is_over || has_failed && is_mutated!(FirstRecordEndsBatch) {
                let is_forgotten = is_mutated!(NotBegunIsDone);
                dispatched.push(if is_forgotten { Ok(Vec::new()) } else { Err(Error::NotBegun) });
                continue;
            }
            dispatched.push(self.dispatch(origin, event).await);
        }
        dispatched
    }
}
