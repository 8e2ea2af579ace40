//! Admit: the runs that wait for a limit, in their order, as slots come free.
//!
//! Asked when a run is recorded into a queue, when one gives a slot back, and by the sweep for limits whose date has come.
//! Whose turn it is, `core::limits` says.

use std::collections::{BTreeSet, VecDeque};

use taskferry_core::{
    lifecycle::Happening,
    limits::{self, LimitId, Turn},
    run::{Run, StopCause},
};

use crate::{
    Engine, Error,
    advance::Patience,
    ports::{Clock, Runs, Tasks},
};

/// How many of a queue are looked at in one go.
const QUEUE_LENGTH: u32 = 50;

impl<R: Runs, T: Tasks, C: Clock> Engine<R, T, C> {
    /// The turn of a run that waits, and of those before it.
    pub(crate) async fn admit_for(&self, run: &Run) -> Result<(), Error> {
        self.admit(run.slots.iter().map(|slot| slot.limit.clone())).await
    }

    /// The turn of those who waited for a run.
    pub(crate) async fn admit_next(&self, run: &Run) -> Result<(), Error> {
        // Boxed: to admit a run is to advance it.
        Box::pin(self.admit_for(run)).await
    }

    /// Gives each limit's free slots to the runs whose turn it is.
    pub(crate) async fn admit(&self, limits: impl IntoIterator<Item = LimitId>) -> Result<(), Error> {
        let mut limits: VecDeque<LimitId> = limits.into_iter().collect();
        let mut seen = BTreeSet::new();
        let mut failed = None;
        while let Some(limit) = limits.pop_front() {
            if !seen.insert(limit.clone()) {
                continue;
            }
            let state = self.runs.limit(&limit, QUEUE_LENGTH).await?;
            let queued = state.queue.iter().find_map(|run| {
                run.slots.iter().find(|slot| slot.limit == limit).map(|slot| slot.of)
            });
            let of = self.rules.slots_of(&limit).or(queued).unwrap_or(u32::MAX);
            for (id, turn) in limits::turns(&state, &limit, of) {
                if let Err(error) = self.take_turn(&id, turn, &state.queue).await {
                    failed.get_or_insert(error);
                }
            }
            let check_at = limits::check_at(&state, self.clock.now());
            self.runs.settle_limit(&limit, state.revision, check_at).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    async fn take_turn(
        &self,
        id: &taskferry_core::run::RunId,
        turn: Turn,
        queue: &[Run],
    ) -> Result<(), Error> {
        let (run, happening) = match turn {
            Turn::Admit | Turn::Skip { .. } => {
                let Some(run) = queue.iter().find(|run| run.id == *id) else { return Ok(()) };
                let happening = match turn {
                    Turn::Skip { reason } => Happening::Skip { reason },
                    _ => Happening::Admitted,
                };
                (run.clone(), happening)
            }
            Turn::Replace { holder } => {
                let cause = StopCause::Cancelled;
                let reason = format!("replaced by run {id}");
                (self.run(&holder).await?, Happening::Stop { cause, reason })
            }
        };
        Box::pin(self.advance(run, happening, Patience::None)).await?;
        Ok(())
    }
}
