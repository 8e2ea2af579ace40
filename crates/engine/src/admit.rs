//! Admit: the runs that wait for a limit, in their order, as slots come free.
//!
//! Asked when a run is recorded into a queue, when one gives a slot back, and by the sweep for limits whose date has come.
//! Whose turn it is, `core::limits` says.

use taskferry_core::{
    is_mutated,
    lifecycle::Happening,
    limits::{self, LimitId, LimitState, Turn},
    run::{Run, RunId, StopCause},
};

use crate::{
    Engine, Error,
    advance::Patience,
    ports::{Clock as _, Ports, Runs as _},
};

/// How many of a queue are looked at at a time.
const QUEUE_LENGTH: u32 = 50;

impl<P: Ports> Engine<P> {
    /// The turn of a run that waits, and of those before it in its queue.
    pub(crate) async fn admit_for(&self, run: &Run) -> Result<(), Error> {
        match &run.queue {
            Some(limit) => self.admit(limit).await,
            None => Ok(()),
        }
    }

    /// The turn of those who waited for a run.
    pub(crate) async fn admit_next(&self, run: &Run) -> Result<(), Error> {
        if is_mutated!(AdmissionLeftToSweep) {
            return Ok(());
        }
        let mut failed = None;
        for slot in &run.slots {
            // Boxed: to admit a run is to advance it.
            if let Err(error) = Box::pin(self.admit(&slot.limit)).await {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Gives a limit's free slots to the runs whose turn it is.
    pub(crate) async fn admit(&self, limit: &LimitId) -> Result<(), Error> {
        loop {
            let state = self.ports.runs().limit(limit, QUEUE_LENGTH).await?;
            let turns = limits::turns(&state, limit, self.slots_of(&state, limit));
            if turns.is_empty() {
                let check_at = limits::check_at(&state, self.ports.clock().now());
                return Ok(self.ports.runs().settle_limit(limit, state.revision, check_at).await?);
            }
            let mut has_moved_on = false;
            let mut failed = None;
            for (id, turn) in turns {
                match self.take_turn(&id, turn, &state.queue).await {
                    Ok(run) => {
                        has_moved_on |= run.queue.as_ref().is_some_and(|queue| queue != limit);
                    }
                    Err(error) => {
                        failed.get_or_insert(error);
                    }
                }
            }
            match failed {
                Some(error) => return Err(error),
                // It waits for another limit now, and left its slot of this one to the next.
                None if has_moved_on => {}
                None => return Ok(()),
            }
        }
    }

    /// How many slots the limit has: by the rules of now, else by those under which the oldest that waits was made.
    fn slots_of(&self, state: &LimitState, limit: &LimitId) -> u32 {
        let of = |run: &Run| run.slot(limit).map(|slot| slot.of);
        let pinned = || state.queue.iter().find_map(of);
        let slots = self.rules.slots_of(limit).or_else(pinned).unwrap_or(u32::MAX);
        slots.saturating_add(u32::from(is_mutated!(LimitPlusOne)))
    }

    /// The run whose turn it was, or the one that it replaces.
    async fn take_turn(&self, id: &RunId, turn: Turn, queue: &[Run]) -> Result<Run, Error> {
        let (run, happening) = match turn {
            Turn::Replace { holder } => {
                let holder = self.run(&holder).await?;
                if holder.stop.is_some() {
                    return Ok(holder);
                }
                let reason = format!("replaced by run {id}");
                (holder, Happening::Stop { cause: StopCause::Cancelled, reason })
            }
            Turn::Admit => (self.queued(id, queue).await?, Happening::Admitted),
            Turn::Skip { reason } => (self.queued(id, queue).await?, Happening::Skip { reason }),
        };
        Box::pin(self.advance(run, happening, Patience::None)).await
    }

    async fn queued(&self, id: &RunId, queue: &[Run]) -> Result<Run, Error> {
        match queue.iter().find(|run| run.id == *id) {
            Some(run) => Ok(run.clone()),
            None => self.run(id).await,
        }
    }
}
